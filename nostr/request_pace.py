"""The rate of REQs to a relay: as fast as it answers, slower if it complains.

Relays differ: some serve thousands of REQs a second, others drop a connection after
thirty messages, and few say so in advance. So the pace is learned. Every answer lets
the next REQ out at once; a relay that stays silent gets `requests_per_second`. After a
complaint, or a connection that ends amid a burst, the pace is halved and answers no
longer speed it up; it recovers slowly, and stays below the pace that failed for an
hour.
"""

from __future__ import annotations

from .pace import TokenBucket
from .settings import Settings

# An operator sets the pace to begin with (`requests_per_second`); how it adapts follows
# from how relays count: by the second or by the minute.
MIN_FACTOR = 1 / 256  # of 50 a second: twelve a minute, which every known relay takes
SAME_COMPLAINT_SECONDS = 1.0  # complaints about one burst come in numbers
RECOVERY_SECONDS = 60.0  # without complaint, then the pace doubles
CEILING_SECONDS = 3600.0  # a pace that failed is not tried again; as learned limits


class RequestPace:
    """The pace of requests to one relay, over all its connections.

    Instants are those of `clock.now`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._factor = 1.0
        self._ceiling = 1.0
        self._failed_at = float("-inf")
        self._changed_at = float("-inf")
        self._bucket = self._new_bucket(0.0)

    @property
    def factor(self) -> float:
        """The share of the full pace that the relay gets now, from 0 to 1."""
        return self._factor

    @property
    def per_second(self) -> float:
        """How many requests a second the relay gets where it does not answer."""
        return self._settings.requests_per_second * self._factor

    def open(self, now: float) -> None:
        """Handle a new connection: it begins with a full burst at the learned pace."""
        self._bucket = self._new_bucket(now)

    def _new_bucket(self, now: float) -> TokenBucket:
        burst = max(1.0, self._settings.burst_requests * self._factor)
        return TokenBucket(self.per_second, burst, now)

    def take(self, now: float) -> bool:
        """Return whether a request may leave now, and count it."""
        self._recover(now)
        return self._bucket.take(now)

    def spend(self, now: float) -> None:
        """Count a message that cannot wait against a learned pace."""
        if self._factor < 1:
            self._bucket.take(now)

    def next_at(self, now: float) -> float:
        """Return the instant at which the next request may leave."""
        return self._bucket.next_at(now)

    def answer(self) -> None:
        """Handle an answer: at full pace it makes room for the next request."""
        if self._factor >= 1:
            self._bucket.put_back()

    def complain(self, now: float, *, ended: bool = False) -> None:
        """Handle a sign that this was too fast; `ended`: it cost the connection."""
        if not ended and now - self._failed_at < SAME_COMPLAINT_SECONDS:
            return
        self._factor = max(MIN_FACTOR, self._factor / 2)
        self._ceiling = self._factor
        self._failed_at = self._changed_at = now
        self._bucket = self._new_bucket(now)
        while self._bucket.take(now):  # what is due now waits for its second
            pass

    def _recover(self, now: float) -> None:
        if self._factor >= 1:
            return
        if now - self._failed_at >= CEILING_SECONDS:
            self._ceiling = 1.0
        if (
            now - self._changed_at >= RECOVERY_SECONDS
            and self._factor * 2 <= self._ceiling
        ):
            self._factor = min(1.0, self._factor * 2)
            self._changed_at = now
            self._bucket = self._new_bucket(now)
