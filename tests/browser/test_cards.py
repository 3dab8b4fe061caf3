"""What the admin page shows besides relays: outbox, clients, identity, settings.

Where a state is hard to bring about, the browser is given the server's answer.
"""

import time
from typing import Any

from playwright.sync_api import Locator, Route, expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .conftest import SECONDS, AdminPage

expect.set_options(timeout=SECONDS * 1000)

API = "**/nostrclient/api/v1"


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
    admin.page.route(f"{API}/outbox/*", answer)
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
