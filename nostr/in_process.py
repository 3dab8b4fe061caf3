"""What subscriptions opened in this process get: queues, for code that polls them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from .delivery import Delivered, Delivery, Eose, Notice
from .settings import MIB


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


class ByteLimit:
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
        self._bound = ByteLimit()
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
