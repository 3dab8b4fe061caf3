"""Load with intent to harm, against a real LNbits; every attack is bounded.

LNbits' own pages go on answering, other clients notice nothing, memory comes back.
`ATTACK_TABLE=file` writes what each attack did to the host; the longest attacks are as
long as docs/attacks.md says only then.
"""

import json
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import websocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket_connect
from websockets.sync.server import ServerConnection

from dev.lnbits_server import LnbitsServer
from dev.ports import HOST
from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import Client

from .relays import HostileRelay, polite, say, signed, wait_until
from .watch import MIB, Table, Watch

IN_FULL = "ATTACK_TABLE" in os.environ
DEAF_CLIENTS = 100 if IN_FULL else 40
STORM_SECONDS = 4 if IN_FULL else 2
MAY_TAKE_MS = 3000
"""How long LNbits' health page may take in the worst moment, on two busy cores."""


class RawClient:
    """A client's socket, at the mercy of the test: it need not read, nor end."""

    def __init__(
        self, url: str, *, deflate: bool = False, receive_bytes: int | None = None
    ) -> None:
        rest = url.removeprefix("ws://")
        address, _, path = rest.partition("/")
        host, _, port = address.partition(":")
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect((host, int(port)))
        extra = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else ""
        self.socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n".encode()
        )
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            received = self.socket.recv(1)
            if not received:
                break
            self.head += received

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def send(self, *message: object) -> None:
        self.send_frame(json.dumps(message).encode())

    def send_frame(self, data: bytes, *, compressed: bool = False) -> None:
        """Send a text frame, masked with nothing (RFC 6455)."""
        head = bytes([0xC1 if compressed else 0x81])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 2**16:
            head += bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + len(data).to_bytes(8, "big")
        self.socket.sendall(head + bytes(4) + data)

    def close(self) -> None:
        self.socket.close()


def status(lnbits: LnbitsServer) -> dict[str, Any]:
    return dict(lnbits.api("GET", "/status"))


@contextmanager
def attacked(lnbits: LnbitsServer, table: Table, name: str) -> Iterator[Watch]:
    """Attack the server; afterwards nobody of the attackers is left, and all works."""
    before = status(lnbits)["clients"]
    assert lnbits.running
    with Watch(lnbits, name, table) as watch:
        yield watch
        # Half a million CLOSEs may still be in the network's buffers; each is read.
        wait_until(
            lambda: status(lnbits)["clients"] <= before, "all attackers are gone", 90
        )
        time.sleep(1)
    assert watch.failures == 0
    assert watch.latency_worst < MAY_TAKE_MS, watch.latency_worst
    client = Client(lnbits.public_url)
    assert client.publish(signed("all is well"))[0]
    client.close()
    assert "given up for a bug" not in lnbits.printed()
    assert "Traceback" not in lnbits.printed()


