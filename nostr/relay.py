"""One relay: its status, its thread, and what it counts.

The thread connects, converses and reconnects for as long as the relay is wanted. Others
reach it only through its inbox, in which CLOSE and REQ keep their order.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from loguru import logger

from . import backoff, clock, message
from .ask import Request
from .connection import Connection, ConnectionLostError, StopRequestedError, Waker
from .errors import InvalidEvent, InvalidMessage
from .event import Event, SignedEvent
from .garbage import GarbageMeter
from .information import LEAST, RelayInformation
from .information_request import request_information
from .key import PrivateKey
from .mailbox import Mailbox
from .message import printable
from .message_pool import MessagePool
from .pace import TokenBucket
from .relay_session import ClosedForGood, RelayLimits, RelaySession
from .settings import Settings

AUTH_KIND = 22242
PROGRESS_SECONDS = 0.25
EVENTS_AT_ONCE = 100
MESSAGES_A_TURN = 32
ROUND_TRIPS_KEPT = 60
MOST_REFUSED = 1000  # events whose refusal may turn out otherwise after AUTH


class RelayStatus(Enum):
    """Where a relay's connection stands."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # for the next attempt to connect
    PENALISED = "penalised"  # left alone for a while because of its garbage


_MOVES: dict[RelayStatus, frozenset[RelayStatus]] = {
    RelayStatus.STOPPED: frozenset((RelayStatus.CONNECTING,)),
    RelayStatus.CONNECTING: frozenset(
        (RelayStatus.CONNECTED, RelayStatus.WAITING, RelayStatus.STOPPED)
    ),
    RelayStatus.CONNECTED: frozenset(
        (RelayStatus.WAITING, RelayStatus.PENALISED, RelayStatus.STOPPED)
    ),
    RelayStatus.WAITING: frozenset((RelayStatus.CONNECTING, RelayStatus.STOPPED)),
    RelayStatus.PENALISED: frozenset((RelayStatus.CONNECTING, RelayStatus.STOPPED)),
}


class Noted(NamedTuple):
    """Something a relay said or that went wrong, and when (Unix seconds)."""

    text: str
    at: float


@dataclass
class Burst:
    """What arrived at once: when, and whom to wake at its end."""

    now: float
    wall: float
    touched: set[Mailbox]


class RelayOwner(Protocol):
    """What a relay tells whoever keeps it; called from the relay's thread."""

    message_pool: MessagePool

    @property
    def identity(self) -> PrivateKey | None:
        """The key to authenticate with (NIP-42), if there is one."""
        ...

    def relay_connected(self, relay: Relay) -> None:
        """The connection is open."""

    def relay_disconnected(self, relay: Relay) -> None:
        """The connection ended, or could not be made."""

    def relay_answered(
        self, relay: Relay, event_id: str, accepted: bool, reason: str
    ) -> None:
        """The relay sent OK."""

    def relay_finished(self, relay: Relay, upstream_ids: Iterable[str]) -> None:
        """The relay sent its first EOSE for these subscriptions."""

    def relay_progress(self, relay: Relay, upstream_ids: Iterable[str]) -> None:
        """The relay is sending known stored events for these subscriptions."""

    def relay_closed(self, relay: Relay, closed: ClosedForGood) -> None:
        """The relay closed subscriptions for good."""

    def relay_authenticated(self, relay: Relay) -> None:
        """The relay accepted our AUTH: what it refused for want of it can be sent."""

    def relay_informed(self, relay: Relay, information: RelayInformation) -> None:
        """The relay's NIP-11 document was read."""

    def relay_counted(self, relay: Relay, upstream_id: str, count: int | None) -> None:
        """The relay answered a COUNT, or refused to."""

    def relay_noticed(self, relay: Relay, text: str) -> None:
        """The relay sent NOTICE."""

    def take_events(
        self, relay: Relay, most: int
    ) -> tuple[list[SignedEvent], float | None]:
        """Give events to publish now, and when to ask again."""
        ...


