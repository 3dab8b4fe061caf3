"""One link to a relay and its thread, which keeps the connection while it is wanted.

A relay has a main link, and one for each key to whose owner alone it gives certain
events (see `identity_links`). Others reach the thread only through its inbox, in which
REQ and CLOSE keep their order.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from typing_extensions import assert_never

from . import backoff, clock
from .connection import Connection, ConnectionLostError, StopRequestedError, Waker
from .conversation import Conversation, RelayOwner, TooMuchGarbageError
from .information import AUTH_NIP, NEGENTROPY_NIP, RelayInformation
from .information_request import request_information
from .log import logger
from .relay_record import RelayRecord, RelayStatus
from .relay_session import RelaySession
from .relay_subscription import Request
from .settings import Settings


class Subscribe(NamedTuple):
    """Order: open a subscription, or replace the one of the same id."""

    request: Request


class Unsubscribe(NamedTuple):
    """Order: close a subscription."""

    upstream_id: str


class Count(NamedTuple):
    """Order: send COUNT (NIP-45)."""

    upstream_id: str
    filters: list[dict[str, Any]]


class Inform(NamedTuple):
    """Order: apply the relay's NIP-11 document; None: there is none."""

    information: RelayInformation | None


class Reconnect(NamedTuple):
    """Order: replace the connection at once; everything else stays as it is."""

    forget_authentication: bool


class WantKeys(NamedTuple):
    """Order: ask again for the keys that refused REQs need."""


class WakePublisher(NamedTuple):
    """Order: look for events to publish."""


Order = Subscribe | Unsubscribe | Count | Inform | Reconnect | WantKeys | WakePublisher


