"""Rule F5: the identity key is stored encrypted and never comes back."""

import json
import sqlite3

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import Client

from .auth_relay import AuthRelay
from .relays import signed, wait_until

PATH = "/nostrclient/api/v1/identity"


def everything_rest_says(lnbits: LnbitsServer) -> str:
    """Collect what the admin's calls return, and the log."""
    paths = ["identity", "config", "relays", "outbox", "status"]
    answers = [lnbits.http.get(f"/nostrclient/api/v1/{path}").text for path in paths]
    return "\n".join([*answers, lnbits.printed()])


def stored_config(lnbits: LnbitsServer) -> str:
    """Read what the database has."""
    (file,) = lnbits.data.glob("ext_nostrclient.sqlite3")
    with sqlite3.connect(file) as database:
        ((text,),) = database.execute("SELECT extra FROM config").fetchall()
    return str(text)


@pytest.mark.parametrize("spelling", ["nsec", "hex"])
def test_f5_a_given_key_is_shown_as_npub_only(
    lnbits: LnbitsServer, spelling: str
) -> None:
    key = PrivateKey()
    npub = key.public_key.bech32()
    given = key.bech32() if spelling == "nsec" else key.hex()
    assert lnbits.api("PUT", "/identity", {"nsec": f" {given} "}) == {"npub": npub}
    assert lnbits.api("GET", "/identity") == {"npub": npub}

    # Other configuration neither loses it nor shows it.
    config = lnbits.api("PUT", "/config", {"private_ws": True})
    assert "identity" not in config
    assert lnbits.api("GET", "/identity") == {"npub": npub}
    for text in (everything_rest_says(lnbits), stored_config(lnbits)):
        assert key.hex() not in text
        assert key.bech32() not in text
    assert json.loads(stored_config(lnbits))["identity"]

    assert lnbits.api("DELETE", "/identity") == {"npub": None}
    assert lnbits.api("GET", "/identity") == {"npub": None}
    assert json.loads(stored_config(lnbits))["identity"] is None


def test_f5_a_key_can_be_generated_and_survives_a_restart(lnbits: LnbitsServer) -> None:
    first = lnbits.api("PUT", "/identity", {"generate": True})["npub"]
    second = lnbits.api("PUT", "/identity", {"generate": True})["npub"]
    assert first.startswith("npub1")
    assert first != second
    lnbits.deactivate()
    lnbits.activate()
    wait_until(
        lambda: lnbits.api("GET", "/identity") == {"npub": second}, "it is loaded"
    )
    lnbits.stop()
    lnbits.start()
    assert lnbits.api("GET", "/identity") == {"npub": second}
    lnbits.api("DELETE", "/identity")


def test_f5_a_bad_key_is_refused_and_not_repeated(lnbits: LnbitsServer) -> None:
    key = PrivateKey().bech32()
    for body in [
        {},
        {"nsec": ""},
        {"nsec": key[:-1] + ("q" if key[-1] != "q" else "p")},
        {"nsec": PrivateKey().public_key.bech32()},
        {"nsec": "0" * 64},
        {"nsec": "f" * 64},
        {"nsec": key, "generate": True},
    ]:
        answer = lnbits.http.put(PATH, json=body)
        assert answer.status_code == 400, body
        assert key[10:40] not in answer.text
    assert lnbits.api("GET", "/identity") == {"npub": None}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a6_the_identity_is_the_admins_affair(
    lnbits: LnbitsServer, method: str
) -> None:
    body = {"generate": True} if method == "PUT" else None
    assert httpx.request(method, lnbits.url + PATH, json=body).status_code == 401
    user = lnbits.new_user()
    assert user.request(method, PATH, json=body).status_code == 403


def test_f5_a_relay_that_demands_auth_serves_the_whole_way(
    lnbits: LnbitsServer,
) -> None:
    lnbits.api("PUT", "/identity", {"generate": True})
    (other,) = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    with AuthRelay("both") as relay:
        lnbits.api("POST", "/relay", {"url": relay.url})
        lnbits.api("DELETE", "/relay", {"url": other})
        wait_until(
            lambda: lnbits.api("GET", "/relays")[0]["connected"], "it is connected"
        )
        client = Client(lnbits.public_url)
        event = signed()
        client.subscribe("s", {"ids": [event["id"]]})
        accepted, reason = client.publish(event)
        assert accepted
        assert not reason.startswith("queued:")
        if not client.count("EVENT", "s"):
            client.expect("EVENT", "s")
        client.close()
    lnbits.api("DELETE", "/identity")
