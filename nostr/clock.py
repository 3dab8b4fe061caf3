"""The two clocks: durations on a clock that never steps, dates in Unix seconds."""

from __future__ import annotations

import time

from .moment import Moment

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Seconds on a clock that never steps nor, where there is one, stops in suspend."""
    if _BOOTTIME is None:
        return time.monotonic()
    return time.clock_gettime(_BOOTTIME)


def wall() -> float:
    """Unix seconds, as in `created_at` and `since`; may step."""
    return time.time()


def moment() -> Moment:
    """Return the present instant on both clocks."""
    return Moment(now(), wall())
