"""Rate limits with bursts, for messages from clients and to relays."""

from __future__ import annotations

from collections import deque

BURST_MESSAGES = 10  # more within so many seconds: the pace may be to blame
BURST_SECONDS = 1.5  # a relay's second, and the way there


class Burst:
    """The instants of the latest messages to a relay, and whether they are a burst."""

    def __init__(self) -> None:
        self._instants: deque[float] = deque(maxlen=BURST_MESSAGES + 1)

    def note(self, now: float) -> None:
        """Handle that a message left."""
        self._instants.append(now)

    def clear(self) -> None:
        """Handle a new connection."""
        self._instants.clear()

    def is_recent(self, now: float) -> bool:
        """Return whether many messages left within the last moment."""
        instants = self._instants
        return len(instants) > BURST_MESSAGES and now - instants[0] < BURST_SECONDS


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