class Flood:
    """A relay that, when the test says so, sends these events to every subscription."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []
        self.sent = threading.Event()
        self._events = events

    def script(
        self, relay: HostileRelay, connection: ServerConnection, message: list[Any]
    ) -> None:
        if message[0] != "REQ":
            polite(relay, connection, message)
            return
        say(connection, "EOSE", message[1])
        self.asked.append(message[1])
        if len(self.asked) == 1:
            threading.Thread(target=self._flood, args=(connection,)).start()

    def _flood(self, connection: ServerConnection) -> None:
        self.go.wait(60)
        with suppress(ConnectionClosed):
            for event in self._events:
                for subscription_id in list(self.asked):
                    say(connection, "EVENT", subscription_id, event)
        self.sent.set()


def test_b7_many_that_never_read(lnbits: LnbitsServer, table: Table) -> None:
    """Each is owed 16 MiB, more than may wait; one honest client is owed the same."""
    key = PrivateKey()
    events = [signed("x" * 65_000, key=key, tags=[["t", f"{n}"]]) for n in range(250)]
    wanted = {"authors": [events[0]["pubkey"]]}
    flood = Flood(events)
    with (
        HostileRelay(flood.script) as relay,
        attacked(lnbits, table, f"{DEAF_CLIENTS} clients never read") as watch,
    ):
        lnbits.api("POST", "/relay", {"url": relay.url})
        wait_until(lambda: bool(relay.connections), "the relay is connected")
        deaf = [RawClient(lnbits.public_url) for _ in range(DEAF_CLIENTS)]
        for client in deaf:
            client.send("REQ", "s", wanted)
        wait_until(
            lambda: status(lnbits)["subscriptions"] == DEAF_CLIENTS, "the deaf asked"
        )
        honest = Client(lnbits.private_url())
        honest.subscribe("s", wanted)
        wait_until(lambda: len(flood.asked) == DEAF_CLIENTS + 1, "all asked")
        flood.go.set()
        assert flood.sent.wait(90)
        wait_until(
            lambda: len(honest.all_events("s")) == len(events),
            "the honest client has everything",
        )
        assert honest.open
        closed = DEAF_CLIENTS + 1 - status(lnbits)["clients"]
        for client in deaf:
            client.close()
        honest.close()
        lnbits.api("DELETE", "/relay", {"url": relay.url})
        watch.outcome = f"honest client got all; {closed} of the deaf were closed"
        assert closed > DEAF_CLIENTS // 2
    assert watch.memory_peak - watch.memory_before < 400


def test_b7_client_that_provokes_answers_and_never_reads(
    lnbits: LnbitsServer, table: Table
) -> None:
    """The server's queue of unread messages is not to fill: 128 of 16 MiB each."""
    with attacked(lnbits, table, "answers provoked, not read, 16 MiB x100") as watch:
        client = RawClient(lnbits.public_url, receive_bytes=4096)
        client.socket.settimeout(5)
        name = "x" * 60_000
        nonsense = json.dumps(["REQ", name, "nonsense"]).encode()
        big = b'"' + b"x" * (16 * MIB - 3) + b'"'
        sent = 0
        with suppress(OSError):
            for _ in range(95):
                client.send_frame(nonsense)
            time.sleep(1)
            for _ in range(100):
                client.send_frame(big)
                sent += 1
        client.close()
        watch.outcome = f"{sent} of 100 large frames taken"
    assert watch.memory_peak - watch.memory_before < 250


def test_b6_a_thousand_connections_opened_and_dropped(
    lnbits: LnbitsServer, table: Table
) -> None:
    process = lnbits.process()
    files = process.num_fds()
    with attacked(lnbits, table, "1000 connections opened and dropped") as watch:
        refused = 0
        for number in range(1000):
            client = RawClient(lnbits.public_url)
            if client.status == 101:
                client.send("REQ", "s", {"kinds": [number]})
            else:
                refused += 1
            client.close()
        watch.outcome = f"{refused} refused"
    wait_until(lambda: process.num_fds() <= files + 5, "all files are closed")
    assert watch.memory_after - watch.memory_before < 60


