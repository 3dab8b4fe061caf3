"""The page shows what changes as it is told, while somebody looks, and no longer."""

import re
import time

import pytest
from playwright.sync_api import Page, Route, WebSocket, expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .conftest import SECONDS, AdminPage
from .scenery import (
    Scenery,
    client_entry,
    relay_entry,
    said,
    waiting_event,
)

expect.set_options(timeout=SECONDS * 1000)

LIVE = re.compile("/nostrclient/api/v1/live/")

WATCH_TIMERS = """
  window.timers = new Map()
  for (const name of ['Timeout', 'Interval']) {
    const set = window[`set${name}`], clear = window[`clear${name}`]
    window[`set${name}`] = (work, ...rest) => {
      const ends = name === 'Timeout'
      const id = set((...given) => {
        if (ends) window.timers.delete(id)
        work(...given)
      }, ...rest)
      const from = new Error().stack
      if (from.includes('/nostrclient/static/')) window.timers.set(id, from)
      return id
    }
    window[`clear${name}`] = id => {
      window.timers.delete(id)
      clear(id)
    }
  }
"""
"""Keeps `window.timers`: the timers that nostrclient's own code has running."""


def pretend_visibility(page: Page, state: str) -> None:
    page.evaluate(
        """state => {
          Object.defineProperty(document, 'visibilityState', {
            value: state, configurable: true
          })
          document.dispatchEvent(new Event('visibilitychange'))
        }""",
        state,
    )


def is_live(socket: WebSocket) -> bool:
    return LIVE.search(socket.url) is not None


