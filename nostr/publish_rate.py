"""The rate at which a relay accepts events, learned from its refusals.

Theory of operation. A relay that is sent too much refuses (`rate-limited:`), sends a
NOTICE about a rate, or says nothing at all. None of these names the limit, so it is
measured:

    UNLIMITED  no refusal for a long time; events are sent as they come
    PAUSED     the relay refused; when the pause is over, one event is tried
    PACED      events are sent at `per_second`

    UNLIMITED -> PAUSED  a refusal
    PAUSED -> PAUSED     that one event is refused or ignored as well: the next pause is
                         twice as long, up to 11 s or a tenth of the time that passed
    PAUSED -> PACED      that event is accepted
    PACED -> PAUSED      a refusal
    PACED -> UNLIMITED   no refusal for a long time

The first measurement divides the events accepted before the refusal by the time until
the relay accepts again: a relay with a limit of 24 a minute accepts 24 at once and then
nothing for a minute. From then on each accepted event raises the rate a little. A
refusal lowers it to what the relay accepted in the last minute, but to no less than
three quarters. Far below the rate that was refused last it rises faster.

Many relays count each author by itself. So during a pause the events of other authors
are tried, one at a time, until one of them is refused too.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from . import backoff
from .settings import Settings

RELIABLE_BURST = 10  # from a smaller one no rate can be measured
LATE_SHARE = 0.1  # of the time since the first refusal: the longest pause
RAISE, RAISE_FAST = 1.002, 1.02  # by each accepted event
LOWER, LOWER_MOST = 0.95, 0.75  # by a refusal
NEAR = 0.9  # of the rate that was refused last: from there on it rises slowly


class RateState(Enum):
    """The state of a relay's rate limit for events."""

    UNLIMITED = auto()
    PAUSED = auto()
    PACED = auto()


_MOVES: dict[RateState, frozenset[RateState]] = {
    RateState.UNLIMITED: frozenset((RateState.PAUSED,)),
    RateState.PAUSED: frozenset((RateState.PACED,)),
    RateState.PACED: frozenset((RateState.PAUSED, RateState.UNLIMITED)),
}