class RelayLink:
    """The thread of one link; `record` is what it writes its state to.

    Every public method may be called from any thread. `_lock` guards the inbox, the
    thread and the flags; it is a leaf, held for no call but the waker's.
    """

    def __init__(
        self, record: RelayRecord, owner: RelayOwner, settings: Settings
    ) -> None:
        self._record = record
        self._owner = owner
        self._settings = settings
        self._session_settings = settings
        self._inbox: deque[Order] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waker = Waker()
        self._stopping = False
        self._reconnecting = False
        self._pending: list[Request] | None = None
        self._session = self._new_session()
        self._informed_at: float | None = None

    @property
    def session(self) -> RelaySession:
        """The subscriptions on this link; the thread's, to be read only."""
        return self._session

    @property
    def running(self) -> bool:
        """Whether there is a thread, also one that is about to end."""
        return self._thread is not None

    def configure(self, settings: Settings) -> None:
        """Apply other settings, to subscriptions from the next start on."""
        self._settings = settings

    # Orders

    def start(self, requests: Iterable[Request]) -> None:
        """Start the thread, with these subscriptions open.

        A thread that was asked to stop and has not ended yet is followed by a new one.
        Raises `RuntimeError` where the system gives no thread.
        """
        with self._lock:
            self._inbox.clear()
            if self._thread is None:
                self._begin(list(requests))
            elif self._stopping:
                self._pending = list(requests)

    def _begin(self, requests: list[Request]) -> None:
        self._stopping = False
        self._reconnecting = False
        if self._session_settings is not self._settings:
            self._session_settings = self._settings
            self._session = self._new_session()
        # What was confirmed before the restart is replayed from there.
        self._session.keep_only(requests)
        self._waker.clear()
        thread = threading.Thread(
            target=self._run, name=f"nostrclient {self._record.url}", daemon=True
        )
        thread.start()
        self._thread = thread  # only one that could be started

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end; return it, so that it can be joined."""
        with self._lock:
            self._stopping = True
            self._pending = None
            self._waker.wake()
            return self._thread

    def put(self, order: Order) -> None:
        """Queue an order for the thread; without a thread nothing happens."""
        with self._lock:
            if self._thread is None:
                return
            if isinstance(order, Reconnect):
                self._reconnecting = True
            self._inbox.append(order)
            self._waker.wake()

    def retry_now(self) -> None:
        """End the pause before the next attempt to connect, if there is one."""
        with self._lock:
            if self._record.status is RelayStatus.WAITING:
                self._record.retry_at = clock.now()
                self._waker.wake()

    def _new_session(self) -> RelaySession:
        jitter = random.SystemRandom().random
        return RelaySession(self._settings, new_id, lambda: 0.25 * jitter())

    # The thread

    def _run(self) -> None:
        record = self._record
        try:
            while not self._stopping:
                self._attempt()
        except StopRequestedError:
            pass
        finally:
            record.move(RelayStatus.STOPPED)
            with self._lock:
                self._thread = None
                # The next start is a first one, and until then nothing is open here.
                record.attempts = 0
                record.lost_at = None
                record.down_since = None
                pending, self._pending = self._pending, None
                if pending is None:
                    self._inbox.clear()
                    self._session = self._new_session()
                else:
                    self._begin(pending)

    def _check(self) -> None:
        if self._stopping:
            raise StopRequestedError

    def _attempt(self) -> None:
        record = self._record
        record.move(RelayStatus.CONNECTING)
        penalised = ended_by_relay = mid_message = False
        opened_at: float | None = None
        connection: Connection | None = None
        try:
            way = self._settings.proxy, record.route
            connection = Connection(
                record.url,
                self._settings,
                self._waker,
                self._check,
                record.route,
                record.label,
                public_only=record.public_only,
            )
            if way != (self._settings.proxy, record.route):
                raise _Reconnect  # the operator has chosen another way meanwhile
            opened_at = clock.now()
            self._converse(connection)
        except _Reconnect:
            pass
        except ConnectionLostError as error:
            record.failed(str(error))
            record.retry_after = error.retry_after_seconds or 0.0
            if connection is not None:
                ended_by_relay = connection.ended_by_relay
                mid_message = connection.is_mid_message
                if connection.was_too_long:
                    self._learn_longest(connection.longest_sent)
        except TooMuchGarbageError as error:
            record.failed(str(error))
            penalised = True
        except StopRequestedError:
            raise
        except Exception as error:  # noqa: BLE001  # the thread must survive a bug
            logger.exception(f"relay {record.url}: connection given up for a bug")
            record.failed(f"internal error: {type(error).__name__}")
        finally:
            if connection is not None:
                connection.close(politely=self._stopping or penalised)
            self._waker.close()
            if opened_at is not None:
                record.lost_at = clock.now()
                record.counters.lost(record.lost_at)
            self._session.lose(
                clock.now(), ended_by_relay=ended_by_relay, mid_message=mid_message
            )
        self._refuse_poison()
        self._wait(opened_at, penalised=penalised)

    def _wait(self, opened_at: float | None, *, penalised: bool) -> None:
        """Wait until the next attempt to connect."""
        record, settings, now = self._record, self._settings, clock.now()
        if opened_at is not None or record.down_since is None:
            record.down_since = now
        if opened_at is not None and (
            now - opened_at >= settings.reconnect_forget_seconds
        ):
            record.attempts = 0
        record.attempts += 1
        if penalised:
            record.retry_at = now + settings.penalty_seconds
            record.move(RelayStatus.PENALISED)
        else:
            delay = backoff.delay(
                record.attempts,
                settings.reconnect_seconds,
                settings.reconnect_max_seconds,
                random.random(),  # noqa: S311  # jitter, no secret
            )
            asked_for = min(record.retry_after, settings.retry_after_max_seconds)
            record.retry_after = 0.0
            record.retry_at = now + max(delay, asked_for)
            if self._reconnecting:
                record.retry_at = now
            record.move(RelayStatus.WAITING)
        with self._lock:
            self._reconnecting = False
        self._owner.relay_disconnected(record)
        self._pause(record.retry_at)
        record.retry_at = None

    def _pause(self, until: float) -> None:
        while not self._stopping:
            retry_at = self._record.retry_at  # `retry_now` may have brought it forward
            left = (until if retry_at is None else min(until, retry_at)) - clock.now()
            if left <= 0:
                return
            self._waker.wait(left)
            self._empty_inbox()
        raise StopRequestedError

    def _next_order(self) -> Order | None:
        with self._lock:
            # Once the thread is to stop, the inbox belongs to its successor.
            if self._stopping or not self._inbox:
                return None
            return self._inbox.popleft()

    def _empty_inbox(self) -> None:
        while (order := self._next_order()) is not None:
            self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        session = self._session
        match order:
            case Subscribe():
                session.subscribe(order.request)
            case Unsubscribe():
                session.unsubscribe(order.upstream_id)
            case Count():
                self._count(order)
            case Inform():
                self._inform(order.information)
            case Reconnect():
                self._reconnect(order)
            case WantKeys():
                session.want_refused_keys()
            case WakePublisher():
                pass  # the conversation looks whenever the thread is awake
            case _:
                assert_never(order)

    def _count(self, order: Count) -> None:
        session = self._session
        if session.connected and not session.count(
            order.upstream_id, order.filters, clock.now()
        ):
            self._owner.relay_counted(self._record, order.upstream_id, None)

    def _reconnect(self, order: Reconnect) -> None:
        if order.forget_authentication:
            self._session.forget_authentication()
        if self._session.connected:
            raise _Reconnect

    def _inform(self, information: RelayInformation | None) -> None:
        self._record.is_informed = True
        if information is not None:
            self._record.information = information
            self._apply_information()
        self._owner.relay_informed(self._record)

    def _apply_information(self) -> None:
        """Apply what is known of the relay to a session, which may be a new one."""
        record, session = self._record, self._session
        information = record.information
        if record.asks_who_we_are or (
            information is not None and AUTH_NIP in information.supported_nips
        ):
            session.split_restricted_kinds()
        if record.asks_who_we_are:
            session.want_keys()
        if information is not None:
            session.set_limits(information.limits)
            session.set_reconciles(NEGENTROPY_NIP in information.supported_nips)

    def _converse(self, connection: Connection) -> None:
        self._record.connections += 1
        self._request_information()
        conversation = Conversation(
            self._record, self._session, self._owner, self._settings, connection
        )
        self._empty_inbox()
        self._apply_information()
        conversation.run(self._empty_inbox)

    def _learn_longest(self, sent: int) -> None:
        # It said nothing of a limit, or a wrong one. Sent again on every connection,
        # one client's message would keep the relay from everybody else.
        self._session.learn_message_length(sent * 3 // 4)
        logger.info(f"relay {self._record.url}: takes no messages of {sent} bytes")

    def _refuse_poison(self) -> None:
        given_up, self._session.given_up = self._session.given_up, []
        for event_id in given_up:
            text = "invalid: the relay ends the connection when it is sent this event"
            self._record.add_error(f"event {event_id} ends its connection")
            self._owner.relay_answered(self._record, event_id, False, text)
        refused, self._session.refused = self._session.refused, []
        for closed in refused:
            self._record.add_error("a REQ of a client ends its connection")
            self._owner.relay_closed(self._record, closed)

    def _request_information(self) -> None:
        now = clock.now()
        refresh = self._settings.information_refresh_seconds
        if self._informed_at is None or now - self._informed_at >= refresh:
            self._informed_at = now
            self._session.forget_learned_limits()
            request_information(
                self._record.url,
                self._settings,
                lambda found: self.put(Inform(found)),
                self._record.route,
                public_only=self._record.public_only,
            )


class _Reconnect(Exception):  # noqa: N818  # no error: the connection is replaced
    """The connection is to be replaced."""


def new_id() -> str:
    """Return an unguessable id for a subscription on relays."""
    return f"{random.SystemRandom().getrandbits(128):032x}"
