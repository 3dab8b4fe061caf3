"""What the admin sees and changes over REST, and what misuse is answered."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from nostrclient.nostr.key import PrivateKey

from .clients import Author, wait_until
from .conftest import Connect


def test_relay_is_listed_with_its_state(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    for shown in lnbits.api("GET", "/relays"):
        status = shown["status"]
        assert status["errors"] == sorted(
            status["errors"], key=lambda item: item["at"], reverse=True
        )
        assert [item["text"] for item in status["errors"]] == status["error_list"]
        assert 0 <= time.time() - status["since"] < 3600
        assert status["asks_who_we_are"] is False
    wait_until(
        lambda: all(
            shown["status"]["round_trips_ms"] for shown in lnbits.api("GET", "/relays")
        ),
        "every relay has answered a ping",
    )


def test_e6_relay_that_is_added_three_times_at_once_is_one_relay(
    lnbits: LnbitsServer, extra_relay: LocalRelay
) -> None:
    def add() -> int:
        path = "/nostrclient/api/v1/relay"
        return lnbits.http.post(path, json={"url": extra_relay.url}).status_code

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(add) for _ in range(3)]
    assert sorted(answer.result() for answer in answers) == [200, 400, 400]
    shown = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    assert shown.count(extra_relay.url) == 1
    lnbits.api("DELETE", "/relay", {"url": extra_relay.url})
    shown = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    assert extra_relay.url not in shown


def test_a_relay_that_refuses_connections_says_so_in_plain_words(
    lnbits: LnbitsServer, extra_relay: LocalRelay
) -> None:
    extra_relay.stop()
    lnbits.api("POST", "/relay", {"url": extra_relay.url})

    def errors() -> list[str]:
        return [
            item["text"]
            for shown in lnbits.api("GET", "/relays")
            if shown["url"] == extra_relay.url
            for item in shown["status"]["errors"]
        ]

    wait_until(lambda: bool(errors()), "it was tried")
    assert errors()[0] == "connection refused"

    lnbits.api("PUT", "/relay", {"url": extra_relay.url, "active": False})
    (shown,) = (
        item for item in lnbits.api("GET", "/relays") if item["url"] == extra_relay.url
    )
    assert shown["status"]["retry_in_seconds"] is None, "no try is due"


def test_the_clients_and_what_they_did(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    before = {client["id"] for client in lnbits.api("GET", "/clients")}
    connect().subscribe("a", {"authors": [author.pubkey]})
    (shown,) = [
        client for client in lnbits.api("GET", "/clients") if client["id"] not in before
    ]
    assert shown["endpoint"] == "public"
    assert shown["address"] == "127.0.0.1"
    assert (shown["subscriptions"], shown["received"], shown["dropped"]) == (1, 1, 0)
    assert shown["sent"] >= 1
    assert abs(time.time() - shown["since"]) < 60


def test_settings_are_changed_by_name_and_forgotten_at_their_default(
    lnbits: LnbitsServer,
) -> None:
    before = lnbits.api("GET", "/config")["settings"]
    try:
        changed = {"ping_seconds": 15, "public.connections": 90}
        stored = lnbits.api("PUT", "/config", {"settings": changed})["settings"]
        assert stored == {**before, **changed}
        shown = {item["name"]: item for item in lnbits.api("GET", "/settings")}
        sentence = shown["ping_seconds"].pop("description")
        assert sentence.startswith("Time between two pings")
        assert shown["ping_seconds"] == {
            "name": "ping_seconds",
            "group": "Connections to relays",
            "value": 15,
            "default": 20,
            "in_force": 20,
            "unit": "seconds",
            "integer": False,
        }
        assert shown["public.connections"]["value"] == 90
        assert shown["private.connections"]["value"] == 1000
    finally:
        default = {"ping_seconds": 20, "public.connections": 100}
        stored = lnbits.api("PUT", "/config", {"settings": default}).get("settings")
    assert stored == before


def test_the_outbox_is_listed_tried_again_and_given_up(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    for relay in relays:
        relay.stop()
    event = author.event("waits")
    assert connect().publish(event)[1].startswith("queued:")
    (shown,) = [
        item for item in lnbits.api("GET", "/outbox") if item["event_id"] == event["id"]
    ]
    assert abs(time.time() - shown["since"]) < 60
    assert 7 * 86400 - 60 < shown["expires_in_seconds"] <= 7 * 86400
    lnbits.api("PUT", f"/outbox/{event['id']}")
    waiting = lnbits.api("PUT", "/outbox")
    assert [item["event_id"] for item in waiting] == [event["id"]]
    lnbits.api("DELETE", f"/outbox/{event['id']}")
    given_up = lnbits.api("GET", "/outbox/undeliverable")[0]
    assert given_up["event_id"] == event["id"]
    assert given_up["pubkey"] == author.pubkey
    assert given_up["reason"] == "error: discarded by the operator"
    assert abs(time.time() - given_up["at"]) < 60
    for method in ("PUT", "DELETE"):
        answer = lnbits.http.request(
            method, f"/nostrclient/api/v1/outbox/{event['id']}"
        )
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "No such event waits.",
        )


@pytest.mark.parametrize("spelling", ["nsec", "NSEC", "hex", "HEX"])
def test_a6_the_test_message_is_signed_with_the_key_it_is_given(
    lnbits: LnbitsServer, author: Author, spelling: str
) -> None:
    key = PrivateKey()
    spelled = {
        "nsec": key.bech32(),
        "NSEC": key.bech32().upper(),
        "hex": key.hex(),
        "HEX": key.hex().upper(),
    }[spelling]
    made = lnbits.api(
        "PUT",
        "/relay/test",
        {
            "sender_private_key": f" {spelled}\n",
            "reciever_public_key": author.pubkey,
            "message": "hello",
        },
    )
    assert made["private_key"] == key.hex()
    _, event = json.loads(made["event_json"])
    assert event["pubkey"] == key.public_key.hex()


def test_a6_a_bad_sender_s_key_is_refused_and_not_repeated(
    lnbits: LnbitsServer, author: Author
) -> None:
    key = PrivateKey()
    mistyped = key.bech32()[:-1] + ("q" if key.bech32()[-1] != "q" else "p")
    spaced = " ".join([key.hex()[:30], key.hex()[30:60], "00"])
    for bad in [
        mistyped,
        mistyped.upper(),
        key.bech32()[:-1],
        key.hex()[:-1],
        key.hex()[:-1] + "g",
        spaced,
        f"{key.hex()}00",
        "f" * 64,
    ]:
        answer = lnbits.http.put(
            "/nostrclient/api/v1/relay/test",
            json={
                "sender_private_key": bad,
                "reciever_public_key": author.pubkey,
                "message": "hello",
            },
        )
        assert answer.status_code == 400, bad
        assert "key" in answer.json()["detail"] or "nsec" in answer.json()["detail"]
        for said in (answer.text, lnbits.printed()):
            for secret in (key.hex()[:30], key.bech32()[:30]):
                assert secret not in said.lower()
