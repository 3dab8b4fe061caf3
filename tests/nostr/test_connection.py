"""One connection to a relay: its handshake, and whether it lives."""

import select
import socket
import time
from dataclasses import replace

import pytest
from websockets.frames import Frame, Opcode

from nostrclient.nostr import clock
from nostrclient.nostr.connection import Connection, ConnectionLostError, Waker
from nostrclient.nostr.settings import DEFAULTS, Settings
from nostrclient.nostr.socks import Proxy, ProxyMode, ProxyPolicy, RelayRoute

from .networks import (
    HOST,
    Answer,
    SocksServer,
    says,
    silent_relay,
    tcp_server,
    upgraded,
)

SETTINGS = replace(DEFAULTS, connect_seconds=2, connect_address_seconds=0.5)


def opened(url: str, settings: Settings = SETTINGS) -> Connection:
    return Connection(url, settings, Waker(), lambda: None)


def text_frame(text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def read_for(connection: Connection, seconds: float) -> list[bytes]:
    found: list[bytes] = []
    deadline = time.monotonic() + seconds
    while not found and time.monotonic() < deadline:
        connection.flush()
        if connection.wait(0.02):
            found += connection.receive()
    return found


def read_until_the_end(connection: Connection) -> None:
    while True:
        connection.receive()
        connection.check_open()
        connection.wait(1)


def test_e1_frames_that_follow_the_handshake_at_once_are_read() -> None:
    frames = text_frame(b"one") + text_frame(b"two")
    with tcp_server(upgraded(frames)) as port:
        connection = opened(f"ws://{HOST}:{port}")
        assert connection.receive() == [b"one", b"two"]
        connection.close()


@pytest.mark.parametrize(
    ("sent", "is_mid_message"),
    [
        (text_frame(b"whole"), False),
        (text_frame(b"whole") + text_frame(b"half a frame")[:6], True),
        (Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=False), True),
    ],
)
def test_e10_it_is_known_whether_the_connection_ended_in_the_middle_of_a_message(
    sent: bytes, *, is_mid_message: bool
) -> None:
    with tcp_server(upgraded(sent, close=True)) as port:
        connection = opened(f"ws://{HOST}:{port}")
        with pytest.raises(ConnectionLostError):
            read_until_the_end(connection)
        assert connection.ended_by_relay
        assert connection.is_mid_message == is_mid_message
        connection.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>"), "^HTTP 502 Bad Gateway"),
        (says(b"HTTP/1.1 502 Bad Gateway\r\nX: y\r\n"), "^HTTP 502 Bad Gateway"),
        (says(b"HTTP/1.1 502 X\r\nX", close=True), "^HTTP 502 Bad Gateway"),
        (says(b"HTTP/1.0 503 Busy\r\nContent-Length: 0\r\n\r\n"), "^HTTP 503"),
        (
            says(b"HTTP/1.1 200 OK\r\n" + 200 * b"X: y\r\n" + b"\r\n"),
            "^HTTP 200 OK instead of a WebSocket",
        ),
        (
            says(b"HTTP/1.1 403 F\r\nContent-Length: 2000000\r\n\r\n", 200_000 * b"x"),
            "^HTTP 403 Forbidden",
        ),
        (
            says(b"HTTP/1.1 403 F\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nh"),
            "^HTTP 403 Forbidden",
        ),
        (
            says(b"HTTP/1.1 301 M\r\nLocation: wss://b.example\r\n\r\n"),
            "^HTTP 301 Moved Permanently .* wss://b.example",
        ),
        (says(close=True), "failed: the relay closed the connection"),
        (says(b"SSH-2.0-OpenSSH_9\r\n"), "failed: no HTTP: SSH-2.0-OpenSSH_9"),
        (says(b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"), "failed: missing Connection"),
        (upgraded(before=b"HTTP/1.1 101 S\r\n"), "failed: invalid HTTP header"),
    ],
)
def test_e1_refused_handshake_is_told_in_words(answer: Answer, words: str) -> None:
    with tcp_server(answer) as port, pytest.raises(ConnectionLostError, match=words):
        opened(f"ws://{HOST}:{port}")


