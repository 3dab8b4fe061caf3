"""One WebSocket connection to a relay, driven by the thread that owns it (RFC 6455).

The protocol is the sans-I/O core of `websockets`. `dial` opens the socket. This module
does the handshake, reading, writing and waiting. Every wait ends when the deadline
passes or the owner has to stop.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import CloseCode, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from . import clock, handshake
from .dial import (
    READ_BYTES,
    ConnectionLostError,
    Link,
    Steps,
    StopRequestedError,
    Target,
    Timing,
    dial,
    reason,
)
from .frames import FrameCutter
from .handshake import HandshakeError
from .information import PRESENCE_HEADER, USER_AGENT
from .settings import Settings
from .socks import RelayRoute, SocksError
from .waker import Waker

__all__ = ["Connection", "ConnectionLostError", "StopRequestedError", "Waker"]

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class _Opened(NamedTuple):
    """A connection after its handshake, with the bytes that already followed it."""

    socket: socket.socket
    protocol: ClientProtocol
    early: bytes
    is_nostrclient: bool


class Connection:
    """An open connection to a relay.

    `check` is called after each interrupted wait and raises `StopRequestedError` when
    the owner has to stop. `stream` names connections that a proxy may put together, by
    default all those to the relay. All methods belong to one thread and raise
    `ConnectionLostError`.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        waker: Waker,
        check: Callable[[], None],
        route: RelayRoute = RelayRoute.DEFAULT,
        stream: str | None = None,
        *,
        public_only: bool = False,
    ) -> None:
        self._waker = waker
        self._check = check
        self._buffer = bytearray()
        self._fragments: bytearray | None = None
        self._ping: tuple[bytes, float] | None = None
        self._pings = 0
        self._broken = False
        self._unsent_bytes = settings.relay_unsent_bytes
        self.longest_sent = 0
        self.round_trip_seconds: float | None = None
        self.received_at = 0.0
        """When anything was last received, even a part of a frame."""
        deadline = clock.now() + settings.connect_seconds
        try:
            uri = parse_uri(url)
            proxy = settings.proxy.choose(uri.host, stream or url, route)
            waker.open()
        except (InvalidURI, SocksError) as error:
            raise ConnectionLostError(str(error)) from error
        except OSError as error:
            raise ConnectionLostError(reason(error)) from error
        opened = dial(
            Target(uri.host, uri.port, uri.secure, public_only),
            proxy,
            lambda link: _shake_hands(link, uri, settings),
            Timing(deadline, settings.connect_address_seconds),
            waker,
            check,
        )
        self._socket, self._protocol = opened.socket, opened.protocol
        self._early = opened.early
        self.is_nostrclient = opened.is_nostrclient
        """Whether the relay presents itself as another nostrclient."""
        self._cutter = FrameCutter(self._protocol, settings.relay_frame_bytes)
        self.received_at = clock.now()

    # Conversing

    def wait(self, seconds: float | None) -> bool:
        """Wait until data can be read or written, or the owner is woken.

        Wait at most `seconds`. Return whether there may be data to read.
        """
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()
        events = select.POLLIN | (select.POLLOUT if self._buffer else 0)
        poll.register(self._socket, events)
        poll.register(self._waker, select.POLLIN)
        timeout = None if seconds is None else max(0.0, seconds) * 1000 + 0.5
        ready = dict(poll.poll(timeout))
        if self._waker.fileno() in ready:
            self._waker.clear()
            self._check()
        return bool(ready.get(self._socket.fileno(), 0) & ~select.POLLOUT)

    def receive(self) -> list[bytes]:
        """Return the received text messages, as bytes."""
        data, self._early = self._early, b""
        messages: list[bytes] = []
        for frame in self._cutter.feed(data or self._read()):
            if isinstance(frame, bytes):
                messages.append(frame)
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                # One buffer, however many and small the fragments are.
                if self._fragments is None:
                    self._fragments = bytearray()
                self._fragments += frame.data
                if frame.fin:
                    messages.append(bytes(self._fragments))
                    self._fragments = None
            elif frame.opcode is Opcode.PONG:
                self._pong(bytes(frame.data))
        return messages

    def check_open(self) -> None:
        """Raise `ConnectionLostError` if the relay or an error has ended it."""
        if self._protocol.state is not State.OPEN:
            raise ConnectionLostError(self._end())

    def send(self, text: str) -> None:
        """Send a text message, with the next `flush`."""
        if self._protocol.state is State.OPEN:
            data = text.encode(errors="surrogatepass")
            self.longest_sent = max(self.longest_sent, len(data))
            self._protocol.send_text(data)

    def send_ping(self) -> None:
        """Send a ping, with the next `flush`."""
        self._pings += 1
        payload = self._pings.to_bytes(8, "big")
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(payload)
            self._ping = (payload, clock.now())

    @property
    def ping_sent_at(self) -> float | None:
        """When the last ping was sent, if nothing was received since.

        Any data proves that the relay is alive: some relays never send a pong.
        """
        if self._ping is None or self.received_at > self._ping[1]:
            return None
        return self._ping[1]

    def _pong(self, payload: bytes) -> None:
        if self._ping is not None and payload == self._ping[0]:
            self.round_trip_seconds = clock.now() - self._ping[1]
            self._ping = None

    @property
    def unsent_bytes(self) -> int:
        """How many bytes the network has not taken yet."""
        return len(self._buffer)

    def flush(self) -> None:
        """Write as much as the network accepts now; the next call writes the rest."""
        for data in self._protocol.data_to_send():
            self._buffer += data
        try:
            while self._buffer:
                sent = self._socket.send(memoryview(self._buffer)[:READ_BYTES])
                del self._buffer[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self._broken = True
            raise ConnectionLostError(reason(error)) from error
        if len(self._buffer) > self._unsent_bytes:
            raise ConnectionLostError("it does not read what it is sent")

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES)
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                if len(data) >= READ_BYTES:
                    break
                data += self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            self._broken = True
            raise ConnectionLostError(reason(error)) from error
        if data:
            self.received_at = clock.now()
            self._acknowledge()
        else:
            self._protocol.receive_eof()
        return data

    def _acknowledge(self) -> None:
        # Many relays write OK and EVENT separately, without TCP_NODELAY. They send the
        # second after the acknowledgement of the first, which Linux delays by 40 ms.
        if _QUICKACK is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _end(self) -> str:
        protocol = self._protocol
        if protocol.parser_exc is not None and not isinstance(
            protocol.parser_exc, EOFError
        ):
            return f"protocol error: {protocol.parser_exc}"
        if protocol.close_rcvd is not None:
            return f"closed by the relay: {protocol.close_rcvd}"
        return "connection ended without a closing handshake"

    @property
    def ended_by_relay(self) -> bool:
        """Whether the relay ended it, with or without a closing frame."""
        return self._broken or self._protocol.state is not State.OPEN

    @property
    def is_mid_message(self) -> bool:
        """Whether a message from the relay has arrived in part.

        Relays end connections between messages, the network anywhere.
        """
        return self._cutter.is_mid_message

    @property
    def was_too_long(self) -> bool:
        """Whether the relay ended it because of a too long message."""
        closed = self._protocol.close_rcvd
        return closed is not None and closed.code == CloseCode.MESSAGE_TOO_BIG

    def close(self, *, politely: bool = False) -> None:
        """Free the socket, after a closing frame if `politely`."""
        try:
            if politely and self._protocol.state is State.OPEN:
                self._protocol.send_close(1000)
                self.flush()
        except ConnectionLostError:
            pass
        finally:
            self._socket.close()


