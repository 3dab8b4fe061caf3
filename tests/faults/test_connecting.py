"""Before a relay says anything: which address answers, when it is asked who it is."""

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from dev.ports import HOST
from nostrclient.nostr import clock, relay_link
from nostrclient.nostr.connection import Connection, ConnectionLostError, Waker
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS

SETTINGS = replace(DEFAULTS, connect_address_seconds=0.3)


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Give a port that answers nobody: not even that it is closed."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(4):  # nobody accepts them: the rest is not even answered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((HOST, port))
        yield port


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """Give the port of a relay that says nothing."""

    def hold(link: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            link.recv()

    with serve(hold, HOST, 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


def resolve(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (HOST, port))
        for port in ports
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_e2_an_address_that_does_not_answer_is_given_up_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waker = Waker()
    with black_hole() as dead, listening() as alive:
        resolve(monkeypatch, dead, alive)
        began = time.monotonic()
        made = Connection("ws://relay.invalid", SETTINGS, waker, lambda: None)
        assert 0.3 <= time.monotonic() - began < 3
        made.check_open()
        made.close()
    waker.close()


def test_e2_all_addresses_together_are_tried_no_longer_than_connecting_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waker = Waker()
    with black_hole() as dead:
        resolve(monkeypatch, *[dead] * 20)
        began = time.monotonic()
        with pytest.raises(ConnectionLostError, match="took too long"):
            Connection(
                "ws://relay.invalid",
                replace(SETTINGS, connect_seconds=1),
                waker,
                lambda: None,
            )
        assert 1 <= time.monotonic() - began < 5
    waker.close()


def test_e9_a_relay_is_asked_for_its_limits_anew_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    now = 1000.0

    def request_information(url: str, *_: Any, **__: Any) -> None:
        asked.append(url)

    monkeypatch.setattr(relay_link, "request_information", request_information)
    monkeypatch.setattr(clock, "now", lambda: now)
    known = RelayManager().add_relay("wss://relay.example")
    for seconds, times in ((0, 1), (3599, 1), (1, 2), (10, 2)):
        now += seconds
        known._link._request_information()  # as on each connection
        assert asked == times * ["wss://relay.example"]
