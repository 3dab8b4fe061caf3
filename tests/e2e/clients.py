"""Clients as other people write them, and the events they send."""

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import nostr_sdk
import websocket

Message = list[Any]

SECONDS = 15.0
"""How long a test waits for something that should happen."""

QUIET_SECONDS = 0.7
"""How long a test waits to see that something does not happen."""


def wait_until(
    true: Callable[[], bool], what: str, seconds: float = SECONDS, pause: float = 0.05
) -> None:
    """Return once `true` says so; fail the test with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(pause)


class Author:
    """Somebody with keys. Every test has its own, so that tests do not meet."""

    def __init__(self) -> None:
        self._keys = nostr_sdk.Keys.generate()
        self.pubkey = self._keys.public_key().to_hex()
        self.nsec = self._keys.secret_key().to_bech32()

    def event(
        self,
        content: str = "",
        *,
        kind: int = 1,
        created_at: int | None = None,
        tags: list[list[str]] | None = None,
    ) -> dict[str, Any]:
        """Sign an event."""
        builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(kind), content).tags(
            [nostr_sdk.Tag.parse(tag) for tag in tags or []]
        )
        if created_at is not None:
            builder = builder.custom_created_at(
                nostr_sdk.Timestamp.from_secs(created_at)
            )
        signed: dict[str, Any] = json.loads(
            builder.sign_with_keys(self._keys).as_json()
        )
        return signed


class Client:
    """websocket-client in a thread of its own, as nostrmarket uses it."""

    def __init__(self, url: str, name: str = "client") -> None:
        """Connect and return once the connection is open.

        Raises RefusedError where the handshake is answered with anything but 101.
        """
        self.name = name
        self.received: list[Message] = []
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._opened = threading.Event()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self.close_code: int | None = None
        self._socket = websocket.WebSocketApp(
            url,
            on_open=self._on_open,
            on_message=self._on_message,
            on_error=self._on_error,
            on_close=self._on_close,
        )
        threading.Thread(target=self._run, name=name, daemon=True).start()
        deadline = time.monotonic() + SECONDS
        while not self._opened.wait(0.01):
            if self._ended.is_set():
                raise _refusal(self._error)
            assert time.monotonic() < deadline, f"{url} answers nothing"

    @property
    def open(self) -> bool:
        """Whether the connection is still there."""
        return not self._ended.is_set()

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return not self.open

    def close(self) -> None:
        """Close the connection as a client should.

        The library's thread notices up to ten seconds later; nobody waits for it.
        """
        self._socket.close()

    def vanish(self) -> None:
        """Let the connection go without a word, as a crashed client does."""
        assert self._socket.sock
        self._socket.sock.shutdown()

    # --- sending

    def send(self, *message: object) -> None:
        """Send a message as JSON."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        """Send anything as a text frame."""
        self._socket.send(text)

    def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._socket.send(data, opcode=websocket.ABNF.OPCODE_BINARY)

    def subscribe(self, subscription_id: str, *filters: object) -> list[dict[str, Any]]:
        """Send a REQ and return the stored events, those that precede EOSE."""
        self.send("REQ", subscription_id, *filters)
        stored: list[dict[str, Any]] = []
        while True:
            message = self.receive(f"EOSE {subscription_id}")
            if message[:2] == ["EOSE", subscription_id]:
                return stored
            if message[:2] == ["EVENT", subscription_id]:
                stored.append(message[2])

    def publish(self, event: dict[str, Any]) -> tuple[bool, str]:
        """Send an EVENT and return what its OK says."""
        self.send("EVENT", event)
        _, _, accepted, reason = self.expect("OK", event["id"])
        return accepted, reason

    # --- receiving

    def receive(self, what: str = "a message", seconds: float = SECONDS) -> Message:
        """Take the next message; fail the test where none comes."""
        try:
            return self._inbox.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(
                f"{self.name} waited {seconds} s for {what}, "
                f"open: {self.open}, received so far: {self.received}"
            ) from None

    def expect(self, *start: object, seconds: float = SECONDS) -> Message:
        """Take messages until one starts like this; fail the test where none does."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            message = self.receive(str(start), left)
            if message[: len(start)] == list(start):
                return message

    def expect_nothing(self, seconds: float = QUIET_SECONDS) -> None:
        """Fail the test if any message comes within `seconds`."""
        try:
            message = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"{self.name} got {message} where nothing should come")

    def all_events(self, subscription_id: str) -> list[str]:
        """Give the ids of all events received for a subscription so far, in order."""
        return [
            message[2]["id"]
            for message in list(self.received)
            if message[:2] == ["EVENT", subscription_id]
        ]

    def count(self, *start: object) -> int:
        """Count the messages received so far that start like this."""
        return sum(
            message[: len(start)] == list(start) for message in list(self.received)
        )

    # --- called in the thread

    def _run(self) -> None:
        self._socket.run_forever()
        self._ended.set()

    def _on_open(self, app: websocket.WebSocketApp) -> None:
        self._opened.set()

    def _on_message(self, app: websocket.WebSocketApp, text: str) -> None:
        message = json.loads(text)
        self.received.append(message)
        if message[0] != "AUTH":  # sent first where the endpoint holds any key
            self._inbox.put(message)

    def _on_error(self, app: websocket.WebSocketApp, error: Exception) -> None:
        self._error = error

    def _on_close(
        self, app: websocket.WebSocketApp, code: int | None, reason: str | None
    ) -> None:
        self.close_code = code


class RefusedError(Exception):
    """A handshake that was answered with something else than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def _refusal(error: Exception | None) -> Exception:
    if isinstance(error, websocket.WebSocketBadStatusException):
        return RefusedError(error.status_code)
    return error or AssertionError("closed before it was open, without an error")


def handshake_status(url: str) -> int:
    """Try to open a WebSocket and return the HTTP status: 101 where it opened."""
    try:
        connection = websocket.create_connection(url, timeout=SECONDS)
    except websocket.WebSocketBadStatusException as refused:
        return int(refused.status_code)
    connection.close()
    return 101
