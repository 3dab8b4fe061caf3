"""Rule D3: a forged copy of an event never hides the true one.

Several well-known libraries note an event's id as seen before they check the signature;
one bad relay can then mute anybody. Here the forger always speaks first.
"""

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from nostrclient.nostr import event as event_module
from nostrclient.nostr.key import PrivateKey

from .relays import HostileRelay, Reader, managed, say, signed, wait_until

Forgery = Callable[[dict[str, Any]], list[dict[str, Any]]]


def other_content(true: dict[str, Any]) -> list[dict[str, Any]]:
    return [true | {"content": "forged"}]


def other_signature(true: dict[str, Any]) -> list[dict[str, Any]]:
    return [true | {"sig": signed("another")["sig"]}]


def no_signature(true: dict[str, Any]) -> list[dict[str, Any]]:
    return [true | {"sig": "0" * 128}]


def twice(true: dict[str, Any]) -> list[dict[str, Any]]:
    return other_content(true) * 2


def other_author(true: dict[str, Any]) -> list[dict[str, Any]]:
    """The attacker's own valid event, under the victim's id."""
    mine = signed("mine", created_at=true["created_at"])
    return [mine | {"id": true["id"]}]


def signature_of_other_id(true: dict[str, Any]) -> list[dict[str, Any]]:
    """A good event whose id and signature speak of another content."""
    return [true | {"content": "forged", "created_at": true["created_at"] + 1}]


def upper_case_id(true: dict[str, Any]) -> list[dict[str, Any]]:
    return [true | {"id": true["id"].upper()}]


def all_of_them(true: dict[str, Any]) -> list[dict[str, Any]]:
    return [copy for forgery in FORGERIES for copy in forgery(true)]


FORGERIES: list[Forgery] = [
    other_content,
    other_signature,
    no_signature,
    twice,
    other_author,
    signature_of_other_id,
    upper_case_id,
]


class Stage:
    """Relays that answer the first REQ when the test says so, each in its own words."""

    def __init__(self) -> None:
        self.turns: dict[str, threading.Event] = {}

    def relay(self, name: str, copies: list[dict[str, Any]]) -> HostileRelay:
        parse_lock = self.turns[name] = threading.Event()

        def script(
            relay: HostileRelay, connection: ServerConnection, message: list[Any]
        ) -> None:
            if message[0] != "REQ":
                return
            parse_lock.wait(10)
            for copy in copies:
                say(connection, "EVENT", message[1], copy)
            say(connection, "EOSE", message[1])

        return HostileRelay(script)


@pytest.mark.parametrize("forgery", [*FORGERIES, all_of_them])
def test_d3_a_forgery_that_comes_first_does_not_hide_the_true_event(
    forgery: Forgery,
) -> None:
    true = signed()
    stage = Stage()
    with (
        stage.relay("forger", forgery(true)) as forger,
        stage.relay("honest", [true]) as honest,
        managed(forger, honest) as manager,
    ):
        reader = Reader(manager, {"kinds": [1]})
        stage.turns["forger"].set()
        bad = manager.relays[forger.url]
        forged = len(forgery(true))
        wait_until(
            lambda: bad.counters.invalid_messages == forged, "the forgery was seen"
        )
        assert reader.events == []

        stage.turns["honest"].set()
        reader.wait_for_events(1)
        assert [json.loads(text) for text in reader.settle()] == [true]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_d3_a_forgery_and_the_true_event_from_the_same_relay(forgery: Forgery) -> None:
    true = signed()
    stage = Stage()
    script = [*forgery(true), true, *forgery(true), true]
    with stage.relay("both", script) as both, managed(both) as manager:
        reader = Reader(manager, {"kinds": [1]})
        stage.turns["both"].set()
        reader.wait_for_events(1)
        assert [json.loads(text) for text in reader.settle()] == [true]


