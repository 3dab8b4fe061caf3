"""H10: an event for named relays, one of them down, through LNbits' sudden death."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.e2e.clients import Author, Client, wait_until

API = "/nostrclient/api/v1"
ALLOWED = {
    "LNBITS_RATE_LIMIT_NO": "1000000",
    "LNBITS_CALLBACK_URL_RULES": "[]",
    "LNBITS_CALLBACK_ALLOW_PRIVATE_IPS": "true",
}


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[list[LocalRelay]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                LocalRelay(folder=tmp_path / f"{n}", log=tmp_path / f"{n}.log")
            )
            for n in range(4)
        ]


def stored(relay: LocalRelay, author: Author) -> list[str]:
    reader = Client(relay.url)
    try:
        return [
            event["id"]
            for event in reader.subscribe("all", {"authors": [author.pubkey]})
        ]
    finally:
        reader.close()


def test_h10_event_for_three_named_relays_survives_sigkill(
    tmp_path: Path, relays: list[LocalRelay]
) -> None:
    *named, configured = relays
    down = named[2]
    down.stop()
    server = LnbitsServer(tmp_path / "lnbits", environment=ALLOWED)
    with server:
        settings = {"reconnect_max_seconds": 2}
        server.api("PUT", "/config", {"settings": settings})
        server.api("POST", "/relay", {"url": configured.url})
        user, stranger = server.new_user(), server.new_user()
        author = Author()
        event = author.event("for three relays")
        urls = [relay.url for relay in named]
        body: dict[str, Any] = {"event": event, "wait": 3, "relays": urls}
        answer = user.post(f"{API}/publish", json=body).json()
        assert answer["state"] == "accepted"
        assert answer["relays"] == {
            url: {"accepted": True, "message": "", "pending": False} for url in urls[:2]
        } | {down.url: {"accepted": None, "message": "", "pending": True}}

        waiting = author.event("for the dead one only")
        body = {"event": waiting, "relays": [down.url]}
        assert user.post(f"{API}/publish", json=body).json()["state"] == "queued"
        [shown] = server.api("GET", "/outbox")
        assert shown["event_id"] == waiting["id"]
        assert shown["owed"] == [down.url], "the page says to which relays"

        [shown] = [
            relay
            for relay in server.api("GET", "/named-relays")
            if relay["url"] == down.url
        ]
        assert shown["pending"] == 2
        assert shown["state"] in ("waiting", "connecting")
        assert "refused" in shown["message"]
        status = server.api("GET", "/status")
        assert status["named_events"] == 2
        assert status["named_relays"] == 3
        assert status["named_relays_connected"] == 2

        server.kill()
        server.start()
        for published, state in ((event, "accepted"), (waiting, "queued")):
            path = f"{API}/publish/{published['id']}"
            receipt = user.get(path).raise_for_status().json()
            assert receipt["state"] == state, "the outbox knows it after the restart"
            assert receipt["relays"] == {
                down.url: {"accepted": None, "message": "", "pending": True}
            }
            assert stranger.get(path).status_code == 404
        down.start()
        both = sorted((event["id"], waiting["id"]))
        wait_until(lambda: sorted(stored(down, author)) == both, "it has both", 30)
        wait_until(lambda: server.api("GET", "/outbox") == [], "nothing is left")
        assert stored(configured, author) == [], "nobody else was sent them"
        assert [relay["url"] for relay in server.api("GET", "/relays")] == [
            configured.url
        ]
