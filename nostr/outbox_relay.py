"""One relay as the outbox sees it: the copies it is to receive, in order.

Theory of operation. Copies that are UNSENT stand in one queue, oldest first, ephemeral
ones before all others. How many may leave it depends on the relay:

- It accepts events as they come. Fresh ones are sent at once, but where many of one
  author are unanswered, the next ones wait half a second for the relay's answers; those
  that waited (the *backlog*) go a few at a time, as many as the relay answers.
- It limits the rate (`PublishRate`). Then publishers take turns: private and public
  ones alternate, and so do the clients of each; each sends its oldest event first.

In both cases no event overtakes an older one of its author, unless that one was sent
before: an unanswered or refused copy holds up nobody.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Hashable, Iterator
from enum import Enum, auto
from itertools import count
from math import inf

from . import backoff
from .moment import Moment
from .publication import Copy, CopyState, Publication
from .publish_rate import PublishRate, RateState
from .settings import Settings

MAX_TURNS = 1000  # clients whose latest turn is remembered
# Most relays have answered by then. If they refused one of the first events, the others
# are spared that: many relays count what they refuse towards the rate.
HOLD_SECONDS = 0.5
MIN_IGNORED = 3  # so many unanswered events at once say that the relay drops some

Lane = tuple[str, bool]


class PublishTarget(Enum):
    """The use of a relay for publishing."""

    NAMED = auto()  # not configured: it gets the events that name it, and no others
    NONE = auto()  # only read from
    OFF = auto()  # switched off for now: nothing is sent, but it may return
    ASKED = auto()


class OutboxRelay:
    """The copies that one relay is to receive. Instants are those of `clock.now`.

    `failed`: the latest connection could not be made, or was lost.
    `next_at` is when there is next something to send; None while there is nothing.
    Only that may be read without the outbox's lock.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.target = PublishTarget.NAMED
        self.extension: str | None = None
        self.connected = False
        self.failed = False
        self.is_nostrclient = False
        self.dropped = 0
        self.next_at: float | None = None
        self.woken = False
        self.rate = PublishRate(settings)
        self.copies: dict[str, Copy] = {}
        self._settings = settings
        self._unsent: dict[str, Copy] = {}
        self._sorted = True
        self._sent: dict[str, Copy] = {}
        self._timers: list[tuple[float, int, Copy]] = []
        self._numbers = count()
        self._turns: dict[Hashable, int] = {}
        self._refused_authors: set[str] = set()
        self._answered_at = -inf
        self._held_until = inf

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self.rate.configure(settings)

    @property
    def can_ask(self) -> bool:
        """Whether events can be sent to the relay now."""
        return self.connected and self.target in (
            PublishTarget.ASKED,
            PublishTarget.NAMED,
        )

    @property
    def is_expected(self) -> bool:
        """Whether the relay is connected, or was not connected to yet on demand."""
        is_new = self.target is PublishTarget.NAMED and not self.failed
        return self.connected or is_new

    def serves(self, publication: Publication) -> bool:
        """Return whether an event is meant for the relay, now or later.

        A relay that an extension added receives that extension's events only (H9), and
        those that name it (H10). Another nostrclient receives none of a third one, or
        of itself (E12).
        """
        if self.target not in (PublishTarget.ASKED, PublishTarget.NAMED):
            return False
        if self.is_nostrclient and publication.is_relayed:
            return False
        if self.url in publication.named:
            return True
        if self.target is PublishTarget.NAMED or not publication.everywhere:
            return False
        return self.extension is None or self.extension == publication.extension

    def may_serve(self, publication: Publication) -> bool:
        """Return whether an event that is pending here may be sent one day."""
        if self.target is PublishTarget.NAMED:
            return self.url in publication.named
        return self.target is not PublishTarget.NONE

    @property
    def wants_link(self) -> bool:
        """Whether events wait that name the relay, which is not configured."""
        return self.target is PublishTarget.NAMED and any(
            self.url in copy.publication.named for copy in self.copies.values()
        )

    def wake_once(self) -> bool:
        """Return whether the relay's thread is to be woken, once until it comes."""
        if self.woken or self.next_at != 0.0:
            return False
        self.woken = True
        return True

    def paces(self, event_id: str, now: float) -> bool:
        """Return whether only the relay's own rate holds an event back."""
        return self.can_ask and event_id in self.copies and self.rate.is_limited(now)

    # Copies

    def add(self, publication: Publication) -> None:
        """Add a copy of an event, unless there is one."""
        event_id = publication.event.id
        known = self.copies.get(event_id)
        if known is not None:
            if known.state is CopyState.UNSENT and event_id not in self._unsent:
                self._enqueue(known)  # it waited for the relay to be configured again
            return
        copy = Copy(publication, backlog=not self.connected)
        self.copies[event_id] = publication.copies[self.url] = copy
        self._enqueue(copy)

    def discard(self, publication: Publication) -> None:
        """Remove the copy of an event: the relay answered it, or it is given up."""
        event_id = publication.event.id
        publication.copies.pop(self.url, None)
        copy = self.copies.pop(event_id, None)
        if copy is not None:
            self._unsent.pop(event_id, None)
            self._sent.pop(event_id, None)
            if self._unsent and self.can_ask:
                self.next_at = 0.0  # there may be room for the next one

    def requeue(self) -> None:
        """Send every copy (again): the connection or our authentication is new."""
        self.woken = False
        self._sent.clear()
        self._timers.clear()
        self._unsent.clear()
        for copy in self.copies.values():
            copy.backlog, copy.sends = True, 0
            self._enqueue(copy)
        if not self.can_ask:
            self.next_at = None

    def retry(self, event_id: str) -> None:
        """Send a copy now, in its turn, also if the relay has not answered it."""
        copy = self.copies.get(event_id)
        if copy is not None and copy.state is not CopyState.UNSENT:
            self._sent.pop(event_id, None)
            self._enqueue(copy)

    def _enqueue(self, copy: Copy) -> None:
        copy.move(CopyState.UNSENT)
        if not self.may_serve(copy.publication):
            return  # it is kept in case that the relay is configured again
        if self._unsent:
            last = next(reversed(self._unsent.values()))
            self._sorted = self._sorted and _age(last) <= _age(copy)
        else:
            self._sorted = True
        self._unsent[copy.publication.event.id] = copy
        if self.can_ask:
            self.next_at = 0.0

    # Sending

    def take(
        self, moment: Moment, limit: int, unsent: Container[str] = ()
    ) -> list[Publication]:
        """Return up to `limit` events to send now; each counts as sent.

        Those in `unsent` were taken before and still wait in the queue to the relay, so
        its silence about them means nothing.
        """
        self.woken = False
        if not self.can_ask:
            self.next_at = None
            return []
        now = moment.now
        self._release_due(now, unsent)
        if not self._sorted:
            ordered = sorted(self._unsent.items(), key=lambda item: _age(item[1]))
            self._unsent, self._sorted = dict(ordered), True
        taken: list[Publication] = []
        chosen = self._paced(moment) if self.rate.is_limited(now) else self._all(moment)
        for copy in chosen:
            self._send(copy, now)
            taken.append(copy.publication)
            if len(taken) >= limit:
                break
        self.next_at = now if len(taken) >= limit else self._next_at(now)
        return taken

    def _send(self, copy: Copy, now: float) -> None:
        event_id = copy.publication.event.id
        self._unsent.pop(event_id, None)
        self._sent[event_id] = copy
        copy.sends += 1
        copy.sent_at = now
        seconds = backoff.ceiling(
            copy.sends, self._settings.resend_seconds, self._settings.resend_max_seconds
        )
        self._wait(copy, CopyState.SENT, now + seconds)

    def _all(self, moment: Moment) -> Iterator[Copy]:
        room: int | None = None
        held: set[Lane] = set()
        under_way: Counter[Lane] | None = None
        self._held_until = inf
        for copy in list(self._unsent.values()):
            lane = _lane(copy)
            if copy.publication.event.is_expired(moment.wall):
                continue  # the outbox ends it soon
            hold_until = copy.publication.published_at + self._hold_seconds
            if not copy.backlog and not lane[1] and moment.now < hold_until:
                if under_way is None:
                    under_way = self._under_way(moment.now)
                under_way[lane] += 1
                if under_way[lane] > self._settings.flush_unanswered_events:
                    self._held_until = min(self._held_until, hold_until)
                    held.add(lane)
            elif copy.backlog:
                if room is None:
                    most = self._settings.flush_unanswered_events
                    room = most - self._unanswered(moment.now)
                if room <= 0:
                    if not (copy.sends or copy.refusals):  # sent before: no order
                        held.add(lane)
                    continue
                if lane not in held:
                    room -= 1
            if lane not in held:
                yield copy

    def _unanswered(self, now: float) -> int:
        patience = self._settings.answer_seconds
        return sum(
            1
            for copy in self._sent.values()
            if copy.backlog and now - copy.sent_at < patience
        )

    @property
    def _hold_seconds(self) -> float:
        # Well before the client has to be answered: every event is tried first (C4).
        return min(HOLD_SECONDS, self._settings.answer_seconds / 4)

    def _under_way(self, now: float) -> Counter[Lane]:
        patience = self._settings.answer_seconds
        return Counter(
            _lane(copy)
            for copy in self._sent.values()
            if not copy.backlog and now - copy.sent_at < patience
        )

    def _paced(self, moment: Moment) -> Iterator[Copy]:
        rate, now = self.rate, moment.now
        while rate.next_at() <= now:
            copy = self._next_in_turn(moment)
            if copy is None:
                return
            copy.is_trial = False
            rate.sent(now)
            yield copy
        other_at = rate.other_at()
        if other_at is not None and other_at <= now:
            copy = self._next_in_turn(moment, other=True)
            if copy is not None:
                copy.is_trial = True
                rate.other_sent(now)
                yield copy

    def _next_in_turn(self, moment: Moment, *, other: bool = False) -> Copy | None:
        """Return the copy of the client whose latest turn is the longest ago.

        `other`: of an author whom the relay has not refused in this pause.
        """
        refused = self._refused_authors
        is_trial = self.rate.state is RateState.PAUSED and not other
        candidates: dict[tuple[bool, Hashable], Copy] = {}
        lanes: set[Lane] = set()
        for copy in self._unsent.values():
            publication = copy.publication
            if publication.event.is_expired(moment.wall):
                continue
            lane = _lane(copy)
            if lane in lanes:
                continue
            lanes.add(lane)
            if other and publication.event.pubkey in refused:
                continue
            candidates.setdefault((publication.is_public, publication.turn), copy)
        if is_trial:
            # The limit may hold for these authors only: another one would tell nothing.
            candidates = {
                key: copy
                for key, copy in candidates.items()
                if copy.publication.event.pubkey in refused
            } or candidates
        if not candidates:
            return None
        turns = self._turns
        # First the endpoint, then the client, that was served the longest ago.
        key = min(candidates, key=lambda key: (turns.get(key[0], 0), turns.get(key, 0)))
        number = next(self._numbers) + 1
        for name in (key, key[0]):
            turns.pop(name, None)
            turns[name] = number
        while len(turns) > MAX_TURNS:
            del turns[next(iter(turns))]
        return candidates[key]

    # Answers

    def accepted(self, copy: Copy, now: float) -> None:
        """The relay accepted an event, or has it already."""
        self._answered_at = now
        if copy.is_trial and self.rate.state is RateState.PAUSED:
            self.rate.other_accepted()
            return
        self.rate.accepted(now, copy.sent_at)
        if self.rate.state is not RateState.PAUSED:
            self._refused_authors.clear()

    def rate_limited(self, copy: Copy, message: str, now: float) -> None:
        """The relay refused an event for its rate: it goes out in its turn."""
        self._answered_at = now
        copy.message = message
        publication = copy.publication
        if self.rate.state is RateState.PAUSED and copy.is_trial:
            self.rate.other_refused()
        else:
            self.rate.refused(now, copy.sent_at)
        self._refused_authors.add(publication.event.pubkey)
        self._sent.pop(publication.event.id, None)
        copy.sends, copy.backlog = 0, True
        if copy.state is not CopyState.UNSENT:
            self._enqueue(copy)

    def refused_for_now(self, copy: Copy, message: str, now: float) -> None:
        """The relay refused an event for another reason that may pass."""
        self._answered_at = now
        copy.message = message
        self._sent.pop(copy.publication.event.id, None)
        self._unsent.pop(copy.publication.event.id, None)
        copy.sends = 0
        if now >= copy.retry_at:  # not where a reconnection had it tried early
            copy.refusals += 1
        seconds = backoff.ceiling(
            copy.refusals,
            self._settings.publish_retry_seconds,
            self._settings.publish_retry_max_seconds,
        )
        copy.retry_at = max(copy.retry_at, now + seconds)
        self._wait(copy, CopyState.REFUSED, copy.retry_at)

    def queued(self, copy: Copy, message: str, now: float) -> None:
        """The relay, another nostrclient, waits itself: it is asked again later."""
        self._answered_at = now
        copy.message = message

    def refused(self, copy: Copy, now: float) -> None:
        """The relay refused an event for good: not for its rate."""
        self._answered_at = now
        if copy.is_trial and self.rate.state is RateState.PAUSED:
            self.rate.other_accepted()

    def noticed(self, now: float) -> None:
        """The relay sent a NOTICE about a rate: it drops what it is sent."""
        patience = self._settings.answer_seconds
        self._ignored(
            [copy for copy in self._sent.values() if now - copy.sent_at < patience],
            now,
        )

    # Time

    def _wait(self, copy: Copy, state: CopyState, due: float) -> None:
        copy.move(state, due)
        if self.next_at is not None:
            self.next_at = min(self.next_at, due)
        heapq.heappush(self._timers, (due, next(self._numbers), copy))

    def _release_due(self, now: float, unsent: Container[str]) -> None:
        """Put copies back into the queue: unanswered for too long, or to be retried."""
        ignored: list[Copy] = []
        while self._timers and self._timers[0][0] <= now:
            due, _, copy = heapq.heappop(self._timers)
            if not self._is_due(copy, due):
                continue
            if copy.state is CopyState.SENT:
                if copy.publication.event.id in unsent:
                    copy.sent_at = now
                    self._wait(copy, copy.state, now + self._settings.resend_seconds)
                    continue
                ignored.append(copy)
                del self._sent[copy.publication.event.id]
            copy.backlog = True
            self._enqueue(copy)
        # A relay that answers others drops events over its rate in silence.
        dropped = [copy for copy in ignored if copy.sent_at < self._answered_at]
        if len(dropped) >= MIN_IGNORED:
            self._ignored(dropped, now)

    def _ignored(self, copies: list[Copy], now: float) -> None:
        """The relay dropped events over its rate, some of these."""
        if copies:
            self.rate.refused(now, max(copy.sent_at for copy in copies))
            self._refused_authors.update(
                copy.publication.event.pubkey for copy in copies
            )

    def _is_due(self, copy: Copy, due: float) -> bool:
        """Return whether a timer still counts: nothing became of its copy since."""
        return (
            copy.due == due
            and copy.state is not CopyState.UNSENT
            and self.copies.get(copy.publication.event.id) is copy
        )

    def _next_at(self, now: float) -> float | None:
        while self._timers and not self._is_due(self._timers[0][2], self._timers[0][0]):
            heapq.heappop(self._timers)
        due = [self._timers[0][0]] if self._timers else []
        if self._unsent:
            if self.rate.is_limited(now):
                due.append(self.rate.next_at())
                other_at = self.rate.other_at()
                if other_at is not None and any(
                    copy.publication.event.pubkey not in self._refused_authors
                    for copy in self._unsent.values()
                ):
                    due.append(other_at)
            else:
                patience = self._settings.answer_seconds
                due += [
                    copy.sent_at + patience
                    for copy in self._sent.values()
                    if copy.backlog and now - copy.sent_at < patience
                ]
                if self._held_until < inf:
                    due.append(self._held_until)
        return min(due, default=None)


def _age(copy: Copy) -> tuple[bool, int]:
    publication = copy.publication
    return not publication.event.is_ephemeral, publication.sequence


def _lane(copy: Copy) -> Lane:
    # Ephemeral events have no time to wait behind others of their author.
    event = copy.publication.event
    return event.pubkey, event.is_ephemeral
