"""One relay's side of the conversation: what to send it, when to send again (NIP-01).

Theory of operation. The relay's messages and `now` go in, text for the relay comes out;
no socket, thread or clock is known here.

- `RelayRequest` is one REQ of a client. `chunking` cuts it into parts that fit this
  relay, `sharing` chooses the `RelaySubscription` that serves each part.
- `Egress` is the one queue to the wire for REQs and EVENTs; `RequestPace` says when the
  next REQ may leave. Gaps and pages wait for a free place among the subscriptions that
  the relay allows.
- On relays with NIP-77 a `Reconciliation` finds missed events, instead of windows.
- Every answer is booked to its wire (see `wire`), by `eose`, `closed` and
  `find_subscription`. Silence and NOTICEs are booked by `Heartbeat`: each waiting state
  has a due time, and `_judge` decides what a missing answer means.
- A REQ is told as finished once every part was answered, or closed for whatever reason.
  It is told as closed once every part was refused for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from . import backoff, message
from .chunking import chunk, fits, split_restricted, split_to_fit
from .complaints import Complaint, classify
from .egress import Egress, QueuedEvent
from .errors import InvalidMessage
from .filter import Filter
from .heartbeat import PROBE_FILTER, Heartbeat
from .limits import Limits, RelayLimits
from .pace import TokenBucket
from .poison import PoisonWatch
from .reconcile import Reconciler, Reconciliation, ReconciliationState
from .relay_subscription import (
    MOST_RETURNED,
    Part,
    RelaySubscription,
    RelaySubscriptionState,
    Request,
    upstream_ids,
)
from .request_pace import RequestPace
from .settings import RESTRICTED_KINDS, Settings
from .sharing import (
    allowed_live_wires,
    find_share,
    takes_a_place,
)
from .wire import WirePurpose, WireState
from .wires import Wires

__all__ = ["ClosedForGood", "RelayLimits", "RelaySession"]

MIN_LEARNED_SUBSCRIPTIONS = 5  # fewer unanswered REQs may have another reason
MAX_PAGE_TRIES = 3  # of a page refused for now; then what came is the answer
TRY_OUT_SECONDS = 0.5  # an honest relay has answered the first REQ by then
MAX_TRIED_OUT = 2  # REQs: one may be of a kind that needs no AUTH
MAX_PAUSE_EXPONENT = 6  # of two, in seconds: a minute, as between connections
BUSY_SECONDS = 0.5  # how often clients learn that the relay was not asked yet
ALIVE_SECONDS = 0.5  # since a relay spoke, before it is sent a suspected message
POISONOUS = "error: the relay ends the connection when it is sent this"

_S = RelaySubscriptionState


class ClosedForGood(NamedTuple):
    """A relay will not serve these subscriptions, and why."""

    upstream_ids: tuple[str, ...]
    message: str


class RelayRequest:
    """One REQ on this relay: its parts, and whether its client was told of an end.

    `passed` are parts that were closed for now before their first answer.
    """

    __slots__ = ("closed", "parts", "passed", "request", "told")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.parts: list[Part] = []
        self.passed: set[Part] = set()
        self.told = False
        self.closed = False


class RelaySession:
    """All upstream subscriptions of one relay, connected or not.

    `output` collects the text to be sent; whoever sends it empties it. `suspect` is why
    the connection is to be replaced. `finished`, `refused`, `busy` and `given_up`
    collect what clients are to be told, `wants_key` the REQs that the relay serves to
    certain keys only. `crowded_second` is one of which the relay holds more events than
    it returns at once. Instants are those of `clock.now`.
    """

    def __init__(
        self,
        settings: Settings,
        new_id: Callable[[], str],
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.connected = False
        self.output: list[str] = []
        self.finished: list[str] = []
        self.refused: list[ClosedForGood] = []
        self.busy: list[str] = []
        self.given_up: list[str] = []
        self.wants_key: list[Request] = []
        self.crowded_second: int | None = None
        self.suspect: str | None = None
        self.can_authenticate = False
        self.authentication_pending = False
        self._settings = settings
        self._new_id = new_id
        self._jitter = jitter
        self._splits_restricted = False
        self._wants_keys = False
        self._requests: dict[str, RelayRequest] = {}
        self._subscriptions: dict[str, RelaySubscription] = {}
        self._serving: dict[Part, RelaySubscription] = {}
        self._untold: set[str] = set()
        self._egress = Egress(settings.eose_max_seconds)
        self._heartbeat = Heartbeat(settings)
        self._pace = RequestPace(settings)
        self._limits = Limits()
        self._wires = Wires(self.output, self._pace, lambda: self.limits)
        self._poison = PoisonWatch(settings)
        self._reconciler = Reconciler(settings.reconciliations_per_relay)
        self._held_events: dict[str, QueuedEvent] = {}
        self._count_bucket = TokenBucket(
            settings.counts_per_second, settings.burst_counts, 0
        )
        self._authenticated = False
        self._hold_until = 0.0
        self._tries_out_until: float | None = None
        self._refused_authenticated = 0
        self._answered_filters = 0  # most of them in a REQ that was answered
        self._received_at = 0.0
        self._opened_wall = float("-inf")
        self._limit_notices = 0
        self._limit_notice_due: float | None = None
        self._wall_offset = 0.0
        self._hint: tuple[str, float] | None = None
        self._has_answer = False
        self._number = 0
        self._busy_at = 0.0
        self._any_busy = False

    @property
    def subscription_count(self) -> int:
        """How many wires the relay's subscriptions take, or are about to."""
        subscriptions = list(self._subscriptions.values())  # also from other threads
        return sum(item.state is not _S.CLOSED for item in subscriptions)

    @property
    def limits(self) -> RelayLimits:
        """The limits that count: the smaller of announced and learned ones."""
        return self._limits.effective

    @property
    def learned_limits(self) -> RelayLimits:
        """The limits that the relay did not announce, but has."""
        return self._limits.learned

    @property
    def requests_per_second(self) -> float | None:
        """The learned pace for REQs; None while the relay has not complained."""
        return self._pace.per_second if self._pace.factor < 1 else None

    @property
    def has_answer(self) -> bool:
        """Whether the relay answered or refused any REQ on this connection."""
        return self._has_answer

    @property
    def waiting_events(self) -> int:
        """How many EVENTs wait to be sent."""
        return self._egress.event_count + len(self._held_events)

    @property
    def waiting_event_ids(self) -> set[str]:
        """The EVENTs that wait to be sent: the relay has not got them yet."""
        return {*self._held_events, *self._egress.event_ids}

    # Subscriptions come and go

    def subscribe(self, request: Request) -> None:
        """Open a subscription, or replace the one of the same id."""
        self.unsubscribe(request.upstream_id)
        known = self._requests[request.upstream_id] = RelayRequest(request)
        self._untold.add(request.upstream_id)
        for part in self._split(request):
            known.parts.append(part)
            self._place(part)
            if self._wants_keys:
                self._want_key(part)

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription and forget everything about it."""
        known = self._requests.pop(upstream_id, None)
        if known is None:
            return
        self._untold.discard(upstream_id)
        for part in known.parts:
            self._drop(part)

    def keep_only(self, requests: Iterable[Request]) -> None:
        """Serve exactly these REQs; known ones go on from where they were."""
        wanted = {request.upstream_id: request for request in requests}
        for upstream_id in list(self._requests):
            if upstream_id not in wanted:
                self.unsubscribe(upstream_id)
        for upstream_id, request in wanted.items():
            known = self._requests.get(upstream_id)
            if known is None or known.request.filters != request.filters:
                self.subscribe(request)

    def _split(self, request: Request) -> list[Part]:
        groups: list[tuple[Sequence[Filter], bool]] = [(request.filters, False)]
        if self._splits_restricted:
            open_, restricted = split_restricted(request.filters, RESTRICTED_KINDS)
            groups = [(open_, False), (restricted, True)]
        limits = self.limits
        parts = [
            Part(request, tuple(filters), restricted=restricted)
            for group, restricted in groups
            for filters in chunk(split_to_fit(group, limits), limits)
        ]
        return parts or [Part(request, ())]

    def _place(self, part: Part) -> None:
        """Assign a part to a subscription of its own, or to a shared one."""
        limits = self.limits
        allowed = allowed_live_wires(limits)
        is_polled = False
        if allowed is not None:
            taken = sum(map(takes_a_place, self._subscriptions.values()))
            if taken >= allowed:
                share = find_share(
                    part, self._subscriptions.values(), limits, self._settings
                )
                if share is not None:
                    share.add(part)
                    self._serving[part] = share
                    self._enqueue(share)
                    return
                is_polled = part.request.is_public or not self._make_room()
        subscription = RelaySubscription(self._new_key(part), self._settings)
        subscription.is_polled = is_polled
        self._start(subscription, part)
        self._enqueue(subscription)

    def _start(self, subscription: RelaySubscription, part: Part) -> None:
        subscription.add(part)
        self._serving[part] = subscription
        self._subscriptions[subscription.key] = subscription

    def _new_key(self, part: Part) -> str:
        key = part.request.upstream_id
        if key not in self._subscriptions:
            return key
        self._number += 1
        return f"{key}-p{self._number}"

    def _place_again(self, subscription: RelaySubscription) -> None:
        parts = list(subscription.parts)
        self._forget(subscription)
        for part in parts:
            self._place(part)

    def _make_room(self) -> bool:
        """Free a place that public clients have, for a private one."""
        public = [
            item
            for item in self._subscriptions.values()
            if item.is_public and takes_a_place(item)
        ]
        if not public:
            return False
        subscription = public[-1]
        parts = list(subscription.parts)
        self._forget(subscription)
        for part in parts:
            share = find_share(
                part, self._subscriptions.values(), self.limits, self._settings
            )
            if share is not None:
                share.add(part)
                self._serving[part] = share
                self._enqueue(share)
                continue
            polled = RelaySubscription(self._new_key(part), self._settings)
            polled.is_polled = True
            self._start(polled, part)
            self._enqueue(polled)
        return True

    def _drop(self, part: Part) -> None:
        subscription = self._serving.pop(part, None)
        if subscription is None:
            return
        subscription.remove(part)
        if not subscription.parts:
            self._forget(subscription)
        elif subscription.state in (_S.SENT, _S.LIVE):
            self._enqueue(subscription)  # its filters are to end on the relay, too

    def _forget(self, subscription: RelaySubscription) -> None:
        for part in list(subscription.parts):
            self._serving.pop(part, None)
            subscription.remove(part)
        self._wires.close_all(subscription)
        self._end_reconciliation(subscription)
        self._wires.forget_closing(subscription)
        self._subscriptions.pop(subscription.key, None)
        self._dequeue(subscription)
        self._poison.forget(subscription.key)

    def _enqueue(self, subscription: RelaySubscription) -> None:
        if subscription.state is not _S.QUEUED:
            subscription.move(_S.QUEUED)
        self._heartbeat.refreshes.discard(subscription)
        self._egress.add_request(subscription)

    def _dequeue(self, subscription: RelaySubscription) -> None:
        self._egress.discard(subscription.key)
        self._heartbeat.refreshes.discard(subscription)

    # Limits

    def set_limits(self, limits: RelayLimits) -> None:
        """Apply what the relay's NIP-11 document says."""
        cut_answers = limits.first_limit is not None and self.limits.first_limit is None
        self._limits = self._limits.announce(limits)
        self._apply_limits()
        if cut_answers:
            for subscription in self._subscriptions.values():
                if subscription.state in (_S.SENT, _S.LIVE) and _may_be_cut(
                    subscription
                ):
                    self._ask_anew(subscription, subscription.parts)

    def forget_learned_limits(self) -> None:
        """Apply the announced limits alone from now on: relays change."""
        self._answered_filters = 0
        self._limits = self._limits.forget_learned()
        self._reconciler.forget()

    def set_reconciles(self, is_listed: bool) -> None:
        """Apply whether the relay's NIP-11 document lists NIP-77."""
        self._reconciler.list(is_listed)

    def learn_message_length(self, length: int) -> None:
        """Apply a limit of messages, in bytes, that the relay did not announce."""
        self._limits = self._limits.learn(message_length=length)
        self._apply_limits()

    def split_restricted_kinds(self) -> None:
        """Send restricted kinds apart from now on, so that the relay has to refuse.

        Relays leave them out of a mixed answer without a word (NIP-42, NIP-17).
        """
        if self._splits_restricted:
            return
        self._splits_restricted = True
        for known in list(self._requests.values()):
            parts = self._split(known.request)
            if [part.filters for part in parts] != [
                part.filters for part in known.parts
            ]:
                self._replace_parts(known, parts)
                continue
            for part, split in zip(known.parts, parts, strict=True):
                part.restricted = split.restricted

    def _replace_parts(self, known: RelayRequest, parts: list[Part]) -> None:
        confirmed = [
            subscription.confirmed(part) if subscription is not None else None
            for part in known.parts
            for subscription in (self._serving.get(part),)
        ]
        earliest = None
        if all(item is not None for item in confirmed):
            earliest = min((item for item in confirmed if item), default=None)
        authenticated = all(part.authenticated for part in known.parts)
        for part in known.parts:
            self._drop(part)
        known.parts = parts
        known.passed.clear()
        for part in parts:
            # An answer without AUTH may have left out the restricted kinds.
            if earliest is not None and (authenticated or not part.restricted):
                part.answered, part.confirmation = True, earliest
                part.authenticated = authenticated
            self._place(part)

    def _apply_limits(self) -> None:
        limits = self.limits
        for known in list(self._requests.values()):
            if not all(
                not part.filters or fits(part.filters, limits) for part in known.parts
            ):
                self._replace_parts(known, self._split(known.request))
        for subscription in list(self._subscriptions.values()):
            together = [item for part in subscription.parts for item in part.filters]
            if subscription.is_shared and not fits(together, limits):
                self._place_again(subscription)
        allowed = allowed_live_wires(limits)
        if allowed is None:
            return
        placed = [item for item in self._subscriptions.values() if takes_a_place(item)]
        # Those that were served stay, the others share.
        placed.sort(key=lambda item: not item.answered_here)
        for subscription in placed[allowed:]:
            self._place_again(subscription)

    # The connection comes and goes

    def open(self, now: float, wall: float) -> None:
        """Handle a new connection: every subscription is sent (again), at its pace.

        Where the relay is known to want AUTH, they wait for it a moment.
        """
        self.connected = True
        self.suspect = None
        self._authenticated = False
        self._has_answer = False
        self.authentication_pending = False
        self._hint = None
        self._received_at = now
        self._opened_wall = wall
        self._limit_notices = 0
        self._limit_notice_due = None
        self._busy_at = now
        self._pace.open(now)
        self._heartbeat.open(now)
        self.tick(now, wall)

    def try_out(self, now: float) -> None:
        """Send few REQs until the first answer: the relay may refuse all of them.

        Where there is a key to authenticate with, AUTH may be under way next.
        """
        self._tries_out_until = now + TRY_OUT_SECONDS
        self._refused_authenticated = 0

    def hold_requests(self, until: float) -> None:
        """Send no REQ before this instant, or before AUTH was accepted."""
        self._hold_until = until

    def lose(
        self,
        now: float = 0.0,
        *,
        ended_by_relay: bool = False,
        mid_message: bool = False,
    ) -> None:
        """Handle the end of the connection, and of everything the relay was asked.

        `mid_message` as in `PoisonWatch.lose`.
        """
        self.connected = False
        self.output.clear()
        self._wires.lose()
        self._egress.clear()
        self._held_events.clear()
        self._heartbeat.lose()
        self._reconciler.lose(ended_by_relay=ended_by_relay)
        self._hold_until = 0.0
        self.authentication_pending = False
        if ended_by_relay:
            self._pace.ended(now)
        convicted = self._poison.lose(
            now, ended_by_relay=ended_by_relay, mid_message=mid_message
        )
        for subscription in list(self._subscriptions.values()):
            waited_for_auth = subscription.state is _S.UNAUTHENTICATED
            subscription.interrupt()
            if subscription.state is not _S.CLOSED or waited_for_auth:
                self._enqueue(subscription)
            else:
                self._reopen(subscription)
        if convicted is not None:
            self._give_up(convicted)

    def _give_up(self, key: str) -> None:
        subscription = self._subscriptions.get(key)
        if subscription is None:
            self.given_up.append(key)
        elif subscription.is_shared:
            self._try_alone(subscription)
        else:
            self._close(subscription, POISONOUS)

    def _reopen(self, subscription: RelaySubscription) -> None:
        """Send again what was closed for want of an AUTH, or of membership."""
        if not any(
            message.is_for_connection(part.refusal) for part in subscription.parts
        ):
            return
        for part in subscription.parts:
            part.refusal = None
            known = self._requests.get(part.request.upstream_id)
            if known is not None:
                known.closed = False
        self._enqueue(subscription)

    def _try_alone(self, subscription: RelaySubscription) -> None:
        """Send each part of a shared REQ alone until the relay answers it."""
        parts = list(subscription.parts)
        self._forget(subscription)
        for part in parts:
            alone = RelaySubscription(self._new_id(), self._settings)
            alone.outcast = True
            self._start(alone, part)
            self._enqueue(alone)

    # AUTH (NIP-42)

    def authenticated(self, now: float, wall: float) -> None:
        """Handle that the relay accepted our AUTH: ask anew what it may have withheld.

        The wire ids are new, as some relays ignore an identical REQ of the same id.
        """
        self._authenticated = True
        self.authentication_pending = False
        self._hold_until = 0.0
        if self._tries_out_until is not None:
            self.try_out(now)
        for subscription in self._subscriptions.values():
            if subscription.state is _S.UNAUTHENTICATED:
                self._enqueue(subscription)
            elif subscription.state is _S.CLOSED:
                self._reopen(subscription)
            elif subscription.state in (_S.SENT, _S.LIVE):
                parts = [part for part in subscription.parts if not part.authenticated]
                self._ask_anew(subscription, parts)
        self._tell_held()
        self.tick(now, wall)

    def _ask_anew(self, subscription: RelaySubscription, parts: Iterable[Part]) -> None:
        """Ask again for all that these parts match, whatever was answered before."""
        for part in parts:
            part.answered, part.confirmation = False, None
        subscription.needs_new_wire = True
        self._enqueue(subscription)

    def cannot_authenticate(
        self, now: float = 0.0, *, for_now: bool = False
    ) -> ClosedForGood | None:
        """Handle that the relay refused our AUTH: what needs it is closed here.

        It is asked for again on the next connection; `for_now`, after a while as well.
        """
        self.can_authenticate = for_now
        self.authentication_pending = False
        self._hold_until = 0.0
        for subscription in list(self._subscriptions.values()):
            if subscription.state is not _S.UNAUTHENTICATED:
                continue
            if for_now:
                self._back_off(subscription, now)
            else:
                self._close(subscription, "auth-required: AUTH was refused")
        self._tell_held()
        return self._take_refused()

    def forget_authentication(self) -> None:
        """Handle that another key, or none, is used from now on."""
        for known in self._requests.values():
            for part in known.parts:
                part.authenticated = False
                if message.is_for_connection(part.refusal):
                    part.refusal = None

    def want_keys(self) -> None:
        """Ask for the keys that the restricted parts of all REQs are about (NIP-42).

        The relay sent AUTH once: it may withhold them without a word.
        """
        self._wants_keys = True
        for known in self._requests.values():
            for part in known.parts:
                self._want_key(part)

    def want_refused_keys(self) -> None:
        """Ask again for the keys of what the relay refused: there are new ones."""
        for known in self._requests.values():
            for part in known.parts:
                if part.refusal is not None or self._wants_keys:
                    self._want_key(part)

    def _want_key(self, part: Part) -> None:
        if part.restricted:
            self.wants_key.append(part.request._replace(filters=part.filters))

    # What clients are told

    def _settle(self, parts: Iterable[Part]) -> None:
        for upstream_id in upstream_ids(parts):
            known = self._requests.get(upstream_id)
            if known is None:
                continue
            if all(part.refusal is not None for part in known.parts):
                self._untold.discard(upstream_id)
                if not known.closed:
                    known.closed = True
                    refusals = [part.refusal or "" for part in known.parts]
                    text = message.most_telling(refusals)
                    self.refused.append(ClosedForGood((upstream_id,), text))
            elif (
                not known.told
                and not self.authentication_pending
                and all(
                    part.answered or part.refusal is not None or part in known.passed
                    for part in known.parts
                )
            ):
                known.told = True
                self._untold.discard(upstream_id)
                self.finished.append(upstream_id)

    def _tell_held(self) -> None:
        """Report what was held back while an AUTH was under way."""
        for upstream_id in list(self._untold):
            self._settle(self._requests[upstream_id].parts)

    def _take_finished(self) -> list[str]:
        finished, self.finished = self.finished, []
        return finished

    def _take_refused(self) -> ClosedForGood | None:
        """Return what was refused since; several with the same words together."""
        if not self.refused:
            return None
        refused, self.refused = self.refused, []
        text = refused[0].message
        ids = [name for item in refused if item.message == text for name in item[0]]
        self.refused = [item for item in refused if item.message != text]
        return ClosedForGood(tuple(ids), text)

    def _report_busy(self, now: float) -> None:
        """Report that the relay was not asked yet: it is busy, not silent."""
        if not self._untold or now - self._busy_at < BUSY_SECONDS:
            return
        self._busy_at = now
        busy = [name for name in self._untold if self._is_busy(self._requests[name])]
        self._any_busy = bool(busy)
        self.busy += busy

    def _is_busy(self, known: RelayRequest) -> bool:
        if self.authentication_pending:
            return True
        for part in known.parts:
            subscription = self._serving.get(part)
            if subscription is not None and (
                subscription.state in (_S.QUEUED, _S.UNAUTHENTICATED)
                or part in subscription.excluded
            ):
                return True
        return False

    # The relay speaks

    def received(self, now: float) -> None:
        """Handle that the relay said anything: it is alive."""
        self._received_at = now
        self._heartbeat.is_alive = True

    def find_subscription(self, wire_id: str) -> RelaySubscription | None:
        """Return what an EVENT with this subscription id answers; None if unasked for.

        The next event passed to the `RelaySubscription` is taken for that EVENT.
        """
        found = self._wires.find(wire_id)
        if found is None:
            return None
        subscription = found[0]
        subscription.received_on = wire_id
        return subscription

    def is_whole_req(self, subscription: RelaySubscription) -> bool:
        """Return whether the present answer is that to one whole REQ of a client."""
        if subscription.is_shared or len(subscription.wires) != 1:
            return False
        known = self._requests.get(subscription.upstream_ids[0])
        return known is not None and len(known.parts) == 1

    def eose(
        self, wire_id: str, now: float, wall: float, *, is_complete: bool = False
    ) -> list[str]:
        """Handle EOSE; return the subscriptions for which it is the first one here.

        `is_complete`: the relay said that nothing was cut (NIP-67).
        """
        self._received_at = now
        self._heartbeat.is_alive = True
        if self._answers_probe(wire_id, now):
            return self._take_finished()
        found = self._wires.find(wire_id)
        if found is None or found[1].state is WireState.CLOSING:
            return []
        subscription, wire = found
        if wire.state is not WireState.SENT:
            return []
        self._count_answer(subscription)
        self._answered_filters = max(self._answered_filters, wire.filter_count)
        if wire.is_temporary:
            self._wires.close(subscription, wire)
        else:
            wire.move(WireState.OPEN)
        subscription.received_at = now
        if subscription.is_awaiting:
            return self._take_finished()
        if subscription.state is _S.RETRYING:  # late, but it is served
            subscription.move(_S.SENT)
        if subscription.state is not _S.SENT:
            return self._take_finished()
        self._continue(subscription, now, wall, is_complete=is_complete)
        return self._take_finished()

    def _count_answer(self, subscription: RelaySubscription) -> None:
        self._tries_out_until = None
        self._refused_authenticated = 0
        self._has_answer = True
        self._pace.answer()
        self._poison.answered(subscription.key)

    def _continue(
        self,
        subscription: RelaySubscription,
        now: float,
        wall: float,
        *,
        is_complete: bool = False,
    ) -> None:
        """Fetch the next page of an answer that looks cut, or complete it."""
        page = None
        if subscription.fetch is not None and not is_complete:
            page = subscription.fetch.next_page()
        if page is None:
            if subscription.fetch is not None and subscription.fetch.skipped_second:
                self.crowded_second = subscription.fetch.skipped_second
            subscription.fetch = None
            subscription.page = subscription.page_wire = None
            if not self._reconcile(subscription, now):
                self._complete(subscription, now, wall)
            return
        self._send_page(subscription, page, now)

    def _send_page(
        self, subscription: RelaySubscription, page: Filter, now: float
    ) -> None:
        self._set_due(subscription, now + self._settings.refresh_answer_seconds)
        subscription.page = page
        subscription.page_wire = subscription.extra_wire_id()
        self._wires.send_temporary(subscription, [page])

    def _set_due(self, subscription: RelaySubscription, due: float) -> None:
        subscription.due = due
        self._heartbeat.watch(due)

    def _complete(
        self, subscription: RelaySubscription, now: float, wall: float
    ) -> None:
        authenticated = self._authenticated
        subscription.complete(
            now,
            wall,
            authenticated=authenticated,
            most_returned=self._most_returned,
        )
        included = subscription.included
        for part in included:
            part.tries = 0
        self._wires.forget_closing(subscription)
        if subscription.release():
            self._enqueue(subscription)
        elif subscription.outcast:  # the relay takes it after all
            self._place_again(subscription)
        if subscription.is_polled:
            self._heartbeat.watch(now + self._settings.poll_seconds)
        self._settle(included)

    def closed(self, wire_id: str, text: str, now: float) -> ClosedForGood | None:
        """Handle CLOSED; return which subscriptions the relay will never serve."""
        self._received_at = now
        self._heartbeat.is_alive = True
        if self._answers_probe(wire_id, now):
            return None
        found = self._wires.find(wire_id)
        if found is None:
            return None
        self._has_answer = True
        subscription, wire = found
        was_closing = wire.state is WireState.CLOSING
        self._wires.end(subscription, wire)
        if was_closing:
            return None
        self._poison.answered(subscription.key)
        if wire.purpose is WirePurpose.PAGE:
            self._page_refused(subscription, text, now)
            return self._take_refused()
        if wire.is_temporary and subscription.reconciliation is not None:
            self._fetch_windows(subscription, now)
            return self._take_refused()
        is_own_gap = wire.purpose is WirePurpose.GAP and not (
            subscription.is_polled or subscription.outcast
        )
        if is_own_gap and message.is_final(text):
            # It will never be served; the live wire beside it is.
            if subscription.state is _S.SENT and not subscription.is_awaiting:
                self._complete(subscription, now, now + self._wall_offset)
            return self._take_refused()
        self._dequeue(subscription)
        subscription.waiting_gaps.clear()  # before a closed wire makes room for one
        for other in list(subscription.wires.values()):
            # A refused gap is fetched later; the live wire beside it serves on.
            if other.is_temporary or wire.purpose is WirePurpose.LIVE:
                self._wires.close(subscription, other)
        subscription.fetch = None
        self._end_reconciliation(subscription)
        self._forget_good_service(subscription, now)
        self._refuse(subscription, text, now)
        return self._take_refused()

    def _page_refused(
        self, subscription: RelaySubscription, text: str, now: float
    ) -> None:
        """Fetch a page again that the relay refused for now, some times.

        The subscription stays open. Refused for good, what came is its answer.
        """
        if subscription.state is not _S.SENT:
            return
        complaint = classify(text)
        if complaint is Complaint.RATE:
            self._pace.complain(now)
        for_now = complaint in (Complaint.RATE, Complaint.SUBSCRIPTIONS)
        subscription.page_tries += 1
        if subscription.page_tries <= MAX_PAGE_TRIES and (
            for_now or not message.is_final(text)
        ):
            subscription.retries_page = True
            pause = self._settings.subscription_retry_seconds
            self._set_due(subscription, now + pause * subscription.page_tries)
            self._pass(subscription)
            return
        subscription.fetch = None
        self._complete(subscription, now, now + self._wall_offset)

    def _pass(self, subscription: RelaySubscription) -> None:
        """End the wait for the first answer: it takes its time."""
        for part in subscription.parts:
            known = self._requests.get(part.request.upstream_id)
            if known is not None and not part.answered:
                known.passed.add(part)
        self._settle(subscription.parts)

    def _forget_good_service(self, subscription: RelaySubscription, now: float) -> None:
        since, subscription.served_since = subscription.served_since, None
        forget = self._settings.reconnect_forget_seconds
        if since is not None and now - since >= forget:
            subscription.tries = 0

    def _refuse(self, subscription: RelaySubscription, text: str, now: float) -> None:
        prefix = message.prefix(text)
        if prefix == "auth-required" and self._wait_for_auth(subscription, now):
            return
        if message.is_final(text):
            self._refuse_for_good(subscription, text, now)
            return
        self._handle_complaint(subscription, text, classify(text), now)

    def _handle_complaint(
        self,
        subscription: RelaySubscription,
        text: str,
        complaint: Complaint,
        now: float,
    ) -> None:
        if complaint is Complaint.RATE:
            self._pace.complain(now)
            self._back_off(subscription, now)
        elif (
            complaint is Complaint.SUBSCRIPTIONS
            and self._learn_subscriptions(subscription, minimum=1)
        ) or (complaint is Complaint.FILTERS and self._learn_filters(subscription)):
            pass
        elif complaint in (Complaint.FILTER, Complaint.FILTERS):
            self._refuse_for_good(subscription, text, now)
        elif subscription.is_shared:
            self._narrow(subscription, text, is_final=False, now=now)
        elif subscription.tries > 0 and self._learn_subscriptions(
            subscription, minimum=MIN_LEARNED_SUBSCRIPTIONS
        ):
            pass
        else:
            self._back_off(subscription, now)

    def _wait_for_auth(self, subscription: RelaySubscription, now: float) -> bool:
        if not self.can_authenticate or subscription.sent_authenticated:
            if not any(part.restricted for part in subscription.parts):
                self._slow_down_refused(now)
            return False
        if self._authenticated:  # it was sent before that
            subscription.needs_new_wire = True
            self._enqueue(subscription)
            return True
        due = now + self._settings.auth_seconds
        self._any_busy = True
        subscription.move(_S.UNAUTHENTICATED, due)
        self._heartbeat.watch(due)
        return True

    def _slow_down_refused(self, now: float) -> None:
        """Slow down on a relay that refuses REQs although it knows who we are."""
        if self._tries_out_until is None or not self._authenticated:
            return
        self._refused_authenticated += 1
        pause = 2.0 ** min(self._refused_authenticated, MAX_PAUSE_EXPONENT)
        self._hold_until = max(self._hold_until, now + pause)

    def _refuse_for_good(
        self, subscription: RelaySubscription, text: str, now: float
    ) -> None:
        if subscription.is_shared:
            self._narrow(subscription, text, is_final=True, now=now)
        else:
            self._close(subscription, text)

    def _close(self, subscription: RelaySubscription, text: str) -> None:
        self._dequeue(subscription)
        subscription.move(_S.CLOSED)
        for part in subscription.parts:
            part.refusal = text
            if message.prefix(text) in ("auth-required", "restricted"):
                self._want_key(part)
        self._settle(list(subscription.parts))

    def _narrow(
        self, subscription: RelaySubscription, text: str, *, is_final: bool, now: float
    ) -> None:
        """Look for the part of a shared REQ that the relay refuses, half by half."""
        self._any_busy = True
        candidates = subscription.narrow()
        if not candidates:  # it refuses what it served a moment ago
            subscription.accepted.clear()
            self._back_off(subscription, now)
            return
        if len(candidates) == 1:
            self._set_apart(subscription, candidates[0], text, is_final, now)
        self._enqueue(subscription)

    def _set_apart(
        self,
        subscription: RelaySubscription,
        part: Part,
        text: str,
        is_final: bool,
        now: float,
    ) -> None:
        """Move a refused part into a subscription of its own, and try it alone later.

        For good it is refused only by words that are final; everybody else goes on.
        """
        subscription.remove(part)
        del self._serving[part]
        alone = RelaySubscription(self._new_id(), self._settings)
        alone.outcast = True
        self._start(alone, part)
        if is_final:
            self._close(alone, text)
            return
        part.tries += 1
        alone.tries = part.tries - 1
        self._back_off(alone, now)

    def _back_off(self, subscription: RelaySubscription, now: float) -> None:
        self._dequeue(subscription)
        subscription.tries += 1
        pause = backoff.ceiling(
            subscription.tries,
            self._settings.subscription_retry_seconds,
            self._settings.subscription_retry_max_seconds,
        )
        due = now + pause * (1 + self._jitter())
        subscription.move(_S.RETRYING, due)
        self._heartbeat.watch(due)
        self._pass(subscription)

    def back_off(self, wire_id: str, now: float) -> None:
        """Ask for less for a while: what came for this subscription was too large."""
        found = self._wires.find(wire_id)
        if found is not None and found[1].state is not WireState.CLOSING:
            subscription = found[0]
            self._wires.close_all(subscription)
            self._end_reconciliation(subscription)
            if subscription.is_shared:
                self._narrow(subscription, "error: too large", is_final=False, now=now)
            else:
                self._back_off(subscription, now)

    def notice(self, text: str, now: float) -> Complaint:
        """Handle NOTICE; return what it complains about.

        Some relays answer with nothing else. REQs that are still unanswered soon after
        are taken for the ones it speaks of.
        """
        self._received_at = now
        self._heartbeat.is_alive = True
        complaint = classify(text)
        if "neg" in text.lower() and self._reconciler.asked:
            asked = list(self._reconciler.asked.values())
            self._reconciler.gave_up()  # it knows no NEG-OPEN
            for key in asked:
                self._fetch_windows(self._subscriptions[key], now)
        if complaint is Complaint.OTHER:
            return complaint
        if complaint is Complaint.RATE:
            self._pace.complain(now)
        elif complaint is Complaint.SUBSCRIPTIONS:
            self._limit_notices += 1
            if self._limit_notice_due is None:
                self._limit_notice_due = now + self._settings.notice_patience_seconds
        self._hint = (text, now)
        due = now + self._settings.notice_patience_seconds
        for subscription in self._subscriptions.values():
            if subscription.state is _S.SENT and (
                subscription.due is None or subscription.due > due
            ):
                self._set_due(subscription, due)
        return complaint

    def count(
        self, upstream_id: str, filters: Sequence[dict[str, Any]], now: float
    ) -> bool:
        """Send COUNT (NIP-45); return whether the relay takes it, and as fast as that.

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

    # Publishing

    def publish(
        self,
        event_id: str,
        text: str,
        client: object,
        now: float,
        *,
        is_public: bool = False,
    ) -> None:
        """Send an EVENT after the REQs that its client sent before it."""
        event = QueuedEvent(event_id, text, now)
        if self._poison.is_suspected(event_id):
            self._held_events[event_id] = event
            self._poison.wait(event_id, now)
            return
        self._egress.add_event(client, event, is_public=is_public)

    def event_answered(self, event_id: str) -> None:
        """Handle the relay's OK."""
        self._poison.answered(event_id)

    # Time

    def tick(self, now: float, wall: float) -> None:
        """Send what is due: queued, retried, refreshed; judge what does not answer."""
        self._wires.now, self._wall_offset = now, wall - now
        if not self.connected:
            return
        for subscription in self._heartbeat.overdue(self._subscriptions.values(), now):
            if self._subscriptions.get(subscription.key) is subscription:
                self._overdue(subscription, now)
        if self._limit_notice_due is not None and now >= self._limit_notice_due:
            self._learn_from_notices()
        self._compare_next(now, wall)
        self._send_queued(now, wall)
        for subscription in self._heartbeat.take_refreshes(now):
            self._refresh(subscription, now, wall)
        self._report_busy(now)
        if self._heartbeat.is_unanswered(now):
            if self._heartbeat.is_alive or not self._heartbeat.probe_decides:
                self._answers_probe(self._heartbeat.probe_id or "", now)
            else:
                self.suspect = "it answers neither a subscription nor a probe"

    def _send_queued(self, now: float, wall: float) -> None:
        while self._poison.may_send(now):
            item = self._egress.take(now, lambda: self._may_request(now))
            if item is None:
                if not self._egress:
                    self._poison.caught_up()
                break
            if isinstance(item, QueuedEvent):
                self._poison.sent(item.event_id, now)
                self.output.append(item.text)
            elif self._poison.is_suspected(item.key):
                self._poison.wait(item.key, now)
            else:
                self._send(item, now, wall)
        key = self._next_suspected(now)
        if key is None:
            return
        event = self._held_events.pop(key, None)
        subscription = self._subscriptions.get(key)
        if event is not None:
            self._poison.sent(key, now)
            self.output.append(event.text)
        elif subscription is not None and subscription.state is _S.QUEUED:
            self._send(subscription, now, wall)
        else:
            self._poison.forget(key)

    def _next_suspected(self, now: float) -> str | None:
        """Return the suspected message to send now, alone, on a link that is alive.

        Where a link hangs and is lost, the message on its way is not to blame.
        """
        if self._hold_until > now or not self._poison.is_ready(now):
            return None
        is_alive = now - self._received_at < ALIVE_SECONDS
        if not is_alive and not self._poison.is_late(now):
            if self._heartbeat.probe_id is None:
                self._send_probe(now, decides=False, keep_silence=True)
            return None
        return self._poison.next(now)

    def _may_request(self, now: float) -> bool:
        if self._hold_until > now:
            return False
        if self._tries_out_until is not None:
            if self._tries_out_until <= now and not self._is_undecided:
                self._tries_out_until = None
            elif self._has_tried_enough:
                return False
        return self._pace.take(now)

    @property
    def _is_undecided(self) -> bool:
        return bool(self._refused_authenticated) or self.authentication_pending

    @property
    def _has_tried_enough(self) -> bool:
        sent = sum(item.state is _S.SENT for item in self._subscriptions.values())
        return sent >= MAX_TRIED_OUT

    def _next_request_at(self, now: float) -> float | None:
        """Return when the next REQ may leave; None: only an answer lets it out."""
        at = max(self._hold_until, self._pace.next_at(now))
        if self._tries_out_until is None or not self._has_tried_enough:
            return at
        return None if self._is_undecided else max(at, self._tries_out_until)

    def _refresh(
        self, subscription: RelaySubscription, now: float, wall: float
    ) -> None:
        subscription.refreshing = subscription.confirmation is not None
        self._send(subscription, now, wall)

    def deadline(self, now: float) -> float | None:
        """Return the instant of the next `tick`; None while nothing waits for time."""
        if not self.connected:
            return None
        due: list[float | None] = [
            self._heartbeat.deadline(now, any_open=bool(self._subscriptions)),
            self._poison.next_at(now),
            self._limit_notice_due,
        ]
        if self._egress.request_count:
            due.append(self._next_request_at(now))
        if self._egress.event_count:
            due.append(self._egress.next_late())
        if self._untold and (
            self._any_busy or self._egress.request_count or self.authentication_pending
        ):
            due.append(self._busy_at + BUSY_SECONDS)
        return min((at for at in due if at is not None), default=None)

    def _overdue(self, subscription: RelaySubscription, now: float) -> None:
        subscription.due = None
        if subscription.state is _S.RETRYING:
            self._enqueue(subscription)
        elif subscription.state is _S.UNAUTHENTICATED:
            self._close(subscription, "auth-required: no answer to AUTH")
        elif subscription.retries_page and subscription.page is not None:
            subscription.retries_page = False
            self._send_page(subscription, subscription.page, now)
        elif self._is_comparing(subscription):
            self._reconciler.gave_up()
            self._fetch_windows(subscription, now)
        elif subscription.state is _S.SENT:
            patience = self._settings.refresh_answer_seconds
            if subscription.received_at > max(subscription.sent_at, now - patience):
                self._set_due(subscription, subscription.received_at + patience)
            else:
                self._doubt(subscription, now)

    def _doubt(self, subscription: RelaySubscription, now: float) -> None:
        if self._speaks_of(subscription) or self._spoke_lately(subscription, now):
            self._judge(subscription, now)
            return
        self._heartbeat.doubted.append(subscription)
        if self._heartbeat.probe_id is None or not self._heartbeat.probe_decides:
            self._send_probe(now, decides=True)

    def probe(self, now: float) -> None:
        """Send a REQ that a living relay answers, unless one is on its way."""
        if self._heartbeat.probe_id is None:
            self._send_probe(now, decides=False)

    def _send_probe(
        self, now: float, *, decides: bool, keep_silence: bool = False
    ) -> None:
        if self._heartbeat.probe_id is not None:
            self.output.append(message.encode("CLOSE", self._heartbeat.probe_id))
        wire_id = self._new_id()
        self._heartbeat.probe(wire_id, now, decides=decides)
        self.output.append(message.encode("REQ", wire_id, PROBE_FILTER))
        if not keep_silence:
            self._refresh_one()

    def _refresh_one(self) -> None:
        """Refresh a served subscription: a relay at its limit ignores the probe."""
        served = [
            item
            for item in self._subscriptions.values()
            if item.state is _S.LIVE and item.answered_here and not item.is_polled
        ]
        if served:
            self._heartbeat.refreshes.add(max(served, key=_received_at))

    def _speaks_of(self, subscription: RelaySubscription) -> bool:
        """Return whether a NOTICE came that may be the answer to this REQ."""
        return self._hint is not None and self._hint[1] >= subscription.sent_at

    def _spoke_lately(self, subscription: RelaySubscription, now: float) -> bool:
        lately = max(now - self._settings.probe_seconds, subscription.sent_at)
        return self._received_at > lately

    def _judge(self, subscription: RelaySubscription, now: float) -> None:
        """Decide what it means that a living relay has not answered this REQ."""
        hint, complaint = "error: no answer", Complaint.OTHER
        if self._hint is not None and self._speaks_of(subscription):
            hint = self._hint[0]
            complaint = classify(hint)
        self._wires.close_temporary(subscription)  # the live one may be late
        subscription.fetch = None
        self._end_reconciliation(subscription)
        self._forget_good_service(subscription, now)
        if complaint is Complaint.OTHER and self._learn_subscriptions(
            subscription, minimum=MIN_LEARNED_SUBSCRIPTIONS
        ):
            return
        if complaint is Complaint.RATE or (
            complaint is Complaint.FILTER and not subscription.is_shared
        ):
            # Several REQs may have been unanswered: the words need not be this one's.
            self._back_off(subscription, now)
            return
        self._handle_complaint(subscription, hint, complaint, now)

    def _answers_probe(self, wire_id: str, now: float) -> bool:
        if wire_id != self._heartbeat.probe_id:
            return False
        self._heartbeat.probe_id = None
        self.output.append(message.encode("CLOSE", wire_id))
        doubted, self._heartbeat.doubted = self._heartbeat.doubted, []
        for subscription in doubted:
            if (
                subscription.state is _S.SENT
                and self._subscriptions.get(subscription.key) is subscription
            ):
                self._judge(subscription, now)
        return True

    def _learn_subscriptions(
        self, subscription: RelaySubscription, *, minimum: int
    ) -> bool:
        """Learn how many subscriptions the relay allows, where this one was too many.

        It was where others are served, all of them opened before it.
        """
        if subscription.answered_here or subscription.is_polled or subscription.outcast:
            return False
        served = [
            item
            for item, wire in self._wires
            if wire.state is WireState.OPEN and item.answered_here
        ]
        if len(served) < minimum or any(
            item.sent_number > subscription.sent_number for item in served
        ):
            return False
        known = self.limits.max_subscriptions
        if known is not None and known <= len(served):
            return False
        self._limits = self._limits.learn(subscriptions=len(served))
        self._apply_limits()
        if self._subscriptions.get(subscription.key) is subscription:
            self._enqueue(subscription)
        return True

    def _learn_from_notices(self) -> None:
        """Learn from NOTICEs about subscriptions where every REQ had its EOSE.

        strfry answers a subscription too many with its stored events, and a NOTICE.
        """
        refused, self._limit_notices = self._limit_notices, 0
        self._limit_notice_due = None
        states = [wire.state for _, wire in self._wires]
        if WireState.SENT in states:
            return  # those are taken for the refused ones
        allowed = states.count(WireState.OPEN) - refused
        known = self.limits.max_subscriptions
        if allowed < 1 or (known is not None and known <= allowed):
            return
        self._limits = self._limits.learn(subscriptions=allowed)
        self._apply_limits()

    def _learn_filters(self, subscription: RelaySubscription) -> bool:
        """Learn how many filters a REQ may hold, where this one held too many.

        Not fewer than a REQ that was answered held.
        """
        refused = subscription.sent_filters
        allowed = max(refused // 2, self._answered_filters)
        if refused < 2 or allowed >= refused:
            return False
        self._limits = self._limits.learn(
            filters=allowed + (self.limits.first_limit is not None)
        )
        self._apply_limits()
        if self._subscriptions.get(subscription.key) is subscription:
            self._enqueue(subscription)
        return True

    # Reconciling (NIP-77)

    def _plan_reconciliation(
        self,
        subscription: RelaySubscription,
        windows: list[Filter],
        now: float,
        wall: float,
    ) -> list[Filter]:
        """Plan what to compare after the live EOSE; return the windows that remain."""
        if (
            not self._reconciler.is_used
            or subscription.is_polled
            or subscription.outcast
        ):
            return windows
        length = self.limits.max_message_length
        found = subscription.targets(now, wall, length)
        if found is None or not found[0]:
            return windows
        targets, replaced, others = found
        subscription.reconciliation = Reconciliation(
            targets, replaced, self._settings.reconcile_missing_events, length
        )
        return others

    def _is_comparing(self, subscription: RelaySubscription) -> bool:
        work = subscription.reconciliation
        return work is not None and work.state is ReconciliationState.ASKED

    def _reconcile(self, subscription: RelaySubscription, now: float) -> bool:
        """Begin the next step of a reconciliation; return False if there is none."""
        work = subscription.reconciliation
        if work is None or work.state is ReconciliationState.FETCHING:
            return False
        if work.state is ReconciliationState.ASKED:
            return True
        if work.has_targets:
            if not self._reconciler.has_room:
                subscription.due = None  # those under way have theirs
                self._reconciler.waiting.append((subscription.key, work))
                return True
            wire_id = subscription.extra_wire_id()
            self._reconciler.asked[wire_id] = subscription.key
            self.output.append(work.open(wire_id))
            self._pace.spend(now)
            self._set_due(subscription, now + self._settings.reconcile_answer_seconds)
            return True
        missing = split_to_fit(work.fetch(self._page_events), self.limits)
        for filters in chunk(missing, self.limits):
            self._wires.send_temporary(subscription, filters)
        self._set_due(subscription, now + self._settings.refresh_answer_seconds)
        return bool(missing)

    def negotiated(self, wire_id: str, payload: bytes, now: float, wall: float) -> None:
        """Handle NEG-MSG (NIP-77)."""
        self.received(now)
        subscription = self._compared(wire_id)
        if subscription is None or subscription.reconciliation is None:
            return
        self._reconciler.answered()
        subscription.received_at = now
        try:
            text = subscription.reconciliation.answer(payload)
        except InvalidMessage:
            self._fetch_windows(subscription, now)
            return
        if text is not None:
            self.output.append(text)
            self._set_due(subscription, now + self._settings.reconcile_answer_seconds)
            return
        self._close_comparison(wire_id)
        self._continue(subscription, now, wall)

    def negotiation_refused(self, wire_id: str, now: float) -> None:
        """Handle NEG-ERR (NIP-77): the windows are fetched instead."""
        self.received(now)
        subscription = self._compared(wire_id)
        if subscription is None:
            return
        self._reconciler.refused()
        del self._reconciler.asked[wire_id]
        self._fetch_windows(subscription, now)

    def _compared(self, wire_id: str) -> RelaySubscription | None:
        subscription = self._subscriptions.get(self._reconciler.asked.get(wire_id, ""))
        if subscription is not None and subscription.state is not _S.SENT:
            self._end_reconciliation(subscription)  # it is to be sent anew
            return None
        return subscription

    def _compare_next(self, now: float, wall: float) -> None:
        """Begin comparisons that waited for room, whoever left it."""
        waiting = self._reconciler.waiting
        while waiting and self._reconciler.has_room:
            key, work = waiting.popleft()
            subscription = self._subscriptions.get(key)
            if (
                subscription is None
                or subscription.reconciliation is not work  # it was sent anew
                or work.state is not ReconciliationState.READY
                or subscription.state is not _S.SENT
            ):
                continue
            if self._reconciler.is_used:
                self._continue(subscription, now, wall)
            else:
                self._fetch_windows(subscription, now)

    def _fetch_windows(self, subscription: RelaySubscription, now: float) -> None:
        """Fetch what a reconciliation was to find: the relay does not do it."""
        work = subscription.reconciliation
        self._end_reconciliation(subscription)
        if work is None or subscription.state is not _S.SENT:
            return
        windows = split_to_fit(work.windows, self.limits)
        subscription.fetch = subscription.to_complete([], windows, self._page_events)
        for filters in chunk(windows, self.limits):
            self._wires.send_temporary(subscription, filters)
        self._set_due(subscription, now + self._settings.refresh_answer_seconds)
        if not windows:
            self._complete(subscription, now, now + self._wall_offset)

    def _close_comparison(self, wire_id: str) -> None:
        if self._reconciler.asked.pop(wire_id, None) is not None and self.connected:
            self.output.append(message.encode("NEG-CLOSE", wire_id))

    def _end_reconciliation(self, subscription: RelaySubscription) -> None:
        work, subscription.reconciliation = subscription.reconciliation, None
        if work is not None:
            work.end()
            self._close_comparison(work.wire_id)

    # Sending

    def _send(self, subscription: RelaySubscription, now: float, wall: float) -> None:
        limits = self.limits
        self._end_reconciliation(subscription)
        wanted, missed = subscription.filters(now, wall, self._opened_wall)
        missed = self._plan_reconciliation(subscription, missed, now, wall)
        live, gap = (split_to_fit(group, limits) for group in (wanted, missed))
        subscription.fetch = subscription.to_complete(live, gap, self._page_events)
        subscription.page_wire = None
        subscription.waiting_gaps.clear()
        subscription.sent_at = now
        subscription.sent_filters = 0
        subscription.sent_authenticated = self._authenticated
        subscription.move(_S.SENT)
        self._poison.sent(subscription.key, now)
        if subscription.is_polled or subscription.outcast:
            self._wires.close_all(subscription)
            live, gap = [], [*live, *gap]
        wire_id = self._wires.live_id(subscription, [*live, *gap])
        self._wires.leave(subscription, keep=wire_id)
        if not live and not gap:  # nothing new can match: it is not sent again
            self._poison.answered(subscription.key)
            self._complete(subscription, now, wall)
            return
        self._set_due(subscription, now + self._settings.refresh_answer_seconds)
        if live and len(chunk([*live, *gap], limits)) == 1:
            self._wires.send_live(subscription, wire_id, [*live, *gap])
            return
        if live:
            self._wires.send_live(subscription, wire_id, live)
        for filters_ in chunk(gap, limits):
            self._wires.send_temporary(subscription, filters_)

    @property
    def _most_returned(self) -> int:
        """How many events the relay returns at once to a filter without `limit`."""
        limits = self.limits
        return limits.default_limit or limits.max_limit or MOST_RETURNED

    @property
    def _page_events(self) -> int:
        limits = self.limits
        known = [
            most
            for most in (limits.max_limit, limits.default_limit)
            if most is not None
        ]
        return min([self._settings.page_events, *known])


def _may_be_cut(subscription: RelaySubscription) -> bool:
    """Return whether an answer lacks events where one `limit` holds for all filters."""
    filters = [filter_ for part in subscription.parts for filter_ in part.filters]
    return len(filters) > 1 or any(filter_.limit is None for filter_ in filters)


def _received_at(subscription: RelaySubscription) -> float:
    return subscription.received_at
