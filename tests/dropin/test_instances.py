"""Rules J1 and J2: three LNbits on one PostgreSQL, behind nginx."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
import websocket

from dev.cluster import QUICK, Cluster
from dev.lnbits_server import LnbitsServer
from dev.ports import HOST
from dev.postgres import find_programs
from dev.proxy import LoopThread
from dev.reverse_proxy import find_nginx
from tests.e2e.clients import Author, Client, handshake_status, wait_until
from tests.faults.odd_relay import OddRelay

from .databases import Postgres, Row

needs_postgres = pytest.mark.skipif(
    find_programs() is None, reason="PostgreSQL's initdb is not installed"
)
needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="there is no nginx")
pytestmark = needs_postgres

UNREACHED = "ws://127.0.0.1:9"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), 3) as cluster:
        yield cluster


@pytest.fixture
def instances(cluster: Cluster) -> list[LnbitsServer]:
    """All three, running, with open endpoints, without relays and events."""
    for instance in cluster.instances:
        instance.start()
        wait_until_served(instance)
    for instance in cluster.instances:
        wait_until(partial(has_loaded, instance), "it has read the database", 30)
    first = cluster.instances[0]
    first.api("PUT", "/config", {"public_ws": True})
    for item in first.api("GET", "/outbox"):
        first.api("DELETE", f"/outbox/{item['event_id']}")
    for relay in first.api("GET", "/relays"):
        first.api("DELETE", "/relay", {"url": relay["url"]})
    for instance in cluster.instances:
        wait_until(partial(knows, instance, []), "no relay is left")
        wait_until(partial(is_open, instance), "its endpoint is open")
    return cluster.instances


@pytest.fixture
def relay(cluster: Cluster, instances: list[LnbitsServer]) -> Iterator[OddRelay]:
    """A relay that all instances know, and that lets nobody connect at first."""
    loop = LoopThread()
    relay = OddRelay(loop)
    relay.refuse()
    instances[0].api("POST", "/relay", {"url": relay.url})
    for instance in instances:
        wait_until(partial(knows, instance, [relay.url]), "the relay is known")
    yield relay
    relay.close()
    loop.close()


def wait_until_served(instance: LnbitsServer) -> None:
    """Wait until LNbits itself has noticed that its connections were lost."""
    wait_until(lambda: instance.http.get("/api/v1/auth").is_success, "it is back", 30)


def has_loaded(instance: LnbitsServer) -> bool:
    """Return whether all was read: until then it lists no relays."""
    not_loaded: list[str] = instance.api("GET", "/status")["not_loaded"]
    return not not_loaded


def knows(instance: LnbitsServer, urls: list[str]) -> bool:
    return [relay["url"] for relay in instance.api("GET", "/relays")] == urls


def is_open(instance: LnbitsServer) -> bool:
    return handshake_status(instance.public_url) == 101


def opens(url: str) -> bool:
    return handshake_status(url) == 101


def lists(instance: LnbitsServer, ids: set[str]) -> bool:
    return {item["event_id"] for item in instance.api("GET", "/outbox")} == ids


def has_key(instance: LnbitsServer, npub: str) -> bool:
    return bool(instance.api("GET", "/identity")["npub"] == npub)


def rows(cluster: Cluster) -> list[Row]:
    database = Postgres(f"{cluster.database.url}/postgres")
    return database.rows("SELECT * FROM nostrclient.outbox")


def owners(cluster: Cluster) -> dict[str, str]:
    return {row["id"]: row["instance"] for row in rows(cluster)}


def waiting(instance: LnbitsServer) -> int:
    """Return how many events an instance is to deliver itself."""
    found: int = instance.api("GET", "/status")["outbox_waiting"]
    return found


def queue_events(instance: LnbitsServer, number: int) -> set[str]:
    """Publish events that no relay takes, and return their ids."""
    client = Client(instance.public_url)
    author = Author()
    events = [author.event(f"{place}") for place in range(number)]
    for event in events:
        accepted, reason = client.publish(event)
        assert (accepted, reason[:7]) == (True, "queued:")
    client.close()
    return {event["id"] for event in events}


def assert_sent_once(relay: OddRelay, ids: set[str]) -> None:
    assert dict(relay.event_ids()) == dict.fromkeys(ids, 1)


def test_j1_change_on_one_instance_is_in_force_on_the_others(
    instances: list[LnbitsServer],
) -> None:
    first, second, third = instances
    clients = [Client(instance.public_url) for instance in instances]
    first.api("POST", "/relay", {"url": UNREACHED})
    npub = first.api("PUT", "/identity", {"generate": True})["npub"]
    for other in (second, third):
        wait_until(partial(knows, other, [UNREACHED]), "the relay is added")
        wait_until(partial(has_key, other, npub), "the key is set")
    second.api("DELETE", "/relay", {"url": UNREACHED})
    wait_until(lambda: first.api("GET", "/relays") == [], "the relay is removed")
    first.api("PUT", "/config", {"public_ws": False})
    for instance, client in zip(instances, clients, strict=True):
        wait_until(client.is_closed, "the client is closed")
        assert handshake_status(instance.public_url) == 403
        client.close()


def test_i7_private_url_is_shared_and_revoked_on_all_instances(
    instances: list[LnbitsServer],
) -> None:
    first, second, third = instances
    created = first.api("POST", "/private-urls", {"name": "shop"})
    urls = [f"{one.websocket_url.partition('/nostrclient')[0]}" for one in instances]
    urls = [f"{url}{created['path']}" for url in urls]
    for url in urls:
        wait_until(partial(opens, url), "it opens", 10)
    clients = [Client(url) for url in urls]
    second.api("DELETE", f"/private-urls/{created['id']}")
    for client, url in zip(clients, urls, strict=True):
        wait_until(client.is_closed, "it is disconnected", 10)
        assert handshake_status(url) == 403
    assert third.api("GET", "/private-urls") == []


@needs_nginx
def test_j2_killed_instance_s_events_are_delivered_once_by_one_other(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    url = f"ws://{HOST}:{cluster.nginx.port}/nostrclient/api/v1/relay"
    client = Client(url)
    (serving,) = (item for item in instances if waiting_clients(item))
    others = [item for item in instances if item is not serving]
    author = Author()
    events = [author.event(f"{place}") for place in range(5)]
    for event in events:
        assert client.publish(event)[0]
    elsewhere, named = author.event("elsewhere"), OddRelay(relay._loop)
    named.refuse()
    with closing(serving.new_user()) as user:
        body = {"event": elsewhere, "relays": [named.url]}
        answer = user.post("/nostrclient/api/v1/publish", json=body).raise_for_status()
        assert answer.json()["state"] == "queued"
    ids = {event["id"] for event in events}

    # Every page lists them. Discarded on one, an event is gone on all.
    for instance in instances:
        wait_until(partial(lists, instance, {*ids, elsewhere["id"]}), "it lists all")
    path = serving.api("POST", "/live")["path"]
    page = websocket.create_connection(
        f"ws://{HOST}:{others[0].port}{path}", timeout=15.0
    )
    pushed = json.loads(page.recv())
    assert pushed["status"]["instances"] == 3
    while pushed.get("outbox", {}).get("count") != 6:
        pushed = json.loads(page.recv())
    page.close()
    discarded = events[0]["id"]
    others[0].api("DELETE", f"/outbox/{discarded}")
    wait_until(lambda: waiting(serving) == 5, "it is discarded")
    ids.remove(discarded)

    serving.kill()
    wait_until(client.is_closed, "the client's connection is lost")
    client.close()
    wait_until(
        lambda: sum(map(waiting, others)) == 5, "the others have taken them over", 30
    )
    again = Client(url)  # nginx finds a living one
    after = author.event("after")
    assert again.publish(after)[0]
    again.close()
    relay.resume()
    named.resume()
    wait_until(lambda: rows(cluster) == [], "they are delivered", 30)
    assert_sent_once(relay, ids | {after["id"]})
    assert_sent_once(named, {elsewhere["id"]})
    named.close()


def waiting_clients(instance: LnbitsServer) -> int:
    found: int = instance.api("GET", "/status")["clients"]
    return found


def test_j2_restarted_instance_takes_its_own_events_back_at_once(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    ids = queue_events(instances[1], 3)
    instances[1].kill()
    relay.resume()
    instances[1].start()
    # Killed before it heard of an OK, it may send an event twice (C2).
    wait_until(lambda: ids <= set(relay.event_ids()), "they are delivered", 40)
    wait_until(lambda: rows(cluster) == [], "nothing waits any more", 40)


def test_c5_j2_database_that_was_stopped_and_started_costs_nothing(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    ids = queue_events(instances[0], 3) | queue_events(instances[1], 3)
    client = Client(instances[2].public_url)
    cluster.database.stop()
    event = Author().event("while it is down")
    accepted, reason = client.publish(event)
    assert (accepted, reason[:6]) == (False, "error:")
    time.sleep(QUICK["lease_seconds"])  # longer than a lease
    cluster.database.start()
    wait_until(lambda: client.publish(Author().event())[0], "it is queued again", 30)
    for instance in instances:
        wait_until_served(instance)
    wait_until(
        lambda: sum(map(waiting, instances)) == 7 == len(rows(cluster)),
        "each event has one owner",
        30,
    )
    ids = set(owners(cluster))
    assert event["id"] not in ids
    relay.resume()
    wait_until(lambda: rows(cluster) == [], "they are delivered", 30)
    assert_sent_once(relay, ids)
    client.close()


def test_j2_instance_that_is_split_from_the_database_leaves_its_events_to_others(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    split, *others = instances
    ids = queue_events(split, 3)
    cluster.links[0].freeze()
    wait_until(lambda: sum(map(waiting, others)) == 3, "they are taken over", 30)
    relay.resume()
    wait_until(lambda: rows(cluster) == [], "they are delivered", 30)
    time.sleep(1.0)  # and not by the one that had them
    assert_sent_once(relay, ids)
    client = Client(split.public_url)
    event = Author().event("a relay takes it without any database")
    assert client.publish(event) == (True, "")
    client.close()
    cluster.links[0].resume()
    wait_until_served(split)
    relay.refuse()
    queued = queue_later(split)
    relay.resume()
    wait_until(lambda: rows(cluster) == [], "nothing waits any more", 30)
    assert_sent_once(relay, ids | {event["id"], queued})


def test_j2_instance_that_was_suspended_leaves_its_events_to_others(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    asleep, *others = instances
    ids = queue_events(asleep, 1)
    asleep.process().suspend()
    wait_until(lambda: sum(map(waiting, others)) == 1, "it is taken over", 30)
    asleep.process().resume()
    wait_until(lambda: waiting(asleep) == 0, "it is left to the other", 30)
    relay.resume()
    wait_until(lambda: rows(cluster) == [], "it is delivered", 30)
    assert_sent_once(relay, ids)


def test_c5_connection_to_the_database_that_the_network_forgot_is_replaced(
    cluster: Cluster, instances: list[LnbitsServer], relay: OddRelay
) -> None:
    split = instances[0]
    ids = queue_events(split, 3)
    cluster.links[0].forget()
    # LNbits itself waits for an answer for ever; nothing is asked of it from here on.
    try:
        ids.add(queue_later(split))
        relay.resume()
        wait_until(lambda: rows(cluster) == [], "nothing waits any more", 30)
        assert_sent_once(relay, ids)
    finally:
        split.kill()


def queue_later(instance: LnbitsServer) -> str:
    """Publish until the database takes it, and return the event's id."""
    client = Client(instance.public_url)
    author = Author()
    events = []

    def publish() -> bool:
        events.append(author.event(secrets.token_hex(4)))
        return client.publish(events[-1])[0]

    wait_until(publish, "the database is used again", 30)
    client.close()
    found: str = events[-1]["id"]
    return found
