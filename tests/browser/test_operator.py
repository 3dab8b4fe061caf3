"""What an operator sees when something is wrong, and mends with one click."""

import json
import re
import time

import nostr_sdk
import pytest
from playwright.sync_api import Locator, Route, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .conftest import SECONDS, AdminPage
from .scenery import (
    NAMED_RELAYS,
    OUTBOX,
    RELAYS,
    Entry,
    Scenery,
    information,
    relay_entry,
    said,
    waiting_event,
)
from .talkative_relay import TalkativeRelay

expect.set_options(timeout=SECONDS * 1000)


def causes(admin: AdminPage) -> Locator:
    return admin.page.get_by_test_id("causes")


def ending(client: Connection) -> str:
    """Read until the connection ends; return why it did."""
    try:
        while True:
            client.recv(timeout=SECONDS)
    except ConnectionClosed as closed:
        return str(closed)


def useless_relay(url: str = "wss://blocked.example") -> Entry:
    return relay_entry(
        url,
        publishing="refused",
        refused_events={"blocked": 1059},
        refusals=[said("blocked: <b>go away</b>", 1)],
        num_finished_requests=7,
        closed_requests={"auth-required": 2},
        auth="no_key",
        limits={"max_subscriptions": 20, "max_message_length": 65536},
    )


# The headline