def test_e2_pause_that_the_relay_asks_for_is_handed_on() -> None:
    answer = says(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 77\r\n\r\n")
    with tcp_server(answer) as port, pytest.raises(ConnectionLostError) as lost:
        opened(f"ws://{HOST}:{port}")
    assert lost.value.retry_after_seconds == 77


def test_e1_failing_descriptors_are_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", none_left)
    with pytest.raises(ConnectionLostError, match="too many open files"):
        opened(f"ws://{HOST}:1")


# E3


def test_e3_ping_counts_as_answered_once_anything_was_received() -> None:
    received = b"".join(text_frame(b"x") for _ in range(3))

    def chatty(link: socket.socket) -> None:
        upgraded_link.append(link)
        upgraded()(link)

    upgraded_link: list[socket.socket] = []
    with tcp_server(chatty) as port:
        connection = opened(f"ws://{HOST}:{port}")
        connection.send_ping()
        connection.flush()
        sent_at = connection.ping_sent_at
        assert sent_at is not None
        assert sent_at <= clock.now()
        assert read_for(connection, 0.05) == []
        assert connection.ping_sent_at == sent_at
        [link] = upgraded_link
        link.sendall(received)
        assert read_for(connection, 10) != []
        pings = [connection.ping_sent_at, connection.round_trip_seconds]
        assert pings == [None, None], "only a pong is a round trip"
        connection.send_ping()
        assert connection.ping_sent_at is not None
        connection.close()


def test_e3_pong_is_a_round_trip() -> None:
    with silent_relay() as port:
        connection = opened(f"ws://{HOST}:{port}")
        connection.send_ping()
        read_for(connection, 0.2)
        assert connection.ping_sent_at is None
        assert connection.round_trip_seconds is not None
        connection.close()


# E11


def onion_settings(port: int) -> Settings:
    return replace(SETTINGS, proxy=ProxyPolicy(Proxy(HOST, port), ProxyMode.ONION))


def test_e11_onion_relay_is_spoken_to_through_the_proxy_and_never_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved: list[str] = []
    resolve = socket.getaddrinfo

    def watch(host: str, *args: object, **kwargs: object) -> object:
        resolved.append(host)
        return resolve(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", watch)
    heard: list[str] = []
    server = SocksServer()
    with silent_relay(heard) as relay_port, server.run() as port:
        server.places["relay.onion"] = relay_port
        connection = opened("ws://relay.onion", onion_settings(port))
        connection.send('["REQ"]')
        connection.send_ping()
        read_for(connection, 0.2)
        assert connection.round_trip_seconds is not None
        connection.close()
    assert heard == ['["REQ"]']
    assert server.asked == [("relay.onion", 80)]
    assert set(resolved) <= {HOST}


def test_e11_environment_has_no_say_in_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SOCKS_PROXY", "WS_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with tcp_server(upgraded()) as port:
        opened(f"ws://{HOST}:{port}").close()


def test_e11_onion_relay_without_a_proxy_is_refused_and_never_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("the resolver was asked")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ConnectionLostError, match=r"an \.onion relay needs a SOCKS5"):
        opened("wss://relay.onion")


def test_e11_relays_and_links_show_the_proxy_different_credentials() -> None:
    server = SocksServer()
    with silent_relay() as relay_port, server.run() as port:
        server.places = {"a.onion": relay_port, "b.onion": relay_port}
        settings = onion_settings(port)
        for url in ("ws://a.onion", "ws://b.onion", "ws://a.onion"):
            opened(url, settings).close()
        default = RelayRoute.DEFAULT
        url, waker = "ws://a.onion", Waker()
        Connection(url, settings, waker, lambda: None, default, "as a key").close()
        waker.close()
    first, second, again, as_a_key = server.users
    assert first == again
    assert len({first, second, as_a_key}) == 3
    assert first is not None


def test_e1_waker_ends_the_wait_of_an_open_connection() -> None:
    waker = Waker()
    with silent_relay() as port:
        url = f"ws://{HOST}:{port}"
        connection = Connection(url, SETTINGS, waker, lambda: None)
        waker.wake()
        began = time.monotonic()
        assert connection.wait(60) is False
        assert time.monotonic() - began < 30
        poll = select.poll()
        poll.register(waker, select.POLLIN)
        assert poll.poll(0) == []
        connection.close()
    waker.close()