def _shake_hands(link: Link, uri: WebSocketURI, settings: Settings) -> Steps[_Opened]:
    """Open a WebSocket on a connection, or raise `ConnectionLostError`."""
    protocol = ClientProtocol(uri, max_size=settings.relay_frame_bytes)
    request = protocol.connect()
    request.headers["User-Agent"] = USER_AGENT
    protocol.send_request(request)
    for data in protocol.data_to_send():
        yield from link.send(data)
    answer = b""
    while True:
        data = yield from link.receive()
        answer += data
        try:
            head = handshake.read_head(answer)
        except HandshakeError as error:
            raise ConnectionLostError(f"WebSocket handshake failed: {error}") from error
        if head is not None and head.status != handshake.SWITCHING_PROTOCOLS:
            link.refusal = head.failure
            if head.end is not None or not data:
                refused = ConnectionLostError(head.failure)
                refused.retry_after_seconds = head.retry_after_seconds
                raise refused
        elif head is not None and head.end is not None:
            break
        if not data:
            raise ConnectionLostError(
                "WebSocket handshake failed: the relay closed the connection"
            )
    protocol.receive_data(answer[: head.end])
    failure = protocol.handshake_exc
    if failure is not None:
        cause = failure.__cause__ or failure
        raise ConnectionLostError(f"WebSocket handshake failed: {cause}") from failure
    is_nostrclient = PRESENCE_HEADER in head.headers
    return _Opened(link.socket, protocol, answer[head.end :], is_nostrclient)
