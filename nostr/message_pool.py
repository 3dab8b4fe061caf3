"""The pool: relays' events become deliveries to the consumers of subscriptions.

Relays' threads pass events in. Each subscription's consumer gets every event once,
after it was verified and matched. Threads end here: a consumer's mailbox has a `wake`
callable and wakes it once per burst.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Set
from threading import Lock

from .delivery import Consumer, Copied, Delivered, Eose
from .entitlement import may_receive
from .event import SignedEvent
from .figures import Figures
from .filter import Filter, TagValues, first_match
from .in_process import (
    EndOfStoredEventsMessage,
    EventMessage,
    InProcessQueues,
    NoticeMessage,
)
from .known_events import KnownBudget, KnownEvents
from .mailbox import Budget, Mailbox
from .merge import Merge
from .negentropy import Item
from .settings import Settings

# The names for other extensions: docs/extensions.md. The rest may change.
__all__ = [
    "EndOfStoredEventsMessage",
    "EventMessage",
    "MessagePool",
    "NoticeMessage",
]

EVENT_OVERHEAD_BYTES = 1000  # of a parsed event in the cache, without its text


class SeenIds:
    """The ids of the newest events delivered to one subscription, by `key`."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self._order: deque[int] = deque(keys)
        self.ids: set[int] = set(self._order)

    def keys(self) -> list[int]:
        """Return the keys of all ids, to create another `SeenIds` with the same ids."""
        return list(self._order)

    def __len__(self) -> int:
        return len(self._order)

    @staticmethod
    def key(event_id: str) -> int:
        """Return the key of an id: its first 128 bits, to save half the memory."""
        return int(event_id[:32], 16)

    def __contains__(self, key: int) -> bool:
        return key in self.ids

    def add(self, key: int) -> bool:
        """Add the key of an id; return False if it was there."""
        if key in self.ids:
            return False
        self.ids.add(key)
        self._order.append(key)
        return True

    def forget_oldest(self, count: int) -> int:
        """Remove the oldest ids; return how many were removed."""
        count = min(count, len(self._order))
        for _ in range(count):
            self.ids.discard(self._order.popleft())
        return count


class Feed:
    """One open subscription: its filters, its consumer and its delivered ids.

    `is_public`: its client uses the public endpoint. `merges`: its consumer merges the
    relays' answers and so gets their copies, until each relay has sent its EOSE.
    """

    def __init__(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        seen: Iterable[int] = (),
        *,
        is_public: bool = False,
    ) -> None:
        self.upstream_id = upstream_id
        self.filters = filters
        self.consumer = consumer
        self.is_public = is_public
        self.readers: Set[str] = frozenset()
        self.merges = Merge.merges(filters) and isinstance(consumer, Mailbox)
        self.answered: set[str] = set()
        self.seen = SeenIds(seen)
        self.known_events: KnownEvents | None = None

    def known(self, filter_: Filter) -> tuple[int, list[Item]] | None:
        """Return the events given for one of the filters, see `KnownEvents.items`.

        None where it is not known, so that they cannot be compared with a relay's.
        """
        if self.known_events is None:
            return None
        for number, own in enumerate(self.filters):
            if own is filter_:
                return self.known_events.items(number)
        return None

    def may_read_as(self, pubkey: str) -> bool:
        """Return whether its client may read what relays give to this key only (H4).

        Private clients and other extensions may; public ones must have authenticated
        as that key.
        """
        return not self.is_public or pubkey in self.readers

    def delivered(self, event_id: str) -> bool:
        """Return whether the event was delivered already."""
        return SeenIds.key(event_id) in self.seen