def test_i1_relay_that_refuses_events_is_named_in_the_headline(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    url = talkative_relay.url
    admin.add(url)
    expect(admin.state(url)).to_contain_text("Connected")
    expect(causes(admin)).to_have_count(0)
    admin.send_test_message(nostr_sdk.Keys.generate().public_key().to_hex())
    expect(admin.outcome).to_contain_text("It works")
    expect(causes(admin)).to_contain_text(f"{url} refuses events: blocked: ")
    expect(admin.relay(url)).to_contain_text("Refuses events: blocked: ")
    assert not admin.page.evaluate("window.harmed")


def test_i1_publishing_fails_while_no_relay_may_be_written_to(
    admin: AdminPage, relays: list[LocalRelay], server: LnbitsServer
) -> None:
    expect(admin.summary).to_have_text("All 2 relays connected")
    try:
        for relay in relays:
            server.api("PUT", "/relay", {"url": relay.url, "write": False})
        expect(admin.summary).to_have_text("Publishing is failing")
        expect(causes(admin)).to_contain_text("No active relay has Write switched on.")
    finally:
        for relay in relays:
            server.api("PUT", "/relay", {"url": relay.url, "write": True})
    expect(admin.summary).to_have_text("All 2 relays connected")


def test_i1_cause_leads_to_the_relay_that_says_more(admin: AdminPage) -> None:
    entries = [relay_entry(f"wss://{number}.example") for number in range(30)]
    Scenery(admin.page, relays=[*entries, useless_relay()])
    admin.page.reload()
    expect(admin.summary).to_have_text("All 31 relays connected, with problems at 1")
    causes(admin).get_by_role("link").click()
    row = admin.relay("wss://blocked.example")
    expect(row).to_be_in_viewport()
    expect(row.get_by_test_id("problem")).to_have_text(
        [
            "Refuses events: blocked: <b>go away</b>",
            "Requires sign-in. Add an identity key below.",
        ]
    )
    details = admin.page.get_by_test_id("details")
    expect(details).to_contain_text("Refused: blocked1,059")
    expect(details).to_contain_text("Closed: auth-required2")
    expect(details.get_by_test_id("limits-in-force")).to_contain_text(
        "max_message_length64 KiB"
    )
    expect(details.get_by_test_id("auth")).to_contain_text("there is no identity key")


def test_i1_headline_is_grey_while_the_server_is_out_of_reach(
    admin: AdminPage,
) -> None:
    expect(admin.summary).to_contain_text("relays connected")
    admin.page.route("**/nostrclient/api/v1/live", lambda route: route.abort())
    admin.page.evaluate("""() => {
          Object.defineProperty(document, 'visibilityState', {value: 'visible'})
          document.dispatchEvent(new Event('visibilitychange'))
        }""")
    expect(admin.page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(admin.page.get_by_text("cloud_off", exact=True)).to_be_visible()
    admin.complaints.clear()  # Chromium notes each request that failed


# Relays


def test_i6_several_relays_are_pasted_and_shown_on_top(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    other = "ws://127.0.0.1:9"
    admin.add(f"{talkative_relay.url}, {other}")
    rows = admin.page.locator("[data-relay]")
    expect(rows).to_have_count(4)
    expect(admin.page.get_by_text("2 relays were added.")).to_be_visible()
    expect(rows.first).to_have_attribute("data-relay", other)


def test_i6_first_visit_offers_recommended_relays(admin: AdminPage) -> None:
    asked: list[str] = []

    def add(route: Route) -> None:
        told = route.request.post_data_json
        assert told is not None
        asked.append(told["url"])
        route.fulfill(json=[relay_entry(url) for url in asked])

    Scenery(admin.page, relays=[])
    admin.page.route("**/nostrclient/api/v1/relay", add)
    admin.page.reload()
    expect(admin.summary).to_have_text("No relays yet. Add one to get started.")
    admin.button("Use recommended relays").click()
    expect(admin.page.locator("[data-relay]")).to_have_count(7)
    assert len(asked) == 7
    assert all(url.startswith("wss://") for url in asked)


def test_i6_relays_of_an_npub_are_imported_and_the_list_is_exported(
    admin: AdminPage, server: LnbitsServer, talkative_relay: TalkativeRelay
) -> None:
    keys = nostr_sdk.Keys.generate()
    tags = [nostr_sdk.Tag.parse(["r", talkative_relay.url, "write"])]
    builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(10002), "").tags(tags)
    event = json.loads(builder.sign_with_keys(keys).as_json())
    expect(admin.summary).to_have_text("All 2 relays connected")
    assert server.api("POST", "/publish", {"event": event})["accepted"]

    admin.button("Import from npub").click()
    dialog = admin.page.get_by_role("dialog")
    field = dialog.get_by_label("npub or hex key")
    field.fill("npub1nonsense")
    dialog.get_by_role("button", name="Search").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not a valid npub")
    field.fill(keys.public_key().to_bech32())
    dialog.get_by_role("button", name="Search").click()
    expect(dialog.get_by_test_id("found")).to_contain_text(talkative_relay.url)
    expect(dialog).to_contain_text("writes there")
    dialog.get_by_role("button", name="Add 1 relays").click()
    expect(admin.state(talkative_relay.url)).to_contain_text("Connected")

    with admin.page.expect_download() as download:
        admin.button("Export").click()
    urls = download.value.path().read_text().split()
    assert talkative_relay.url in urls
    assert len(urls) == 3


def test_i6_relay_that_announces_payment_says_so(admin: AdminPage) -> None:
    told = information("paid", limitation={"payment_required": True})
    Scenery(admin.page, relays=[relay_entry("wss://paid.example", information=told)])
    admin.page.reload()
    row = admin.relay("wss://paid.example")
    expect(row.get_by_test_id("note")).to_contain_text("requires payment")


def test_i6_relay_that_waits_is_connected_to_at_once(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    relay = relays[0]
    expect(admin.state(relay.url)).to_contain_text("Connected")
    try:
        relay.stop()
        expect(admin.state(relay.url)).to_contain_text(
            re.compile(r"Retrying in \d\d s"), timeout=60_000
        )
    finally:
        relay.start()
    started = time.monotonic()
    admin.relay(relay.url).get_by_role("button", name="Connect to").click()
    expect(admin.state(relay.url)).to_contain_text("Connected")
    assert time.monotonic() - started < 10


def test_click_on_a_row_opens_its_details(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    admin.relay(relays[0].url).get_by_text(relays[0].url).click()
    expect(admin.page.get_by_test_id("details")).to_be_visible()
    admin.relay(relays[0].url).get_by_text(relays[0].url).click()
    expect(admin.page.get_by_test_id("details")).to_have_count(0)


def test_focus_stays_in_the_card_when_a_relay_is_removed(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    admin.add(talkative_relay.url)
    expect(admin.state(talkative_relay.url)).to_be_visible()
    admin.ask_to_remove(talkative_relay.url).get_by_role(
        "button", name="Remove"
    ).click()
    expect(admin.relay(talkative_relay.url)).to_have_count(0)
    expect(admin.page.get_by_label("Relay URLs")).to_be_focused()


def test_relay_with_queued_events_says_how_many_when_it_is_removed(
    admin: AdminPage,
) -> None:
    Scenery(admin.page, relays=[relay_entry("wss://a.example", num_owed_events=3)])
    admin.page.reload()
    dialog = admin.ask_to_remove("wss://a.example")
    expect(dialog).to_contain_text("3 events are queued for it")


def test_search_finds_states_problems_and_errors(admin: AdminPage) -> None:
    entries = [relay_entry(f"wss://{number}.example") for number in range(6)]
    lost = relay_entry(
        "wss://lost.example", "waiting", errors=[said("certificate expired", 1)]
    )
    Scenery(admin.page, relays=[*entries, lost, useless_relay()])
    admin.page.reload()
    rows = admin.page.locator("[data-relay]")
    expect(rows).to_have_count(8)
    search = admin.page.get_by_test_id("relays").get_by_role("searchbox")
    for text, url in (
        ("expired", "wss://lost.example"),
        ("retrying", "wss://lost.example"),
        ("refuses go away", "wss://blocked.example"),
    ):
        search.fill(text)
        expect(rows).to_have_count(1)
        expect(rows).to_have_attribute("data-relay", url)


# Clients


def test_i7_client_s_filters_are_shown_and_it_is_disconnected(
    admin: AdminPage, server: LnbitsServer
) -> None:
    url = f"{server.websocket_url}/{server.private_id()}"
    with connect(url, user_agent_header="shop 1.0 <b>") as client:
        client.send(json.dumps(["REQ", "orders", {"kinds": [1059], "limit": 7}]))
        row = admin.page.get_by_test_id("clients").locator("[data-client]")
        row = row.filter(has_text="shop 1.0 <b>")
        row.get_by_role("button", name="Subscriptions of").click()
        dialog = admin.page.get_by_role("dialog")
        expect(dialog.get_by_test_id("subscriptions")).to_contain_text("orders")
        expect(dialog).to_contain_text('{"kinds":[1059],"limit":7}')
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_have_count(0)
        row.get_by_role("button", name="Disconnect").click()
        dialog.get_by_role("button", name="Disconnect").click()
        expect(row).to_have_count(0)
        assert "closed by the operator" in ending(client)


# Settings


def test_i6_changed_setting_asks_for_a_restart_which_the_page_does(
    admin: AdminPage, server: LnbitsServer
) -> None:
    banner = admin.page.get_by_test_id("restart")
    expect(admin.summary).to_have_text("All 2 relays connected")
    expect(banner).to_have_count(0)
    admin.endpoints.get_by_role("button", name="Settings").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_role("searchbox").fill("undeliverable events listed")
    dialog.get_by_role("spinbutton").fill("60")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(banner).to_contain_text("apply after a restart")
    banner.get_by_role("button", name="Restart now").click()
    dialog.get_by_role("button", name="Restart now").click()
    expect(banner).to_have_count(0)
    expect(admin.summary).to_have_text("All 2 relays connected")
    (found,) = [
        setting
        for setting in server.api("GET", "/settings")
        if setting["name"] == "undeliverable_kept"
    ]
    assert found["in_force"] == found["value"] == 60
    server.api("PUT", "/config", {"settings": {"undeliverable_kept": 100}})
    server.api("PUT", "/restart")


def test_settings_that_the_server_refuses_are_marked(admin: AdminPage) -> None:
    admin.endpoints.get_by_role("button", name="Settings").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_role("searchbox").fill("pause between pings")
    field = dialog.locator('[data-setting="ping_seconds"]')
    expect(field).to_contain_text("Default: 20 seconds")
    field.get_by_role("spinbutton").fill("100000")
    expect(field).to_contain_text("= 28 hours")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert").last).to_contain_text(
        "“Overlap after an interruption” must be greater than"
    )
    marked = dialog.locator("[data-setting] .q-field--error")
    expect(marked).to_have_count(3)
    expect(dialog.locator('[data-setting="overlap_seconds"]')).to_be_in_viewport()
    expect(dialog.get_by_role("button", name="Save")).to_be_in_viewport()
    admin.forgive_refused_requests()


# The layout


@pytest.mark.parametrize("width", [768, 820, 1024, 1100, 1280, 1440])
@pytest.mark.parametrize("language", ["en", "de"])
def test_nothing_is_cut_off_at_any_width(
    admin: AdminPage, server: LnbitsServer, width: int, language: str
) -> None:
    page = admin.page
    Scenery(
        page,
        relays=[useless_relay(), relay_entry("wss://a.example", "waiting")],
        outbox=OUTBOX,
    )
    page.evaluate("it => (localStorage['lnbits.lang'] = `__q_strn|${it}`)", language)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{server.extension_url}/")
    expect(page.locator("[data-relay]")).to_have_count(2)
    page.wait_for_timeout(300)  # a table that has too little room becomes a list
    cut_off = page.locator(".q-page .q-table__middle").evaluate_all(
        "all => all.map(it => it.scrollWidth - it.clientWidth)"
    )
    assert max(cut_off, default=0) <= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_long_ids_break_in_dialogs(admin: AdminPage, width: int) -> None:
    Scenery(admin.page, outbox=[waiting_event(1)])
    admin.page.set_viewport_size({"width": width, "height": 800})
    admin.page.reload()
    identity = admin.page.get_by_test_id("identity")
    identity.get_by_role("button", name="Generate").click()
    identity.get_by_role("button", name="Replace").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("npub1")
    widths = dialog.locator(".q-card").evaluate(
        "it => [it.scrollWidth, it.clientWidth]"
    )
    assert widths[0] <= widths[1]
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    identity.get_by_role("button", name="Delete key").click()
    dialog.get_by_role("button", name="Delete key").click()
    expect(identity).to_contain_text("No key")


def test_empty_and_healthy_states_have_no_warning_sign(admin: AdminPage) -> None:
    Scenery(admin.page, relays=[relay_entry(), relay_entry("wss://b.example")])
    admin.page.reload()
    expect(admin.summary).to_have_text("All 2 relays connected")
    expect(admin.page.get_by_text("The outbox is empty.")).to_be_visible()
    signs = admin.page.locator(".q-page").get_by_text("warning", exact=True)
    expect(signs).to_have_count(0)


def test_about_card_has_the_version_and_links(
    admin: AdminPage, server: LnbitsServer
) -> None:
    about = admin.page.get_by_test_id("about")
    version = server.api("GET", "/status")["version"]
    expect(about).to_contain_text(f"Version {version}")
    links = about.get_by_role("link").evaluate_all("all => all.map(it => it.href)")
    assert f"{server.url}/docs#/nostrclient" in links
    assert server.http.get("/nostrclient/api/v1/metrics").status_code == 200


def test_i4_history_of_all_relays_is_drawn(admin: AdminPage) -> None:
    Scenery(admin.page, relays=[relay_entry()])
    admin.page.reload()
    card = admin.page.get_by_test_id("history")
    chart = card.get_by_role("img")
    expect(chart).to_have_attribute("aria-label", re.compile("events received"))
    drawn = "it => Chart.getChart(it).data.labels.length"
    assert card.locator("canvas").evaluate(drawn) == 24
    card.get_by_role("button", name="7 days").click()
    admin.page.wait_for_function(
        "Chart.getChart(document.querySelector('[data-testid=history] canvas'))"
        ".data.labels.length === 168"
    )
    worst = card.get_by_test_id("worst")
    expect(worst).to_contain_text("wss://relay.snort.social31%")
    expect(worst).not_to_contain_text("nos.lol")


def test_i4_relay_s_details_have_its_uptime_and_incidents(admin: AdminPage) -> None:
    Scenery(admin.page, relays=[relay_entry()])
    admin.page.reload()
    admin.relay("wss://one.example").get_by_role("button", name="Details").click()
    shown = admin.page.get_by_test_id("relay-history")
    expect(shown).to_contain_text("Uptime: 98.")
    expect(shown.locator("rect")).to_have_count(48)
    expect(shown.get_by_role("listitem")).to_contain_text("down for 25 min, <img src=x")
    assert not admin.page.evaluate("window.harmed")
    assert shown.locator("canvas").evaluate("it => !!Chart.getChart(it)")
    admin.relay("wss://one.example").get_by_role("button", name="Details").click()
    expect(shown).to_have_count(0)
    assert admin.page.evaluate("Object.keys(Chart.instances).length") == 1


def test_i3_figures_are_tiles(admin: AdminPage) -> None:
    scenery = Scenery(admin.page, relays=[relay_entry()])
    admin.page.reload()
    expect(admin.summary).to_have_text("All 1 relays connected")
    figures = {
        "discovery": {"median": 0.42, "p95": 2.5},
        "processing": None,
        "uptime": 0.985,
        "success": 1,
        "recovered": {"reconnect": 1000, "refresh": 20, "page": 3},
    }
    scenery.tell(status={"figures": figures})
    tiles = admin.page.get_by_test_id("figures")
    expect(tiles.locator('[data-figure="discovery"]')).to_contain_text("420 ms")
    expect(tiles.locator('[data-figure="discovery"]')).to_contain_text("95 %: 2.5 sec")
    expect(tiles.locator('[data-figure="processing"]')).to_contain_text("No data yet")
    expect(tiles.locator('[data-figure="uptime"]')).to_contain_text("98.5%")
    expect(tiles.locator('[data-figure="success"]')).to_contain_text("100%")
    expect(tiles.locator('[data-figure="recovered"]')).to_contain_text("1,023")


def test_modules_are_loaded_in_one_version(
    admin: AdminPage, server: LnbitsServer
) -> None:
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url))
    admin.page.goto(f"{server.extension_url}/")
    expect(admin.summary).to_contain_text("relays connected")
    modules = [url for url in asked if "/nostrclient/static/js/" in url]
    assert len(modules) > 10
    assert len({url.partition("?")[2] for url in modules}) == 1
    assert "?v=" in modules[0]


def test_h10_relays_that_events_name_are_seen_with_their_state(
    admin: AdminPage,
) -> None:
    card = admin.page.get_by_test_id("named-relays")
    expect(admin.summary).to_be_visible()
    expect(card).to_have_count(0)
    Scenery(admin.page, relays=RELAYS, named_relays=NAMED_RELAYS)
    admin.page.reload()
    rows = card.locator("[data-named-relay]")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("Connected")
    expect(rows.first).to_contain_text("queued: 0, accepted: 7, rejected: 1")
    expect(rows.first).to_contain_text("slow down <b>please</b>")
    expect(rows.nth(1)).to_contain_text("connection refused")
    expect(rows.nth(2)).to_contain_text("waiting for a free connection")
