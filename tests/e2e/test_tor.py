"""E11: an order reaches a shop through an onion service of a real Tor network."""

from pathlib import Path

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, wait_until
from .conftest import Connect
from .tor_network import TorNetwork, needs_tor

pytestmark = needs_tor


def test_e11_order_through_tor_arrives_and_no_name_is_resolved(
    lnbits: LnbitsServer,
    extra_relay: LocalRelay,
    connect: Connect,
    tmp_path: Path,
) -> None:
    port = int(extra_relay.url.rpartition(":")[2])
    with TorNetwork(tmp_path / "tor", port) as network:
        url = f"ws://{network.onion_host}"
        proxy = f"socks5://127.0.0.1:{network.socks_port}"
        lnbits.api("PUT", "/config", {"proxy_url": proxy})
        try:
            lnbits.api("POST", "/relay", {"url": url})
            wait_until(
                lambda: any(
                    relay["url"] == url and relay["connected"]
                    for relay in lnbits.api("GET", "/relays")
                ),
                "the onion relay is connected",
                120,
            )
            shop = Author()
            client = connect()
            wanted = {"kinds": [4], "#p": [shop.pubkey]}
            assert client.subscribe("orders", wanted) == []
            order = Author().event("order", kind=4, tags=[["p", shop.pubkey]])
            customer = connect(url=extra_relay.url)
            assert customer.publish(order)[0]
            assert client.expect("EVENT", "orders")[2] == order
            answer = Author().event("thanks")
            assert client.publish(answer)[0]
            wait_until(
                lambda: customer.subscribe("answer", {"ids": [answer["id"]]})
                == [answer],
                "the answer is there",
                30,
            )
            resolved = lnbits.http.get("/probe/resolved").raise_for_status().json()
            assert "127.0.0.1" in resolved, "the resolver is watched"
            assert not [name for name in resolved if name.endswith(".onion")]
        finally:
            lnbits.api("DELETE", "/relay", {"url": url})
            lnbits.api("PUT", "/config", {"proxy_url": "", "proxy_mode": "onion"})
