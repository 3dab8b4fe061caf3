"""Refreshes and probes: when a relay's silence means that something is wrong.

A subscription that nothing confirmed for `refresh_seconds` is sent again. Every REQ
that waits for an answer has a due time. When it passes, the relay may be dead, it may
ignore this REQ, or it may allow no more subscriptions. A relay that said anything
lately is alive. Of any other one a probe decides: without an answer to it, or to the
refresh of a subscription that the relay served, the connection is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable

from .pace import TokenBucket
from .relay_subscription import (
    RelaySubscription,
    RelaySubscriptionState,
    RequestQueue,
)
from .settings import Settings

PROBE_FILTER = {"ids": ["0" * 64], "limit": 1}
SCANS = 15  # for silent subscriptions, in the time that makes one silent


class Heartbeat:
    """Refreshes, due times and the probe of one connection.

    `is_alive`: the relay said anything since the probe was sent. `probe_decides`: the
    connection is replaced without it; of others, the answer to a ping decides.
    Instants are those of `clock.now`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.refreshes = RequestQueue()
        self._bucket = TokenBucket(
            settings.refreshes_per_second, settings.burst_refreshes, 0
        )
        self._scan_at = 0.0
        self.probe_id: str | None = None
        self.probe_due = 0.0
        self.probe_decides = False
        self.is_alive = False
        self.doubted: list[RelaySubscription] = []

    def open(self, now: float) -> None:
        """Begin with a new connection."""
        self._scan_at = now

    def lose(self) -> None:
        """Forget what belonged to the connection."""
        self.refreshes.clear()
        self.doubted.clear()
        self.probe_id = None

    def watch(self, due: float) -> None:
        """Look at the subscriptions at this instant at the latest."""
        self._scan_at = min(self._scan_at, due)

    def overdue(
        self, subscriptions: Iterable[RelaySubscription], now: float
    ) -> list[RelaySubscription]:
        """Return the subscriptions whose due time has passed; queue silent ones."""
        if now < self._scan_at:
            return []
        # Thousands are looked at here, for each relay: seldom, and for next to nothing.
        settings = self._settings
        self._scan_at = now + settings.refresh_seconds / SCANS
        quiet = now - settings.refresh_seconds
        found: list[RelaySubscription] = []
        for subscription in subscriptions:
            due = subscription.due
            if due is not None:
                if due <= now:
                    found.append(subscription)
                elif due < self._scan_at:
                    self._scan_at = due
            elif subscription.state is RelaySubscriptionState.LIVE:
                if subscription.is_polled:
                    self._poll(subscription, now)
                elif (
                    subscription.received_at <= quiet
                    and subscription.sent_at <= quiet
                    and subscription not in self.refreshes
                ):
                    self.refreshes.add(subscription)
        return found

    def _poll(self, subscription: RelaySubscription, now: float) -> None:
        at = subscription.sent_at + self._settings.poll_seconds
        if at <= now:
            if subscription not in self.refreshes:
                self.refreshes.add(subscription)
        elif at < self._scan_at:
            self._scan_at = at

    def take_refreshes(self, now: float) -> list[RelaySubscription]:
        """Return the subscriptions to refresh now, at their pace."""
        size = self._batch
        if not size or not self._bucket.take(now, size):
            return []
        return [self.refreshes.pop() for _ in range(size)]

    @property
    def _batch(self) -> int:
        # Some at a time: waking the relay's thread costs more than they do.
        return min(len(self.refreshes), self._settings.burst_refreshes)

    def probe(self, wire_id: str, now: float, *, decides: bool) -> None:
        """Wait for the answer to a probe."""
        self.probe_id = wire_id
        self.probe_decides = decides
        self.is_alive = False
        self.probe_due = now + self._settings.probe_seconds

    def is_unanswered(self, now: float) -> bool:
        """Return whether a probe was sent and its time is over."""
        return self.probe_id is not None and now >= self.probe_due

    def deadline(self, now: float, *, any_open: bool) -> float | None:
        """Return when to look again; None while nothing waits for time."""
        due = [self._scan_at] if any_open else []
        if self.refreshes:
            due.append(self._bucket.next_at(now, self._batch))
        if self.probe_id is not None:
            due.append(self.probe_due)
        return min(due, default=None)
