"""Rule E9: a relay's NIP-11 document is fetched best effort, within bounds."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nostrclient.nostr.information import RelayInformation
from nostrclient.nostr.information_request import (
    fetch_information,
    request_information,
)
from nostrclient.nostr.settings import Settings
from nostrclient.nostr.socks import Proxy, ProxyPolicy

from .networks import HOST, SocksServer, mute, tcp_server

SETTINGS = Settings(information_seconds=1, information_bytes=4096)


def _drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(200):
        handler.wfile.write(b"X")
        handler.wfile.flush()
        time.sleep(0.1)


def _send(body: bytes, status: int = 200) -> Callable[..., None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[..., None]], str]]:
    servers: list[http.server.ThreadingHTTPServer] = []
    asked: list[str | None] = []

    def start(answer: Callable[..., None]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                asked.append(self.headers["Accept"])
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"ws://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    assert set(asked) <= {"application/nostr+json"}


def _fetched(url: str, settings: Settings = SETTINGS) -> list[RelayInformation]:
    found: list[RelayInformation | None] = []
    before = set(threading.enumerate())
    request_information(url, settings, found.append)
    for thread in set(threading.enumerate()) - before:
        if "information" in thread.name:
            thread.join(10 * settings.information_seconds)
            assert not thread.is_alive()
    assert len(found) == 1
    return [information for information in found if information is not None]


def test_e9_limits_are_read(serve: Callable[[Callable[..., None]], str]) -> None:
    document = {"name": "r", "limitation": {"max_filters": 3}, "supported_nips": [45]}
    [found] = _fetched(serve(_send(json.dumps(document).encode())))
    assert found.name == "r"
    assert found.limits.max_filters == 3
    assert found.supported_nips == {45}


@pytest.mark.parametrize(
    "answer",
    [
        _send(b"{}" + b" " * 5000),
        _send(b"no json"),
        _send(b"[]"),
        _send(b"{}", 404),
        _drip,
    ],
    ids=["too large", "no JSON", "no object", "not found", "a byte at a time"],
)
def test_e9_answer_that_is_no_nip11_document_changes_nothing(
    serve: Callable[[Callable[..., None]], str], answer: Callable[..., None]
) -> None:
    assert _fetched(serve(answer)) == []


def test_e2_document_is_fetched_from_the_next_address_when_one_is_mute(
    serve: Callable[[Callable[..., None]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(_send(b'{"name":"r"}'))
    tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with tcp_server(mute) as dead:
        ports = (dead, int(url.rpartition(":")[2]))
        found = [(*tcp, (HOST, port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        settings = replace(SETTINGS, information_seconds=10)
        settings = replace(settings, connect_address_seconds=0.1)
        [told] = _fetched("ws://relay.invalid", settings)
    assert told.name == "r"


def test_e11_document_of_an_onion_relay_is_fetched_through_the_proxy(
    serve: Callable[[Callable[..., None]], str],
) -> None:
    url = serve(_send(b'{"name":"r"}'))
    server = SocksServer(places={"relay.onion": int(url.rpartition(":")[2])})
    assert _fetched("ws://relay.onion:8080/path") == []
    with server.run() as port:
        policy = ProxyPolicy(Proxy(HOST, port))
        [found] = _fetched(
            "ws://relay.onion:8080/path", replace(SETTINGS, proxy=policy)
        )
    assert found.name == "r"
    assert server.asked == [("relay.onion", 8080)]


async def test_e11_document_is_awaited_in_a_loop_no_longer_than_said(
    serve: Callable[[Callable[..., None]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(_send(b'{"name":"r"}'))
    found = await fetch_information(url, SETTINGS)
    assert found is not None
    assert found.name == "r"
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    assert await fetch_information("ws://relay.invalid", SETTINGS, 0.1) is None
    assert time.monotonic() - began < 30
    released.set()


def test_e9_environment_has_no_say_in_the_request(
    serve: Callable[[Callable[..., None]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    [found] = _fetched(serve(_send(b'{"name":"r"}')))
    assert found.name == "r"


def test_e9_nobody_listens() -> None:
    assert _fetched("ws://127.0.0.1:1") == []