class PublishRate:
    """The rate at which one relay accepts events. Instants are those of `clock.now`."""

    def __init__(self, settings: Settings) -> None:
        self.state = RateState.UNLIMITED
        self.per_second = 0.0  # 0 while nothing was measured
        self._settings = settings
        self._seconds: deque[tuple[int, int]] = deque()  # (second, events accepted)
        self._refused_at = 0.0
        self._limited_at = 0.0
        self._ceiling = 0.0
        self._burst = 0
        self._pauses = 0
        self._first_pause = 0.0
        self._pause_ends = 0.0
        self._waits = (0.0, 0.0)  # when the latest two trials could be sent
        self._trial_sent_at: float | None = None
        self._due = 0.0
        self._others_refused = False
        self._other_unanswered = False
        self._other_at = 0.0

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def is_limited(self, now: float) -> bool:
        """Return whether events are to be held back; a limit is forgotten in time."""
        if (
            self.state is RateState.PACED
            and now - self._limited_at >= self._settings.publish_rate_forget_seconds
        ):
            self._move(RateState.UNLIMITED)
            self.per_second = self._ceiling = 0.0
            self._others_refused = False
        return self.state is not RateState.UNLIMITED

    def next_at(self) -> float:
        """Return the instant from which the next event may be sent."""
        match self.state:
            case RateState.UNLIMITED:
                return 0.0
            case RateState.PAUSED:
                return self._pause_ends
            case RateState.PACED:
                # After a while without events a few may go at once.
                return self._due - self._burst // 4 * self._interval

    def sent(self, now: float) -> None:
        """An event was sent, in its turn."""
        if self.state is RateState.PAUSED:
            # Without an answer it counts as refused: the next one is due later still.
            self._trial_sent_at = now
            self._waits = self._waits[1], self._pause_ends
            self._pauses += 1
            self._pause_ends = now + self._pause(now)
        elif self.state is RateState.PACED:
            self._due = max(self._due, now) + self._interval

    def accepted(self, now: float, sent_at: float) -> None:
        """The relay accepted an event that was sent then."""
        if self.state is RateState.PAUSED and sent_at > self._refused_at:
            if self._trial_sent_at is not None and sent_at >= self._trial_sent_at:
                self._resume(now)
            return
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            second, count = self._seconds.pop()
            self._seconds.append((second, count + 1))
        else:
            self._seconds.append((second, 1))
            self._trim(now)
        if self.state is RateState.PACED:
            near = self.per_second >= NEAR * self._ceiling > 0
            self.per_second *= RAISE if near else RAISE_FAST

    def refused(self, now: float, sent_at: float) -> None:
        """The relay refused, for its rate, an event that was sent then."""
        match self.state:
            case RateState.UNLIMITED:
                self._pause_from(now, self._settings.publish_rate_pause_seconds)
            case RateState.PACED:
                if sent_at < self._refused_at:
                    return
                self._trim(now)
                measured = self._count / self._settings.publish_rate_window_seconds
                lowest, highest = self.per_second * LOWER_MOST, self.per_second * LOWER
                self._set_rate(min(highest, max(measured, lowest)))
                self._ceiling = highest
                self._pause_from(now, 2 * self._interval)
            case RateState.PAUSED:
                if self._trial_sent_at is not None and sent_at >= self._trial_sent_at:
                    self._trial_sent_at = None
                    self._pause_ends = max(self._pause_ends, now + self._pause(now))

    # Other authors, during a pause

    def other_at(self) -> float | None:
        """Return when an event of an author that was not refused may be tried."""
        if (
            self.state is not RateState.PAUSED
            or self._others_refused
            or self._other_unanswered
        ):
            return None
        return self._other_at

    def other_sent(self, now: float) -> None:
        """An event of an author that was not refused was sent during the pause."""
        self._other_unanswered = True
        self._other_at = now + self._settings.publish_rate_pause_seconds

    def other_accepted(self) -> None:
        """That event was accepted: the limit holds for each author by itself."""
        self._other_unanswered = False

    def other_refused(self) -> None:
        """That event was refused for the rate: the limit holds for all authors."""
        self._others_refused = True

    # Measuring

    @property
    def _interval(self) -> float:
        return 1 / self.per_second if self.per_second else 0.0

    def _pause(self, now: float) -> float:
        # An event arrives at most a tenth later than the relay would have accepted it.
        longest = max(
            self._settings.publish_rate_long_pause_seconds,
            self._first_pause,
            (now - self._refused_at) * LATE_SHARE,
        )
        return backoff.ceiling(
            self._pauses,
            self._first_pause,
            min(longest, self._settings.publish_rate_max_pause_seconds),
        )

    def _pause_from(self, now: float, first_seconds: float) -> None:
        self._move(RateState.PAUSED)
        self._refused_at = self._limited_at = now
        self._first_pause = max(
            first_seconds, self._settings.publish_rate_pause_seconds
        )
        self._pauses = 1
        self._pause_ends = now + self._pause(now)
        self._trial_sent_at = None
        self._waits = (now, now)
        self._other_unanswered = False
        self._other_at = now

    def _resume(self, now: float) -> None:
        self._move(RateState.PACED)
        self._trial_sent_at = None
        self._limited_at = now
        if not self.per_second:
            self._trim(self._refused_at)
            self._burst = self._count
            shortest = self._settings.publish_rate_pause_seconds
            earliest, latest = (
                max(shortest, at - self._refused_at) for at in self._waits
            )
            self._set_rate(max(self._burst, 1) / latest)
            if self._burst >= RELIABLE_BURST:
                self._ceiling = self._burst / earliest
        self._due = now + (1 + self._burst // 4) * self._interval

    @property
    def _count(self) -> int:
        """Events accepted lately."""
        return sum(count for _, count in self._seconds)

    def _set_rate(self, per_second: float) -> None:
        slowest = 1 / self._settings.publish_rate_max_pause_seconds
        self.per_second = max(per_second, slowest)

    def _trim(self, now: float) -> None:
        window = self._settings.publish_rate_window_seconds
        while self._seconds and self._seconds[0][0] < now - window:
            self._seconds.popleft()

    def _move(self, state: RateState) -> None:
        if state not in _MOVES[self.state]:
            raise AssertionError(f"{self.state} does not become {state}")
        self.state = state
