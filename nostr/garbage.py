"""Decides when a relay sends too many invalid messages and has to be paused."""

from __future__ import annotations

from collections import deque

from .settings import Settings


class GarbageMeter:
    """Rates a relay by its latest messages. Instants are those of `clock.now`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sample: deque[bool] = deque(maxlen=settings.garbage_sample)
        self._times: deque[float] = deque(maxlen=settings.garbage_messages + 1)
        self._bad = 0

    def good(self) -> None:
        """Count a valid message."""
        if self._bad or len(self._sample) < self._settings.garbage_sample:
            self._note(False)

    def bad(self, now: float) -> bool:
        """Count an invalid message; return whether that was too many.

        Too many are more than `garbage_messages` within the window that are also more
        than half of the sample. Until a full sample has arrived, the ratio is taken
        over the messages received so far.
        """
        self._note(True)
        self._times.append(now)
        many = len(self._times) > self._settings.garbage_messages
        recent = now - self._times[0] <= self._settings.garbage_window_seconds
        return many and recent and self._bad * 2 > len(self._sample)

    def _note(self, bad: bool) -> None:
        if len(self._sample) == self._sample.maxlen:
            self._bad -= self._sample[0]
        self._sample.append(bad)
        self._bad += bad
