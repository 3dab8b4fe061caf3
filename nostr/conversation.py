"""A conversation with a relay: one connection, from its opening to its end.

It belongs to the relay's thread. `RelaySession` says what the relay is sent; here that
is carried to the connection, and what comes back is checked and passed on.

Each turn, events are taken from the outbox before the inbox is emptied: a REQ that a
client sent before an EVENT is in the inbox by then, and leaves first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from typing_extensions import assert_never

from . import clock, message
from .complaints import Complaint
from .connection import Connection, ConnectionLostError
from .errors import InvalidEvent, InvalidMessage
from .event import AUTH_KIND, Event, SignedEvent, is_signed
from .garbage import GarbageMeter
from .key import PrivateKey
from .log import logger
from .mailbox import Mailbox
from .message import printable
from .message_pool import MessagePool
from .outbox import OutgoingEvent
from .pace import TokenBucket
from .relay_counters import AuthState
from .relay_record import RelayRecord, RelayStatus
from .relay_session import ClosedForGood, RelaySession
from .relay_subscription import RelaySubscription, Request
from .settings import RESTRICTED_KINDS, Settings

EVENTS_AT_ONCE = 100  # taken from the outbox: enough for a burst, and soon in order
MESSAGES_A_TURN = 32  # under the lock for parsing: about 5 ms, then others' turn
AUTH_OK_SECONDS = 1.0  # a relay that sends no OK for AUTH so long sends none
AUTH_HEAD_START_SECONDS = 1.0  # for AUTH before REQs, where a challenge is certain
NEEDS_AUTH = frozenset(("auth-required", "restricted"))
MAX_REFUSED = 1000  # events whose refusal may turn out otherwise after AUTH


class SentAuth(NamedTuple):
    """An AUTH without an answer: the key that it is of, and when it was sent."""

    pubkey: str
    at: float


class Refused(NamedTuple):
    """A refusal for want of AUTH, which may end otherwise until AUTH was answered."""

    message: str
    at: float


@dataclass
class Burst:
    """Messages that arrived together: when, and the mailboxes to wake afterwards."""

    now: float
    wall: float
    touched: set[Mailbox]
    arrived_at: float = 0


class RelayOwner(Protocol):
    """The owner of a relay; its methods are called from the relay's thread."""

    message_pool: MessagePool

    @property
    def link_key(self) -> str | None:
        """The reader key in hex whose link this is; None for a main link."""
        ...

    @property
    def identities(self) -> tuple[PrivateKey, ...]:
        """The keys to authenticate with (NIP-42)."""
        ...

    def relay_recognised(self, relay: RelayRecord) -> None:
        """The relay is another nostrclient (E12)."""

    def relay_connected(self, relay: RelayRecord) -> None:
        """The connection is open."""

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """The connection ended, or could not be made."""

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, message: str
    ) -> None:
        """The relay sent OK."""

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """The relay sent a NOTICE that speaks of a rate limit."""

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """The relay sent its first EOSE for these subscriptions; see `Eose`."""

    def relay_wants_key(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """The relay gives what these ask for only to certain keys (NIP-42)."""

    def relay_wants_author(
        self, relay: RelayRecord, event_id: str, refusal: str
    ) -> bool:
        """The relay takes this event only from its author; return whether we can."""
        ...

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """The relay is sending known stored events for these subscriptions."""

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """The relay closed subscriptions for good."""

    def relay_gave(self, relay: RelayRecord, event: SignedEvent) -> None:
        """The relay gave an event of a restricted kind to the link of a reader key."""

    def relay_refused_key(self, relay: RelayRecord) -> None:
        """The relay refused the AUTH of one of several keys."""

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """The relay accepted our AUTH: what it refused for want of it can be sent."""

    def relay_informed(self, relay: RelayRecord) -> None:
        """The relay's NIP-11 document was read."""

    def relay_counted(
        self,
        relay: RelayRecord,
        upstream_id: str,
        answer: message.RelayCount | message.RelayClosed | None,
    ) -> None:
        """The relay answered a COUNT, or refused to."""

    def relay_noticed(self, relay: RelayRecord, text: str) -> None:
        """The relay sent NOTICE."""

    def take_events(
        self, relay: RelayRecord, limit: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to publish now, and when to ask again."""
        ...


class TooMuchGarbageError(Exception):
    """The relay is to be left alone for a while."""


class Conversation:
    """One connection's conversation with a relay."""

    def __init__(
        self,
        relay: RelayRecord,
        session: RelaySession,
        owner: RelayOwner,
        settings: Settings,
        connection: Connection,
    ) -> None:
        self._relay = relay
        self._session = session
        self._owner = owner
        self._settings = settings
        self._connection = connection
        self._garbage = GarbageMeter(settings)
        self._progress_seconds = settings.eose_busy_seconds / 4
        self._link_key = owner.link_key
        self._service_key: str | None = None
        self._latest = message.EventHead("")
        # Several AUTHs of a key may be on their way: any may be the accepted one.
        self._auths_sent: dict[str, SentAuth] = {}
        self._identities = owner.identities
        self._accepted_keys: set[str] = set()
        self._head_start_until: float | None = None
        self._challenge: str | None = None
        self._auths = TokenBucket(
            settings.relay_auths_per_second, settings.relay_burst_auths, clock.now()
        )
        self._authenticated = False
        self._refused_unauthenticated: dict[str, Refused] = {}
        self._sent_unauthenticated: set[str] = set()
        session.can_authenticate = bool(self._identities)

    def run(self, take_orders: Callable[[], None]) -> None:
        """Converse until the connection ends.

        `take_orders` is called whenever there may be something new to send. Raises
        `ConnectionLostError` or `TooMuchGarbageError`; there is no other end.
        """
        settings, session, connection = self._settings, self._session, self._connection
        counters = self._relay.counters
        counters.opened(clock.now())
        if connection.is_nostrclient and not self._relay.is_nostrclient:
            self._owner.relay_recognised(self._relay)
            take_orders()  # what is not meant for it is never sent
        if self._identities:
            session.try_out(clock.now())
            if self._relay.challenges_at_once:
                self._head_start_until = clock.now() + AUTH_HEAD_START_SECONDS
                session.hold_requests(self._head_start_until)
        session.open(clock.now(), clock.wall())
        self._relay.move(RelayStatus.CONNECTED)
        self._owner.relay_connected(self._relay)
        ping_at = clock.now()
        readable = True
        while True:
            if readable:
                self._read()
            connection.check_open()
            events, again = self._take_events()
            take_orders()
            now = clock.now()
            for event in events:
                self.publish(event, now)
            counters.tick(now)
            self._authenticate(now)
            session.tick(now, clock.wall())
            self._report()
            if session.suspect is not None:
                raise ConnectionLostError(session.suspect)
            self._check_pong(now)
            for text in session.output:
                connection.send(text)
                counters.sent(text, now)
            session.output.clear()
            if connection.ping_sent_at is None and now >= ping_at:
                connection.send_ping()
                ping_at = now + settings.ping_seconds
            connection.flush()
            self._relay.measured(connection.round_trip_seconds)
            due = [
                at
                for at in (
                    self._pong_due(now) or ping_at,
                    session.deadline(now),
                    again,
                    self._auth_deadline(now),
                )
                if at is not None
            ]
            readable = connection.wait(min(due) - clock.now())

    def _check_pong(self, now: float) -> None:
        """Send a REQ, too, after half of the time for an answer to the ping.

        Some relays answer no pings. Raises `ConnectionLostError` after all of it.
        """
        sent_at, patience = self._connection.ping_sent_at, self._settings.pong_seconds
        if sent_at is None:
            return
        if now >= sent_at + patience:
            raise ConnectionLostError("no answer to a ping")
        if now >= sent_at + patience / 2:
            self._session.probe(now)

    def _pong_due(self, now: float) -> float | None:
        """Return when to check the answer to the ping; None while none is awaited."""
        sent_at, patience = self._connection.ping_sent_at, self._settings.pong_seconds
        if sent_at is None:
            return None
        if now < sent_at + patience / 2:
            patience /= 2
        return sent_at + patience + 0.001

    def _report(self) -> None:
        """Pass on what the session found out by itself, or by the time."""
        session, owner, relay = self._session, self._owner, self._relay
        if session.crowded_second is not None:
            second, session.crowded_second = session.crowded_second, None
            text = "it returned only a part of the events of second"
            relay.add_error(f"{text} {second}", warn=False)
        if session.wants_key:
            wanted, session.wants_key = session.wants_key, []
            owner.relay_wants_key(relay, wanted)
        if session.finished:
            finished, session.finished = session.finished, []
            owner.relay_finished(relay, finished)
        if session.busy:
            busy, session.busy = session.busy, []
            owner.relay_progress(relay, busy)
        if session.refused:
            refused, session.refused = session.refused, []
            for closed in refused:
                owner.relay_closed(relay, closed)

    # What it is sent

    def _take_events(self) -> tuple[list[OutgoingEvent], float | None]:
        """Return events that are due, and the instant at which to look again."""
        relay, session, connection = self._relay, self._session, self._connection
        if (
            not relay.write
            or connection.unsent_bytes > self._settings.relay_buffer_bytes
            or session.waiting_events >= EVENTS_AT_ONCE
        ):
            return [], None
        relay.unsent_events = session.waiting_event_ids
        events, again = self._owner.take_events(relay, EVENTS_AT_ONCE)
        if len(events) == EVENTS_AT_ONCE:
            again = clock.now()
        return events, again

    def publish(self, outgoing: OutgoingEvent, now: float) -> None:
        """Send an event after the REQs that its client sent before it."""
        event = outgoing.event
        relay = self._relay
        text = message.encode_event(event.text)
        reason = self._refusal(event, text)
        if reason is not None:
            self._owner.relay_answered(relay, event.id, False, reason)
            return
        self._session.publish(
            event.id, text, outgoing.client, now, is_public=outgoing.is_public
        )
        if not self._authenticated and len(self._sent_unauthenticated) < MAX_REFUSED:
            self._sent_unauthenticated.add(event.id)
        relay.counters.sent_events += 1
        relay.counters.event_sent(event.id, now)

    def _refusal(self, event: SignedEvent, text: str) -> str | None:
        """Return why the relay must refuse an event, by what it announces, or None."""
        longest = self._session.limits.max_message_length
        if longest is not None and len(text.encode()) > longest:
            return f"invalid: the relay takes up to {longest} bytes"
        information = self._relay.information
        if information is None:
            return None
        return information.event_limits.refusal(event, clock.wall())

    # AUTH (NIP-42)

    def _challenged(self, challenge: str) -> None:
        relay, session = self._relay, self._session
        relay.asks_who_we_are = True
        if not session.has_answer and relay.challenges_at_once is None:
            relay.challenges_at_once = True
        self._head_start_until = None
        session.split_restricted_kinds()
        session.want_keys()
        if not self._identities:
            relay.counters.authenticating(AuthState.NO_KEY)
            return
        self._challenge = challenge
        session.authentication_pending = not self._authenticated
        self._authenticate(clock.now())

    def _authenticate(self, now: float) -> None:
        """Answer the newest challenge when the limit allows; watch for silence."""
        challenge = self._challenge
        if self._head_start_until is not None and now >= self._head_start_until:
            self._head_start_until = None
            self._relay.challenges_at_once = False  # it waits for a REQ
        if challenge is not None and self._identities and self._auths.take(now):
            self._challenge = None
            self._relay.counters.authenticating(AuthState.SENT)
            for identity in self._identities:
                self._send_auth(identity, challenge, now)
        self._refuse_unanswered(now)
        if not self._auths_sent or self._authenticated:
            return
        if now >= self._auths_silent_at and self._session.authentication_pending:
            # Some relays send no OK: what they withheld is asked for all the same.
            self._session.authenticated(now, clock.wall())

    def _send_auth(self, identity: PrivateKey, challenge: str, now: float) -> None:
        event = Event(
            content="",
            kind=AUTH_KIND,
            tags=[["relay", self._relay.url], ["challenge", challenge]],
        )
        identity.sign_event(event)
        pubkey = identity.public_key.hex()
        self._auths_sent[event.id] = SentAuth(pubkey, now)
        if self._link_key is None:
            # From now on: an answer may be that to the key, whatever its OK says.
            self._service_key = pubkey
        self._session.output.append(message.encode("AUTH", event.to_dict()))

    @property
    def _auths_silent_at(self) -> float:
        return max(sent.at for sent in self._auths_sent.values()) + AUTH_OK_SECONDS

    def _refuse_unanswered(self, now: float) -> None:
        """Pass on refusals for want of AUTH after which no AUTH was accepted."""
        while self._refused_unauthenticated:
            event_id, refusal = next(iter(self._refused_unauthenticated.items()))
            if now - refusal.at < self._settings.auth_seconds:
                return
            del self._refused_unauthenticated[event_id]
            self._refuse_event(event_id, refusal.message)

    def _auth_deadline(self, now: float) -> float | None:
        if self._challenge is not None:
            return self._auths.next_at(now)
        if self._session.authentication_pending and self._auths_sent:
            return self._auths_silent_at
        for refusal in self._refused_unauthenticated.values():
            return refusal.at + self._settings.auth_seconds
        return None

    def _auth_answered(
        self, received: message.RelayOk, text: str, now: float, wall: float
    ) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        pubkey = self._auths_sent.pop(received.event_id).pubkey
        if received.accepted:
            self._accepted_keys.add(pubkey)
            if len(self._accepted_keys) < len(self._identities):
                return
            was_authenticated, self._authenticated = self._authenticated, True
            relay.counters.authenticating(AuthState.ACCEPTED)
            self._refused_unauthenticated.clear()
            if not was_authenticated:
                session.authenticated(now, wall)
                owner.relay_authenticated(relay)
            return
        if (
            pubkey in self._accepted_keys
            or self._challenge is not None
            or any(sent.pubkey == pubkey for sent in self._auths_sent.values())
        ):
            return  # another one was accepted, or may still be
        relay.counters.authenticating(AuthState.REFUSED, text)
        if len(self._identities) > 1:
            owner.relay_refused_key(relay)
            return
        relay.failed(f"AUTH refused: {text}")
        for_now = message.prefix(text) in ("error", "rate-limited")
        closed = session.cannot_authenticate(now, for_now=for_now)
        if closed is not None:
            owner.relay_closed(relay, closed)
        refused, self._refused_unauthenticated = self._refused_unauthenticated, {}
        for event_id, refusal in refused.items():
            self._refuse_event(event_id, refusal.message)

    # What it says

    def _read(self) -> None:
        """Handle what has arrived."""
        burst = Burst(clock.now(), clock.wall(), set())
        started, pause = burst.now, self._settings.wake_seconds
        burst.arrived_at = burst.now
        received = self._connection.receive()
        if received:
            self._session.received(burst.now)
        parse_lock = self._owner.message_pool.parse_lock
        try:
            for first in range(0, len(received), MESSAGES_A_TURN):
                with parse_lock:
                    for data in received[first : first + MESSAGES_A_TURN]:
                        self.handle_message(data, burst)
                burst.now = clock.now()
                if burst.now - started > pause:
                    # Soon for the first, seldom for the rest: waking costs.
                    started = burst.now
                    pause = min(2 * pause, self._settings.wake_seconds_most)
                    _flush(burst)
        finally:
            _flush(burst)

    def handle_message(self, data: bytes, burst: Burst) -> None:
        """Handle one message. Raises `TooMuchGarbageError`."""
        if len(data) > self._settings.relay_message_bytes:
            self._too_large(data, burst.now)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self._bad(error, burst)
            return
        event_text = self._latest.event_text(text)
        if event_text is not None:
            self._event(self._latest.wire_id, event_text, burst)
            return
        try:
            received = message.parse_relay_message(text)
        except InvalidMessage as error:
            self._bad(error, burst)
            return
        if isinstance(received, message.RelayEvent):
            self._event(received.wire_id, received.text, burst)
            return
        self._garbage.good()
        self._handle(received, burst.now, burst.wall)

    def _bad(self, error: Exception, burst: Burst) -> None:
        relay = self._relay
        relay.counters.invalid_messages += 1
        if relay.counters.invalid_messages == 1:
            logger.warning(
                f"relay {relay.url}: an invalid message: {printable(str(error))}"
            )
        if self._garbage.bad(burst.now):
            raise TooMuchGarbageError("too many invalid messages")

    def _too_large(self, data: bytes, now: float) -> None:
        self._relay.add_error(f"a message of {len(data)} bytes was dropped", warn=False)
        head = data[:200].decode(errors="replace")
        wire_id = message.find_wire_id(head)
        if wire_id is not None:
            self._session.back_off(wire_id, now)

    def _event(self, wire_id: str, text: str, burst: Burst) -> None:
        relay = self._relay
        counters = relay.counters
        counters.received_events += 1
        subscription = self._session.find_subscription(wire_id)
        if subscription is None:
            counters.unasked_events += 1
            self._garbage.good()
            return
        if wire_id != self._latest.wire_id:
            self._latest = message.EventHead(wire_id)
        pool = self._owner.message_pool
        try:
            event = pool.verified.verify(text)
        except InvalidEvent as error:
            self._invalid_event(wire_id, text, error, burst)
            return
        self._garbage.good()
        subscription.event(event, burst.now, burst.wall)
        if event.kind == AUTH_KIND:  # it is nobody's but the relay's (NIP-42)
            return
        if event.expiration is not None and event.is_expired(burst.wall):
            return
        if self._link_key is not None and event.kind in RESTRICTED_KINDS:
            self._owner.relay_gave(relay, event)
        is_shared = subscription.is_shared
        wanted: tuple[str, ...] = subscription.upstream_ids
        if subscription.live_only:
            wanted = self._without_history(subscription, event)
        delivered = pool.deliver(
            wanted,
            event,
            relay.label,
            burst.touched,
            self._link_key,
            self._service_key,
            # On one of several wires the order of events does not show how far the
            # relay's answer has come.
            shared=is_shared or len(subscription.wires) > 1,
        )
        if delivered:
            self._count_delivery(subscription, event, burst)
            if not is_shared:
                return
        else:
            counters.duplicate_events += 1
        if (
            burst.now - subscription.progress_at >= self._progress_seconds
            and subscription.is_awaiting
        ):
            # A client that waits for this relay's EOSE learns that it is not silent.
            subscription.progress_at = burst.now
            self._owner.relay_progress(relay, subscription.unanswered_ids)

    def _invalid_event(
        self, wire_id: str, text: str, error: InvalidEvent, burst: Burst
    ) -> None:
        relay = self._relay
        first = message.first_value(text)
        if first is not None:
            relay.counters.received_events -= 1  # it is counted once
            self._event(wire_id, first, burst)
        elif is_signed(text):
            # Its shape is the author's doing, and a client may ask for it on purpose:
            # the relay is not to blame.
            self._garbage.good()
            relay.counters.odd_events += 1
        else:
            self._bad(error, burst)

    def _without_history(
        self, subscription: RelaySubscription, event: SignedEvent
    ) -> tuple[str, ...]:
        """Return the REQs but those that a `limit: 0` keeps from this stored event."""
        old = subscription.history_of(event, self._settings.overlap_seconds)
        for upstream_id in old:
            self._owner.message_pool.mark_seen(upstream_id, event)
        return tuple(name for name in subscription.upstream_ids if name not in old)

    def _count_delivery(
        self, subscription: RelaySubscription, event: SignedEvent, burst: Burst
    ) -> None:
        recovery = subscription.recovery
        if recovery is not None:
            sent_at = burst.wall - (burst.now - subscription.sent_at)
            if event.created_at >= int(sent_at):
                recovery = None  # new, and only just before the answer was complete
        opened = subscription.arrived
        if recovery is not None or event.created_at > opened - 1:
            figures = self._owner.message_pool.figures
            figures.delivered(event.created_at, burst.wall, opened, recovery)

    def _handle(self, received: message.RelayMessage, now: float, wall: float) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        match received:
            case message.RelayEose():
                self._eose(received, now, wall)
            case message.RelayOk():
                self._ok(received, now, wall)
            case message.RelayAuth():
                self._challenged(received.challenge)
            case message.RelayClosed():
                self._closed(received, now, wall)
            case message.RelayCount():
                session.received(now)
                owner.relay_counted(relay, received.wire_id, received)
            case message.RelayNotice():
                relay.add_notice(received.message)
                text = printable(received.message)
                if session.notice(text, now) is Complaint.RATE:
                    owner.relay_rate_limited(relay)
                owner.relay_noticed(relay, text)
            case message.RelayNegotiation():
                session.negotiated(received.wire_id, received.payload, now, wall)
                self._report()
            case message.RelayNegotiationError():
                session.negotiation_refused(received.wire_id, now)
                self._report()
            case message.RelayEvent():
                raise AssertionError("an EVENT is handled apart")
            case _:
                assert_never(received)

    def _eose(self, received: message.RelayEose, now: float, wall: float) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        self._report()  # what else is to be waited for comes before the EOSE
        relay.counters.request_finished(received.wire_id, now)
        # The hint is about one wire: it holds for a REQ that has no other.
        subscription = session.find_subscription(received.wire_id)
        alone = subscription is not None and session.is_whole_req(subscription)
        hint = received.complete if alone else None
        is_complete = received.complete is True
        finished = session.eose(received.wire_id, now, wall, is_complete=is_complete)
        owner.relay_finished(relay, finished, hint)

    def _closed(self, received: message.RelayClosed, now: float, wall: float) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        text = printable(received.message)
        relay.counters.request_closed(received.wire_id, text, wall)
        if session.find_subscription(received.wire_id) is None:
            owner.relay_counted(relay, received.wire_id, received)
        closed = session.closed(received.wire_id, text, now)
        self._report()
        if closed is not None:
            owner.relay_closed(relay, closed)

    def _ok(self, received: message.RelayOk, now: float, wall: float) -> None:
        relay, session = self._relay, self._session
        text = printable(received.message)
        event_id, accepted = received.event_id, received.accepted
        session.received(now)
        if event_id in self._auths_sent:
            self._auth_answered(received, text, now, wall)
            return
        session.event_answered(event_id)
        relay.counters.event_answered(event_id, accepted, text, now, wall)
        was_unauthenticated = event_id in self._sent_unauthenticated
        self._sent_unauthenticated.discard(event_id)
        if not accepted and message.prefix(text) in NEEDS_AUTH:
            if session.can_authenticate and not self._authenticated:
                if len(self._refused_unauthenticated) < MAX_REFUSED:
                    self._refused_unauthenticated[event_id] = Refused(text, now)
                    return
            elif was_unauthenticated and self._authenticated:
                # It crossed our AUTH: the relay is asked once more.
                self._owner.relay_authenticated(relay)
                return
            self._refuse_event(event_id, text)
            return
        self._owner.relay_answered(relay, event_id, accepted, text)

    def _refuse_event(self, event_id: str, text: str) -> None:
        """Offer an event over its author's link, or report its refusal."""
        if not self._owner.relay_wants_author(self._relay, event_id, text):
            self._owner.relay_answered(self._relay, event_id, False, text)


def _flush(burst: Burst) -> None:
    for mailbox in burst.touched:
        if mailbox.arrived_at is None:
            mailbox.arrived_at = burst.arrived_at
        mailbox.flush()
    burst.touched.clear()
