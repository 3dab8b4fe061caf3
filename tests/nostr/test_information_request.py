"""Rule E9: a relay's NIP-11 document is fetched best effort, within bounds."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nostrclient.nostr.information import RelayInformation
from nostrclient.nostr.information_request import request_information
from nostrclient.nostr.settings import Settings

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


def _fetched(url: str) -> list[RelayInformation]:
    found: list[RelayInformation] = []
    before = set(threading.enumerate())
    request_information(url, SETTINGS, found.append)
    for thread in set(threading.enumerate()) - before:
        if "information" in thread.name:
            thread.join(10 * SETTINGS.information_seconds)
            assert not thread.is_alive()
    return found


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
def test_e9_what_is_no_document_changes_nothing(
    serve: Callable[[Callable[..., None]], str], answer: Callable[..., None]
) -> None:
    assert _fetched(serve(answer)) == []


def test_e9_nobody_listens() -> None:
    assert _fetched("ws://127.0.0.1:1") == []
