"""E1, E2: which of a relay's addresses is used, and what the operator reads."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.paths import CHECKOUT
from nostrclient.nostr import clock, dial
from nostrclient.nostr.dial import (
    ConnectionLostError,
    Link,
    Steps,
    StopRequestedError,
    Target,
    Timing,
)
from nostrclient.nostr.socks import Proxy
from nostrclient.nostr.waker import Waker

from .networks import HOST, Answer, SocksServer, mute, says, tcp_server

TARGET = Target("relay.invalid", 1, False)
GREETING = b"hello\n"


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> "Resolver":
    return Resolver(monkeypatch)


class Resolver:
    """The system's resolver as tests want it: names lead to these addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self._found: list[tuple[object, ...]] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def to(self, *ports: int) -> None:
        for port in ports:
            tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            self._found.append((*tcp, "", (HOST, port)))

    def to_unreachable(self) -> None:
        # Multicast: no TCP connection can be made to it, which shows at once.
        tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._found.append((*tcp, "", ("224.0.0.1", 1)))

    def _resolve(self, host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        return self._found


def greet(link: Link) -> Steps[bytes]:
    """Send a greeting and return the answer; a "no" is a failure."""
    yield from link.send(GREETING)
    answer = yield from link.receive()
    link.socket.close()
    if answer == b"no":
        raise ConnectionLostError("it said no")
    return answer


def tried(seconds: float = 10, address_seconds: float = 0.2) -> bytes:
    return dial.dial(
        TARGET, None, greet, Timing(clock.now() + seconds, address_seconds)
    )


def test_e2_unreachable_address_is_left_for_the_next(resolve: Resolver) -> None:
    with tcp_server(says(b"yes")) as port:
        resolve.to_unreachable()
        resolve.to(port)
        assert tried() == b"yes"


def test_e2_unreachable_address_alone_is_told_as_such(resolve: Resolver) -> None:
    resolve.to_unreachable()
    with pytest.raises(ConnectionLostError, match="network is unreachable"):
        tried()


@pytest.mark.parametrize(
    "first", [mute, says(b"no"), says(close=True)], ids=["mute", "refusal", "hang-up"]
)
def test_e2_address_that_takes_tcp_alone_is_left_for_the_next(
    resolve: Resolver, first: Answer
) -> None:
    def speak(link: Link) -> Steps[bytes]:
        answer = yield from greet(link)
        if not answer:
            raise ConnectionLostError("the relay closed the connection")
        return answer

    with tcp_server(first) as bad, tcp_server(says(b"yes")) as good:
        resolve.to(bad, good)
        timing = Timing(clock.now() + 10, 0.2)
        assert dial.dial(TARGET, None, speak, timing) == b"yes"


def test_e2_slow_address_is_waited_for_beside_the_next_ones(resolve: Resolver) -> None:
    def late(link: socket.socket) -> None:
        link.recv(100)
        time.sleep(0.6)
        link.sendall(b"late")

    with tcp_server(late) as slow, tcp_server(mute) as dead:
        resolve.to(slow, dead, dead)
        assert tried() == b"late"


def test_e2_failure_nearest_to_the_relay_is_told(resolve: Resolver) -> None:
    with tcp_server(says(b"no")) as port:
        resolve.to_unreachable()
        resolve.to(port)
        resolve.to_unreachable()
        with pytest.raises(ConnectionLostError, match="it said no"):
            tried()


@pytest.mark.parametrize(
    ("secure", "words"), [(False, "relay's answer took too long"), (True, "TLS took")]
)
def test_e1_wait_that_took_too_long_is_named(
    resolve: Resolver, secure: bool, words: str
) -> None:
    with tcp_server(mute) as port:
        resolve.to(port, port)
        target = TARGET._replace(secure=secure)
        with pytest.raises(ConnectionLostError, match=words):
            dial.dial(target, None, greet, Timing(clock.now() + 0.3, 0.1))


def test_e1_name_without_an_address_is_told(resolve: Resolver) -> None:
    with pytest.raises(ConnectionLostError, match="no address"):
        tried()


def test_f7_stop_ends_the_wait_for_all_addresses(resolve: Resolver) -> None:
    def stop() -> None:
        if stopping:
            raise StopRequestedError

    stopping: list[bool] = []
    waker = Waker()
    waker.open()

    def speak(link: Link) -> Steps[bytes]:
        stopping.append(True)
        waker.wake()
        return (yield from greet(link))

    before = descriptors()
    with tcp_server(mute) as port:
        resolve.to(port, port)
        with pytest.raises(StopRequestedError):
            dial.dial(TARGET, None, speak, Timing(clock.now() + 60, 1), waker, stop)
    waker.close()
    assert descriptors() <= before


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_b6_attempts_leave_no_socket_behind(resolve: Resolver) -> None:
    with (
        tcp_server(mute) as dead,
        tcp_server(says(b"no")) as bad,
        tcp_server(says(b"yes", pause=0.1)) as good,
    ):
        resolve.to(dead, bad, dead, good)
        resolve.to_unreachable()
        time.sleep(0.05)
        before = descriptors()
        for _ in range(5):
            tried(address_seconds=0.01)
        # The servers' own ends of the connections are in this process, too.
        assert descriptors() <= before + 5 * 4


# E11: through a proxy


@contextmanager
def through(server: SocksServer) -> Iterator[Proxy]:
    with server.run() as port:
        yield Proxy(HOST, port)


def test_e11_relay_is_reached_by_its_name_alone(resolve: Resolver) -> None:
    server = SocksServer()
    with tcp_server(says(b"yes")) as port, server.run() as proxy_port:
        server.places["relay.onion"] = port
        resolve.to(proxy_port)
        target = Target("relay.onion", 80, False)
        proxy = Proxy("proxy.invalid", 1, "me", "pw")
        timing = Timing(clock.now() + 10, 1)
        assert dial.dial(target, proxy, greet, timing) == b"yes"
    assert resolve.asked == ["proxy.invalid"]
    assert server.asked == [("relay.onion", 80)]
    assert server.users == [("me", "pw")]


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (SocksServer(version=4), "SOCKS5 proxy: it does not speak SOCKS5"),
        (SocksServer(refuses=5), "SOCKS5 proxy: connection refused"),
        (SocksServer(), "SOCKS5 proxy: host unreachable"),
        (SocksServer(password=("a", "b")), "SOCKS5 proxy: it asks for a user name"),
        (SocksServer(hangs_at=0), "the proxy took too long"),
        (SocksServer(hangs_at=1), "the proxy took too long"),
        (SocksServer(cuts_at=0), "SOCKS5 proxy: it hung up"),
        (SocksServer(cuts_at=1), "SOCKS5 proxy: it hung up"),
    ],
)
def test_e11_proxy_that_misbehaves_is_told_in_words(
    server: SocksServer, words: str
) -> None:
    with through(server) as proxy, pytest.raises(ConnectionLostError, match=words):
        dial.dial(TARGET, proxy, greet, Timing(clock.now() + 0.5, 0.5))


