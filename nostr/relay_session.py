"""One relay's side of the conversation: what to ask it, when to ask again (NIP-01).

The relay's messages and `now` in, text for the relay out. It knows no socket, no thread
and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from . import backoff, message
from .filter import Filter
from .pace import TokenBucket
from .relay_subscription import (
    RelaySubscription,
    RelaySubscriptionState,
    Request,
    RequestQueue,
)
from .settings import Settings

PROBE_FILTER = {"ids": ["0" * 64], "limit": 1}
SPARE_SUBSCRIPTIONS = 2  # of those a relay allows: for a page and for a probe
MAX_CLOSING = 100  # closed subscriptions, of one that is asked again and again
SCANS = 15  # for silent subscriptions, in the time that makes one silent


class RelayLimits(NamedTuple):
    """What a relay's NIP-11 document says it takes; None where it says nothing."""

    max_message_length: int | None = None
    max_subscriptions: int | None = None
    max_filters: int | None = None
    max_limit: int | None = None


class ClosedForGood(NamedTuple):
    """A relay will not serve these subscriptions, and why."""

    upstream_ids: tuple[str, ...]
    message: str


class RelaySession:
    """All upstream subscriptions of one relay, connected or not.

    `output` collects the text to be sent; whoever sends it empties it. `suspect` tells
    why the connection is to be replaced. Instants are those of `clock.now`.
    """

    def __init__(self, settings: Settings, new_id: Callable[[], str]) -> None:
        self.limits = RelayLimits()
        self.connected = False
        self.output: list[str] = []
        self.suspect: str | None = None
        self.can_authenticate = False
        self._settings = settings
        self._new_id = new_id
        self._asks: dict[str, RelaySubscription] = {}
        self._ask_of: dict[str, RelaySubscription] = {}
        self._wires: dict[str, RelaySubscription] = {}
        self._closing: dict[str, RelaySubscription] = {}
        self._queue = RequestQueue()
        self._refreshes = RequestQueue()
        self._authenticated = False
        self._refused_unauthenticated: dict[str, RelaySubscription] = {}
        self._bucket = self._new_bucket(0)
        self._count_bucket = TokenBucket(
            settings.counts_per_second, settings.burst_counts, 0
        )
        self._refresh_bucket = TokenBucket(
            settings.refreshes_per_second, settings.burst_refreshes, 0
        )
        self._scan_at = 0.0
        self._probe_id: str | None = None
        self._probe_due = 0.0
        self._doubted: list[RelaySubscription] = []

    @property
    def subscription_count(self) -> int:
        """How many subscriptions are open on the relay."""
        return len(self._asks)

    # Subscriptions come and go

    def subscribe(self, request: Request) -> None:
        """Open a subscription, or replace the one of the same id."""
        self.unsubscribe(request.upstream_id)
        ask = self._ask_for(request.upstream_id)
        ask.members[request.upstream_id] = request
        self._ask_of[request.upstream_id] = ask
        self._enqueue(ask)

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription and forget everything about it."""
        ask = self._ask_of.pop(upstream_id, None)
        if ask is None:
            return
        ask.leave(upstream_id)
        if not ask.members:
            self._forget(ask)
        elif ask.state in (RelaySubscriptionState.SENT, RelaySubscriptionState.LIVE):
            self._enqueue(ask)  # what only the one that left wanted is to end

    def _ask_for(self, upstream_id: str) -> RelaySubscription:
        allowed = self._allowed_asks
        if allowed is not None:
            served = self._served()
            if len(served) >= allowed:
                return min(served, key=_filter_count)
        ask = RelaySubscription(upstream_id, self._settings)
        self._asks[upstream_id] = ask
        return ask

    def _served(self) -> list[RelaySubscription]:
        """Give those that take a place on the relay."""
        return [
            ask
            for ask in self._asks.values()
            if ask.state is not RelaySubscriptionState.CLOSED
        ]

    @property
    def _allowed_asks(self) -> int | None:
        most = self.limits.max_subscriptions
        return None if most is None else max(1, most - SPARE_SUBSCRIPTIONS)

    def _forget(self, ask: RelaySubscription) -> None:
        self._close_wires(ask)
        self._forget_closing(ask)
        self._asks.pop(ask.wire_id, None)
        self._dequeue(ask)
        self._refused_unauthenticated.pop(ask.wire_id, None)

    def _close_wires(
        self,
        ask: RelaySubscription,
        *,
        keep: str | None = None,
        only_parts: bool = False,
    ) -> None:
        for wire_id, is_part in list(ask.wires.items()):
            if wire_id != keep and (is_part or not only_parts):
                self._close_wire(ask, wire_id)
        ask.awaiting.intersection_update(ask.wires if only_parts else ())

    def _close_wire(self, ask: RelaySubscription, wire_id: str) -> None:
        ask.wires.pop(wire_id, None)
        ask.awaiting.discard(wire_id)
        if self._wires.pop(wire_id, None) is not None and self.connected:
            self.output.append(message.encode("CLOSE", wire_id))

    def _leave_wires(self, ask: RelaySubscription, *, keep: str) -> None:
        """Close all but one, and listen to them until what is asked next is answered.

        Events are on their way there, and ephemeral ones will not come again.
        """
        live = [wire_id for wire_id, is_part in ask.wires.items() if not is_part]
        self._close_wires(ask, keep=keep)
        for wire_id in live:
            if wire_id != keep:
                ask.closing.append(wire_id)
                self._closing[wire_id] = ask
        while len(ask.closing) > MAX_CLOSING:
            del self._closing[ask.closing.popleft()]

    def _forget_closing(self, ask: RelaySubscription) -> None:
        while ask.closing:
            del self._closing[ask.closing.popleft()]

    def _enqueue(self, ask: RelaySubscription) -> None:
        ask.state = RelaySubscriptionState.QUEUED
        self._refreshes.discard(ask)
        self._queue.add(ask)

    def _dequeue(self, ask: RelaySubscription) -> None:
        self._queue.discard(ask)
        self._refreshes.discard(ask)

    def set_limits(self, limits: RelayLimits) -> None:
        """Go by what the relay's NIP-11 document says."""
        self.limits = limits
        allowed = self._allowed_asks
        if allowed is None:
            return
        while len(served := self._served()) > allowed:
            ask = served[-1]
            members = list(ask.members.values())
            self._forget(ask)
            for request in members:
                shared = self._ask_for(request.upstream_id)
                shared.members[request.upstream_id] = request
                self._ask_of[request.upstream_id] = shared
                self._enqueue(shared)

    # The connection comes and goes

    def open(self, now: float, wall: float) -> None:
        """The connection is open: every subscription is asked (again), at a pace."""
        self.connected = True
        self.suspect = None
        self._authenticated = False
        self._bucket = self._new_bucket(now)
        self._scan_at = now
        self.tick(now, wall)

    def lose(self) -> None:
        """The connection is gone, and with it everything the relay was asked."""
        self.connected = False
        self.output.clear()
        self._wires.clear()
        self._closing.clear()
        self._refreshes.clear()
        self._doubted.clear()
        self._refused_unauthenticated.clear()
        self._probe_id = None
        for ask in self._asks.values():
            ask.asked_authenticated = False
            ask.excluded.clear()
            ask.accepted_members.clear()
            ask.wires.clear()
            ask.closing.clear()
            ask.awaiting.clear()
            ask.fetch = None
            ask.refreshing = False
            ask.answer_due = None
            if ask.state is not RelaySubscriptionState.CLOSED:
                self._enqueue(ask)

    def authenticated(self, now: float, wall: float) -> None:
        """The relay accepted our AUTH: ask again what it refused for want of it."""
        self._authenticated = True
        for ask in self._refused_unauthenticated.values():
            self._enqueue(ask)
        self._refused_unauthenticated.clear()
        self.tick(now, wall)

    def cannot_authenticate(self) -> ClosedForGood | None:
        """The relay refused our AUTH: what needs it is closed for good."""
        self.can_authenticate = False
        upstream_ids: list[str] = []
        for ask in self._refused_unauthenticated.values():
            ask.state = RelaySubscriptionState.CLOSED
            upstream_ids += ask.members
        self._refused_unauthenticated.clear()
        if not upstream_ids:
            return None
        return ClosedForGood(tuple(upstream_ids), "auth-required: AUTH was refused")

    # The relay speaks

    def find_subscription(self, wire_id: str) -> RelaySubscription | None:
        """Give what an EVENT with this subscription id answers; None if unasked for.

        The next event passed to the `RelaySubscription` is taken for that EVENT.
        """
        ask = self._wires.get(wire_id) or self._closing.get(wire_id)
        if ask is not None:
            ask.heard_on = wire_id
        return ask

    def eose(self, wire_id: str, now: float, wall: float) -> Iterable[str]:
        """Take an EOSE; gives the subscriptions for which it is the first one here."""
        if self._answers_probe(wire_id, now):
            return ()
        ask = self._wires.get(wire_id)
        if ask is None:
            return ()
        ask.awaiting.discard(wire_id)
        if ask.wires.get(wire_id):
            self._close_wire(ask, wire_id)
        if ask.awaiting:
            ask.heard_at = now
            return ()
        if ask.state is RelaySubscriptionState.LIVE:
            ask.heard_at = now
            return ()
        if ask.state is not RelaySubscriptionState.SENT:
            return ()
        page = ask.fetch.next_page() if ask.fetch is not None else None
        if page is None:
            return self._complete(ask, now, wall)
        ask.heard_at = now
        if ask.answer_due is not None:
            ask.answer_due = now + self._settings.refresh_answer_seconds
        ask.page_wire = ask.extra_wire_id()
        self._send_part(ask, ask.page_wire, [page], temporary=True)
        return ()

    def closed(self, wire_id: str, reason: str, now: float) -> ClosedForGood | None:
        """Take a CLOSED; tells which subscriptions the relay will never serve."""
        if self._answers_probe(wire_id, now):
            return None
        ask = self._wires.pop(wire_id, None)
        if ask is None:
            return None
        is_part = ask.wires.pop(wire_id, False)
        self._close_wires(ask, only_parts=is_part)
        self._dequeue(ask)
        ask.fetch = None
        ask.answer_due = None
        needs_key = message.prefix(reason) == "auth-required"
        if needs_key and self.can_authenticate and not ask.asked_authenticated:
            ask.asked_authenticated = True
            if self._authenticated:  # once more: it may have been asked before that
                self._enqueue(ask)
                return None
            ask.state = RelaySubscriptionState.RETRYING
            ask.retry_at = float("inf")
            self._refused_unauthenticated[ask.wire_id] = ask
            return None
        # A relay that refuses a page does not refuse the subscription: that stays open.
        if message.is_final(reason) and not is_part:
            return self._refused(ask, reason)
        self._back_off(ask, now)
        return None

    def _complete(
        self, ask: RelaySubscription, now: float, wall: float
    ) -> Iterable[str]:
        finished = ask.complete(now, wall)
        self._forget_closing(ask)
        if ask.release():
            self._enqueue(ask)
        return finished

    def _refused(self, ask: RelaySubscription, reason: str) -> ClosedForGood | None:
        # Of those who share a subscription one is not to have the others closed.
        if len(ask.members) > 1:
            candidates = ask.candidates()
            if len(candidates) > 1:
                self._enqueue(ask)
                return None
            if candidates:
                self._set_apart(ask, candidates[0])
                self._enqueue(ask)
                return ClosedForGood(tuple(candidates), reason)
        ask.state = RelaySubscriptionState.CLOSED
        return ClosedForGood(tuple(ask.members), reason)

    def _set_apart(self, ask: RelaySubscription, upstream_id: str) -> None:
        """Move a refused member into a subscription of its own, which is never sent."""
        alone = RelaySubscription(self._new_id(), self._settings)
        alone.state = RelaySubscriptionState.CLOSED
        alone.members[upstream_id] = ask.members[upstream_id]
        ask.leave(upstream_id)
        self._asks[alone.wire_id] = self._ask_of[upstream_id] = alone

    def _back_off(self, ask: RelaySubscription, now: float) -> None:
        self._dequeue(ask)
        ask.tries += 1
        ask.state = RelaySubscriptionState.RETRYING
        ask.retry_at = now + backoff.ceiling(
            ask.tries,
            self._settings.subscription_retry_seconds,
            self._settings.subscription_retry_max_seconds,
        )
        self._scan_at = min(self._scan_at, ask.retry_at)
        ask.answer_due = None

    def back_off(self, wire_id: str, now: float) -> None:
        """Ask for less for a while: what came for this subscription was too large."""
        ask = self._wires.get(wire_id)
        if ask is not None:
            self._close_wires(ask)
            self._back_off(ask, now)

    def count(
        self, upstream_id: str, filters: Sequence[dict[str, Any]], now: float
    ) -> bool:
        """Ask to count (NIP-45); False where that is more, or faster, than it takes.

        Sent all the same, it would cost every client the connection.
        """
        text = message.encode("COUNT", upstream_id, *filters)
        longest, most = self.limits.max_message_length, self.limits.max_filters
        if longest is not None and len(text) > longest:
            return False
        if most is not None and len(filters) > most:
            return False
        if not self._count_bucket.take(now):
            return False
        self.output.append(text)
        return True

    # Time

    def tick(self, now: float, wall: float) -> None:
        """Send what is due: queued, retried, refreshed; doubt what does not answer."""
        if not self.connected:
            return
        if now >= self._scan_at:
            self._scan(now)
        while self._queue and self._bucket.take(now):
            ask = self._queue.pop()
            ask.refreshing = False
            self._send(ask, now, wall)
        batch = self._refresh_batch
        if batch and self._refresh_bucket.take(now, batch):
            for _ in range(batch):
                self._refresh(self._refreshes.pop(), now, wall)
        if self._probe_id is not None and now >= self._probe_due:
            self.suspect = "it answers neither a subscription nor a probe"

    @property
    def _refresh_batch(self) -> int:
        # Some at a time: a wake-up of the relay's thread costs more than they do.
        return min(len(self._refreshes), self._settings.burst_refreshes)

    def _refresh(self, ask: RelaySubscription, now: float, wall: float) -> None:
        ask.refreshing = ask.confirmation is not None
        self._send(ask, now, wall)
        if ask.awaiting:
            ask.answer_due = now + self._settings.refresh_answer_seconds
            self._scan_at = min(self._scan_at, ask.answer_due)

    def deadline(self, now: float) -> float | None:
        """Give the instant of the next `tick`; None while nothing waits for time."""
        if not self.connected:
            return None
        due = [self._scan_at] if self._asks else []
        if self._queue:
            due.append(self._bucket.next_at(now))
        if self._refreshes:
            due.append(self._refresh_bucket.next_at(now, self._refresh_batch))
        if self._probe_id is not None:
            due.append(self._probe_due)
        return min(due, default=None)

    def _scan(self, now: float) -> None:
        # Thousands are looked at here, for each relay: seldom, and for next to nothing.
        self._scan_at = now + self._settings.refresh_seconds / SCANS
        quiet = now - self._settings.refresh_seconds
        for ask in self._asks.values():
            state = ask.state
            if state is RelaySubscriptionState.RETRYING:
                if ask.retry_at <= now:
                    self._enqueue(ask)
                elif ask.retry_at < self._scan_at:
                    self._scan_at = ask.retry_at
            elif ask.answer_due is not None:
                if ask.answer_due <= now:
                    self._doubt(ask, now)
                elif ask.answer_due < self._scan_at:
                    self._scan_at = ask.answer_due
            elif (
                ask.heard_at <= quiet
                and ask.sent_at <= quiet
                and (
                    state is RelaySubscriptionState.LIVE
                    or state is RelaySubscriptionState.SENT
                )
                and ask not in self._refreshes
            ):
                self._refreshes.add(ask)

    def _doubt(self, ask: RelaySubscription, now: float) -> None:
        ask.answer_due = None
        self._doubted.append(ask)
        if self._probe_id is None:
            self._probe_id = self._new_id()
            self._probe_due = now + self._settings.probe_seconds
            self.output.append(message.encode("REQ", self._probe_id, PROBE_FILTER))

    def _answers_probe(self, wire_id: str, now: float) -> bool:
        if wire_id != self._probe_id:
            return False
        self._probe_id = None
        self.output.append(message.encode("CLOSE", wire_id))
        for ask in self._doubted:
            if (
                ask.state is RelaySubscriptionState.SENT
                and self._asks.get(ask.wire_id) is ask
            ):
                self._back_off(ask, now)
        self._doubted.clear()
        return True

    # Sending

    def _send(self, ask: RelaySubscription, now: float, wall: float) -> None:
        live, gap = map(self._sendable, ask.filters(now, wall))
        ask.fetch = ask.to_complete(live, gap, self._page_events)
        ask.page_wire = None
        ask.answer_due = None
        ask.sent_at = now
        ask.state = RelaySubscriptionState.SENT
        # An EOSE that is still to come must not pass for the answer to the new REQ.
        wire_id = ask.wire_id
        if wire_id in ask.awaiting or ask.closing:
            wire_id = ask.extra_wire_id()
        self._leave_wires(ask, keep=wire_id)
        if not live and not gap:  # nothing new can match: not asked again
            self._complete(ask, now, wall)
            return
        chunks = self._chunks([*live, *gap])
        if len(chunks) == 1:
            self._send_part(ask, wire_id, chunks[0], temporary=False)
            return
        for chunk in self._chunks(live):
            self._send_part(ask, wire_id, chunk, temporary=False)
            wire_id = ask.extra_wire_id()
        for chunk in self._chunks(gap):
            self._send_part(ask, ask.extra_wire_id(), chunk, temporary=True)

    @property
    def _page_events(self) -> int:
        most = self.limits.max_limit
        return min(self._settings.page_events, most or self._settings.page_events)

    def _send_part(
        self,
        ask: RelaySubscription,
        wire_id: str,
        filters: Sequence[Filter],
        *,
        temporary: bool,
    ) -> None:
        ask.wires[wire_id] = temporary
        ask.awaiting.add(wire_id)
        self._wires[wire_id] = ask
        self.output.append(self._encode(wire_id, filters))

    def _sendable(self, filters: Sequence[Filter]) -> list[Filter]:
        """Split what is longer than the relay takes; leave out what has no parts."""
        longest = self.limits.max_message_length
        if longest is None:
            return list(filters)
        found: list[Filter] = []
        left = list(reversed(filters))
        while left:
            filter_ = left.pop()
            if len(self._encode("x" * 64, [filter_])) <= longest:
                found.append(filter_)
            else:
                left += reversed(filter_.halves())
        return found

    def _chunks(self, filters: Sequence[Filter]) -> list[list[Filter]]:
        most = self.limits.max_filters or len(filters)
        longest = self.limits.max_message_length
        chunks: list[list[Filter]] = []
        for filter_ in filters:
            if chunks and len(chunks[-1]) < most:
                larger = [*chunks[-1], filter_]
                if longest is None or len(self._encode("x" * 64, larger)) <= longest:
                    chunks[-1] = larger
                    continue
            chunks.append([filter_])
        return chunks

    def _encode(self, wire_id: str, filters: Sequence[Filter]) -> str:
        most = self.limits.max_limit
        bodies = [
            (
                filter_.json
                if most is None or filter_.limit is None or filter_.limit <= most
                else filter_.replaced(limit=most)
            )
            for filter_ in filters
        ]
        return message.encode("REQ", wire_id, *bodies)

    def _new_bucket(self, now: float) -> TokenBucket:
        return TokenBucket(
            self._settings.requests_per_second, self._settings.burst_requests, now
        )


def _filter_count(ask: RelaySubscription) -> int:
    return sum(len(request.filters) for request in ask.members.values())
