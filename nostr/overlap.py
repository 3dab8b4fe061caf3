"""Overlap windows: what to ask a relay for after a time in which events may pass by.

A subscription that a relay had already answered is asked again with two kinds of
filters (NIP-01). The client's own filters with `limit: 1` keep the live stream exactly
as wide as the client asked; were their `since` moved instead, live events that carry an
older `created_at` would silently stay out. The same filters with `since` moved to the
overlap window, and without a limit, fetch what was missed. Gift wraps (kind 1059) carry
dates up to two days in the past (NIP-59), so they get a wider window of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .filter import Filter
from .settings import Settings

GIFT_WRAP_KIND = 1059


class Confirmation(NamedTuple):
    """When a relay last proved that it serves a subscription, by both clocks."""

    wall: float
    now: float

    def at(self, wall: float, now: float) -> float:
        """Return the instant in Unix seconds; the earlier one if the clock stepped."""
        return min(self.wall, wall - (now - self.now))


def first_filters(filters: Sequence[Filter]) -> list[Filter]:
    """Return the filters for a relay that has not answered them yet.

    They are the client's own, but for `limit: 0`: some relays answer that with no EOSE,
    others ignore the whole REQ. They are asked for one event, which is not delivered.
    """
    return [
        filter_.changed(limit=1) if filter_.limit == 0 else filter_
        for filter_ in filters
    ]


def late_filters(
    filters: Sequence[Filter], arrived: float, settings: Settings, *, is_late: bool
) -> list[Filter]:
    """Return the filters that fetch what came between a REQ and its first sending.

    A filter without `limit` fetches it by itself. One with `limit: 0` gets the window
    always: its first answer says what the relay held when the REQ arrived.
    """
    limited = [
        filter_
        for filter_ in filters
        if filter_.limit == 0 or (is_late and filter_.limit is not None)
    ]
    return gap_filters(limited, arrived, arrived, settings, unnamed_gift_wraps=True)


def live_filters(filters: Sequence[Filter]) -> list[Filter]:
    """Return the filters that keep the live stream open and fetch next to nothing."""
    return [filter_.changed(limit=1) for filter_ in filters]


def gap_filters(
    filters: Sequence[Filter],
    confirmed: float,
    arrived: float,
    settings: Settings,
    *,
    unnamed_gift_wraps: bool,
) -> list[Filter]:
    """Return the filters that fetch what a relay may hold and we may not have.

    `confirmed` is when the relay last proved that it serves the subscription, `arrived`
    when the REQ came, both in Unix seconds. The wide window of gift wraps is asked for
    where the filters can match kind 1059, or, without `unnamed_gift_wraps`, only where
    they name it.
    """
    gap: list[Filter] = []
    for filter_ in filters:
        earliest = filter_.since or 0
        if filter_.limit == 0:
            earliest = max(earliest, int(arrived - settings.overlap_seconds))
        start = max(earliest, int(confirmed - settings.overlap_seconds))
        wide_start = max(earliest, start - int(settings.gift_wrap_seconds))
        named = filter_.kinds is not None and GIFT_WRAP_KIND in filter_.kinds
        wide = named or (filter_.kinds is None and unnamed_gift_wraps)
        only_wide = wide and filter_.kinds == frozenset((GIFT_WRAP_KIND,))
        if not only_wide and not _ends_before(filter_, start):
            gap.append(filter_.changed(since=start, limit=None))
        wide = wide and (only_wide or wide_start < start)
        if wide and not _ends_before(filter_, wide_start):
            wide_gap = filter_.changed(since=wide_start, limit=None)
            gap.append(wide_gap.only_kind(GIFT_WRAP_KIND))
    return gap


def can_bring_news(
    filters: Sequence[Filter], confirmed: float, delivered: Callable[[str], bool]
) -> bool:
    """Return whether the filters can match events that were not delivered yet.

    They cannot where `until` lies before the last confirmation, or where all `ids` were
    delivered.
    """
    return any(
        not _ends_before(filter_, int(confirmed))
        and (filter_.ids is None or not all(map(delivered, filter_.ids)))
        for filter_ in filters
    )


def _ends_before(filter_: Filter, instant: int) -> bool:
    return filter_.until is not None and filter_.until < instant
