"""A relay whose thread never runs: what it makes of what it reads, step by step."""

from types import SimpleNamespace
from typing import Any

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.delivery import Counted
from nostrclient.nostr.information import parse_information
from nostrclient.nostr.mailbox import Budget, Mailbox
from nostrclient.nostr.relay import MESSAGES_A_TURN, Relay, RelayStatus
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS

from .builders import Inbox, filters, made

URL = "ws://127.0.0.1:1"


@pytest.fixture
def manager() -> RelayManager:
    return RelayManager()


@pytest.fixture
def relay(manager: RelayManager) -> Relay:
    relay = manager.add_relay(URL)
    relay.status = RelayStatus.CONNECTED
    return relay


def test_readers_are_woken_soon_and_then_more_and_more_seldom(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    wakes: list[float] = []
    woken: list[int] = []

    def wake() -> None:
        wakes.append(now[0])
        woken.append(len(mailbox.take_all()))

    mailbox = Mailbox(wake, DEFAULTS.mailbox_bytes, Budget(DEFAULTS.mailbox_bytes))
    manager.subscribe("up", filters({}), mailbox)
    woken.clear()  # by the news that it was asked
    wakes.clear()

    def message(_: bytes, burst: Any) -> bool:
        now[0] += DEFAULTS.wake_seconds / MESSAGES_A_TURN * 1.01
        pool = manager.message_pool
        pool.deliver(["up"], made(), URL, burst.touched)
        return False

    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(relay, "_message", message)
    turns = 20  # each takes as long as the first wait
    frames = turns * MESSAGES_A_TURN * [b""]
    began = now[0]
    relay._read(SimpleNamespace(receive=lambda: frames))  # type: ignore[arg-type]
    # Waits of 1, 2, 4, 8 and at most 8 times the first; at the end without waiting.
    waits = [1, 2, 4, 8, 5]
    assert woken == [turns * MESSAGES_A_TURN for turns in waits]
    assert wakes[0] - began == pytest.approx(DEFAULTS.wake_seconds, rel=0.02)
    assert DEFAULTS.wake_seconds_most == 8 * DEFAULTS.wake_seconds


def test_who_waits_for_a_count_hears_that_the_relay_is_gone(
    manager: RelayManager,
) -> None:
    for leave in ("lost", "removed"):
        relay = manager.add_relay(URL)
        relay.status = RelayStatus.CONNECTED
        relay.information = parse_information(b'{"supported_nips":[45]}')
        inbox = Inbox()
        manager.count("up", filters({}), inbox)
        assert inbox.items == []
        if leave == "lost":
            manager.relay_disconnected(relay)
        else:
            manager.remove_relay(URL)
        assert inbox.items == [Counted("up", None)]
