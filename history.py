"""A week of the relays' history, in rows of five minutes.

`Recorder` turns the counters of the relays into rows. `keep` writes a row for each
relay at the end of every slot; the functions below make bars, lines and incidents of
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from . import crud
from .models import (
    History,
    HistoryPoint,
    HistoryRow,
    Incident,
    RelayHistory,
    Uptime,
)
from .nostr import clock
from .nostr.log import logger
from .nostr.relay_record import RelayRecord
from .router import nostr_client

DAY_SECONDS = 24 * 60 * 60
WEEK_SECONDS = 7 * DAY_SECONDS
POINT_SECONDS = 3600
RELAY_POINT_SECONDS = 1800
MAX_INCIDENTS = 50
ROUND_TRIPS = 15


class Counts(NamedTuple):
    """A relay's counters at one instant; all but `connected` only grow."""

    connected: bool
    connections: int
    up_seconds: float
    received: int
    accepted: int
    refused: int
    closed: int

    @classmethod
    def of(cls, relay: RelayRecord) -> Counts:
        """Return the counters of a relay as they are now."""
        counters = relay.counters
        return cls(
            relay.connected,
            relay.connections,
            counters.up_seconds,
            counters.received_events,
            counters.accepted,
            counters.refused.total(),
            counters.closed.total(),
        )


NOTHING = Counts(False, 0, 0, 0, 0, 0, 0)


class Recorder:
    """Makes rows of what has changed since the sample before."""

    def __init__(self) -> None:
        self._before: dict[str, Counts] = {}
        self._sampled_at: float | None = None

    def sample(
        self, relays: Iterable[RelayRecord], wall: float, slot_seconds: float
    ) -> list[HistoryRow]:
        """Return a row for each relay, about the time since the last sample.

        The first sample only begins.
        """
        before, self._before = self._before, {}
        covered = 0 if self._sampled_at is None else round(wall - self._sampled_at)
        # A clock that was set, or a machine that slept: nobody knows what happened.
        is_usable = 0 < covered <= 2 * slot_seconds
        slot = int(((self._sampled_at or wall) // slot_seconds) * slot_seconds)
        rows = []
        for relay in relays:
            counts = self._before[relay.url] = Counts.of(relay)
            if is_usable:
                known = before.get(relay.url, NOTHING)
                rows.append(_row(relay, known, counts, slot, covered))
        self._sampled_at = wall
        return rows


def _row(
    relay: RelayRecord, before: Counts, counts: Counts, slot: int, covered: int
) -> HistoryRow:
    if counts.connections < before.connections:
        before = NOTHING  # it was removed and added again
    up = min(covered, round(counts.up_seconds - before.up_seconds))
    was_up = before.connected and counts.connected
    if was_up and counts.connections == before.connections:
        up = covered  # `up_seconds` lags behind on a quiet connection
    trips = relay.round_trips[-ROUND_TRIPS:] if relay.connected else []
    errors = relay.error_list
    return HistoryRow(
        slot=slot,
        relay=relay.url,
        seconds=covered,
        up=max(0, up),
        latency_ms=round(1000 * sorted(trips)[len(trips) // 2]) if trips else None,
        received=counts.received - before.received,
        accepted=counts.accepted - before.accepted,
        refused=counts.refused - before.refused,
        closed=counts.closed - before.closed,
        reason=errors[0][:200] if errors and up < covered else "",
    )


class _Latest:
    """The shares of the last day, for the figures; empty until the first slot ended."""

    uptimes: ClassVar[dict[str, float]] = {}


def uptime() -> float | None:
    """Return the mean share of the last 24 hours that relays were connected."""
    found = list(_Latest.uptimes.values())
    return round(sum(found) / len(found), 4) if found else None


async def keep() -> None:
    """Write the history, slot by slot, until cancelled."""
    recorder = Recorder()
    manager = nostr_client.relay_manager
    while True:
        settings = manager.settings
        length = settings.history_slot_seconds
        active = [relay for relay in list(manager.relays.values()) if relay.active]
        wall = clock.wall()
        rows = recorder.sample(active, wall, length)
        if settings.history_seconds:
            try:
                oldest = int(wall - settings.history_seconds)
                await crud.write_history(rows, oldest, settings.history_rows)
                _Latest.uptimes = await crud.get_uptimes(int(wall - DAY_SECONDS))
            except Exception as error:  # noqa: BLE001  # drivers raise their own
                logger.error(f"the history could not be stored: {error}")
        await asyncio.sleep(length - clock.wall() % length + 0.01)


async def of_all(now: float) -> History:
    """Return the history of all relays together."""
    since = int(now - WEEK_SECONDS)
    parts = await crud.get_history(since, POINT_SECONDS)
    day = await crud.get_uptimes(int(now - DAY_SECONDS))
    week = await crud.get_uptimes(since)
    known = nostr_client.relay_manager.relays.keys()
    return History(
        points=[_point(part["part"] * POINT_SECONDS, part) for part in parts],
        uptimes=[
            Uptime(url=url, day=_rounded(day.get(url)), week=_rounded(week.get(url)))
            for url in sorted(week.keys() & known)
        ],
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _point(at: int, sums: dict[str, int | float | None]) -> HistoryPoint:
    seconds = sums["seconds"] or 0
    latency = sums["latency_ms"]
    return HistoryPoint(
        at=at,
        uptime=round((sums["up"] or 0) / seconds, 4) if seconds else 0,
        latency_ms=None if latency is None else round(float(latency), 1),
        received=int(sums["received"] or 0),
        accepted=int(sums["accepted"] or 0),
        refused=int(sums["refused"] or 0),
    )


async def of_relay(url: str, now: float) -> RelayHistory:
    """Return the history of one relay."""
    rows = await crud.get_relay_history(url, int(now - WEEK_SECONDS))
    return RelayHistory(points=points(rows), incidents=incidents(rows))


def points(
    rows: Iterable[HistoryRow], width: int = RELAY_POINT_SECONDS
) -> list[HistoryPoint]:
    """Return sums of rows in parts of `width` seconds, oldest first."""
    parts: dict[int, list[HistoryRow]] = {}
    for row in rows:
        parts.setdefault(row.slot // width * width, []).append(row)
    found = []
    for at, members in sorted(parts.items()):
        latencies = [row.latency_ms for row in members if row.latency_ms is not None]
        sums: dict[str, int | float | None] = {
            name: sum(getattr(row, name) for row in members)
            for name in ("seconds", "up", "received", "accepted", "refused")
        }
        sums["latency_ms"] = sum(latencies) / len(latencies) if latencies else None
        found.append(_point(at, sums))
    return found


def incidents(rows: Iterable[HistoryRow]) -> list[Incident]:
    """Return the times in which a relay was down, newest first.

    Slots that follow each other, and in which it was down in part, are one incident.
    """
    found: list[Incident] = []
    reasons: Counter[str] = Counter()
    for row in rows:
        if row.up >= row.seconds:
            continue
        until, down = row.slot + row.seconds, row.seconds - row.up
        if found and row.slot - found[-1].until <= row.seconds // 2:
            found[-1].until = until
            found[-1].down_seconds += down
        else:
            reasons = Counter()
            found.append(
                Incident(since=row.slot, until=until, down_seconds=down, reason="")
            )
        if row.reason:
            reasons[row.reason] += 1
            found[-1].reason = reasons.most_common(1)[0][0]
    return found[::-1][:MAX_INCIDENTS]
