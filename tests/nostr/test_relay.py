"""A relay's attempts to connect, without a socket and without waiting."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from nostrclient.nostr import clock, relay_link
from nostrclient.nostr.connection import ConnectionLostError
from nostrclient.nostr.relay import Relay
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayStatus
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.nostr.socks import (
    NO_PROXY,
    Proxy,
    ProxyMode,
    ProxyPolicy,
    RelayRoute,
)

from .builders import KEY
from .networks import SocksServer, silent_relay, tcp_server, upgraded


@pytest.mark.parametrize(("good_seconds", "attempts"), [(59, 6), (60, 1)])
def test_e2_after_a_minute_of_good_connection_the_delay_begins_anew(
    monkeypatch: pytest.MonkeyPatch, good_seconds: float, attempts: int
) -> None:
    now = [1000.0]

    def converse(_: object) -> None:
        now[0] += good_seconds
        raise ConnectionLostError("gone")

    def connect(*_: object, **__: object) -> Any:
        return SimpleNamespace(
            close=lambda politely: None,
            was_too_long=False,
            ended_by_relay=True,
            is_mid_message=False,
        )

    relay = Relay("ws://127.0.0.1:1", RelayManager().reports)
    relay.attempts = 5
    waits: list[float] = []
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(relay_link, "Connection", connect)
    monkeypatch.setattr(random, "random", lambda: 1.0)
    monkeypatch.setattr(relay._link, "_converse", converse)
    monkeypatch.setattr(
        relay._link, "_pause", lambda until: waits.append(until - now[0])
    )
    relay._link._attempt()
    assert relay.attempts == attempts
    assert waits == [DEFAULTS.reconnect_seconds * 2 ** (attempts - 1)]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayManager]:
    """Return a running manager of two relays that wait a minute for their retry."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    manager = RelayManager(replace(DEFAULTS, reconnect_seconds=60))
    for port in (1, 2):
        manager.add_relay(f"ws://127.0.0.1:{port}")
    manager.start()
    wait_until(
        lambda: all(
            relay.status is RelayStatus.WAITING for relay in manager.relays.values()
        )
    )
    yield manager
    manager.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_e2_relay_is_retried_at_once_when_one_lost_with_it_is_back(
    waiting: RelayManager,
) -> None:
    back, other = waiting.relays.values()
    waiting.reports.relay_connected(back)
    wait_until(lambda: other.attempts == 2)
    assert back.attempts == 1


def test_e2_relay_keeps_its_pause_when_one_lost_at_another_time_is_back(
    waiting: RelayManager,
) -> None:
    back, other = waiting.relays.values()
    assert other.down_since is not None
    other.down_since -= DEFAULTS.ping_seconds + DEFAULTS.pong_seconds + 1
    before = other.retry_at
    waiting.reports.relay_connected(back)
    assert other.retry_at == before is not None


def test_e2_outage_begins_with_its_first_failure_and_not_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Relay("ws://127.0.0.1:1", RelayManager().reports)
    instants: list[float | None] = []

    def pause(*_: object) -> None:
        instants.append(relay.down_since)

    monkeypatch.setattr(relay._link, "_pause", pause)
    relay._link._attempt()
    relay._link._attempt()
    assert instants[0] == instants[1] is not None


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 1), (0.5, 1), (77, 77), (10**6, 600)]
)
def test_e2_relay_is_left_alone_for_as_long_as_it_asks_within_bounds(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, seconds: float
) -> None:
    def connect(*_: object, **__: object) -> Any:
        lost = ConnectionLostError("HTTP 429")
        lost.retry_after_seconds = asked
        raise lost

    relay = Relay("ws://127.0.0.1:1", RelayManager().reports)
    waits: list[float] = []
    monkeypatch.setattr(clock, "now", lambda: 1000.0)
    monkeypatch.setattr(relay_link, "Connection", connect)
    monkeypatch.setattr(random, "random", lambda: 1.0)
    monkeypatch.setattr(relay._link, "_pause", lambda until: waits.append(until - 1000))
    relay._link._attempt()
    assert waits == [seconds]
    assert DEFAULTS.retry_after_max_seconds == 600


