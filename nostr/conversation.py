"""A conversation with a relay: one connection, from its opening to its end.

It belongs to the relay's thread. What is asked of the relay is `RelaySession`'s to say;
here it is carried to the connection, and what comes back is checked and passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from loguru import logger

from . import clock, message
from .connection import Connection, ConnectionLostError
from .errors import InvalidEvent, InvalidMessage
from .event import AUTH_KIND, Event
from .garbage import GarbageMeter
from .information import RelayInformation
from .key import PrivateKey
from .mailbox import Mailbox
from .message import printable
from .message_pool import MessagePool
from .outbox import OutgoingEvent
from .pace import TokenBucket
from .relay_counters import AuthState
from .relay_record import RelayRecord, RelayStatus
from .relay_session import ClosedForGood, RelaySession
from .settings import Settings

PROGRESS_SECONDS = 0.25
EVENTS_AT_ONCE = 100
MESSAGES_A_TURN = 32
MAX_REFUSED = 1000  # events whose refusal may turn out otherwise after AUTH


@dataclass
class Burst:
    """What arrived at once: when, and whom to wake at its end."""

    now: float
    wall: float
    touched: set[Mailbox]
    arrived_at: float = 0


class RelayOwner(Protocol):
    """What a relay tells whoever keeps it; called from the relay's thread."""

    message_pool: MessagePool

    @property
    def identity(self) -> PrivateKey | None:
        """The key to authenticate with (NIP-42), if there is one."""
        ...

    def relay_connected(self, relay: RelayRecord) -> None:
        """The connection is open."""

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """The connection ended, or could not be made."""

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, reason: str
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

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """The relay is sending known stored events for these subscriptions."""

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """The relay closed subscriptions for good."""

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """The relay accepted our AUTH: what it refused for want of it can be sent."""

    def relay_informed(self, relay: RelayRecord, information: RelayInformation) -> None:
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
        self._latest = message.EventHead("")
        self._auth_id: str | None = None
        self._auths = TokenBucket(
            settings.relay_auths_per_second, settings.relay_burst_auths, clock.now()
        )
        self._authenticated = False
        self._refused_unauthenticated: dict[str, str] = {}
        session.can_authenticate = owner.identity is not None

    def run(self, take_orders: Callable[[], None]) -> None:
        """Converse until the connection ends.

        `take_orders` is called whenever there may be something new to ask. Raises
        `ConnectionLostError` or `TooMuchGarbageError`; there is no other end.
        """
        settings, session, connection = self._settings, self._session, self._connection
        counters = self._relay.counters
        counters.opened(clock.now())
        session.open(clock.now(), clock.wall())
        self._relay.move(RelayStatus.CONNECTED)
        self._owner.relay_connected(self._relay)
        ping_at = clock.now()
        readable = True
        while True:
            if readable:
                self._read()
            connection.check_open()
            take_orders()
            now = clock.now()
            counters.tick(now)
            session.tick(now, clock.wall())
            if session.suspect is not None:
                raise ConnectionLostError(session.suspect)
            again = self._publish()
            for text in session.output:
                connection.send(text)
                counters.sent(text, now)
            session.output.clear()
            if connection.ping_sent_at is None and now >= ping_at:
                connection.send_ping()
                ping_at = now + settings.ping_seconds
            due = [ping_at]
            if connection.ping_sent_at is not None:
                due = [connection.ping_sent_at + settings.pong_seconds + 0.001]
                if now >= due[0]:
                    raise ConnectionLostError("no answer to a ping")
            connection.flush()
            self._relay.measured(connection.round_trip_seconds)
            due += [at for at in (session.deadline(now), again) if at is not None]
            readable = connection.wait(min(due) - clock.now())

    # What it is sent

    def _publish(self) -> float | None:
        """Send events that are due; gives the instant at which to look again."""
        relay, connection = self._relay, self._connection
        if (
            not relay.write
            or connection.unsent_bytes > self._settings.relay_buffer_bytes
        ):
            return None
        events, again = self._owner.take_events(relay, EVENTS_AT_ONCE)
        longest = self._session.limits.max_message_length
        for event, _client in events:
            text = message.encode_event(event.text)
            if longest is not None and len(text.encode()) > longest:
                reason = f"invalid: the relay takes up to {longest} bytes"
                self._owner.relay_answered(relay, event.id, False, reason)
                continue
            connection.send(text)
            relay.num_sent_events += 1
            relay.counters.event_sent(event.id, clock.now())
        if len(events) == EVENTS_AT_ONCE:
            return clock.now()
        return again

    def _authenticate(self, challenge: str) -> None:
        self._relay.asks_who_we_are = True
        identity = self._owner.identity
        if identity is None:
            self._relay.counters.authenticating(AuthState.NO_KEY)
            return
        if not self._auths.take(clock.now()):
            return
        self._relay.counters.authenticating(AuthState.SENT)
        event = Event(
            content="",
            kind=AUTH_KIND,
            tags=[["relay", self._relay.url], ["challenge", challenge]],
        )
        identity.sign_event(event)
        self._auth_id = event.id
        self._session.output.append(message.encode("AUTH", event.to_dict()))

    # What it says

    def _read(self) -> None:
        """Take what has arrived."""
        burst = Burst(clock.now(), clock.wall(), set())
        started, pause = burst.now, self._settings.wake_seconds
        burst.arrived_at = burst.now
        received = self._connection.receive()
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
        """Take one message. Raises `TooMuchGarbageError`."""
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
        relay.num_invalid_messages += 1
        if relay.num_invalid_messages == 1:
            logger.warning(f"relay {relay.url}: garbage: {printable(str(error))}")
        if self._garbage.bad(burst.now):
            raise TooMuchGarbageError("too much garbage")

    def _too_large(self, data: bytes, now: float) -> None:
        self._relay.add_error(f"a message of {len(data)} bytes was dropped", warn=False)
        head = data[:200].decode(errors="replace")
        wire_id = message.find_wire_id(head)
        if wire_id is not None:
            self._session.back_off(wire_id, now)

    def _event(self, wire_id: str, text: str, burst: Burst) -> None:
        relay = self._relay
        relay.num_received_events += 1
        ask = self._session.find_subscription(wire_id)
        if ask is None:
            relay.num_unasked_events += 1
            self._garbage.good()
            return
        if wire_id != self._latest.wire_id:
            self._latest = message.EventHead(wire_id)
        pool = self._owner.message_pool
        try:
            event = pool.verified.verify(text)
        except InvalidEvent as error:
            self._bad(error, burst)
            return
        self._garbage.good()
        ask.event(event, burst.now, burst.wall)
        if event.expiration is not None and event.is_expired(burst.wall):
            return
        if pool.deliver(ask.members, event, relay.url, burst.touched):
            recovery = ask.recovery
            asked_at = burst.wall - (burst.now - ask.sent_at)
            if event.created_at >= int(asked_at):
                recovery = None  # a new event that came before the answer was complete
            arrivals = (request.arrived for request in ask.members.values())
            opened = min(arrivals, default=burst.wall)
            pool.figures.delivered(event.created_at, burst.wall, opened, recovery)
            return
        relay.num_duplicate_events += 1
        if ask.awaiting and burst.now - ask.progress_at >= PROGRESS_SECONDS:
            # Who waits for this relay's EOSE learns that it is busy, not silent.
            ask.progress_at = burst.now
            self._owner.relay_progress(relay, tuple(ask.members))

    def _handle(self, received: message.RelayMessage, now: float, wall: float) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        if isinstance(received, message.RelayEose):
            relay.counters.request_finished(received.wire_id, now)
            # The hint is about one wire: it holds for a subscription that has no other.
            ask = session.find_subscription(received.wire_id)
            alone = ask is not None and len(ask.wires) == 1 and ask.fetch is None
            finished = session.eose(received.wire_id, now, wall)
            complete = received.complete if alone else None
            owner.relay_finished(relay, finished, complete)
        elif isinstance(received, message.RelayOk):
            self._ok(received, now, wall)
        elif isinstance(received, message.RelayAuth):
            self._authenticate(received.challenge)
        elif isinstance(received, message.RelayClosed):
            reason = printable(received.message)
            relay.counters.request_closed(received.wire_id, reason, wall)
            closed = session.closed(received.wire_id, reason, now)
            if closed is not None:
                owner.relay_closed(relay, closed)
            else:
                owner.relay_counted(relay, received.wire_id, received)
        elif isinstance(received, message.RelayCount):
            owner.relay_counted(relay, received.wire_id, received)
        elif isinstance(received, message.RelayNotice):
            relay.add_notice(received.message)
            owner.relay_noticed(relay, printable(received.message))

    def _ok(self, received: message.RelayOk, now: float, wall: float) -> None:
        relay, session, owner = self._relay, self._session, self._owner
        reason = printable(received.message)
        if received.event_id == self._auth_id:
            self._auth_id = None
            refused, self._refused_unauthenticated = self._refused_unauthenticated, {}
            if received.accepted:
                self._authenticated = True
                relay.counters.authenticating(AuthState.ACCEPTED)
                session.authenticated(now, wall)
                owner.relay_authenticated(relay)
                return
            relay.counters.authenticating(AuthState.REFUSED, reason)
            relay.failed(f"AUTH refused: {reason}")
            closed = session.cannot_authenticate()
            if closed is not None:
                owner.relay_closed(relay, closed)
            for event_id, refusal in refused.items():
                owner.relay_answered(relay, event_id, False, refusal)
            return
        relay.counters.event_answered(
            received.event_id, received.accepted, reason, now, wall
        )
        if (
            not received.accepted
            and session.can_authenticate
            and not self._authenticated
            and message.prefix(reason) == "auth-required"
            and received.event_id not in self._refused_unauthenticated
            and len(self._refused_unauthenticated) < MAX_REFUSED
        ):
            self._refused_unauthenticated[received.event_id] = reason
        else:
            owner.relay_answered(relay, received.event_id, received.accepted, reason)


def _flush(burst: Burst) -> None:
    for mailbox in burst.touched:
        if mailbox.arrived_at is None:
            mailbox.arrived_at = burst.arrived_at
        mailbox.flush()
    burst.touched.clear()
