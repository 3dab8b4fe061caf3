"""One relay and its thread, which keeps its connection for as long as it is wanted.

Others reach the thread only through its inbox, in which CLOSE and REQ keep their order.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from loguru import logger

from . import backoff, clock
from .connection import Connection, ConnectionLostError, StopRequestedError, Waker
from .conversation import Conversation, RelayOwner, TooMuchGarbageError
from .information import LEAST
from .information_request import request_information
from .relay_record import RelayRecord, RelayStatus
from .relay_session import RelayLimits, RelaySession
from .relay_subscription import Request
from .settings import Settings


class Relay(RelayRecord):
    """One relay and the thread that keeps its connection.

    Everything public may be read, and every method called, from any thread.
    """

    def __init__(
        self, url: str, owner: RelayOwner, settings: Settings | None = None
    ) -> None:
        self._settings = settings or Settings()
        super().__init__(url, self._settings)
        self._owner = owner
        self.counters.figures = owner.message_pool.figures
        self._inbox: deque[tuple[str, Any]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None
        self._stopping = False
        self._pending: list[Request] | None = None
        self._session = self._new_session()
        self._informed_at: float | None = None
        self._longest: int | None = None

    @property
    def num_subscriptions(self) -> int:
        """How many subscriptions are open on this relay."""
        return self._session.subscription_count

    @property
    def limits(self) -> RelayLimits:
        """The limits we keep to on this relay, announced and learned."""
        return self._session.limits

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

    def wake_publisher(self) -> None:
        """Have the relay's thread look for events to publish."""
        self._put("wake_publisher", None)

    def retry_now(self) -> None:
        """End the pause before the next attempt to connect, if there is one."""
        with self._lock:
            if self.status is RelayStatus.WAITING:
                self.retry_at = clock.now()
                self._wake()

    def _put(self, verb: str, value: Any) -> None:
        with self._lock:
            if self._thread is None:
                return
            self._inbox.append((verb, value))
            self._wake()

    def _wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()

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
            self.move(RelayStatus.STOPPED)
            with self._lock:
                waker.close()
                self._waker = None
                self._thread = None
                # The next start is a first one, and until then nothing is open here.
                self.attempts = 0
                self.lost_at = None
                self.down_since = None
                self._session = self._new_session()
                pending, self._pending = self._pending, None
                if pending is None:
                    self._inbox.clear()
                else:
                    self._begin(pending)

    def _check(self) -> None:
        if self._stopping:
            raise StopRequestedError

    def _attempt(self, waker: Waker) -> None:
        self.move(RelayStatus.CONNECTING)
        penalised = False
        retry_after = 0.0
        opened_at: float | None = None
        connection: Connection | None = None
        try:
            connection = Connection(
                self.url, self._settings, waker, self._check, self.route
            )
            opened_at = clock.now()
            self._converse(connection)
        except ConnectionLostError as error:
            self.failed(str(error))
            retry_after = min(
                error.retry_after_seconds or 0.0, self._settings.retry_after_max_seconds
            )
            if connection is not None and connection.was_too_long:
                self._learn_longest(connection.longest_sent)
        except TooMuchGarbageError as error:
            self.failed(str(error))
            penalised = True
        except StopRequestedError:
            raise
        except Exception as error:  # noqa: BLE001  # the thread must survive a bug
            logger.exception(f"relay {self.url}: connection given up for a bug")
            self.failed(f"internal error: {type(error).__name__}")
        finally:
            if connection is not None:
                connection.close(politely=self._stopping or penalised)
            if opened_at is not None:
                self.lost_at = clock.now()
                self.counters.lost(self.lost_at)
            self._session.lose()
        now = clock.now()
        if opened_at is not None or self.down_since is None:
            self.down_since = now
        if opened_at is not None and (
            now - opened_at >= self._settings.reconnect_forget_seconds
        ):
            self.attempts = 0
        self.attempts += 1
        if penalised:
            self.retry_at = now + self._settings.penalty_seconds
            self.move(RelayStatus.PENALISED)
        else:
            delay = backoff.delay(
                self.attempts,
                self._settings.reconnect_seconds,
                self._settings.reconnect_max_seconds,
                random.random(),  # noqa: S311  # jitter, no secret
            )
            self.retry_at = now + max(delay, retry_after)
            self.move(RelayStatus.WAITING)
        self._owner.relay_disconnected(self)
        self._pause(waker, self.retry_at)
        self.retry_at = None

    def _pause(self, waker: Waker, until: float) -> None:
        while not self._stopping:
            retry_at = self.retry_at  # `retry_now` may have brought it forward
            left = (until if retry_at is None else min(until, retry_at)) - clock.now()
            if left <= 0:
                return
            waker.wait(left)
            self._empty_inbox()
        raise StopRequestedError

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

    def _converse(self, connection: Connection) -> None:
        self.connections += 1
        self._empty_inbox()
        self._request_information()
        self._session.set_limits(self._limits())
        conversation = Conversation(
            self, self._session, self._owner, self._settings, connection
        )
        conversation.run(self._empty_inbox)

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
                self.url,
                self._settings,
                lambda found: self._put("information", found),
                self.route,
            )


def new_id() -> str:
    """Give an unguessable id for a subscription on relays."""
    return f"{random.SystemRandom().getrandbits(128):032x}"
