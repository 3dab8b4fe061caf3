"""Rule B1 the whole way: a real LNbits, a real WebSocket, any message, any frame."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .effort import searching
from .protocol import check_reply, expected_answer
from .strategies import client_texts

SECONDS = 20.0
LAST = '["CLOSE"]'
"""What is answered with a NOTICE: when it comes, all before it has been answered."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LnbitsServer]:
    folder = tmp_path_factory.mktemp("fuzzed")
    made = LnbitsServer(folder, environment={"LNBITS_RATE_LIMIT_NO": "1000000"})
    with LocalRelay(log=folder / "relay.log") as relay, made:
        made.api("POST", "/relay", {"url": relay.url})
        deadline = time.monotonic() + SECONDS
        while not made.api("GET", "/relays")[0]["connected"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield made
        (known,) = made.api("GET", "/relays")
        # A real relay drops whoever brings it what it cannot read (B5).
        assert known["status"]["connections"] == 1, known
        assert known["connected"]
        wait_for_no_client(made)
        assert made.api("GET", "/status")["subscriptions"] == 0
        printed = made.printed()
        assert "Traceback" not in printed
        assert "given up for a bug" not in printed


def wait_for_no_client(server: LnbitsServer) -> None:
    deadline = time.monotonic() + SECONDS
    while server.api("GET", "/status")["clients"]:
        assert time.monotonic() < deadline, "a client is left"
        time.sleep(0.05)


def converse(client: Connection, texts: list[str]) -> list[list[Any]]:
    """Send everything and read until the last of it is answered."""
    for text in [*texts, LAST]:
        client.send(text)
    replies: list[list[Any]] = []
    notices = sum(expected_answer(text)[0] == "NOTICE" for text in [*texts, LAST])
    owed = [expected_answer(text) for text in texts]
    oks = sum(kind == "OK" for kind, _ in owed)
    while True:
        replies.append(check_reply(str(client.recv(timeout=SECONDS))))
        count = [reply[0] for reply in replies]
        if count.count("NOTICE") >= notices and count.count("OK") >= oks:
            return replies


@searching(40)
@given(st.lists(client_texts, max_size=10))
def test_b1_whatever_a_client_sends(server: LnbitsServer, texts: list[str]) -> None:
    with connect(server.private_url(), max_size=None) as client:
        replies = converse(client, texts)
        for text in texts:
            kind, subject = expected_answer(text)
            if kind == "OK":
                mine = [reply for reply in replies if reply[:2] == ["OK", subject]]
                sent = sum(expected_answer(other) == (kind, subject) for other in texts)
                assert len(mine) == sent, (text, mine)


frames = st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))


@searching(60)
@given(st.lists(frames, max_size=6), st.binary(max_size=40))
def test_b1_whatever_bytes_a_client_sends(
    server: LnbitsServer, sent: list[tuple[int, int, bytes]], tail: bytes
) -> None:
    """Whoever breaks the protocol below the messages is gone, and nobody else."""
    path = f"/nostrclient/api/v1/{server.private_id()}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as wire:
        wire.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert wire.recv(12) == b"HTTP/1.1 101"
        with suppress(OSError):
            for first, second, data in sent:
                wire.sendall(bytes([first, second]) + data)
            wire.sendall(tail)
    assert not server.http.get("/api/v1/health").is_error


def test_b1_known_nasty_messages_reach_no_relay(server: LnbitsServer) -> None:
    nasty = [
        '["REQ","s",{"search":5}]',
        '["REQ","s",{"search":"\\ud800"}]',
        '["REQ","s",{"#t":["\\udfff"]}]',
        '["REQ","s",{"x":1e999}]',
        '["REQ","s",{"#1":["a"]}]',
        '["REQ","s",{"x":' + "[" * 500 + "]" * 500 + "}]",
    ]
    with connect(server.private_url()) as client:
        for text in nasty:
            client.send(text)
            reply = check_reply(str(client.recv(timeout=SECONDS)))
            assert reply[:2] == ["CLOSED", "s"], text
            assert reply[2].startswith("invalid:")


def test_b1_a_client_may_end_in_the_middle_of_anything(server: LnbitsServer) -> None:
    for ending in [
        b"",
        b"\x81",
        b"\x81\xfe",
        b"\x81\xfe\xff\xff\0\0\0\0[",
        b"\x01\x80",
    ]:
        client = connect(server.private_url())
        client.send(json.dumps(["REQ", "s", {"kinds": [1]}]))
        with suppress(ConnectionClosed, OSError):
            client.socket.sendall(ending)
        client.socket.close()
    wait_for_no_client(server)
