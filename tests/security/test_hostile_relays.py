"""Rules F3, D8: what a relay sends, however much of it, stays bounded here."""

import json
import socket
import time
from contextlib import suppress
from typing import Any

from websockets.sync.server import ServerConnection

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.message import parse_relay_message
from nostrclient.nostr.publication import Publication

from .relays import (
    HostileRelay,
    Reader,
    managed,
    polite,
    say,
    signed,
    silent,
    wait_until,
)

MIB = 2**20


def raw(opcode: int, data: bytes, *, final: bool = True) -> bytes:
    """Encode a frame as a server sends it (RFC 6455)."""
    head = bytes([opcode | (0x80 if final else 0)])
    assert len(data) < 126
    return head + bytes([len(data)]) + data


def test_d8_a_relay_that_pings_and_never_reads_is_left() -> None:
    """Each ping must be answered; the answers wait, up to a bound."""
    pings = raw(0x9, b"x" * 125) * 100

    def opened(connection: ServerConnection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with connection.protocol_mutex:  # holds up the thread that reads
            deadline = time.monotonic() + 8
            with suppress(OSError):
                while time.monotonic() < deadline:
                    connection.socket.sendall(pings)

    with HostileRelay(silent, opened=opened) as relay:
        numbers = {"relay_unsent_bytes": MIB // 2, "reconnect_seconds": 60.0}
        with managed(relay, **numbers) as manager:
            known = manager.relays[relay.url]
            wait_until(lambda: known.error_counter > 0, "the relay is left")
            assert known.error_list[0] == "it does not read what it is sent"


def test_d8_a_message_in_countless_fragments_is_one_message() -> None:
    part = (raw(0x0, b"ab", final=False) + raw(0x0, b"", final=False)) * 10_000

    def opened(connection: ServerConnection) -> None:
        connection.socket.sendall(raw(0x1, b"[", final=False))
        for _ in range(5):
            connection.socket.sendall(part)
        connection.socket.sendall(raw(0x0, b"]"))

    with HostileRelay(polite, opened=opened) as relay, managed(relay) as manager:
        known = manager.relays[relay.url]
        wait_until(lambda: known.counters.invalid_messages == 1, "it has arrived")
        assert known.connected


def test_f5_a_flood_of_challenges_is_answered_a_few_times() -> None:
    challenges = 3000

    def opened(connection: ServerConnection) -> None:
        for number in range(challenges):
            say(connection, "AUTH", f"challenge {number}")
        say(connection, "NOTICE", "done")

    with HostileRelay(silent, opened=opened) as relay, managed() as manager:
        manager.identity = PrivateKey()
        known = manager.add_relay(relay.url)
        wait_until(lambda: known.notice_list == ["done"], "all were sent")
        wait_until(lambda: len(relay.verbs("AUTH")) >= 5, "some are answered")
        time.sleep(0.3)
        assert len(relay.verbs("AUTH")) <= 8


def test_f5_a_challenge_that_nothing_can_be_signed_for_is_garbage() -> None:
    for challenge in ["\ud800", "x" * 100_000, "a\nb"]:
        text = json.dumps(["AUTH", challenge])
        try:
            parse_relay_message(text)
        except InvalidMessage:
            continue
        raise AssertionError(text)


def test_d6_a_count_is_a_number_that_any_reader_takes() -> None:
    for count in ["true", "-1", "1.5", "9007199254740993", "9" * 400, "null"]:
        text = f'["COUNT","s",{{"count":{count}}}]'
        try:
            parse_relay_message(text)
        except InvalidMessage:
            continue
        raise AssertionError(text)


def test_f3_unasked_events_are_counted_and_keep_the_connection() -> None:
    flood = 20_000
    event = signed()

    def opened(connection: ServerConnection) -> None:
        for _ in range(flood):
            say(connection, "EVENT", "nobody's", event)

    with HostileRelay(polite, opened=opened) as relay, managed(relay) as manager:
        known = manager.relays[relay.url]
        wait_until(lambda: known.counters.unasked_events == flood, "all came")
        assert known.connected
        assert known.error_counter == 0


def test_f3_garbage_sends_a_relay_away_and_hurts_no_other() -> None:
    true = signed()

    def garbage(
        relay: HostileRelay, connection: ServerConnection, message: Any
    ) -> None:
        if message[0] == "REQ":
            for number in range(50):
                say(connection, "EVENT", message[1], true | {"content": f"{number}"})

    def honest(relay: HostileRelay, connection: ServerConnection, message: Any) -> None:
        if message[0] == "REQ":
            wait_until(lambda: left.retry_at is not None, "the other one was left")
            say(connection, "EVENT", message[1], true)
            say(connection, "EOSE", message[1])

    with (
        HostileRelay(garbage) as bad,
        HostileRelay(honest) as good,
        managed(bad, good) as manager,
    ):
        left = manager.relays[bad.url]
        reader = Reader(manager, {})
        reader.wait_for_events(1)
        assert left.status.value == "penalised"
        assert left.retry_at is not None
        assert manager.relays[good.url].connected


def test_b5_a_message_too_long_for_a_relay_does_not_keep_it_from_everybody() -> None:
    """It closes the connection (1009) and has no NIP-11 document to say so before."""
    events = [signed("x" * 200_000), signed("small")]
    filters = {"kinds": [1], "#t": [f"tag {number}" for number in range(20_000)]}

    with HostileRelay(polite, max_size=128 * 1024) as relay:
        numbers = {"reconnect_seconds": 0.1, "answer_seconds": 0.5}
        with managed(relay, **numbers) as manager:
            known = manager.relays[relay.url]
            reader = Reader(manager, filters)
            for event in events:
                parsed = SignedEvent.parse(json.dumps(event))
                manager.publisher.publish(parsed, reader.mailbox)

            def settled() -> bool:
                manager.step()
                return not manager.publisher.outbox.publications

            wait_until(settled, "the long event is given up, the small one is taken")
            wait_until(lambda: known.connected and bool(relay.verbs("REQ")), "REQ")
            connections = known.connections
            time.sleep(1.5)
            assert known.connected
            assert known.connections == connections <= 5
            assert relay.verbs("EVENT")[-1][1] == events[1]


def test_c4_a_deletion_of_thousands_is_compared_in_no_time() -> None:
    key = PrivateKey()
    targets = [["e", f"{number:064x}"] for number in range(5_000)]
    deletion = SignedEvent.parse(json.dumps(signed(kind=5, tags=targets, key=key)))
    other = SignedEvent.parse(json.dumps(signed(key=key)))
    publication = Publication(deletion, 1, True, 0.0, 0.0)
    started = time.perf_counter()
    assert not any(publication.replaces(other) for _ in range(1_000))
    assert time.perf_counter() - started < 0.5
