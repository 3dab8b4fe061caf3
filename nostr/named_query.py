"""A query to one relay that is not in the list, over a connection of its own.

The connection authenticates as nobody and is closed after the answer, so it shows what
the relay shows to strangers. Events are verified and matched here, as for all clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from . import clock, message
from .connection import Connection, ConnectionLostError, StopRequestedError, Waker
from .errors import InvalidEvent, InvalidMessage
from .event import SignedEvent
from .filter import Filter, matches_any, parse_filters
from .settings import Settings

_NAME = "query"
MAX_EVENTS = 10_000  # of all relays of one query


class TooManyQueriesError(RuntimeError):
    """So many relays are being asked by name that no more are."""


class NamedQuery:
    """Asks one relay for its stored events, in a thread of its own.

    `found` receives each event, then `finished` once whether the relay has answered;
    both are called from the thread, and `ended` before `finished`. The relay has until
    `deadline`, on `clock.now`. Each filter has a `limit`; a relay that sends more than
    all of them, or more than `relay_message_bytes`, is cut off. With `public_only` no
    private address is connected to, whatever its name.
    """

    def __init__(
        self,
        url: str,
        filters: Sequence[dict[str, Any]],
        settings: Settings,
        deadline: float,
        *,
        found: Callable[[SignedEvent], None],
        finished: Callable[[bool], None],
        ended: Callable[[NamedQuery], None] = lambda _: None,
        public_only: bool,
    ) -> None:
        """Check the filters. Raises `InvalidMessage`."""
        self._url = url
        self._filters = parse_filters(filters)
        self._request = message.encode("REQ", _NAME, *filters)
        self._settings = settings
        self._deadline = deadline
        self._found = found
        self._finished = finished
        self._ended = ended
        self._public_only = public_only
        self._left_events = sum(item.limit or 0 for item in self._filters)
        self._left_bytes = settings.relay_message_bytes
        self._waker = Waker()
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        name = f"nostrclient query {self._url}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the system gives no thread
            self._ended(self)
            self._finished(False)

    def stop(self) -> None:
        """End the thread as soon as possible."""
        self._stopping = True
        self._waker.wake()

    def _check(self) -> None:
        if self._stopping:
            raise StopRequestedError

    def _run(self) -> None:
        answered = False
        try:
            answered = bool(self._filters) and self._ask(self._filters)
        except (ConnectionLostError, StopRequestedError):
            pass
        finally:
            self._waker.close()
            self._ended(self)
            self._finished(answered or not self._filters)

    def _ask(self, filters: Sequence[Filter]) -> bool:
        left = max(0.1, self._deadline - clock.now())
        settings = replace(
            self._settings,
            connect_seconds=min(left, self._settings.connect_seconds),
            relay_frame_bytes=self._settings.relay_message_bytes,
        )
        connection = Connection(
            self._url,
            settings,
            self._waker,
            self._check,
            public_only=self._public_only,
        )
        try:
            connection.send(self._request)
            while (left := self._deadline - clock.now()) > 0:
                connection.flush()
                if connection.wait(left):
                    for data in connection.receive():
                        answer = self._read(data, filters)
                        if answer is not None:
                            return answer
                connection.check_open()
            return False
        finally:
            connection.close(politely=True)

    def _read(self, data: bytes, filters: Sequence[Filter]) -> bool | None:
        """Handle a message; return whether the relay answered once it is done."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            return False
        try:
            received = message.parse_relay_message(data.decode())
            if isinstance(received, message.RelayEose):
                return True
            if isinstance(received, message.RelayClosed):
                return False
            if isinstance(received, message.RelayEvent):
                event = SignedEvent.parse(received.text)
                is_expired = event.is_expired(clock.wall())
                if matches_any(filters, event) and not is_expired:
                    self._found(event)
                self._left_events -= 1
                if self._left_events < 0:
                    return False
        except (InvalidMessage, InvalidEvent, UnicodeDecodeError):
            pass  # invalid events are not in the answer
        return None


class NamedQueries:
    """All queries to named relays, of which there are so many at a time.

    `_running` holds each until its thread has ended. The system's resolver can hold a
    thread for longer than its query lasts, and somebody may name relays that cause it.
    """

    def __init__(self) -> None:
        self._running: set[NamedQuery] = set()

    @property
    def count(self) -> int:
        """How many relays are being asked."""
        return len(self._running)

    async def ask(
        self,
        urls: Iterable[str],
        filters: Sequence[dict[str, Any]],
        settings: Settings,
        deadline: float,
        *,
        public_only: bool,
        found: Callable[[SignedEvent], None],
    ) -> bool:
        """Call back for each event once; return whether all relays have answered.

        It ends at the `deadline`. Raises `InvalidMessage` and `TooManyQueriesError`.
        """
        wanted, loop = set(urls), asyncio.get_running_loop()
        if len(self._running) + len(wanted) > settings.http_named_connections:
            raise TooManyQueriesError("too many connections to named relays")
        arrived: asyncio.Queue[SignedEvent | bool] = asyncio.Queue()

        def put(item: SignedEvent | bool) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(arrived.put_nowait, item)

        queries = [
            NamedQuery(
                url,
                filters,
                settings,
                deadline,
                found=put,
                finished=put,
                ended=self._running.discard,
                public_only=public_only,
            )
            for url in wanted
        ]
        try:
            for query in queries:
                self._running.add(query)
                query.start()
            return await _collect(arrived, len(queries), deadline, found)
        finally:
            for query in queries:
                query.stop()


async def _collect(
    arrived: asyncio.Queue[SignedEvent | bool],
    count: int,
    deadline: float,
    found: Callable[[SignedEvent], None],
) -> bool:
    seen: set[str] = set()
    answered: list[bool] = []
    while len(answered) < count:
        try:
            seconds = max(0.0, deadline - clock.now())
            item = await asyncio.wait_for(arrived.get(), seconds)
        except asyncio.TimeoutError:
            return False
        if isinstance(item, bool):
            answered.append(item)
        elif item.id not in seen and len(seen) < MAX_EVENTS:
            seen.add(item.id)
            found(item)
    return all(answered)
