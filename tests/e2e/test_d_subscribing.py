"""Rules D: what a REQ delivers, how often, and when EOSE comes."""

import time

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, wait_until
from .conftest import Connect, connected_urls


def test_d1_with_all_relays_down_a_subscription_waits_for_them(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    connect: Connect,
    author: Author,
) -> None:
    stored = author.event("written before")
    assert connect(relays[0].url).publish(stored)[0] is True
    for relay in relays:
        relay.stop()
    wait_until(lambda: not connected_urls(lnbits), "no relay is connected")

    client = connect()
    assert client.subscribe("s", {"authors": [author.pubkey]}) == []
    assert client.count("NOTICE") == 1
    assert client.count("CLOSED") == 0

    relays[0].start()
    assert client.expect("EVENT", "s", seconds=70)[2] == stored
    client.expect_nothing()
    assert client.count("EOSE") == 1
    assert client.count("NOTICE") == 1


def test_d2_an_event_comes_once_however_many_relays_have_it(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    everywhere = [connect(relay.url, f"relay {relay.url}") for relay in relays]
    stored, live = author.event("stored"), author.event("live")
    for relay in everywhere:
        assert relay.publish(stored)[0] is True

    client = connect()
    assert client.subscribe("s", {"authors": [author.pubkey]}) == [stored]
    for relay in everywhere:
        assert relay.publish(live)[0] is True
    assert client.expect("EVENT", "s")[2] == live
    client.expect_nothing()


def test_d2_nothing_comes_again_after_a_reconnect(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    connect: Connect,
    author: Author,
) -> None:
    publisher, client = connect(name="publisher"), connect()
    publisher.publish(author.event("stored"))
    client.subscribe("s", {"authors": [author.pubkey]})
    publisher.publish(author.event("live"))
    client.expect("EVENT", "s")

    for relay in relays:
        relay.stop()
    wait_until(lambda: not connected_urls(lnbits), "no relay is connected")
    for relay in relays:
        relay.start()
    wait_until(
        lambda: len(connected_urls(lnbits)) == len(relays),
        "all are connected again",
        seconds=70,
    )
    marker = author.event("after the reconnect")
    assert publisher.publish(marker)[0] is True
    assert client.expect("EVENT", "s")[2] == marker
    client.expect_nothing()
    assert len(client.all_events("s")) == 3
    assert client.count("EOSE") == 1


def test_d3_a_limit_is_the_relays_business_but_filters_are_kept(
    connect: Connect, author: Author
) -> None:
    publisher = connect(name="publisher")
    now = int(time.time())
    for age in [0, 100, 200]:
        publisher.publish(author.event(f"{age} s ago", created_at=now - age))
    wanted = author.event("a hundred seconds ago", kind=7, created_at=now - 100)
    publisher.publish(wanted)
    client = connect()
    stored = client.subscribe(
        "s",
        {
            "authors": [author.pubkey],
            "kinds": [7],
            "since": now - 150,
            "until": now - 50,
        },
    )
    assert stored == [wanted]


def test_d4_eose_comes_once_and_after_the_stored_events_of_all_relays(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    events = [author.event(f"only on relay {number}") for number in range(len(relays))]
    for relay, event in zip(relays, events, strict=True):
        assert connect(relay.url).publish(event)[0] is True

    client = connect()
    stored = client.subscribe("s", {"authors": [author.pubkey]})
    ids = sorted(event["id"] for event in stored)
    assert ids == sorted(event["id"] for event in events)
    client.expect_nothing()
    assert client.count("EOSE", "s") == 1


def test_d4_a_relay_that_hangs_delays_eose_but_does_not_prevent_it(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    event = author.event("hello")
    assert connect().publish(event)[0] is True
    reader, wanted = connect(relays[1].url), {"ids": [event["id"]]}
    wait_until(
        lambda: reader.subscribe("stored", wanted) == [event],
        "another relay has it, too",
    )
    client = connect()
    relays[0].freeze()
    try:
        begun = time.monotonic()
        assert client.subscribe("s", {"authors": [author.pubkey]}) == [event]
        # It is owed for four seconds, because it may have something to tell.
        assert 3.5 < time.monotonic() - begun < 15
    finally:
        relays[0].thaw()
    client.expect_nothing()
    assert client.count("EOSE", "s") == 1


def test_d4_many_stored_events_all_precede_eose(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    writer = connect(relays[0].url)
    events = [author.event(f"note {number}") for number in range(400)]
    for event in events:
        writer.send("EVENT", event)
    for _ in events:
        assert writer.expect("OK")[2] is True

    stored = connect().subscribe("s", {"authors": [author.pubkey]})
    assert len(stored) == len(events)
    assert {event["id"] for event in stored} == {event["id"] for event in events}
