"""Rules B: what clients send, and that they neither meet nor leave anything behind."""

import secrets

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, wait_until
from .conftest import Connect

NOT_A_MESSAGE = ["nonsense", "", "{}", '{"a":1}', "[]", '"REQ"', "1", '["WHAT"]', "[1]"]


@pytest.mark.parametrize("text", NOT_A_MESSAGE)
def test_b1_invalid_message_gets_a_notice(connect: Connect, text: str) -> None:
    client = connect()
    client.send_text(text)
    assert client.receive()[0] == "NOTICE"
    assert client.subscribe("s", {"ids": ["0" * 64]}) == []


def test_b1_a_binary_frame_gets_a_notice(connect: Connect) -> None:
    client = connect()
    client.send_bytes(b'["REQ","s",{}]')
    assert client.receive()[0] == "NOTICE"
    assert client.subscribe("s", {"ids": ["0" * 64]}) == []


BAD_FILTERS = [
    "nofilter",
    {"kinds": "a"},
    {"kinds": [1.5]},
    {"ids": ["zz"]},
    {"authors": ["A" * 64]},
    {"since": -1},
    {"limit": "many"},
    None,
]


def test_b1_b5_a_bad_req_gets_closed_and_reaches_no_relay(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect
) -> None:
    # A real relay drops the connection that brings it one of these.
    before = connections(lnbits)
    client = connect()
    for number, bad in enumerate(BAD_FILTERS):
        client.send("REQ", f"s{number}", bad)
        verb, subscription_id, reason = client.receive()
        assert (verb, subscription_id) == ("CLOSED", f"s{number}"), bad
        assert reason.startswith("invalid:"), bad
    assert client.subscribe("good", {"ids": ["0" * 64]}) == []
    assert connections(lnbits) == before


def connections(lnbits: LnbitsServer) -> dict[str, tuple[bool, int]]:
    """Tell for each relay whether it is connected and how often it has been."""
    return {
        relay["url"]: (relay["connected"], relay["status"]["connections"])
        for relay in lnbits.api("GET", "/relays")
    }


def test_b2_the_same_id_of_two_clients_does_not_mix(connect: Connect) -> None:
    alice, bob = Author(), Author()
    first, second = connect(name="first"), connect(name="second")
    first.subscribe("same", {"authors": [alice.pubkey]})
    second.subscribe("same", {"authors": [bob.pubkey]})
    publisher = connect(name="publisher")
    for author in [alice, bob]:
        assert publisher.publish(author.event("hello"))[0] is True

    assert first.expect("EVENT", "same")[2]["pubkey"] == alice.pubkey
    assert second.expect("EVENT", "same")[2]["pubkey"] == bob.pubkey
    second.send("CLOSE", "same")
    third = alice.event("again")
    publisher.publish(third)
    assert first.expect("EVENT", "same")[2] == third
    assert second.count("EVENT") == 1


@pytest.mark.parametrize(
    "subscription_id", ['"', "\\", "😀" * 16, " ", "<b>", "x" * 64]
)
def test_b2_an_id_is_any_characters(
    connect: Connect, author: Author, subscription_id: str
) -> None:
    client = connect()
    event = author.event("hello")
    assert client.publish(event)[0] is True
    assert client.subscribe(subscription_id, {"authors": [author.pubkey]}) == [event]
    client.send("CLOSE", subscription_id)


@pytest.mark.parametrize("subscription_id", ["", "x" * 65])
def test_b2_an_id_has_1_to_64_characters(
    connect: Connect, subscription_id: str
) -> None:
    client = connect()
    client.send("REQ", subscription_id, {"limit": 1})
    verb, named, reason = client.receive()
    assert (verb, named) == ("CLOSED", subscription_id)
    assert reason.startswith("invalid:")


def test_b3_a_req_replaces_that_of_the_same_id(connect: Connect) -> None:
    old, new = Author(), Author()
    client, publisher = connect(), connect(name="publisher")
    client.subscribe("s", {"authors": [old.pubkey]})
    client.subscribe("s", {"authors": [new.pubkey]})
    publisher.publish(old.event("unwanted"))
    wanted = new.event("wanted")
    publisher.publish(wanted)
    assert client.expect("EVENT", "s")[2] == wanted
    client.expect_nothing()
    assert client.all_events("s") == [wanted["id"]]


def test_b4_nothing_comes_after_close(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    client, publisher = connect(), connect(name="publisher")
    client.subscribe("s", {"authors": [author.pubkey]})
    client.send("CLOSE", "s")
    # An answer to this means that the CLOSE before it was processed.
    client.subscribe("other", {"ids": ["0" * 64]})
    publisher.publish(author.event("too late"))
    client.expect_nothing()
    assert client.count("EVENT", "s") == 0


@pytest.mark.parametrize("leave", ["close", "vanish"])
def test_b6_a_client_that_goes_away_leaves_nothing(
    lnbits: LnbitsServer, connect: Connect, leave: str
) -> None:
    process = lnbits.process()
    before = lnbits.api("GET", "/status"), process.num_threads(), process.num_fds()
    clients = [connect(name=f"client {number}") for number in range(20)]
    for number, client in enumerate(clients):
        client.send("REQ", "s", {"authors": [secrets.token_hex(32)]})
        client.send("REQ", "t", {"kinds": [number]})
        client.publish(Author().event("in passing"))
    during = lnbits.api("GET", "/status")
    assert during["clients"] == before[0]["clients"] + 20
    assert during["subscriptions"] == before[0]["subscriptions"] + 40

    for client in clients:
        getattr(client, leave)()

    wait_until(
        lambda: lnbits.api("GET", "/status")["clients"] == before[0]["clients"],
        "all clients are gone",
    )
    after = lnbits.api("GET", "/status")
    assert after["subscriptions"] == before[0]["subscriptions"]
    wait_until(
        lambda: process.num_threads() <= before[1] and process.num_fds() <= before[2],
        "their sockets are closed",
    )
