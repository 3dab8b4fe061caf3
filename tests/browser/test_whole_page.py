"""The page with everything on it, on desktop and phone, light and dark.

NOSTRCLIENT_SCREENSHOTS=docs/images keeps how it looks.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import nostr_sdk
import pytest
from playwright.sync_api import CDPSession, Locator, Page, expect

from dev.lnbits_server import LnbitsServer
from dev.paths import CHECKOUT

from .conftest import SECONDS, AdminPage
from .scenery import (
    ANSWERS,
    CLIENTS,
    LOST,
    NAMED_RELAYS,
    OUTBOX,
    PRIVATE_URLS,
    RELAYS,
    Scenery,
    relay_entry,
    waiting_event,
)

expect.set_options(timeout=SECONDS * 1000)

AXE = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = os.environ.get("NOSTRCLIENT_SCREENSHOTS")
OPENED = "wss://relay.damus.io"
PHOTOGRAPHED_HEIGHT = 1800


class Device(NamedTuple):
    """Through what the page is looked at."""

    name: str
    width: int
    height: int


DEVICES = (Device("desktop", 1280, 900), Device("phone", 360, 740))


@pytest.fixture(params=DEVICES, ids=lambda device: device.name)
def device(request: pytest.FixtureRequest) -> Device:
    found: Device = request.param
    return found


@pytest.fixture
def full(admin: AdminPage, server: LnbitsServer, device: Device) -> Iterator[AdminPage]:
    """The page with all cards filled, a relay's details open and a message sent."""
    page = admin.page
    scenery = Scenery(
        page,
        relays=RELAYS,
        clients=CLIENTS,
        outbox=OUTBOX,
        undeliverable=LOST,
        named_relays=NAMED_RELAYS,
        private_urls=PRIVATE_URLS,
    )
    scenery.incident = "connection reset by peer"
    page.route(
        re.compile("/api/v1/relay/test/"), lambda route: route.fulfill(json=ANSWERS)
    )
    server.api("PUT", "/config", {"public_ws": True})
    server.api("PUT", "/identity", {"generate": True})
    page.set_viewport_size({"width": device.width, "height": device.height})
    page.reload()
    admin.relay(OPENED).get_by_role("button", name="Details").click()
    page.get_by_test_id("outbox").get_by_role("button", name="2 relays").click()
    page.get_by_text("Undeliverable: 2").click()
    admin.send_test_message(nostr_sdk.Keys.generate().public_key().to_hex())
    expect(admin.outcome).to_contain_text("It works")
    expect(page.get_by_test_id("answers")).to_contain_text("No answer yet")
    yield admin
    server.api("DELETE", "/identity")


def check_accessible(page: Page) -> None:
    """Run axe-core on what is ours: a dialog, or the page within LNbits' frame.

    The colours of buttons are those of the theme that the operator chose in LNbits: of
    its orange, white text is not far enough away. The rule left out takes the names of
    icons for text that one sees.
    """
    if not AXE.exists():
        pytest.skip("no axe-core here: make test brings it where Node.js is")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    found: list[dict[str, Any]] = page.evaluate("""async () => {
          const ours = document.querySelector('[role=dialog]') ||
            document.querySelector('.q-page')
          const rules = {'label-content-name-mismatch': {enabled: false}}
          const {violations} = await axe.run(ours, {rules})
          const isTheme = (id, node) => id === 'color-contrast' &&
            document.querySelector(node.target[0]).closest('.q-btn.bg-primary')
          return violations.map(({id, impact, nodes}) => ({
            id, impact, nodes: nodes.filter(node => !isTheme(id, node))
              .map(node => node.html + node.failureSummary)
          })).filter(({nodes}) => nodes.length)
        }""")
    grave = [it for it in found if it["impact"] in ("serious", "critical")]
    assert not grave, "\n".join(
        f"{it['id']}: {node}" for it in grave for node in it["nodes"][:5]
    )


