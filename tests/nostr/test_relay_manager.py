"""All relays together: threads that cannot be started, targets and uses."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.delivery import (
    Counted,
    PublishResult,
    RelayChanged,
    SubscriptionOpened,
)
from nostrclient.nostr.information import parse_information
from nostrclient.nostr.message import encode_event
from nostrclient.nostr.publication import RELAYED
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayStatus
from nostrclient.nostr.settings import DEFAULTS

from .builders import Inbox, filters, signed

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


# --- H9: a relay that an extension added


def call_as(extension: str | None, function: Callable[[], object]) -> None:
    """Call a function as code of an extension does."""
    if extension is None:
        function()
        return
    code = compile("call()", f"/data/extensions/{extension}/tasks.py", "exec")
    names = {"__name__": f"{extension}.tasks", "call": function}
    exec(code, names)  # noqa: S102  # code with the name of another extension's file


def as_extension(manager: RelayManager, extension: str | None, url: str) -> None:
    call_as(extension, lambda: manager.add_relay(url))


def test_h9_a_relay_of_an_extension_carries_its_own_only() -> None:
    manager = RelayManager()
    as_extension(manager, "bunker", URLS[0])
    as_extension(manager, None, URLS[1])
    client, events = Inbox(), [signed(f"{number}") for number in range(3)]
    manager.register(client)
    manager.subscribe("up", filters({}), client)
    for name in ("bunker", "market"):
        call_as(name, partial(manager.add_subscription, name, [{"kinds": [1]}]))
    served = {
        name: [
            relay.url
            for relay in manager.relays.values()
            if manager._servable(relay, manager._requests[upstream_id])
        ]
        for name, upstream_id in (
            ("client", "up"),
            *((name, item.upstream_id) for name, item in manager._in_process.items()),
        )
    }
    assert served == {"client": URLS[1:2], "bunker": URLS[:2], "market": URLS[1:2]}
    (opened,) = client.items
    assert isinstance(opened, SubscriptionOpened)
    assert opened.relay_urls == {URLS[1]}

    manager.publisher.publish(events[0], client)
    for name, event in (("bunker", events[1]), ("market", events[2])):
        call_as(name, partial(manager.publish_message, encode_event(event.text)))
    copies = {
        item.event.id: list(item.copies) for item in manager.publisher.waiting_events()
    }
    assert copies == {
        events[0].id: URLS[1:2],
        events[1].id: URLS[:2],
        events[2].id: URLS[1:2],
    }


@pytest.mark.parametrize("adopter", [None, "market"])
def test_h9_a_relay_that_somebody_else_adds_is_everybodys(adopter: str | None) -> None:
    manager = RelayManager()
    as_extension(manager, "bunker", URLS[0])
    as_extension(manager, "bunker", URLS[0])
    client, event = Inbox(), signed()
    manager.register(client)
    manager.publisher.publish(event, client)
    assert manager.relays[URLS[0]].extension == "bunker"
    as_extension(manager, adopter, URLS[0])
    assert manager.relays[URLS[0]].extension is None
    assert RelayChanged(URLS[0], True, True) in client.items
    (waiting,) = manager.publisher.waiting_events()
    assert list(waiting.copies) == [URLS[0]]
    as_extension(manager, "bunker", URLS[0])
    assert manager.relays[URLS[0]].extension is None


def test_h9_a_client_s_event_is_queued_at_once_beside_such_a_relay_alone() -> None:
    manager = RelayManager()
    as_extension(manager, "bunker", URLS[0])
    relay = manager.relays[URLS[0]]
    relay.status = RelayStatus.CONNECTED
    manager.reports.relay_connected(relay)
    client = Inbox()
    manager.publisher.publish(signed(), client)
    (result,) = client.items
    assert isinstance(result, PublishResult)
    assert result.message.startswith("queued:")
    assert manager.reports.take_events(relay, 10)[0] == []


def test_h9_the_next_generation_keeps_whose_relay_it_is() -> None:
    first, second = RelayManager(), RelayManager()
    as_extension(first, "bunker", URLS[0])
    event = signed()
    text = encode_event(event.text)
    call_as("bunker", lambda: first.add_subscription("mine", [{"kinds": [1]}]))
    call_as("bunker", lambda: first.publish_message(text))
    second.take_over(first.hand_over())
    relay = second.relays[URLS[0]]
    assert relay.extension == "bunker"
    opened = second._in_process["mine"]
    assert second._servable(relay, second._requests[opened.upstream_id]) is not None
    (waiting,) = second.publisher.waiting_events()
    assert list(waiting.copies) == [URLS[0]]


# --- E12: nostrclients in a circle


def test_e12_relay_that_is_a_nostrclient_gets_nothing_of_another_one() -> None:
    manager = RelayManager()
    for url in URLS[:2]:
        manager.add_relay(url)
    other, client = Inbox(), Inbox()
    manager.register(other, is_nostrclient=True)
    manager.register(client)
    before = (signed("of the other one"), signed("of both"), signed("of the client"))
    manager.publish(before[0], other, publisher=RELAYED)
    manager.publish(before[1], other, publisher=RELAYED)
    manager.publish(before[1], client)
    manager.publish(before[2], client)
    manager.subscribe("other", filters({}), other)
    manager.subscribe("client", filters({}), client)
    other.items.clear()
    client.items.clear()
    relay = manager.relays[URLS[0]]

    manager.reports.relay_recognised(relay)
    manager.reports.relay_recognised(relay)

    assert other.items == [RelayChanged(URLS[0], False, False)]
    assert client.items == []
    served = {
        name: [
            url
            for url, relay in manager.relays.items()
            if manager._servable(relay, manager._requests[name])
        ]
        for name in ("other", "client")
    }
    assert served == {"other": URLS[1:2], "client": URLS[:2]}
    after = (signed("of the other one, later"), signed("named by the other one"))
    manager.publish(after[0], other, publisher=RELAYED)
    manager.publish(after[1], other, publisher=RELAYED, named=frozenset(URLS[:2]))
    copies = {
        item.event.id: sorted(item.copies)
        for item in manager.publisher.waiting_events()
    }
    assert copies == {
        before[0].id: URLS[1:2],
        before[1].id: URLS[:2],
        before[2].id: URLS[:2],
        after[0].id: URLS[1:2],
        after[1].id: URLS[1:2],
    }
    # It connects again, and another relay comes: both are as before.
    other.items.clear()
    manager.reports.relay_connected(relay)
    assert other.items == []
    manager.publish(before[0], client)
    (both,) = (
        item
        for item in manager.publisher.waiting_events()
        if item.event.id == before[0].id
    )
    assert sorted(both.copies) == URLS[:2]


def test_e12_event_that_nobody_else_can_get_is_queued_at_once() -> None:
    manager = RelayManager()
    relay = manager.add_relay(URLS[0])
    relay.status = RelayStatus.CONNECTED
    manager.reports.relay_connected(relay)
    other = Inbox()
    manager.register(other, is_nostrclient=True)
    manager.publish(signed(), other, publisher=RELAYED)
    assert not any(isinstance(item, PublishResult) for item in other.items)
    manager.reports.relay_recognised(relay)
    (result,) = (item for item in other.items if isinstance(item, PublishResult))
    assert result.accepted
    assert result.message.startswith("queued:")


def test_e12_count_of_another_nostrclient_asks_no_further_one() -> None:
    manager = RelayManager()
    relay = manager.add_relay(URLS[0])
    relay.status = RelayStatus.CONNECTED
    relay.information = parse_information(
        b'{"supported_nips": [45], "nostrclient_instance": "another"}'
    )
    other, client = Inbox(), Inbox()
    manager.register(other, is_nostrclient=True)
    manager.reports.relay_informed(relay)
    manager.count("other", filters({}), other)
    manager.count("client", filters({}), client)
    assert Counted("other", None) in other.items  # nobody was asked
    assert client.items == []  # the relay is asked


def test_h9_search_of_a_client_is_not_sent_to_a_relay_of_an_extension() -> None:
    manager = RelayManager()
    as_extension(manager, "bunker", URLS[0])
    relay = manager.relays[URLS[0]]
    asked: list[str] = []
    relay.subscribe = lambda request: asked.append(  # type: ignore[method-assign]
        request.upstream_id
    )
    manager.subscribe("up", filters({"search": "a"}), Inbox())
    relay.information = parse_information(b'{"supported_nips": [50]}')
    relay.is_informed = True
    manager.reports.relay_informed(relay)
    assert asked == []
