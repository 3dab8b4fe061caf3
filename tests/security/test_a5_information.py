"""Rule A5: what the endpoint says about itself, to programs and to people."""

from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from tests.e2e.clients import Client

from .relays import HostileRelay, polite, wait_until

NIP_11 = "application/nostr+json"
CORS = ["Origin", "Headers", "Methods"]


def get(lnbits: LnbitsServer, accept: str | None, ending: str = "") -> httpx.Response:
    url = lnbits.public_url.replace("ws", "http", 1) + ending
    headers = {"Origin": "https://example.com"}
    if accept is not None:
        headers["Accept"] = accept
    return httpx.get(url, headers=headers)


@pytest.mark.parametrize(
    "accept",
    [
        NIP_11,
        f"{NIP_11}; charset=utf-8",
        f"text/html;q=0.5, {NIP_11};q=0.9",
        f"text/plain,{NIP_11}",
        NIP_11.upper(),
    ],
)
@pytest.mark.parametrize("ending", ["", "/", "?x=1"])
def test_a5_programs_get_the_document(
    lnbits: LnbitsServer, accept: str, ending: str
) -> None:
    answer = get(lnbits, accept, ending)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(NIP_11)
    for name in CORS:
        assert answer.headers[f"Access-Control-Allow-{name}"] == "*"
    document = answer.json()
    assert document["nostrclient_instance"]
    assert document["supported_nips"] == [1, 11, 40, 67]


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/json", ""])
def test_a5_people_get_a_page(lnbits: LnbitsServer, accept: str | None) -> None:
    answer = get(lnbits, accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "Nostr" in answer.text


def test_a5_other_addresses_are_not_found(lnbits: LnbitsServer) -> None:
    for path in ["nonsense", "relayx", "a/b"]:
        answer = lnbits.http.get(f"/nostrclient/api/v1/{path}")
        assert answer.status_code == 404


def test_a5_the_limitation_is_what_is_enforced(lnbits: LnbitsServer) -> None:
    limitation = get(lnbits, NIP_11).json()["limitation"]
    client = Client(lnbits.public_url)
    try:
        most = limitation["max_subid_length"]
        assert client.subscribe("x" * most, {"limit": 1}) is not None
        client.send("REQ", "x" * (most + 1), {"limit": 1})
        assert client.receive()[0] == "CLOSED"

        filters = [{"kinds": [number]} for number in range(limitation["max_filters"])]
        client.subscribe("most", *filters)
        client.send("REQ", "more", *filters, {"kinds": [99]})
        assert client.receive()[:2] == ["CLOSED", "more"]

        for number in range(limitation["max_subscriptions"] - 2):
            client.subscribe(f"{number}", {"ids": ["0" * 64]})
        client.send("REQ", "one too many", {"ids": ["0" * 64]})
        assert client.receive()[:2] == ["CLOSED", "one too many"]

        size = limitation["max_message_length"]
        client.send_text(padded(size))
        assert client.expect("OK")[3].startswith("invalid: the event has no")
        client.send_text(padded(size + 1))
        assert "larger" in client.expect("OK")[3]
    finally:
        client.close()


def padded(size: int) -> str:
    """Give an EVENT message of so many bytes, which carries no event."""
    head, tail = f'["EVENT",{{"id":"{"0" * 64}","x":"', '"}]'
    return head + "x" * (size - len(head) - len(tail)) + tail


def test_a5_the_private_endpoint_states_its_own_limits(lnbits: LnbitsServer) -> None:
    for urlsafe in (True, False):
        url = lnbits.private_url(urlsafe=urlsafe).replace("ws", "http", 1)
        answer = httpx.get(url, headers={"Accept": NIP_11})
        assert answer.json()["limitation"]["max_subscriptions"] == 500


# --- F1: by it we recognise ourselves


@pytest.mark.parametrize("endpoint", ["public", "private"])
def test_f1_our_own_endpoint_under_another_name_is_refused(
    lnbits: LnbitsServer, endpoint: str
) -> None:
    own = lnbits.public_url if endpoint == "public" else lnbits.private_url()
    url = own.replace("127.0.0.1", "localhost")
    answer = lnbits.http.post("/nostrclient/api/v1/relay", json={"url": url})
    assert answer.status_code == 400
    assert "own" in answer.json()["detail"]


def test_f1_relay_that_is_our_own_endpoint_is_left(lnbits: LnbitsServer) -> None:
    """It speaks for somebody else when it is added, and for us from then on."""
    instance = get(lnbits, NIP_11).json()["nostrclient_instance"]
    told = iter(["somebody else"])

    def document() -> dict[str, str]:
        return {"nostrclient_instance": next(told, instance)}

    with HostileRelay(polite, document=document) as relay:
        lnbits.api("POST", "/relay", {"url": relay.url})

        def shown() -> dict[str, Any]:
            (found,) = [
                known
                for known in lnbits.api("GET", "/relays")
                if known["url"] == relay.url
            ]
            return dict(found)

        wait_until(lambda: shown()["active"] is False, "it is left")
        assert "own endpoint" in shown()["status"]["error_list"][0]
        lnbits.api("DELETE", "/relay", {"url": relay.url})
