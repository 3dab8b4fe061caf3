"""One EVENT from its publication until every relay has answered it for good.

Theory of operation. Rule C3 gives the publisher exactly one OK, rule C5 lets nobody
rely on an event that is not stored. So a publication is in one of these states:

    ANSWERING  relays are asked; the publisher has no answer yet
    STORING    no relay accepted in time; the database is to store the event first
    QUEUED     the publisher was told `queued:` and relies on us
    ACCEPTED   a relay has it; copies are still pending for other relays
    OVER       nothing is pending any more; the outbox has forgotten it

    ANSWERING -> ACCEPTED   a relay accepts; the publisher gets `true`
    ANSWERING -> OVER       all relays refuse for good; it gets `false`, their reason
    ANSWERING -> STORING    no answer in time, or no relay is connected
    ANSWERING -> QUEUED     the same, without a database; it gets `true`, `queued:`
    STORING   -> QUEUED     the event is stored; it gets `true`, `queued:`
    STORING   -> ACCEPTED   a relay accepts meanwhile; it gets `true`
    STORING   -> OVER       not stored, or refused meanwhile; it gets `false`
    QUEUED    -> ACCEPTED   a relay accepts at last; the log says so
    QUEUED    -> OVER       refused by all, or too old; shown as undeliverable
    ACCEPTED  -> OVER       every relay has answered, or is given up

STORING and QUEUED are *waiting*: rule C4 bounds their number.

Each relay that is to receive the event has a `Copy` of it:

    UNSENT     to be sent in its turn
    SENT       on its way; sent again at `due` if the relay does not answer
    REFUSED    refused for the moment; tried again at `due`

A copy ends when the relay accepts the event or refuses it for good.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from weakref import ref

from .delivery import Consumer
from .errors import InvalidMessage
from .event import SignedEvent
from .message import is_final, most_telling, prefix, with_prefix

DELETION_KIND = 5
MAX_PUBLISHERS = 20  # remembered for one event
VANISH_KIND = 62
ALL_RELAYS = "ALL_RELAYS"  # NIP-62


Publishers = dict[str, frozenset[str] | None]
"""Who published an event, by name, and the relays named with it; None: none."""

RELAYED = "nostrclient"
"""The name of publishers that are other nostrclients."""

_EXTENSION = "extension "
"""Begins the name of a publisher that is another extension."""

NO_RELAYS: frozenset[str] = frozenset()


def publisher_of(extension: str) -> str:
    """Return the name that lasts of an extension that publishes in this process."""
    return f"{_EXTENSION}{extension}"


def extension_of(publishers: Publishers) -> str | None:
    """Return the extension that published an event; None: nobody or another one."""
    for name in publishers:
        if name.startswith(_EXTENSION):
            return name.removeprefix(_EXTENSION)
    return None


def plain_publishers(publishers: Publishers) -> dict[str, list[str] | None]:
    """Return publishers as plain data, as JSON has it."""
    return {
        name: None if named is None else sorted(named)
        for name, named in publishers.items()
    }


def parse_publishers(
    plain: Mapping[str, Sequence[str] | None] | None,
) -> Publishers:
    """Return publishers from what `plain_publishers` returned; None is from before.

    Raises `InvalidMessage`.
    """
    if not plain:
        return {"": None}
    if not isinstance(plain, Mapping):
        raise InvalidMessage("the publishers of an event are not an object")
    return {
        name: None if named is None else frozenset(named)
        for name, named in plain.items()
    }


class CopyState(Enum):
    """The state of one relay's copy of an event."""

    UNSENT = auto()
    SENT = auto()
    REFUSED = auto()


_COPY_MOVES: dict[CopyState, frozenset[CopyState]] = {
    CopyState.UNSENT: frozenset((CopyState.UNSENT, CopyState.SENT, CopyState.REFUSED)),
    CopyState.SENT: frozenset((CopyState.UNSENT, CopyState.SENT, CopyState.REFUSED)),
    CopyState.REFUSED: frozenset((CopyState.UNSENT, CopyState.REFUSED)),
}


@dataclass(eq=False)
class Copy:
    """The copy that one relay is to receive, until it answers for good.

    `due` is when an unanswered copy is sent again, or a refused one retried. `backlog`:
    it waited before it was sent. `sends` counts how often it was sent on this
    connection, `refusals` how often it was refused for the moment, the latest time
    until `retry_at`; `message` is the relay's latest. `is_trial`: sent while the relay
    refused other authors for their rate.
    """

    publication: Publication
    backlog: bool = False
    state: CopyState = CopyState.UNSENT
    due: float = 0.0
    sent_at: float = 0.0
    sends: int = 0
    refusals: int = 0
    retry_at: float = 0.0
    message: str = ""
    is_trial: bool = False

    def move(self, state: CopyState, due: float = 0.0) -> None:
        """Enter a state. Raises `AssertionError` for an illegal move."""
        if state not in _COPY_MOVES[self.state]:
            raise AssertionError(f"a copy that is {self.state} does not become {state}")
        self.state = state
        self.due = due


class OkMeaning(Enum):
    """The meaning of a relay's OK."""

    ACCEPTED = auto()
    QUEUED = auto()  # by another nostrclient: neither accepted nor refused
    RATE_LIMITED = auto()
    REFUSED_FOR_NOW = auto()
    REFUSED = auto()


def read_ok(accepted: bool, message: str) -> OkMeaning:
    """Return what an OK with this message means (NIP-01)."""
    name = prefix(message)
    if name == "queued":
        return OkMeaning.QUEUED
    if accepted or name == "duplicate":
        return OkMeaning.ACCEPTED
    if name == "rate-limited":
        return OkMeaning.RATE_LIMITED
    return OkMeaning.REFUSED if is_final(message) else OkMeaning.REFUSED_FOR_NOW


