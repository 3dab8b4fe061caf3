"""What the admin page shows besides relays: outbox, clients, identity, settings.

Where a state is hard to bring about, the browser is given the server's answer.
"""

import re
import time
from typing import Any

import nostr_sdk
from playwright.sync_api import Locator, Route, expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .conftest import SECONDS, AdminPage

expect.set_options(timeout=SECONDS * 1000)

API = "**/nostrclient/api/v1"
HARM = "<img src=x onerror=window.harmed=true>"


def waiting_event(number: int) -> dict[str, Any]:
    """An entry of GET /outbox."""
    return {
        "event_id": f"{number:064x}",
        "pubkey": "b" * 64,
        "kind": 1059 if number % 2 else 4,
        "size": 700 + number,
        "waiting_seconds": 60.0 * number,
        "since": time.time() - 60 * number,
        "expires_in_seconds": 600_000,
        "owed": ["wss://one.example", "wss://two.example"],
        "refusals": {"wss://two.example": "error: <b>full</b>"},
    }


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

    expect(admin.state(url)).to_contain_text("connected")
    try:
        switch("Write to").click()
        expect(switch("Write to")).to_have_attribute("aria-checked", "false")
        expect(switch("Use")).to_be_enabled()
        assert stored() == {"active": True, "read": True, "write": False}
        switch("Use").click()
        expect(admin.state(url)).to_contain_text("disabled")
        expect(admin.summary).to_have_text("Nostr works: 1 of 1 relays connected")
        assert stored() == {"active": False, "read": True, "write": False}
        switch("Use").click()
        expect(admin.state(url)).to_contain_text("connected")
        switch("Write to").click()
        expect(switch("Write to")).to_have_attribute("aria-checked", "true")
        assert stored() == {"active": True, "read": True, "write": True}
    finally:
        server.api(
            "PUT", "/relay", {"url": url, "active": True, "read": True, "write": True}
        )


# Outbox


