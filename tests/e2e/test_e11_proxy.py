"""E11: relays behind a SOCKS5 proxy, and .onion names that nobody else is asked for."""

from collections.abc import Iterator

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.nostr.networks import SocksServer

from .clients import Author, wait_until
from .conftest import Connect

ONION = "nostrclienttestnostrclienttestnostrclienttestnostrclient.onion"
RELAYS = "/relays"


@pytest.fixture
def server() -> SocksServer:
    return SocksServer()


@pytest.fixture
def proxy_url(server: SocksServer, lnbits: LnbitsServer) -> Iterator[str]:
    """Run a proxy and yield its URL; afterwards nothing is left of it."""
    with server.run() as port:
        yield f"socks5://127.0.0.1:{port}"
        lnbits.api("PUT", "/config", {"proxy_url": "", "proxy_mode": "onion"})


def status(
    lnbits: LnbitsServer, method: str, path: str, body: object
) -> tuple[int, str]:
    answer = lnbits.http.request(method, f"/nostrclient/api/v1{path}", json=body)
    return answer.status_code, answer.text


def test_e11_onion_relay_without_a_proxy_is_refused_with_a_reason(
    lnbits: LnbitsServer,
) -> None:
    code, text = status(lnbits, "POST", "/relay", {"url": f"wss://{ONION}"})
    assert code == 400
    assert "needs a SOCKS5 proxy" in text
    known = lnbits.api("GET", RELAYS)[0]["url"]
    code, text = status(lnbits, "PUT", "/relay", {"url": known, "route": "proxy"})
    assert code == 400
    assert "needs a SOCKS5 proxy" in text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9050", "socks5://", "nonsense"])
def test_e11_wrong_proxy_url_is_refused(lnbits: LnbitsServer, url: str) -> None:
    code, text = status(lnbits, "PUT", "/config", {"proxy_url": url})
    assert code == 400
    assert "proxy" in text
    assert "proxy_url" not in lnbits.api("GET", "/config")


def test_e11_order_through_an_onion_relay_arrives(
    lnbits: LnbitsServer,
    server: SocksServer,
    proxy_url: str,
    extra_relay: LocalRelay,
    connect: Connect,
) -> None:
    port = int(extra_relay.url.rpartition(":")[2])
    server.places[ONION] = port
    url = f"ws://{ONION}"
    config = lnbits.api("PUT", "/config", {"proxy_url": proxy_url})
    assert config["proxy_url"] == proxy_url
    assert config["proxy_mode"] == "onion"
    lnbits.api("POST", "/relay", {"url": url})
    try:

        def onion() -> dict[str, object]:
            relays = lnbits.api("GET", RELAYS)
            found: dict[str, object] = next(r for r in relays if r["url"] == url)
            return found

        wait_until(lambda: onion()["connected"] is True, "the onion relay is connected")
        shop = Author()
        client = connect()
        assert client.subscribe("orders", {"kinds": [4], "#p": [shop.pubkey]}) == []
        order = Author().event("order", kind=4, tags=[["p", shop.pubkey]])
        with_relay = connect(url=extra_relay.url)
        assert with_relay.publish(order)[0]
        assert client.expect("EVENT", "orders")[2] == order
        resolved = lnbits.http.get("/probe/resolved").raise_for_status().json()
        assert "127.0.0.1" in resolved, "the resolver is watched"
        assert not [name for name in resolved if name.endswith(".onion")]
        # NIP-11, too, goes through the proxy; no other relay does.
        assert set(server.asked) == {(ONION, 80)}
        assert len(set(server.users)) == 1

        # A relay of the clear net goes through it where the operator says so.
        clear = next(r["url"] for r in lnbits.api("GET", RELAYS) if r["url"] != url)
        host, port = "127.0.0.1", int(clear.rpartition(":")[2])
        server.places[host] = port
        lnbits.api("PUT", "/relay", {"url": clear, "route": "proxy"})
        wait_until(lambda: (host, port) in server.asked, "it goes through the proxy")
        stored = next(r for r in lnbits.api("GET", RELAYS) if r["url"] == clear)
        assert stored["route"] == "proxy"
        lnbits.deactivate()
        lnbits.activate()
        count = server.asked.count((host, port))
        wait_until(
            lambda: server.asked.count((host, port)) > count, "after a start as well"
        )
        assert len(set(server.users)) == 2, "each relay has credentials of its own"
        lnbits.api("PUT", "/relay", {"url": clear, "route": "default"})
    finally:
        lnbits.api("DELETE", "/relay", {"url": url})


def test_e11_relay_s_state_says_why_the_proxy_refused(
    lnbits: LnbitsServer, server: SocksServer, proxy_url: str
) -> None:
    url = f"ws://other{ONION}"
    lnbits.api("PUT", "/config", {"proxy_url": proxy_url})
    lnbits.api("POST", "/relay", {"url": url})

    def errors() -> list[str]:
        relays = lnbits.api("GET", RELAYS)
        found: list[str] = next(
            relay["status"]["error_list"] for relay in relays if relay["url"] == url
        )
        return found

    try:
        wait_until(
            lambda: "SOCKS5 proxy: host unreachable" in errors(), "its reason is shown"
        )
        lnbits.api("PUT", "/config", {"proxy_url": ""})
        wait_until(
            lambda: any("needs a SOCKS5 proxy" in text for text in errors()),
            "without a proxy, too",
        )
    finally:
        lnbits.api("DELETE", "/relay", {"url": url})


def test_e11_proxy_is_shown_to_the_admin_only(lnbits: LnbitsServer) -> None:
    user: httpx.Client = lnbits.new_user()
    assert user.get("/nostrclient/api/v1/config").status_code == 403
