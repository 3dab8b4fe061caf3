"""One upstream subscription on one relay: its parts, its wires and its state.

Theory of operation. A client's REQ reaches a relay as one or several *parts*: filters
that fit into one REQ of this relay. A `RelaySubscription` serves the parts that travel
together on one live wire, usually a single one; where the relay allows few
subscriptions, parts of several REQs share it. It outlives connections.

    QUEUED           waits for the connection and the relay's pace
    SENT             waits for EOSE on each of its wires, until `due`
    LIVE             complete; asked again when nothing confirmed it for a while
    RETRYING         closed or ignored by the relay for now; asked again at `due`
    UNAUTHENTICATED  refused for want of an AUTH that is under way, until `due`
    CLOSED           refused for good

A live event or a complete answer confirms the subscription, and only its own wires
count. A replay after an interruption starts at the last confirmation (see `overlap`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from .event import SignedEvent
from .fetch import Fetch
from .figures import Recovery
from .filter import Filter
from .negentropy import Item
from .overlap import (
    Confirmation,
    can_bring_news,
    first_filters,
    gap_filters,
    late_filters,
    live_filters,
)
from .reconcile import Reconciliation, Target, frame_bytes
from .settings import Settings
from .wire import Wire, WireState

LATE_SECONDS = 1.0  # a REQ sent later than that may have missed events
MOST_RETURNED = 100  # events that a relay returns at once where it does not say so


class Request(NamedTuple):
    """A REQ as relays are to serve it.

    `arrived` is when it came, in Unix seconds; `delivered` returns whether an event id
    was delivered to it; `is_public` whether its client came by the public endpoint.
    `client` is the same for all requests of one client. `known` returns the events that
    one of the filters was given, see `Feed.known`.
    """

    upstream_id: str
    filters: tuple[Filter, ...]
    arrived: float
    delivered: Callable[[str], bool]
    is_public: bool = False
    client: object = None
    known: Callable[[Filter], tuple[int, list[Item]] | None] | None = None


class Part:
    """Filters of one REQ that are sent together.

    `answered`: the relay completed an answer to them once. `confirmation` is when they
    were last known to be served, where that was on another subscription than the
    present one. `authenticated`: that answer came after our AUTH.
    """

    __slots__ = (
        "answered",
        "authenticated",
        "confirmation",
        "filters",
        "live_only",
        "refusal",
        "request",
        "restricted",
        "tries",
        "was_cut",
    )

    def __init__(
        self, request: Request, filters: tuple[Filter, ...], *, restricted: bool = False
    ) -> None:
        self.request = request
        self.filters = filters
        self.restricted = restricted
        self.live_only = any(filter_.limit == 0 for filter_ in filters)
        self.answered = False
        self.was_cut = False
        self.authenticated = False
        self.confirmation: Confirmation | None = None
        self.refusal: str | None = None
        self.tries = 0


class RelaySubscriptionState(Enum):
    """The state of an upstream subscription."""

    QUEUED = auto()
    SENT = auto()
    LIVE = auto()
    RETRYING = auto()
    UNAUTHENTICATED = auto()
    CLOSED = auto()


_S = RelaySubscriptionState
# Read for each event: a name is found ten times faster than a member of an enum.
_LIVE = _S.LIVE
_MOVES: dict[RelaySubscriptionState, frozenset[RelaySubscriptionState]] = {
    _S.QUEUED: frozenset((_S.QUEUED, _S.SENT, _S.LIVE, _S.RETRYING, _S.CLOSED)),
    _S.SENT: frozenset(
        (_S.QUEUED, _S.SENT, _S.LIVE, _S.RETRYING, _S.UNAUTHENTICATED, _S.CLOSED)
    ),
    _S.LIVE: frozenset(
        (_S.QUEUED, _S.SENT, _S.LIVE, _S.RETRYING, _S.UNAUTHENTICATED, _S.CLOSED)
    ),
    _S.RETRYING: frozenset(
        (_S.QUEUED, _S.SENT, _S.RETRYING, _S.UNAUTHENTICATED, _S.CLOSED)
    ),
    _S.UNAUTHENTICATED: frozenset((_S.QUEUED, _S.RETRYING, _S.CLOSED)),
    _S.CLOSED: frozenset((_S.QUEUED,)),
}


class RelaySubscription:
    """The parts that one live wire serves. Instants are those of `clock.now`.

    `excluded` are parts held back while it is looked for the one that the relay
    refuses; `accepted` are those it turned out to serve. `is_polled`: there is no room
    for a live wire, so it is asked from time to time. `outcast`: the relay refused it
    among others, and it is tried alone.
    """

    def __init__(self, key: str, settings: Settings) -> None:
        self.key = key
        self.state = RelaySubscriptionState.QUEUED
        self.parts: list[Part] = []
        self.filter_count = 0
        """How many filters its REQ holds; read for each part that is placed."""
        self.excluded: set[Part] = set()
        self.accepted: set[Part] = set()
        self.wires: dict[str, Wire] = {}
        self.closing: deque[str] = deque()
        self.waiting_gaps: deque[list[Filter]] = deque()
        self.received_on: str | None = None
        self.page: Filter | None = None
        self.page_wire: str | None = None
        self.page_tries = 0
        self.retries_page = False
        self.tries = 0
        self.sent_authenticated = False
        self.due: float | None = None
        self.sent_at = 0.0
        self.sent_number = 0
        self.sent_filters = 0  # most of them in one REQ, since it was sent last
        self.received_at = 0.0
        self.served_since: float | None = None
        self.progress_at = 0.0
        self.answered_here = False
        self.refreshing = False
        self.needs_new_wire = False
        self.is_polled = False
        self.outcast = False
        self.fetch: Fetch | None = None
        self.reconciliation: Reconciliation | None = None
        self.confirmation: Confirmation | None = None
        self._received_count = 0
        self._settings = settings
        self._extra = 0
        self._upstream_ids: tuple[str, ...] | None = None
        self.live_only = False
        self.arrived = float("inf")
        """When the oldest of its REQs arrived, in Unix seconds."""

    def move(self, state: RelaySubscriptionState, due: float | None = None) -> None:
        """Enter a state, until `due`. Raises `AssertionError` for an illegal move."""
        if state not in _MOVES[self.state]:
            raise AssertionError(f"{self.state} does not become {state}")
        self.state = state
        self.due = due

    # Who is served

    @property
    def upstream_ids(self) -> tuple[str, ...]:
        """The REQs that an event on a wire of this subscription may answer."""
        if self._upstream_ids is None:
            self._upstream_ids = tuple(
                dict.fromkeys(part.request.upstream_id for part in self.parts)
            )
        return self._upstream_ids

    @property
    def unanswered_ids(self) -> list[str]:
        """The REQs that had no complete answer yet."""
        return upstream_ids(part for part in self.parts if not part.answered)

    def history_of(self, event: SignedEvent, overlap_seconds: float) -> set[str]:
        """Return the REQs to which a stored event is history they did not ask for.

        `limit: 0` means live events only (NIP-01). A stored event from before the REQ
        is none, but for one that came late: dated within the overlap, and not among
        what the relay held at first.
        """
        if self.state is _LIVE:
            return set()
        found: set[str] = set()
        for part in self.parts:
            since = part.request.arrived
            if part.answered:
                since -= overlap_seconds
            if (
                part.live_only
                and event.created_at < int(since)
                and not any(
                    filter_.limit != 0 and filter_.matches(event)
                    for filter_ in part.request.filters
                )
            ):
                found.add(part.request.upstream_id)
        return found

    @property
    def is_public(self) -> bool:
        """Whether it serves public clients; they never share with private ones."""
        return bool(self.parts) and self.parts[0].request.is_public

    @property
    def client(self) -> object:
        """The client whose turn it takes; a shared one has turns of its own."""
        clients = {part.request.client for part in self.parts}
        return clients.pop() if len(clients) == 1 else ("shared", self.key)

    @property
    def is_shared(self) -> bool:
        """Whether parts of several REQs travel together."""
        return len(self.parts) > 1

    @property
    def included(self) -> list[Part]:
        """The parts that are sent."""
        return [part for part in self.parts if part not in self.excluded]

    def add(self, part: Part) -> None:
        """Serve a part as well."""
        self.parts.append(part)
        self.filter_count += len(part.filters)
        self.arrived = min(self.arrived, part.request.arrived)
        self.live_only = self.live_only or part.live_only
        self._upstream_ids = None

    def remove(self, part: Part) -> None:
        """Serve a part no longer; it keeps what is known of its confirmation."""
        part.confirmation = self.confirmed(part)
        self.parts.remove(part)
        self.filter_count -= len(part.filters)
        arrivals = (other.request.arrived for other in self.parts)
        self.arrived = min(arrivals, default=float("inf"))
        self.live_only = any(other.live_only for other in self.parts)
        self._upstream_ids = None
        self.excluded.discard(part)
        self.accepted.discard(part)
        if self.excluded and len(self.excluded) == len(self.parts):
            self.excluded.clear()

    def confirmed(self, part: Part) -> Confirmation | None:
        """Return when a part was last known to be served; None: never completely."""
        if not part.answered:
            return None
        return part.confirmation or self.confirmation

    # What is sent

    @property
    def recovery(self) -> Recovery | None:
        """The way in which an event was found; None: live, or in the first answer."""
        if self.state is _LIVE:
            return None
        if self.page_wire is not None and self.received_on == self.page_wire:
            return Recovery.PAGE
        for part in self.parts:  # for each event: `any` would cost more
            if part.answered:
                return Recovery.REFRESH if self.refreshing else Recovery.RECONNECT
        return None

    def filters(
        self, now: float, wall: float, opened: float = float("-inf")
    ) -> tuple[list[Filter], list[Filter]]:
        """Return the filters to send: those that stay open, and those of a gap.

        Until a part was answered here, it is sent as its client asked. Where it is
        late, a filter with `limit` gets the window since the REQ as well. `opened` is
        when the connection began, in Unix seconds.
        """
        live: list[Filter] = []
        gap: list[Filter] = []
        for part in self.included:
            request, confirmed_by = part.request, self.confirmed(part)
            if confirmed_by is None:
                live += first_filters(part.filters)
                late = opened > request.arrived or (
                    wall - request.arrived > LATE_SECONDS
                )
                gap += late_filters(
                    part.filters, request.arrived, self._settings, is_late=late
                )
                continue
            confirmed = confirmed_by.at(wall, now)
            if not can_bring_news(part.filters, confirmed, request.delivered):
                continue
            live += live_filters(part.filters)
            gap += self._gap(part, part.filters, confirmed)
        return live, gap

    def _gap(
        self, part: Part, filters: Sequence[Filter], confirmed: float
    ) -> list[Filter]:
        return gap_filters(
            filters,
            confirmed,
            part.request.arrived,
            self._settings,
            unnamed_gift_wraps=not self.refreshing,
        )

    def targets(
        self, now: float, wall: float, max_message_length: int | None
    ) -> tuple[list[Target], list[Filter], list[Filter]] | None:
        """Return what to compare with the relay instead of fetching windows (NIP-77).

        That is the targets, the windows that they stand for, and those of filters that
        cannot be compared. None where a part was not answered yet.
        """
        targets: list[Target] = []
        replaced: list[Filter] = []
        others: list[Filter] = []
        for part in self.included:
            request, confirmed_by = part.request, self.confirmed(part)
            if confirmed_by is None:
                return None
            confirmed = confirmed_by.at(wall, now)
            if not can_bring_news(part.filters, confirmed, request.delivered):
                continue
            for filter_ in part.filters:
                windows = self._gap(part, [filter_], confirmed)
                found = self._compared(part, filter_, windows, max_message_length)
                if found:
                    targets += found
                    replaced += windows
                else:
                    others += windows
        return targets, replaced, others

    def _compared(
        self,
        part: Part,
        filter_: Filter,
        windows: Sequence[Filter],
        max_message_length: int | None,
    ) -> list[Target]:
        """Return the targets that find all that the windows would find, and more."""
        request = part.request
        known = request.known(filter_) if request.known is not None else None
        starts = [window.since or 0 for window in windows]
        if known is None or not starts or filter_.is_search:
            return []
        floor, items = known
        if floor > min(starts):
            return []
        # What its first answer left out is not to be found now.
        is_partial = filter_.limit is not None or part.was_cut
        whole = [filter_]
        if is_partial:
            whole = self._gap(part, [filter_], request.arrived)
        found: list[Target] = []
        for wanted in whole:
            since = max(wanted.since or 0, floor)
            until = wanted.until
            found.append(
                Target(
                    wanted.changed(since=since or None, limit=None),
                    [
                        item
                        for item in items
                        if item[0] >= since and (until is None or item[0] <= until)
                    ],
                    request.delivered,
                )
            )
        if any(
            frame_bytes(max_message_length, target.filter) is None for target in found
        ):
            return []
        return found

    def to_complete(
        self, live: Sequence[Filter], gap: Sequence[Filter], page_events: int
    ) -> Fetch | None:
        """Return the fetch that completes the answer where the relay cuts it.

        Beside the gap these are a client's own filters with `since` and no `limit`:
        such a client wants all from then on. Without `since`, cutting is expected.
        """
        wanted = list(gap)
        others: list[Filter] = []
        for filter_ in live:
            if filter_.since is not None and filter_.limit is None:
                wanted.append(filter_)
            elif len(live) > 1:  # a single one only brings the newest of the gap
                others.append(filter_)
        if not wanted:
            return None
        settings = self._settings
        most = settings.assumed_max_limit
        return Fetch(wanted, others, page_events, settings.pages, most)

    def extra_wire_id(self) -> str:
        """Return another subscription id for a wire of this subscription."""
        self._extra += 1
        return f"{self.key}-{self._extra}"

    # What the relay says

    @property
    def is_awaiting(self) -> bool:
        """Whether an EOSE, or the turn of a gap, is still to come."""
        return bool(self.waiting_gaps) or any(
            wire.state is WireState.SENT for wire in self.wires.values()
        )

    def event(self, event: SignedEvent, now: float, wall: float) -> None:
        """Handle an event that came on one of the wires."""
        self.received_at = now
        self._received_count += 1
        if self.state is _LIVE:
            if self.confirmation is None or self.confirmation.now != now:
                self.confirmation = Confirmation(wall, now)
        elif self.fetch is not None and self.page_wire in (None, self.received_on):
            self.fetch.event(event)

    def complete(
        self,
        now: float,
        wall: float,
        *,
        authenticated: bool = False,
        most_returned: int = MOST_RETURNED,
    ) -> list[Part]:
        """Handle the end of an answer; return the parts that had none before.

        An answer without AUTH does not confirm a part that was answered with it.
        `most_returned` is how many events the relay returns at once.
        """
        was_cut = self._received_count >= most_returned
        self._received_count = 0
        self.move(RelaySubscriptionState.LIVE)
        self.received_at = now
        self.answered_here = True
        if self.served_since is None:
            self.served_since = now
        self.refreshing = False
        self.fetch = None
        self.reconciliation = None
        self.page = self.page_wire = None
        self.page_tries = 0
        self.retries_page = False
        new: list[Part] = []
        for part in self.included:
            if part.authenticated and not authenticated:
                part.confirmation = self.confirmed(part)
                continue
            if not part.answered:
                new.append(part)
                part.was_cut = was_cut and any(
                    filter_.since is None for filter_ in part.filters
                )
            part.answered = True
            part.authenticated = authenticated
            part.confirmation = None
            part.refusal = None
        self.confirmation = Confirmation(wall, now)
        return new

    def interrupt(self) -> None:
        """Forget everything that lived on the connection."""
        self.excluded.clear()
        self.accepted.clear()
        self.wires.clear()
        self.closing.clear()
        self.waiting_gaps.clear()
        self.fetch = None
        self.reconciliation = None
        self._received_count = 0
        self.page = self.page_wire = None
        self.page_tries = 0
        self.retries_page = False
        self.refreshing = False
        self.needs_new_wire = False
        self.answered_here = False
        self.served_since = None

    # Looking for the part that a relay refuses

    def release(self) -> bool:
        """Handle an answer to what was sent; return whether parts were held back."""
        if not self.excluded:
            self.accepted.clear()
            return False
        self.accepted.update(self.included)
        self.excluded.clear()
        return True

    def narrow(self) -> list[Part]:
        """Handle a refusal; return the parts that the relay may have meant.

        Where they are several, half of them are held back from now on.
        """
        candidates = [part for part in self.included if part not in self.accepted]
        if len(candidates) > 1:
            self.excluded.update(candidates[len(candidates) // 2 :])
        else:
            self.excluded.clear()
        return candidates


class RequestQueue:
    """Subscriptions to be sent again, in order, private clients' before public ones."""

    def __init__(self) -> None:
        self._private: dict[str, RelaySubscription] = {}
        self._public: dict[str, RelaySubscription] = {}

    def __len__(self) -> int:
        return len(self._private) + len(self._public)

    def __contains__(self, subscription: RelaySubscription) -> bool:
        return subscription.key in self._private or subscription.key in self._public

    def add(self, subscription: RelaySubscription) -> None:
        """Add at the end; a subscription in the queue keeps its place."""
        if subscription.is_public:
            self._private.pop(subscription.key, None)
            self._public[subscription.key] = subscription
        else:
            self._public.pop(subscription.key, None)
            self._private[subscription.key] = subscription

    def discard(self, subscription: RelaySubscription) -> None:
        """Remove a subscription that need not be sent any more."""
        self._private.pop(subscription.key, None)
        self._public.pop(subscription.key, None)

    def pop(self) -> RelaySubscription:
        """Remove and return the next one. Raises `StopIteration` if there is none."""
        queue = self._private or self._public
        return queue.pop(next(iter(queue)))

    def clear(self) -> None:
        """Remove all of them."""
        self._private.clear()
        self._public.clear()


def upstream_ids(parts: Iterable[Part]) -> list[str]:
    """Return the ids of the REQs that these parts belong to, each once."""
    return list(dict.fromkeys(part.request.upstream_id for part in parts))