def serve_outbox(admin: AdminPage, events: list[dict[str, Any]]) -> list[str]:
    """Answer for the outbox, discarding included; gives the list of what was asked."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        request = route.request
        event_id = request.url.rpartition("/")[2]
        if request.method == "DELETE":
            events[:] = [event for event in events if event["event_id"] != event_id]
        if request.method != "GET":
            asked.append(f"{request.method} {event_id}")
        route.fulfill(json=events if request.method == "GET" else None)

    admin.page.route(f"{API}/outbox", answer)
    admin.page.route(re.compile("/api/v1/outbox/[0-9a-f]{64}$"), answer)
    admin.page.reload()
    return asked


def test_the_outbox_is_empty_and_says_so(admin: AdminPage) -> None:
    outbox = admin.page.get_by_test_id("outbox")
    expect(outbox).to_contain_text("Nothing waits.")
    expect(outbox.get_by_role("button", name="Retry all now")).to_have_count(0)


def test_what_waits_is_retried_and_discarded_when_confirmed(admin: AdminPage) -> None:
    asked = serve_outbox(admin, [waiting_event(5), waiting_event(1)])
    outbox = admin.page.get_by_test_id("outbox")
    row = outbox.locator(f'[data-event="{5:064x}"]')
    expect(row).to_contain_text("5 minutes ago")
    expect(row).to_contain_text("1059")
    expect(row).to_contain_text("705 B")
    row.get_by_role("button", name="relays: 2").click()
    expect(outbox).to_contain_text("error: <b>full</b>")
    row.get_by_role("button", name="Retry event").click()
    expect(row.get_by_role("button", name="Discard")).to_be_enabled()
    outbox.get_by_role("button", name="Retry all now").click()
    expect(row.get_by_role("button", name="Discard")).to_be_enabled()

    row.get_by_role("button", name="Discard").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{5:064x}")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(row).to_have_count(0)
    assert asked == [f"PUT {5:064x}", "PUT outbox", f"DELETE {5:064x}"]


def test_a_thousand_waiting_events_are_usable(admin: AdminPage) -> None:
    serve_outbox(admin, [waiting_event(number) for number in range(1, 1001)])
    outbox = admin.page.get_by_test_id("outbox")
    rows = outbox.locator("[data-event]")
    expect(rows).to_have_count(10)
    expect(rows.first).to_contain_text("16 hours ago")  # the oldest is first
    expect(outbox).to_contain_text("of 1000")
    wanted = f"{0x123:064x}"
    outbox.get_by_label("Search").fill(wanted)
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-event", wanted)


def test_what_no_relay_took_is_listed(admin: AdminPage) -> None:
    event = {
        "event_id": "e" * 64,
        "pubkey": "b" * 64,
        "kind": 1,
        "reason": HARM,
        "at": int(time.time()) - 7200,
    }
    admin.page.route(
        f"{API}/outbox/undeliverable", lambda route: route.fulfill(json=[event])
    )
    admin.page.reload()
    admin.page.get_by_text("given up: 1").click()
    listed = admin.page.get_by_test_id("undeliverable")
    expect(listed).to_contain_text(HARM)
    expect(listed).to_contain_text("2 hours ago")


# Clients


def test_clients_are_listed(admin: AdminPage) -> None:
    client = {
        "id": "one",
        "endpoint": "public",
        "address": "192.0.2.7",
        "since": int(time.time()) - 3 * 86400,
        "subscriptions": 5,
        "received": 1234,
        "sent": 6,
        "dropped": 7,
        "waiting_bytes": 2048,
    }
    admin.page.route(f"{API}/clients", lambda route: route.fulfill(json=[client]))
    admin.page.reload()
    row = admin.page.get_by_test_id("clients").locator("[data-client]")
    expect(row.get_by_role("cell")).to_have_text(
        ["public", "192.0.2.7", "3 days ago", "5", "1,234", "6", "7", "2 KiB"]
    )


# Settings


def test_a_setting_is_found_changed_and_put_back(
    admin: AdminPage, server: LnbitsServer
) -> None:
    dialog = admin.page.get_by_role("dialog")
    field = dialog.locator('[data-setting="ping_seconds"]')

    def look() -> None:
        admin.endpoints.get_by_role("button", name="Settings").click()
        dialog.get_by_label("Search").fill("connections ping")
        expect(dialog.locator("[data-setting]")).to_have_count(1)

    def stored() -> dict[str, float]:
        settings: dict[str, float] = server.api("GET", "/config").get("settings", {})
        return settings

    look()
    expect(field).to_contain_text("Default: 20 seconds")
    field.get_by_role("spinbutton").fill("-1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert").last).to_contain_text("ping seconds")
    field.get_by_role("spinbutton").fill("30")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(admin.page.get_by_text("when nostrclient starts again").last).to_be_visible()
    assert stored() == {"ping_seconds": 30}

    look()
    expect(field.get_by_role("spinbutton")).to_have_value("30")
    field.get_by_role("button", name="Put back").click()
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
    admin.forgive_refused_request()
    keys = nostr_sdk.Keys.generate()
    dialog.get_by_label("Private key").fill(keys.secret_key().to_bech32())
    dialog.get_by_role("button", name="Save").click()
    expect(npub).to_have_text(keys.public_key().to_bech32())

    card.get_by_role("button", name="Forget").click()
    expect(dialog).to_contain_text(keys.public_key().to_bech32())
    dialog.get_by_role("button", name="Forget").click()
    expect(card).to_contain_text("No key")


# Relay details


RELAY: dict[str, Any] = {
    "id": "one",
    "url": "wss://one.example",
    "active": True,
    "read": True,
    "write": True,
    "connected": True,
    "connected_string": "connected",
    "ping": 42,
}


def relay_item(url: str = "wss://one.example", **status: Any) -> dict[str, Any]:
    """An item of GET /relays."""
    said = {
        "num_received_events": 12,
        "num_sent_events": 3,
        "error_counter": 1,
        "errors": [{"text": "connection refused", "at": time.time() - 120}],
        "notices": [{"text": HARM, "at": time.time() - 3600}],
        "since": time.time() - 300,
        "num_duplicate_events": 1234,
        "num_invalid_messages": 5,
        "num_owed_events": 6,
        "round_trips_ms": [40, 60, 45, 42],
        "information": {
            "name": HARM,
            "icon": "",
            "software": "git+https://software.example",
            "version": "1.2.3",
            "description": HARM,
            "contact": HARM,
            "limitation": {"max_message_length": 65536, "auth_required": True},
        },
        "asks_who_we_are": True,
    }
    return {**RELAY, "id": url, "url": url, "status": {**said, **status}}


def test_f4_a_relays_details_are_text(admin: AdminPage) -> None:
    item = relay_item()
    admin.page.route(f"{API}/relays", lambda route: route.fulfill(json=[item]))
    admin.page.reload()
    admin.relay(item["url"]).get_by_role("button", name="Errors").click()
    details = admin.page.get_by_test_id("details")
    expect(details.get_by_test_id("since")).to_have_text(
        "connected, since 5 minutes ago"
    )
    expect(details.get_by_role("img")).to_have_attribute(
        "aria-label", "Ping 42 ms, lowest 40 ms, highest 60 ms"
    )
    expect(details.get_by_test_id("counters")).to_contain_text("1,234")
    limits = details.get_by_test_id("limits")
    expect(limits).to_contain_text("max_message_length64 KiB")
    expect(limits).to_contain_text("auth_requiredyes")
    expect(details).to_contain_text("git+https://software.example 1.2.3")
    expect(details).to_contain_text("It asks clients who they are")
    expect(details.get_by_role("listitem")).to_have_text(
        ["connection refused 2 minutes ago", f"{HARM} 1 hour ago"]
    )
    assert details.inner_text().count(HARM) == 4
    assert details.locator("img").count() == 0
    assert not admin.page.evaluate("window.harmed")


def test_an_icon_that_does_not_load_is_replaced(admin: AdminPage) -> None:
    item = relay_item()
    item["status"]["information"]["icon"] = "https://icon.example/icon.png"
    admin.page.route("https://icon.example/*", lambda route: route.fulfill(status=404))
    admin.page.route(f"{API}/relays", lambda route: route.fulfill(json=[item]))
    admin.page.reload()
    with admin.page.expect_request("https://icon.example/icon.png") as asked:
        admin.relay(item["url"]).get_by_role("button", name="Errors").click()
    assert "referer" not in asked.value.headers
    details = admin.page.get_by_test_id("details")
    expect(details.get_by_text("dns", exact=True)).to_be_visible()
    assert details.locator("img").count() == 0
    admin.forgive_refused_request()
