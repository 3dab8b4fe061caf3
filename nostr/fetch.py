"""Completes an answer that a relay cut: pages with `until` (NIP-01).

Relays limit their answers to a few hundred events per filter and do not say so. So each
window is requested again, alone, ending where the last answer ended, until an answer is
short. A relay that answers oldest first, as some do where there is no `limit`, is asked
for the newest with one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from .event import SignedEvent
from .filter import Filter, TagValues, matches_any
from .settings import DEFAULTS


class Fetch:
    """The stored events of some filters, fetched page by page.

    `filters` were sent in one REQ, together with `others`. An answer of `page_events`
    or more may have been cut; `most` are asked for where a `limit` is needed. After
    `pages` pages the fetch ends, even if the relay always has more.
    """

    def __init__(
        self,
        filters: Sequence[Filter],
        others: Sequence[Filter],
        page_events: int,
        pages: int,
        most: int = DEFAULTS.assumed_max_limit,
    ) -> None:
        self._filters = list(filters)
        self._others = list(others)
        self._ends = [_End(page_events) for _ in self._filters]
        self._page_events = page_events
        self._pages_left = pages
        self._most = most
        self._received = 0
        self._todo: deque[tuple[Filter, int | None]] = deque()
        self._page: tuple[Filter, int | None] | None = None
        self.skipped_second: int | None = None
        """A second of which the relay holds more than it returns at once, if any."""

    def event(self, event: SignedEvent) -> None:
        """Handle an event of the answer, or of the current page.

        In an answer to several filters, only an event that matches a single filter
        shows how far back the answer to that filter reached.
        """
        tags = TagValues(event)
        matching = [
            end
            for filter_, end in zip(self._filters, self._ends, strict=True)
            if filter_.matches(event, tags)
        ]
        if matching:
            self._received += 1
        if len(matching) == 1 and not matches_any(self._others, event, tags):
            matching[0].note(event.created_at)

    def next_page(self) -> Filter | None:
        """Return the filter of the next page once an answer is complete; None: done."""
        looks_cut = self._received >= self._page_events
        if self._page is not None:
            if looks_cut:
                self._go_on(*self._page)
        elif looks_cut:
            for filter_, end in zip(self._filters, self._ends, strict=True):
                if end.is_oldest_first:
                    self._todo.append((filter_.changed(limit=self._most), None))
                else:
                    self._todo.append((filter_, end.next_until(None)))
        while self._todo and self._pages_left > 0:
            filter_, until = self._page = self._todo.popleft()
            if until is not None and until < (filter_.since or 0):
                continue
            page = filter_ if until is None else filter_.changed(until=until)
            self._pages_left -= 1
            self._filters, self._others = [page], []
            self._ends = [_End(self._page_events)]
            self._received = 0
            return page
        return None

    def _go_on(self, filter_: Filter, until: int | None) -> None:
        """Fetch what lies behind a page, and the rest of a second that filled it."""
        next_until = self._ends[0].next_until(until)
        if until is None or (next_until is not None and next_until < until):
            self._todo.appendleft((filter_, next_until))
        if until is None or not self._ends[0].is_one_second(until):
            return
        second = filter_.changed(since=until, until=until)
        halves = second.halves()
        if halves and filter_.since is not None:
            self._todo.extendleft((half, until) for half in halves)
        else:
            self.skipped_second = until


class _End:
    """The end of an answer.

    Relays answer newest first. The oldest event is no reliable boundary: a live event
    that is dated back may have arrived meanwhile, and everything between it and the
    real end would be skipped. An event out of order is such a live event. One that
    arrived last cannot be told, so the end lies some events before the last one; the
    page fetches those few again.
    """

    def __init__(self, page_events: int) -> None:
        self._margin = max(1, page_events // 2)
        self._instants: list[int] = []

    def note(self, created_at: int) -> None:
        self._instants.append(created_at)

    @property
    def is_oldest_first(self) -> bool:
        """Return whether the answer ascends."""
        ascent = _longest_descent([-instant for instant in self._instants])
        return len(ascent) > len(_longest_descent(self._instants))

    def is_one_second(self, second: int) -> bool:
        """Return whether all events of the answer are of this second."""
        return bool(self._instants) and min(self._instants) == second

    def next_until(self, until: int | None) -> int | None:
        # The second in which it ended is fetched again, as the cut may have gone
        # through it; but only once.
        if len(self._instants) < self._margin:
            return until
        in_order = _longest_descent(self._instants)
        if 2 * len(in_order) < len(self._instants):  # it does not answer newest first
            in_order = sorted(self._instants, reverse=True)
            end = in_order[len(in_order) // 2]
        else:
            end = in_order[-min(self._margin, len(in_order))]
        return end if until is None or end < until else until - 1


def _longest_descent(instants: Sequence[int]) -> list[int]:
    """Return the longest part of a sequence that never ascends."""
    ends: list[int] = []  # the smallest negated end of a descent of each length
    numbers: list[int] = []
    before: list[int] = []
    for number, instant in enumerate(instants):
        place = bisect_right(ends, -instant)
        before.append(numbers[place - 1] if place else -1)
        if place == len(ends):
            ends.append(-instant)
            numbers.append(number)
        else:
            ends[place], numbers[place] = -instant, number
    found: list[int] = []
    number = numbers[-1] if numbers else -1
    while number >= 0:
        found.append(instants[number])
        number = before[number]
    return found[::-1]
