"""Rules A: the endpoints, who may use them, and the REST interface."""

import json
import time
from typing import Any

import httpx
import pytest
import websocket

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, handshake_status, wait_until
from .conftest import Connect, FreshInstall, connected_urls

IDS = 40
"""How many private ids of each alphabet are tried."""


def id_with(lnbits: LnbitsServer, characters: str, *, urlsafe: bool) -> str:
    """Make private ids until one contains all of these characters."""
    while True:
        made = lnbits.private_id(urlsafe=urlsafe)
        if all(character in made for character in characters):
            return made


# --- A1, A2, A3: which URLs open


def test_a1_the_public_endpoint_opens(lnbits: LnbitsServer) -> None:
    assert handshake_status(lnbits.public_url) == 101


@pytest.mark.parametrize("urlsafe", [True, False])
def test_a2_every_private_id_opens(lnbits: LnbitsServer, urlsafe: bool) -> None:
    urls = {lnbits.private_url(urlsafe=urlsafe) for _ in range(IDS)}
    assert len(urls) == IDS
    assert {handshake_status(url) for url in urls} == {101}


@pytest.mark.parametrize(
    ("characters", "urlsafe"), [("/+=", False), ("/", False), ("_-", True)]
)
def test_a2_ids_with_awkward_characters_work(
    lnbits: LnbitsServer,
    connect: Connect,
    author: Author,
    characters: str,
    urlsafe: bool,
) -> None:
    made = id_with(lnbits, characters, urlsafe=urlsafe)
    client = connect(f"{lnbits.websocket_url}/{made}")
    client.subscribe("s", {"authors": [author.pubkey]})
    event = author.event("through an awkward URL")
    client.send("EVENT", event)
    assert client.expect("EVENT", "s")[2] == event


@pytest.mark.parametrize("ending", ["/", "?x=1", "/?x=1", "?token=a/b&c=d%2F"])
@pytest.mark.parametrize("endpoint", ["public", "urlsafe", "standard"])
def test_a3_slash_and_query_make_no_difference(
    lnbits: LnbitsServer, connect: Connect, endpoint: str, ending: str
) -> None:
    url = {
        "public": lambda: lnbits.public_url,
        "urlsafe": lambda: lnbits.private_url(urlsafe=True),
        "standard": lambda: lnbits.private_url(urlsafe=False),
    }[endpoint]()
    client = connect(url + ending)
    assert client.subscribe("s", {"ids": ["0" * 64]}) == []


# --- A4: refusing


def test_a4_a_fresh_install_is_open_privately_and_closed_publicly(
    fresh_install: FreshInstall,
) -> None:
    assert fresh_install.private_status == 101
    assert fresh_install.public_status == 403


def test_a4_the_first_put_needs_no_get_before_it(fresh_install: FreshInstall) -> None:
    expected = {"private_ws": True, "public_ws": True}
    assert fresh_install.config_after_put.items() >= expected.items()
    assert fresh_install.config.items() >= expected.items()
    assert fresh_install.relays == []


def test_a4_a_wrong_private_id_gets_403(lnbits: LnbitsServer) -> None:
    wrong = lnbits.private_id(text="something else")
    right = lnbits.private_id()
    for bad in [wrong, right[:-6], right[6:], "x", "relayx", "a/b/c", "%00", "%C3%A4"]:
        assert handshake_status(f"{lnbits.websocket_url}/{bad}") == 403, bad


@pytest.mark.parametrize("endpoint", ["public", "private"])
def test_a4_closing_an_endpoint_closes_its_sockets_only(
    lnbits: LnbitsServer, connect: Connect, endpoint: str
) -> None:
    clients = {
        "public": connect(lnbits.public_url, "public"),
        "private": connect(lnbits.private_url(), "private"),
    }
    closed = clients.pop(endpoint)
    (other,) = clients.values()

    lnbits.api("PUT", "/config", {f"{endpoint}_ws": False})

    wait_until(lambda: not closed.open, "its socket is closed")
    url = lnbits.public_url if endpoint == "public" else lnbits.private_url()
    assert handshake_status(url) == 403
    assert other.subscribe("s", {"ids": ["0" * 64]}) == []

    lnbits.api("PUT", "/config", {f"{endpoint}_ws": True})
    assert handshake_status(url) == 101
    assert other.open


def test_a4_closing_an_endpoint_with_many_clients_is_quick(
    lnbits: LnbitsServer, connect: Connect
) -> None:
    clients = [connect(name=f"client {number}") for number in range(10)]
    begun = time.monotonic()
    lnbits.api("PUT", "/config", {"public_ws": False})
    wait_until(lambda: not any(client.open for client in clients), "all are closed")
    # One client may take two seconds over its goodbye, but not one after the other.
    assert time.monotonic() - begun < 10


# --- A6: REST

