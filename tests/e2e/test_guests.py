"""H5: rules for guests of the public endpoint, as a running LNbits holds to them."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from nostrclient.nostr.event import Event
from nostrclient.nostr.key import PrivateKey, PublicKey

from .clients import Author, Client, handshake_status, wait_until
from .conftest import EVERYBODY, Connect


@pytest.fixture
def server(lnbits: LnbitsServer) -> Iterator[LnbitsServer]:
    yield lnbits
    lnbits.api("PUT", "/config", {"guests": EVERYBODY})


def set_rules(server: LnbitsServer, **rules: Any) -> dict[str, Any]:
    config: dict[str, Any] = server.api(
        "PUT", "/config", {"guests": {**EVERYBODY, **rules}}
    )
    return config


def information(server: LnbitsServer) -> dict[str, Any]:
    answer = httpx.get(
        server.public_url.replace("ws", "http", 1),
        headers={"Accept": "application/nostr+json"},
    )
    found: dict[str, Any] = answer.json()
    return found


def authenticate(client: Client, server: LnbitsServer, author: Author) -> None:
    wait_until(lambda: client.count("AUTH") > 0, "a challenge comes")
    challenge = next(item[1] for item in client.received if item[0] == "AUTH")
    tags = [["relay", server.public_url], ["challenge", challenge]]
    event = Event("", None, int(time.time()), 22242, tags)
    PrivateKey.from_nsec(author.nsec).sign_event(event)
    client.send("AUTH", event.to_dict())
    assert client.expect("OK", event.id)[2] is True


def test_h5_reading_and_publishing_need_auth_where_the_operator_says_so(
    server: LnbitsServer, connect: Connect
) -> None:
    friend, stranger = Author(), Author()
    npub = PublicKey.from_hex(friend.pubkey).bech32()
    before = information(server)["limitation"]
    assert (before["auth_required"], before["restricted_writes"]) == (False, False)
    listener = connect()
    assert listener.subscribe("open", {"authors": [friend.pubkey]}) == []
    config = set_rules(
        server, auth_to_read=True, auth_to_publish=True, allow_pubkeys=[npub]
    )
    assert config["guests"]["allow_pubkeys"] == [npub]
    closed = listener.expect("CLOSED", "open")
    assert closed[2].startswith("auth-required:")
    assert listener.count("AUTH") == 1, "a challenge came with the rules, or before"
    told = information(server)
    assert told["limitation"]["auth_required"] is True
    assert told["limitation"]["restricted_writes"] is True
    assert 42 in told["supported_nips"]

    event = friend.event("from a friend")
    assert listener.publish(event)[1].startswith("auth-required:")
    guest = connect()
    authenticate(guest, server, friend)
    assert guest.publish(event)[0] is True
    found = guest.subscribe("again", {"authors": [friend.pubkey]})
    assert [item["id"] for item in found] == [event["id"]]

    other = connect()
    authenticate(other, server, stranger)
    assert other.publish(stranger.event("hello"))[1].startswith("restricted:")

    # The private endpoint and users over HTTP are not guests.
    private = connect(server.private_url())
    assert private.publish(stranger.event("private"))[0] is True
    user = server.new_user()
    body = {"event": stranger.event("user"), "wait": 2}
    answer = user.post("/nostrclient/api/v1/publish", json=body)
    assert answer.json()["accepted"] is True

    config = set_rules(server)
    assert "guests" not in config
    assert connect().publish(stranger.event("open again"))[0] is True


def test_h5_denied_kinds_hold_for_users_over_http_too(server: LnbitsServer) -> None:
    set_rules(server, deny_kinds=["30000-39999"])
    author = Author()
    event = author.event("x", kind=30017, tags=[["d", "x"]])
    user = server.new_user()
    answer = user.post("/nostrclient/api/v1/publish", json={"event": event}).json()
    assert answer["state"] == "refused"
    assert answer["message"] == "blocked: events of kind 30017 are not accepted here"


def test_h5_denied_address_is_disconnected_and_gets_403(
    server: LnbitsServer, connect: Connect
) -> None:
    client = connect()
    set_rules(server, deny_addresses=["127.0.0.0/8"])
    wait_until(client.is_closed, "it is disconnected")
    assert handshake_status(server.public_url) == 403
    set_rules(server, allow_addresses=["127.0.0.1", "192.0.2.0/24"])
    assert connect().publish(Author().event("admitted"))[0] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"allow_pubkeys": ["npub1"]},
        {"deny_kinds": ["70000"]},
        {"allow_addresses": ["nowhere"]},
        {"deny_kinds": [str(number) for number in range(1001)]},
    ],
)
def test_h5_wrong_rules_are_refused_with_a_reason(
    server: LnbitsServer, wrong: dict[str, Any]
) -> None:
    answer = server.http.put("/nostrclient/api/v1/config", json={"guests": wrong})
    assert answer.status_code == 400
    assert answer.json()["detail"]
