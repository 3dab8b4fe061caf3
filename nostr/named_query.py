"""A query to one relay that is not in the list, over a connection of its own.

The connection authenticates as nobody and is closed after the answer, so it shows what
the relay shows to strangers. Events are verified and matched here, as for all clients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import clock, message
from .connection import Connection, ConnectionLostError, StopRequestedError, Waker
from .errors import InvalidEvent, InvalidMessage
from .event import SignedEvent
from .filter import Filter, matches_any, parse_filters
from .settings import Settings

_NAME = "query"


class NamedQuery:
    """Asks one relay for its stored events, in a thread of its own.

    `found` receives each event, then `finished` once whether the relay has answered;
    both are called from the thread. The relay has until `deadline`, on `clock.now`.
    Each filter has a `limit`; a relay that sends more than all of them, or more than
    `relay_message_bytes`, is cut off. With `public_only` no private address is
    connected to, whatever its name.
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
        self._public_only = public_only
        self._left_events = sum(item.limit or 0 for item in self._filters)
        self._left_bytes = settings.relay_message_bytes
        self._waker = Waker()
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        name = f"nostrclient query {self._url}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

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
            self._finished(answered or not self._filters)

    def _ask(self, filters: Sequence[Filter]) -> bool:
        left = max(0.1, self._deadline - clock.now())
        settings = replace(
            self._settings, connect_seconds=min(left, self._settings.connect_seconds)
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
            pass  # a relay's garbage is not in the answer
        return None
