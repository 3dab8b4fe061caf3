"""The figures of rule I3: delays of events, and events that were found late.

Each value is written by few threads without a lock. An increment may be lost when two
of them write at the same moment; a lock for each event would cost more than that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

LATEST_KEPT = 500

DELAY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
WORK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
ANSWER_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Histogram:
    """Durations in seconds, counted by upper bounds as Prometheus does.

    `quantile` looks at the latest values only, so that it follows what happens now.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.count = 0
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)
        self._latest: deque[float] = deque(maxlen=LATEST_KEPT)

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.count += 1
        self.total += seconds
        self._latest.append(seconds)

    def cumulative(self) -> list[int]:
        """Return how many durations are within each bound; the last one is all."""
        found, total = [], 0
        for count in self._counts:
            total += count
            found.append(total)
        return found

    def quantile(self, share: float) -> float | None:
        """Return the duration within which a share of the latest is; None: no value."""
        latest = sorted(self._latest.copy())
        if not latest:
            return None
        return latest[min(len(latest) - 1, int(share * len(latest)))]


class Recovery(Enum):
    """The way in which an event was found that no live subscription delivered."""

    RECONNECT = "reconnect"  # asked for again after an interruption
    REFRESH = "refresh"  # asked for again on a connection that was silent
    PAGE = "page"  # behind the end of an answer that a relay cut
    RECONCILIATION = "reconciliation"  # compared with what a relay holds (NIP-77)


@dataclass
class Figures:
    """The measurements of all relays and clients since this code was loaded.

    `discovery` is from an event's `created_at` to its delivery, `processing` from the
    arrival of a relay's bytes to the client's socket, `answer` from an EVENT to the
    relay's OK, `stored` from a REQ to the relay's EOSE.
    """

    discovery: Histogram = field(default_factory=lambda: Histogram(DELAY_SECONDS))
    processing: Histogram = field(default_factory=lambda: Histogram(WORK_SECONDS))
    answer: Histogram = field(default_factory=lambda: Histogram(ANSWER_SECONDS))
    stored: Histogram = field(default_factory=lambda: Histogram(ANSWER_SECONDS))
    recovered: dict[Recovery, int] = field(
        default_factory=lambda: dict.fromkeys(Recovery, 0)
    )

    def delivered(
        self, created_at: int, wall: float, opened: float, recovery: Recovery | None
    ) -> None:
        """Count an event that was delivered for the first time.

        Only events that were created while their subscription was open have a discovery
        delay. A clock that is ahead of ours makes it 0.
        """
        if created_at >= int(opened):  # events have whole seconds
            self.discovery.observe(max(0.0, wall - created_at))
        if recovery is not None:
            self.recovered[recovery] += 1
