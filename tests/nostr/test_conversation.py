"""Conversations without a connection: what is made of what a relay says, by hand."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.connection import Connection, StopRequestedError
from nostrclient.nostr.conversation import (
    MESSAGES_A_TURN,
    MOST_REFUSED,
    Burst,
    Conversation,
    TooMuchGarbageError,
)
from nostrclient.nostr.delivery import Counted, Verdict
from nostrclient.nostr.information import parse_information
from nostrclient.nostr.mailbox import Budget, Mailbox
from nostrclient.nostr.relay import Relay
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayStatus
from nostrclient.nostr.relay_session import RelaySession
from nostrclient.nostr.settings import DEFAULTS

from .builders import KEY, NOW, Inbox, filters, made, signed

URL = "ws://127.0.0.1:1"


@pytest.fixture
def manager() -> RelayManager:
    return RelayManager()


@pytest.fixture
def relay(manager: RelayManager) -> Relay:
    return connected(manager)


def connected(manager: RelayManager) -> Relay:
    relay = manager.add_relay(URL)
    relay.status = RelayStatus.CONNECTED
    manager.relay_connected(relay)
    return relay


def begun(manager: RelayManager, relay: Relay, frames: list[bytes]) -> Conversation:
    """Begin a conversation over a connection on which these frames have arrived."""
    session = RelaySession(DEFAULTS, lambda: "id")
    connection = cast(Connection, SimpleNamespace(receive=lambda: frames))
    return Conversation(relay, session, manager, DEFAULTS, connection)


def burst() -> Burst:
    return Burst(clock.now(), NOW, set())


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

    def message(_: bytes, burst: Any) -> None:
        now[0] += DEFAULTS.wake_seconds / MESSAGES_A_TURN * 1.01
        pool = manager.message_pool
        pool.deliver(["up"], made(), URL, burst.touched)

    monkeypatch.setattr(clock, "now", lambda: now[0])
    turns = 20  # each takes as long as the first wait
    conversation = begun(manager, relay, turns * MESSAGES_A_TURN * [b""])
    monkeypatch.setattr(conversation, "hear", message)
    began = now[0]
    conversation._read()
    # Waits of 1, 2, 4, 8 and at most 8 times the first; at the end without waiting.
    waits = [1, 2, 4, 8, 5]
    assert woken == [turns * MESSAGES_A_TURN for turns in waits]
    assert wakes[0] - began == pytest.approx(DEFAULTS.wake_seconds, rel=0.02)
    assert DEFAULTS.wake_seconds_most == 8 * DEFAULTS.wake_seconds


def test_who_waits_for_a_count_hears_that_the_relay_is_gone(
    manager: RelayManager,
) -> None:
    for leave in ("lost", "removed"):
        relay = connected(manager)
        relay.information = parse_information(b'{"supported_nips":[45]}')
        inbox = Inbox()
        manager.count("up", filters({}), inbox)
        assert inbox.items == []
        if leave == "lost":
            manager.relay_disconnected(relay)
        else:
            manager.remove_relay(URL)
        assert inbox.items == [Counted("up", None)]


def test_e3_an_answer_to_a_ping_is_waited_for_no_longer_than_it_may_take(
    manager: RelayManager, relay: Relay
) -> None:
    conversation = begun(manager, relay, [])
    connection: Any = conversation._connection
    waits: list[float] = []

    def send_ping() -> None:
        connection.ping_sent_at = clock.now()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        raise StopRequestedError

    connection.ping_sent_at = connection.round_trip_seconds = None
    connection.unsent_bytes = 0
    connection.check_open = connection.flush = lambda: None
    connection.send_ping = send_ping
    connection.wait = wait
    with pytest.raises(StopRequestedError):
        conversation.run(lambda: None)
    assert waits == [pytest.approx(DEFAULTS.pong_seconds, abs=0.1)]


def test_f3_garbage_ends_the_conversation(manager: RelayManager, relay: Relay) -> None:
    conversation = begun(manager, relay, [b"garbage"] * 100)
    with pytest.raises(TooMuchGarbageError):
        conversation._read()
    assert relay.num_invalid_messages == DEFAULTS.garbage_messages + 1
    assert not manager.message_pool.turn.locked()


def test_f5_what_was_refused_for_want_of_a_key_is_answered_after_auth(
    manager: RelayManager, relay: Relay
) -> None:
    manager.identity = KEY
    for accepted in (True, False):
        conversation = begun(manager, relay, [])
        inbox, event = Inbox(), signed(f"accepted: {accepted}")
        manager.publish(event, inbox)
        manager.take_events(relay, 10)

        conversation.hear(ok(event.id, False, "auth-required: who?"), burst())
        assert inbox.items == [], "it may end otherwise"

        conversation.hear(b'["AUTH","challenge"]', burst())
        [text] = conversation._session.output
        verb, answer = json.loads(text)
        assert (verb, answer["kind"]) == ("AUTH", 22242)
        assert answer["tags"] == [["relay", URL], ["challenge", "challenge"]]
        assert relay.asks_who_we_are

        conversation.hear(ok(answer["id"], accepted, "restricted: no"), burst())
        if accepted:
            assert inbox.items == []
            assert manager.take_events(relay, 10)[0] == [event], "sent again"
            conversation.hear(ok(event.id, True, ""), burst())
            assert inbox.items == [Verdict(event.id, True, "")]
        else:
            assert inbox.items == [Verdict(event.id, False, "auth-required: who?")]
            assert relay.error_list == ["AUTH refused: restricted: no"]


def test_f5_nobody_is_refused_at_once(manager: RelayManager, relay: Relay) -> None:
    conversation = begun(manager, relay, [])
    inbox, event = Inbox(), signed()
    manager.publish(event, inbox)
    manager.take_events(relay, 10)
    conversation.hear(b'["AUTH","challenge"]', burst())
    assert conversation._session.output == []
    conversation.hear(ok(event.id, False, "auth-required: who?"), burst())
    assert inbox.items == [Verdict(event.id, False, "auth-required: who?")]


def test_f5_a_flood_of_refusals_for_want_of_auth_is_bounded(
    manager: RelayManager, relay: Relay
) -> None:
    manager.identity = KEY
    conversation = begun(manager, relay, [])
    for number in range(3 * MOST_REFUSED):
        conversation.hear(ok(f"{number:064x}", False, "auth-required: who?"), burst())
    assert len(conversation._refused_unauthenticated) == MOST_REFUSED


def ok(event_id: str, accepted: bool, text: str) -> bytes:
    return json.dumps(["OK", event_id, accepted, text]).encode()
