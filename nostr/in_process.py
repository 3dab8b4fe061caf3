"""Queues for the subscriptions of other extensions, which poll them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from .delivery import Delivered, Delivery, Eose, Notice
from .relay_url import url_of
from .settings import DEFAULTS, Settings


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
    """Keeps a queue that nobody may ever empty below a number of bytes.

    Other code removes items from the front of the same list at any time. So the bytes
    are counted again once in a while.
    """

    def __init__(self, max_bytes: int = DEFAULTS.in_process_bytes) -> None:
        self._max_bytes = max_bytes
        self._added = 0

    def added(
        self, text: str, events: list[EventMessage] | deque[EventMessage]
    ) -> None:
        """Drop the oldest events if the one just added is too much."""
        self._added += sys.getsizeof(text)
        if self._added < self._max_bytes // 8:
            return
        self._added = 0
        sizes = [sys.getsizeof(item.event) for item in list(events)]
        total = sum(sizes)
        for size in sizes:
            if total <= self._max_bytes:
                return
            total -= size
            with suppress(IndexError):  # other code removed it just now
                del events[0]


class InProcessQueues:
    """The consumer of subscriptions opened in this process: three bounded queues.

    The oldest items are dropped first. `subscription_ids` maps our ids to those that
    the other extensions chose.
    """

    def __init__(self, settings: Settings = DEFAULTS) -> None:
        self.events: deque[EventMessage] = deque()
        self.notices: deque[NoticeMessage] = deque()
        self.eose_notices: deque[EndOfStoredEventsMessage] = deque()
        self.subscription_ids: dict[str, str] = {}
        self.wake: Callable[[], None] | None = None
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Apply other limits; call it while no relay is running."""
        max_events = settings.in_process_events
        self.events = deque(self.events, max_events)
        self.eose_notices = deque(self.eose_notices, max_events)
        self.notices = deque(self.notices, settings.in_process_notices)
        self._limit = ByteLimit(settings.in_process_bytes)

    def put(self, item: Delivery) -> None:
        """Add a delivery to its queue."""
        if isinstance(item, Notice):
            self.notices.append(NoticeMessage(item.message, item.relay_url))
        elif isinstance(item, Delivered | Eose):
            subscription_id = self.subscription_ids.get(item.upstream_id)
            if subscription_id is None:
                return
            url = url_of(item.relay_url)
            if isinstance(item, Delivered):
                event = item.event
                self.events.append(
                    EventMessage(event.text, event.id, subscription_id, url)
                )
                self._limit.added(event.text, self.events)
            else:
                self.eose_notices.append(EndOfStoredEventsMessage(subscription_id, url))
        else:
            return
        wake = self.wake
        if wake is not None:
            wake()
