"""One upstream subscription on one relay: what was asked, what is still to come.

Usually it serves one REQ of one client. Where a relay allows few subscriptions, several
REQs share one; each is then a *member*.
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
from .overlap import Confirmation, can_bring_news, gap_filters, live_filters
from .settings import Settings


class Request(NamedTuple):
    """A REQ as relays are to serve it.

    `arrived` is when it came, in Unix seconds; `delivered` tells whether an event id
    was delivered to it; `is_public` whether its client came by the public endpoint.
    """

    upstream_id: str
    filters: tuple[Filter, ...]
    arrived: float
    delivered: Callable[[str], bool]
    is_public: bool = False


class RelaySubscriptionState(Enum):
    """Where an upstream subscription stands on its relay."""

    QUEUED = auto()  # to be sent as soon as connection and pace allow
    SENT = auto()  # sent; stored events are coming; EOSE is still to come
    LIVE = auto()  # EOSE came; new events are coming
    RETRYING = auto()  # the relay closed it for now
    CLOSED = auto()  # the relay closed it for good


class RelaySubscription:
    """The state of one upstream subscription on one relay.

    `wires` are the subscription ids in use for it on the connection, its own and others
    for what does not fit one REQ; True marks those that are closed after their EOSE.
    `closing` are those that were closed for others, with events perhaps on their way.
    Where a relay refuses a shared one, members are `excluded`, half by half, until the
    refused one is known; `accepted_members` are those that the relay serves.
    `awaiting` are those whose EOSE is still to come. `heard_on` is the one the relay
    speaks of at the moment, `page_wire` the one a page is fetched on. Instants are
    those of `clock.now`.
    """

    def __init__(self, wire_id: str, settings: Settings) -> None:
        self.wire_id = wire_id
        self.state = RelaySubscriptionState.QUEUED
        self.members: dict[str, Request] = {}
        self.answered: set[str] = set()
        self.excluded: set[str] = set()
        self.accepted_members: set[str] = set()
        self.awaiting: set[str] = set()
        self.wires: dict[str, bool] = {}
        self.closing: deque[str] = deque()
        self.heard_on: str | None = None
        self.page_wire: str | None = None
        self.tries = 0
        self.asked_authenticated = False
        self.retry_at = 0.0
        self.sent_at = 0.0
        self.heard_at = 0.0
        self.progress_at = 0.0
        self.answer_due: float | None = None
        self.refreshing = False
        self.fetch: Fetch | None = None
        self.confirmation: Confirmation | None = None
        self._settings = settings
        self._extra = 0

    @property
    def is_public(self) -> bool:
        """Whether it serves nobody but public clients."""
        return all(request.is_public for request in self.members.values())

    @property
    def recovery(self) -> Recovery | None:
        """How an event that comes now was found; None: live, or asked for first."""
        if self.state is RelaySubscriptionState.LIVE:
            return None
        if self.page_wire is not None and self.heard_on == self.page_wire:
            return Recovery.PAGE
        if not self.answered:
            return None
        return Recovery.REFRESH if self.refreshing else Recovery.RECONNECT

    def filters(self, now: float, wall: float) -> tuple[list[Filter], list[Filter]]:
        """Give the filters to send: those that stay open, and those that fetch a gap.

        Until a member had its first EOSE here, it is asked as its client asked.
        """
        live: list[Filter] = []
        gap: list[Filter] = []
        for upstream_id, request in self.members.items():
            if upstream_id in self.excluded:
                continue
            if upstream_id not in self.answered or self.confirmation is None:
                live += request.filters
                continue
            confirmed = self.confirmation.at(wall, now)
            if not can_bring_news(request.filters, confirmed, request.delivered):
                continue
            live += live_filters(request.filters)
            gap += gap_filters(
                request.filters,
                confirmed,
                request.arrived,
                self._settings,
                unnamed_gift_wraps=not self.refreshing,
            )
        return live, gap

    def to_complete(
        self, live: Sequence[Filter], gap: Sequence[Filter], page_events: int
    ) -> Fetch | None:
        """Give the fetch that completes the answer should the relay cut it.

        Beside the gap these are a client's own filters with `since` and no `limit`: who
        asks so wants everything from then on. Without `since`, cutting is expected.
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
        return Fetch(wanted, others, page_events, self._settings.pages)

    def extra_wire_id(self) -> str:
        """Give another subscription id for a part of this one."""
        self._extra += 1
        return f"{self.wire_id}-{self._extra}"

    def event(self, event: SignedEvent, now: float, wall: float) -> None:
        """An event came for this subscription."""
        self.heard_at = now
        if self.state is RelaySubscriptionState.LIVE:
            self.confirmation = Confirmation(wall, now)
        elif self.fetch is not None and self.page_wire in (None, self.heard_on):
            self.fetch.event(event)

    def complete(self, now: float, wall: float) -> Iterable[str]:
        """The answer is complete; gives the members that had none before."""
        self.state = RelaySubscriptionState.LIVE
        self.heard_at = now
        self.tries = 0
        self.asked_authenticated = False
        self.answer_due = None
        self.refreshing = False
        self.fetch = None
        self.page_wire = None
        self.confirmation = Confirmation(wall, now)
        new = [
            upstream_id
            for upstream_id in self.members
            if upstream_id not in self.answered and upstream_id not in self.excluded
        ]
        self.answered.update(new)
        return new

    def leave(self, upstream_id: str) -> None:
        """Forget a member."""
        self.members.pop(upstream_id, None)
        for known in (self.answered, self.excluded, self.accepted_members):
            known.discard(upstream_id)
        if self.excluded and self.excluded >= self.members.keys():
            self.excluded.clear()

    def release(self) -> bool:
        """The relay served what was asked; tells whether more was held back."""
        if not self.excluded:
            self.accepted_members.clear()
            return False
        self.accepted_members.update(self.members.keys() - self.excluded)
        self.excluded.clear()
        return True

    def candidates(self) -> list[str]:
        """The relay refused what was asked: give the members it may have meant.

        Where they are several, half of them are held back from now on.
        """
        candidates = [
            upstream_id
            for upstream_id in self.members
            if upstream_id not in self.excluded
            and upstream_id not in self.accepted_members
        ]
        if len(candidates) > 1:
            self.excluded.update(candidates[len(candidates) // 2 :])
        else:
            self.excluded.clear()
        return candidates


class RequestQueue:
    """What is to be sent at a relay's pace, in order, private clients' before public.

    Otherwise the thousands that public clients may open would keep a private one from
    its stored events for minutes.
    """

    def __init__(self) -> None:
        self._private: dict[str, RelaySubscription] = {}
        self._public: dict[str, RelaySubscription] = {}

    def __len__(self) -> int:
        return len(self._private) + len(self._public)

    def __contains__(self, ask: RelaySubscription) -> bool:
        return ask.wire_id in self._private or ask.wire_id in self._public

    def add(self, ask: RelaySubscription) -> None:
        """Add at the end; what is in the queue already keeps its place."""
        if ask.is_public:
            self._private.pop(ask.wire_id, None)
            self._public[ask.wire_id] = ask
        else:
            self._public.pop(ask.wire_id, None)
            self._private[ask.wire_id] = ask

    def discard(self, ask: RelaySubscription) -> None:
        """Take out what need not be sent any more."""
        self._private.pop(ask.wire_id, None)
        self._public.pop(ask.wire_id, None)

    def pop(self) -> RelaySubscription:
        """Take the next one. Raises `StopIteration` where there is none."""
        queue = self._private or self._public
        return queue.pop(next(iter(queue)))

    def clear(self) -> None:
        """Take out all of them."""
        self._private.clear()
        self._public.clear()
