"""How long to wait before attempt n: doubling, capped, with full jitter."""

from __future__ import annotations


def ceiling(attempt: int, first_seconds: float, max_seconds: float) -> float:
    """Give the longest wait before attempt `attempt` (1, 2, …), in seconds."""
    return float(min(max_seconds, first_seconds * 2 ** min(max(attempt, 1) - 1, 32)))


def delay(
    attempt: int, first_seconds: float, max_seconds: float, jitter: float
) -> float:
    """Give the wait before attempt `attempt`, in seconds.

    `jitter` is a random number from [0, 1). Full jitter: anything between nothing and
    the ceiling, so that relays which went down together do not see everybody return in
    the same instant.
    """
    return ceiling(attempt, first_seconds, max_seconds) * jitter
