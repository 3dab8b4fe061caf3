"""Rules F: which relays are taken, and that stopping ends everything."""

import time

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import QUIET_SECONDS, Author, handshake_status, wait_until
from .conftest import Connect, connected_urls, running

CYCLES = 3
NOTHING: dict[str, list[str]] = {"threads": [], "tasks": []}
NOT_A_RELAY = [
    "http://relay.example",
    "relay.example",
    "ws://",
    "wss:///path",
    "ws://user:secret@relay.example",
    "wss://relay.example/#fragment",
    "ws://relay.example:99999",
    "ws://relay .example",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", NOT_A_RELAY)
def test_f1_invalid_relay_url_is_refused(lnbits: LnbitsServer, url: str) -> None:
    answer = lnbits.http.post("/nostrclient/api/v1/relay", json={"url": url})
    assert answer.status_code == 400
    assert answer.json()["detail"]
    known = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    assert url not in known


def is_taken_for_a_relay(lnbits: LnbitsServer, url: str) -> bool:
    """Try to add a relay, and take it away again where that worked."""
    answer = lnbits.http.post("/nostrclient/api/v1/relay", json={"url": url})
    if answer.is_success:
        lnbits.api("DELETE", "/relay", {"url": url})
    else:
        assert answer.status_code == 400
    return answer.is_success


def test_f1_our_own_endpoints_are_refused(lnbits: LnbitsServer) -> None:
    for url in [
        lnbits.public_url,
        f"{lnbits.public_url}/?x=1",
        lnbits.private_url(),
        lnbits.private_url(urlsafe=False),
    ]:
        assert not is_taken_for_a_relay(lnbits, url), url


def test_f1_our_own_endpoint_under_another_name_is_refused(
    lnbits: LnbitsServer,
) -> None:
    other_name = lnbits.public_url.replace("127.0.0.1", "LOCALHOST")
    assert not is_taken_for_a_relay(lnbits, other_name)


def relay_sockets(lnbits: LnbitsServer, relays: list[LocalRelay]) -> int:
    """Count the server's connections to the relays."""
    ports = {relay.port for relay in relays}
    return sum(
        bool(connection.raddr) and connection.raddr.port in ports
        for connection in lnbits.process().net_connections(kind="tcp")
    )


def open_files(lnbits: LnbitsServer) -> int:
    """Count the server's open files, without the connections that it accepted.

    Those come and go with the tests' own clients, and the uvicorn of LNbits 1.4 keeps
    one that was closed for up to ten seconds.
    """
    process = lnbits.process()
    accepted = sum(
        bool(connection.raddr) and connection.laddr.port == lnbits.port
        for connection in process.net_connections(kind="tcp")
    )
    return process.num_fds() - accepted


def test_f7_disabled_it_leaves_no_thread_task_or_socket(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    process = lnbits.process()
    inside = running(lnbits)
    assert inside["threads"], "the probe sees what runs"
    assert inside["tasks"]
    assert relay_sockets(lnbits, relays) == len(relays)

    stopped_threads, stopped_files = [], []
    for _ in range(CYCLES):
        clients = [connect(lnbits.public_url), connect(lnbits.private_url())]
        for client in clients:
            client.subscribe("s", {"authors": [author.pubkey]})
            assert client.publish(author.event("hello"))[0] is True

        lnbits.deactivate()
        try:
            wait_until(lambda: running(lnbits) == NOTHING, "all ended")
            for client in clients:
                wait_until(client.is_closed, "its socket is closed")
            assert relay_sockets(lnbits, relays) == 0
            # LNbits itself refuses, before anything is imported for it.
            assert handshake_status(lnbits.public_url) in (403, 404)
            assert handshake_status(lnbits.private_url()) in (403, 404)
            assert running(lnbits) == NOTHING
            stopped_threads.append(process.num_threads())
            stopped_files.append(open_files(lnbits))
        finally:
            lnbits.activate()
        wait_until(
            lambda: len(connected_urls(lnbits)) == len(relays), "relays are back"
        )
    # None of them is ours. LNbits' own pool may have grown by one; a thread that stays
    # behind each time would make it more.
    assert stopped_threads[-1] - stopped_threads[0] < CYCLES - 1
    assert stopped_files[-1] <= stopped_files[0]


def test_f7_subscriptions_after_a_restart_work_again(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> None:
    lnbits.deactivate()
    lnbits.activate()
    wait_until(lambda: len(connected_urls(lnbits)) == len(relays), "relays are back")
    client = connect()
    client.subscribe("s", {"authors": [author.pubkey]})
    event = author.event("hello again")
    assert connect(name="publisher").publish(event)[0] is True
    assert client.expect("EVENT", "s")[2] == event


def test_f7_activating_what_is_active_starts_nothing_twice(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect
) -> None:
    before = running(lnbits)
    client = connect()
    author = Author()
    client.subscribe("s", {"authors": [author.pubkey]})
    for _ in range(CYCLES):
        lnbits.activate()
    assert relay_sockets(lnbits, relays) == len(relays)
    after = running(lnbits)
    assert len(after["threads"]) == len(before["threads"])
    event = author.event("still here")
    assert client.publish(event)[0] is True
    wait_until(lambda: bool(client.all_events("s")), "the event is back")
    time.sleep(QUIET_SECONDS)  # a second copy would come now
    assert client.all_events("s") == [event["id"]]
