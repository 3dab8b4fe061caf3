"""Delays before attempt n: doubling, capped, with full jitter."""

from __future__ import annotations


def ceiling(attempt: int, first_seconds: float, max_seconds: float) -> float:
    """Return the longest delay before attempt `attempt` (1, 2, …), in seconds."""
    return float(min(max_seconds, first_seconds * 2 ** min(max(attempt, 1) - 1, 32)))


def delay(
    attempt: int, first_seconds: float, max_seconds: float, jitter: float
) -> float:
    """Return the delay before attempt `attempt`, in seconds.

    `jitter` is a random number from [0, 1). With full jitter the delay is anything from
    zero to the ceiling, so that clients do not return to a relay all at once.
    """
    return ceiling(attempt, first_seconds, max_seconds) * jitter
