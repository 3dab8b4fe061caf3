"""Opening connections: TCP, SOCKS5, TLS and a first request, at several addresses.

An attempt at one address is a generator. It yields the poll events that it waits for
and returns a result, or raises `ConnectionLostError`. `dial` runs the attempts: it
begins with the first address and adds the next one when an attempt has failed, or has
lasted `connect_address_seconds` without a result. An attempt under way goes on beside
the next (RFC 8305), so that neither a mute address nor a slow relay costs the
connection. The first result wins.

Every wait ends at the deadline or when the owner stops. Only the system's resolver can
hold a thread for longer.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from . import clock, socks
from .socks import Proxy, SocksError
from .waker import Waker

READ_BYTES = 256 * 1024
_IN_PROGRESS = (errno.EINPROGRESS, errno.EINTR)

Result = TypeVar("Result")
Steps = Generator[int, None, Result]
"""What yields the poll events it waits for, and returns a result."""


class ConnectionLostError(Exception):
    """The connection could not be made or ended; the text says why.

    `retry_after_seconds` is the pause that the relay asks for, if it does.
    """

    retry_after_seconds: float | None = None


class StopRequestedError(Exception):
    """The owner of the connection is to stop."""


class Target(NamedTuple):
    """A relay as the network sees it."""

    host: str
    port: int
    secure: bool
    public_only: bool = False  # private addresses are left out


class Timing(NamedTuple):
    """Until when to try at all, and how long one address is waited for alone."""

    deadline: float
    address_seconds: float


class Link:
    """A socket on its way to a relay. `stage` says what is being waited for.

    A later stage is nearer to the relay: of several failures it is the telling one.
    """

    TCP, PROXY, TLS, REQUEST = range(4)
    _WAITS = ("connecting", "the proxy", "TLS", "the relay's answer")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.stage = self.TCP
        self.refusal = ""
        """What the relay has said so far, if it is a refusal already."""

    @property
    def timeout(self) -> str:
        """The text for a timeout of the current stage."""
        return self.refusal or f"{self._WAITS[self.stage]} took too long"

    def connect(self, address: Any) -> Steps[None]:
        """Open the TCP connection."""
        problem = self.socket.connect_ex(address)
        if problem in _IN_PROGRESS:
            yield select.POLLOUT
            problem = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise ConnectionLostError(reason(OSError(problem, os.strerror(problem))))
        with suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pass_proxy(self, proxy: Proxy, target: Target) -> Steps[None]:
        """Ask a SOCKS5 proxy to connect to the relay."""
        self.stage = self.PROXY
        steps = socks.connect(proxy, target.host, target.port)
        try:
            exchange = next(steps)
            while True:
                yield from self.send(exchange.send)
                reply = yield from self._receive_exactly(exchange.receive)
                exchange = steps.send(reply)
        except StopIteration:
            pass
        except SocksError as error:
            raise ConnectionLostError(f"SOCKS5 proxy: {error}") from error

    def _receive_exactly(self, size: int) -> Steps[bytes]:
        data = b""
        while len(data) < size:
            more = yield from self.receive(size - len(data))
            if not more:
                raise ConnectionLostError("SOCKS5 proxy: it hung up")
            data += more
        return data

    def secure(self, host: str) -> Steps[None]:
        """Speak TLS from now on."""
        self.stage = self.TLS
        try:
            secured = tls_context().wrap_socket(
                self.socket, server_hostname=host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"TLS failed: {reason(error)}") from error
        self.socket = secured
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                yield select.POLLIN
            except ssl.SSLWantWriteError:
                yield select.POLLOUT
            except OSError as error:
                raise ConnectionLostError(f"TLS failed: {reason(error)}") from error
            else:
                return

    def send(self, data: bytes) -> Steps[None]:
        """Send all of the data."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield select.POLLOUT
            except ssl.SSLWantReadError:
                yield select.POLLIN
            except OSError as error:
                raise ConnectionLostError(reason(error)) from error

    def receive(self, size: int = READ_BYTES) -> Steps[bytes]:
        """Return what has arrived, at least a byte; nothing at the end."""
        while True:
            try:
                return self.socket.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                yield select.POLLIN
            except ssl.SSLWantWriteError:
                yield select.POLLOUT
            except OSError as error:
                raise ConnectionLostError(reason(error)) from error


class _Attempt(NamedTuple):
    """One address being tried."""

    link: Link
    steps: Steps[Any]


