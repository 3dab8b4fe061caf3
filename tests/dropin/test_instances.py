"""Rules J1 and J2: two LNbits on one PostgreSQL."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.e2e.clients import Author, Client, handshake_status, wait_until

from .databases import POSTGRES, Postgres, new_postgres, postgres_answers

QUICK = {
    "lease_seconds": 6,
    "lease_renew_seconds": 1,
    "shared_poll_seconds": 0.5,
    "reconnect_max_seconds": 2,
}
SECRET = "the same for all instances"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    if not postgres_answers():
        pytest.skip(f"no PostgreSQL answers at {POSTGRES}; set NOSTRCLIENT_POSTGRES")
    with new_postgres() as postgres:
        yield postgres


@pytest.fixture
def pair(
    postgres: Postgres, tmp_path: Path
) -> Iterator[tuple[LnbitsServer, LnbitsServer]]:
    """Two LNbits that run, with short leases."""
    environment = {
        **postgres.environment,
        "LNBITS_RATE_LIMIT_NO": "1000000",
        "AUTH_SECRET_KEY": SECRET,
        "LNBITS_CALLBACK_URL_RULES": "[]",
        "LNBITS_CALLBACK_ALLOW_PRIVATE_IPS": "true",
    }
    first, second = (
        LnbitsServer(tmp_path / name, environment=environment) for name in ("a", "b")
    )
    with ExitStack() as stack:
        stack.callback(first.stop)
        stack.callback(second.stop)
        first.start()
        first.api("PUT", "/config", {"public_ws": True, "settings": QUICK})
        first.stop()
        first.start()
        second.folder.mkdir(exist_ok=True)
        shutil.copy(first.folder / "login.json", second.folder)
        second.start()
        wait_until(
            lambda: len(postgres.rows("SELECT * FROM nostrclient.instances")) == 2,
            "both have a lease",
        )
        yield first, second


def outbox(postgres: Postgres) -> set[str]:
    return {row["id"] for row in postgres.rows("SELECT * FROM nostrclient.outbox")}


def test_j1_change_on_one_instance_is_in_force_on_the_other(
    pair: tuple[LnbitsServer, LnbitsServer],
) -> None:
    first, second = pair
    client = Client(second.public_url)
    first.api("POST", "/relay", {"url": "ws://127.0.0.1:9"})
    npub = first.api("PUT", "/identity", {"generate": True})["npub"]
    wait_until(
        lambda: [relay["url"] for relay in second.api("GET", "/relays")]
        == ["ws://127.0.0.1:9"],
        "the relay is added",
    )
    wait_until(lambda: second.api("GET", "/identity")["npub"] == npub, "the key is set")
    second.api("DELETE", "/relay", {"url": "ws://127.0.0.1:9"})
    wait_until(lambda: first.api("GET", "/relays") == [], "the relay is removed")
    first.api("PUT", "/config", {"public_ws": False})
    wait_until(client.is_closed, "the client is closed")
    assert handshake_status(second.public_url) == 403
    client.close()


def test_j2_other_instance_delivers_what_a_killed_one_had_queued(
    pair: tuple[LnbitsServer, LnbitsServer], postgres: Postgres, tmp_path: Path
) -> None:
    first, second = pair
    relay = LocalRelay(log=tmp_path / "relay.log")
    first.api("POST", "/relay", {"url": relay.url})
    author = Author()
    client = Client(first.public_url)
    events = [author.event(f"{number}") for number in range(5)]
    for event in events:
        assert client.publish(event)[0]
    client.close()
    ids = {event["id"] for event in events}
    named, elsewhere = author.event("elsewhere"), LocalRelay(log=tmp_path / "named.log")
    user = first.new_user()
    body = {"event": named, "relays": [elsewhere.url]}
    answer = user.post("/nostrclient/api/v1/publish", json=body)
    assert answer.raise_for_status().json()["state"] == "queued"

    # Discarded on the one page, it is gone on the other.
    listed = [item["event_id"] for item in second.api("GET", "/outbox")]
    assert set(listed) == ids | {named["id"]}
    discarded = events[0]["id"]
    second.http.delete(f"/nostrclient/api/v1/outbox/{discarded}").raise_for_status()
    wait_until(
        lambda: first.api("GET", "/status")["outbox_waiting"] == 5, "it is discarded"
    )

    first.kill()
    wait_until(
        lambda: second.api("GET", "/status")["outbox_waiting"] == 5,
        "the other one has them",
        30,
    )
    with relay, elsewhere:
        wait_until(lambda: outbox(postgres) == set(), "they are delivered", 30)
        reader = Client(relay.url)
        stored = reader.subscribe("all", {"authors": [author.pubkey]})
        assert {event["id"] for event in stored} == ids - {discarded}
        reader.close()
        reader = Client(elsewhere.url)
        stored = reader.subscribe("all", {"authors": [author.pubkey]})
        assert [event["id"] for event in stored] == [named["id"]]
        reader.close()
        # Back again, it has nothing left to deliver.
        first.start()
        assert first.api("GET", "/outbox") == []


def test_j2_instance_that_is_cut_off_leaves_its_events_to_the_other(
    pair: tuple[LnbitsServer, LnbitsServer], postgres: Postgres
) -> None:
    first, second = pair
    client = Client(first.public_url)
    event = Author().event("of the one that is cut off")
    assert client.publish(event)[0]
    first.process().suspend()
    wait_until(
        lambda: second.api("GET", "/status")["outbox_waiting"] == 1, "taken over", 30
    )
    first.process().resume()
    wait_until(
        lambda: first.api("GET", "/status")["outbox_waiting"] == 0, "left to it", 30
    )
    assert second.api("GET", "/status")["outbox_waiting"] == 1
    assert outbox(postgres) == {event["id"]}
    client.close()
