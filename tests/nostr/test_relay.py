"""A relay's attempts to connect, without a socket and without waiting."""

import random
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


@pytest.mark.parametrize(("good_seconds", "attempts"), [(59, 6), (60, 1)])
def test_e2_after_a_minute_of_good_connection_the_delay_begins_anew(
    monkeypatch: pytest.MonkeyPatch, good_seconds: float, attempts: int
) -> None:
    now = [1000.0]

    def converse(_: object) -> None:
        now[0] += good_seconds
        raise ConnectionLostError("gone")

    def connect(*_: object) -> Any:
        return SimpleNamespace(
            close=lambda politely: None, was_too_long=False, ended_by_relay=True
        )

    relay = Relay("ws://127.0.0.1:1", RelayManager())
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
    waiting.relay_connected(back)
    wait_until(lambda: other.attempts == 2)
    assert back.attempts == 1


def test_e2_relay_keeps_its_pause_when_one_lost_at_another_time_is_back(
    waiting: RelayManager,
) -> None:
    back, other = waiting.relays.values()
    assert other.down_since is not None
    other.down_since -= DEFAULTS.ping_seconds + DEFAULTS.pong_seconds + 1
    before = other.retry_at
    waiting.relay_connected(back)
    assert other.retry_at == before is not None


def test_e2_outage_begins_with_its_first_failure_and_not_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Relay("ws://127.0.0.1:1", RelayManager())
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
    def connect(*_: object) -> Any:
        lost = ConnectionLostError("HTTP 429")
        lost.retry_after_seconds = asked
        raise lost

    relay = Relay("ws://127.0.0.1:1", RelayManager())
    waits: list[float] = []
    monkeypatch.setattr(clock, "now", lambda: 1000.0)
    monkeypatch.setattr(relay_link, "Connection", connect)
    monkeypatch.setattr(random, "random", lambda: 1.0)
    monkeypatch.setattr(relay._link, "_pause", lambda until: waits.append(until - 1000))
    relay._link._attempt()
    assert waits == [seconds]
    assert DEFAULTS.retry_after_max_seconds == 600