def dial(
    target: Target,
    proxy: Proxy | None,
    speak: Callable[[Link], Steps[Result]],
    timing: Timing,
    waker: Waker | None = None,
    check: Callable[[], None] = lambda: None,
) -> Result:
    """Connect to a relay and return what `speak` makes of the connection.

    `speak` is called for each address that takes the connection. `check` is called
    whenever the owner was woken and raises `StopRequestedError` to end all this.
    All sockets are closed but the one of the result, which is `speak`'s to close.
    Raises `ConnectionLostError`.
    """
    host, port = target.host, target.port
    if proxy is not None:
        host, port = proxy.host, proxy.port
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        what = "name" if proxy is None else "SOCKS5 proxy: its name"
        raise ConnectionLostError(
            f"{what} does not resolve: {reason(error)}"
        ) from error
    check()
    if target.public_only and proxy is None:
        addresses = [item for item in addresses if _is_public(str(item[4][0]))]
    race = _Race(target, proxy, speak, waker, check)
    try:
        return race.run(addresses, timing)
    finally:
        race.close()


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _is_public(address: str) -> bool:
    """Return whether an address is public, and any IPv4 address inside it as well."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner: list[ipaddress.IPv4Address | None] = []
    if isinstance(found, ipaddress.IPv6Address):
        inner = [found.sixtofour, *(found.teredo or ())]
        if found in _NAT64:
            inner.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        found = found.ipv4_mapped or found
    is_global = found.is_global and not found.is_multicast
    return is_global and all(item is None or item.is_global for item in inner)


class _Race(Generic[Result]):
    """Attempts at several addresses of a relay, of which the first result wins."""

    def __init__(
        self,
        target: Target,
        proxy: Proxy | None,
        speak: Callable[[Link], Steps[Result]],
        waker: Waker | None,
        check: Callable[[], None],
    ) -> None:
        self._target = target
        self._proxy = proxy
        self._speak = speak
        self._waker = waker
        self._check = check
        self._running: dict[_Attempt, int] = {}  # and the events each waits for
        self._failure = ConnectionLostError("name has no address to connect to")
        self._failed_stage = -1

    def run(self, addresses: Sequence[Any], timing: Timing) -> Result:
        """Try the addresses, in this order."""
        waiting = deque(addresses)
        next_at = clock.now()
        while True:
            now = clock.now()
            if now >= timing.deadline:
                for attempt in self._running:
                    timeout = ConnectionLostError(attempt.link.timeout)
                    self._note_failure(attempt.link.stage, timeout)
                raise self._failure
            if waiting and (now >= next_at or not self._running):
                next_at = now + timing.address_seconds
                ready = self._begin(*waiting.popleft())
            elif self._running:
                until = min(timing.deadline, next_at) if waiting else timing.deadline
                ready = self._wait(until - now)
            else:
                raise self._failure
            for attempt in ready:
                try:
                    self._running[attempt] = next(attempt.steps)
                except StopIteration as finished:
                    del self._running[attempt]
                    result: Result = finished.value
                    return result
                except ConnectionLostError as error:
                    self._note_failure(attempt.link.stage, error)
                    del self._running[attempt]
                    attempt.link.socket.close()

    def _begin(
        self, family: int, kind: int, protocol: int, _: str, address: Any
    ) -> list[_Attempt]:
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
        except OSError as error:
            self._note_failure(Link.TCP, ConnectionLostError(reason(error)))
            return []
        link = Link(sock)
        attempt = _Attempt(link, self._steps(link, address))
        self._running[attempt] = 0
        return [attempt]

    def _steps(self, link: Link, address: Any) -> Steps[Result]:
        try:
            yield from link.connect(address)
        except ConnectionLostError as error:
            if self._proxy is None:
                raise
            raise ConnectionLostError(f"SOCKS5 proxy not reached: {error}") from error
        if self._proxy is not None:
            yield from link.pass_proxy(self._proxy, self._target)
        if self._target.secure:
            yield from link.secure(self._target.host)
        link.stage = Link.REQUEST
        return (yield from self._speak(link))

    def _note_failure(self, stage: int, failure: ConnectionLostError) -> None:
        if stage >= self._failed_stage:
            self._failed_stage, self._failure = stage, failure

    def _wait(self, seconds: float) -> list[_Attempt]:
        poll = select.poll()
        attempts: dict[int, _Attempt] = {}
        for attempt, events in self._running.items():
            attempts[attempt.link.socket.fileno()] = attempt
            poll.register(attempt.link.socket, events)
        if self._waker is not None:
            poll.register(self._waker, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(seconds * 1000 + 0.5)]
        if self._waker is not None and self._waker.fileno() in ready:
            self._waker.clear()
            self._check()
        return [attempts[descriptor] for descriptor in ready if descriptor in attempts]

    def close(self) -> None:
        """Close the sockets of all attempts without a result."""
        for attempt in self._running:
            attempt.link.socket.close()
        self._running.clear()


_tls_context: ssl.SSLContext | None = None


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of all connections, with the system's certificates.

    OpenSSL leaves them out in silence where it cannot open their file, for example
    because no descriptor is left. Such a context is used once and not kept.
    """
    global _tls_context  # noqa: PLW0603  # made once for the process
    if _tls_context is not None:
        return _tls_context
    context = ssl.create_default_context()
    has_file = ssl.get_default_verify_paths().cafile is not None
    if not has_file or context.cert_store_stats()["x509_ca"]:
        _tls_context = context
    return context


def reason(error: Exception) -> str:
    """Return what went wrong in words, without the system's numbers."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"certificate verify failed: {error.verify_message}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return text[:1].lower() + text[1:]
