"""Where what relays' threads deliver waits for a consumer, bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from weakref import WeakSet

from .delivery import Delivered, Delivery, Reply

ITEM_BYTES = 200  # of an item in a mailbox, its event's text apart


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
    from any thread, when the consumer is to come and `take_all`. `arrived_at` is when
    the oldest event that waits came from its relay, None where none does.
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
            if self.waiting_bytes + size <= self._max_bytes:
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
        self._budget.give_back(self.waiting_bytes)
        self._bytes = self._taken_bytes = self._held_bytes = 0

    def flush(self) -> None:
        """Wake the consumer if there is something to take and it was not woken yet."""
        with self._lock:
            if self._awake or not (self._items or self.overflowed) or self._closed:
                return
            self._awake = True
        self._wake()

    def take_all(self, held_bytes: int = 0) -> list[Delivery]:
        """Take everything there is.

        It counts as waiting until the next call: whoever takes it is still sending it.
        So do the `held_bytes` of what was taken before and is still held.
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
        """Drop everything and take nothing more."""
        with self._lock:
            self._closed = True
            self._drop_all()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the consumer or are being sent to it."""
        return self._bytes + self._taken_bytes + self._held_bytes
