"""When a relay sends so much garbage that it is better left alone for a while."""

from __future__ import annotations

from collections import deque

from .settings import Settings


class GarbageMeter:
    """Judges a relay by its latest messages. Instants are those of `clock.now`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sample: deque[bool] = deque(maxlen=settings.garbage_sample)
        self._times: deque[float] = deque(maxlen=settings.garbage_messages + 1)
        self._bad = 0

    def good(self) -> None:
        """Note a message that was in order."""
        if self._bad or len(self._sample) < self._settings.garbage_sample:
            self._note(False)

    def bad(self, now: float) -> bool:
        """Note a message that was garbage; tells whether that was too much.

        Too much is more than `garbage_messages` within the window that are also more
        than half of the sample; while fewer messages came on this connection than a
        sample holds, of all of them. Who begins with garbage gets no credit of 100.
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
