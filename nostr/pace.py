"""Rate limits with bursts, for messages from clients and to relays."""

from __future__ import annotations


class TokenBucket:
    """Token bucket: refills at `per_second`, holds at most `burst`, starts full.

    Instants are those of `clock.now`.
    """

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at = now

    def take(self, now: float, tokens: float = 1) -> bool:
        """Remove tokens and return True, or return False if there are too few.

        A request for more than `burst` tokens counts as one for `burst`.
        """
        self._fill(now)
        wanted = min(tokens, self._burst)
        if self._tokens < wanted:
            return False
        self._tokens -= wanted
        return True

    def next_at(self, now: float, tokens: float = 1) -> float:
        """Return the instant at which so many tokens will be available."""
        self._fill(now)
        wanted = min(tokens, self._burst)
        if self._tokens >= wanted:
            return now
        return now + (wanted - self._tokens) / self._per_second

    def put_back(self) -> None:
        """Return one token, as far as the bound allows."""
        self._tokens = min(self._burst, self._tokens + 1)

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
        self._filled_at = now
