"""What only a real LNbits can show: its start, its sudden death, its clients' links."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
from websocket import WebSocketException

from dev.lnbits_server import LnbitsServer
from dev.proxy import LoopThread, Proxy
from tests.e2e.clients import Author, Client, RefusedError, wait_until

from .bench import FAST, NostrEvent, RealRelay, measured, order, orders, orders_filter

COMPRESSED = {
    name: getattr(FAST, name)
    for name in ("reconnect_seconds", "reconnect_max_seconds", "connect_seconds")
}

NewClient = Callable[..., Client]


@pytest.fixture(scope="module")
def module_relay(loop_thread: LoopThread) -> Iterator[RealRelay]:
    relay = RealRelay(loop_thread)
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, module_relay: RealRelay
) -> Iterator[LnbitsServer]:
    server = LnbitsServer(
        tmp_path_factory.mktemp("lnbits"),
        environment={"LNBITS_RATE_LIMIT_NO": "1000000"},
    )
    with server:
        server.api("PUT", "/config", {"public_ws": True, "settings": COMPRESSED})
        server.api("POST", "/relay", {"url": module_relay.url})
        yield server


@pytest.fixture
def relay(module_relay: RealRelay, server: LnbitsServer) -> RealRelay:
    """The one relay of the server, connected."""
    module_relay.proxy.resume()
    server.start()
    wait_connected(server, True)
    return module_relay


@pytest.fixture
def connect(server: LnbitsServer) -> Iterator[NewClient]:
    opened: list[Client] = []

    def open_client(url: str = "", name: str = "client") -> Client:
        client = Client(url or server.private_url(), name)
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()


def wait_connected(server: LnbitsServer, connected: bool) -> None:
    wait_until(
        lambda: server.api("GET", "/status")["relays_connected"] == int(connected),
        f"relay connected: {connected}",
        30,
    )


def wait_events(client: Client, events: list[NostrEvent]) -> None:
    ids = {event["id"] for event in events}
    wait_until(lambda: ids <= set(client.all_events("orders")), "events have come")


def connect_as_soon_as_possible(server: LnbitsServer) -> Client:
    deadline = time.monotonic() + 60
    while True:
        try:
            return Client(server.private_url(), "consumer")
        except (OSError, RefusedError, WebSocketException):
            assert time.monotonic() < deadline, "LNbits does not listen"
            time.sleep(0.05)


def test_settings_of_the_configuration_are_checked(server: LnbitsServer) -> None:
    stored = server.api("GET", "/config")["settings"]
    assert stored == COMPRESSED
    for wrong in (
        {"no_such": 1},
        {"ping_seconds": -1},
        {"public": 1},
        {"overlap_seconds": 30},
    ):
        answer = server.http.put("/nostrclient/api/v1/config", json={"settings": wrong})
        assert answer.status_code == 400
    assert server.api("GET", "/config")["settings"] == stored


def test_e7_e8_orders_placed_within_15_s_of_the_start_arrive(
    server: LnbitsServer, relay: RealRelay, merchant: Author
) -> None:
    since = int(time.time())
    server.kill()
    placed = orders(30, merchant)
    put_at: dict[str, float] = {}

    def place() -> None:
        for event in placed:  # two a second: 15 s, from before LNbits listens
            put_at[event["id"]] = relay.put(event)
            time.sleep(0.5)

    customer = threading.Thread(target=place, daemon=True)
    customer.start()
    starting = threading.Thread(target=server.start, daemon=True)
    starting.start()
    consumer = connect_as_soon_as_possible(server)
    consumer.send("REQ", "orders", orders_filter(merchant, since=since))
    requested = time.monotonic()
    came_at: dict[str, float] = {}
    wait_until(
        lambda: _note(consumer, came_at) == len(placed), "all have come", 40, 0.005
    )
    starting.join()
    customer.join()
    assert sorted(consumer.all_events("orders")) == sorted(e["id"] for e in placed)
    delays = [came_at[i] - max(put_at[i], requested) for i in came_at]
    measured(
        "orders within 15 s of LNbits' start (after put or REQ)",
        f"max {max(delays):.3f} s, n {len(delays)}",
    )
    consumer.close()


def _note(consumer: Client, came_at: dict[str, float]) -> int:
    for event_id in consumer.all_events("orders"):
        came_at.setdefault(event_id, time.monotonic())
    return len(came_at)


def test_e8_orders_placed_while_the_consumers_link_is_down_arrive(
    server: LnbitsServer,
    relay: RealRelay,
    merchant: Author,
    connect: NewClient,
    loop_thread: LoopThread,
) -> None:
    link = Proxy(server.port, loop_thread)
    private = server.private_url()
    url = private.replace(f":{server.port}/", f":{link.port}/")
    first, second, third = orders(3, merchant)
    consumer = connect(url, "consumer")
    consumer.subscribe("orders", orders_filter(merchant))
    relay.put(first)
    wait_events(consumer, [first])

    link.refuse()
    wait_until(lambda: not consumer.open, "the consumer's link is down")
    relay.put(second)
    wait_until(
        lambda: server.api("GET", "/status")["clients"] == 0,
        "nothing is left of the old connection",
    )
    assert server.api("GET", "/status")["subscriptions"] == 0
    link.resume()
    back = connect(url, "consumer, back")
    began = time.monotonic()
    stored = back.subscribe(
        "orders", orders_filter(merchant, since=first["created_at"])
    )
    assert second in stored
    measured(
        "order while the consumer's link was down (after REQ)",
        f"{time.monotonic() - began:.3f} s",
    )
    relay.put(third)
    wait_events(back, [second, third])
    events = back.all_events("orders")
    assert len(events) == len(set(events))
    link.close()


AWKWARD = [
    "plain",
    "<b>&amp;</b> <script>alert('x')</script> &lt;i&gt; &#60;",
    "quotes ' \" \\ and :name %s {x} \u2028 \U0001f600 \x00 \x7f ä",
    "<a href='x'>" * 100,
]


def test_c5_queued_event_survives_sigkill_byte_for_byte(
    server: LnbitsServer, relay: RealRelay, merchant: Author, connect: NewClient
) -> None:
    relay.proxy.refuse()
    wait_connected(server, False)
    customer = Author()
    placed = [order(customer, merchant, text) for text in AWKWARD]
    ephemeral = customer.event("gone", kind=20001)
    client = connect(name="customer")
    for event in [*placed, ephemeral]:
        accepted, reason = client.publish(event)
        assert accepted, reason
        assert reason.startswith("queued:")
    assert stored_events(server) == len(placed)
    server.kill()
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url)

    relay.proxy.resume()
    began = time.monotonic()
    server.start()
    started = time.monotonic()
    wait_until(lambda: relay.has(*placed), "all are delivered", 30, 0.01)
    measured(
        "SIGKILL between publish and delivery",
        f"delivered {max(0, time.monotonic() - started):.3f} s after a start of "
        f"{started - began:.1f} s",
    )
    on_relay = {event["id"]: event for event in relay.fetch(orders_filter(merchant))}
    assert on_relay == {event["id"]: event for event in placed}
    wait_until(
        lambda: server.api("GET", "/status")["outbox_waiting"] == 0, "nothing waits"
    )
    # What was delivered is forgotten: another death would not send it again.
    wait_until(lambda: stored_events(server) == 0, "the store is empty")


def stored_events(server: LnbitsServer) -> int:
    """Count the events of the outbox in the database of the extension."""
    (database,) = server.data.rglob("ext_nostrclient.sqlite3")
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        return int(count)


def test_c6_f7_disable_and_enable_lose_nothing(
    server: LnbitsServer, relay: RealRelay, merchant: Author, connect: NewClient
) -> None:
    relay.proxy.freeze()
    relay.proxy.reset()
    wait_connected(server, False)
    client = connect(name="customer")
    placed = order(Author(), merchant)
    assert client.publish(placed)[1].startswith("queued:")
    process = server.process()
    began = time.monotonic()
    server.deactivate()
    took = time.monotonic() - began
    assert took < 5
    measured("disable while a relay hangs in its handshake", f"{took:.3f} s")
    wait_until(lambda: not client.open, "clients are closed")
    threads = process.num_threads()
    server.activate()
    server.deactivate()
    server.activate()
    server.activate()
    relay.proxy.resume()
    wait_until(lambda: relay.has(placed), "it is delivered")
    assert process.num_threads() <= threads + 10
