"""The queue to a relay: clients take turns, each client's messages keep their order.

REQs and EVENTs of one client stand in one lane. A REQ that has to wait for the relay's
pace holds back the EVENTs behind it, so that the answer to an EVENT finds the
subscription that was opened for it; other lanes go on. Private clients' lanes come
before public ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .relay_subscription import RelaySubscription


class QueuedEvent(NamedTuple):
    """An EVENT on its way to the relay; `text` is the whole message."""

    event_id: str
    text: str
    queued_at: float


Item = RelaySubscription | QueuedEvent
Lane = dict[str, Item]


class Egress:
    """The messages that wait for one relay. Instants are those of `clock.now`."""

    def __init__(self, max_event_wait_seconds: float) -> None:
        self._max_event_wait = max_event_wait_seconds
        self._private: dict[object, Lane] = {}
        self._public: dict[object, Lane] = {}
        self._where: dict[str, tuple[dict[object, Lane], object]] = {}
        self._events: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    @property
    def request_count(self) -> int:
        """How many REQs wait."""
        return len(self._where) - len(self._events)

    @property
    def event_count(self) -> int:
        """How many EVENTs wait."""
        return len(self._events)

    @property
    def event_ids(self) -> Iterable[str]:
        """The ids of the EVENTs that wait."""
        return self._events

    def add_request(self, subscription: RelaySubscription) -> None:
        """Add a REQ at the end of its client's lane; one that waits keeps its place."""
        lanes = self._public if subscription.is_public else self._private
        where = self._where.get(subscription.key)
        if where == (lanes, subscription.client):
            return
        self.discard(subscription.key)
        self._add(lanes, subscription.client, subscription.key, subscription)

    def add_event(
        self, client: object, event: QueuedEvent, *, is_public: bool = False
    ) -> None:
        """Add an EVENT at the end of its client's lane."""
        lanes = self._public if is_public else self._private
        if client in self._public or client in self._private:
            lanes = self._private if client in self._private else self._public
        self.discard(event.event_id)
        self._events[event.event_id] = event.queued_at
        self._add(lanes, client, event.event_id, event)

    def _add(
        self, lanes: dict[object, Lane], client: object, key: str, item: Item
    ) -> None:
        lanes.setdefault(client, {})[key] = item
        self._where[key] = (lanes, client)

    def discard(self, key: str) -> None:
        """Remove a message that need not be sent any more."""
        where = self._where.pop(key, None)
        if where is None:
            return
        self._events.pop(key, None)
        lanes, client = where
        lane = lanes[client]
        del lane[key]
        if not lane:
            del lanes[client]

    def clear(self) -> None:
        """Remove everything."""
        self._private.clear()
        self._public.clear()
        self._where.clear()
        self._events.clear()

    def take(self, now: float, may_request: Callable[[], bool]) -> Item | None:
        """Remove and return the next message; None where nothing may leave now.

        `may_request` is called once for each REQ that could leave, and counts it.
        """
        if not self._where:
            return None
        blocked = False
        for lanes in (self._private, self._public):
            for client in list(lanes) if self._events else list(_first(lanes)):
                lane = lanes[client]
                key, item = next(iter(lane.items()))
                if isinstance(item, RelaySubscription):
                    if not blocked and may_request():
                        return self._remove(lanes, client, key)
                    blocked = True
                    late = self._late_event(lane, now)
                    if late is not None:
                        return self._remove(lanes, client, late)
                else:
                    return self._remove(lanes, client, key)
            if blocked and not self._events:
                return None
        return None

    def _late_event(self, lane: Lane, now: float) -> str | None:
        for key, item in lane.items():
            if isinstance(item, QueuedEvent):
                is_late = now - item.queued_at >= self._max_event_wait
                return key if is_late else None
        return None

    def _remove(self, lanes: dict[object, Lane], client: object, key: str) -> Item:
        lane = lanes.pop(client)
        item = lane.pop(key)
        if lane:
            lanes[client] = lane  # at the end: the others have their turn first
        del self._where[key]
        self._events.pop(key, None)
        return item

    def next_late(self) -> float | None:
        """Return when the oldest EVENT stops waiting; None where none waits."""
        oldest = min(self._events.values(), default=None)
        return None if oldest is None else oldest + self._max_event_wait


def _first(lanes: dict[object, Lane]) -> Iterator[object]:
    for client in lanes:
        yield client
        return
