"""Completing an answer that a relay cut: pages with `until` (NIP-01).

Relays cut what they send to a few hundred events, without a word. So a window is asked
for again, ending where the last answer ended, until an answer is short.
"""

from __future__ import annotations

from collections.abc import Sequence

from .event import SignedEvent
from .filter import Filter, parse_filter


class Fetch:
    """The stored events of some filters, fetched page by page.

    `page_events` is the size from which an answer may have been cut, `pages` the number
    after which a relay that always has more is no longer believed.
    """

    def __init__(self, filters: Sequence[Filter], page_events: int, pages: int) -> None:
        self._filters = list(filters)
        self._until: list[int | None] = [None] * len(self._filters)
        self._page_events = page_events
        self._pages_left = pages
        self._ids: set[str] = set()
        self._received = 0
        self._new = 0

    def event(self, event: SignedEvent) -> None:
        """Note an event that came in the answer."""
        matched = False
        for index, filter_ in enumerate(self._filters):
            if filter_.matches(event):
                matched = True
                until = self._until[index]
                if until is None or event.created_at < until:
                    self._until[index] = event.created_at
        if matched:
            self._received += 1
            if event.id not in self._ids:
                self._ids.add(event.id)
                self._new += 1

    def next_page(self) -> list[Filter]:
        """Give the filters of the next page once an answer is complete; none: done.

        The page begins at the oldest event's second, as the cut may have gone through
        it; only where that second brought nothing new does it begin before it.
        """
        looks_cut = self._received >= self._page_events and self._pages_left > 0
        step_back = self._new == 0
        self._received = self._new = 0
        if not looks_cut:
            return []
        self._pages_left -= 1
        page: list[Filter] = []
        for index, filter_ in enumerate(self._filters):
            until = self._until[index]
            if until is not None and step_back:
                until = self._until[index] = until - 1
            if until is not None and until < (filter_.since or 0):
                continue
            changed = parse_filter(
                filter_.json if until is None else filter_.replaced(until=until)
            )
            if changed is not None:
                page.append(changed)
        return page
