"""One client's protocol: its text and `now` in, replies and commands out (NIP-01).

A session owns its client's subscriptions and the publications whose OK is still due. It
has no socket, thread or clock. The relays' messages arrive as deliveries, in the order
in which the client has to get them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any, NamedTuple

from . import message as messages
from .client_auth import ClientAuth
from .delivery import (
    Closed,
    Copied,
    Counted,
    Delivered,
    Delivery,
    Eose,
    Progress,
    PublishResult,
    RelayChanged,
    Reply,
    SubscriptionOpened,
)
from .errors import DisputedMessage, InvalidEvent, InvalidMessage
from .event import AUTH_KIND, SignedEvent
from .filter import Filter, parse_filters
from .guests import OPEN_TO_ALL, GuestRules
from .merge import HeldBytes
from .pace import TokenBucket
from .settings import ClientLimits, Settings
from .subscription import Subscription

VALUE_BYTES = 60  # of a short string in a filter, its characters apart
CLOSE_CHARACTERS = 1000  # no CLOSE that closes anything is longer
NEG_REFUSAL = "blocked: negentropy is not served here, use REQ"
_TOO_FAST = "rate-limited: slow down"


class Subscribe(NamedTuple):
    """Command: open this subscription on the relays."""

    upstream_id: str
    filters: tuple[Filter, ...]


class Unsubscribe(NamedTuple):
    """Command: close this subscription on the relays."""

    upstream_id: str


class Publish(NamedTuple):
    """Command: publish this event; a `PublishResult` is expected back."""

    event: SignedEvent


class Count(NamedTuple):
    """Command: ask the relays to count; a `Counted` is expected back."""

    upstream_id: str
    filters: tuple[Filter, ...]


class Authenticated(NamedTuple):
    """Command: the client proved to be the owner of this key (NIP-42)."""

    pubkey: str


Command = Subscribe | Unsubscribe | Publish | Count | Authenticated


class Session:
    """One client's side of the conversation.

    `new_id` returns an unguessable id for each subscription on the relays. `wall` is
    compared with expirations (NIP-40), in Unix seconds. `received` counts the client's
    messages, `dropped` those that were refused as too many or too large.
    """

    def __init__(
        self,
        limits: ClientLimits,
        settings: Settings,
        new_id: Callable[[], str],
        now: float,
    ) -> None:
        self._limits = limits
        self._settings = settings
        self._new_id = new_id
        self._bucket = TokenBucket(
            limits.messages_per_second, limits.burst_messages, now
        )
        self._by_id: dict[str, Subscription] = {}
        self._sizes: dict[str, int] = {}
        self._by_upstream_id: dict[str, Subscription] = {}
        self._merging: dict[str, Subscription] = {}
        self._held = HeldBytes(min(settings.merge_bytes, settings.mailbox_bytes // 2))
        self._counts: dict[str, str] = {}
        self._publishing: dict[str, int] = {}
        self._noticed_no_relay = False
        self._auth: ClientAuth | None = None
        self._guests = OPEN_TO_ALL
        self.received = 0
        self.dropped = 0

    @property
    def upstream_ids(self) -> list[str]:
        """The ids under which this client's subscriptions are open on the relays."""
        return list(self._by_upstream_id)

    @property
    def subscription_count(self) -> int:
        """How many subscriptions the client has open."""
        return len(self._by_id)

    @property
    def open_filters(self) -> dict[str, list[dict[str, Any]]]:
        """The filters of the open subscriptions as JSON objects, by subscription id."""
        return {
            name: [filter_.json for filter_ in subscription.filters]
            for name, subscription in self._by_id.items()
        }

    @property
    def held_bytes(self) -> int:
        """The memory of the events that the merges hold back."""
        return self._held.total

    def is_complete(self, subscription_id: str) -> bool:
        """Return whether every relay sent its EOSE for an open subscription."""
        subscription = self._by_id.get(subscription_id)
        if subscription is None:
            return False
        if subscription.upstream_id not in self._by_upstream_id:
            return True  # it can match nothing
        return subscription.is_complete

    # AUTH (NIP-42)

    @property
    def is_challenged(self) -> bool:
        """Whether the client was sent a challenge."""
        return self._auth is not None

    def set_guests(self, rules: GuestRules) -> list[str | Command]:
        """Apply the operator's rules; close what the client may not read any more."""
        self._guests = rules
        refusal = rules.read_refusal(self.keys)
        if refusal is None:
            return []
        return [
            item for name in list(self._by_id) for item in self._refuse(name, refusal)
        ]

    @property
    def keys(self) -> Set[str]:
        """The public keys, in hex, that the client authenticated as."""
        return self._auth.keys if self._auth is not None else frozenset()

    def challenge(self, urls: Iterable[str]) -> str:
        """Return the AUTH message that begins a connection.

        `urls` are the ways in which the client may have reached the endpoint.
        """
        window = self._settings.client_auth_seconds
        self._auth = ClientAuth(self._new_id(), urls, window)
        return messages.encode("AUTH", self._auth.challenge)

    def _authenticate(
        self, message: messages.ClientEvent, wall: float
    ) -> list[str | Command]:
        if self._auth is None:
            refusal = "invalid: no challenge was sent"
            return [self._ok(message.event_id, False, refusal)]
        try:
            event = message.verify()
        except InvalidEvent as error:
            return [self._ok(message.event_id, False, f"invalid: {error}")]
        reason = self._auth.refusal(event, wall)
        if reason is not None:
            return [self._ok(event.id, False, reason)]
        closed = self.set_guests(self._guests)  # of a key that is denied
        return [self._ok(event.id, True, ""), Authenticated(event.pubkey), *closed]

    # From the client

    def receive(self, text: str, now: float, wall: float) -> list[str | Command]:
        """Handle a client's message; return replies (text) and commands, in order."""
        self.received += 1
        if len(text) > self._limits.message_bytes or (
            len(text) * 4 > self._limits.message_bytes
            and len(text.encode(errors="surrogatepass")) > self._limits.message_bytes
        ):
            return self._too_large(text, now)
        # A short message may be a CLOSE and is always parsed. A longer one over the
        # rate limit is not parsed: the limit is there to prevent that work.
        small = len(text) <= CLOSE_CHARACTERS
        if not small and not self._bucket.take(now, self._cost(text)):
            return self._refuse_unparsed(text, _TOO_FAST)
        try:
            message = messages.parse_client_message(text)
        except InvalidMessage as error:
            reason = f"invalid: {error}"
            if small and not self._bucket.take(now):
                self.dropped += 1
                reason = _TOO_FAST
            disputed = isinstance(error, DisputedMessage)
            name = messages.find_name(text) if disputed else None
            return self._refuse_named(name, reason)
        if isinstance(message, messages.ClientClose):
            return self._close(message.subscription_id)
        allowed = not small or self._bucket.take(now)
        self.dropped += not allowed
        if isinstance(message, messages.ClientReq):
            if allowed:
                size = len(text) + VALUE_BYTES * text.count(",")
                return self._req(message, size, now, wall)
            return self._refuse_req(message, _TOO_FAST)
        if isinstance(message, messages.ClientNegotiation):
            reason = NEG_REFUSAL if allowed else _TOO_FAST
            return self._refuse_negotiation(message, reason)
        handle = self._publish
        if isinstance(message, messages.ClientAuth):
            message, handle = message.event, self._authenticate
        if not allowed:
            return [self._ok(message.event_id, False, _TOO_FAST)]
        return handle(message, wall)

    def receive_binary(self) -> list[str | Command]:
        """Answer a binary frame, which Nostr does not use."""
        self.received += 1
        return [self._notice("invalid: binary messages are not Nostr")]

    def _cost(self, text: str) -> int:
        # Parsing costs by size and, even more, by the number of arrays and objects:
        # each thousand of them brings the next garbage collection closer.
        parts = text.count("[") + text.count("{")
        return (
            1
            + len(text) // self._settings.bytes_per_token
            + parts // self._settings.parts_per_token
        )

    def _too_large(self, text: str, now: float) -> list[str | Command]:
        # Only looked at, not parsed: parsing megabytes would hold up everybody else.
        reason = f"error: message is larger than {self._limits.message_bytes} bytes"
        if not self._bucket.take(now):
            reason = _TOO_FAST
        return self._refuse_unparsed(text, reason)

    def _refuse_unparsed(self, text: str, reason: str) -> list[str | Command]:
        self.dropped += 1
        return self._refuse_named(messages.glimpse_name(text), reason)

    def _refuse_named(
        self, name: tuple[str, str] | None, reason: str
    ) -> list[str | Command]:
        match name:
            case ("OK", event_id):
                return [self._ok(event_id, False, reason)]
            case ("CLOSED", subscription_id):
                return self._refuse(subscription_id, reason)
            case ("COUNT", subscription_id):
                return [self._closed(subscription_id, reason)]
            case ("NEG-ERR", subscription_id):
                return [messages.encode("NEG-ERR", subscription_id, reason)]
        return [self._notice(reason)]

    def _publish(
        self, message: messages.ClientEvent, wall: float
    ) -> list[str | Command]:
        try:
            event = message.verify()
        except InvalidEvent as error:
            return [self._ok(message.event_id, False, f"invalid: {error}")]
        if event.is_expired(wall):
            return [self._ok(event.id, False, "invalid: event has expired")]
        if event.is_protected or event.reposts_protected:
            refusal = "blocked: protected events are not forwarded"
            return [self._ok(event.id, False, refusal)]
        if event.kind == AUTH_KIND:
            refusal = "invalid: authentication events are not forwarded"
            return [self._ok(event.id, False, refusal)]
        not_allowed = self._guests.publish_refusal(event, self.keys)
        if not_allowed is not None:
            return [self._ok(event.id, False, not_allowed)]
        self._publishing[event.id] = self._publishing.get(event.id, 0) + 1
        return [Publish(event)]

    def _req(
        self, message: messages.ClientReq, size: int, now: float, wall: float
    ) -> list[str | Command]:
        subscription_id = message.subscription_id
        longest = self._settings.subscription_id_characters
        if not 1 <= len(subscription_id) <= longest:
            refusal = f"invalid: subscription id must have 1 to {longest} characters"
            return self._refuse_req(message, refusal)
        try:
            filters = parse_filters(message.filters)
        except InvalidMessage as error:
            return self._refuse_req(message, f"invalid: {error}")
        not_allowed = self._guests.read_refusal(self.keys)
        if not_allowed is not None:
            return self._refuse_req(message, not_allowed)
        if len(message.filters) > self._limits.filters:
            refusal = f"error: more than {self._limits.filters} filters"
            return self._refuse_req(message, refusal)
        if message.is_count:
            return self._count(subscription_id, filters)
        output: list[str | Command] = []
        if subscription_id in self._by_id:
            output += self._close(subscription_id)
        elif len(self._by_id) >= self._limits.subscriptions:
            refusal = f"error: more than {self._limits.subscriptions} subscriptions"
            return [self._closed(subscription_id, refusal)]
        if sum(self._sizes.values()) + size > self._limits.open_filters_bytes:
            refusal = "error: the filters of all subscriptions are too much together"
            return [*output, self._closed(subscription_id, refusal)]
        subscription = Subscription(
            subscription_id,
            self._new_id(),
            filters,
            now,
            self._settings,
            arrived=wall,
            held=self._held,
        )
        self._by_id[subscription_id] = subscription
        self._sizes[subscription_id] = size
        if not filters:
            subscription.settled = True
            return [*output, messages.encode("EOSE", subscription_id)]
        self._by_upstream_id[subscription.upstream_id] = subscription
        if subscription.merge is not None:
            self._merging[subscription.upstream_id] = subscription
        return [*output, Subscribe(subscription.upstream_id, filters)]

    def _count(
        self, subscription_id: str, filters: tuple[Filter, ...]
    ) -> list[str | Command]:
        if not filters:
            return [messages.encode("COUNT", subscription_id, {"count": 0})]
        if len(self._counts) >= self._limits.subscriptions:
            return [self._closed(subscription_id, "error: too many counts at once")]
        upstream_id = self._new_id()
        self._counts[upstream_id] = subscription_id
        return [Count(upstream_id, filters)]

    def _close(self, subscription_id: str) -> list[str | Command]:
        self._sizes.pop(subscription_id, None)
        subscription = self._by_id.pop(subscription_id, None)
        if subscription is None:
            return []
        if self._by_upstream_id.pop(subscription.upstream_id, None) is None:
            return []
        self._merging.pop(subscription.upstream_id, None)
        subscription.close()
        return [Unsubscribe(subscription.upstream_id)]

    # From the relays

    def deliver(
        self, deliveries: Iterable[Delivery], now: float
    ) -> Iterator[str | Command]:
        """Yield texts for the client and commands, for the relays' deliveries.

        The generator continues as its items are consumed. So nothing more is delivered
        for a subscription that the client closes meanwhile.
        """
        by_upstream_id = self._by_upstream_id
        for item in deliveries:
            if isinstance(item, Delivered):
                subscription = by_upstream_id.get(item.upstream_id)
                if subscription is not None:
                    if not subscription.settled:
                        subscription.received(item.relay_url, now)
                    if (
                        subscription.merge is None
                        or item.relay_url in subscription.answered
                        or subscription.passes(item, now)
                    ):
                        yield f"{subscription.event_head}{item.event.text}]"
            else:
                yield from self._handle(item, now)
        if self._merging:
            yield from self._release_merged(now)

    def _handle(self, item: Delivery, now: float) -> Iterator[str | Command]:
        if isinstance(item, Copied):
            subscription = self._by_upstream_id.get(item.upstream_id)
            if subscription is not None:
                subscription.copied(item, now)
        elif isinstance(item, Reply):
            yield item.text
        elif isinstance(item, PublishResult):
            yield from self._verdict(item)
        elif isinstance(item, RelayChanged):
            yield from self._relay_changed(item, now)
        elif isinstance(item, Counted):
            yield from self._counted(item)
        elif isinstance(item, SubscriptionOpened | Progress | Eose | Closed):
            subscription = self._by_upstream_id.get(item.upstream_id)
            if subscription is not None:
                yield from self._subscription_news(subscription, item, now)

    def _release_merged(self, now: float) -> Iterator[str]:
        for subscription in list(self._merging.values()):
            yield from self._send_events(subscription, subscription.merged(now))

    def _send_events(
        self, subscription: Subscription, events: Iterable[SignedEvent]
    ) -> Iterator[str]:
        for event in events:
            if subscription.upstream_id not in self._by_upstream_id:
                return  # the client closed it meanwhile
            yield f"{subscription.event_head}{event.text}]"

    def _relay_changed(self, item: RelayChanged, now: float) -> Iterator[str]:
        for subscription in self._each_open():
            subscription.relay_changed(item.relay_url, item.asked, item.pending_eose)
            if item.pending_eose:  # it has only just connected, so it is not silent
                subscription.received(item.relay_url, now)
            yield from self._settle_if(subscription, subscription.has_all)

    def _each_open(self) -> Iterator[Subscription]:
        # The client may close or replace subscriptions while it is sent events of
        # others. It would take a late EOSE for the one of the replacement.
        for upstream_id in list(self._by_upstream_id):
            subscription = self._by_upstream_id.get(upstream_id)
            if subscription is not None:
                yield subscription

    def _subscription_news(
        self,
        subscription: Subscription,
        item: SubscriptionOpened | Progress | Eose | Closed,
        now: float,
    ) -> Iterable[str | Command]:
        if isinstance(item, Progress):
            subscription.received(item.relay_url, now)
            return []
        if isinstance(item, Eose):
            last = subscription.eose(item.relay_url, item.complete, item.max_limit)
            return self._settle_if(subscription, last)
        if isinstance(item, SubscriptionOpened):
            subscription.asked(item.relay_urls, item.pending_eose)
            if item.connected or self._noticed_no_relay:
                return []
            self._noticed_no_relay = True
            notice = "no relay is connected; subscriptions wait until one is"
            return [self._notice(notice)]
        reason = subscription.closed(item.relay_url, item.message)
        if reason is None:
            return self._settle_if(subscription, subscription.has_all)
        return self._closed_by_all(subscription, reason)

    def _closed_by_all(
        self, subscription: Subscription, reason: str
    ) -> Iterator[str | Command]:
        if not subscription.settled:
            yield from self._send_events(
                subscription, subscription.settle().before_eose
            )
        if subscription.upstream_id in self._by_upstream_id:
            yield self._closed(
                subscription.subscription_id, messages.with_prefix(reason)
            )
            yield from self._close(subscription.subscription_id)

    def tick(self, now: float) -> Iterator[str]:
        """Yield the EOSEs that are due, one by one as they are consumed."""
        for subscription in self._each_open():
            yield from self._settle_if(subscription, subscription.due(now))
        yield from self._release_merged(now)

    def deadline(self, now: float) -> float | None:
        """Return the instant of the next `tick`; None while nothing has a deadline."""
        return min(
            (
                subscription.next_at(now)
                for subscription in self._by_upstream_id.values()
                if not subscription.settled
            ),
            default=None,
        )

    def _settle_if(self, subscription: Subscription, complete: bool) -> Iterator[str]:
        if subscription.settled or not complete:
            return
        self._merging.pop(subscription.upstream_id, None)
        before, after = subscription.settle()
        yield from self._send_events(subscription, before)
        if subscription.upstream_id in self._by_upstream_id:
            hints = subscription.hints()
            name = subscription.subscription_id
            yield messages.encode("EOSE", name, *([hints] if hints else []))
        yield from self._send_events(subscription, after)

    def _verdict(self, verdict: PublishResult) -> list[str]:
        # One for each publication: what is published again while a verdict is on its
        # way here may end otherwise.
        left = self._publishing.pop(verdict.event_id, 0) - 1
        if left < 0:
            return []
        if left:
            self._publishing[verdict.event_id] = left
        return [self._ok(verdict.event_id, verdict.accepted, verdict.message)]

    def _counted(self, item: Counted) -> list[str]:
        subscription_id = self._counts.pop(item.upstream_id, None)
        if subscription_id is None:
            return []
        if item.total is None:
            return [self._closed(subscription_id, "unsupported: no relay can count")]
        answer: dict[str, object] = {"count": item.total}
        if item.approximate:
            answer["approximate"] = True
        if item.hll is not None:
            answer["hll"] = item.hll.hex()
        return [messages.encode("COUNT", subscription_id, answer)]

    # Replies

    @staticmethod
    def _ok(event_id: str, accepted: bool, message: str) -> str:
        return messages.encode("OK", event_id, accepted, message)

    @staticmethod
    def _closed(subscription_id: str, message: str) -> str:
        return messages.encode("CLOSED", subscription_id, message)

    @staticmethod
    def _notice(message: str) -> str:
        return messages.encode("NOTICE", message)

    def _refuse_req(
        self, message: messages.ClientReq, reason: str
    ) -> list[str | Command]:
        # A COUNT's id is no subscription's, also where it is equal to one.
        if message.is_count:
            return [self._closed(message.subscription_id, reason)]
        return self._refuse(message.subscription_id, reason)

    @staticmethod
    def _refuse_negotiation(
        message: messages.ClientNegotiation, reason: str
    ) -> list[str | Command]:
        if message.is_close:
            return []
        return [messages.encode("NEG-ERR", message.subscription_id, reason)]

    def _refuse(self, subscription_id: str, message: str) -> list[str | Command]:
        # CLOSED ends a subscription, also an older one of the same id.
        return [self._closed(subscription_id, message), *self._close(subscription_id)]
