"""What reaches a consumer of relays, in one ordered stream: its mailbox's items.

EVENT, EOSE, OK, CLOSED and news of relays travel in the same stream, so that an EOSE
cannot overtake an event. Items are immutable and cross from threads to the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from .event import SignedEvent


class Delivered(NamedTuple):
    """An event that matches a subscription and was never delivered to it before.

    `shared` as in `Copied`.
    """

    upstream_id: str
    event: SignedEvent
    relay_url: str
    shared: bool = False


class Copied(NamedTuple):
    """A copy of an event that was delivered already, for a subscription that merges.

    `shared`: it came on a wire that serves other clients as well, so that it says
    nothing about how far the relay's answer to this one has come.
    """

    upstream_id: str
    event: SignedEvent
    relay_url: str
    shared: bool


class SubscriptionOpened(NamedTuple):
    """A subscription was opened on the relays.

    `relay_urls` are all relays it is meant for. `pending_eose` holds those whose EOSE
    is worth waiting for, each with the instant at which the wait ends.
    """

    upstream_id: str
    relay_urls: frozenset[str]
    pending_eose: Mapping[str, float]
    connected: int


class Progress(NamedTuple):
    """A relay is sending stored events for a subscription, all of them known ones."""

    upstream_id: str
    relay_url: str


class Eose(NamedTuple):
    """A relay has sent its stored events for a subscription.

    `complete` is the relay's hint (NIP-67): True for `finish`, False for `more`.
    `max_limit` is what its NIP-11 document announces.
    """

    upstream_id: str
    relay_url: str
    complete: bool | None = None
    max_limit: int | None = None


class Closed(NamedTuple):
    """A relay closed a subscription for good."""

    upstream_id: str
    relay_url: str
    message: str


class RelayChanged(NamedTuple):
    """A relay joined (`asked`), left, or changed whether its EOSE is waited for."""

    relay_url: str
    asked: bool
    pending_eose: bool


class PublishResult(NamedTuple):
    """What the publisher of an event is told."""

    event_id: str
    accepted: bool
    message: str


class Counted(NamedTuple):
    """The answer to a COUNT; `total` is None if no relay could count.

    `hll` are the merged HyperLogLog registers of the relays that sent some (NIP-45).
    """

    upstream_id: str
    total: int | None
    approximate: bool = False
    hll: bytes | None = None


class Reply(NamedTuple):
    """What a client is answered at once; waits its turn like everything else."""

    text: str


class Notice(NamedTuple):
    """A relay sent a NOTICE."""

    relay_url: str
    message: str


Delivery = (
    Delivered
    | Copied
    | SubscriptionOpened
    | Progress
    | Eose
    | Closed
    | RelayChanged
    | PublishResult
    | Counted
    | Reply
    | Notice
)


class Consumer(Protocol):
    """Whoever takes deliveries: a client's mailbox, or other extensions' queues."""

    def put(self, item: Delivery) -> None:
        """Add an item to the stream; from any thread, never blocking."""
        ...
