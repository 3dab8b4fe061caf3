"""The outbox: what waits for which relay, in which order, for how long.

Not NIP-65's outbox model (which relays an author writes to): a queue that keeps events
while relays are down or have not answered. It decides and remembers; sending, storing
and telling are done by others, who are handed what is to be done as *effects*.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import ref

from . import backoff
from .delivery import Consumer, PublishResult
from .event import SignedEvent
from .publication import Copy, Publication
from .settings import Settings

SWEEP_SECONDS = 5.0
MAX_FOLLOWED = 1000

QUEUED = "queued: no relay has it yet, it is sent as soon as one takes it"
QUEUED_IN_MEMORY = "queued: ephemeral, kept in memory for {seconds:.0f} seconds"
FULL = "error: no relay answered and the outbox is full"
NOT_STORED = "error: no relay answered and the event could not be stored"
SUPERSEDED = "invalid: a newer version or a deletion of this event is waiting"


class Notify(NamedTuple):
    """Effect: tell a publisher what became of its event."""

    consumer: Consumer
    verdict: PublishResult


class Save(NamedTuple):
    """Effect: store what is vouched for, then call `stored`."""

    event_id: str


class Delete(NamedTuple):
    """Effect: delete the event from the store, then tell."""

    event_id: str
    tell: tuple[Effect, ...] = ()


class Log(NamedTuple):
    """Effect: one line for the operator's log."""

    event: SignedEvent
    text: str
    warning: bool = False


Effect = Notify | Save | Delete | Log


class OutgoingEvent(NamedTuple):
    """An event to send to a relay now.

    `client` is the latest consumer that published it, None once that one is gone.
    """

    event: SignedEvent
    client: Consumer | None


class Undeliverable(NamedTuple):
    """An event that was vouched for and that no relay will ever have through us."""

    event: SignedEvent
    reason: str
    at: float


class Answer(NamedTuple):
    """What a relay said to an event, and how long after it was published."""

    accepted: bool
    message: str
    seconds: float


@dataclass
class OutboxRelay:
    """One relay as the outbox sees it.

    `unsent` is what to send, in order; `sent` what was sent on this connection and not
    answered, with the instant; `retries` what was refused for now, with the instant
    from which to try again.
    """

    asked: bool = False
    connected: bool = False
    unsent: dict[str, bool] = field(default_factory=dict)
    sent: dict[str, tuple[float, bool]] = field(default_factory=dict)
    retries: dict[str, float] = field(default_factory=dict)
    dropped: int = 0

    def discard(self, event_id: str) -> None:
        """Forget a copy."""
        self.unsent.pop(event_id, None)
        self.sent.pop(event_id, None)
        self.retries.pop(event_id, None)


