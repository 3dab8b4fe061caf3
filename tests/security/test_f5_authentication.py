"""Rule F5: relays that demand to know who we are, and the key that says it (NIP-42)."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from nostrclient.nostr.delivery import Closed, Delivered, PublishResult
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import Settings

from .auth_relay import AuthRelay
from .relays import HostileRelay, Reader, managed, say, signed, wait_until


@contextmanager
def connected(url: str, identity: PrivateKey | None) -> Iterator[RelayManager]:
    """Run a RelayManager with one relay and this identity."""
    manager = RelayManager(Settings(answer_seconds=1))
    manager.identity = identity
    relay = manager.add_relay(url)
    manager.start()
    try:
        # The outbox hears of it a moment after the relay says so itself.
        outbox = manager.publisher.outbox.relays
        wait_until(lambda: outbox[relay.url].connected, "it is connected")
        yield manager
    finally:
        manager.stop()


def publish(manager: RelayManager, reader: Reader) -> PublishResult:
    """Publish a new event and wait for what its publisher is told."""
    event = SignedEvent.parse(json.dumps(signed()))
    manager.publisher.publish(event, reader.mailbox)
    return verdict_on(manager, reader, event.id)


def verdict_on(manager: RelayManager, reader: Reader, event_id: str) -> PublishResult:
    def verdicts() -> list[PublishResult]:
        reader.take()
        manager.step()
        return [
            item
            for item in reader.items
            if isinstance(item, PublishResult) and item.event_id == event_id
        ]

    wait_until(lambda: bool(verdicts()), "there is an OK")
    (verdict,) = verdicts()
    return verdict


def closed(reader: Reader) -> list[Closed]:
    reader.take()
    return [item for item in reader.items if isinstance(item, Closed)]


@pytest.mark.parametrize("mode", ["read", "write", "both"])
def test_f5_with_a_key_reading_and_writing_work(mode: str) -> None:
    with AuthRelay(mode) as relay, connected(relay.url, PrivateKey()) as manager:
        reader = Reader(manager, {"kinds": [1]})
        for _ in range(3):
            verdict = publish(manager, reader)
            assert verdict.accepted
            assert not verdict.message.startswith("queued:"), verdict
        assert len(reader.wait_for_events(3)) == 3
        assert closed(reader) == []


@pytest.mark.parametrize("mode", ["read", "both"])
def test_f5_without_a_key_reading_is_closed_for_good(mode: str) -> None:
    with AuthRelay(mode) as relay, connected(relay.url, None) as manager:
        reader = Reader(manager, {"kinds": [1]})
        wait_until(lambda: bool(closed(reader)), "it is closed")
        (reason,) = closed(reader)
        assert reason.message.startswith("auth-required:")


@pytest.mark.parametrize("mode", ["write", "both"])
def test_f5_without_a_key_writing_is_refused_for_good(mode: str) -> None:
    with AuthRelay(mode) as relay, connected(relay.url, None) as manager:
        reader = Reader(manager, {"kinds": [1]})
        verdict = publish(manager, reader)
        assert not verdict.accepted
        assert verdict.message.startswith("auth-required:")
        assert manager.publisher.waiting_events() == []


def test_f5_a_key_given_later_opens_the_relay() -> None:
    with AuthRelay("both") as relay, connected(relay.url, None) as manager:
        known = manager.relays[relay.url]
        other = Reader(manager, {"kinds": [1]})
        wait_until(lambda: bool(closed(other)), "it is closed")
        manager.set_identity(PrivateKey())
        wait_until(lambda: known.connections == 2 and known.connected, "it is back")
        reader = Reader(manager, {"kinds": [1]})
        assert publish(manager, reader).accepted
        assert len(reader.wait_for_events(1)) == 1
        manager.set_identity(None)
        wait_until(lambda: known.connections == 3 and known.connected, "back again")
        assert not publish(manager, reader).accepted


class Doorkeeper:
    """A relay that challenges, notes what it is answered and never lets anybody in."""

    def __init__(self, accepts: bool) -> None:
        self.accepts = accepts
        self.answers: list[dict[str, Any]] = []

    def opened(self, connection: ServerConnection) -> None:
        say(connection, "AUTH", "the challenge")

    def script(
        self, relay: HostileRelay, connection: ServerConnection, message: list[Any]
    ) -> None:
        if message[0] == "AUTH":
            self.answers.append(message[1])
            say(connection, "OK", message[1]["id"], self.accepts, "")
        elif message[0] == "EVENT":
            say(connection, "OK", message[1]["id"], False, "auth-required: who are you")
        elif message[0] == "REQ":
            say(connection, "CLOSED", message[1], "auth-required: who are you")


@pytest.mark.parametrize("accepts", [True, False])
def test_f5_a_relay_that_is_never_content_is_not_asked_for_ever(accepts: bool) -> None:
    keeper = Doorkeeper(accepts)
    identity = PrivateKey()
    with (
        HostileRelay(keeper.script, opened=keeper.opened) as relay,
        connected(relay.url, identity) as manager,
    ):
        reader = Reader(manager, {"kinds": [1]})
        verdict = publish(manager, reader)
        assert not verdict.accepted, verdict
        assert verdict.message.startswith("auth-required:")
        wait_until(lambda: bool(closed(reader)), "it is closed")
        time.sleep(0.5)
        assert len(relay.verbs("REQ")) <= 2
        assert len(relay.verbs("EVENT")) <= 2
        (answer,) = keeper.answers
        assert answer["kind"] == 22242
        assert answer["pubkey"] == identity.public_key.hex()
        assert ["relay", relay.url] in answer["tags"]
        assert ["challenge", "the challenge"] in answer["tags"]
        SignedEvent.parse(json.dumps(answer))


def test_f5_a_challenge_without_a_key_is_answered_with_nothing() -> None:
    keeper = Doorkeeper(accepts=True)
    with (
        HostileRelay(keeper.script, opened=keeper.opened) as relay,
        managed(relay) as manager,
    ):
        reader = Reader(manager, {"kinds": [1]})
        wait_until(lambda: bool(closed(reader)), "it is closed")
        assert keeper.answers == []
        assert not [item for item in reader.items if isinstance(item, Delivered)]
