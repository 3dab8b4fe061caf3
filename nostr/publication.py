"""One EVENT on its way: which relays still owe an answer, and what they said."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from weakref import ref

from .delivery import Consumer
from .event import SignedEvent
from .message import is_final, most_telling, prefix, with_prefix

DELETION_KIND = 5


@dataclass
class Copy:
    """What one relay is owed: the event, until it answers it for good."""

    tries: int = 0


@dataclass
class Publication:
    """One event from its publication until every relay has answered it for good.

    `copies` are owed, by relay URL; `refusals` are what relays answered for good.
    `accepted`: some relay has it. `queued`: its publisher was told `queued:` and
    relies on us. `stored`: it may stand in the database. `client` is its latest
    publisher, which an event that waits for days must not keep alive. Instants are
    those of `clock.now`.
    """

    event: SignedEvent
    sequence: int
    is_public: bool
    published_at: float
    expires_at: float
    copies: dict[str, Copy] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    client: ref[Consumer] | None = None
    accepted: bool = False
    queued: bool = False
    stored: bool = False

    @property
    def latest_client(self) -> Consumer | None:
        """The latest publisher; None once it is gone."""
        return None if self.client is None else self.client()

    @property
    def waiting(self) -> bool:
        """Whether it was vouched for and no relay has it yet."""
        return self.queued and not self.accepted

    def answer(self, relay_url: str, accepted: bool, message: str, tries: int) -> bool:
        """Take a relay's OK. Tells whether it settles that relay's copy.

        A transient refusal leaves the copy owed, for `tries` tries in all.
        """
        copy = self.copies.get(relay_url)
        if copy is None:
            return False
        if accepted or prefix(message) == "duplicate":
            del self.copies[relay_url]
            self.accepted = True
            return True
        copy.tries += 1
        if not is_final(message) and copy.tries < tries:
            return False
        del self.copies[relay_url]
        self.refusals[relay_url] = message
        return True

    @property
    def refusal(self) -> str:
        """The most telling of the relays' refusals, with a prefix."""
        return with_prefix(most_telling(list(self.refusals.values())))

    def replaces(self, other: SignedEvent) -> bool:
        """Whether a relay that has this event would not keep the other one.

        True of a newer version of the same replaceable or addressable event (of equal
        times the lower id is kept, NIP-01), and of a deletion by the same author
        (NIP-09).
        """
        mine, theirs = self.event, other
        if mine.pubkey != theirs.pubkey or mine.id == theirs.id:
            return False
        if mine.address is not None and mine.address == theirs.address:
            if mine.created_at != theirs.created_at:
                return mine.created_at > theirs.created_at
            return mine.id < theirs.id
        if mine.kind != DELETION_KIND or theirs.kind == DELETION_KIND:
            return False
        if theirs.id in self._deleted_ids:
            return True
        newer = theirs.created_at > mine.created_at
        return not newer and theirs.address in self._deleted_addresses

    # Found once: a deletion may name thousands, and is asked about every event.

    @cached_property
    def _deleted_ids(self) -> frozenset[str]:
        return self._values("e")

    @cached_property
    def _deleted_addresses(self) -> frozenset[str]:
        return self._values("a")

    def _values(self, name: str) -> frozenset[str]:
        return frozenset(
            tag[1] for tag in self.event.tags if len(tag) > 1 and tag[0] == name
        )