class Outbox:
    """All publications that some relay still owes an answer to.

    Instants are those of `clock.now`. Not thread-safe: its owner holds a lock. Methods
    that change anything give the effects that follow from it, in order.
    """

    def __init__(self, settings: Settings, *, durable: bool = False) -> None:
        self.durable = durable
        self.publications: dict[str, Publication] = {}
        self.relays: dict[str, OutboxRelay] = {}
        self.undeliverable: deque[Undeliverable] = deque(
            maxlen=settings.undeliverable_kept
        )
        self.undeliverable_count = 0
        self._settings = settings
        self._sequence = 0
        self._restored = -(2**62)
        self._answer_due: deque[tuple[float, str, int]] = deque()
        self._storing: set[str] = set()
        self._followed: dict[str, dict[str, Answer]] = {}
        self._sweep_at: float | None = None

    def configure(self, settings: Settings) -> None:
        """Go by other numbers from now on, also with what waits already."""
        self._settings = settings
        for publication in self.publications.values():
            lifetime = self._lifetime(publication.event)
            publication.expires_at = publication.published_at + lifetime

    # Relays

    def relay_asked(self, relay_url: str, asked: bool, now: float) -> None:
        """A relay is to receive events from now on, or no longer.

        A new one receives what nobody has accepted yet. What a relay is owed when it
        leaves is kept for its return.
        """
        relay = self.relays.setdefault(relay_url, OutboxRelay())
        if relay.asked == asked:
            return
        relay.asked = asked
        if not asked:
            return
        for publication in self.publications.values():
            if not publication.accepted and relay_url not in publication.refusals:
                publication.copies.setdefault(relay_url, Copy())
        self._requeue(relay_url, relay)

    def relay_connected(self, relay_url: str) -> None:
        """A relay can be sent events: everything it is owed is to be sent (again)."""
        relay = self.relays.setdefault(relay_url, OutboxRelay())
        relay.connected = True
        self._requeue(relay_url, relay)

    def relay_disconnected(self, relay_url: str, now: float) -> list[Effect]:
        """A relay cannot be sent events; what it did not answer stays owed."""
        relay = self.relays.get(relay_url)
        if relay is None or not relay.connected:
            return []
        relay.connected = False
        self._requeue(relay_url, relay)
        if self.can_ask:
            return []
        effects: list[Effect] = []
        for publication in list(self.publications.values()):
            if not publication.accepted and not publication.queued:
                effects += self._queue(publication, now)
        return effects

    @property
    def can_ask(self) -> bool:
        """Whether any relay that events are meant for is connected."""
        return any(relay.asked and relay.connected for relay in self.relays.values())

    def _requeue(self, relay_url: str, relay: OutboxRelay) -> None:
        owed = [
            publication
            for publication in self.publications.values()
            if relay_url in publication.copies
        ]
        owed.sort(key=lambda item: (not item.event.is_ephemeral, item.sequence))
        relay.sent.clear()
        relay.retries.clear()
        relay.unsent = {publication.event.id: True for publication in owed}

    # Publishing

    def publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None,
        now: float,
        *,
        is_public: bool = False,
        client: Consumer | None = None,
    ) -> list[Effect]:
        """Accept a checked event; `consumer` receives one `PublishResult`.

        `client` is the publisher where it wants no result.
        """
        effects = self._publish(event, consumer, now, is_public)
        publication = self.publications.get(event.id)
        publisher = client if consumer is None else consumer
        if publication is not None and publisher is not None:
            publication.client = ref(publisher)
        return effects

    def _publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None,
        now: float,
        is_public: bool,
    ) -> list[Effect]:
        earlier = self.publications.get(event.id)
        if earlier is not None and not self._is_over(earlier, now):
            return self._join(earlier, consumer)
        if any(
            other.waiting and other.replaces(event)
            for other in self.publications.values()
        ):
            if earlier is not None:  # some relay has it, and some are still owed it
                return self._join(earlier, consumer)
            return _tell([consumer] if consumer else [], event, False, SUPERSEDED)
        self._sequence += 1
        if earlier is not None:
            self._remove(earlier, [])
        publication = self._add(event, self._sequence, now, is_public=is_public)
        if earlier is not None:
            publication.stored = earlier.stored
            for relay_url in earlier.copies:
                self._add_copy(publication, relay_url)
        if consumer is not None:
            publication.consumers.append(consumer)
        if not self.can_ask:
            return self._queue(publication, now)
        due = now + self._settings.answer_seconds
        self._answer_due.append((due, event.id, publication.sequence))
        return []

    def _is_over(self, publication: Publication, now: float) -> bool:
        # Accepted, and only kept for relays that were not there to answer: publishing
        # it again is a new publication.
        answered_at = publication.published_at + self._settings.answer_seconds
        return publication.accepted and answered_at <= now

    def restore(
        self,
        event: SignedEvent,
        now: float,
        *,
        is_public: bool,
        age_seconds: float,
        accepted: bool,
        owed: Iterable[str],
    ) -> None:
        """Take back an event that an earlier run of the process vouched for."""
        if event.id in self.publications:
            self.publications[event.id].stored = True
            return
        self._restored += 1  # before anything published since
        publication = self._add(event, self._restored, now, is_public=is_public)
        publication.published_at -= age_seconds
        publication.expires_at -= age_seconds
        self._sweep_before(publication.expires_at, now)
        publication.queued = publication.stored = True
        publication.accepted = accepted
        if accepted:
            for relay_url in set(publication.copies) - set(owed):
                self._drop_copy(publication, relay_url)
            for relay_url in owed:
                self._add_copy(publication, relay_url)

    def _add(
        self, event: SignedEvent, sequence: int, now: float, *, is_public: bool
    ) -> Publication:
        publication = Publication(
            event=event,
            sequence=sequence,
            is_public=is_public,
            published_at=now,
            expires_at=now + self._lifetime(event),
        )
        self.publications[event.id] = publication
        self._sweep_before(publication.expires_at, now)
        for relay_url, relay in self.relays.items():
            if relay.asked:
                self._add_copy(publication, relay_url)
        return publication

    def _lifetime(self, event: SignedEvent) -> float:
        if event.is_ephemeral:
            return self._settings.ephemeral_expiry_seconds
        return self._settings.outbox_expiry_seconds

    def _add_copy(self, publication: Publication, relay_url: str) -> None:
        relay = self.relays.setdefault(relay_url, OutboxRelay())
        publication.copies.setdefault(relay_url, Copy())
        relay.unsent.setdefault(publication.event.id, not relay.connected)

    def _join(
        self, publication: Publication, consumer: Consumer | None
    ) -> list[Effect]:
        event = publication.event
        if consumer is None:
            return []
        if publication.accepted:
            return _tell([consumer], event, True, "duplicate: already published")
        if publication.queued and event.id not in self._storing:
            return _tell([consumer], event, True, self._queued(event))
        publication.consumers.append(consumer)
        return []

    # Sending

    def take(
        self, relay_url: str, now: float, most: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return the events to send to a relay now, and when to ask again (or None).

        Copies that waited (the backlog) are sent a few at a time, as many as the relay
        answers; what is published meanwhile goes at once, but never past an older event
        of its author.
        """
        relay = self.relays.get(relay_url)
        if relay is None or not relay.connected or not relay.asked:
            return [], None
        for event_id in [key for key, at in relay.retries.items() if at <= now]:
            del relay.retries[event_id]
            relay.unsent[event_id] = True
        patience = self._settings.answer_seconds
        unanswered = sum(
            1 for at, backlog in relay.sent.values() if backlog and now - at < patience
        )
        room = self._settings.flush_unanswered_events - unanswered
        events: list[OutgoingEvent] = []
        held: set[tuple[str, bool]] = set()
        for event_id, backlog in list(relay.unsent.items()):
            if len(events) >= most:
                break
            publication = self.publications.get(event_id)
            if publication is None or relay_url not in publication.copies:
                del relay.unsent[event_id]
                continue
            # Ephemeral events have no time to wait behind others of their author.
            lane = publication.event.pubkey, publication.event.is_ephemeral
            if lane in held or (backlog and room <= 0):
                held.add(lane)
                continue
            room -= backlog
            del relay.unsent[event_id]
            relay.sent[event_id] = (now, backlog)
            events.append(OutgoingEvent(publication.event, publication.latest_client))
        again = list(relay.retries.values())
        if relay.unsent:
            again += [
                at + patience
                for at, backlog in relay.sent.values()
                if backlog and now - at < patience
            ]
        return events, min(again, default=None)

    def answered(
        self, relay_url: str, event_id: str, accepted: bool, message: str, now: float
    ) -> list[Effect]:
        """Take a relay's OK."""
        relay = self.relays.get(relay_url)
        publication = self.publications.get(event_id)
        if relay is None or publication is None:
            return []
        relay.sent.pop(event_id, None)
        was_accepted = publication.accepted
        settled = publication.answer(
            relay_url, accepted, message, self._settings.publish_tries
        )
        if event_id in self._followed:
            refused = relay_url in publication.refusals or not settled
            seconds = now - publication.published_at
            answer = Answer(not refused, message, seconds)
            self._followed[event_id][relay_url] = answer
        if not settled:
            copy = publication.copies.get(relay_url)
            if copy is not None:
                relay.unsent.pop(event_id, None)
                relay.retries[event_id] = now + backoff.ceiling(
                    copy.tries,
                    self._settings.publish_retry_seconds,
                    self._settings.publish_retry_max_seconds,
                )
            return []
        relay.discard(event_id)
        if publication.accepted and not was_accepted:
            return self._accept(publication, relay_url, message, now)
        if not publication.accepted and self._refused_by_all(publication):
            return self._refuse(publication, publication.refusal, now)
        return self._finish_if_done(publication)

    def _refused_by_all(self, publication: Publication) -> bool:
        return not any(
            relay.asked and url in publication.copies
            for url, relay in self.relays.items()
        )

    def _accept(
        self, publication: Publication, relay_url: str, message: str, now: float
    ) -> list[Effect]:
        event = publication.event
        effects: list[Effect] = []
        effects += _tell(publication.consumers, event, True, message)
        publication.consumers.clear()
        if publication.queued:
            waited = now - publication.published_at
            text = f"delivered to {relay_url} after {waited:.0f} s in the outbox"
            effects.append(Log(event, text))
        effects += self._replace(publication)
        if not publication.copies:
            return [*effects, *self._remove(publication, [])]
        if publication.stored:
            effects.append(Save(event.id))
        return effects

    def _refuse(
        self, publication: Publication, reason: str, now: float
    ) -> list[Effect]:
        event = publication.event
        effects: list[Effect] = []
        if publication.queued and event.id not in self._storing:
            self.undeliverable_count += 1
            self.undeliverable.append(Undeliverable(event, reason, now))
            effects.append(Log(event, f"undeliverable: {reason}", warning=True))
        elif not publication.consumers:  # nobody else would know
            effects.append(Log(event, f"not published: {reason}", warning=True))
        tell = _tell(publication.consumers, event, False, reason)
        publication.consumers.clear()
        return [*effects, *self._remove(publication, tell)]

    def _finish_if_done(self, publication: Publication) -> list[Effect]:
        if publication.accepted and not publication.copies:
            return self._remove(publication, [])
        return []

    def _remove(self, publication: Publication, tell: list[Effect]) -> list[Effect]:
        event_id = publication.event.id
        self.publications.pop(event_id, None)
        for relay in self.relays.values():
            relay.discard(event_id)
        if publication.stored:
            return [Delete(event_id, tuple(tell))]
        return list(tell)

    def _drop_copy(self, publication: Publication, relay_url: str) -> None:
        publication.copies.pop(relay_url, None)
        if relay_url in self.relays:
            self.relays[relay_url].discard(publication.event.id)

    # Vouching

    def _queue(self, publication: Publication, now: float) -> list[Effect]:
        event = publication.event
        if not self._has_room(publication):
            return self._refuse(publication, FULL, now)
        publication.queued = True
        effects: list[Effect] = [Log(event, "waits in the outbox")]
        if self.durable and not event.is_ephemeral:
            self._storing.add(event.id)
            publication.stored = True
            return [*effects, Save(event.id)]
        effects += self._replace(publication)
        effects += _tell(publication.consumers, event, True, self._queued(event))
        publication.consumers.clear()
        return effects

    def stored(self, event_id: str, stored: bool, now: float) -> list[Effect]:
        """What `Save` asked for was done, or could not be."""
        if event_id not in self._storing:
            return []
        self._storing.discard(event_id)
        publication = self.publications.get(event_id)
        if publication is None or publication.accepted or not publication.queued:
            return []  # the last: published anew since, and not waiting yet
        if not stored:
            publication.queued = False
            return self._refuse(publication, NOT_STORED, now)
        event = publication.event
        effects = self._replace(publication)
        effects += _tell(publication.consumers, event, True, self._queued(event))
        publication.consumers.clear()
        return effects

    def _has_room(self, publication: Publication) -> bool:
        waiting = [
            item
            for item in self.publications.values()
            if item.waiting and not publication.replaces(item.event)
        ]
        if len(waiting) >= self._settings.outbox_events:
            return False
        public = sum(item.is_public for item in waiting)
        share = self._settings.outbox_events * self._settings.outbox_public_share
        return not publication.is_public or public < share

    def _replace(self, publication: Publication) -> list[Effect]:
        effects: list[Effect] = []
        for other in list(self.publications.values()):
            if (other.waiting or other.accepted) and publication.replaces(other.event):
                text = f"superseded by {publication.event.id}"
                effects.append(Log(other.event, text))
                tell = _tell(other.consumers, other.event, False, SUPERSEDED)
                effects += self._remove(other, tell)
        return effects

    def _bound_copies(self, relay_url: str, now: float) -> list[Effect]:
        owed = [
            publication
            for publication in self.publications.values()
            if publication.accepted
            and relay_url in publication.copies
            and publication.published_at + self._settings.answer_seconds <= now
        ]
        effects: list[Effect] = []
        for publication in owed[: -self._settings.owed_copies_per_relay]:
            self.relays[relay_url].dropped += 1
            self._drop_copy(publication, relay_url)
            effects += self._finish_if_done(publication)
        return effects

    def _queued(self, event: SignedEvent) -> str:
        if event.is_ephemeral:
            seconds = self._settings.ephemeral_expiry_seconds
            return QUEUED_IN_MEMORY.format(seconds=seconds)
        return QUEUED

    # Time

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: answers that take too long, events that are too old."""
        effects: list[Effect] = []
        while self._answer_due and self._answer_due[0][0] <= now:
            _, event_id, sequence = self._answer_due.popleft()
            publication = self.publications.get(event_id)
            if publication is None or publication.sequence != sequence:
                continue
            if publication.accepted:
                effects += self._keep_owed(publication)
            elif not publication.queued:
                effects += self._queue(publication, now)
        if self._sweep_at is not None and self._sweep_at <= now:
            effects += self._sweep(now)
        return effects

    def _sweep(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for publication in list(self.publications.values()):
            if publication.expires_at <= now:
                effects += self._expire(publication, now)
        for relay_url in self.relays:
            effects += self._bound_copies(relay_url, now)
        self._sweep_at = None
        for publication in self.publications.values():
            self._sweep_before(publication.expires_at, now)
        return effects

    def _sweep_before(self, expires_at: float, now: float) -> None:
        at = min(expires_at, now + SWEEP_SECONDS)
        self._sweep_at = at if self._sweep_at is None else min(self._sweep_at, at)

    def _keep_owed(self, publication: Publication) -> list[Effect]:
        # Accepted, but some relays have not answered: those copies are vouched for too.
        if not self.durable or publication.event.is_ephemeral:
            return []
        if publication.stored or not publication.copies:
            return []
        publication.stored = True
        return [Save(publication.event.id)]

    def _expire(self, publication: Publication, now: float) -> list[Effect]:
        if publication.accepted:
            for relay_url in list(publication.copies):
                self.relays[relay_url].dropped += 1
                self._drop_copy(publication, relay_url)
            return self._finish_if_done(publication)
        reason = "error: no relay accepted it in time"
        if publication.refusals:
            reason = publication.refusal
        return self._refuse(publication, reason, now)

    def deadline(self) -> float | None:
        """Give the instant of the next `tick`; None while nothing waits for time."""
        due = [self._answer_due[0][0]] if self._answer_due else []
        if self._sweep_at is not None:
            due.append(self._sweep_at)
        return min(due, default=None)

    # For the operator

    def waiting(self) -> Iterator[Publication]:
        """Give what was vouched for and no relay has yet, in order."""
        return (item for item in self.publications.values() if item.waiting)

    def pending_copies(self) -> Counter[str]:
        """Count the events that each relay has not answered for good, by URL."""
        found: Counter[str] = Counter()
        for publication in self.publications.values():
            found.update(publication.copies.keys())
        return found

    def follow(self, event_id: str) -> None:
        """Remember how each relay answers an event, also after all of them have.

        The latest `MAX_FOLLOWED` events are followed.
        """
        self._followed[event_id] = {}
        while len(self._followed) > MAX_FOLLOWED:
            del self._followed[next(iter(self._followed))]

    def answers(self, event_id: str) -> dict[str, Answer] | None:
        """Give the relays' latest answers to an event, by URL; None: not followed."""
        answers = self._followed.get(event_id)
        return None if answers is None else dict(answers)

    def retry(self, event_id: str) -> None:
        """Send an event to all relays it is owed to now, as the operator wishes.

        Those that refused it for now, or have not answered, are asked at once; those
        that are not connected as ever once they are.
        """
        publication = self.publications.get(event_id)
        if publication is None:
            return
        for relay_url in publication.copies:
            relay = self.relays.get(relay_url)
            if relay is not None and event_id not in relay.unsent:
                relay.discard(event_id)
                relay.unsent[event_id] = True

    def discard(self, event_id: str, now: float) -> list[Effect]:
        """Give an event up, as the operator wishes."""
        publication = self.publications.get(event_id)
        if publication is None:
            return []
        if publication.accepted:
            return self._remove(publication, [])
        return self._refuse(publication, "error: discarded by the operator", now)


def _tell(
    consumers: list[Consumer], event: SignedEvent, accepted: bool, message: str
) -> list[Effect]:
    verdict = PublishResult(event.id, accepted, message)
    return [Notify(consumer, verdict) for consumer in consumers]
