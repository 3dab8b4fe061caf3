"""E11 on the page: a SOCKS5 proxy is set, and a relay's way is chosen."""

from playwright.sync_api import expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.nostr.networks import SocksServer

from .conftest import AdminPage

ONION = "nostrclienttestnostrclienttestnostrclienttestnostrclient.onion"


def set_proxy(admin: AdminPage, url: str) -> None:
    admin.endpoints.get_by_role("button", name="Settings").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_label("SOCKS5 proxy").fill(url)
    dialog.get_by_role("button", name="Save").click()


def test_e11_onion_relay_is_added_once_there_is_a_proxy(
    admin: AdminPage, server: LnbitsServer, relays: list[LocalRelay]
) -> None:
    url = f"ws://{ONION}"
    admin.add(url)
    expect(admin.page.get_by_text("A .onion relay needs a proxy")).to_be_visible()
    admin.forgive_refused_requests()

    set_proxy(admin, "http://127.0.0.1:9050")
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("not the URL of a SOCKS5 proxy")
    admin.forgive_refused_requests()
    dialog.get_by_role("button", name="Cancel").click()

    # A relay of the clear net stays direct until its own way is chosen.
    host, clear = "127.0.0.1", relays[1]
    clear_port = int(clear.url.rpartition(":")[2])
    proxy = SocksServer(places={ONION: int(relays[0].url.rpartition(":")[2])})
    with proxy.run() as port:
        try:
            set_proxy(admin, f"socks5://127.0.0.1:{port}")
            dialog.wait_for(state="detached")
            admin.add(url)
            expect(admin.state(url)).to_contain_text("Connected")

            assert (host, clear_port) not in proxy.asked
            proxy.places[host] = clear_port
            admin.relay(clear.url).get_by_role("button", name="Details").click()
            admin.page.get_by_label("Way to this relay").click()
            admin.page.get_by_role("option", name="Through the proxy").click()
            expect(admin.page.get_by_label("Way to this relay")).to_have_value(
                "Through the proxy"
            )
            expect(admin.state(clear.url)).to_contain_text("Connected")
            known = server.api("GET", "/relays")
            assert {relay["url"]: relay["route"] for relay in known}[clear.url] == (
                "proxy"
            )
        finally:
            server.api("PUT", "/relay", {"url": clear.url, "route": "default"})
            server.api("DELETE", "/relay", {"url": url})
            server.api("PUT", "/config", {"proxy_url": ""})
    assert (host, clear_port) in proxy.asked
