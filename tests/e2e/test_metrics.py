"""Prometheus reads what REST says, with the key of an admin and nobody else's."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, wait_until
from .conftest import Connect

PATH = "/nostrclient/api/v1/metrics"
Numbers = dict[tuple[str, str], float]
"""Values by a name without `nostrclient_`, and a relay or an endpoint."""


def numbers(lnbits: LnbitsServer) -> Numbers:
    """Read all metrics as Prometheus' own library does."""
    answer = lnbits.http.get(PATH).raise_for_status()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name.removeprefix("nostrclient_"), "".join(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def keys_of(client: httpx.Client) -> dict[str, Any]:
    """Make a wallet and give its keys."""
    answer = client.post("/api/v1/wallet", json={"name": "monitoring"})
    wallet: dict[str, Any] = answer.raise_for_status().json()
    return wallet


@pytest.fixture
def nobody(lnbits: LnbitsServer) -> Iterator[httpx.Client]:
    """Somebody who is not signed in."""
    with httpx.Client(base_url=lnbits.url, timeout=30.0) as client:
        yield client


def status_with_key(nobody: httpx.Client, key: str) -> int:
    return nobody.get(PATH, headers={"X-Api-Key": key}).status_code


def test_an_admin_s_admin_key_is_enough(
    lnbits: LnbitsServer, nobody: httpx.Client
) -> None:
    wallet = keys_of(lnbits.http)
    answer = nobody.get(PATH, headers={"X-Api-Key": wallet["adminkey"]})
    assert answer.status_code == 200
    assert "nostrclient_relays 3\n" in answer.text


def test_a_token_that_may_only_read_is_enough(
    lnbits: LnbitsServer, nobody: httpx.Client
) -> None:
    """One that LNbits makes for some paths; it can spend nothing."""
    _, password = lnbits.login
    acl = {"id": "new", "name": "monitoring", "password": password}
    made = lnbits.http.put("/api/v1/auth/acl", json=acl).raise_for_status()
    (acl["id"],) = [
        item["id"]
        for item in made.json()["access_control_list"]
        if item["name"] == "monitoring"
    ]
    path = {"path": "/nostrclient/api/v1", "name": "nostrclient", "read": True}
    granted = {**acl, "endpoints": [path]}
    lnbits.http.put("/api/v1/auth/acl", json=granted).raise_for_status()
    wanted = {
        "acl_id": acl["id"],
        "token_name": "prometheus",
        "password": password,
        "expiration_time_minutes": 60,
    }
    made = lnbits.http.post("/api/v1/auth/acl/token", json=wanted).raise_for_status()
    bearer = {"Authorization": f"Bearer {made.json()['api_token']}"}
    assert nobody.get(PATH, headers=bearer).status_code == 200
    assert nobody.get("/api/v1/wallets", headers=bearer).status_code == 403
    outbox = "/nostrclient/api/v1/outbox"
    assert nobody.get(outbox, headers=bearer).status_code == 200
    assert nobody.put(outbox, headers=bearer).status_code == 403


def test_no_other_key_is(lnbits: LnbitsServer, nobody: httpx.Client) -> None:
    assert nobody.get(PATH).status_code == 401
    assert status_with_key(nobody, "") == 401
    assert status_with_key(nobody, "0" * 32) == 401
    assert status_with_key(nobody, keys_of(lnbits.http)["inkey"]) == 403
    wallet = keys_of(lnbits.new_user())
    assert status_with_key(nobody, wallet["adminkey"]) == 403
    assert status_with_key(nobody, wallet["inkey"]) == 403
    # A wrong key is not made good by a session, nor does it come back.
    answer = lnbits.http.get(PATH, headers={"X-Api-Key": wallet["adminkey"]})
    assert answer.status_code == 403
    assert wallet["adminkey"] not in answer.text
    # One in the URL would be in every log on the way.
    assert nobody.get(PATH, params={"api-key": wallet["adminkey"]}).status_code == 401


STATUS = {
    "named_relays": "named_relays",
    "named_relays_connected": "named_relays_connected",
    "named_events": "named_relays_pending_events",
    "relays": "relays",
    "relays_connected": "relays_connected",
    "subscriptions": "subscriptions",
    "outbox_waiting": "outbox_waiting_events",
    "outbox_undeliverable": "outbox_undeliverable_events_total",
}
RELAY = {
    "connections": "connections_total",
    "num_sent_events": "sent_events_total",
    "num_received_events": "received_events_total",
    "num_duplicate_events": "duplicate_events_total",
    "num_invalid_messages": "invalid_messages_total",
    "num_unasked_events": "unasked_events_total",
    "num_owed_events": "owed_events",
    "num_dropped_events": "dropped_events_total",
    "num_subscriptions": "subscriptions",
    "error_counter": "errors_total",
}


def told_by_rest(lnbits: LnbitsServer) -> Numbers:
    """Give what the metrics should be, by /status, /relays and /clients."""
    status, clients = lnbits.api("GET", "/status"), lnbits.api("GET", "/clients")
    told: Numbers = {(name, ""): status[field] for field, name in STATUS.items()}
    for relay in lnbits.api("GET", "/relays"):
        of_relay = {name: relay["status"][field] for field, name in RELAY.items()} | {
            "active": int(relay["active"]),
            "connected": int(relay["connected"]),
        }
        for name, value in of_relay.items():
            told[f"relay_{name}", relay["url"]] = value
        if relay["connected"] and relay["status"]["round_trips_ms"]:
            seconds = relay["status"]["round_trips_ms"][-1] / 1000
            told["relay_round_trip_seconds", relay["url"]] = seconds
    for endpoint in ("public", "private"):
        mine = [client for client in clients if client["endpoint"] == endpoint]
        told["endpoint_clients", endpoint] = len(mine)
        waiting = sum(client["waiting_bytes"] for client in mine)
        told["endpoint_waiting_bytes", endpoint] = waiting
    assert sum(told["endpoint_clients", name] for name in ("public", "private")) == (
        status["clients"]
    )
    return told


def test_i8_metrics_agree_with_rest(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    client = connect()
    client.subscribe("s", {"authors": [author.pubkey]})
    assert client.publish(author.event("hello"))[0] is True
    relays[0].stop()

    def agree() -> bool:
        before = told_by_rest(lnbits)
        given = numbers(lnbits)
        # The relays go on meanwhile: what is compared is what stood still.
        return before == told_by_rest(lnbits) == {key: given[key] for key in before}

    wait_until(agree, "the metrics are what REST says")
    given = numbers(lnbits)
    assert given["relays_connected", ""] == 2
    assert given["relay_connected", relays[0].url] == 0
    assert ("relay_round_trip_seconds", relays[0].url) not in given
    assert given["relay_sent_events_total", relays[1].url] >= 1
    assert given["relay_answered_events_total", f"{relays[1].url}accepted"] >= 1
    assert given["relay_requests_total", f"{relays[1].url}eose"] >= 1
    for name in ("event_discovery", "event_processing", "ok", "eose"):
        assert given[f"{name}_seconds_count", ""] >= 1, name
    assert given["can_publish", ""] == given["can_receive", ""] == 1
    only_here = {key[0] for key in given} - {key[0] for key in told_by_rest(lnbits)}
    sometimes = {"relay_closed_requests_total", "endpoint_refused_connections_total"}
    assert only_here - sometimes == {
        "build_info",
        "start_time_seconds",
        "can_publish",
        "can_receive",
        "outbox_oldest_timestamp_seconds",
        "events_recovered_total",
        "relay_answered_events_total",
        "relay_requests_total",
        "relay_connected_seconds_total",
        "relay_unanswered_events",
        "relay_authenticated",
        "relay_withheld_keys",
        *(
            f"{name}_seconds_{suffix}"
            for name in ("event_discovery", "event_processing", "ok", "eose")
            for suffix in ("bucket", "sum", "count")
        ),
        "endpoint_connections_total",
        "endpoint_received_messages_total",
        "endpoint_sent_messages_total",
        "endpoint_refused_messages_total",
    }


def test_an_endpoint_s_counters_outlive_its_clients(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    before = numbers(lnbits)
    client = connect(lnbits.private_url())
    client.subscribe("s", {"authors": [author.pubkey]})
    client.send_text("x" * 6 * 2**20)  # too large
    client.expect("NOTICE")
    while_here = numbers(lnbits)
    client.close()

    def difference(name: str, now: Numbers) -> float:
        return now[name, "private"] - before[name, "private"]

    def gone() -> bool:
        return difference("endpoint_clients", numbers(lnbits)) < 1

    wait_until(gone, "the client is gone")
    for now in (while_here, numbers(lnbits)):
        assert difference("endpoint_connections_total", now) == 1
        assert difference("endpoint_received_messages_total", now) == 2
        assert difference("endpoint_refused_messages_total", now) == 1
        assert difference("endpoint_sent_messages_total", now) >= 2
    assert difference("endpoint_clients", while_here) == 1
