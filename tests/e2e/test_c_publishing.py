"""Rules C: an event goes to every relay, and its author is told the truth about it."""

import time
from typing import Any

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, wait_until
from .conftest import Connect, connected_urls


def stored_at(relay: LocalRelay, author: Author) -> list[str]:
    """Ask a relay itself which events of an author it has."""
    client = Client(relay.url, relay.url)
    try:
        events = client.subscribe("s", {"authors": [author.pubkey]})
    finally:
        client.close()
    return [event["id"] for event in events]


def wait_until_stored(
    relays: list[LocalRelay], author: Author, event_ids: list[str]
) -> None:
    """Wait until every relay has these events of an author, in whatever order."""
    wait_until(
        lambda: all(
            sorted(stored_at(relay, author)) == sorted(event_ids) for relay in relays
        ),
        "every relay has them",
        seconds=90,
    )


def is_refused(client: Client, event: dict[str, Any], prefix: str) -> bool:
    """Publish, and tell whether it is answered false with this prefix."""
    accepted, reason = client.publish(event)
    return accepted is False and reason.startswith(prefix)


def test_c1_a_wrong_event_is_refused_and_goes_nowhere(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    client = connect()
    good = author.event("hello")
    forged_signature = {**good, "sig": author.event("other")["sig"]}
    changed_content = {**good, "content": "changed"}
    wrong_id = {**good, "id": "0" * 64}
    stolen = {**good, "pubkey": Author().pubkey}
    no_kind = {name: value for name, value in good.items() if name != "kind"}
    for bad in [forged_signature, changed_content, wrong_id, stolen, no_kind]:
        assert is_refused(client, bad, "invalid:"), bad
    assert is_refused(client, {"id": "zz"}, "invalid:")

    past = str(int(time.time()) - 10)
    assert is_refused(client, author.event(tags=[["expiration", past]]), "invalid:")
    assert is_refused(client, author.event(tags=[["-"]]), "blocked:")

    assert [stored_at(relay, author) for relay in relays] == [[], [], []]
    assert client.publish(good) == (True, "")


def test_c2_a_valid_event_reaches_every_relay_unchanged(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    event = author.event('<b>"hello"</b> &amp; \\ \n 😀', tags=[["t", "<x>"]])
    assert connect().publish(event)[0] is True
    wait_until_stored(relays, author, [event["id"]])
    reader = Client(relays[0].url)
    assert reader.subscribe("s", {"ids": [event["id"]]}) == [event]
    reader.close()


def test_c3_one_ok_however_many_relays_answer(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    client = connect()
    event = author.event("hello")
    assert client.publish(event)[0] is True
    client.expect_nothing()
    assert client.count("OK", event["id"]) == 1
    # C7: known to every relay by now, so all answer with a duplicate.
    assert client.publish(event)[0] is True
    client.expect_nothing()
    assert client.count("OK", event["id"]) == 2


def test_c3_c6_while_all_relays_are_down_events_are_queued_then_sent_in_order(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    connect: Connect,
    author: Author,
) -> None:
    publisher, reader = connect(name="publisher"), connect(name="reader")
    reader.subscribe("s", {"authors": [author.pubkey]})
    for relay in relays:
        relay.stop()
    wait_until(lambda: not connected_urls(lnbits), "no relay is connected")

    # Ids do not rise with time, so only the outbox can bring this order about.
    now = int(time.time())
    events = [author.event(f"note {n}", created_at=now - n) for n in range(20)]
    for event in events:
        accepted, reason = publisher.publish(event)
        assert accepted is True
        assert reason.startswith("queued:")
    assert lnbits.api("GET", "/status")["outbox_waiting"] == len(events)
    reader.expect_nothing()

    for relay in relays:
        relay.start()
    order = [event["id"] for event in events]
    wait_until(lambda: len(reader.all_events("s")) == 20, "all arrive", seconds=90)
    assert reader.all_events("s") == order
    wait_until_stored(relays, author, order)
    wait_until(
        lambda: lnbits.api("GET", "/status")["outbox_waiting"] == 0, "nothing waits"
    )
    assert [publisher.count("OK", event_id) for event_id in order] == [1] * 20


def test_c2_a_relay_that_was_down_gets_what_the_others_took(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    connect: Connect,
    author: Author,
) -> None:
    relays[0].stop()
    wait_until(lambda: relays[0].url not in connected_urls(lnbits), "one is down")
    event = author.event("the first relay must not miss this")
    assert connect().publish(event) == (True, "")
    relays[0].start()
    wait_until_stored(relays[:1], author, [event["id"]])


def test_c3_relays_that_hang_are_not_waited_for_longer_than_clients_wait(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    client = connect()
    for relay in relays:
        relay.freeze()
    try:
        event = author.event("is anybody there?")
        accepted, reason = client.publish(event)
        assert accepted is True
        assert reason.startswith("queued:")
    finally:
        for relay in relays:
            relay.thaw()
    wait_until_stored(relays, author, [event["id"]])
    assert client.count("OK", event["id"]) == 1


@pytest.mark.parametrize("count", [200])
def test_c_timeline_3_a_shop_publishes_200_products_at_once(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, count: int
) -> None:
    shop = Author()
    client = connect(lnbits.private_url())
    products = [
        shop.event("{}", kind=30018, tags=[["d", str(n)]]) for n in range(count)
    ]
    for product in products:
        client.send("EVENT", product)
    for _ in products:
        assert client.expect("OK")[2:] == [True, ""]
    assert client.count("OK") == count
    wait_until_stored(relays, shop, [product["id"] for product in products])
