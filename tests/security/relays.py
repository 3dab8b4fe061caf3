"""Relays that misbehave on purpose, and a client of floor 2 that looks at the result.

Each relay is a real WebSocket server on the loopback interface. Its script says what it
does with what it is sent; nothing in it is checked, that is what the tests are for.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from dev.ports import HOST
from nostrclient.nostr.delivery import Delivered, Delivery
from nostrclient.nostr.event import Event
from nostrclient.nostr.filter import parse_filters
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.mailbox import Mailbox
from nostrclient.nostr.relay import new_id
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import Settings

SECONDS = 15.0
QUIET_SECONDS = 0.5

Script = Callable[["HostileRelay", ServerConnection, list[Any]], None]


class HostileRelay:
    """A relay that calls `script(relay, connection, message)` for every message.

    `received` holds what it was sent, over all connections; `document`, if any, is its
    NIP-11 document, as it is at the moment.
    """

    def __init__(
        self,
        script: Script,
        *,
        opened: Callable[[ServerConnection], None] | None = None,
        document: Callable[[], dict[str, Any]] | None = None,
        max_size: int = 2**26,
    ) -> None:
        self.received: list[list[Any]] = []
        self.connections: list[ServerConnection] = []
        self._script = script
        self._opened = opened
        self._document = document
        self._server: Server = serve(
            self._serve,
            HOST,
            0,
            max_size=max_size,
            ping_interval=None,
            process_request=self._answer_http,
        )
        self.port: int = self._server.socket.getsockname()[1]
        self.url = f"ws://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer_http(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        if self._document is None:
            return Response(404, "Not Found", Headers(), b"")
        headers = Headers({"Content-Type": "application/nostr+json"})
        return Response(200, "OK", headers, json.dumps(self._document()).encode())

    def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        with suppress(ConnectionClosed):
            if self._opened is not None:
                self._opened(connection)
            for text in connection:
                message = json.loads(text)
                self.received.append(message)
                self._script(self, connection, message)

    def verbs(self, verb: str) -> list[list[Any]]:
        """The messages of one kind it was sent."""
        return [message for message in list(self.received) if message[0] == verb]

    def close(self) -> None:
        """End the server and its connections."""
        for connection in self.connections:
            with suppress(OSError):
                connection.socket.close()
        self._server.shutdown()
        self._thread.join(SECONDS)

    def __enter__(self) -> "HostileRelay":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def say(connection: ServerConnection, *message: object) -> None:
    """Send a message to nostrclient."""
    connection.send(json.dumps(message))


def silent(relay: HostileRelay, connection: ServerConnection, message: Any) -> None:
    """Answer nothing at all."""


def polite(relay: HostileRelay, connection: ServerConnection, message: Any) -> None:
    """Answer as a relay without any event does."""
    if message[0] == "REQ":
        say(connection, "EOSE", message[1])
    elif message[0] == "EVENT":
        say(connection, "OK", message[1]["id"], True, "")


class Reader:
    """A consumer of floor 2 with a subscription, as a client's session is one."""

    def __init__(self, manager: RelayManager, *filters: dict[str, Any]) -> None:
        self.items: list[Delivery] = []
        self.upstream_id = new_id()
        self._arrived = threading.Condition()
        self.mailbox = Mailbox(
            self._wake, manager.settings.mailbox_bytes, manager.message_pool.budget
        )
        manager.register(self.mailbox)
        manager.subscribe(self.upstream_id, parse_filters(filters), self.mailbox)

    def _wake(self) -> None:
        with self._arrived:
            self._arrived.notify_all()

    def take(self) -> None:
        """Take what has arrived."""
        self.items += self.mailbox.take_all()

    @property
    def events(self) -> list[str]:
        """The JSON texts of the events delivered so far, in order."""
        self.take()
        return [item.event.text for item in self.items if isinstance(item, Delivered)]

    def wait_for_events(self, count: int) -> list[str]:
        """Wait until so many events have been delivered."""
        deadline = time.monotonic() + SECONDS
        while len(self.events) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.events)} of {count} events"
            with self._arrived:
                self._arrived.wait(min(left, 0.05))
        return self.events

    def settle(self, seconds: float = QUIET_SECONDS) -> list[str]:
        """Give what was delivered by the time nothing can be under way any more."""
        time.sleep(seconds)
        return self.events


@contextmanager
def managed(*relays: HostileRelay, **numbers: Any) -> Iterator[RelayManager]:
    """Run a RelayManager with these relays, all connected."""
    manager = RelayManager(Settings(**numbers))
    for relay in relays:
        manager.add_relay(relay.url)
    manager.start()
    try:
        wait_until(
            lambda: manager.connected_relays == len(relays), "all relays are connected"
        )
        yield manager
    finally:
        manager.stop()


def wait_until(true: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Return once `true` says so; fail the test with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.01)


def signed(
    content: str = "true", *, key: PrivateKey | None = None, **fields: Any
) -> dict[str, Any]:
    """Sign an event."""
    event = Event(content, **fields)
    (key or PrivateKey()).sign_event(event)
    return dict(event.to_dict())