def test_e11_proxy_that_is_down_is_told_in_words() -> None:
    with pytest.raises(
        ConnectionLostError, match="proxy not reached: connection refused"
    ):
        dial.dial(TARGET, Proxy(HOST, 1), greet, Timing(clock.now() + 5, 1))


def test_e11_relay_s_first_bytes_are_not_taken_for_the_proxy_s() -> None:
    def talkative(link: socket.socket) -> None:
        link.sendall(b"first words")

    def listen(link: Link) -> Steps[bytes]:
        found = yield from link.receive()
        link.socket.close()
        return found

    for bound in (b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x04name\0\0"):
        server = SocksServer(bound=bound)
        with tcp_server(talkative) as port, through(server) as proxy:
            server.places[TARGET.host] = port
            found = dial.dial(TARGET, proxy, listen, Timing(clock.now() + 5, 1))
            assert b"first words".startswith(found)
            assert found


# TLS

CONTEXT_WITHOUT_DESCRIPTORS = """
import resource, socket, ssl
from nostrclient.nostr import dial
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
held = []
try:
    while True:
        held.append(socket.socket())
except OSError:
    pass
first = dial.tls_context()
assert first.cert_store_stats()["x509_ca"] == 0, "the case is not the one meant"
for sock in held:
    sock.close()
second = dial.tls_context()
assert second.cert_store_stats()["x509_ca"] > 0
assert dial.tls_context() is second
"""


@pytest.mark.skipif(
    ssl.get_default_verify_paths().cafile is None, reason="no file of certificates"
)
def test_e1_tls_context_without_certificates_is_not_kept(tmp_path: Path) -> None:
    path = os.pathsep.join((str(CHECKOUT / ".build" / "ext"), str(CHECKOUT)))
    environment = os.environ | {
        "PYTHONPATH": path,
        "LNBITS_DATA_FOLDER": str(tmp_path),
    }
    subprocess.run(
        [sys.executable, "-c", CONTEXT_WITHOUT_DESCRIPTORS],
        env=environment,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::8.8.8.8", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  # no server binds to it
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2002:a00:1::1", False),
    ],
)
def test_h10_private_addresses_are_known_in_every_form(
    address: str, public: bool
) -> None:
    assert dial._is_public(address) is public
