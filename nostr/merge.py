"""The newest events of several relays, in the order one relay would send them (NIP-01).

Theory of operation. Each filter with a `limit` of n has a list of the newest n events
that any relay has sent for it. An event stays held until no relay that still owes its
answer can send a newer one. Relays answer newest first, so the last event of a relay,
its watermark, is the newest it can still send. Four things end the wait for a relay:

- its watermark is older than the event,
- it has sent n events for the filter, or its EOSE or CLOSED,
- it has been silent for `merge_silence_seconds`,
- the subscription is settled: everything held is released before the client's EOSE.

A watermark moves only by events that match a single filter, on a wire that serves no
other client: other events say nothing about the progress of one filter's answer. A
relay whose events come out of order has no watermark until its EOSE.

An event that is not among the newest n is dropped, unless it may have been published
after the REQ arrived: then it is delivered after the EOSE, as any live event.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .event import SignedEvent
from .filter import Filter, TagValues
from .overlap import GIFT_WRAP_KIND
from .settings import Settings

RANK_BYTES = 200  # of an entry in the list of the newest events

Rank = tuple[int, int]
"""The place of an event in the order of NIP-01; of two, the larger comes first."""

_NEVER = float("inf")


def rank(event: SignedEvent) -> Rank:
    """Return the place of an event: newest first, equal dates by the lower id."""
    return event.created_at, -int(event.id, 16)


class HeldBytes:
    """The memory that all merges of one client take together."""

    def __init__(self, max_bytes: int) -> None:
        self.total = 0
        self.max_bytes = max_bytes

    @property
    def exceeded(self) -> bool:
        """Whether the merges hold more than they may."""
        return self.total > self.max_bytes


class Settled(NamedTuple):
    """The events that a merge delivers before and after the client's EOSE."""

    before_eose: list[SignedEvent]
    after_eose: list[SignedEvent]


class _Answer:
    """The answer of one relay to one filter so far."""

    __slots__ = ("count", "oldest", "watermark")

    def __init__(self) -> None:
        self.watermark = _NEVER
        self.oldest = _NEVER
        self.count = 0

    def move(self, created_at: int) -> None:
        """Count an event; one that is newer than the last ends the trust in order."""
        if self.count and created_at > self.watermark:
            self.watermark = _NEVER
        elif not self.count or self.watermark != _NEVER:
            self.watermark = created_at
        self.oldest = min(self.oldest, created_at)
        self.count += 1


