"""Mailboxes: deliveries of the relays' threads wait for a consumer, within limits."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from weakref import WeakSet

from .delivery import Delivered, Delivery, Reply

ITEM_BYTES = 200  # of an item in a mailbox, without its event's text


class Budget:
    """A number of bytes that many mailboxes share."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._used = 0
        self._mailboxes: WeakSet[Mailbox] = WeakSet()
        self._lock = Lock()

    def share(self, mailbox: Mailbox) -> None:
        """Add a mailbox that shares these bytes."""
        with self._lock:
            self._mailboxes.add(mailbox)

    def fullest(self) -> Mailbox | None:
        """Return the mailbox with the most waiting bytes."""
        with self._lock:
            mailboxes = list(self._mailboxes)
        return max(mailboxes, key=lambda item: item.waiting_bytes, default=None)

    @property
    def used_bytes(self) -> int:
        """How many bytes wait in all mailboxes together."""
        return self._used

    def take(self, size: int) -> bool:
        """Reserve `size` bytes; return False if there are too few."""
        with self._lock:
            if self._used + size > self.total_bytes:
                return False
            self._used += size
            return True

    def give_back(self, size: int) -> None:
        """Release `size` bytes."""
        with self._lock:
            self._used -= size


class Mailbox:
    """One consumer's ordered stream between the relays' threads and its own loop.

    It is bounded in bytes. On overflow it drops everything, accepts no more items and
    sets `overflowed`, because a consumer must not miss items silently. `wake` is
    called, from any thread, when the consumer should call `take_all`. `arrived_at` is
    when the oldest waiting event arrived from its relay, None if no event waits.
    """

    def __init__(
        self, wake: Callable[[], None], max_bytes: int, budget: Budget
    ) -> None:
        self.overflowed = False
        self.arrived_at: float | None = None
        self._wake = wake
        self._max_bytes = max_bytes
        self._budget = budget
        self._items: list[Delivery] = []
        self._bytes = 0
        self._taken_bytes = 0
        self._held_bytes = 0
        self._awake = False
        self._closed = False
        self._lock = Lock()
        budget.share(self)

    def put(self, item: Delivery) -> None:
        """Add an item and wake the consumer."""
        self.put_later(item)
        self.flush()

    def put_later(self, item: Delivery) -> None:
        """Add an item; call `flush` at the end of the burst."""
        size = ITEM_BYTES
        if isinstance(item, Delivered):
            size += item.event.memory_bytes
        elif isinstance(item, Reply):
            size += len(item.text)
        while not self._put(item, size):
            # This mailbox has room, but all of them together do not. Close the client
            # that is furthest behind, not one that keeps up.
            fullest = self._budget.fullest()
            if fullest is None or fullest.waiting_bytes <= self.waiting_bytes:
                self._overflow()
            else:
                fullest._overflow()
                fullest.flush()

    def _put(self, item: Delivery, size: int) -> bool:
        """Add an item; return False if all mailboxes together have no room for it."""
        with self._lock:
            if self._closed or self.overflowed:
                return True
            waiting = self._bytes + self._taken_bytes + self._held_bytes
            if waiting + size <= self._max_bytes:
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
            self._awake = False  # so that `flush` wakes the consumer again
            self._drop_all()

    def _drop_all(self) -> None:
        self._items = []
        self._budget.give_back(self.waiting_bytes)
        self._bytes = self._taken_bytes = self._held_bytes = 0

    def flush(self) -> None:
        """Wake the consumer if items wait and it was not woken yet."""
        with self._lock:
            if self._awake or not (self._items or self.overflowed) or self._closed:
                return
            self._awake = True
        self._wake()

    def take_all(self, held_bytes: int = 0) -> list[Delivery]:
        """Remove and return all items.

        They count as waiting until the next call, because the consumer is still sending
        them. So do the `held_bytes` of earlier items that the consumer still holds.
        """
        with self._lock:
            items, self._items = self._items, []
            if self._closed or self.overflowed:
                held_bytes = 0
            self._budget.give_back(self._taken_bytes + self._held_bytes - held_bytes)
            self._held_bytes = held_bytes
            self._taken_bytes, self._bytes = self._bytes, 0
            self._awake = False
            return items

    def close(self) -> None:
        """Drop all items and accept no more."""
        with self._lock:
            self._closed = True
            self._drop_all()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the consumer or are being sent to it."""
        return self._bytes + self._taken_bytes + self._held_bytes
