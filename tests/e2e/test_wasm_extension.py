"""A8 as a WASM extension sees it: LNbits' own host call, with its limits.

The host call passes on the user's token, takes 64 KiB, reads 256 KiB and waits 10 s.
"""

import json
import time
from itertools import chain
from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, wait_until

KIB = 1024


@pytest.fixture
def shop(lnbits: LnbitsServer) -> httpx.Client:
    """Return a user of a WASM extension."""
    return lnbits.new_user()


def ask(user: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return what the host call gives the extension: status and body, or an error."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    call = {"method": method, "path": f"/api/v1/{path}", "body": text}
    answer = user.post("/probe/wasm", json=call, timeout=30).raise_for_status()
    result: dict[str, Any] = answer.json()
    return result


def read(answer: dict[str, Any], status: int = 200) -> Any:
    assert answer.get("status") == status, answer
    return json.loads(answer["body"])


def test_a8_wasm_extension_publishes_waits_for_the_receipt_and_reads_back(
    shop: httpx.Client,
) -> None:
    author = Author()
    event = author.event("an order", tags=[["t", "wasm"]])
    answer = read(ask(shop, "POST", "publish", {"event": event}))
    assert answer["accepted"] is True
    wait_until(
        lambda: all(
            relay["accepted"]
            for relay in read(ask(shop, "GET", f"publish/{event['id']}"))[
                "relays"
            ].values()
        ),
        "all relays have it",
    )
    wanted = {"filters": [{"authors": [author.pubkey]}]}
    found = read(ask(shop, "POST", "query", wanted))
    assert found["events"] == [event]


def test_a8_receipts_of_another_user_s_extension_are_not_shown(
    shop: httpx.Client, lnbits: LnbitsServer
) -> None:
    event = Author().event("mine")
    read(ask(shop, "POST", "publish", {"event": event}))
    other = lnbits.new_user()
    assert ask(other, "GET", f"publish/{event['id']}")["status"] == 404
    assert ask(other, "GET", "config")["status"] == 403
    assert ask(other, "GET", "outbox")["status"] == 403


def test_a8_largest_request_that_the_host_sends_is_taken(shop: httpx.Client) -> None:
    event = Author().event((64 * KIB - 700) * "x")
    body = json.dumps({"event": event})
    body += (64 * KIB - len(body)) * " "
    assert len(body) == 64 * KIB
    assert read(ask(shop, "POST", "publish", body))["state"] != "undeliverable"
    assert "error" in ask(shop, "POST", "publish", f"{body} "), "LNbits refuses more"


def test_a8_answer_above_256_kib_comes_in_pages_that_the_host_reads(
    shop: httpx.Client,
) -> None:
    author = Author()
    events = [
        author.event(60_000 * "x", created_at=1_700_000_000 + number)
        for number in range(6)
    ]
    for event in events:
        answer = read(ask(shop, "POST", "publish", {"event": event, "wait": 5}))
        assert answer["accepted"] is True
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        wanted = {"filters": [{"authors": [author.pubkey]}], "cursor": cursor}
        page = read(ask(shop, "POST", "query", wanted))
        cursor = page["cursor"]
        if cursor is None:
            break
        pages.append([event["id"] for event in page["events"]])
    assert len(pages) > 1
    assert list(chain(*pages)) == [event["id"] for event in reversed(events)]


def test_a8_slow_relay_keeps_the_host_waiting_for_less_than_ten_seconds(
    shop: httpx.Client, relays: list[LocalRelay]
) -> None:
    relays[0].freeze()
    try:
        began = time.monotonic()
        event = Author().event("slow")
        answer = read(ask(shop, "POST", "publish", {"event": event, "wait": 10}))
        assert answer["accepted"] is True
        assert answer["relays"][relays[0].url]["pending"] is True
        wanted = {"filters": [{"ids": [event["id"]]}]}
        found = read(ask(shop, "POST", "query", wanted))
        assert found["events"] == [event]
        assert found["complete"] is False
        assert time.monotonic() - began < 2 * 10
    finally:
        relays[0].thaw()
