"""What the admin page shows besides relays: outbox, clients, identity, settings.

Where a state is hard to bring about, the browser is given the server's answer.
"""

import re
from collections.abc import Sequence
from typing import Any

import nostr_sdk
from playwright.sync_api import Locator, expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .conftest import SECONDS, AdminPage
from .scenery import (
    HARM,
    Entry,
    Scenery,
    client_entry,
    information,
    lost_event,
    relay_entry,
    said,
    waiting_event,
)

expect.set_options(timeout=SECONDS * 1000)

# Switches


def test_a_relay_is_switched_off_and_used_for_reading_only(
    admin: AdminPage, relays: list[LocalRelay], server: LnbitsServer
) -> None:
    url = relays[1].url

    def stored() -> dict[str, Any]:
        found = [item for item in server.api("GET", "/relays") if item["url"] == url]
        assert len(found) == 1
        return {name: found[0][name] for name in ("active", "read", "write")}

    def switch(name: str) -> Locator:
        return admin.relay(url).get_by_role("switch", name=name)

    expect(admin.state(url)).to_contain_text("Connected")
    try:
        switch("Write to").click()
        expect(switch("Write to")).to_have_attribute("aria-checked", "false")
        expect(switch("Use")).to_be_enabled()
        assert stored() == {"active": True, "read": True, "write": False}
        switch("Use").click()
        expect(admin.state(url)).to_contain_text("Disabled")
        expect(admin.summary).to_have_text("All 1 relays connected")
        assert stored() == {"active": False, "read": True, "write": False}
        switch("Use").click()
        expect(admin.state(url)).to_contain_text("Connected")
        switch("Write to").click()
        expect(switch("Write to")).to_have_attribute("aria-checked", "true")
        assert stored() == {"active": True, "read": True, "write": True}
    finally:
        server.api(
            "PUT", "/relay", {"url": url, "active": True, "read": True, "write": True}
        )


# Outbox


def stage(admin: AdminPage, **parts: Sequence[Entry]) -> Scenery:
    """Open the page again with a server that says what it is told to."""
    scenery = Scenery(admin.page, **parts)
    admin.page.reload()
    return scenery


def test_the_outbox_is_empty_and_says_so(admin: AdminPage) -> None:
    outbox = admin.page.get_by_test_id("outbox")
    expect(outbox).to_contain_text("The outbox is empty.")
    expect(outbox.get_by_role("button", name="Retry all now")).to_have_count(0)


def test_waiting_event_is_retried_and_discarded_when_confirmed(
    admin: AdminPage,
) -> None:
    scenery = stage(admin, outbox=[waiting_event(5), waiting_event(1)])
    outbox = admin.page.get_by_test_id("outbox")
    row = outbox.locator(f'[data-event="{5:064x}"]')
    expect(row).to_contain_text("5 minutes ago")
    expect(row).to_contain_text("1059")
    expect(row).to_contain_text("705 B")
    row.get_by_role("button", name="2 relays").click()
    expect(outbox).to_contain_text("error: <b>full</b>")
    row.get_by_role("button", name="Retry event").click()
    expect(row.get_by_role("button", name="Discard")).to_be_enabled()
    with admin.page.expect_request("**/api/v1/relay/reconnect"):
        outbox.get_by_role("button", name="Retry all now").click()
    expect(admin.page.get_by_text("Retrying 2 events.")).to_be_visible()
    expect(row.get_by_role("button", name="Discard")).to_be_enabled()

    row.get_by_role("button", name="Discard").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{5:064x}"[:8])
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(row).to_have_count(0)
    assert scenery.changes == [f"PUT {5:064x}", "PUT outbox", f"DELETE {5:064x}"]


def test_a_thousand_waiting_events_are_usable(admin: AdminPage) -> None:
    stage(admin, outbox=[waiting_event(number) for number in range(1, 1001)])
    outbox = admin.page.get_by_test_id("outbox")
    rows = outbox.locator("[data-event]")
    expect(rows).to_have_count(10)
    expect(rows.first).to_contain_text("16 hours ago")  # the oldest is first
    expect(outbox).to_contain_text("of 1000")
    wanted = f"{0x123:064x}"
    outbox.get_by_label("Search").fill(wanted)
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-event", wanted)


def test_undeliverable_event_is_listed(admin: AdminPage) -> None:
    stage(admin, undeliverable=[lost_event(HARM, 2)])
    admin.page.get_by_text("Undeliverable: 1").click()
    listed = admin.page.get_by_test_id("undeliverable")
    expect(listed).to_contain_text(HARM)
    expect(listed).to_contain_text("2 hours ago")


def test_undeliverable_event_is_sent_again(admin: AdminPage) -> None:
    event = lost_event("blocked: no", 2)
    scenery = stage(admin, undeliverable=[event])
    admin.page.get_by_text("Undeliverable: 1").click()
    scenery.undeliverable.clear()
    admin.page.get_by_test_id("undeliverable").get_by_role("button").click()
    expect(admin.page.get_by_text("waits in the outbox again")).to_be_visible()
    expect(admin.page.get_by_text("Undeliverable: 1")).to_be_hidden()
    assert scenery.changes == [f"PUT undeliverable/{event['event_id']}"]


