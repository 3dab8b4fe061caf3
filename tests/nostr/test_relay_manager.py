"""All relays together: threads that cannot be started, targets and uses."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS

from .builders import Inbox, signed

URLS = [f"ws://127.0.0.1:{port}" for port in range(1, 6)]
UNREACHED = replace(DEFAULTS, reconnect_seconds=60, stop_seconds=5)


class NoThreads:
    """A system that gives only so many threads more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        start = threading.Thread.start

        def limited(thread: Any) -> None:
            if self.left <= 0:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.mark.parametrize("cure", ["start", "update", "add", "time"])
def test_e1_a_relay_without_a_thread_holds_up_no_other_and_gets_one_later(
    monkeypatch: pytest.MonkeyPatch, cure: str
) -> None:
    manager = RelayManager(UNREACHED)
    for url in URLS:
        manager.add_relay(url)
    system = NoThreads(monkeypatch, 2)
    manager.start()
    try:
        assert sum(relay.running for relay in manager.relays.values()) == 2
        without = [url for url, relay in manager.relays.items() if not relay.running]
        assert "cannot be started" in manager.relays[without[0]].error_list[0]
        due = manager.step()
        assert due is not None
        assert due <= clock.now() + UNREACHED.reconnect_max_seconds
        system.left = 100
        if cure == "start":
            manager.start()
        elif cure == "time":
            monkeypatch.setattr(clock, "now", lambda: due + 1)
            manager.step()
        else:
            for url in without:
                if cure == "update":
                    manager.update_relay(url, active=True)
                else:
                    manager.add_relay(url)
        assert all(relay.running for relay in manager.relays.values())
    finally:
        monkeypatch.undo()
        manager.stop()
    assert not any(relay.running for relay in manager.relays.values())


def test_c3_only_an_active_relay_that_is_written_to_is_asked() -> None:
    manager = RelayManager()
    uses: list[dict[str, Any]] = [
        {},
        {"write": False},
        {"active": False},
        {"read": False},
        {},
    ]
    for url, use in zip(URLS, uses, strict=True):
        manager.add_relay(url, **use)
    manager.remove_relay(URLS[4])
    manager.publisher.publish(signed(), Inbox())
    (waiting,) = manager.publisher.waiting_events()
    assert list(waiting.copies) == [URLS[0], URLS[3]]


def test_c6_a_relay_that_is_switched_off_and_on_keeps_its_pending_copies() -> None:
    manager = RelayManager()
    manager.add_relay(URLS[0])
    manager.publisher.publish(signed(), Inbox())
    changes: list[dict[str, Any]] = [
        {"active": False},
        {"active": True},
        {"write": False},
    ]
    for change in changes:
        manager.update_relay(URLS[0], **change)
        assert manager.publisher.relay_numbers()[URLS[0]] == (1, 0)
    manager.remove_relay(URLS[0])
    assert manager.publisher.relay_numbers()[URLS[0]] == (1, 0)
