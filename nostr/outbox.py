"""The outbox: what waits for which relay, in which order, for how long.

Not NIP-65's outbox model (which relays an author writes to): a queue that keeps events
while relays are down or have not answered. It decides and remembers; sending, storing
and telling are done by others, who are handed what is to be done as *effects*.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Container, Iterable
from typing import NamedTuple
from weakref import ref

from typing_extensions import assert_never

from .delivery import Consumer, PublishResult
from .event import SignedEvent
from .moment import Moment
from .outbox_relay import OutboxRelay, PublishTarget
from .publication import (
    MAX_PUBLISHERS,
    NO_RELAYS,
    OkMeaning,
    Publication,
    PublicationState,
    Publishers,
    extension_of,
    publisher_of,
    read_ok,
)
from .settings import Settings

SWEEP_SECONDS = 5.0
MAX_FOLLOWED = 1000

QUEUED = "queued: no relay has it yet, it is sent as soon as one takes it"
QUEUED_IN_MEMORY = "queued: ephemeral, kept in memory for {seconds:.0f} seconds"
FULL = "error: no relay answered and the outbox is full"
TOO_MANY_PUBLISHERS = "error: too many publishers named relays for this event"
NOT_STORED = "error: no relay answered and the event could not be stored"
EXPIRED = "invalid: event has expired"
TOO_OLD = "error: no relay accepted it in time"
SUPERSEDED = "invalid: a newer version or a deletion of this event is waiting"


class Notify(NamedTuple):
    """Effect: send a publisher the result of its event."""

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

    `client` is the latest consumer that published it, None once that one is gone;
    `is_public` whether it came by the public endpoint.
    """

    event: SignedEvent
    client: Consumer | None
    is_public: bool = False


class Undeliverable(NamedTuple):
    """An event that was vouched for and that no relay will ever have through us."""

    event: SignedEvent
    reason: str
    at: float
    publishers: Publishers
    is_public: bool = False


class Answer(NamedTuple):
    """A relay's answer to an event, and its time after the publication.

    `accepted` is None where the relay itself only queued it.
    """

    accepted: bool | None
    message: str
    seconds: float


