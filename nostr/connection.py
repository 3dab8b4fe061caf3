"""One WebSocket connection to a relay, driven by the thread that owns it (RFC 6455).

The protocol is the sans-I/O core of `websockets`; here are the socket, TLS and the
waiting. Every wait ends when the deadline passes or the owner is to stop, so that
nothing but the system's resolver can hold a thread.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import CloseCode, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from . import clock
from .frames import FrameCutter
from .settings import Settings

READ_BYTES = 256 * 1024
USER_AGENT = "nostrclient"

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class ConnectionLostError(Exception):
    """The connection could not be made or ended; the text says why."""


class StopRequestedError(Exception):
    """The owner of the connection is to stop."""


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class Waker:
    """Ends a wait of one thread from any other."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Give the descriptor that becomes readable."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        try:
            self._sender.send(b"\0")
        except BlockingIOError:
            pass  # so many wakes are pending that the next wait ends anyway
        except OSError:
            pass  # closed: nobody waits any more

    def clear(self) -> None:
        """Forget the wakes so far."""
        try:
            while len(self._receiver.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def wait(self, seconds: float) -> None:
        """Wait until woken, at most `seconds`."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        if poll.poll(seconds * 1000 + 0.5):
            self.clear()

    def close(self) -> None:
        """Free the descriptors."""
        self._receiver.close()
        self._sender.close()


class Connection:
    """An open connection to a relay.

    `check` is called whenever a wait was interrupted and raises `StopRequestedError`
    when it is time to stop. All methods belong to one thread and raise
    `ConnectionLostError`.
    """

    def __init__(
        self, url: str, settings: Settings, waker: Waker, check: Callable[[], None]
    ) -> None:
        self._waker = waker
        self._check = check
        self._buffer = bytearray()
        self._fragments: bytearray | None = None
        self._ping: tuple[bytes, float] | None = None
        self._pings = 0
        self._unsent_bytes = settings.relay_unsent_bytes
        self.longest_sent = 0
        self.round_trip_seconds: float | None = None
        deadline = clock.now() + settings.connect_seconds
        try:
            uri = parse_uri(url)
        except InvalidURI as error:
            raise ConnectionLostError(str(error)) from error
        self._protocol = ClientProtocol(uri, max_size=settings.relay_frame_bytes)
        self._cutter = FrameCutter(self._protocol, settings.relay_frame_bytes)
        self._early = b""
        self._socket = self._dial(uri.host, uri.port, settings, deadline)
        try:
            if uri.secure:
                self._socket = self._secure(uri.host, deadline)
            self._handshake(deadline)
        except BaseException:
            self.close()
            raise

    # Opening

    def _dial(
        self, host: str, port: int, settings: Settings, deadline: float
    ) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionLostError(
                f"name does not resolve: {_reason(error)}"
            ) from error
        self._check()
        failure = "name has no address"
        for family, kind, protocol, _, address in addresses:
            until = min(deadline, clock.now() + settings.connect_address_seconds)
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = _reason(error)
                continue
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect_ex(address)
                self._wait(sock, select.POLLOUT, until)
                problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if problem:
                    raise OSError(problem, os.strerror(problem))
            except (OSError, ConnectionLostError) as error:
                failure = _reason(error)
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
            if clock.now() >= deadline:
                break
        raise ConnectionLostError(failure)

    def _secure(self, host: str, deadline: float) -> ssl.SSLSocket:
        try:
            secured = _tls_context().wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"TLS failed: {_reason(error)}") from error
        self._socket = secured
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(secured, select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self._wait(secured, select.POLLOUT, deadline)
            except OSError as error:
                raise ConnectionLostError(f"TLS failed: {_reason(error)}") from error
            else:
                return secured

    def _handshake(self, deadline: float) -> None:
        request = self._protocol.connect()
        request.headers["User-Agent"] = USER_AGENT
        self._protocol.send_request(request)
        while self._protocol.state is State.CONNECTING:
            self.flush()
            error = self._protocol.handshake_exc
            if error is not None:
                raise ConnectionLostError(_handshake_failure(error)) from error
            events = select.POLLIN | (select.POLLOUT if self._buffer else 0)
            self._wait(self._socket, events, deadline)
            self._read_answer()
        failed = self._protocol.handshake_exc
        if failed is not None:
            raise ConnectionLostError(_handshake_failure(failed)) from failed

    def _read_answer(self) -> None:
        """Read what answers the handshake; frames may follow it at once."""
        data = self._read()
        before = len(self._early)
        self._early += data
        end = self._early.find(b"\r\n\r\n") + 4
        if data and end < 4:
            self._protocol.receive_data(data)
        elif data:
            self._protocol.receive_data(data[: end - before])
            self._early = self._early[end:]
            if self._protocol.state is not State.OPEN:  # refused, with a text
                self._protocol.receive_data(self._early)
                self._early = b""

    def _wait(self, sock: socket.socket, events: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(sock, events)
        poll.register(self._waker, select.POLLIN)
        while True:
            left = deadline - clock.now()
            if left <= 0:
                raise ConnectionLostError("connecting took too long")
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if self._waker.fileno() in ready:
                self._waker.clear()
                self._check()
            if sock.fileno() in ready:
                return

    # Conversing

    def wait(self, seconds: float | None) -> bool:
        """Wait until there is something to read or write, or the owner was woken.

        At most `seconds`. Tells whether there may be something to read.
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
        """Give the text messages that have arrived, as bytes."""
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
        """Raise `ConnectionLostError` if the relay, or a fault, has ended it."""
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
        """When the ping was sent that is not answered yet."""
        return self._ping[1] if self._ping is not None else None

    def _pong(self, payload: bytes) -> None:
        if self._ping is not None and payload == self._ping[0]:
            self.round_trip_seconds = clock.now() - self._ping[1]
            self._ping = None

    @property
    def unsent_bytes(self) -> int:
        """How many bytes the network has not taken yet."""
        return len(self._buffer)

    def flush(self) -> None:
        """Hand to the network what it takes now, the rest with the next call."""
        for data in self._protocol.data_to_send():
            self._buffer += data
        try:
            while self._buffer:
                sent = self._socket.send(memoryview(self._buffer)[:READ_BYTES])
                del self._buffer[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise ConnectionLostError(_reason(error)) from error
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
            raise ConnectionLostError(_reason(error)) from error
        if data:
            self._acknowledge()
        else:
            self._protocol.receive_eof()
        return data

    def _acknowledge(self) -> None:
        # Many relays write OK and EVENT apart without TCP_NODELAY: the second leaves
        # when the first is acknowledged, which Linux delays by 40 ms unless told so.
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
    def was_too_long(self) -> bool:
        """Whether the relay ended it because a message was too long for it."""
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


def _handshake_failure(error: Exception) -> str:
    if isinstance(error, InvalidHandshake):
        return f"WebSocket handshake failed: {error}"
    return f"WebSocket handshake failed: {str(error) or type(error).__name__}"


def _reason(error: Exception) -> str:
    """Give what went wrong in words, without the system's numbers."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"certificate verify failed: {error.verify_message}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return text[:1].lower() + text[1:]
