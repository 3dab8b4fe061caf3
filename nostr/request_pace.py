"""The rate of REQs to a relay: as fast as it answers, slower if it complains.

Relays differ: some serve thousands of REQs a second, others drop a connection after
thirty messages, and few say so in advance. So the pace is learned. Every answer lets
the next REQ out at once; a relay that stays silent gets `requests_per_second`. After a
complaint, or a connection that ends amid a burst, the pace is halved and answers no
longer speed it up; it recovers slowly, and stays below the pace that failed for an
hour.

Where connections also end soon without a burst, the network ends them or the relay
does, whatever the pace: then bursts are not to blame, and what their endings taught is
forgotten.
"""

from __future__ import annotations

from .pace import Burst, TokenBucket
from .settings import Settings

# An operator sets the pace to begin with (`requests_per_second`); how it adapts follows
# from how relays count: by the second or by the minute.
MIN_FACTOR = 1 / 256  # of 50 a second: twelve a minute, which every known relay takes
SAME_COMPLAINT_SECONDS = 1.0  # complaints about one burst come in numbers
RECOVERY_SECONDS = 60.0  # without complaint, then the pace doubles
CEILING_SECONDS = 3600.0  # a pace that failed is not tried again; as learned limits
SHORT_SECONDS = 60.0  # a connection that ends later may have been idle for too long


class LearnedFactor:
    """The share of the full pace that one kind of complaint leaves, from 0 to 1."""

    def __init__(self) -> None:
        self.value = 1.0
        self.failed_at = float("-inf")
        self._ceiling = 1.0
        self._changed_at = float("-inf")

    def halve(self, now: float) -> None:
        """Handle a complaint."""
        self.value = self._ceiling = max(MIN_FACTOR, self.value / 2)
        self.failed_at = self._changed_at = now

    def recover(self, now: float) -> None:
        """Double it after a while without complaint, below what failed lately."""
        if self.value >= 1:
            return
        if now - self.failed_at >= CEILING_SECONDS:
            self._ceiling = 1.0
        if (
            now - self._changed_at >= RECOVERY_SECONDS
            and self.value * 2 <= self._ceiling
        ):
            self.value = min(1.0, self.value * 2)
            self._changed_at = now


class RequestPace:
    """The pace of requests to one relay, over all its connections.

    Instants are those of `clock.now`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_words = LearnedFactor()
        self._by_endings = LearnedFactor()
        self._opened_at = 0.0
        self._burst = Burst()
        self._bucket = self._new_bucket(0.0)

    @property
    def factor(self) -> float:
        """The share of the full pace that the relay gets now, from 0 to 1."""
        return min(self._by_words.value, self._by_endings.value)

    @property
    def per_second(self) -> float:
        """How many requests a second the relay gets where it does not answer."""
        return self._settings.requests_per_second * self.factor

    def open(self, now: float) -> None:
        """Handle a new connection: it begins with a full burst at the learned pace."""
        self._opened_at = now
        self._burst.clear()
        self._bucket = self._new_bucket(now)

    def _new_bucket(self, now: float) -> TokenBucket:
        burst = max(1.0, self._settings.burst_requests * self.factor)
        return TokenBucket(self.per_second, burst, now)

    def take(self, now: float) -> bool:
        """Return whether a request may leave now, and count it."""
        before = self.factor
        self._by_words.recover(now)
        self._by_endings.recover(now)
        if self.factor != before:
            self._bucket = self._new_bucket(now)
        if not self._bucket.take(now):
            return False
        self._burst.note(now)
        return True

    def spend(self, now: float) -> None:
        """Count a message that cannot wait against a learned pace."""
        self._burst.note(now)
        if self.factor < 1:
            self._bucket.take(now)

    def next_at(self, now: float) -> float:
        """Return the instant at which the next request may leave."""
        return self._bucket.next_at(now)

    def answer(self) -> None:
        """Handle an answer: at full pace it makes room for the next request."""
        if self.factor >= 1:
            self._bucket.put_back()

    def complain(self, now: float) -> None:
        """Handle words of the relay that say that this was too fast."""
        if now - self._by_words.failed_at < SAME_COMPLAINT_SECONDS:
            return
        self._by_words.halve(now)
        self._bucket = self._new_bucket(now)
        while self._bucket.take(now):  # what is due now waits for its second
            pass

    def ended(self, now: float) -> None:
        """Handle that the relay, or the network, ended the connection."""
        if self._burst.is_recent(now):
            self._by_endings.halve(now)
        elif now - self._opened_at < SHORT_SECONDS:
            self._by_endings = LearnedFactor()