class PublicationState(Enum):
    """The state of a publication."""

    ANSWERING = auto()
    STORING = auto()
    QUEUED = auto()
    ACCEPTED = auto()
    OVER = auto()


_S = PublicationState
_MOVES: dict[PublicationState, frozenset[PublicationState]] = {
    _S.ANSWERING: frozenset((_S.STORING, _S.QUEUED, _S.ACCEPTED, _S.OVER)),
    _S.STORING: frozenset((_S.QUEUED, _S.ACCEPTED, _S.OVER)),
    _S.QUEUED: frozenset((_S.ACCEPTED, _S.OVER)),
    _S.ACCEPTED: frozenset((_S.OVER,)),
    _S.OVER: frozenset(),
}


@dataclass(eq=False)
class Publication:
    """One event on its way.

    `copies` are pending, by relay URL; `refusals` are the final ones. `stored`: the
    database may hold the event. `vouched`: it was answered `queued:` before, and is
    sent again for the operator. `client` is its latest publisher, which an event that
    waits for days must not keep alive; `extension` published it in this process.
    `publishers` are the names of those who asked for it, empty for a WebSocket, each
    with the relays that it named; None: the configured ones. The event is for the
    configured relays if it goes `everywhere`, and for the `named` ones (H10).
    Instants are those of `clock.now`.
    """

    event: SignedEvent
    sequence: int
    is_public: bool
    published_at: float
    expires_at: float
    state: PublicationState = PublicationState.ANSWERING
    copies: dict[str, Copy] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    client: ref[Consumer] | None = None
    turn: Hashable = None
    extension: str | None = None
    stored: bool = False
    vouched: bool = False
    publishers: Publishers = field(default_factory=dict)
    everywhere: bool = True
    named: frozenset[str] = NO_RELAYS

    def add_publishers(self, publishers: Publishers) -> None:
        """Add who asked for the event, and the relays that it is for."""
        for name, named in publishers.items():
            known = self.publishers.get(name, NO_RELAYS)
            if name in self.publishers or len(self.publishers) < MAX_PUBLISHERS:
                self.publishers[name] = (
                    None if known is None or named is None else known | named
                )
            self.everywhere = self.everywhere or named is None
            self.named |= named or NO_RELAYS

    @property
    def is_relayed(self) -> bool:
        """Whether only other nostrclients published it: it goes to no further one."""
        return self.publishers.keys() == {RELAYED}

    def covers(self, other: Publication) -> bool:
        """Return whether the event is for all relays that another one is for."""
        everywhere = self.everywhere or not other.everywhere
        return everywhere and other.named <= self.named

    def move(self, state: PublicationState) -> None:
        """Enter a state. Raises `AssertionError` for an illegal move."""
        if state not in _MOVES[self.state]:
            raise AssertionError(f"{self.state} does not become {state}")
        self.state = state

    @property
    def accepted(self) -> bool:
        """Whether a relay has the event."""
        return self.state is PublicationState.ACCEPTED

    @property
    def waiting(self) -> bool:
        """Whether we must deliver it, or report it, and no relay has it yet."""
        return self.state in (PublicationState.STORING, PublicationState.QUEUED)

    @property
    def latest_client(self) -> Consumer | None:
        """The latest publisher; None once it is gone."""
        return None if self.client is None else self.client()

    @property
    def messages(self) -> dict[str, str]:
        """The relays' latest refusals, final or not, by URL."""
        latest = {url: copy.message for url, copy in self.copies.items()}
        return {url: text for url, text in latest.items() if text} | self.refusals

    @property
    def refusal(self) -> str:
        """The most telling of the relays' refusals, with a prefix."""
        return with_prefix(most_telling(list(self.messages.values())))

    @cached_property
    def address(self) -> str | None:
        """The address that versions of the event share; None: there are no others."""
        return self.event.address

    @cached_property
    def can_replace(self) -> bool:
        """Whether the event can make a relay drop others of its author."""
        return self.address is not None or self.event.kind in (
            DELETION_KIND,
            VANISH_KIND,
        )

    def replaces(self, other: SignedEvent) -> bool:
        """Return whether a relay that has this event would not keep the other one.

        True of a newer version of the same replaceable or addressable event (of equal
        times the lower id is kept, NIP-01), of a deletion by the same author (NIP-09),
        and of the author's request to vanish from all relays (NIP-62).
        """
        mine, theirs = self.event, other
        if mine.pubkey != theirs.pubkey or mine.id == theirs.id:
            return False
        if mine.address is not None and mine.address == theirs.address:
            if mine.created_at != theirs.created_at:
                return mine.created_at > theirs.created_at
            return mine.id < theirs.id
        newer = theirs.created_at > mine.created_at
        if mine.kind == VANISH_KIND:
            return not newer and theirs.kind != VANISH_KIND and self._vanishes
        if mine.kind != DELETION_KIND or theirs.kind in (DELETION_KIND, VANISH_KIND):
            return False
        if theirs.id in self._deleted_ids:
            return True
        return not newer and theirs.address in self._deleted_addresses

    # Found once: a deletion may name thousands, and is asked about every event.

    @cached_property
    def _deleted_ids(self) -> frozenset[str]:
        return self._values("e")

    @cached_property
    def _deleted_addresses(self) -> frozenset[str]:
        return self._values("a")

    @cached_property
    def _vanishes(self) -> bool:
        return ALL_RELAYS in self._values("relay")

    def _values(self, name: str) -> frozenset[str]:
        return frozenset(
            tag[1] for tag in self.event.tags if len(tag) > 1 and tag[0] == name
        )
