"""The page is told what changes, while it looks and no longer."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket
from websockets.sync.connection import Connection

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import handshake_status, wait_until
from .conftest import Connect, running


def ticket_url(server: LnbitsServer) -> str:
    path = server.api("POST", "/live")["path"]
    assert path.startswith("/nostrclient/api/v1/live/")
    return f"ws://127.0.0.1:{server.port}{path}"


def receive(live: Connection) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(live.recv(timeout=15))
    return told


def receive_for_ever(live: Connection) -> None:
    while True:
        receive(live)


@pytest.fixture
def live(lnbits: LnbitsServer) -> Iterator[Connection]:
    with websocket(ticket_url(lnbits), max_size=None) as connection:
        yield connection


def live_tasks(server: LnbitsServer) -> list[str]:
    """List the tasks that work for listeners."""
    tasks = running(server)["tasks"]
    return [task for task in tasks if task.startswith("nostrclient live")]


def test_so_many_may_look_on_and_leave_nothing_behind(lnbits: LnbitsServer) -> None:
    too_many = ticket_url(lnbits)
    opened = [websocket(ticket_url(lnbits), max_size=None) for _ in range(20)]
    try:
        answer = lnbits.http.post("/nostrclient/api/v1/live")
        assert answer.status_code == 409
        assert "20" in answer.json()["detail"]
        assert handshake_status(too_many) == 403
        assert live_tasks(lnbits)
        for connection in opened[::2]:  # gone without a word
            connection.socket.shutdown(socket.SHUT_RDWR)
    finally:
        for connection in opened:
            connection.close()
    wait_until(lambda: not live_tasks(lnbits), "no task is left")
    lnbits.api("POST", "/live")


def test_everything_first_then_what_changed(
    lnbits: LnbitsServer, relays: list[LocalRelay], live: Connection
) -> None:
    first = receive(live)
    assert set(first) == {"relays", "outbox", "clients", "status"}
    assert {item["url"] for item in first["relays"]} == {item.url for item in relays}
    assert set(first["outbox"]) == {"count", "undeliverable", "revision"}

    relays[0].stop()
    took = None
    begun = time.monotonic()
    while took is None:
        for item in receive(live).get("relays", []):
            if item["url"] == relays[0].url and not item["connected"]:
                took = time.monotonic() - begun
    assert took < 10  # half a second is due


def test_a_change_reaches_all_who_look(
    lnbits: LnbitsServer, connect: Connect, live: Connection
) -> None:
    with websocket(ticket_url(lnbits), max_size=None) as other:
        known = {client["id"] for client in receive(live)["clients"]}
        receive(other)
        begun = time.monotonic()
        connect()
        for listener in (live, other):
            told: list[dict[str, Any]] = []
            while not {client["id"] for client in told} - known:
                told = receive(listener).get("clients", [])
        assert time.monotonic() - begun < 10  # half a second is due


def test_later_listener_gets_the_state_of_that_moment(
    lnbits: LnbitsServer, connect: Connect
) -> None:
    with websocket(ticket_url(lnbits), max_size=None) as first:
        known = {client["id"] for client in receive(first)["clients"]}
    wait_until(lambda: not live_tasks(lnbits), "nobody looks any more")
    connect()
    with websocket(ticket_url(lnbits), max_size=None) as second:
        assert {client["id"] for client in receive(second)["clients"]} - known


def test_a_relay_that_was_removed_is_named(
    lnbits: LnbitsServer, extra_relay: LocalRelay, live: Connection
) -> None:
    receive(live)
    lnbits.api("POST", "/relay", {"url": extra_relay.url})
    while not any(
        item["url"] == extra_relay.url for item in receive(live).get("relays", [])
    ):
        pass
    lnbits.api("DELETE", "/relay", {"url": extra_relay.url})
    while extra_relay.url not in receive(live).get("removed", []):
        pass


def test_a_ticket_is_good_once_and_nobody_comes_without(lnbits: LnbitsServer) -> None:
    url = ticket_url(lnbits)
    with websocket(url, max_size=None):
        assert handshake_status(url) == 403
    assert handshake_status(url) == 403
    assert handshake_status(url.rpartition("/")[0] + "/guessed") == 403
    assert lnbits.http.get("/nostrclient/api/v1/live/guessed").status_code == 404


def test_push_ends_when_nostrclient_stops(
    lnbits: LnbitsServer, live: Connection
) -> None:
    receive(live)
    unused = ticket_url(lnbits)
    lnbits.deactivate()
    try:
        with pytest.raises(ConnectionClosed):
            receive_for_ever(live)
        wait_until(lambda: not live_tasks(lnbits), "no task is left")
        assert handshake_status(unused) in (403, 404)
    finally:
        lnbits.activate()