def test_d3_forged_and_true_copies_at_the_same_time() -> None:
    """Five relays, two of them forgers, all speak at once about the same 200 events."""
    key = PrivateKey()
    true = [signed(f"event {number}", key=key) for number in range(200)]
    # Few enough forgeries a relay not to be sent away for its garbage (F3).
    forged_first = [copy for event in true[:10] for copy in [*other_content(event)]]
    forged_last = [copy for event in true[-10:] for copy in [*other_signature(event)]]
    stage = Stage()
    with (
        stage.relay("forger 1", [*forged_first, *true]) as forger_1,
        stage.relay("forger 2", [*forged_last, *reversed(true)]) as forger_2,
        stage.relay("honest 1", true) as honest_1,
        stage.relay("honest 2", list(reversed(true))) as honest_2,
        stage.relay("honest 3", [*true[100:], *true[:100], *true]) as honest_3,
        managed(forger_1, forger_2, honest_1, honest_2, honest_3) as manager,
    ):
        reader = Reader(manager, {"kinds": [1]})
        for parse_lock in stage.turns.values():
            parse_lock.set()
        reader.wait_for_events(len(true))
        delivered = [json.loads(text) for text in reader.settle()]
        assert len(delivered) == len(true)
        assert sorted(delivered, key=lambda event: event["id"]) == sorted(
            true, key=lambda event: event["id"]
        )


def test_d3_a_copy_spelled_differently_is_the_same_event() -> None:
    """What the signature does not cover, order and spaces, makes no second event."""
    true = signed()
    reordered = dict(reversed(true.items()))
    decorated = true | {"relay": "ws://x", "seen": 1}
    stage = Stage()
    with (
        stage.relay("one", [reordered, decorated, true]) as one,
        stage.relay("two", [decorated, true, reordered]) as two,
        managed(one, two) as manager,
    ):
        reader = Reader(manager, {"kinds": [1]})
        for parse_lock in stage.turns.values():
            parse_lock.set()
        reader.wait_for_events(1)
        (delivered,) = reader.settle()
        assert json.loads(delivered) == true


def test_d3_unrequested_event_is_not_delivered() -> None:
    """A true event that does not match, or for somebody else's subscription."""
    wanted, other = signed(kind=1), signed(kind=7)

    def script(
        relay: HostileRelay, connection: ServerConnection, message: list[Any]
    ) -> None:
        if message[0] == "REQ":
            say(connection, "EVENT", message[1], other)
            say(connection, "EVENT", "f" * 32, wanted)
            say(connection, "EVENT", message[1], wanted)

    with HostileRelay(script) as relay, managed(relay) as manager:
        reader = Reader(manager, {"kinds": [1]})
        reader.wait_for_events(1)
        assert [json.loads(text) for text in reader.settle()] == [wanted]
        assert manager.relays[relay.url].counters.unasked_events == 1


def test_d3_of_many_copies_only_one_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five relays send the same 100 events, all at once."""
    checked: list[str] = []
    verify = event_module.verify_signature

    def counted(public_key: bytes, message: bytes, signature: bytes) -> bool:
        checked.append(message.hex())
        return verify(public_key, message, signature)

    key = PrivateKey()
    true = [signed(f"event {number}", key=key) for number in range(100)]
    monkeypatch.setattr(event_module, "verify_signature", counted)
    stage = Stage()
    with ExitStack() as stack:
        relays = [
            stack.enter_context(stage.relay(f"{number}", true)) for number in range(5)
        ]
        manager = stack.enter_context(managed(*relays))
        reader = Reader(manager, {"kinds": [1]})
        for parse_lock in stage.turns.values():
            parse_lock.set()
        wait_until(
            lambda: all(
                manager.relays[relay.url].counters.received_events == len(true)
                for relay in relays
            ),
            "all copies were met",
        )
        assert len(reader.events) == len(true)
    assert sorted(checked) == sorted(event["id"] for event in true)
