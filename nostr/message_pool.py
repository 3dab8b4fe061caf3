"""The inbound crossing: what relays send becomes what consumers are delivered.

Relay threads hand events in; each subscription's consumer gets every event once, after
it was verified and found to match. This is where threads end: a consumer is given a
`wake` callable and is woken once per burst.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple
from weakref import WeakSet

from .delivery import Consumer, Delivered, Delivery, Eose, Notice, Reply
from .event import SignedEvent
from .filter import Filter, TagValues, matches_any
from .settings import MIB, Settings

ITEM_BYTES = 200  # of an item in a mailbox, its event's text apart
EVENT_OVERHEAD_BYTES = 1000  # of a parsed event in the cache, its text apart


class EventMessage(NamedTuple):
    """An event for a subscription opened in this process; `event` is JSON text."""

    event: str
    event_id: str
    subscription_id: str
    url: str


class NoticeMessage(NamedTuple):
    """A NOTICE of a relay."""

    content: str
    url: str


class EndOfStoredEventsMessage(NamedTuple):
    """An EOSE for a subscription opened in this process."""

    subscription_id: str
    url: str


class Budget:
    """Bytes that many mailboxes share."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._used = 0
        self._mailboxes: WeakSet[Mailbox] = WeakSet()
        self._lock = Lock()

    def share(self, mailbox: Mailbox) -> None:
        """Let a mailbox take part."""
        with self._lock:
            self._mailboxes.add(mailbox)

    def fullest(self) -> Mailbox | None:
        """Give the mailbox in which the most waits."""
        with self._lock:
            mailboxes = list(self._mailboxes)
        return max(mailboxes, key=lambda item: item.waiting_bytes, default=None)

    @property
    def used_bytes(self) -> int:
        """How many bytes wait in all mailboxes together."""
        return self._used

    def take(self, size: int) -> bool:
        """Take `size` bytes; False where they are not to be had."""
        with self._lock:
            if self._used + size > self.total_bytes:
                return False
            self._used += size
            return True

    def give_back(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._lock:
            self._used -= size


class Mailbox:
    """One consumer's ordered stream between the relays' threads and its own loop.

    Bounded in bytes: one that overflows drops everything, takes nothing more and says
    so by `overflowed`; losing a part in silence is not an option. `wake` is called,
    from any thread, when the consumer is to come and `take_all`.
    """

    def __init__(
        self, wake: Callable[[], None], max_bytes: int, budget: Budget
    ) -> None:
        self.overflowed = False
        self._wake = wake
        self._max_bytes = max_bytes
        self._budget = budget
        self._items: list[Delivery] = []
        self._bytes = 0
        self._taken_bytes = 0
        self._awake = False
        self._closed = False
        self._lock = Lock()
        budget.share(self)

    def put(self, item: Delivery) -> None:
        """Add an item and wake the consumer."""
        self.put_later(item)
        self.flush()

    def put_later(self, item: Delivery) -> None:
        """Add an item; `flush` is to follow at the end of the burst."""
        size = ITEM_BYTES
        if isinstance(item, Delivered):
            size += item.event.memory_bytes
        elif isinstance(item, Reply):
            size += len(item.text)
        while not self._put(item, size):
            # There is room here, but not for all clients together: who keeps up must
            # not be closed for those who do not.
            fullest = self._budget.fullest()
            if fullest is None or fullest.waiting_bytes <= self.waiting_bytes:
                self._overflow()
            else:
                fullest._overflow()
                fullest.flush()

    def _put(self, item: Delivery, size: int) -> bool:
        """Add an item; False where all mailboxes together leave no room for it."""
        with self._lock:
            if self._closed or self.overflowed:
                return True
            if self._bytes + self._taken_bytes + size <= self._max_bytes:
                if not self._budget.take(size):
                    return False
                self._items.append(item)
                self._bytes += size
                return True
        self._overflow()
        return True

    def _overflow(self) -> None:
        with self._lock:
            if self._closed or self.overflowed:
                return
            self.overflowed = True
            self._awake = False  # the consumer must hear of it, whatever it is doing
            self._drop_all()

    def _drop_all(self) -> None:
        self._items = []
        self._budget.give_back(self._bytes + self._taken_bytes)
        self._bytes = self._taken_bytes = 0

    def flush(self) -> None:
        """Wake the consumer if there is something to take and it was not woken yet."""
        with self._lock:
            if self._awake or not (self._items or self.overflowed) or self._closed:
                return
            self._awake = True
        self._wake()

    def take_all(self) -> list[Delivery]:
        """Take everything there is.

        It counts as waiting until the next call: whoever takes it is still sending it.
        """
        with self._lock:
            items, self._items = self._items, []
            self._budget.give_back(self._taken_bytes)
            self._taken_bytes, self._bytes = self._bytes, 0
            self._awake = False
            return items

    def close(self) -> None:
        """Drop everything and take nothing more."""
        with self._lock:
            self._closed = True
            self._drop_all()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the consumer or are being sent to it."""
        return self._bytes + self._taken_bytes


class SeenIds:
    """The ids delivered to one subscription, the newest so many of them."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._order: deque[bytes] = deque(keys)
        self._ids: set[bytes] = set(self._order)

    def keys(self) -> list[bytes]:
        """Give what another `SeenIds` begins with to know the same ids."""
        return list(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, event_id: str) -> bool:
        return bytes.fromhex(event_id)[:16] in self._ids

    def add(self, event_id: str) -> bool:
        """Add an id; False if it was there."""
        key = bytes.fromhex(event_id)[:16]  # 128 bits tell ids apart, in half the room
        if key in self._ids:
            return False
        self._ids.add(key)
        self._order.append(key)
        return True

    def forget_oldest(self, count: int) -> int:
        """Forget the oldest ids; tells how many there were to forget."""
        count = min(count, len(self._order))
        for _ in range(count):
            self._ids.discard(self._order.popleft())
        return count


class Feed:
    """One open subscription: its filters, who takes its events, what it was given.

    `is_public`: its client came by the public endpoint.
    """

    def __init__(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        seen: Iterable[bytes] = (),
        *,
        is_public: bool = False,
    ) -> None:
        self.upstream_id = upstream_id
        self.filters = filters
        self.consumer = consumer
        self.is_public = is_public
        self.seen = SeenIds(seen)

    def delivered(self, event_id: str) -> bool:
        """Whether the event was delivered already."""
        return event_id in self.seen


class VerifiedCache:
    """Verified events by their exact text, so that copies need no parsing at all."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: OrderedDict[str, SignedEvent] = OrderedDict()
        self._lock = Lock()

    def verify(self, text: str) -> SignedEvent:
        """Give the event with exactly this text, checked now or lately.

        Raises `InvalidEvent`.
        """
        event = self._events.get(text)
        if event is None:
            event = SignedEvent.parse(text)
            self.add(text, event)
        return event

    def add(self, text: str, event: SignedEvent) -> None:
        """Remember a verified event by the text in which it came."""
        with self._lock:
            if text in self._events:
                return
            self._events[text] = event
            self._bytes += _cached_bytes(text, event)
            while self._bytes > self._max_bytes:
                oldest = self._events.popitem(last=False)
                self._bytes -= _cached_bytes(*oldest)


def _cached_bytes(text: str, event: SignedEvent) -> int:
    # Where the event was written anew, two texts are kept.
    other_text = 0 if text == event.text else len(text)
    return event.memory_bytes + other_text + EVENT_OVERHEAD_BYTES


class MessagePool:
    """The feeds of all open subscriptions, and the queues of those in this process.

    Relays' threads take `turn`s at what they have read, some messages each. Side by
    side they would fight for the interpreter at every signature, and check the same
    event several times; in turn, all but the first find it checked. It is the outermost
    lock: nobody waits for it who holds another one, or for anything else within it.
    """

    def __init__(self, settings: Settings) -> None:
        self.verified = VerifiedCache(settings.verified_cache_bytes)
        # Two, so that public clients who do not read never close a private one.
        self.budget = Budget(0)
        self.public_budget = Budget(0)
        self.in_process = InProcessQueues()
        self.turn = Lock()
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._seen_total = 0
        self._seen_public = 0
        self._lock = Lock()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Go by other numbers from now on."""
        self._settings = settings
        total_bytes = settings.mailboxes_total_bytes
        public_bytes = int(total_bytes * settings.public_share)
        self.public_budget.total_bytes = public_bytes
        self.budget.total_bytes = total_bytes - public_bytes

    # Subscriptions

    def open(self, feed: Feed) -> None:
        """Add a subscription's feed."""
        with self._lock:
            self._feeds[feed.upstream_id] = feed
            self._count_seen(feed, len(feed.seen))

    def close(self, upstream_id: str) -> Feed | None:
        """Remove a subscription's feed, and give it."""
        with self._lock:
            feed = self._feeds.pop(upstream_id, None)
            if feed is not None:
                self._count_seen(feed, -len(feed.seen))
            return feed

    def feed(self, upstream_id: str) -> Feed | None:
        """Give a subscription's feed; None where it is closed."""
        return self._feeds.get(upstream_id)

    def seen_keys(self, upstream_id: str) -> list[bytes]:
        """Give the keys of what was delivered to a subscription."""
        with self._lock:
            feed = self._feeds.get(upstream_id)
            return feed.seen.keys() if feed is not None else []

    @property
    def feed_count(self) -> int:
        """How many subscriptions are open."""
        return len(self._feeds)

    @property
    def seen_total(self) -> int:
        """How many delivered ids are remembered, over all subscriptions."""
        return self._seen_total

    # Events

    def deliver(
        self,
        upstream_ids: Iterable[str],
        event: SignedEvent,
        relay_url: str,
        touched: set[Mailbox],
    ) -> bool:
        """Give a verified event to each subscription that matches it, once.

        Mailboxes are not woken but added to `touched`. Tells whether anybody got it.
        """
        given = False
        tags = TagValues(event)
        for upstream_id in upstream_ids:
            feed = self._feeds.get(upstream_id)
            if feed is None or event.id in feed.seen:
                continue
            if not matches_any(feed.filters, event, tags):
                continue
            # Putting under the lock keeps what a close promises: nothing comes after.
            with self._lock:
                if self._feeds.get(upstream_id) is not feed:
                    continue
                if not feed.seen.add(event.id):
                    continue
                self._count_seen(feed, 1)
                self._bound_seen(feed)
                item = Delivered(upstream_id, event, relay_url)
                if isinstance(feed.consumer, Mailbox):
                    feed.consumer.put_later(item)
                    touched.add(feed.consumer)
                else:
                    feed.consumer.put(item)
            given = True
        return given

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

    # What nobody in particular waits for; kept for code that polls

    def has_events(self) -> bool:
        """Whether an event waits for `get_event`."""
        return bool(self.in_process.events)

    def get_event(self) -> EventMessage:
        """Take the oldest event of the subscriptions opened in this process.

        Raises `IndexError` where there is none.
        """
        return self.in_process.events.popleft()

    def has_notices(self) -> bool:
        """Whether a notice waits for `get_notice`."""
        return bool(self.in_process.notices)

    def get_notice(self) -> NoticeMessage:
        """Take the oldest notice. Raises `IndexError` where there is none."""
        return self.in_process.notices.popleft()

    def has_eose_notices(self) -> bool:
        """Whether an EOSE waits for `get_eose_notice`."""
        return bool(self.in_process.eose_notices)

    def get_eose_notice(self) -> EndOfStoredEventsMessage:
        """Take the oldest EOSE. Raises `IndexError` where there is none."""
        return self.in_process.eose_notices.popleft()


class Bound:
    """Keeps what waits for somebody who may never come below a number of bytes.

    Others take from the front of the same list as they please, so that it is counted
    anew, once in a while.
    """

    def __init__(self, most_bytes: int = 64 * MIB) -> None:
        self._most_bytes = most_bytes
        self._added = 0

    def added(
        self, text: str, events: list[EventMessage] | deque[EventMessage]
    ) -> None:
        """Drop the oldest where, with the one just added, they are too much."""
        self._added += sys.getsizeof(text)
        if self._added < self._most_bytes // 8:
            return
        self._added = 0
        sizes = [sys.getsizeof(item.event) for item in list(events)]
        total = sum(sizes)
        for size in sizes:
            if total <= self._most_bytes:
                return
            total -= size
            with suppress(IndexError):  # somebody took it just now
                del events[0]


class InProcessQueues:
    """The consumer of subscriptions opened in this process: three bounded queues.

    The oldest are dropped first where nobody takes them. `subscription_ids` gives the
    id under which other code knows a subscription, by ours.
    """

    def __init__(self, most: int = 10_000) -> None:
        self.events: deque[EventMessage] = deque(maxlen=most)
        self.notices: deque[NoticeMessage] = deque(maxlen=most)
        self.eose_notices: deque[EndOfStoredEventsMessage] = deque(maxlen=most)
        self.subscription_ids: dict[str, str] = {}
        self._bound = Bound()
        self.wake: Callable[[], None] | None = None

    def put(self, item: Delivery) -> None:
        """Take a delivery."""
        if isinstance(item, Notice):
            self.notices.append(NoticeMessage(item.message, item.relay_url))
        elif isinstance(item, Delivered | Eose):
            subscription_id = self.subscription_ids.get(item.upstream_id)
            if subscription_id is None:
                return
            if isinstance(item, Delivered):
                event = item.event
                self.events.append(
                    EventMessage(event.text, event.id, subscription_id, item.relay_url)
                )
                self._bound.added(event.text, self.events)
            else:
                self.eose_notices.append(
                    EndOfStoredEventsMessage(subscription_id, item.relay_url)
                )
        else:
            return
        wake = self.wake
        if wake is not None:
            wake()