def test_f2_no_more_than_a_hundred_at_once(lnbits: LnbitsServer, table: Table) -> None:
    """Also when all of them come in the same moment."""
    with attacked(lnbits, table, "300 connections in the same moment") as watch:
        clients: list[RawClient] = []

        def come() -> None:
            clients.append(RawClient(lnbits.public_url))

        threads = [threading.Thread(target=come) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        let_in = sum(client.status == 101 for client in clients)
        for client in clients:
            client.close()
        watch.outcome = f"{let_in} let in, {len(clients) - let_in} got 403"
        assert len(clients) == 300
        assert let_in == 100


def storm(
    lnbits: LnbitsServer, texts: Callable[[int], bytes], seconds: float
) -> tuple[int, int]:
    """Send as fast as the network takes it, and read; gives messages and answers."""
    client = RawClient(lnbits.public_url)
    received = 0

    def read() -> None:
        nonlocal received
        with suppress(OSError):
            while data := client.socket.recv(65536):
                received += len(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    sent = 0
    deadline = time.monotonic() + seconds
    with suppress(OSError):
        while time.monotonic() < deadline:
            client.send_frame(texts(sent))
            sent += 1
    with suppress(OSError):
        client.socket.shutdown(socket.SHUT_RDWR)
    client.close()
    return sent, received


STORMS: dict[str, Callable[[int], bytes]] = {
    "REQ": lambda n: b'["REQ","s%d",{"kinds":[%d]}]' % (n, n % 60000),
    "REQ, same id": lambda n: b'["REQ","s",{"kinds":[%d]}]' % (n % 60000),
    "CLOSE": lambda n: b'["CLOSE","s"]',
    "nonsense": lambda n: b"nonsense",
    "deep JSON": lambda n: b"[" * 250_000,
    "250 KiB of JSON": lambda n: (
        b'["REQ","s",{"#t":[' + b",".join([b'"ab"'] * 50_000) + b"]}]"
    ),
    "250 KiB EVENT": lambda n: (
        b'["EVENT",{"id":"'
        + b"0" * 64
        + b'","tags":['
        + b'["a"],' * 40_000
        + b'["a"]]}]'
    ),
}


@pytest.mark.parametrize("kind", STORMS)
def test_f2_a_storm_from_one_client(
    lnbits: LnbitsServer, table: Table, kind: str
) -> None:
    with attacked(lnbits, table, f"storm for {STORM_SECONDS} s: {kind}") as watch:
        sent, received = storm(lnbits, STORMS[kind], STORM_SECONDS)
        watch.outcome = f"{sent} messages, {received / MIB:.1f} MiB of answers"
    assert watch.memory_peak - watch.memory_before < 150


def test_f3_a_relay_floods_a_hundred_thousand_unasked_events(
    lnbits: LnbitsServer, table: Table
) -> None:
    event = json.dumps(["EVENT", "nobody's", signed("y" * 500)])
    done = threading.Event()

    def opened(connection: ServerConnection) -> None:
        for _ in range(100_000):
            connection.send(event)
        done.set()

    with (
        HostileRelay(polite, opened=opened) as relay,
        attacked(lnbits, table, "relay: 100,000 events nobody asked for") as watch,
    ):
        lnbits.api("POST", "/relay", {"url": relay.url})
        assert done.wait(60)

        def shown() -> dict[str, Any]:
            found = lnbits.api("GET", "/relays")
            return dict(next(item for item in found if item["url"] == relay.url))

        wait_until(
            lambda: shown()["status"]["num_unasked_events"] == 100_000, "counted", 60
        )
        assert shown()["connected"]
        watch.outcome = "all counted and dropped, the relay stays connected"
        lnbits.api("DELETE", "/relay", {"url": relay.url})
    assert watch.memory_peak - watch.memory_before < 60


def test_b1_a_frame_of_16_mib_from_a_client(lnbits: LnbitsServer, table: Table) -> None:
    with attacked(lnbits, table, "client: 10 frames of 16 MiB, then 17 MiB") as watch:
        client = websocket_connect(lnbits.public_url, max_size=None, compression=None)
        for _ in range(10):
            client.send('"' + "x" * (16 * MIB - 2) + '"')
            assert json.loads(client.recv(10))[0] == "NOTICE"
        with suppress(ConnectionClosed):
            client.send("x" * (17 * MIB))
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        watch.outcome = "10 x NOTICE; the 17 MiB one closes its sender (1009)"
    assert watch.memory_peak - watch.memory_before < 250


def test_f3_a_frame_of_16_mib_from_a_relay(lnbits: LnbitsServer, table: Table) -> None:
    true = signed()

    def script(
        relay: HostileRelay, connection: ServerConnection, message: list[Any]
    ) -> None:
        if message[0] == "REQ" and len(message) > 2:
            head = f'["EVENT","{message[1]}",'
            connection.send(head + "x" * (16 * MIB - 100) + "]")
            say(connection, "EVENT", message[1], true)
            say(connection, "EOSE", message[1])

    with (
        HostileRelay(script) as relay,
        attacked(lnbits, table, "relay: a frame of 16 MiB per REQ, 5 REQ") as watch,
    ):
        lnbits.api("POST", "/relay", {"url": relay.url})
        wait_until(lambda: bool(relay.connections), "it is connected")
        client = Client(lnbits.public_url)
        for number in range(5):
            client.subscribe(f"s{number}", {"ids": [true["id"]]})
        found = lnbits.api("GET", "/relays")
        (shown,) = [item for item in found if item["url"] == relay.url]
        assert shown["connected"]
        client.close()
        watch.outcome = "subscription backs off there, the relay stays connected"
        lnbits.api("DELETE", "/relay", {"url": relay.url})
    assert watch.memory_peak - watch.memory_before < 200


def test_f2_deflate_bombs(lnbits: LnbitsServer, table: Table) -> None:
    """16 KiB that would become 16 MiB: compression is not agreed upon, whoever asks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b'"' + b"x" * (16 * MIB - 3) + b'"')
    bomb += packer.flush(zlib.Z_SYNC_FLUSH)
    bomb = bomb[:-4]
    with attacked(lnbits, table, "client: 60 deflate bombs, 16 KiB -> 16 MiB") as watch:
        client = RawClient(lnbits.public_url, deflate=True)
        assert client.status == 101
        assert b"permessage-deflate" not in client.head
        with suppress(OSError):
            for _ in range(60):
                client.send_frame(bomb, compressed=True)
        client.close()
        watch.outcome = "compression is not negotiated; a protocol error to who uses it"
    assert watch.memory_peak - watch.memory_before < 60


def test_a4_slow_handshakes(lnbits: LnbitsServer, table: Table) -> None:
    with (
        attacked(lnbits, table, "300 handshakes, a byte a second") as watch,
        ExitStack() as all_,
    ):
        sockets = []
        for _ in range(300):
            made = socket.create_connection((HOST, lnbits.port))
            all_.callback(made.close)
            sockets.append(made)
        for letter in b"GET /nos":
            for made in sockets:
                made.sendall(bytes([letter]))
            time.sleep(0.5)
        client = Client(lnbits.public_url)
        assert client.publish(signed())[0]
        client.close()
        watch.outcome = "others connect and publish meanwhile"
    assert watch.memory_peak - watch.memory_before < 60


def connect_from(lnbits: LnbitsServer, address: str) -> int:
    try:
        made = websocket.create_connection(
            lnbits.public_url, header={"X-Forwarded-For": address}, timeout=10
        )
    except websocket.WebSocketBadStatusException as refused:
        return int(refused.status_code)
    OPENED.append(made)
    return 101


OPENED: list[websocket.WebSocket] = []


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def test_f2_ten_connections_per_address(lnbits: LnbitsServer) -> None:
    assert [connect_from(lnbits, "93.184.216.34") for _ in range(11)] == [101] * 10 + [
        403
    ]
    assert connect_from(lnbits, "93.184.216.35") == 101


def test_f2_ten_connections_per_ipv6_network(lnbits: LnbitsServer) -> None:
    found = [connect_from(lnbits, f"2a00:1:2:3::{n:x}") for n in range(11)]
    assert found == [101] * 10 + [403]
    assert connect_from(lnbits, "2a00:1:2:4::1") == 101


def test_f2_reverse_proxies_are_exempt(lnbits: LnbitsServer) -> None:
    for address in ["10.0.0.1", "127.0.0.1", "::1", "192.168.1.1", "fd00::1"]:
        assert {connect_from(lnbits, address) for _ in range(12)} == {101}
        while OPENED:
            OPENED.pop().close()


def test_b4_close_is_never_rate_limited(lnbits: LnbitsServer) -> None:
    client = Client(lnbits.public_url)
    for number in range(40):
        client.send("REQ", f"s{number}", {"ids": ["0" * 64]})
    for _ in range(200):
        client.send("REQ", "more", {"kinds": [random.randrange(1000)]})
    wait_until(
        lambda: any("rate-limited" in str(item) for item in list(client.received)),
        "it is too fast",
    )
    for number in range(40):
        client.send("CLOSE", f"s{number}")
    client.send("CLOSE", "more")
    wait_until(lambda: status(lnbits)["subscriptions"] == 0, "all are closed")
    assert client.open
    client.close()