def test_e11_relays_are_reconnected_where_the_proxy_concerns_them() -> None:
    manager = RelayManager()
    server = SocksServer()
    with silent_relay() as first, silent_relay() as second, server.run() as port:
        server.places = {"127.0.0.1": first}
        concerned = manager.add_relay(f"ws://127.0.0.1:{first}")
        other = manager.add_relay(f"ws://127.0.0.1:{second}", route=RelayRoute.DIRECT)
        manager.start()
        wait_until(lambda: concerned.connected and other.connected)
        manager.set_proxy(ProxyPolicy(Proxy("127.0.0.1", port), ProxyMode.ALL))
        wait_until(lambda: concerned.connections == 2 and concerned.connected)
        assert ("127.0.0.1", first) in server.asked
        manager.update_relay(concerned.url, route=RelayRoute.DIRECT)
        wait_until(lambda: concerned.connections == 3 and concerned.connected)
        manager.set_proxy(NO_PROXY)
        assert (concerned.connections, other.connections) == (3, 1)
        count = len(server.asked)
        manager.stop()
    assert len(server.asked) == count


def test_e11_way_that_changes_while_connecting_is_the_one_taken() -> None:
    manager = RelayManager()
    server = SocksServer()
    released = threading.Event()

    def slow(link: socket.socket) -> None:
        released.wait(30)
        upgraded()(link)

    with tcp_server(slow) as port, server.run() as proxy_port:
        server.places = {"127.0.0.1": port}
        relay = manager.add_relay(f"ws://127.0.0.1:{port}")
        manager.start()
        wait_until(lambda: relay.status is RelayStatus.CONNECTING)
        time.sleep(0.2)
        manager.set_proxy(ProxyPolicy(Proxy("127.0.0.1", proxy_port), ProxyMode.ALL))
        released.set()
        wait_until(lambda: relay.connected)
        assert relay.connections == 1
        assert server.asked
        manager.stop()


def test_e11_route_is_handed_over_to_another_generation() -> None:
    earlier, later = RelayManager(), RelayManager()
    earlier.add_relay("wss://a.example", active=False, route=RelayRoute.PROXY)
    state = earlier.hand_over()
    later.take_over(state)
    assert later.relays["wss://a.example"].route is RelayRoute.PROXY
    del state["relays"][0]["route"]  # of an earlier version
    oldest = RelayManager()
    oldest.take_over(state)
    assert oldest.relays["wss://a.example"].route is RelayRoute.DEFAULT


def test_e11_link_of_a_reader_key_takes_the_relay_s_way_with_its_own_name() -> None:
    manager = RelayManager()
    server = SocksServer()
    with silent_relay() as port, server.run() as proxy_port:
        server.places = {"127.0.0.1": port}
        manager.set_proxy(ProxyPolicy(Proxy("127.0.0.1", proxy_port)))
        relay = manager.add_relay(f"ws://127.0.0.1:{port}")
        manager.start()
        wait_until(lambda: relay.connected)
        manager.links.add_key(KEY)
        link = manager.links._link(relay, [KEY.public_key.hex()])
        assert link is not None
        wait_until(lambda: link.record.connected)
        assert server.asked == []
        manager.update_relay(relay.url, route=RelayRoute.PROXY)
        wait_until(lambda: relay.connections == 2 and link.record.connections == 2)
        wait_until(lambda: relay.connected and link.record.connected)
        manager.stop()
    assert len(set(server.users)) == 2


def test_e1_relay_that_finds_no_descriptor_connects_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    manager = RelayManager(replace(DEFAULTS, reconnect_seconds=0.05))
    manager.start()
    with silent_relay() as port:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socketpair", none_left)
            relay = manager.add_relay(f"ws://127.0.0.1:{port}")
            wait_until(lambda: "too many open files" in relay.error_list)
        wait_until(lambda: relay.connected)
        manager.stop()
