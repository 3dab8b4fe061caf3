"""What operators, merchants and robots are told about whether Nostr works."""

from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.browser.talkative_relay import TalkativeRelay

from .clients import Author, wait_until
from .conftest import Connect

API = "/nostrclient/api/v1"


def relay_status(lnbits: LnbitsServer, url: str) -> dict[str, Any]:
    found = [item for item in lnbits.api("GET", "/relays") if item["url"] == url]
    status: dict[str, Any] = found[0]["status"]
    return status


def health(lnbits: LnbitsServer, method: str = "GET") -> tuple[int, str]:
    answer = httpx.request(method, f"{lnbits.url}{API}/health", timeout=10)
    return answer.status_code, answer.text


def test_a7_user_who_is_no_admin_sees_url_and_connected_only(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    user = lnbits.new_user()
    answer = user.get(f"{API}/relays")
    assert answer.status_code == 200
    assert all(item.keys() == {"url", "connected"} for item in answer.json())
    shown = {item["url"]: item["connected"] for item in answer.json()}
    assert shown == dict.fromkeys((relay.url for relay in relays), True)
    user.put("/api/v1/extension/nostrclient/disable").raise_for_status()
    assert user.get(f"{API}/relays").json() == answer.json()
    assert user.get(f"{API}/outbox").status_code == 403
    assert httpx.get(f"{lnbits.url}{API}/relays").status_code == 401


def test_a7_status_light_of_nostrmarket_is_green_for_a_merchant_who_is_no_admin(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    """Its page asks with the session's cookie alone, and needs 200 and connected ones.

    The merchant has never enabled nostrclient.
    """
    user = lnbits.new_user()
    user.put("/api/v1/extension/nostrclient/disable").raise_for_status()
    token = user.headers["Authorization"].removeprefix("Bearer ")
    cookies = {"cookie_access_token": token}
    with httpx.Client(base_url=lnbits.url, cookies=cookies) as merchant:
        answer = merchant.get(f"{API}/relays")
    assert answer.status_code == 200
    connected = [item for item in answer.json() if item["connected"]]
    assert len(connected) == len(answer.json()) == len(relays)


def test_a7_health_is_200_only_while_events_can_be_published_and_received(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    assert health(lnbits) == (200, "ok")
    assert health(lnbits, "HEAD") == (200, "")
    for switch in ("read", "write", "active"):
        for relay in relays:
            lnbits.api("PUT", "/relay", {"url": relay.url, switch: False})
        try:
            wait_until(
                lambda: health(lnbits) == (503, "unavailable"), f"{switch} is off"
            )
        finally:
            for relay in relays:
                lnbits.api("PUT", "/relay", {"url": relay.url, switch: True})
        wait_until(lambda: health(lnbits) == (200, "ok"), f"{switch} is on again")


@pytest.fixture
def refusing(lnbits: LnbitsServer) -> Any:
    with TalkativeRelay("no") as relay:
        lnbits.api("POST", "/relay", {"url": relay.url})
        yield relay
        lnbits.api("DELETE", "/relay", {"url": relay.url})


def test_i2_relay_that_refuses_events_is_told_apart_from_others(
    lnbits: LnbitsServer,
    relays: list[LocalRelay],
    refusing: TalkativeRelay,
    connect: Connect,
    author: Author,
) -> None:
    wait_until(
        lambda: relay_status(lnbits, refusing.url)["connections"] == 1, "connected"
    )
    client = connect()
    client.subscribe("s", {"authors": [author.pubkey]})
    assert client.publish(author.event("hello"))[0] is True
    wait_until(
        lambda: relay_status(lnbits, refusing.url)["publishing"] == "refused", "refused"
    )
    bad, good = (relay_status(lnbits, url) for url in (refusing.url, relays[0].url))
    assert bad["refused_events"] == {"blocked": 1}
    assert bad["refusals"][0]["text"] == "blocked: no"
    assert bad["num_accepted_events"] == 0
    assert bad["receiving"] == "works"
    assert bad["num_finished_requests"] >= 1
    assert good["publishing"] == good["receiving"] == "works"
    assert good["num_accepted_events"] >= 1
    status = lnbits.api("GET", "/status")
    assert status["can_publish"] is status["can_receive"] is True
    assert status["figures"]["success"] > 0


def test_i2_relay_that_went_down_says_since_when(
    lnbits: LnbitsServer, relays: list[LocalRelay]
) -> None:
    relay = relays[0]
    assert relay_status(lnbits, relay.url)["down_since"] is None
    relay.stop()
    try:
        wait_until(
            lambda: relay_status(lnbits, relay.url)["down_since"] is not None, "down"
        )
        since = relay_status(lnbits, relay.url)["down_since"]
        wait_until(
            lambda: len(relay_status(lnbits, relay.url)["errors"]) > 2, "tried again"
        )
        assert relay_status(lnbits, relay.url)["down_since"] == pytest.approx(
            since, abs=1
        )
    finally:
        relay.start()


def test_i7_log_says_what_an_admin_changed_and_no_secret(lnbits: LnbitsServer) -> None:
    who = lnbits.http.get("/api/v1/auth").raise_for_status().json()["id"]
    key, secret = Author(), "socks5h://me:pass-7f3a@127.0.0.1:9"
    settings = lnbits.api("GET", "/config")["settings"]
    changed = {**settings, "ping_seconds": 21}
    name = "Shop app\nforged line"
    try:
        lnbits.api("PUT", "/config", {"public_ws": False, "settings": changed})
        lnbits.api("PUT", "/config", {"proxy_url": secret})
        lnbits.api("POST", "/identities", {"nsec": key.nsec, "label": ""})
        lnbits.api("DELETE", "/identities", {"pubkey": key.pubkey})
        url = lnbits.api("POST", "/private-urls", {"name": name})
        lnbits.api("PUT", f"/private-urls/{url['id']}", {"is_open": False})
        lnbits.api("PUT", "/merchants", {"enabled": False})
        lnbits.api("DELETE", f"/private-urls/{url['id']}")
    finally:
        back = {"ping_seconds": 20}
        lnbits.api("PUT", "/config", {"proxy_url": "", "settings": settings | back})
    printed = lnbits.printed()
    admin = f"nostrclient: admin {who[:8]}: "
    for what in (
        "the public endpoint is closed",
        "setting ping_seconds: 20 becomes 21",
        "the proxy is changed",
        f"reader key {key.pubkey} is added",
        f"reader key {key.pubkey} is removed",
        "the keys of nostrmarket's merchants are not used any more",
        "private URL 'Shop app\\nforged line' is closed",
        "private URL 'Shop app\\nforged line' is revoked",
    ):
        assert f"{admin}{what}\n" in printed
    ours = "\n".join(line for line in printed.splitlines() if "nostrclient: " in line)
    for hidden in (who, "pass-7f3a", key.nsec):
        assert hidden not in ours
    assert "nostrclient: started with " in printed