class Relay:
    """One relay and the thread that keeps its connection.

    Everything public may be read, and every method called, from any thread. `since` is
    when its present status began, in Unix seconds.
    """

    def __init__(
        self, url: str, owner: RelayOwner, settings: Settings | None = None
    ) -> None:
        self.url = url
        self.read = True
        self.write = True
        self.status = RelayStatus.STOPPED
        self.since = clock.wall()
        self.retry_at: float | None = None
        self.lost_at: float | None = None
        self.attempts = 0
        self.connections = 0
        self.error_counter = 0
        self.num_received_events = 0
        self.num_sent_events = 0
        self.num_duplicate_events = 0
        self.num_invalid_messages = 0
        self.num_unasked_events = 0
        self.round_trip_seconds: float | None = None
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS_KEPT)
        self.information: RelayInformation | None = None
        self.asks_who_we_are = False
        self._settings = settings or Settings()
        self._owner = owner
        self._errors: deque[Noted] = deque(maxlen=self._settings.errors_per_relay)
        self._notices: deque[Noted] = deque(maxlen=self._settings.notices_per_relay)
        self._inbox: deque[tuple[str, Any]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None
        self._stopping = False
        self._pending: list[Request] | None = None
        self._session = self._new_session()
        self._garbage = GarbageMeter(self._settings)
        self._latest = message.EventHead("")
        self._informed_at: float | None = None
        self._longest: int | None = None
        self._auth_id: str | None = None
        self._auths = self._new_auths()
        self._authenticated = False
        self._refused_unauthenticated: dict[str, str] = {}

    # What others read

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self.status is RelayStatus.CONNECTED

    @property
    def first_attempt(self) -> bool:
        """Whether the very first attempt to connect is still under way."""
        return (
            self.status in (RelayStatus.CONNECTING, RelayStatus.STOPPED)
            and self.attempts == 0
            and self.connections == 0
        )

    @property
    def ping(self) -> int:
        """The latest round-trip time in milliseconds, 0 while unknown."""
        if not self.connected or self.round_trip_seconds is None:
            return 0
        return max(1, round(self.round_trip_seconds * 1000))

    @property
    def round_trips(self) -> list[float]:
        """The latest round-trip times in seconds, oldest first."""
        return list(self._round_trips.copy())

    @property
    def error_list(self) -> list[str]:
        """What went wrong lately, newest first."""
        return [noted.text for noted in self.errors]

    @property
    def notice_list(self) -> list[str]:
        """What the relay noticed us of lately, newest first."""
        return [noted.text for noted in self.notices]

    @property
    def errors(self) -> list[Noted]:
        """What went wrong lately and when, newest first."""
        return list(reversed(self._errors.copy()))

    @property
    def notices(self) -> list[Noted]:
        """The relay's NOTICEs lately and when, newest first."""
        return list(reversed(self._notices.copy()))

    @property
    def num_subscriptions(self) -> int:
        """How many subscriptions are open on this relay."""
        return self._session.subscription_count

    # What others ask for

    def configure(self, settings: Settings) -> None:
        """Go by other numbers, subscriptions from the next start on."""
        self._settings = settings

    def start(self, requests: Iterable[Request]) -> None:
        """Start the thread, with these subscriptions open.

        One that was asked to stop and has not ended yet is followed by a new one.
        """
        with self._lock:
            self._inbox.clear()
            if self._thread is None:
                self._begin(list(requests))
            elif self._stopping:
                self._pending = list(requests)

    def _begin(self, requests: list[Request]) -> None:
        self._stopping = False
        self._session = self._new_session()
        for request in requests:
            self._session.subscribe(request)
        waker = self._waker = Waker()
        self._thread = threading.Thread(
            target=self._run,
            args=(waker,),
            name=f"nostrclient {self.url}",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end; gives it, so that it can be joined."""
        with self._lock:
            self._stopping = True
            self._pending = None
            self._wake()
            return self._thread

    def subscribe(self, request: Request) -> None:
        """Open a subscription, or replace the one of the same id."""
        self._put("subscribe", request)

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription."""
        self._put("unsubscribe", upstream_id)

    def count(self, upstream_id: str, filters: list[dict[str, Any]]) -> None:
        """Ask the relay to count (NIP-45)."""
        self._put("count", (upstream_id, filters))

    def poke(self) -> None:
        """Have the relay's thread look for events to publish."""
        self._put("poke", None)

    def _put(self, verb: str, value: Any) -> None:
        with self._lock:
            if self._thread is None:
                return
            self._inbox.append((verb, value))
            self._wake()

    def _wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()

    def _new_auths(self) -> TokenBucket:
        per_second = self._settings.relay_auths_per_second
        return TokenBucket(per_second, self._settings.relay_burst_auths, clock.now())

    def _new_session(self) -> RelaySession:
        return RelaySession(self._settings, new_id)

    # The thread

    def _run(self, waker: Waker) -> None:
        try:
            while not self._stopping:
                self._attempt(waker)
        except StopRequestedError:
            pass
        finally:
            self._move(RelayStatus.STOPPED)
            with self._lock:
                waker.close()
                self._waker = None
                self._thread = None
                pending, self._pending = self._pending, None
                if pending is None:
                    self._inbox.clear()
                else:
                    self._begin(pending)

    def _check(self) -> None:
        if self._stopping:
            raise StopRequestedError

    def _attempt(self, waker: Waker) -> None:
        self._move(RelayStatus.CONNECTING)
        penalised = False
        opened_at: float | None = None
        connection: Connection | None = None
        try:
            connection = Connection(self.url, self._settings, waker, self._check)
            opened_at = clock.now()
            penalised = self._converse(connection)
        except ConnectionLostError as error:
            self._failed(str(error))
            if connection is not None and connection.was_too_long:
                self._learn_longest(connection.longest_sent)
        except StopRequestedError:
            raise
        except Exception as error:  # noqa: BLE001  # the thread must survive a bug
            logger.exception(f"relay {self.url}: connection given up for a bug")
            self._failed(f"internal error: {type(error).__name__}")
        finally:
            if connection is not None:
                connection.close(politely=self._stopping or penalised)
            if opened_at is not None:
                self.lost_at = clock.now()
            self._session.lose()
        now = clock.now()
        if opened_at is not None and (
            now - opened_at >= self._settings.reconnect_forget_seconds
        ):
            self.attempts = 0
        self.attempts += 1
        if penalised:
            self.retry_at = now + self._settings.penalty_seconds
            self._move(RelayStatus.PENALISED)
        else:
            self.retry_at = now + backoff.delay(
                self.attempts,
                self._settings.reconnect_seconds,
                self._settings.reconnect_max_seconds,
                random.random(),  # noqa: S311  # jitter, no secret
            )
            self._move(RelayStatus.WAITING)
        self._owner.relay_disconnected(self)
        self._pause(waker, self.retry_at)
        self.retry_at = None

    def _pause(self, waker: Waker, until: float) -> None:
        while not self._stopping:
            left = until - clock.now()
            if left <= 0:
                return
            waker.wait(left)
            self._empty_inbox()
        raise StopRequestedError

    def _move(self, status: RelayStatus) -> None:
        if status is self.status:
            return
        if status not in _MOVES[self.status]:
            raise AssertionError(f"{self.status} does not become {status}")
        self.status = status
        self.since = clock.wall()
        if status is RelayStatus.CONNECTED:
            logger.info(f"relay {self.url}: connected")
        elif status is RelayStatus.PENALISED:
            logger.warning(f"relay {self.url}: left alone, it sends garbage")

    def _failed(self, reason: str) -> None:
        text = printable(reason)
        self.error_counter += 1
        self._errors.append(Noted(text, clock.wall()))
        if self.connected or self.attempts == 0:  # not each of many vain attempts
            logger.warning(f"relay {self.url}: {text}")

    def _empty_inbox(self) -> None:
        while self._inbox and not self._stopping:
            verb, value = self._inbox.popleft()
            if verb == "subscribe":
                self._session.subscribe(value)
            elif verb == "unsubscribe":
                self._session.unsubscribe(value)
            elif verb == "count" and self._session.connected:
                upstream_id, filters = value
                if not self._session.count(upstream_id, filters, clock.now()):
                    self._owner.relay_counted(self, upstream_id, None)
            elif verb == "information":
                self.information = value
                self._session.set_limits(self._limits())
                self._owner.relay_informed(self, value)

    # The conversation

    def _converse(self, connection: Connection) -> bool:
        """Converse until the connection ends; tells whether the relay is penalised."""
        settings, session = self._settings, self._session
        self._garbage = GarbageMeter(settings)
        self.connections += 1
        self._empty_inbox()
        self._request_information()
        session.set_limits(self._limits())
        session.can_authenticate = self._owner.identity is not None
        self._auth_id = None
        self._auths = self._new_auths()
        self._authenticated = False
        self._refused_unauthenticated.clear()
        session.open(clock.now(), clock.wall())
        self._move(RelayStatus.CONNECTED)
        self._owner.relay_connected(self)
        ping_at = clock.now()
        readable = True
        while True:
            if readable and self._read(connection):
                return True
            connection.check_open()
            self._empty_inbox()
            now = clock.now()
            session.tick(now, clock.wall())
            if session.suspect is not None:
                raise ConnectionLostError(session.suspect)
            again = self._publish(connection)
            for text in session.output:
                connection.send(text)
            session.output.clear()
            ping_sent_at = connection.ping_sent_at
            if ping_sent_at is not None:
                if now - ping_sent_at > settings.pong_seconds:
                    raise ConnectionLostError("no answer to a ping")
            elif now >= ping_at:
                connection.send_ping()
                ping_at = now + settings.ping_seconds
            connection.flush()
            self._measured(connection.round_trip_seconds)
            due = [
                (
                    ping_at
                    if ping_sent_at is None
                    else ping_sent_at + settings.pong_seconds + 0.001
                )
            ]
            due += [at for at in (session.deadline(now), again) if at is not None]
            readable = connection.wait(min(due) - clock.now())

    def _measured(self, seconds: float | None) -> None:
        if seconds is not None and seconds != self.round_trip_seconds:
            self._round_trips.append(seconds)
        self.round_trip_seconds = seconds

    def _learn_longest(self, sent: int) -> None:
        # It said nothing of a limit, or a wrong one. Sent again on every connection,
        # one client's message would keep the relay from everybody else.
        self._longest = max(LEAST["max_message_length"], sent * 3 // 4)
        logger.info(f"relay {self.url}: takes no messages of {sent} bytes")

    def _limits(self) -> RelayLimits:
        known = self.information.limits if self.information else RelayLimits()
        found = [
            limit
            for limit in (known.max_message_length, self._longest)
            if limit is not None
        ]
        return known._replace(max_message_length=min(found, default=None))

    def _request_information(self) -> None:
        now = clock.now()
        refresh = self._settings.information_refresh_seconds
        if self._informed_at is None or now - self._informed_at >= refresh:
            self._informed_at = now
            self._longest = None
            request_information(
                self.url, self._settings, lambda found: self._put("information", found)
            )

    def _publish(self, connection: Connection) -> float | None:
        if (
            not self.write
            or connection.unsent_bytes > self._settings.relay_buffer_bytes
        ):
            return None
        events, again = self._owner.take_events(self, EVENTS_AT_ONCE)
        longest = self._session.limits.max_message_length
        for event in events:
            text = message.encode_event(event.text)
            if longest is not None and len(text.encode()) > longest:
                reason = f"invalid: the relay takes up to {longest} bytes"
                self._owner.relay_answered(self, event.id, False, reason)
                continue
            connection.send(text)
            self.num_sent_events += 1
        if len(events) == EVENTS_AT_ONCE:
            return clock.now()
        return again

    def _read(self, connection: Connection) -> bool:
        """Take what has arrived; tells whether too much of it was garbage."""
        burst = Burst(clock.now(), clock.wall(), set())
        started, pause = burst.now, self._settings.wake_seconds
        received = connection.receive()
        turn = self._owner.message_pool.turn
        try:
            for first in range(0, len(received), MESSAGES_A_TURN):
                with turn:
                    for data in received[first : first + MESSAGES_A_TURN]:
                        if self._message(data, burst):
                            return True
                burst.now = clock.now()
                if burst.now - started > pause:
                    # Soon for the first, seldom for the rest: waking costs.
                    started = burst.now
                    pause = min(2 * pause, self._settings.wake_seconds_most)
                    _flush(burst.touched)
            return False
        finally:
            _flush(burst.touched)

    def _message(self, data: bytes, burst: Burst) -> bool:
        """Take one message; tells whether there was too much garbage."""
        if len(data) > self._settings.relay_message_bytes:
            self._too_large(data, burst.now)
            return False
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            return self._bad(error, burst)
        event_text = self._latest.event_text(text)
        if event_text is not None:
            return self._event(self._latest.upstream_id, event_text, burst)
        try:
            heard = message.parse_relay_message(text)
        except InvalidMessage as error:
            return self._bad(error, burst)
        if isinstance(heard, message.RelayEvent):
            return self._event(heard.upstream_id, heard.text, burst)
        self._garbage.good()
        self._heard(heard, burst.now, burst.wall)
        return False

    def _bad(self, error: Exception, burst: Burst) -> bool:
        self.num_invalid_messages += 1
        if self.num_invalid_messages == 1:
            logger.warning(f"relay {self.url}: garbage: {printable(str(error))}")
        if self._garbage.bad(burst.now):
            self._failed("too much garbage")
            return True
        return False

    def _event(self, upstream_id: str, text: str, burst: Burst) -> bool:
        """Take an event; tells whether there was too much garbage."""
        self.num_received_events += 1
        ask = self._session.asked(upstream_id)
        if ask is None:
            self.num_unasked_events += 1
            self._garbage.good()
            return False
        if upstream_id != self._latest.upstream_id:
            self._latest = message.EventHead(upstream_id)
        pool = self._owner.message_pool
        try:
            event = pool.verified.verify(text)
        except InvalidEvent as error:
            return self._bad(error, burst)
        self._garbage.good()
        ask.event(event, burst.now, burst.wall)
        if event.expiration is not None and event.is_expired(burst.wall):
            return False
        if not pool.deliver(ask.members, event, self.url, burst.touched):
            self.num_duplicate_events += 1
            if ask.awaiting and burst.now - ask.progress_at >= PROGRESS_SECONDS:
                # Who waits for this relay's EOSE learns that it is busy, not silent.
                ask.progress_at = burst.now
                self._owner.relay_progress(self, tuple(ask.members))
        return False

    def _heard(self, heard: message.RelayMessage, now: float, wall: float) -> None:
        session, owner = self._session, self._owner
        if isinstance(heard, message.RelayEose):
            owner.relay_finished(self, session.eose(heard.upstream_id, now, wall))
        elif isinstance(heard, message.RelayOk):
            self._ok(heard, now, wall)
        elif isinstance(heard, message.RelayAuth):
            self._authenticate(heard.challenge)
        elif isinstance(heard, message.RelayClosed):
            reason = printable(heard.message)
            closed = session.closed(heard.upstream_id, reason, now)
            if closed is not None:
                owner.relay_closed(self, closed)
            else:
                owner.relay_counted(self, heard.upstream_id, None)
        elif isinstance(heard, message.RelayCount):
            owner.relay_counted(self, heard.upstream_id, heard.total)
        elif isinstance(heard, message.RelayNotice):
            text = printable(heard.message)
            self._notices.append(Noted(text, clock.wall()))
            owner.relay_noticed(self, text)

    def _ok(self, heard: message.RelayOk, now: float, wall: float) -> None:
        session, owner = self._session, self._owner
        reason = printable(heard.message)
        if heard.event_id == self._auth_id:
            self._auth_id = None
            refused, self._refused_unauthenticated = self._refused_unauthenticated, {}
            if heard.accepted:
                self._authenticated = True
                session.authenticated(now, wall)
                owner.relay_authenticated(self)
                return
            self._failed(f"AUTH refused: {reason}")
            closed = session.cannot_authenticate()
            if closed is not None:
                owner.relay_closed(self, closed)
            for event_id, refusal in refused.items():
                owner.relay_answered(self, event_id, False, refusal)
        elif (
            not heard.accepted
            and session.can_authenticate
            and not self._authenticated
            and message.prefix(reason) == "auth-required"
            and heard.event_id not in self._refused_unauthenticated
            and len(self._refused_unauthenticated) < MOST_REFUSED
        ):
            self._refused_unauthenticated[heard.event_id] = reason
        else:
            owner.relay_answered(self, heard.event_id, heard.accepted, reason)

    def _authenticate(self, challenge: str) -> None:
        self.asks_who_we_are = True
        identity = self._owner.identity
        if identity is None or not self._auths.take(clock.now()):
            return
        event = Event(
            content="",
            kind=AUTH_KIND,
            tags=[["relay", self.url], ["challenge", challenge]],
        )
        identity.sign_event(event)
        self._auth_id = event.id
        self._session.output.append(message.encode("AUTH", event.to_dict()))

    def _too_large(self, data: bytes, now: float) -> None:
        self.error_counter += 1
        text = f"a message of {len(data)} bytes was dropped"
        self._errors.append(Noted(text, clock.wall()))
        head = data[:200].decode(errors="replace")
        upstream_id = message.find_upstream_id(head)
        if upstream_id is not None:
            self._session.back_off(upstream_id, now)

    def add_error(self, text: str) -> None:
        """Note that something is wrong with this relay."""
        self.error_counter += 1
        self._errors.append(Noted(text, clock.wall()))
        logger.warning(f"relay {self.url}: {text}")

    def add_notice(self, notice: str) -> None:
        """Note a NOTICE of this relay."""
        self._notices.append(Noted(printable(notice), clock.wall()))


def _flush(touched: set[Mailbox]) -> None:
    for mailbox in touched:
        mailbox.flush()
    touched.clear()


def new_id() -> str:
    """Give an unguessable id for a subscription on relays."""
    return f"{random.SystemRandom().getrandbits(128):032x}"