# Clients


def test_clients_are_listed(admin: AdminPage) -> None:
    stage(admin, clients=[client_entry(3, agent=HARM)])
    row = admin.page.get_by_test_id("clients").locator("[data-client]")
    told = ["Public", HARM, "192.0.2.3", "3 days ago", "5", "1,234", "6", "7", "2 KiB"]
    for index, text in enumerate(told):
        expect(row.get_by_role("cell").nth(index)).to_have_text(text)
    assert not admin.page.evaluate("window.harmed")


# Settings


def test_a_setting_is_found_changed_and_put_back(
    admin: AdminPage, server: LnbitsServer
) -> None:
    dialog = admin.page.get_by_role("dialog")
    field = dialog.locator('[data-setting="ping_seconds"]')

    def look() -> None:
        admin.endpoints.get_by_role("button", name="Settings").click()
        dialog.get_by_label("Search").fill("connections pause pings")
        expect(dialog.locator("[data-setting]")).to_have_count(1)

    def stored() -> dict[str, float]:
        settings: dict[str, float] = server.api("GET", "/config").get("settings", {})
        return settings

    look()
    expect(field).to_contain_text("Default: 20 seconds")
    field.get_by_role("spinbutton").fill("-1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert").last).to_contain_text("Pause between pings")
    field.get_by_role("spinbutton").fill("30")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(admin.page.get_by_text("apply after a restart").last).to_be_visible()
    assert stored() == {"ping_seconds": 30}

    look()
    expect(field.get_by_role("spinbutton")).to_have_value("30")
    field.get_by_role("button", name="Reset").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    assert stored() == {}


# Identity key


def test_an_identity_key_is_generated_pasted_and_forgotten(admin: AdminPage) -> None:
    card = admin.page.get_by_test_id("identity")
    dialog = admin.page.get_by_role("dialog")
    expect(card).to_contain_text("No key")
    card.get_by_role("button", name="Generate").click()
    npub = card.get_by_test_id("npub")
    expect(npub).to_contain_text(re.compile("^npub1[0-9a-z]{58}$"))

    card.get_by_role("button", name="Paste a key").click()
    dialog.get_by_label("Private key").fill("nsec1nonsense")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    admin.forgive_refused_requests()
    keys = nostr_sdk.Keys.generate()
    dialog.get_by_label("Private key").fill(keys.secret_key().to_bech32())
    dialog.get_by_role("button", name="Save").click()
    expect(npub).to_have_text(keys.public_key().to_bech32())

    card.get_by_role("button", name="Delete key").click()
    expect(dialog).to_contain_text(keys.public_key().to_bech32())
    dialog.get_by_role("button", name="Delete key").click()
    expect(card).to_contain_text("No key")


# Relay details


def harmful_relay(icon: str = "") -> Entry:
    return relay_entry(
        errors=[said("connection refused", 2)],
        notices=[said(HARM, 60)],
        num_duplicate_events=1234,
        round_trips_ms=[40, 60, 45, 42],
        asks_who_we_are=True,
        information=information(
            HARM,
            icon=icon,
            software="git+https://software.example",
            version="1.2.3",
            description=HARM,
            contact=HARM,
            limitation={"max_message_length": 65536, "auth_required": True},
        ),
    )


def test_f4_a_relays_details_are_text(admin: AdminPage) -> None:
    item = harmful_relay()
    stage(admin, relays=[item])
    admin.relay(item["url"]).get_by_role("button", name="Details").click()
    details = admin.page.get_by_test_id("details")
    expect(details.get_by_test_id("since")).to_have_text("Connected for 5 minutes")
    ping = "Ping 42 ms, lowest 40 ms, highest 60 ms"
    expect(details.get_by_role("img", name=ping)).to_be_visible()
    expect(details.get_by_test_id("counters")).to_contain_text("1,234")
    limits = details.get_by_test_id("limits")
    expect(limits).to_contain_text("max_message_length64 KiB")
    expect(limits).to_contain_text("auth_requiredyes")
    expect(details).to_contain_text("git+https://software.example 1.2.3")
    expect(details).to_contain_text("Requires clients to sign in")
    expect(details.get_by_test_id("log").get_by_role("listitem")).to_have_text(
        ["connection refused 2 minutes ago", f"{HARM} 1 hour ago"]
    )
    expect(details.get_by_test_id("relay-history")).to_contain_text(HARM)
    assert details.inner_text().count(HARM) == 5
    assert details.locator("img").count() == 0
    assert not admin.page.evaluate("window.harmed")


def test_f4_browser_of_the_admin_does_not_fetch_a_relays_icon(admin: AdminPage) -> None:
    item = harmful_relay("https://icon.example/icon.png")
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url))
    stage(admin, relays=[item])
    admin.relay(item["url"]).get_by_role("button", name="Details").click()
    details = admin.page.get_by_test_id("details")
    expect(details.get_by_text("dns", exact=True)).to_be_visible()
    assert details.locator("img").count() == 0
    assert not [url for url in asked if "icon.example" in url]
