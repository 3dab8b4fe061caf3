"""COUNTs that relays are still answering (NIP-45)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .delivery import Consumer, Counted


@dataclass
class PendingCount:
    """One COUNT; `total` is the largest answer so far, None while there is none."""

    consumer: Consumer
    awaiting: set[str]
    deadline: float
    total: int | None = None


class Counts:
    """All COUNTs under way. Their consumers are told `Counted` once each.

    That is when every relay has answered, refused or gone, or when time is up. Relays
    hold much the same events, so it is the largest answer that counts and not the sum.
    Instants are those of `clock.now`.
    """

    def __init__(self) -> None:
        self._pending: dict[str, PendingCount] = {}

    def open(
        self,
        upstream_id: str,
        consumer: Consumer,
        relay_urls: Iterable[str],
        deadline: float,
    ) -> None:
        """Wait for the answers of these relays."""
        pending = PendingCount(consumer, set(relay_urls), deadline)
        self._pending[upstream_id] = pending
        self._settle(upstream_id, pending)

    def answered(self, relay_url: str, upstream_id: str, total: int | None) -> None:
        """A relay answered, None where it refused to."""
        pending = self._pending.get(upstream_id)
        if pending is None or relay_url not in pending.awaiting:
            return
        pending.awaiting.discard(relay_url)
        if total is not None:
            pending.total = max(pending.total or 0, total)
        self._settle(upstream_id, pending)

    def lost(self, relay_url: str) -> None:
        """A relay is gone; it will not answer any more."""
        for upstream_id in list(self._pending):
            self.answered(relay_url, upstream_id, None)

    def tick(self, now: float) -> None:
        """Wait no longer for what is past its deadline."""
        for upstream_id, pending in list(self._pending.items()):
            if pending.deadline <= now:
                pending.awaiting.clear()
                self._settle(upstream_id, pending)

    def deadline(self) -> float | None:
        """Give the instant of the next `tick`; None while nothing waits."""
        return min((item.deadline for item in self._pending.values()), default=None)

    def _settle(self, upstream_id: str, pending: PendingCount) -> None:
        if not pending.awaiting:
            del self._pending[upstream_id]
            pending.consumer.put(Counted(upstream_id, pending.total))