REST = [
    ("GET", "/relays", None),
    ("POST", "/relay", {"url": "ws://127.0.0.1:9"}),
    ("DELETE", "/relay", {"url": "ws://127.0.0.1:9"}),
    ("PUT", "/relay/test", {"reciever_public_key": "0" * 64, "message": "x"}),
    ("GET", f"/relay/test/{'0' * 64}", None),
    ("GET", "/config", None),
    ("PUT", "/config", {"public_ws": True}),
    ("PUT", "/relay", {"url": "ws://127.0.0.1:9", "active": False}),
    ("GET", "/outbox", None),
    ("PUT", "/outbox", None),
    ("GET", "/outbox/undeliverable", None),
    ("PUT", f"/outbox/{'0' * 64}", None),
    ("DELETE", f"/outbox/{'0' * 64}", None),
    ("GET", "/clients", None),
    ("GET", "/settings", None),
    ("GET", "/identity", None),
    ("PUT", "/identity", {"generate": True}),
    ("DELETE", "/identity", None),
    ("POST", "/live", None),
    ("GET", "/metrics", None),
    ("GET", "/endpoints", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REST)
def test_a6_rest_is_for_the_admin_only(
    lnbits: LnbitsServer, method: str, path: str, body: object
) -> None:
    url = f"{lnbits.extension_url}/api/v1{path}"
    nobody = httpx.request(method, url, json=body)
    assert nobody.status_code == 401
    wrong = {"Authorization": "Bearer nonsense"}
    assert httpx.request(method, url, json=body, headers=wrong).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"), [call for call in REST if call[1] != "/relays"]  # A7
)
def test_a6_rest_is_not_for_other_users(
    lnbits: LnbitsServer, method: str, path: str, body: object
) -> None:
    user = lnbits.new_user()
    answer = user.request(method, f"/nostrclient/api/v1{path}", json=body)
    assert answer.status_code == 403


def test_a6_a_relay_can_be_added_seen_and_removed(
    lnbits: LnbitsServer, extra_relay: LocalRelay
) -> None:
    added = lnbits.api("POST", "/relay", {"url": extra_relay.url})
    assert isinstance(added, list)
    (mine,) = [relay for relay in added if relay["url"] == extra_relay.url]
    assert isinstance(mine["id"], str)
    assert mine["active"] is True

    wait_until(lambda: extra_relay.url in connected_urls(lnbits), "it is connected")
    (shown,) = [
        relay
        for relay in lnbits.api("GET", "/relays")
        if relay["url"] == extra_relay.url
    ]
    assert_upstream_shape(shown)

    assert lnbits.api("DELETE", "/relay", {"url": extra_relay.url}) is None
    urls = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    assert extra_relay.url not in urls


def assert_upstream_shape(relay: dict[str, Any]) -> None:
    """Check the fields that existing front ends read."""
    assert isinstance(relay["id"], str)
    assert isinstance(relay["connected"], bool)
    assert isinstance(relay["active"], bool)
    assert isinstance(relay["ping"], int)
    status = relay["status"]
    for counter in ["num_sent_events", "num_received_events", "error_counter"]:
        assert isinstance(status[counter], int), counter
    assert isinstance(status["error_list"], list)
    assert isinstance(status["notice_list"], list)


def test_a6_a_relay_twice_or_without_url_is_refused(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    for body in [{"url": relays[0].url}, {"url": f"{relays[0].url}/"}, {}, {"url": ""}]:
        answer = lnbits.http.post("/nostrclient/api/v1/relay", json=body)
        assert answer.status_code == 400, body
        assert answer.json()["detail"]
    urls = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    assert sorted(urls) == sorted(relay.url for relay in relays)


def test_a6_put_config_keeps_what_it_does_not_name(lnbits: LnbitsServer) -> None:
    before = lnbits.api("GET", "/config")
    after = lnbits.api("PUT", "/config", {"public_ws": False})
    assert after == before | {"public_ws": False}
    assert lnbits.api("GET", "/config") == after
    assert lnbits.api("PUT", "/config", {"private_ws": True}) == after


def test_a6_the_test_message_is_signed_and_can_be_published(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    made = lnbits.api(
        "PUT",
        "/relay/test",
        {"reciever_public_key": author.pubkey, "message": "hello"},
    )
    assert set(made) >= {"private_key", "public_key", "event_json"}
    assert made["public_key"] == author.pubkey
    assert len(made["private_key"]) == 64
    verb, event = json.loads(made["event_json"])
    assert verb == "EVENT"
    assert event["kind"] == 4
    assert ["p", author.pubkey] in event["tags"]

    client: Client = connect()
    client.subscribe("s", {"kinds": [4], "#p": [author.pubkey]})
    client.send_text(made["event_json"])
    assert client.expect("OK", event["id"])[2] is True
    if not client.count("EVENT", "s"):
        client.expect("EVENT", "s")


def test_a6_the_test_message_refuses_a_bad_key(lnbits: LnbitsServer) -> None:
    answer = lnbits.http.put(
        "/nostrclient/api/v1/relay/test",
        json={"reciever_public_key": "nonsense", "message": "hello"},
    )
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a5_head_and_options_are_answered(lnbits: LnbitsServer) -> None:
    for url in (lnbits.public_url, lnbits.private_url()):
        path = url.replace("ws://", "http://")
        head = lnbits.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        options = lnbits.http.options(path)
        assert options.status_code == 204
        assert options.headers["Access-Control-Allow-Origin"] == "*"


def test_a4b_address_of_a_client_is_the_last_entry_of_the_header(
    lnbits: LnbitsServer,
) -> None:
    for forwarded, address in (
        ("10.9.8.7, 203.0.113.5", "203.0.113.5"),
        ("9" * 7500, "127.0.0.1"),
    ):
        header = {"X-Forwarded-For": forwarded}
        socket = websocket.create_connection(
            lnbits.private_url(), header=header, timeout=10
        )
        shown = [client["address"] for client in lnbits.api("GET", "/clients")]
        assert address in shown
        assert forwarded not in shown
        socket.close()


def test_a2_secret_of_a_private_url_is_not_in_the_log(lnbits: LnbitsServer) -> None:
    url = lnbits.private_url()
    websocket.create_connection(url, timeout=10).close()
    printed = lnbits.printed()
    assert "/nostrclient/api/v1/…" in printed
    assert url.rpartition("/")[2] not in printed
