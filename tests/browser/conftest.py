"""Chromium, signed in as the admin of a real LNbits with two real relays.

It is an LNbits of its own, which nobody has configured yet, and it ends before the
other end-to-end tests start theirs.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    sync_playwright,
)

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .talkative_relay import TalkativeRelay

RELAYS = 2
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first of these that is installed is used: without a window it is faster."""

CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Keeps Chromium from calling home."""

SECONDS = 15.0
"""How long the browser waits for something that should appear."""

HTTP_ERROR = re.compile(r"Failed to load resource: .* status of \d{3}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        no_chromium = pytest.mark.skip("no Chromium here, e.g. Debian's chromium")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(no_chromium)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium or a like one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LnbitsServer]:
    """LNbits, with nostrclient as it is when nobody has opened its page yet."""
    with LnbitsServer(
        tmp_path_factory.mktemp("lnbits"),
        environment={"LNBITS_RATE_LIMIT_NO": "1000000"},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def relays(
    server: LnbitsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[LocalRelay]]:
    """Two relays, which are configured."""
    log = tmp_path_factory.mktemp("relays")
    relays = [LocalRelay(log=log / f"{number}.log") for number in range(RELAYS)]
    for relay in relays:
        relay.start()
        server.api("POST", "/relay", {"url": relay.url})
    yield relays
    for relay in relays:
        relay.stop()


@pytest.fixture
def talkative_relay() -> Iterator[TalkativeRelay]:
    """A relay that nostrclient does not know."""
    with TalkativeRelay() as relay:
        yield relay


@pytest.fixture(scope="module")
def context(browser: Browser, server: LnbitsServer) -> Iterator[BrowserContext]:
    """A browser of the admin's, signed in; LNbits' disclaimer was seen before."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        reduced_motion="reduce",
    )
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script("localStorage['lnbits.disclaimerShown'] = '__q_bool|1'")
    # A service worker would answer requests that tests mean to answer.
    context.add_init_script(
        "Object.defineProperty(navigator, 'serviceWorker', {value: undefined})"
    )
    username, password = server.login
    signed_in = context.request.post(
        f"{server.url}/api/v1/auth", data={"username": username, "password": password}
    )
    assert signed_in.ok
    yield context
    context.close()


@dataclass
class AdminPage:
    """The admin page in a browser, and what it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.goto(url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def forgive_refused_requests(self, count: int = 1) -> None:
        """Take HTTP errors off the list, which Chromium notes by itself."""
        refused = [text for text in self.complaints if HTTP_ERROR.match(text)]
        assert len(refused) == count, self.complaints
        for text in refused:
            self.complaints.remove(text)

    # --- what is on it

    @property
    def summary(self) -> Locator:
        return self.page.get_by_test_id("summary")

    @property
    def refusal(self) -> Locator:
        return self.page.get_by_test_id("refusal")

    @property
    def outcome(self) -> Locator:
        return self.page.get_by_test_id("outcome")

    def relay(self, url: str) -> Locator:
        """The row of a relay."""
        return self.page.locator(f'[data-relay="{url}"]')

    def state(self, url: str) -> Locator:
        return self.relay(url).get_by_test_id("state")

    def endpoint(self, name: str) -> Locator:
        return self.page.locator(f'[data-endpoint="{name}"]')

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    # --- what one does on it

    def add(self, url: str) -> None:
        self.page.get_by_label("Relay URLs").fill(url)
        self.button("Add").click()

    def ask_to_remove(self, url: str) -> Locator:
        """Press the button of a relay; gives the dialog that asks back."""
        self.relay(url).get_by_role("button", name="Remove").click()
        return self.page.get_by_role("dialog")

    def set_endpoint(self, name: str) -> None:
        """Switch an endpoint over in the settings."""
        self.endpoints.get_by_role("button", name="Settings").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("switch", name=name).click()
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")

    @property
    def endpoints(self) -> Locator:
        return self.page.get_by_test_id("endpoints")

    def send_test_message(self, recipient: str, *, endpoint: str | None = None) -> None:
        self.page.get_by_text("Test an endpoint").click()
        if endpoint is not None:
            self.page.get_by_role("combobox", name="Endpoint").click()
            self.page.get_by_role("option", name=endpoint).click()
        self.page.get_by_label("Recipient").fill(recipient)
        self.button("Send").click()


@pytest.fixture
def admin(
    context: BrowserContext, server: LnbitsServer, relays: list[LocalRelay]
) -> Iterator[AdminPage]:
    """The admin page, just opened; fails the test where the console has errors."""
    server.api("PUT", "/config", {"private_ws": True, "public_ws": False})
    admin = AdminPage(context.new_page())
    admin.open(f"{server.extension_url}/")
    yield admin
    admin.page.evaluate("localStorage.clear()")
    admin.page.close()
    for relay in server.api("GET", "/relays"):
        if relay["url"] not in {known.url for known in relays}:
            server.api("DELETE", "/relay", {"url": relay["url"]})
    assert not admin.complaints
