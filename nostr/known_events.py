"""The newest events that a subscription was given, to compare with a relay's (NIP-77).

A subscription remembers date and id of what it was given, so that a relay can be asked
for what it has more. Memory is bounded: of too many events the older half is forgotten.
From `floor` on nothing was forgotten; only that part can be compared.
"""

from __future__ import annotations

from .negentropy import Item


class KnownBudget:
    """How many events all subscriptions together may remember, and how many they do."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0


class KnownEvents:
    """Date and id of the events given to one subscription, at most `most`.

    `floor` is in Unix seconds: every event given that is dated from then on is here.
    One thread at a time adds; any thread may read.
    """

    __slots__ = ("_budget", "_events", "_most", "floor")

    def __init__(self, budget: KnownBudget, most: int) -> None:
        self.floor = 0
        self._budget = budget
        self._most = most
        self._events: list[tuple[int, str, int]] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, created_at: int, event_id: str, filter_number: int) -> None:
        """Remember an event; `filter_number` is the place of a filter it matches."""
        if created_at < self.floor:
            return
        events, budget = self._events, self._budget
        events.append((created_at, event_id, filter_number))
        budget.count += 1
        if len(events) > self._most or budget.count > budget.most:
            self._forget_older_half()

    def items(self, filter_number: int) -> tuple[int, list[Item]]:
        """Return `floor`, and the events remembered for one of the filters."""
        # In this order: an event that is forgotten meanwhile is below the floor.
        events = list(self._events)
        return self.floor, [
            (created_at, bytes.fromhex(event_id))
            for created_at, event_id, number in events
            if number == filter_number
        ]

    def clear(self) -> None:
        """Forget all events: their subscription is closed."""
        self._budget.count -= len(self._events)
        self._events = []

    def _forget_older_half(self) -> None:
        events = sorted(self._events, reverse=True)
        kept = len(events) // 2
        floor = events[kept][0] + 1
        while kept and events[kept - 1][0] < floor:
            kept -= 1
        self._budget.count -= len(events) - kept
        self.floor = max(self.floor, floor)
        self._events = events[:kept]
