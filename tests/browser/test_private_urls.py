"""I7 on the page: private URLs with names."""

import pytest
from playwright.sync_api import Locator, expect

from dev.lnbits_server import LnbitsServer
from tests.e2e.clients import Client, handshake_status, wait_until

from .conftest import SECONDS, AdminPage
from .scenery import HARM

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def card(admin: AdminPage) -> Locator:
    return admin.page.get_by_test_id("private-urls")


def test_i7_private_url_is_created_used_closed_opened_and_revoked(
    admin: AdminPage, server: LnbitsServer, card: Locator
) -> None:
    page = admin.page
    dialog = page.get_by_role("dialog")
    expect(card).to_contain_text("No private URLs with a name yet.")
    card.get_by_role("button", name="Create a private URL").click()
    dialog.get_by_label("Name of the app").fill(f"Shop {HARM}")
    dialog.get_by_label("May read private messages").click()
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_have_count(0)
    expect(card.get_by_test_id("name")).to_have_text(f"Shop {HARM}")
    expect(card.get_by_test_id("use")).to_contain_text("reads no private messages")
    expect(card.get_by_test_id("use")).to_contain_text("never used")
    assert page.evaluate("window.harmed") is None

    url = card.get_by_test_id("url").inner_text()
    client = Client(url)
    expect(card.get_by_test_id("use")).to_contain_text("connected: 1")
    expect(card.get_by_test_id("url")).to_have_text(url)
    row = page.get_by_test_id("clients").locator("[data-client]").first
    expect(row).to_contain_text("Shop")

    toggle = card.get_by_role("switch", name="is open")
    toggle.click()
    dialog.get_by_role("button", name="Close").click()
    wait_until(lambda: not client.open, "its client is disconnected")
    expect(card.get_by_test_id("use")).to_contain_text("closed")
    expect(card.get_by_test_id("use")).to_contain_text("last used")
    assert handshake_status(url) == 403
    toggle.click()
    expect(card.get_by_test_id("url")).to_have_count(1)
    assert handshake_status(url) == 101

    revoke = card.get_by_role("button", name="Revoke the private URL")
    revoke.click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert len(server.api("GET", "/private-urls")) == 1
    revoke.click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(card).to_contain_text("No private URLs with a name yet.")
    assert handshake_status(url) == 403
