"""A rate with bursts, for what clients may send and for what relays are sent."""

from __future__ import annotations


class TokenBucket:
    """So many tokens a second, saved up to a bound; full at first.

    Instants are those of `clock.now`.
    """

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at = now

    def take(self, now: float, tokens: float = 1) -> bool:
        """Take tokens; False, and none is taken, where there are not as many.

        More than the bound of a burst are never asked for.
        """
        self._fill(now)
        wanted = min(tokens, self._burst)
        if self._tokens < wanted:
            return False
        self._tokens -= wanted
        return True

    def next_at(self, now: float, tokens: float = 1) -> float:
        """Give the instant at which so many tokens will be there."""
        self._fill(now)
        wanted = min(tokens, self._burst)
        if self._tokens >= wanted:
            return now
        return now + (wanted - self._tokens) / self._per_second

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
        self._filled_at = now
