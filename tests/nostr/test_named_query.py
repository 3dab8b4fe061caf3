"""H10: a query to one relay by its name, and what its answer may cost."""

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from nostrclient.nostr import clock
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.named_query import NamedQueries, NamedQuery, TooManyQueriesError
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, signed
from .networks import HOST, mute, tcp_server

Behaviour = Callable[[ServerConnection, list[Any]], None]


def ask(
    behave: Behaviour | None,
    *filters: dict[str, Any],
    seconds: float = 5,
    public_only: bool = False,
    url: str = "",
) -> tuple[list[SignedEvent], bool]:
    """Return the events that a relay of this behaviour is found to have."""

    def serve_one(link: ServerConnection) -> None:
        assert behave is not None
        request = json.loads(link.recv())
        assert request[0] == "REQ"
        behave(link, request)
        with suppress(ConnectionClosed):
            link.recv()  # until the end

    arrived: queue.Queue[SignedEvent | bool] = queue.Queue()
    with serve(serve_one, HOST, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        query = NamedQuery(
            url or f"ws://{HOST}:{server.socket.getsockname()[1]}",
            filters or [{"kinds": [1], "limit": 10}],
            DEFAULTS,
            clock.now() + seconds,
            found=arrived.put,
            finished=arrived.put,
            public_only=public_only,
        )
        query.start()
        events = []
        while not isinstance(item := arrived.get(timeout=30), bool):
            events.append(item)
        server.shutdown()
        thread.join()
    return events, item


def stored(*events: SignedEvent, end: tuple[Any, ...] | None = ("EOSE",)) -> Behaviour:
    def behave(link: ServerConnection, request: list[Any]) -> None:
        for event in events:
            link.send(f'["EVENT","{request[1]}",{event.text}]')
        if end is not None:
            link.send(json.dumps([end[0], request[1], *end[1:]]))

    return behave


def test_h10_stored_events_of_a_named_relay_are_found() -> None:
    event = signed(kind=1)
    assert ask(stored(event)) == ([event], True)
    assert ask(stored(event, end=("EOSE", ["more"]))) == ([event], True)
    assert ask(stored(event, end=("CLOSED", "error: no"))) == ([event], False)
    assert ask(stored(event, end=None), seconds=0.3) == ([event], False)


def test_d3_invalid_events_of_a_named_relay_are_left_out() -> None:
    good, other = signed(kind=1), signed(kind=2)
    forged = good.text.replace(good.text[10:14], "0000", 1)

    def behave(link: ServerConnection, request: list[Any]) -> None:
        for text in (
            "nonsense",
            "[]",
            f'["EVENT","{request[1]}",{forged}]',
            f'["EVENT","{request[1]}",{other.text}]',
            f'["EVENT","{request[1]}",{{}}]',
        ):
            link.send(text)
        stored(good)(link, request)

    assert ask(behave) == ([good], True)


def test_d8_relay_that_never_stops_is_cut_off() -> None:
    event = signed(kind=1)

    def flood(link: ServerConnection, request: list[Any]) -> None:
        for _ in range(100_000):
            link.send(f'["EVENT","{request[1]}",{event.text}]')

    events, answered = ask(flood, {"kinds": [1], "limit": 7})
    assert len(events) <= 8
    assert not answered

    def heavy(link: ServerConnection, request: list[Any]) -> None:
        for _ in range(100):
            link.send(json.dumps(["NOTICE", 1024 * 1024 * "x"]))

    assert ask(heavy) == ([], False)


def test_h10_private_address_is_not_connected_to() -> None:
    assert ask(stored(signed(kind=1)), public_only=True) == ([], False)


def test_h10_mute_relay_costs_no_more_than_the_deadline() -> None:
    with tcp_server(mute) as port:
        began = time.monotonic()
        assert ask(None, seconds=0.3, url=f"ws://{HOST}:{port}") == ([], False)
        assert time.monotonic() - began < 10


def test_h10_filters_that_can_match_nothing_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("it connects")

    arrived: queue.Queue[object] = queue.Queue()

    def query(*filters: dict[str, Any]) -> NamedQuery:
        return NamedQuery(
            "ws://relay.invalid",
            filters,
            DEFAULTS,
            clock.now() + 5,
            found=arrived.put,
            finished=arrived.put,
            public_only=True,
        )

    with pytest.raises(InvalidMessage):
        query({"kinds": "x"})
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    query({"kinds": [], "limit": 1}).start()
    assert arrived.get(timeout=10) is True


async def test_f2_relay_whose_name_does_not_resolve_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise somebody could have any number of threads hang in the resolver."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    settings = replace(DEFAULTS, http_named_connections=3)
    queries = NamedQueries()

    async def ask(*urls: str) -> bool:
        return await queries.ask(
            urls,
            [{"limit": 1}],
            settings,
            clock.now() + 0.01,
            public_only=True,
            found=lambda _: None,
        )

    try:
        assert await ask("wss://a.invalid", "wss://b.invalid") is False
        assert queries.count == 2
        with pytest.raises(TooManyQueriesError):
            await ask("wss://c.invalid", "wss://d.invalid")
    finally:
        released.set()
    end = time.monotonic() + 20
    while queries.count and time.monotonic() < end:  # noqa: ASYNC110  # a thread
        await asyncio.sleep(0.01)
    assert queries.count == 0


async def test_f2_query_ends_where_the_system_gives_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    queries = NamedQueries()
    complete = await queries.ask(
        ["wss://a.invalid"],
        [{"limit": 1}],
        DEFAULTS,
        clock.now() + 20,
        public_only=True,
        found=lambda _: None,
    )
    assert complete is False
    assert queries.count == 0


async def test_h10_extension_reads_from_named_relays() -> None:
    events = [signed(f"{number}", created_at=NOW + number) for number in range(3)]

    def serve_one(link: ServerConnection) -> None:
        name = json.loads(link.recv())[1]
        for event in (*events, events[0], signed(kind=7)):
            link.send(f'["EVENT","{name}",{event.text}]')
        link.send(json.dumps(["EOSE", name]))

    client = NostrClient()
    client.relay_manager.named.public_only = lambda: False
    with serve(serve_one, HOST, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"ws://{HOST}:{server.socket.getsockname()[1]}"
        found = await client.query([{"kinds": [1]}], [url, f"{url}/"])
        server.shutdown()
        thread.join()
    assert found == [event.text for event in reversed(events)]
    for wrong in ([], ["x"], [f"wss://{number}.example" for number in range(6)]):
        with pytest.raises(ValueError, match=r".+"):
            await client.query([{"kinds": [1]}], wrong)
    with pytest.raises(ValueError, match=r".+"):
        await client.query([{"kinds": "1"}], [url])
