"""A9: the operator's name, icon and address on the public endpoint."""

from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer

from .clients import Author

EMPTY = dict.fromkeys(
    ("name", "description", "icon", "contact", "pubkey", "terms", "public_url"), ""
)


@pytest.fixture
def face(lnbits: LnbitsServer) -> Any:
    """Set a face; remove it afterwards."""
    fields = {"name": "Our relay", "public_url": "wss://relay.example/"}
    yield lnbits.api("PUT", "/config", {"face": fields})["face"]
    lnbits.api("PUT", "/config", {"face": EMPTY})
    assert "face" not in lnbits.api("GET", "/config")


def document(url: str) -> dict[str, Any]:
    http = url.replace("ws", "http", 1)
    answer = httpx.get(http, headers={"Accept": "application/nostr+json"})
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


def test_a9_public_endpoint_presents_itself_as_the_operator_says(
    lnbits: LnbitsServer, face: dict[str, str]
) -> None:
    assert face == EMPTY | {"name": "Our relay", "public_url": "wss://relay.example"}
    author = Author()
    changed = lnbits.api("PUT", "/config", {"face": {"pubkey": author.pubkey}})
    assert changed["face"]["name"] == "Our relay", "what is not named stays"
    told = document(lnbits.public_url)
    assert told["name"] == "Our relay"
    assert told["pubkey"] == author.pubkey
    assert document(lnbits.private_url())["name"] == "nostrclient"
    page = httpx.get(lnbits.public_url.replace("ws", "http", 1)).text
    assert "Our relay" in page
    assert "wss://relay.example" in page
    assert "State: open" in page
    lnbits.api("PUT", "/config", {"public_ws": False})
    page = httpx.get(lnbits.public_url.replace("ws", "http", 1)).text
    assert "State: closed" in page
    lnbits.api("PUT", "/config", {"public_ws": True})
    assert lnbits.api("GET", "/endpoints")["public_url"] == "wss://relay.example"


def test_f1_endpoint_s_own_address_is_no_relay(
    lnbits: LnbitsServer, face: dict[str, str]
) -> None:
    answer = lnbits.http.post(
        "/nostrclient/api/v1/relay", json={"url": face["public_url"]}
    )
    assert answer.status_code == 400
    assert "own endpoint" in answer.json()["detail"]


def test_a9_wrong_field_is_refused_and_nothing_changes(lnbits: LnbitsServer) -> None:
    body = {"face": {"name": "x", "icon": "javascript:alert(1)"}}
    answer = lnbits.http.put("/nostrclient/api/v1/config", json=body)
    assert answer.status_code == 400
    assert "icon" in answer.json()["detail"]
    assert "face" not in lnbits.api("GET", "/config")