class _Newest:
    """The newest n events of one filter, and the relays' answers to it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.answers: dict[str, _Answer] = {}
        self.floor = 0
        self._ranks: list[Rank] = []
        self._waiting: list[Rank] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def add(self, place: Rank, *, waits: bool) -> tuple[bool, Rank | None]:
        """Add an event; return whether it belongs, and which one it displaces."""
        ranks = self._ranks
        if place[0] < self.floor:
            return False, None
        displaced = None
        if len(ranks) >= self.limit:
            if place < ranks[0]:
                return False, None
            displaced = ranks.pop(0)
            _remove(self._waiting, displaced)
        insort(ranks, place)
        if waits:
            insort(self._waiting, place)
        return True, displaced

    def discard(self, place: Rank) -> bool:
        """Remove an event; return whether it was among the newest."""
        _remove(self._waiting, place)
        return _remove(self._ranks, place)

    def raise_floor(self, created_at: int) -> list[Rank]:
        """Remove the events before an instant, for good; return them."""
        self.floor = max(self.floor, created_at)
        index = bisect_left(self._ranks, (self.floor, -_NEVER))
        removed, self._ranks = self._ranks[:index], self._ranks[index:]
        return removed

    def ready(self, relay_urls: Iterable[str]) -> Iterator[Rank]:
        """Yield what none of these relays can precede any more, newest first."""
        bar = -1.0
        for url in relay_urls:
            answer = self.answers.get(url)
            if answer is None:
                return
            if answer.count < self.limit:
                bar = max(bar, answer.watermark)
        waiting = self._waiting
        while waiting and waiting[-1][0] > bar:
            yield waiting.pop()

    @property
    def threshold(self) -> Rank | None:
        """The oldest of the newest n; None where there are fewer than n."""
        return self._ranks[0] if len(self._ranks) >= self.limit else None


class _Held(NamedTuple):
    event: SignedEvent
    lists: set[int]


class Merge:
    """The stored events of one subscription, merged from all relays.

    It is of use for filters with a `limit` above 0 and no `search`; `merges` tells
    whether there is one, `left_out` whether an event was not delivered before EOSE for
    exceeding it. `arrived` is when the REQ came, in Unix seconds; other instants are
    those of `clock.now`. Memory is counted in `held`: a merge that exceeds it releases
    all it holds and delivers events as they come.
    """

    def __init__(
        self,
        filters: Sequence[Filter],
        arrived: float,
        held: HeldBytes,
        settings: Settings,
    ) -> None:
        self._filters = filters
        self._settings = settings
        self._lists = {
            number: _Newest(filter_.limit or 0)
            for number, filter_ in enumerate(filters)
            if _is_merged(filter_)
        }
        self._recent = arrived - settings.merge_recent_seconds
        self._oldest_ephemeral = arrived - settings.ephemeral_expiry_seconds
        self._bytes = held
        self._own_bytes = 0
        self._held: dict[Rank, _Held] = {}
        self._newest_versions: dict[str, Rank] = {}
        self._ready: list[SignedEvent] = []
        self._parked: list[SignedEvent] = []
        self._began_at: float | None = None
        self._received_at: dict[str, float] = {}
        self._thresholds: dict[int, Rank | None] = {}
        self._passing = False
        self.left_out = False

    @staticmethod
    def merges(filters: Iterable[Filter]) -> bool:
        """Return whether any of these filters needs merging."""
        return any(map(_is_merged, filters))

    # What relays send

    def event(
        self, relay_url: str, event: SignedEvent, now: float, *, shared: bool = False
    ) -> None:
        """Add an event that no relay had sent before.

        `shared`: it came on a wire that serves other clients as well.
        """
        matching = self._receive(relay_url, event, now, shared=shared)
        if self._passing or self._is_passed_on(event):
            self._ready.append(event)
            return
        place = rank(event)
        if event.address is not None and not self._replace(event.address, place):
            return
        waits = all(number in self._lists for number in matching)
        lists: set[int] = set()
        for number in matching:
            newest = self._lists.get(number)
            if newest is None:
                continue
            belongs, displaced = newest.add(place, waits=waits)
            if belongs:
                lists.add(number)
                self._count_bytes(RANK_BYTES)
            if displaced is not None:
                self._count_bytes(-RANK_BYTES)
                self._drop(number, displaced)
        if not waits:
            self._ready.append(event)
        elif lists:
            self._held[place] = _Held(event, lists)
            self._count_bytes(event.memory_bytes)
        else:
            self._park(event)
        if self._bytes.exceeded:
            self._pass_through()

    def copy(
        self, relay_url: str, event: SignedEvent, now: float, *, shared: bool = False
    ) -> None:
        """Move a relay's watermark: it sent an event that another one had sent."""
        self._receive(relay_url, event, now, shared=shared)

    def restart(self, relay_url: str) -> None:
        """Handle a new connection of a relay: it sends its answer from the start."""
        for newest in self._lists.values():
            newest.answers.pop(relay_url, None)

    def cut(self, relay_url: str, max_events: int | None) -> None:
        """Stop at the oldest event of a relay that did not send all it holds.

        `max_events` is the number per filter at which the relay cuts its answers; None
        where the relay said itself that this one is cut. Older events of other relays
        are left out, as the client would take them for the end of a complete answer.
        """
        for number, newest in self._lists.items():
            answer = newest.answers.get(relay_url)
            if answer is None or answer.count >= newest.limit:
                continue
            if max_events is not None and answer.count < max_events:
                continue
            for place in newest.raise_floor(int(answer.oldest)):
                self._count_bytes(-RANK_BYTES)
                self._drop(number, place)

    def _receive(
        self, relay_url: str, event: SignedEvent, now: float, *, shared: bool
    ) -> Sequence[int]:
        """Move the watermark of a relay; return the filters that an event matches."""
        if self._began_at is None:
            self._began_at = now
        self._received_at[relay_url] = now
        if len(self._filters) == 1:
            matching = [0]
        else:
            tags = TagValues(event)
            matching = [
                number
                for number, filter_ in enumerate(self._filters)
                if filter_.matches(event, tags)
            ]
        if len(matching) == 1 and matching[0] in self._lists and not shared:
            answers = self._lists[matching[0]].answers
            answer = answers.get(relay_url)
            if answer is None:
                answer = answers[relay_url] = _Answer()
            answer.move(event.created_at)
        return matching

    def _replace(self, address: str, place: Rank) -> bool:
        """Remove the version that this one replaces; return False for an older one."""
        known = self._newest_versions.get(address)
        if known is not None and known > place:
            return False
        self._newest_versions[address] = place
        self._count_bytes(RANK_BYTES if known is None else 0)
        if known is not None:
            for newest in self._lists.values():
                if newest.discard(known):
                    self._count_bytes(-RANK_BYTES)
            held = self._held.pop(known, None)
            if held is not None:
                self._count_bytes(-held.event.memory_bytes)
        return True

    def _drop(self, number: int, place: Rank) -> None:
        """Remove an event from one list; hold it no longer where that was the last."""
        held = self._held.get(place)
        if held is None:
            return
        held.lists.discard(number)
        if not held.lists:
            del self._held[place]
            self._count_bytes(-held.event.memory_bytes)
            self._park(held.event)

    def _park(self, event: SignedEvent) -> None:
        self.left_out = True
        if self._may_be_live(event):
            self._parked.append(event)
            self._count_bytes(event.memory_bytes)

    def _is_passed_on(self, event: SignedEvent) -> bool:
        """Return whether the event is an ephemeral one that a relay only passes on.

        An old one was stored after all, and so `limit` is about it as well.
        """
        return event.is_ephemeral and event.created_at >= self._oldest_ephemeral

    def _may_be_live(self, event: SignedEvent) -> bool:
        """Return whether the event may have been published after the REQ arrived."""
        earliest = self._recent
        if event.kind == GIFT_WRAP_KIND:
            earliest -= self._settings.gift_wrap_seconds
        return event.created_at >= earliest

    def _count_bytes(self, change: int) -> None:
        self._own_bytes += change
        self._bytes.total += change

    def _pass_through(self) -> None:
        before, after = self.settle()
        self._ready = [*before, *after]
        self._passing = True

    # What the client is sent

    def take(self, now: float, pending: Iterable[str]) -> list[SignedEvent]:
        """Return the events to deliver now; `pending` are the relays that owe EOSE."""
        ready, self._ready = self._ready, []
        if not self._held or self._began_at is None:
            return ready
        relays = [url for url in pending if self._silent_at(url) > now]
        places: set[Rank] = set()
        for newest in self._lists.values():
            places.update(newest.ready(relays))
        for place in sorted(places & self._held.keys(), reverse=True):
            event = self._held.pop(place).event
            self._count_bytes(-event.memory_bytes)
            ready.append(event)
        return ready

    def deadline(self, now: float, pending: Iterable[str]) -> float | None:
        """Return when to `take` again though nothing arrives; None: never."""
        if not self._held:
            return None
        instants = (self._silent_at(url) for url in pending)
        return min((instant for instant in instants if instant > now), default=None)

    def _silent_at(self, relay_url: str) -> float:
        """Return the instant from which a relay holds nobody up any longer."""
        began_at = self._began_at or 0.0
        received_at = self._received_at.get(relay_url, began_at)
        return max(began_at, received_at) + self._settings.merge_silence_seconds

    def settle(self) -> Settled:
        """Return what is left to deliver round the client's EOSE, and free memory."""
        before = [*self._ready, *(self._held[p].event for p in self._places())]
        after = self._parked
        if not self._passing:
            self._thresholds = {
                number: newest.threshold for number, newest in self._lists.items()
            }
        self.close()
        return Settled(before, after)

    def _places(self) -> list[Rank]:
        return sorted(self._held, reverse=True)

    def close(self) -> None:
        """Free the memory; only `admits` may be called afterwards."""
        self._count_bytes(-self._own_bytes)
        self._ready, self._parked = [], []
        self._held.clear()
        self._newest_versions.clear()
        self._received_at.clear()
        for number, newest in self._lists.items():
            self._lists[number] = _Newest(newest.limit)

    def admits(self, event: SignedEvent) -> bool:
        """Return whether a stored event that comes after the EOSE is to be delivered.

        It is where it belongs to the newest n as they stood at the EOSE.
        """
        if self._is_passed_on(event) or self._may_be_live(event):
            return True
        tags = TagValues(event)
        place = rank(event)
        for number, filter_ in enumerate(self._filters):
            threshold = self._thresholds.get(number)
            if (threshold is None or place > threshold) and (
                filter_.matches(event, tags)
            ):
                return True
        return False


def _remove(ranks: list[Rank], place: Rank) -> bool:
    """Remove a place from a sorted list; return whether it was there."""
    index = bisect_left(ranks, place)
    if index < len(ranks) and ranks[index] == place:
        del ranks[index]
        return True
    return False


def _is_merged(filter_: Filter) -> bool:
    # A search answers with the best matches, not the newest (NIP-50).
    return bool(filter_.limit) and not filter_.is_search