@contextmanager
def opened(page: Page, open_it: Callable[[], None]) -> Iterator[Locator]:
    """A dialog, while it is open."""
    open_it()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    yield dialog
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_everything_is_accessible_and_fits(full: AdminPage, device: Device) -> None:
    """In light and dark, without and with each of the dialogs."""
    page = full.page

    def check() -> None:
        for theme in ("light", "dark"):
            page.evaluate("dark => Quasar.Dark.set(dark)", theme == "dark")
            expect(page.locator(f"body.body--{theme}")).to_have_count(1)
            assert page.evaluate("document.documentElement.scrollWidth") <= device.width
            cut_off = page.locator(".q-page .q-table__middle").evaluate_all(
                "all => all.map(it => it.scrollWidth - it.clientWidth)"
            )
            assert max(cut_off) <= 0
            in_dialog = page.get_by_role("dialog").count()
            if device.name == "desktop" or not in_dialog:  # dialogs are the same there
                check_accessible(page)
            if SCREENSHOTS and not in_dialog:
                photograph(page, f"{device.name}-{theme}")

    check()
    settings = full.endpoints.get_by_role("button", name="Settings")
    identity = page.get_by_test_id("identity")
    outbox = page.get_by_test_id("outbox")
    with opened(page, settings.click) as dialog:
        dialog.get_by_label("Search").fill("ping")
        expect(dialog).to_contain_text("Pause between pings")
        check()
    with opened(page, full.button("QR code of the public endpoint").click):
        check()
    urls = page.get_by_test_id("private-urls")
    with opened(page, urls.get_by_role("button", name="Create").click):
        check()
    with opened(
        page, identity.get_by_role("button", name="Paste a key").click
    ) as dialog:
        check()
        dialog.get_by_label("Private key").fill("nsec1nonsense")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("alert")).to_be_visible()
        check()
        full.forgive_refused_requests()
    with opened(page, identity.get_by_role("button", name="Delete key").click):
        check()
    discard = outbox.get_by_role("button", name="Discard").first
    with opened(page, discard.click):
        check()


def photograph(page: Page, name: str) -> None:
    """Keep how the page looks in a high window, as LNbits' background is as high."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["width"], "height": PHOTOGRAPHED_HEIGHT})
    page.evaluate("window.scrollTo(0, 0)")
    path = CHECKOUT / f"{SCREENSHOTS}/{name}.jpg"
    page.screenshot(path=path, type="jpeg", quality=50)
    page.set_viewport_size(size)


# Many of everything


def test_two_hundred_relays_and_a_thousand_waiting_events(admin: AdminPage) -> None:
    def entries(received: int) -> list[dict[str, Any]]:
        return [
            relay_entry(f"wss://relay{number:03}.example", num_received_events=received)
            for number in range(200)
        ]

    page = admin.page
    scenery = Scenery(
        page,
        relays=entries(0),
        outbox=[waiting_event(number) for number in range(1, 1001)],
    )
    page.reload()
    rows = page.locator("[data-relay]")
    expect(admin.summary).to_contain_text("All 200")
    expect(rows).to_have_count(20)
    expect(page.get_by_test_id("outbox")).to_contain_text("of 1000")

    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def work(pushes: int) -> float:
        """Give the seconds that the page works for one push of everything."""
        before = seconds_worked(session)
        for number in range(1, pushes + 1):
            scenery.tell(relays=entries(number))
        expect(rows.first).to_contain_text(f"{pushes}")
        return (seconds_worked(session) - before) / pushes

    few = work(5)
    page.get_by_test_id("relays").get_by_text("Records per page").locator(
        ".."
    ).get_by_role("combobox").click()
    page.get_by_role("option", name="100").click()
    expect(rows).to_have_count(100)
    many = work(5)
    print(f"a push: {few:.4f} s, {many:.4f} s")  # noqa: T201  # pytest -rP shows it
    assert 0 < few < 1
    assert many < 4

    page.get_by_test_id("relays").get_by_label("Search").fill("relay17")
    expect(rows).to_have_count(10)
    admin.relay("wss://relay175.example").get_by_role("button", name="Details").click()
    expect(page.get_by_test_id("details")).to_be_visible()


def seconds_worked(session: CDPSession) -> float:
    """The time the page's main thread has worked since it is being measured."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    (found,) = [item["value"] for item in metrics if item["name"] == "TaskDuration"]
    return float(found)
