"""Small servers on loopback: what answers a connection, and a SOCKS5 proxy."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

HOST = "127.0.0.1"
Answer = Callable[[socket.socket], None]


@contextmanager
def tcp_server(answer: Answer) -> Iterator[int]:
    """Call `answer` for each connection, in a thread of its own; yield the port.

    The connection stays open until the end unless `answer` closes it.
    """
    listener = socket.create_server((HOST, 0))
    taken: list[socket.socket] = []

    def run(link: socket.socket) -> None:
        with suppress(OSError):
            answer(link)

    def accept() -> None:
        with suppress(OSError):
            while True:
                link, _ = listener.accept()
                taken.append(link)
                threading.Thread(target=run, args=(link,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for link in taken:
            link.close()


def says(*parts: bytes, pause: float = 0.0, close: bool = False) -> Answer:
    """Return an answer to one request: these parts, then nothing."""

    def answer(link: socket.socket) -> None:
        link.recv(4096)
        for part in parts:
            link.sendall(part)
            time.sleep(pause)
        if close:
            link.close()

    return answer


def upgraded(*early: bytes, before: bytes = b"", close: bool = False) -> Answer:
    """Return an answer that opens a WebSocket and sends `early` in the same piece.

    `close`: it ends the connection then, without a closing frame.
    """

    def answer(link: socket.socket) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(link.recv(4096))
        events = protocol.events_received()
        if not events:
            return  # the client thought better of it
        [request] = events
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        link.sendall(b"".join((before, *protocol.data_to_send(), *early)))
        if close:
            link.close()
            return
        while link.recv(4096):
            pass

    return answer


def mute(_: socket.socket) -> None:
    """Answer nothing."""


@contextmanager
def silent_relay(heard: list[str] | None = None) -> Iterator[int]:
    """Yield the port of a relay that says nothing."""

    def hold(link: ServerConnection) -> None:
        with suppress(Exception):
            for text in link:
                if heard is not None:
                    heard.append(str(text))

    with serve(hold, HOST, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@dataclass
class SocksServer:
    """A SOCKS5 proxy (RFC 1928, 1929) that knows names by `places` alone.

    The switches make it misbehave. `asked` holds the destinations, `users` the
    credentials it was shown.
    """

    places: dict[str, int] = field(default_factory=dict)
    password: tuple[str, str] | None = None
    """The only credentials it takes; None: any, or none."""
    refuses: int = 0
    """The code it refuses with."""
    version: int = 5
    hangs_at: int = 9
    """The reply, from 0 on, that it never sends."""
    cuts_at: int = 9
    """The reply after whose first byte it hangs up."""
    bound: bytes = b"\x01\0\0\0\0\0\0"
    """The address and port it says it connects from."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    users: list[tuple[str, str] | None] = field(default_factory=list)

    @contextmanager
    def run(self) -> Iterator[int]:
        """Serve; yield the port."""
        with tcp_server(self._serve) as port:
            yield port

    def _serve(self, link: socket.socket) -> None:
        sent = 0

        def reply(data: bytes) -> None:
            nonlocal sent
            if sent == self.hangs_at:
                time.sleep(60)
            if sent == self.cuts_at:
                link.sendall(data[:1])
                link.shutdown(socket.SHUT_RDWR)
                raise OSError("cut")
            sent += 1
            link.sendall(data)

        _, count = read(link, 2)
        methods = read(link, count)
        if 2 not in methods and self.password is not None:
            reply(bytes([self.version, 0xFF]))
            return
        method = 2 if 2 in methods else 0
        reply(bytes([self.version, method]))
        user = None
        if method == 2:
            read(link, 1)
            user = counted(link), counted(link)
        self.users.append(user)
        if method == 2:
            wrong = self.password is not None and user != self.password
            reply(bytes([1, wrong]))
            if wrong:
                return
        _, _, _, kind = read(link, 4)
        if kind == 3:
            host = counted(link)
        elif kind == 1:
            host = socket.inet_ntop(socket.AF_INET, read(link, 4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, read(link, 16))
        port = int.from_bytes(read(link, 2), "big")
        self.asked.append((host, port))
        if self.refuses or host not in self.places:
            reply(bytes([self.version, self.refuses or 4, 0]) + self.bound)
            return
        with socket.socket() as onward:
            onward.connect((HOST, self.places[host]))
            reply(bytes([self.version, 0, 0]) + self.bound)
            back = threading.Thread(target=pump, args=(onward, link), daemon=True)
            back.start()
            pump(link, onward)
            back.join()


def read(link: socket.socket, size: int) -> bytes:
    """Return exactly so many bytes."""
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise OSError("the client hung up")
        data += more
    return data


def counted(link: socket.socket) -> str:
    """Return a text that follows its length."""
    return read(link, read(link, 1)[0]).decode()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on everything until one side ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
