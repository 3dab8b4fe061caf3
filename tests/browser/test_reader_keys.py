"""H2 on the page: reader keys and nostrmarket's merchants."""

import sqlite3
from contextlib import closing

import nostr_sdk
import pytest
from playwright.sync_api import Locator, expect

from dev.lnbits_server import LnbitsServer

from .conftest import SECONDS, AdminPage
from .scenery import HARM, Scenery, relay_entry

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def card(admin: AdminPage) -> Locator:
    return admin.page.get_by_test_id("reader-keys")


def fill(dialog: Locator, nsec: str, label: str) -> None:
    dialog.get_by_label("Private key").fill(nsec)
    dialog.get_by_label("Name").fill(label)
    dialog.get_by_role("button", name="Save").click()


def test_h2_reader_key_is_added_listed_and_removed_after_a_confirmation(
    admin: AdminPage, server: LnbitsServer, card: Locator
) -> None:
    keys = nostr_sdk.Keys.generate()
    nsec, npub = keys.secret_key().to_bech32(), keys.public_key().to_bech32()
    label = f"My shop {HARM}"
    dialog = admin.page.get_by_role("dialog")
    expect(card).to_contain_text("No reader keys")
    card.get_by_role("button", name="Add a reader key").click()
    expect(dialog).to_contain_text("Do not add a personal key")
    fill(dialog, "nsec1nonsense", label)
    expect(dialog.get_by_role("alert")).to_contain_text("nsec")
    admin.forgive_refused_requests()
    fill(dialog, nsec, label)
    expect(dialog).to_have_count(0)
    expect(card.get_by_test_id("npub")).to_have_text(npub)
    expect(card.get_by_test_id("label")).to_have_text(label)
    assert admin.page.evaluate("window.harmed") is None
    assert nsec not in admin.page.content()

    card.get_by_role("button", name="Add a reader key").click()
    expect(dialog.get_by_label("Private key")).to_have_value("")
    fill(dialog, nsec, "again")
    expect(dialog.get_by_role("alert")).to_have_text("This key is in the list already.")
    admin.forgive_refused_requests()
    admin.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    remove = card.get_by_role("button", name="Remove the reader key")
    remove.click()
    expect(dialog).to_contain_text(npub)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert [key["npub"] for key in server.api("GET", "/identities")] == [npub]
    remove.click()
    dialog.get_by_role("button", name="Remove key").click()
    expect(card).to_contain_text("No reader keys")
    assert server.api("GET", "/identities") == []


def test_h2_merchants_are_counted_and_used_only_when_switched_on(
    admin: AdminPage, server: LnbitsServer, card: Locator
) -> None:
    merchants = card.get_by_test_id("merchants")
    expect(merchants).to_contain_text("No merchants on this server")
    keys = [nostr_sdk.Keys.generate() for _ in range(2)]
    with closing(sqlite3.connect(server.data / "ext_nostrmarket.sqlite3")) as database:
        database.execute("""
            CREATE TABLE merchants (
                user_id TEXT NOT NULL, id TEXT PRIMARY KEY, private_key TEXT NOT NULL,
                public_key TEXT NOT NULL, meta TEXT NOT NULL DEFAULT '{}'
            )
        """)
        for number, key in enumerate(keys):
            row = "user", str(number), key.secret_key().to_hex()
            values = (*row, key.public_key().to_hex(), "{}")
            database.execute("INSERT INTO merchants VALUES (?, ?, ?, ?, ?)", values)
        database.commit()
    admin.page.reload()
    expect(merchants.get_by_test_id("count")).to_have_text(
        "Merchants on this server: 2"
    )
    for key in keys:
        expect(merchants).to_contain_text(key.public_key().to_bech32())
    switch = merchants.get_by_role("switch")
    expect(switch).not_to_be_checked()
    assert not server.api("GET", "/merchants")["enabled"]
    switch.click()
    expect(switch).to_be_checked()
    assert server.api("GET", "/merchants")["enabled"]
    switch.click()
    expect(switch).not_to_be_checked()
    assert not server.api("GET", "/merchants")["enabled"]


def test_h8_relay_details_name_the_keys_that_the_relay_wants(admin: AdminPage) -> None:
    words = f"error: no serviceUrl {HARM}"
    keys = [
        {"pubkey": "a" * 64, "npub": "npub1held", "held": True, "auth": "accepted"},
        {"pubkey": "b" * 64, "npub": "npub1none", "held": False, "auth": "no_key"},
        {
            "pubkey": "c" * 64,
            "npub": "npub1refused",
            "held": True,
            "auth": "refused",
            "auth_message": words,
        },
    ]
    item = relay_entry(wanted_keys=keys)
    Scenery(admin.page, relays=[item])
    admin.page.reload()
    admin.relay(item["url"]).get_by_role("button", name="Details").click()
    items = admin.page.get_by_test_id("wanted-keys").get_by_role("listitem")
    expect(items).to_have_text(
        [
            "npub1heldReader key, signed in",
            "npub1noneNo reader key",
            f"npub1refusedReader key, sign-in refused: {words}",
        ]
    )
    assert not admin.page.evaluate("window.harmed")


def test_h9_details_name_the_extension_that_alone_uses_a_relay(
    admin: AdminPage,
) -> None:
    item = relay_entry(extension="nostr_bunker")
    Scenery(admin.page, relays=[item])
    admin.page.reload()
    admin.relay(item["url"]).get_by_role("button", name="Details").click()
    expect(admin.page.get_by_test_id("extension")).to_contain_text("nostr_bunker")