class Outbox:
    """All publications that some relay has not answered for good.

    Instants are those of `clock.now`. Not thread-safe: its owner holds a lock. Methods
    that change anything return the effects that follow from it, in order.
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
        self._waiting: dict[str, Publication] = {}
        self._by_address: dict[str, dict[str, Publication]] = {}
        self._removals: dict[str, dict[str, Publication]] = {}
        self._room: Counter[tuple[bool, bool]] | None = None  # within one call
        self._answer_due: deque[tuple[float, Publication]] = deque()
        self._followed: dict[str, dict[str, Answer]] = {}
        self._sweep_at: float | None = None
        self.links_changed = False
        """Whether the relays that are only named may want links, or none, since."""

    def configure(self, settings: Settings) -> None:
        """Apply other settings, also to the events that wait already."""
        self._settings = settings
        self.undeliverable = deque(self.undeliverable, settings.undeliverable_kept)
        for publication in self.publications.values():
            lifetime = self._lifetime(publication.event)
            publication.expires_at = publication.published_at + lifetime
        for relay in self.relays.values():
            relay.configure(settings)

    # Relays

    def relay(self, relay_url: str) -> OutboxRelay:
        """Return a relay; a new one is no target yet."""
        relay = self.relays.get(relay_url)
        if relay is None:
            relay = self.relays[relay_url] = OutboxRelay(relay_url, self._settings)
        return relay

    def set_publish_target(
        self, relay_url: str, target: PublishTarget, extension: str | None = None
    ) -> None:
        """Start or stop publishing to a relay.

        A new target receives the events that nobody has accepted yet. The copies of a
        relay that leaves are kept for its return. `extension` alone publishes to it.
        """
        relay = self.relay(relay_url)
        if (relay.target, relay.extension) == (target, extension):
            return
        self.links_changed = True
        relay.target, relay.extension = target, extension
        for publication in self.publications.values():
            if (
                relay.serves(publication)
                and not publication.accepted
                and relay_url not in publication.refusals
            ):
                relay.add(publication)
        relay.requeue()

    def relay_recognised(self, relay_url: str, now: float) -> list[Effect]:
        """A relay is another nostrclient: it gets no events of other ones (E12)."""
        relay = self.relay(relay_url)
        relay.is_nostrclient = True
        self._room = None
        effects: list[Effect] = []
        for copy in list(relay.copies.values()):
            publication = copy.publication
            if not publication.is_relayed:
                continue
            relay.discard(publication)
            effects += self._finish_if_done(publication)
            if publication.state is PublicationState.ANSWERING and not self._can_ask(
                publication
            ):
                effects += self._queue(publication, now)
        return effects

    def relay_connected(self, relay_url: str) -> None:
        """Send a relay all its pending copies (again): it has just connected."""
        relay = self.relay(relay_url)
        relay.connected, relay.failed = True, False
        relay.requeue()

    def relay_disconnected(self, relay_url: str, now: float) -> list[Effect]:
        """A relay cannot be sent events; copies that it did not answer stay pending."""
        relay = self.relays.get(relay_url)
        if relay is None or not relay.is_expected:
            return []
        relay.connected, relay.failed = False, True
        relay.requeue()
        self._room = None
        effects: list[Effect] = []
        for publication in list(self.publications.values()):
            if (
                publication.state is PublicationState.ANSWERING
                and relay_url in publication.copies
                and not self._can_ask(publication)
            ):
                effects += self._queue(publication, now)
        return effects

    def _can_ask(self, publication: Publication) -> bool:
        """Return whether a relay of an event is connected, or not tried yet."""
        return any(
            relay.is_expected and relay.serves(publication)
            for relay in self.relays.values()
        )

    # Publishing

    def publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None,
        now: float,
        *,
        is_public: bool = False,
        client: Consumer | None = None,
        extension: str | None = None,
        publisher: str = "",
        named: frozenset[str] | None = None,
    ) -> list[Effect]:
        """Accept a checked event; `consumer` receives one `PublishResult`.

        `client` is the publisher where it wants no result, `extension` where it is one
        that publishes in this process. `publisher` is a name for it that lasts; `named`
        are the relays that the event is for, None for the configured ones.
        """
        if extension is not None and not publisher:
            publisher = publisher_of(extension)
        effects = self._publish(
            event,
            consumer,
            now,
            is_public,
            client or consumer,
            extension,
            {publisher: named},
        )
        publication = self.publications.get(event.id)
        latest = client if consumer is None else consumer
        if publication is not None and latest is not None:
            publication.client = ref(latest)
        return effects

    def _publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None,
        now: float,
        is_public: bool,
        client: Consumer | None,
        extension: str | None,
        publishers: Publishers,
    ) -> list[Effect]:
        earlier = self.publications.get(event.id)
        if earlier is not None:
            many = len(earlier.publishers) >= MAX_PUBLISHERS
            if many and publishers.keys() - earlier.publishers.keys() - {""}:
                tell = [consumer] if consumer else []
                return _tell(tell, event, False, TOO_MANY_PUBLISHERS)
        if earlier is not None and not self._is_over(earlier, now):
            return self._join(earlier, consumer, publishers)
        everywhere = None in publishers.values()
        names = {url for named in publishers.values() for url in named or ()}
        if any(
            other.waiting
            and other.replaces(event)
            and (other.everywhere or not everywhere)
            and names <= other.named
            for other in self._rivals(event)
        ):
            if earlier is not None:  # a relay has it, and copies are still pending
                return self._join(earlier, consumer, publishers)
            return _tell([consumer] if consumer else [], event, False, SUPERSEDED)
        self._sequence += 1
        relay_urls: list[str] = []
        stored = False
        if earlier is not None:
            relay_urls, stored = list(earlier.copies), earlier.stored
            publishers = _merged(earlier.publishers, publishers)
            self._remove(earlier, [])
        publication = self._add(
            event,
            self._sequence,
            now,
            is_public=is_public,
            client=client,
            extension=extension,
            publishers=publishers,
        )
        if earlier is not None:
            publication.stored = stored
            for relay_url in relay_urls:
                self.relay(relay_url).add(publication)
        if consumer is not None:
            publication.consumers.append(consumer)
        if not self._can_ask(publication):
            self._room = None
            return self._queue(publication, now)
        self._answer_by(publication, now + self._settings.answer_seconds)
        return []

    def send_again(self, event_id: str, now: float) -> list[Effect]:
        """Queue an undeliverable event anew, for the relays that it was for."""
        found = [item for item in self.undeliverable if item.event.id == event_id]
        for item in found:
            self.undeliverable.remove(item)
        if not found or event_id in self.publications:
            return []
        latest = found[-1]
        self._sequence += 1
        publication = self._add(
            latest.event,
            self._sequence,
            now,
            is_public=latest.is_public,
            extension=extension_of(latest.publishers),
            publishers=latest.publishers,
        )
        publication.vouched = True
        self._room = None
        return self._queue(publication, now)

    def _answer_by(self, publication: Publication, due: float) -> None:
        # In order: an event that was held back before is due before others.
        place = len(self._answer_due)
        while place and self._answer_due[place - 1][0] > due:
            place -= 1
        self._answer_due.insert(place, (due, publication))

    def _is_over(self, publication: Publication, now: float) -> bool:
        # Accepted, and only kept for relays that were not there to answer: publishing
        # it again is a new publication.
        answered_at = publication.published_at + self._settings.answer_seconds
        return publication.accepted and answered_at <= now

    def _rivals(self, event: SignedEvent) -> list[Publication]:
        """Return the publications that may replace an event."""
        found = list(self._removals.get(event.pubkey, {}).values())
        if event.address is not None:
            found += self._by_address.get(event.address, {}).values()
        return found

    def restore(
        self,
        event: SignedEvent,
        now: float,
        *,
        is_public: bool,
        age_seconds: float,
        accepted: bool,
        owed: Iterable[str],
        extension: str | None = None,
        publishers: Publishers | None = None,
    ) -> None:
        """Restore an event that an earlier run of the process queued."""
        if event.id in self.publications:
            self.publications[event.id].stored = True
            return
        self._restored += 1  # before anything published since
        publication = self._add(
            event,
            self._restored,
            now,
            is_public=is_public,
            extension=extension or extension_of(publishers or {}),
            publishers=publishers or {"": None},
        )
        publication.published_at -= age_seconds
        publication.expires_at -= age_seconds
        self._sweep_before(publication.expires_at, now)
        publication.stored = True
        if not accepted:
            self._move(publication, PublicationState.QUEUED)
            return
        self._move(publication, PublicationState.ACCEPTED)
        pending = set(owed)
        for relay_url in set(publication.copies) - pending:
            self.relays[relay_url].discard(publication)
        for relay_url in pending:
            self.relay(relay_url).add(publication)

    def _add(
        self,
        event: SignedEvent,
        sequence: int,
        now: float,
        *,
        is_public: bool,
        client: Consumer | None = None,
        extension: str | None = None,
        publishers: Publishers,
    ) -> Publication:
        publication = Publication(
            event=event,
            sequence=sequence,
            is_public=is_public,
            published_at=now,
            expires_at=now + self._lifetime(event),
            turn=extension or (event.pubkey if client is None else id(client)),
            extension=extension,
            everywhere=False,
        )
        publication.add_publishers(publishers)
        self.publications[event.id] = publication
        self._index(publication)
        self._sweep_before(publication.expires_at, now)
        self._add_copies(publication)
        return publication

    def _add_copies(self, publication: Publication) -> None:
        for relay_url in publication.named:
            self.relay(relay_url)
            self.links_changed = True
        for relay in self.relays.values():
            if relay.serves(publication):
                relay.add(publication)

    def _index(self, publication: Publication) -> None:
        event_id, address = publication.event.id, publication.address
        if address is not None:
            self._by_address.setdefault(address, {})[event_id] = publication
        elif publication.can_replace:
            author = publication.event.pubkey
            self._removals.setdefault(author, {})[event_id] = publication

    def _unindex(self, publication: Publication) -> None:
        if not publication.can_replace:
            return
        address = publication.address
        index = self._removals if address is None else self._by_address
        key = publication.event.pubkey if address is None else address
        index[key].pop(publication.event.id, None)
        if not index[key]:
            del index[key]

    def _lifetime(self, event: SignedEvent) -> float:
        if event.is_ephemeral:
            return self._settings.ephemeral_expiry_seconds
        return self._settings.outbox_expiry_seconds

    def _join(
        self,
        publication: Publication,
        consumer: Consumer | None,
        publishers: Publishers,
    ) -> list[Effect]:
        event = publication.event
        effects = self._widen(publication, publishers)
        if consumer is None:
            return effects
        if publication.accepted:
            text = "duplicate: already published"
            return [*effects, *_tell([consumer], event, True, text)]
        if publication.state is PublicationState.QUEUED:
            text = self._queued(event)
            return [*effects, *_tell([consumer], event, True, text)]
        publication.consumers.append(consumer)
        return effects

    def _widen(self, publication: Publication, publishers: Publishers) -> list[Effect]:
        """Send an event that is under way to more relays, if that is asked for."""
        known = dict(publication.publishers)
        served = {relay for relay in self.relays.values() if relay.serves(publication)}
        publication.add_publishers(publishers)
        if publication.publishers == known:
            return []
        for relay_url in publication.named:
            self.relay(relay_url)
            self.links_changed = True
        for relay in self.relays.values():
            if (
                relay.serves(publication)
                and relay not in served
                and relay.url not in publication.refusals
            ):
                relay.add(publication)
        return [Save(publication.event.id)] if publication.stored else []

    def _move(self, publication: Publication, state: PublicationState) -> None:
        publication.move(state)
        event_id = publication.event.id
        if publication.waiting:
            self._waiting[event_id] = publication
        else:
            self._waiting.pop(event_id, None)
        self._room = None

    # Sending

    def take(
        self, relay_url: str, moment: Moment, limit: int, unsent: Container[str] = ()
    ) -> list[OutgoingEvent]:
        """Return up to `limit` events to send to a relay now.

        `unsent` are ids of events that were taken before and have not left yet.
        """
        relay = self.relays.get(relay_url)
        if relay is None:
            return []
        return [
            OutgoingEvent(
                publication.event, publication.latest_client, publication.is_public
            )
            for publication in relay.take(moment, limit, unsent)
        ]

    def answered(
        self, relay_url: str, event_id: str, accepted: bool, message: str, now: float
    ) -> list[Effect]:
        """Handle a relay's OK."""
        relay = self.relays.get(relay_url)
        publication = self.publications.get(event_id)
        if relay is None or publication is None:
            return []
        copy = publication.copies.get(relay_url)
        if copy is None:
            return []
        meaning = read_ok(accepted, message)
        self._follow(publication, relay_url, meaning, message, now)
        match meaning:
            case OkMeaning.ACCEPTED:
                relay.accepted(copy, now)
                relay.discard(publication)
                if publication.accepted:
                    return self._finish_if_done(publication)
                return self._accept(publication, relay_url, message, now)
            case OkMeaning.REFUSED:
                relay.refused(copy, now)
                relay.discard(publication)
                publication.refusals[relay_url] = message
                if publication.accepted:
                    return self._finish_if_done(publication)
                if self._refused_by_all(publication):
                    return self._refuse(publication, publication.refusal, now)
            case OkMeaning.REFUSED_FOR_NOW:
                relay.refused_for_now(copy, message, now)
            case OkMeaning.RATE_LIMITED:
                relay.rate_limited(copy, message, now)
            case OkMeaning.QUEUED:
                relay.queued(copy, message, now)
            case _:
                assert_never(meaning)
        return []

    def _follow(
        self,
        publication: Publication,
        relay_url: str,
        meaning: OkMeaning,
        message: str,
        now: float,
    ) -> None:
        followed = self._followed.get(publication.event.id)
        if followed is not None:
            is_accepted = meaning is OkMeaning.ACCEPTED
            followed[relay_url] = Answer(
                None if meaning is OkMeaning.QUEUED else is_accepted,
                message,
                now - publication.published_at,
            )

    def rate_limited(self, relay_url: str, now: float) -> None:
        """Handle a relay's NOTICE about a rate limit."""
        relay = self.relays.get(relay_url)
        if relay is not None:
            relay.noticed(now)

    def _refused_by_all(self, publication: Publication) -> bool:
        return not any(
            relay_url in self.relays and self.relays[relay_url].may_serve(publication)
            for relay_url in publication.copies
        )

    def _accept(
        self, publication: Publication, relay_url: str, message: str, now: float
    ) -> list[Effect]:
        event = publication.event
        effects: list[Effect] = []
        effects += _tell(publication.consumers, event, True, message)
        publication.consumers.clear()
        if publication.waiting:
            waited = now - publication.published_at
            text = f"delivered to {relay_url} after {waited:.0f} s in the outbox"
            effects.append(Log(event, text))
        self._move(publication, PublicationState.ACCEPTED)
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
        if publication.state is PublicationState.QUEUED or publication.vouched:
            self.undeliverable_count += 1
            self.undeliverable.append(
                Undeliverable(
                    event, reason, now, publication.publishers, publication.is_public
                )
            )
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
        self._move(publication, PublicationState.OVER)
        self.publications.pop(event_id, None)
        self._unindex(publication)
        for relay_url in list(publication.copies):
            self.relays[relay_url].discard(publication)
        if publication.stored:
            return [Delete(event_id, tuple(tell))]
        return list(tell)

    # Waiting

    def _queue(self, publication: Publication, now: float) -> list[Effect]:
        event = publication.event
        if not self._has_room(publication, now):
            return self._refuse(publication, FULL, now)
        room = self._room
        effects: list[Effect] = [Log(event, "waits in the outbox")]
        if self.durable and not event.is_ephemeral:
            self._move(publication, PublicationState.STORING)
            publication.stored = True
            effects.append(Save(event.id))
        else:
            self._move(publication, PublicationState.QUEUED)
            effects += self._tell_queued(publication)
        if room is not None:
            room[self._is_paced(publication, now), publication.is_public] += 1
            self._room = room
        return effects

    def _tell_queued(self, publication: Publication) -> list[Effect]:
        event = publication.event
        effects = self._replace(publication)
        effects += _tell(publication.consumers, event, True, self._queued(event))
        publication.consumers.clear()
        return effects

    def stored(self, event_id: str, stored: bool, now: float) -> list[Effect]:
        """Handle that the row a `Save` asked for was written, or could not be."""
        publication = self.publications.get(event_id)
        if publication is None or publication.state is not PublicationState.STORING:
            return []  # accepted meanwhile, or published anew and not waiting yet
        if not stored:
            return self._refuse(publication, NOT_STORED, now)
        self._move(publication, PublicationState.QUEUED)
        return self._tell_queued(publication)

    def _is_paced(self, publication: Publication, now: float) -> bool:
        """Return whether a connected relay will receive the event at its own rate."""
        event_id = publication.event.id
        return any(relay.paces(event_id, now) for relay in self.relays.values())

    def _has_room(self, publication: Publication, now: float) -> bool:
        """Return whether one more event may wait.

        An event that a connected relay will receive at its own rate is as good as
        asked there: such events do not count among those that wait for any relay.
        """
        settings = self._settings
        if not publication.everywhere:
            return self._has_named_room(publication)
        if self._room is None or publication.can_replace:
            self._room = Counter(
                (self._is_paced(item, now), item.is_public)
                for item in self._waiting.values()
                if item.everywhere and not publication.replaces(item.event)
            )
        room, paced = self._room, self._is_paced(publication, now)
        if publication.can_replace:
            self._room = None
        share = settings.outbox_public_share
        limit = settings.outbox_paced_events if paced else settings.outbox_events
        most = settings.outbox_paced_events + settings.outbox_events
        public, total = room[paced, True], room[paced, True] + room[paced, False]
        # A relay that comes or goes moves events from one count to the other.
        all_public = room[True, True] + room[False, True]
        if total >= limit or sum(room.values()) >= most:
            return False
        return not publication.is_public or (
            public < limit * share and all_public < most * share
        )

    def _has_named_room(self, publication: Publication) -> bool:
        """Return whether one more event for named relays only may wait.

        They count apart: who names relays that are down takes nobody else's room.
        """
        settings = self._settings
        waiting = [item for item in self._waiting.values() if not item.everywhere]
        if len(waiting) >= settings.outbox_named_events:
            return False
        if not publication.is_public:
            return True
        public = [item for item in waiting if item.is_public]
        names = publication.publishers.keys() - {""}
        mine = [item for item in public if names & item.publishers.keys()]
        share = settings.outbox_named_events * settings.outbox_public_share
        return len(public) < share and len(mine) < settings.outbox_named_events_per_user

    def _replace(self, publication: Publication) -> list[Effect]:
        if not publication.can_replace:
            return []
        others: Iterable[Publication] = self.publications.values()
        if publication.address is not None:
            others = self._by_address[publication.address].values()
        effects: list[Effect] = []
        for other in list(others):
            if (
                (other.waiting or other.accepted)
                and publication.replaces(other.event)
                and publication.covers(other)
            ):
                text = f"superseded by {publication.event.id}"
                effects.append(Log(other.event, text))
                tell = _tell(other.consumers, other.event, False, SUPERSEDED)
                effects += self._remove(other, tell)
        return effects

    def _bound_copies(self, relay: OutboxRelay, now: float) -> list[Effect]:
        pending = [
            copy.publication
            for copy in relay.copies.values()
            if copy.publication.accepted
            and copy.publication.published_at + self._settings.answer_seconds <= now
        ]
        most = self._settings.owed_copies_per_relay
        if relay.can_ask and relay.rate.is_limited(now):
            most = max(most, self._settings.outbox_paced_events)
        if len(pending) <= most:
            return []
        pending.sort(key=lambda item: item.sequence)
        effects: list[Effect] = []
        for publication in pending[: len(pending) - most]:
            relay.dropped += 1
            relay.discard(publication)
            effects += self._finish_if_done(publication)
        return effects

    def _bound_named_copies(self, now: float) -> list[Effect]:
        """Drop the oldest copies for named relays of events that others have."""
        pending = [
            (publication, relay)
            for publication in self.publications.values()
            if publication.accepted
            and publication.published_at + self._settings.answer_seconds <= now
            for relay_url in publication.copies
            if (relay := self.relays[relay_url]).wants_link
        ]
        pending.sort(key=lambda item: item[0].sequence)
        effects: list[Effect] = []
        excess = max(0, len(pending) - self._settings.outbox_named_copies)
        for publication, relay in pending[:excess]:
            relay.dropped += 1
            relay.discard(publication)
            effects += self._finish_if_done(publication)
        return effects

    def _forget_relays(self) -> None:
        """Remove relays that were only named, and that nothing is pending for."""
        for relay_url, relay in list(self.relays.items()):
            is_idle = not relay.connected and not relay.copies
            if relay.target is PublishTarget.NAMED and is_idle:
                del self.relays[relay_url]

    def named_relays(self) -> list[str]:
        """Return the relays, not configured ones, that pending events name."""
        self._forget_relays()
        return [url for url, relay in self.relays.items() if relay.wants_link]

    def refuse_all(self, relay_url: str, message: str, now: float) -> list[Effect]:
        """End every event's copy that is pending for a relay, for this reason."""
        relay = self.relays.get(relay_url)
        event_ids = list(relay.copies) if relay is not None else []
        effects: list[Effect] = []
        for event_id in event_ids:
            effects += self.answered(relay_url, event_id, False, message, now)
        return effects

    def _queued(self, event: SignedEvent) -> str:
        if event.is_ephemeral:
            seconds = self._settings.ephemeral_expiry_seconds
            return QUEUED_IN_MEMORY.format(seconds=seconds)
        return QUEUED

    # Time

    def tick(self, moment: Moment) -> list[Effect]:
        """Do what is due: answers that take too long, events that are too old."""
        now = moment.now
        self._room = None
        effects: list[Effect] = []
        while self._answer_due and self._answer_due[0][0] <= now:
            _, publication = self._answer_due.popleft()
            if publication.accepted:
                effects += self._keep_pending(publication)
            elif publication.state is PublicationState.ANSWERING:
                effects += self._queue(publication, now)
        if self._sweep_at is not None and self._sweep_at <= now:
            effects += self._sweep(moment)
        return effects

    def _sweep(self, moment: Moment) -> list[Effect]:
        now = moment.now
        effects: list[Effect] = []
        for publication in list(self.publications.values()):
            if publication.event.is_expired(moment.wall):
                effects += self._expire(publication, now, EXPIRED)
            elif publication.expires_at <= now:
                effects += self._expire(publication, now, TOO_OLD)
        for relay in self.relays.values():
            effects += self._bound_copies(relay, now)
        effects += self._bound_named_copies(now)
        self._forget_relays()
        self._sweep_at = None
        for publication in self.publications.values():
            self._sweep_before(publication.expires_at, now)
        return effects

    def _sweep_before(self, expires_at: float, now: float) -> None:
        at = min(expires_at, now + SWEEP_SECONDS)
        self._sweep_at = at if self._sweep_at is None else min(self._sweep_at, at)

    def _keep_pending(self, publication: Publication) -> list[Effect]:
        # Accepted, but some relays have not answered: those copies survive us, too.
        if not self.durable or publication.event.is_ephemeral:
            return []
        if publication.stored or not publication.copies:
            return []
        publication.stored = True
        return [Save(publication.event.id)]

    def _expire(
        self, publication: Publication, now: float, reason: str
    ) -> list[Effect]:
        if publication.state is PublicationState.OVER:
            return []
        if publication.accepted:
            for relay_url in list(publication.copies):
                self.relays[relay_url].dropped += 1
                self.relays[relay_url].discard(publication)
            return self._finish_if_done(publication)
        if publication.messages:
            reason = publication.refusal
        return self._refuse(publication, reason, now)

    def deadline(self) -> float | None:
        """Return the instant of the next `tick`; None while nothing waits for time."""
        due = [self._answer_due[0][0]] if self._answer_due else []
        if self._sweep_at is not None:
            due.append(self._sweep_at)
        return min(due, default=None)

    # For the operator

    @property
    def waiting_count(self) -> int:
        """How many events are queued and no relay has accepted yet."""
        return len(self._waiting)

    def waiting(self) -> list[Publication]:
        """Return the events that are queued and no relay has accepted yet, in order."""
        return sorted(self._waiting.values(), key=lambda item: item.sequence)

    def pending_copies(self) -> Counter[str]:
        """Count the events that each relay has not answered for good, by URL."""
        return Counter({url: len(relay.copies) for url, relay in self.relays.items()})

    def follow(self, event_id: str) -> None:
        """Remember how each relay answers an event, also after all of them have.

        The latest `MAX_FOLLOWED` events are followed. Published again, perhaps by
        somebody else, an event keeps the answers that it had.
        """
        self._followed[event_id] = self._followed.pop(event_id, {})
        while len(self._followed) > MAX_FOLLOWED:
            del self._followed[next(iter(self._followed))]

    def answers(self, event_id: str) -> dict[str, Answer] | None:
        """Return the relays' latest answers to an event, by URL; None: not followed."""
        answers = self._followed.get(event_id)
        return None if answers is None else dict(answers)

    def retry(self, event_ids: Collection[str]) -> None:
        """Send events again to all relays that have not answered for good.

        A relay that refused an event for now, or has not answered, is asked at once;
        one that is not connected as soon as it is.
        """
        for relay in self.relays.values():
            for event_id in event_ids:
                relay.retry(event_id)

    def release(self, event_id: str) -> None:
        """Drop a stored event but not its row: another instance delivers it."""
        publication = self.publications.get(event_id)
        if publication is not None:
            self._remove(publication, [])

    def discard(self, event_id: str, now: float) -> list[Effect]:
        """End an event that waits, as the operator wishes."""
        publication = self.publications.get(event_id)
        if publication is None:
            return []
        if publication.accepted:
            return self._remove(publication, [])
        return self._refuse(publication, "error: discarded by the operator", now)


def _merged(known: Publishers, more: Publishers) -> Publishers:
    merged = dict(known)
    for name, named in more.items():
        before = merged.get(name, named)
        is_all = named is None or before is None
        merged[name] = None if is_all else (before or NO_RELAYS) | (named or NO_RELAYS)
    return merged


def _tell(
    consumers: list[Consumer], event: SignedEvent, accepted: bool, message: str
) -> list[Effect]:
    verdict = PublishResult(event.id, accepted, message)
    return [Notify(consumer, verdict) for consumer in consumers]
