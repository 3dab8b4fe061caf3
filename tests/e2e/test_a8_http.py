"""A8: publishing and querying over HTTP, as a WASM extension or a script does it."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, wait_until
from .conftest import Connect

API = "/nostrclient/api/v1"
KIB = 1024


@pytest.fixture
def user(lnbits: LnbitsServer) -> httpx.Client:
    """Return a client of somebody who is no admin."""
    return lnbits.new_user()


def publish(user: httpx.Client, event: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = user.post(f"{API}/publish", json={"event": event, **more})
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def query(user: httpx.Client, *filters: Any, **more: Any) -> dict[str, Any]:
    answer = user.post(f"{API}/query", json={"filters": filters, **more})
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def is_accepted(client: Client, event: dict[str, Any]) -> bool:
    return client.publish(event)[0]


def put(client: Client, events: list[dict[str, Any]]) -> None:
    """Publish events at the pace of the relays, which take 60 a minute."""
    for event in events:
        wait_until(partial(is_accepted, client, event), "accepted", 90, 1.0)


def test_a8_event_is_published_and_read_back(
    user: httpx.Client, relays: list[LocalRelay]
) -> None:
    author = Author()
    event = author.event("hello ✓ \u2028")
    answer = publish(user, event, wait=9)
    assert answer["accepted"] is True
    assert answer["state"] == "accepted"
    assert answer["relays"] == {
        relay.url: {"accepted": True, "message": "", "pending": False}
        for relay in relays
    }
    found = query(user, {"authors": [author.pubkey]})
    assert found["events"] == [event]
    assert found["complete"] is True
    last = query(user, {"authors": [author.pubkey]}, cursor=found["cursor"])
    assert last["events"] == []
    assert last["cursor"] is None


def test_a8_receipt_tells_what_relays_said_since(
    user: httpx.Client, relays: list[LocalRelay]
) -> None:
    event = Author().event("late")
    relays[0].stop()
    answer = publish(user, event)
    assert answer["accepted"] is True
    path = f"{API}/publish/{event['id']}"
    wait_until(
        lambda: user.get(path).json()["relays"][relays[0].url]["pending"] is True,
        "the event waits for the relay that is down",
    )
    relays[0].start()
    wait_until(
        lambda: user.get(path).json()["relays"][relays[0].url]["accepted"] is True,
        "the relay has it after its return",
        seconds=70,
    )


def test_a8_event_is_queued_while_no_relay_is_up(
    user: httpx.Client, lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    for relay in relays:
        relay.stop()
    wait_until(
        lambda: not any(known["connected"] for known in lnbits.api("GET", "/relays")),
        "no relay is connected",
    )
    event = Author().event("queued")
    answer = publish(user, event)
    assert answer["state"] == "queued"
    assert answer["message"].startswith("queued:")
    empty = query(user, {"ids": [event["id"]]})
    assert empty["events"] == []
    assert empty["complete"] is False
    for relay in relays:
        relay.start()
    path = f"{API}/publish/{event['id']}"
    wait_until(
        lambda: user.get(path).json()["state"] == "accepted", "it is accepted", 70
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sig": 128 * "0"}, "invalid:"),
        ({"id": 64 * "0"}, "invalid:"),
        ({"id": 7}, "invalid:"),
        ({"tags": [["-"]]}, "invalid:"),
        ({"content": None}, "invalid:"),
    ],
)
def test_a8_wrong_event_is_refused(
    user: httpx.Client, change: dict[str, Any], reason: str
) -> None:
    event = Author().event("wrong") | change
    answer = publish(user, event)
    assert answer["accepted"] is False
    assert answer["state"] == "refused"
    assert answer["message"].startswith(reason)
    assert answer["relays"] == {}


def test_c1_protected_and_expired_events_are_refused_over_http(
    user: httpx.Client,
) -> None:
    protected = publish(user, Author().event(tags=[["-"]]))
    assert (protected["accepted"], protected["message"][:8]) == (False, "blocked:")
    expired = publish(user, Author().event(tags=[["expiration", "1"]]))
    assert (expired["accepted"], expired["message"][:8]) == (False, "invalid:")


def test_a8_query_is_paged_to_the_end_without_a_gap_or_a_copy(
    user: httpx.Client, connect: Connect
) -> None:
    author = Author()
    client = connect()
    began = int(time.time()) - 1000
    # Seven of one second stand across the end of a page.
    times = [began + number // 7 for number in range(30)]
    events = [
        author.event(str(number), created_at=at) for number, at in enumerate(times)
    ]
    put(client, events)
    wanted = sorted(events, key=lambda event: (-event["created_at"], event["id"]))
    found: list[dict[str, Any]] = []
    cursor = None
    for _ in range(20):
        page = query(
            user, {"authors": [author.pubkey], "kinds": [1]}, limit=5, cursor=cursor
        )
        assert len(page["events"]) <= 5
        found += page["events"]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert [event["id"] for event in found] == [event["id"] for event in wanted]


def test_a8_answer_is_no_larger_than_a_wasm_extension_reads(
    user: httpx.Client, connect: Connect
) -> None:
    author = Author()
    client = connect()
    began = int(time.time()) - 100
    events = [
        author.event(14 * KIB * "é", created_at=began + number) for number in range(12)
    ]
    put(client, events)
    found: list[str] = []
    cursor = None
    for _ in range(10):
        answer = user.post(
            f"{API}/query",
            json={"filters": [{"authors": [author.pubkey]}], "cursor": cursor},
        )
        assert len(answer.content) <= 256 * KIB
        found += [event["id"] for event in answer.json()["events"]]
        cursor = answer.json()["cursor"]
        if cursor is None:
            break
    assert found == [event["id"] for event in reversed(events)]


def test_a8_request_is_no_larger_than_64_kib(user: httpx.Client) -> None:
    body = {"event": Author().event(64 * KIB * "x")}
    assert user.post(f"{API}/publish", json=body).status_code == 413

    def chunks() -> Any:
        for _ in range(100):
            yield KIB * b"["

    assert user.post(f"{API}/query", content=chunks()).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filters": "x"},
        {"filters": [1]},
        {"filters": [{"kinds": "x"}]},
        {"filters": [{"limit": "x"}]},
        {"filters": [{"until": -1}]},
        {"filters": [{}], "limit": 0},
        {"filters": [{}], "limit": 501},
        {"filters": [{}], "cursor": "nonsense"},
        {"filters": [{}], "cursor": "WzEsMiwzXQ=="},
    ],
)
def test_a8_wrong_query_is_refused(user: httpx.Client, body: Any) -> None:
    assert user.post(f"{API}/query", json=body).status_code == 400


def test_a8_body_that_is_no_json_is_refused(user: httpx.Client) -> None:
    for body in (b"", b"{", 60 * KIB * b"[", b'{"event": NaN}', b"\xff"):
        for path in ("publish", "query"):
            answer = user.post(
                f"{API}/{path}",
                content=body,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 400, body[:20]


def test_a8_wallet_s_key_and_session_are_the_same_caller(
    lnbits: LnbitsServer, user: httpx.Client
) -> None:
    wallet = user.post("/api/v1/wallet", json={"name": "nostr"}).json()
    event = Author().event("by key")
    with httpx.Client(base_url=lnbits.url, timeout=30) as anybody:
        body = {"event": event}
        assert anybody.post(f"{API}/publish", json=body).status_code == 401
        path = f"{API}/publish/{event['id']}"
        assert anybody.get(path).status_code == 401
        assert anybody.post(f"{API}/query", json={"filters": []}).status_code == 401
        wrong = {"X-Api-Key": "wrong"}
        assert anybody.get(path, headers=wrong).status_code == 401
        for name in ("inkey", "adminkey"):
            key = {"X-Api-Key": wallet[name]}
            answer = anybody.post(f"{API}/publish", json=body, headers=key)
            assert answer.status_code == 200
            assert answer.json()["accepted"] is True
            assert anybody.get(path, headers=key).status_code == 200
    assert user.get(path).status_code == 200


def test_a8_receipt_of_another_user_is_not_shown(
    lnbits: LnbitsServer, user: httpx.Client
) -> None:
    event = Author().event("mine")
    publish(user, event)
    path = f"{API}/publish/{event['id']}"
    assert user.get(path).status_code == 200
    assert lnbits.new_user().get(path).status_code == 404
    assert lnbits.http.get(path).status_code == 404


def test_f2_user_above_the_public_rate_is_told_to_slow_down(
    lnbits: LnbitsServer, user: httpx.Client
) -> None:
    # Each named relay costs more of the rate: a slow machine is above it, too.
    body = {"event": {}, "relays": ["no relay"] * 10}
    path = f"{API}/publish/{'0' * 64}"
    answer = user.post(f"{API}/publish", json=body)
    for _ in range(10):
        if answer.status_code == 429:
            break
        assert answer.status_code == 400
        answer = user.post(f"{API}/publish", json=body)
    assert answer.status_code == 429
    assert answer.json()["detail"].startswith("rate-limited:")
    assert lnbits.new_user().get(path).status_code == 404, "another user is not held"


def test_f2_user_may_not_hold_many_requests_open(
    user: httpx.Client, relays: list[LocalRelay]
) -> None:
    for relay in relays:
        relay.freeze()
    try:
        with ThreadPoolExecutor(15) as pool:
            body = {"filters": [{"kinds": [1]}]}
            answers = list(
                pool.map(
                    lambda _: user.post(f"{API}/query", json=body).status_code,
                    range(15),
                )
            )
    finally:
        for relay in relays:
            relay.thaw()
    assert answers.count(429) == 5
    assert answers.count(200) == 10


def test_b6_requests_leave_nothing_behind(
    lnbits: LnbitsServer, user: httpx.Client
) -> None:
    before = lnbits.api("GET", "/status")
    for _ in range(5):
        query(user, {"kinds": [1]}, limit=3)
        publish(user, Author().event())
    assert lnbits.api("GET", "/status")["subscriptions"] == before["subscriptions"]
    assert lnbits.api("GET", "/status")["clients"] == before["clients"]


def test_a8_recipe_needs_curl_only(lnbits: LnbitsServer, user: httpx.Client) -> None:
    wallet = user.post("/api/v1/wallet", json={"name": "curl"}).json()
    author = Author()
    event = author.event("from curl")

    def curl(*arguments: str) -> Any:
        answer = subprocess.run(
            ["curl", "-sS", "-H", f"X-Api-Key: {wallet['inkey']}", *arguments],
            check=True,
            capture_output=True,
            timeout=30,
        )
        return json.loads(answer.stdout)

    base = f"{lnbits.url}{API}"
    as_json = ("-H", "Content-Type: application/json", "-d")
    body = json.dumps({"event": event, "wait": 5})
    assert curl(*as_json, body, f"{base}/publish")["accepted"] is True
    assert curl(f"{base}/publish/{event['id']}")["state"] == "accepted"
    wanted = json.dumps({"filters": [{"authors": [author.pubkey]}]})
    assert curl(*as_json, wanted, f"{base}/query")["events"] == [event]


def test_h10_query_asks_the_relays_that_it_names(
    lnbits: LnbitsServer, user: httpx.Client, extra_relay: LocalRelay, connect: Connect
) -> None:
    author = Author()
    event = author.event("elsewhere")
    assert connect(url=extra_relay.url).publish(event)[0]
    wanted = {"authors": [author.pubkey]}
    assert query(user, wanted)["events"] == []
    body = {"filters": [wanted], "relays": [extra_relay.url]}
    refused = user.post(f"{API}/query", json=body)
    assert refused.status_code == 400, "LNbits' rules allow no addresses"

    def set_rules(rules: list[str], private: bool) -> None:
        changed = {
            "lnbits_callback_url_rules": rules,
            "lnbits_callback_allow_private_ips": private,
        }
        lnbits.http.put("/admin/api/v1/settings", json=changed).raise_for_status()

    try:
        set_rules([], False)
        private = user.post(f"{API}/query", json=body).json()
        assert private["events"] == []
        assert private["complete"] is False
        set_rules([], True)
        found = user.post(f"{API}/query", json=body).json()
        assert found["events"] == [event]
        assert found["complete"] is True
        assert extra_relay.url not in {
            relay["url"] for relay in lnbits.api("GET", "/relays")
        }
        many = body | {"relays": [f"wss://{number}.example" for number in range(6)]}
        assert user.post(f"{API}/query", json=many).status_code == 400
    finally:
        set_rules(["https?://([a-zA-Z0-9.-]+\\.[a-zA-Z]{2,})(:\\d+)?"], False)
