"""Finds what a relay has and a subscription was not given: negentropy (NIP-77).

Theory of operation. After an interruption a subscription has to be given what reached
the relay meanwhile. Windows (see `overlap`) fetch all events of some minutes again and
miss what is dated before. Reconciliation compares ids instead, over the whole answer
that the subscription once had, and fetches what is missing.

A `Reconciliation` belongs to one subscription on one connection. It begins after the
EOSE of the live REQ, so that no event falls between the two. It compares one filter
after the other:

    READY     the next filter is to be compared, as soon as the relay has room
    ASKED     a NEG-OPEN or NEG-MSG is out, until `due` of the subscription
    FETCHING  a REQ by ids for what is missing is out
    ENDED     all was compared and fetched, or the relay refused

Where the relay refuses, is silent or answers nonsense, `windows` are fetched as on any
other relay. What a client had before is never given again: ids that were delivered are
left out.

A `Reconciler` says for one relay whether it reconciles. A relay that lists NIP-77 does,
until it refuses several times, is silent, or ends connections meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from . import message
from .errors import InvalidMessage
from .filter import Filter
from .negentropy import MIN_FRAME_BYTES, Item, Negentropy
from .settings import KIB

FRAME_BYTES = 32 * KIB  # of one message of ours; in hex digits it is twice as long
SPARE_BYTES = 1024  # of a message, for its verb and id
MAX_ROUNDS = 100  # of one filter: sets of a million events need about ten
MAX_REFUSALS = 3  # in a row, then the relay is not asked on this connection
MAX_LOST = 2  # connections that ended meanwhile, then it is not asked any more


class ReconciliationState(Enum):
    """The state of a reconciliation."""

    READY = auto()
    ASKED = auto()
    FETCHING = auto()
    ENDED = auto()


_S = ReconciliationState
_MOVES: dict[ReconciliationState, frozenset[ReconciliationState]] = {
    _S.READY: frozenset((_S.ASKED, _S.FETCHING, _S.ENDED)),
    _S.ASKED: frozenset((_S.READY, _S.ENDED)),
    _S.FETCHING: frozenset((_S.ENDED,)),
    _S.ENDED: frozenset(),
}


class Target(NamedTuple):
    """A filter to compare, the events known of it, and what was delivered (by id)."""

    filter: Filter
    items: Sequence[Item]
    delivered: Callable[[str], bool]


class Reconciliation:
    """The comparison of some filters with one relay; `windows` are the way without it.

    At most `most_missing` events are fetched; where there are more, the relay's set is
    another one than thought, and `InvalidMessage` is raised.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        windows: Sequence[Filter],
        most_missing: int,
        max_message_length: int | None = None,
    ) -> None:
        self.state = ReconciliationState.READY
        self.windows = list(windows)
        self.wire_id = ""
        self._targets = deque(targets)
        self._most_missing = most_missing
        self._max_message_length = max_message_length
        self._target: Target | None = None
        self._side = Negentropy(())
        self._rounds = 0
        self._missing: list[tuple[Filter, list[str]]] = []
        self._missing_count = 0

    @property
    def has_targets(self) -> bool:
        """Whether another filter is to be compared."""
        return bool(self._targets)

    def _move(self, state: ReconciliationState) -> None:
        if state not in _MOVES[self.state]:
            raise AssertionError(f"{self.state} does not become {state}")
        self.state = state

    def open(self, wire_id: str) -> str:
        """Return the NEG-OPEN for the next filter."""
        self._move(_S.ASKED)
        self.wire_id = wire_id
        self._target = self._targets.popleft()
        self._rounds = 0
        filter_ = self._target.filter
        longest = frame_bytes(self._max_message_length, filter_)
        self._side = Negentropy(self._target.items, longest or MIN_FRAME_BYTES)
        first = self._side.initiate().hex()
        return message.encode("NEG-OPEN", wire_id, filter_.json, first)

    def answer(self, payload: bytes) -> str | None:
        """Handle NEG-MSG; return the next one, None where this filter is compared.

        Raises `InvalidMessage`.
        """
        reply = self._side.reconcile(payload)
        self._rounds += 1
        if self._missing_count + len(self._side.need) > self._most_missing:
            raise InvalidMessage("too many events differ")
        if reply is not None:
            if self._rounds >= MAX_ROUNDS:
                raise InvalidMessage("the reconciliation does not end")
            return message.encode("NEG-MSG", self.wire_id, reply.hex())
        self._move(_S.READY)
        if self._target is not None:
            ids = sorted(item.hex() for item in self._side.need)
            missing = [item for item in ids if not self._target.delivered(item)]
            self._missing.append((self._target.filter, missing))
            self._missing_count += len(missing)
        self._target, self._side = None, Negentropy(())
        return None

    def fetch(self, at_once: int) -> list[Filter]:
        """Return filters for what is missing, `at_once` ids each; none: all is there.

        Each is the client's own filter as well, so that nothing else comes.
        """
        found = [
            filter_.only_ids(ids[at : at + at_once])
            for filter_, ids in self._missing
            for at in range(0, len(ids), at_once)
        ]
        self._missing = []
        self._move(_S.FETCHING if found else _S.ENDED)
        return found

    def end(self) -> None:
        """Handle that all was fetched, or that the relay does not reconcile."""
        if self.state is not _S.ENDED:
            self._move(_S.ENDED)


class Reconciler:
    """Whether one relay reconciles, and how many comparisons are under way there."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._is_listed = False
        self._refusals = 0
        self._lost = 0
        self.asked: dict[str, str] = {}
        """The comparisons under way: subscription key by wire id."""
        self.waiting: deque[tuple[str, Reconciliation]] = deque()
        """What waits for room, with the key of its subscription."""

    @property
    def is_used(self) -> bool:
        """Whether the relay is asked to reconcile."""
        return (
            self._is_listed and self._refusals < MAX_REFUSALS and self._lost < MAX_LOST
        )

    @property
    def has_room(self) -> bool:
        """Whether another comparison may begin."""
        return len(self.asked) < self._most

    def list(self, is_listed: bool) -> None:
        """Apply whether the relay's NIP-11 document lists NIP-77."""
        self._is_listed = is_listed

    def forget(self) -> None:
        """Try again what the relay refused: relays change."""
        self._refusals = self._lost = 0

    def lose(self, *, ended_by_relay: bool) -> None:
        """Handle the end of the connection."""
        if ended_by_relay and self.asked:
            self._lost += 1
        self._refusals = 0
        self.asked.clear()
        self.waiting.clear()

    def answered(self) -> None:
        """Handle a NEG-MSG: the relay reconciles."""
        self._refusals = self._lost = 0

    def refused(self) -> None:
        """Handle a NEG-ERR, for whatever reason."""
        self._refusals += 1

    def gave_up(self) -> None:
        """Handle that the relay does not reconcile on this connection."""
        self._refusals = MAX_REFUSALS
        self.asked.clear()


def frame_bytes(max_message_length: int | None, filter_: Filter) -> int | None:
    """Return the longest message of ours in bytes; None: the relay takes none.

    It counts the bytes before they are written as hex digits.
    """
    if max_message_length is None:
        return FRAME_BYTES
    spare = SPARE_BYTES + len(message.encode(filter_.json))
    room = (max_message_length - spare) // 2
    return min(FRAME_BYTES, room) if room >= MIN_FRAME_BYTES else None
