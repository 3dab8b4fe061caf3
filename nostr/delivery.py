"""The items of a mailbox: everything that relays report, in one ordered stream.

EVENT, EOSE, OK, CLOSED and changes of relays share the stream, so that an EOSE cannot
overtake an event. Items are immutable and cross from threads to the event loop.
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
    """A copy of a delivered event, for a subscription that merges answers.

    `shared`: it arrived on a wire that serves other clients as well, so it does not
    show how far the relay's answer to this subscription has come.
    """

    upstream_id: str
    event: SignedEvent
    relay_url: str
    shared: bool


class SubscriptionOpened(NamedTuple):
    """A subscription was opened on the relays.

    `relay_urls` are all relays it is for. `pending_eose` are the relays whose EOSE is
    waited for, each with the instant at which the wait ends.
    """

    upstream_id: str
    relay_urls: frozenset[str]
    pending_eose: Mapping[str, float]
    connected: int


class Progress(NamedTuple):
    """A relay is sending stored events for a subscription that are all known."""

    upstream_id: str
    relay_url: str


class Eose(NamedTuple):
    """A relay has sent its stored events for a subscription.

    `complete` is the relay's hint (NIP-67): True for `finish`, False for `more`.
    `max_limit` is the one in its NIP-11 document.
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
    """The result for the publisher of an event: its OK."""

    event_id: str
    accepted: bool
    message: str


class Counted(NamedTuple):
    """The answer to a COUNT; `total` is None if no relay could count.

    `hll` are the merged HyperLogLog registers of the relays (NIP-45), if any.
    """

    upstream_id: str
    total: int | None
    approximate: bool = False
    hll: bytes | None = None


class Reply(NamedTuple):
    """An immediate answer to a client, sent in order with all other items."""

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
    """A receiver of deliveries: a client's mailbox or other extensions' queues."""

    def put(self, item: Delivery) -> None:
        """Add an item to the stream. Called from any thread; never blocks."""
        ...
