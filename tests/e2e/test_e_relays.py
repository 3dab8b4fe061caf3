"""Rules E: relays come and go, hang and come back, and clients hardly notice."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, wait_until
from .conftest import Connect, connected_urls

YEAR_SECONDS = 365 * 24 * 3600


@pytest.fixture
def black_hole(lnbits: LnbitsServer) -> Iterator[str]:
    """The URL of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        yield url
        lnbits.api("DELETE", "/relay", {"url": url})


def test_e1_a_relay_that_hangs_affects_nobody_else(
    lnbits: LnbitsServer, black_hole: str, connect: Connect, author: Author
) -> None:
    client, publisher = connect(), connect(name="publisher")
    client.subscribe("before", {"authors": [author.pubkey]})
    begun = time.monotonic()
    lnbits.api("POST", "/relay", {"url": black_hole})
    assert time.monotonic() - begun < 5  # connecting alone is given ten

    event = author.event("hello")
    assert publisher.publish(event)[0] is True
    assert client.expect("EVENT", "before")[2] == event
    # It is owed an EOSE while it is in its first connection attempt.
    assert client.subscribe("after", {"authors": [author.pubkey]}) == [event]
    begun = time.monotonic()
    lnbits.api("DELETE", "/relay", {"url": black_hole})
    assert time.monotonic() - begun < 5


def test_e1_a_frozen_relay_delays_no_live_event(
    relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    client, publisher = connect(), connect(name="publisher")
    client.subscribe("s", {"authors": [author.pubkey]})
    relays[0].freeze()
    try:
        for number in range(50):
            event = author.event(f"note {number}")
            assert publisher.publish(event) == (True, "")
            assert client.expect("EVENT", "s")[2] == event
    finally:
        relays[0].thaw()
    client.expect_nothing()


def give_while_away(relay: LocalRelay, event: dict[str, Any], tmp: Path) -> None:
    """Put an event into a stopped relay's store."""
    with LocalRelay(folder=relay.folder, log=tmp / "other.log") as same_store:
        writer = Client(same_store.url)
        assert writer.publish(event)[0] is True
        writer.close()


def test_e4_e8_events_a_relay_got_during_an_outage_are_delivered(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    connect: Connect,
    author: Author,
    tmp_path: Path,
) -> None:
    client = connect()
    client.subscribe("s", {"authors": [author.pubkey]})
    relays[0].stop()
    wait_until(lambda: relays[0].url not in connected_urls(lnbits), "it is down")
    missed = author.event("while you were away")
    give_while_away(relays[0], missed, tmp_path)
    client.expect_nothing()

    relays[0].start()
    assert client.expect("EVENT", "s", seconds=70)[2] == missed

    # The live stream is as wide as before: however old an event says it is.
    old = author.event("from long ago", created_at=int(time.time()) - YEAR_SECONDS)
    assert connect(relays[0].url).publish(old)[0] is True
    assert client.expect("EVENT", "s")[2] == old
    client.expect_nothing()
    assert client.count("EOSE") == 1


def test_e6_a_new_relay_joins_the_open_subscriptions(
    lnbits: LnbitsServer, extra_relay: LocalRelay, connect: Connect, author: Author
) -> None:
    past = author.event("old", created_at=int(time.time()) - YEAR_SECONDS)
    newcomer = connect(extra_relay.url, "newcomer")
    assert newcomer.publish(past)[0] is True
    client = connect()
    assert client.subscribe("s", {"authors": [author.pubkey]}) == []

    lnbits.api("POST", "/relay", {"url": extra_relay.url})
    assert client.expect("EVENT", "s")[2] == past
    live = author.event("live")
    assert newcomer.publish(live)[0] is True
    assert client.expect("EVENT", "s")[2] == live

    lnbits.api("DELETE", "/relay", {"url": extra_relay.url})
    assert newcomer.publish(author.event("nobody listens"))[0] is True
    client.expect_nothing()
    assert client.count("EOSE") == 1


def test_e7_clients_need_not_wait_for_relays(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    lnbits.deactivate()
    lnbits.activate()
    client = connect()
    event = author.event("first thing")
    accepted, _ = client.publish(event)
    assert accepted is True
    client.send("REQ", "s", {"authors": [author.pubkey]})
    assert client.expect("EVENT", "s", seconds=70)[2] == event
