"""A relay's attempts to connect, without a socket and without waiting."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr import relay as relay_module
from nostrclient.nostr.connection import ConnectionLostError
from nostrclient.nostr.relay import Relay
from nostrclient.nostr.relay_manager import RelayManager
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
        return SimpleNamespace(close=lambda politely: None, was_too_long=False)

    relay = Relay("ws://127.0.0.1:1", RelayManager())
    relay.attempts = 5
    waits: list[float] = []
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(relay_module, "Connection", connect)
    monkeypatch.setattr(random, "random", lambda: 1.0)
    monkeypatch.setattr(relay, "_converse", converse)
    monkeypatch.setattr(relay, "_pause", lambda _, until: waits.append(until - now[0]))
    relay._attempt(SimpleNamespace())  # type: ignore[arg-type]
    assert relay.attempts == attempts
    assert waits == [DEFAULTS.reconnect_seconds * 2 ** (attempts - 1)]
