"""COUNTs that relays are still answering (NIP-45)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import hyperloglog
from .delivery import Consumer, Counted
from .message import RelayClosed, RelayCount, prefix

# A CLOSED with one of these says nothing about whether the relay can count.
_PASSING_PREFIXES = frozenset(("auth-required", "error", "rate-limited"))


@dataclass
class PendingCount:
    """One COUNT, and the answers to it so far."""

    consumer: Consumer
    awaiting: set[str]
    deadline: float
    answers: list[RelayCount] = field(default_factory=list)


class Counts:
    """All COUNTs under way. Each consumer is sent one `Counted`.

    That is when every relay has answered, refused or gone, or when time is up. Relays
    hold much the same events, so the largest answer counts and not the sum. Where two
    or more sent HyperLogLog registers, the estimate of their union counts if it is
    larger. Instants are those of `clock.now`.

    Whether a relay can count is remembered from its first answer, or from there being
    none, for the relays whose NIP-11 document says nothing of it.
    """

    def __init__(self) -> None:
        self._pending: dict[str, PendingCount] = {}
        self._can_count: dict[str, bool] = {}

    def can_count(self, relay_url: str) -> bool | None:
        """Return whether a relay answers COUNTs; None if it was never asked."""
        return self._can_count.get(relay_url)

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

    def answered(
        self, relay_url: str, upstream_id: str, answer: RelayCount | RelayClosed | None
    ) -> None:
        """Handle a relay's COUNT or CLOSED; None: it was not asked, or is gone."""
        pending = self._pending.get(upstream_id)
        if pending is None or relay_url not in pending.awaiting:
            return
        pending.awaiting.discard(relay_url)
        if isinstance(answer, RelayCount):
            self._can_count[relay_url] = True
            pending.answers.append(answer)
        elif answer is not None and prefix(answer.message) not in _PASSING_PREFIXES:
            self._can_count.setdefault(relay_url, False)
        self._settle(upstream_id, pending)

    def lost(self, relay_url: str) -> None:
        """Wait no longer for a relay whose connection is gone."""
        for upstream_id in list(self._pending):
            self.answered(relay_url, upstream_id, None)

    def tick(self, now: float) -> None:
        """End the wait of those that are past their deadline."""
        for upstream_id, pending in list(self._pending.items()):
            if pending.deadline <= now:
                for relay_url in pending.awaiting:
                    self._can_count.setdefault(relay_url, False)
                pending.awaiting.clear()
                self._settle(upstream_id, pending)

    def deadline(self) -> float | None:
        """Return the instant of the next `tick`; None while nothing waits."""
        return min((item.deadline for item in self._pending.values()), default=None)

    def _settle(self, upstream_id: str, pending: PendingCount) -> None:
        if not pending.awaiting:
            del self._pending[upstream_id]
            pending.consumer.put(_merged(upstream_id, pending.answers))


def _merged(upstream_id: str, answers: Sequence[RelayCount]) -> Counted:
    """Return the answer to a COUNT from those of the relays."""
    largest = max(answers, key=_order, default=None)
    if largest is None:
        return Counted(upstream_id, None)
    several = {answer.hll for answer in answers if answer.hll is not None}
    if not several:
        return Counted(upstream_id, largest.total, largest.approximate)
    hll = hyperloglog.merge(several)
    estimate = hyperloglog.estimate(hll) if len(several) > 1 else 0
    if estimate > largest.total:
        return Counted(upstream_id, estimate, True, hll)
    return Counted(upstream_id, largest.total, largest.approximate, hll)


def _order(answer: RelayCount) -> tuple[int, bool]:
    return answer.total, not answer.approximate
