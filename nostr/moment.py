"""One instant on both clocks."""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """An instant: `now` as of `clock.now`, `wall` in Unix seconds."""

    now: float
    wall: float
