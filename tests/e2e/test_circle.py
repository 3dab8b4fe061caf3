"""Rule E12: two real LNbits that have each other as relays."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, wait_until

ENVIRONMENT = {"LNBITS_RATE_LIMIT_NO": "1000000"}


@pytest.fixture
def circle(tmp_path: Path) -> Iterator[tuple[LnbitsServer, LnbitsServer, LocalRelay]]:
    """Two LNbits, each a relay of the other one; the second has a real relay, too."""
    with (
        LocalRelay(log=tmp_path / "relay.log") as relay,
        LnbitsServer(tmp_path / "a", environment=ENVIRONMENT) as first,
        LnbitsServer(tmp_path / "b", environment=ENVIRONMENT) as second,
    ):
        for server in (first, second):
            server.api("PUT", "/config", {"public_ws": True})
        second.api("POST", "/relay", {"url": relay.url})
        second.api("POST", "/relay", {"url": first.public_url})
        first.api("POST", "/relay", {"url": second.public_url})
        for server, count in ((first, 1), (second, 2)):
            wait_until(
                lambda server=server, count=count: (  # type: ignore[misc]
                    server.api("GET", "/status")["relays_connected"] == count
                ),
                "the relays are connected",
            )
        yield first, second, relay


def subscriptions(server: LnbitsServer) -> int:
    """Return how many subscriptions all clients of a server have open together."""
    clients = server.api("GET", "/clients")
    return sum(client["subscriptions"] for client in clients)


def test_e12_nothing_goes_round_between_two_nostrclients(
    circle: tuple[LnbitsServer, LnbitsServer, LocalRelay], author: Author
) -> None:
    first, second, relay = circle
    client, direct = Client(first.private_url()), Client(relay.url, "direct")
    for number in range(5):
        assert client.subscribe(f"s{number}", {"authors": [author.pubkey]}) == []
    note = author.event("a note")
    assert client.publish(note) == (True, "")
    for number in range(5):
        wait_until(
            lambda number=number: (  # type: ignore[misc]
                client.all_events(f"s{number}") == [note["id"]]
            ),
            "the note has come back",
        )
    assert direct.subscribe("s", {"ids": [note["id"]]}) == [note]
    client.send("COUNT", "c", {"authors": [author.pubkey]})
    wait_until(
        lambda: client.count("COUNT", "c") + client.count("CLOSED", "c") == 1,
        "the COUNT is answered",
    )
    time.sleep(2)  # for whatever may still be going round
    assert subscriptions(first) == 5
    assert subscriptions(second) == 5  # those of the first one
    (to_first,) = (
        item for item in second.api("GET", "/relays") if item["url"] == first.public_url
    )
    assert to_first["status"]["num_subscriptions"] == 0
    assert to_first["status"]["num_sent_events"] == 0
    client.close()