def test_a_relay_that_is_lost_is_seen_within_a_second(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    relay = relays[0]
    expect(admin.state(relay.url)).to_contain_text("Connected")
    seen = admin.state(relay.url).evaluate_handle("""state => ({
          at: new Promise(resolve => new MutationObserver((_, observer) => {
            if (state.innerText.includes('Connected')) return
            observer.disconnect()
            resolve(Date.now() / 1000)
          }).observe(state, {subtree: true, childList: true, characterData: true}))
        })""")
    try:
        stopped = time.time()
        relay.stop()
        took = seen.evaluate("seen => seen.at") - stopped
    finally:
        relay.start()
    print(f"seen after {took:.3f} s")  # noqa: T201  # pytest -rP shows it
    assert 0 < took < 10  # a second is due
    expect(admin.state(relay.url)).to_contain_text("Connected", timeout=70_000)


def test_a_hidden_page_is_told_nothing_and_asks_nothing(admin: AdminPage) -> None:
    expect(admin.summary).to_contain_text("relays connected")
    with admin.page.expect_websocket(is_live) as opened:
        admin.page.reload()
    expect(admin.summary).to_contain_text("relays connected")
    asked: list[str] = []
    with opened.value.expect_event("close"):
        pretend_visibility(admin.page, "hidden")
    admin.page.on("request", lambda request: asked.append(request.url))
    admin.page.on("websocket", lambda socket: asked.append(socket.url))
    admin.page.wait_for_timeout(2_500)
    assert not asked
    with admin.page.expect_websocket(is_live) as again:
        pretend_visibility(admin.page, "visible")
    again.value.wait_for_event("framereceived")
    expect(admin.summary).to_contain_text("relays connected")


def test_changes_disturb_nobody_who_reads_types_or_searches(admin: AdminPage) -> None:
    """Also not where the connection ends and another one begins."""
    entries = [relay_entry(f"wss://{name}.example") for name in "abcdefgh"]
    scenery = Scenery(
        admin.page,
        relays=entries,
        outbox=[waiting_event(number) for number in range(1, 13)],
    )
    admin.page.reload()
    page = admin.page
    relays = page.get_by_test_id("relays")
    outbox = page.get_by_test_id("outbox")
    admin.relay("wss://c.example").get_by_role("button", name="Details").click()
    relays.get_by_label("Search").fill("c.ex")
    expect(page.locator("[data-relay]")).to_have_count(1)
    outbox.get_by_label("Search").fill(f"{5:064x}")
    expect(outbox.locator("[data-event]")).to_have_count(1)
    outbox.get_by_role("button", name="2 relays").click()
    page.get_by_label("Relay URLs").fill("wss://half")
    page.get_by_test_id("identity").evaluate("card => (card.kept = true)")

    def check_undisturbed() -> None:
        expect(page.locator("[data-relay]")).to_have_count(1)
        expect(page.get_by_test_id("details")).to_be_visible()
        expect(outbox.locator("[data-event]")).to_have_count(1)
        expect(outbox).to_contain_text("error: <b>full</b>")
        expect(page.get_by_label("Relay URLs")).to_have_value("wss://half")
        expect(page.get_by_label("Relay URLs")).to_be_focused()
        assert page.get_by_test_id("identity").evaluate("card => card.kept")

    page.get_by_label("Relay URLs").focus()
    # A change of what is open, of another one, and of the set of relays.
    entries[2] = relay_entry("wss://c.example", errors=[said("it went away", 0)])
    scenery.tell(relays=[entries[2], relay_entry("wss://new.example")])
    scenery.tell(removed=["wss://a.example"], clients=[client_entry(1)])
    expect(page.get_by_test_id("log")).to_contain_text("it went away")
    expect(admin.summary).to_contain_text("All 8")
    check_undisturbed()

    connections = len(scenery.sockets)
    scenery.relays = entries[2:]
    scenery.sockets[-1].close()
    expect(admin.summary).to_contain_text("All 6")
    assert len(scenery.sockets) == connections + 1
    check_undisturbed()


def test_waiting_events_are_fetched_again_when_the_outbox_changes(
    admin: AdminPage,
) -> None:
    scenery = Scenery(admin.page, outbox=[waiting_event(1)])
    admin.page.reload()
    rows = admin.page.get_by_test_id("outbox").locator("[data-event]")
    expect(rows).to_have_count(1)
    scenery.outbox = [waiting_event(1), waiting_event(2)]
    admin.page.wait_for_timeout(2_000)
    expect(rows).to_have_count(1)  # nobody said that anything has changed
    scenery.tell(outbox={"count": 2, "undeliverable": 0, "revision": "2"})
    expect(rows).to_have_count(2)


def test_a_countdown_goes_on_by_itself(admin: AdminPage) -> None:
    entry = relay_entry(
        "wss://far.example",
        "waiting",
        retry_in_seconds=3.0,
        errors=[said("connection refused", 1)],
    )
    Scenery(admin.page, relays=[entry])
    admin.page.reload()
    state = admin.state("wss://far.example")
    expect(state).to_contain_text(re.compile(r"Retrying in [123] s"))
    expect(state).to_contain_text(re.compile(r"Retrying$"))


def test_a_server_that_refuses_is_asked_again_more_and_more_seldom(
    admin: AdminPage,
) -> None:
    expect(admin.summary).to_contain_text("relays connected")
    times: list[float] = []
    live = "**/nostrclient/api/v1/live"

    def refuse(route: Route) -> None:
        times.append(time.monotonic())
        route.fulfill(status=401, json={"detail": "Token expired."})

    admin.page.route(live, refuse)
    pretend_visibility(admin.page, "hidden")
    pretend_visibility(admin.page, "visible")
    alert = admin.page.get_by_role("alert").filter(has_text="not up to date")
    expect(alert).to_contain_text("Token expired.")
    while len(times) < 4:
        admin.page.wait_for_timeout(100)
    first, second, third = (times[i + 1] - times[i] for i in range(3))
    assert first > 0.9
    assert second > 1.9
    assert third > 3.9
    admin.page.unroute(live)
    pretend_visibility(admin.page, "hidden")
    pretend_visibility(admin.page, "visible")
    expect(alert).to_be_hidden()
    admin.forgive_refused_requests(len(times))


def test_a_server_that_tells_nothing_is_said_to_do_so(admin: AdminPage) -> None:
    """As where a proxy lets no WebSocket through."""
    admin.page.route_web_socket(LIVE, lambda socket: socket.close())
    admin.page.reload()
    alert = admin.page.get_by_role("alert").filter(has_text="not up to date")
    expect(alert).to_contain_text("the WebSocket to this server failed")


def test_leaving_the_page_leaves_nothing_behind(
    admin: AdminPage, server: LnbitsServer
) -> None:
    # A document that ends while it connects is not reported to have closed anything.
    admin.page.goto(f"{server.url}/api/v1/health")
    admin.page.add_init_script(WATCH_TIMERS)
    sockets: list[WebSocket] = []
    admin.page.on("websocket", lambda socket: sockets.extend([socket]))
    with admin.page.expect_websocket(is_live):
        admin.page.goto(f"{server.extension_url}/")
    expect(admin.summary).to_contain_text("relays connected")
    running = "[...window.timers.values()]"
    assert admin.page.evaluate(f"{running}.length") > 0
    admin.page.evaluate("window.notReloaded = true")
    admin.page.get_by_role("link", name="Payments").click()
    expect(admin.summary).to_have_count(0)
    for _ in range(300):
        if all(socket.is_closed() for socket in filter(is_live, sockets)):
            break
        admin.page.wait_for_timeout(100)
    else:
        pytest.fail("the page's WebSocket is open still")
    admin.page.wait_for_function(f"{running}.length === 0")
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url))
    admin.page.wait_for_timeout(2_500)
    assert not [url for url in asked if "nostrclient" in url]
    assert admin.page.evaluate("window.notReloaded")