class VerifiedCache:
    """Verified events by their exact text, so that copies need no parsing."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: OrderedDict[str, tuple[SignedEvent, int]] = OrderedDict()
        self._lock = Lock()

    def verify(self, text: str) -> SignedEvent:
        """Return the event with exactly this text, verified now or before.

        Raises `InvalidEvent`.
        """
        known = self._events.get(text)
        if known is not None:
            return known[0]
        event = SignedEvent.parse(text)
        self.add(text, event)
        return event

    def add(self, text: str, event: SignedEvent) -> None:
        """Store a verified event by its received text."""
        size = event.memory_bytes + EVENT_OVERHEAD_BYTES
        if text is not event.text:  # it was serialised anew: both texts are kept
            size += len(text)
        with self._lock:
            if text in self._events:
                return
            self._events[text] = event, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, (_, oldest) = self._events.popitem(last=False)
                self._bytes -= oldest


class MessagePool:
    """The feeds of all open subscriptions, and the queues of those in this process.

    Relays' threads hold `parse_lock` while they parse a few messages. In parallel they
    would compete for the interpreter at every signature and verify the same event
    several times. In turn, all but the first find it verified. It is the outermost
    lock: no thread acquires it while it holds another lock, or blocks while holding it.
    """

    def __init__(self, settings: Settings) -> None:
        self.verified = VerifiedCache(settings.verified_cache_bytes)
        # Two, so that public clients that do not read never close a private one.
        self.budget = Budget(0)
        self.public_budget = Budget(0)
        self._known_budget = KnownBudget(0)
        self._known_public_budget = KnownBudget(0)
        self.in_process = InProcessQueues()
        self.figures = Figures()
        self.parse_lock = Lock()
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._seen_total = 0
        self._seen_public = 0
        self._lock = Lock()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Apply other settings from now on."""
        self._settings = settings
        total_bytes = settings.mailboxes_total_bytes
        public_bytes = int(total_bytes * settings.public_share)
        self.public_budget.total_bytes = public_bytes
        self.budget.total_bytes = total_bytes - public_bytes
        total_events = settings.reconcile_events_total
        public_events = int(total_events * settings.public_share)
        self._known_public_budget.most = public_events
        self._known_budget.most = total_events - public_events
        self.in_process.configure(settings)

    # Subscriptions

    def open(self, feed: Feed) -> None:
        """Add a subscription's feed."""
        with self._lock:
            self._feeds[feed.upstream_id] = feed
            self._count_seen(feed, len(feed.seen))
            if not len(
                feed.seen
            ):  # of ids from an earlier generation dates are unknown
                public, private = self._known_public_budget, self._known_budget
                feed.known_events = KnownEvents(
                    public if feed.is_public else private,
                    self._settings.reconcile_events_per_subscription,
                )

    def close(self, upstream_id: str) -> Feed | None:
        """Remove and return a subscription's feed."""
        with self._lock:
            feed = self._feeds.pop(upstream_id, None)
            if feed is not None:
                self._count_seen(feed, -len(feed.seen))
                if feed.known_events is not None:
                    feed.known_events.clear()
            return feed

    def feed(self, upstream_id: str) -> Feed | None:
        """Return a subscription's feed; None if it is closed."""
        return self._feeds.get(upstream_id)

    def seen_keys(self, upstream_id: str) -> list[int]:
        """Return the keys of the events delivered to a subscription."""
        with self._lock:
            feed = self._feeds.get(upstream_id)
            return feed.seen.keys() if feed is not None else []

    @property
    def feed_count(self) -> int:
        """How many subscriptions are open."""
        return len(self._feeds)

    @property
    def seen_total(self) -> int:
        """How many delivered ids are remembered for all subscriptions."""
        return self._seen_total

    # Events

    def deliver(
        self,
        upstream_ids: Collection[str],
        event: SignedEvent,
        relay_url: str,
        touched: set[Mailbox],
        link_key: str | None = None,
        service_key: str | None = None,
        *,
        shared: bool | None = None,
    ) -> bool:
        """Deliver a verified event to each subscription that matches it, once.

        `link_key` and `service_key` say as whom the link authenticated, see
        `entitlement`. `upstream_ids` are the subscriptions that it is for; `shared` is
        that of `Delivered`, None: as there are several.
        Mailboxes are not woken but added to `touched`. Return whether anybody got it.
        """
        if shared is None:
            shared = len(upstream_ids) > 1
        given = False
        guarded = link_key is not None or service_key is not None
        key = SeenIds.key(event.id)
        tags: TagValues | None = None
        for upstream_id in upstream_ids:
            feed = self._feeds.get(upstream_id)
            if feed is None:
                continue
            if guarded and not may_receive(
                event,
                is_public=feed.is_public,
                keys=feed.readers,
                link_key=link_key,
                service_key=service_key,
            ):
                continue
            if key in feed.seen.ids:
                if feed.merges and relay_url not in feed.answered:
                    self._copied(feed, event, relay_url, shared, touched)
                continue
            tags = tags or TagValues(event)
            number = first_match(feed.filters, event, tags)
            if number is None:
                continue
            # Putting under the lock keeps what a close promises: nothing comes after.
            with self._lock:
                if self._feeds.get(upstream_id) is not feed:
                    continue
                if not feed.seen.add(key):
                    continue
                self._count_seen(feed, 1)
                self._bound_seen(feed)
                if feed.known_events is not None:
                    feed.known_events.add(event.created_at, event.id, number)
                item = Delivered(upstream_id, event, relay_url, shared)
                consumer = feed.consumer
                if isinstance(consumer, Mailbox):
                    consumer.put_later(item)
                    touched.add(consumer)
                else:
                    consumer.put(item)
            given = True
        return given

    @staticmethod
    def _copied(
        feed: Feed,
        event: SignedEvent,
        relay_url: str,
        shared: bool,
        touched: set[Mailbox],
    ) -> None:
        if isinstance(feed.consumer, Mailbox):
            item = Copied(feed.upstream_id, event, relay_url, shared)
            feed.consumer.put_later(item)
            touched.add(feed.consumer)

    def finish(
        self,
        upstream_id: str,
        relay_url: str,
        complete: bool | None = None,
        max_limit: int | None = None,
    ) -> None:
        """Deliver a relay's first EOSE for a subscription; see `Eose`."""
        feed = self._feeds.get(upstream_id)
        if feed is not None:
            feed.answered.add(relay_url)
            feed.consumer.put(Eose(upstream_id, relay_url, complete, max_limit))

    def mark_seen(self, upstream_id: str, event: SignedEvent) -> None:
        """Handle an event that a subscription is never to receive as delivered."""
        with self._lock:
            feed = self._feeds.get(upstream_id)
            if feed is not None and feed.seen.add(SeenIds.key(event.id)):
                self._count_seen(feed, 1)
                self._bound_seen(feed)

    def _count_seen(self, feed: Feed, change: int) -> None:
        self._seen_total += change
        if feed.is_public:
            self._seen_public += change

    def _bound_seen(self, feed: Feed) -> None:
        settings = self._settings
        if len(feed.seen) > settings.seen_ids_per_subscription:
            self._count_seen(feed, -feed.seen.forget_oldest(1))
        # Public clients first: no number of them may have a private one, which perhaps
        # pays what it is sent, get an event twice.
        if self._seen_public > settings.seen_ids_total * settings.public_share:
            self._forget_some(is_public=True)
        elif self._seen_total > settings.seen_ids_total:
            self._forget_some(is_public=False)

    def _forget_some(self, *, is_public: bool) -> None:
        feeds = [feed for feed in self._feeds.values() if feed.is_public == is_public]
        largest = max(feeds, key=lambda item: len(item.seen))
        forgotten = largest.seen.forget_oldest(len(largest.seen) // 10 + 1)
        self._count_seen(largest, -forgotten)

    # Polling API for other extensions (WebSocket clients do not use it)

    def has_events(self) -> bool:
        """Return whether an event waits for `get_event`."""
        return bool(self.in_process.events)

    def get_event(self) -> EventMessage:
        """Remove and return the oldest event of subscriptions opened in this process.

        Raises `IndexError` if there is none.
        """
        return self.in_process.events.popleft()

    def has_notices(self) -> bool:
        """Return whether a notice waits for `get_notice`."""
        return bool(self.in_process.notices)

    def get_notice(self) -> NoticeMessage:
        """Remove and return the oldest notice. Raises `IndexError` if there is none."""
        return self.in_process.notices.popleft()

    def has_eose_notices(self) -> bool:
        """Return whether an EOSE waits for `get_eose_notice`."""
        return bool(self.in_process.eose_notices)

    def get_eose_notice(self) -> EndOfStoredEventsMessage:
        """Remove and return the oldest EOSE. Raises `IndexError` if there is none."""
        return self.in_process.eose_notices.popleft()
