"""The admin page as an operator uses it, in a real browser."""

import re

import nostr_sdk
import pytest
from playwright.sync_api import expect

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from dev.ports import HOST, free_port

from .conftest import SECONDS, AdminPage
from .talkative_relay import TalkativeRelay

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def recipient() -> nostr_sdk.PublicKey:
    """Somebody who will not read it."""
    public_key: nostr_sdk.PublicKey = nostr_sdk.Keys.generate().public_key()
    return public_key


# Whether Nostr works


def test_first_visit_shows_at_once_that_nostr_works(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    expect(admin.summary).to_have_text(f"All {len(relays)} relays connected")
    for relay in relays:
        expect(admin.state(relay.url)).to_contain_text("Connected")
    expect(admin.endpoint("private")).to_contain_text("Private endpoint: open")
    expect(admin.endpoint("public")).to_contain_text("Public endpoint: closed")


def test_a_relay_that_goes_and_comes_back_is_seen_without_reloading(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    relay = relays[0]
    expect(admin.state(relay.url)).to_contain_text("Connected")
    admin.page.evaluate("window.notReloaded = true")
    try:
        relay.stop()
        expect(admin.summary).to_have_text("1 of 2 relays connected")
        expect(admin.state(relay.url)).to_contain_text("Retrying")
        expect(admin.relay(relay.url)).to_contain_text("refused")
    finally:
        relay.start()
    expect(admin.state(relay.url)).to_contain_text("Connected", timeout=70_000)
    assert admin.page.evaluate("window.notReloaded")


# Adding and removing


def test_an_added_relay_connects_and_is_removed_only_when_confirmed(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    url = talkative_relay.url
    admin.add(f"  {url.upper()}/ ".replace("WS:", "ws:"))
    expect(admin.state(url)).to_contain_text("Connected")
    expect(admin.page.get_by_label("Relay URLs")).to_have_value("")
    expect(admin.summary).to_have_text("All 3 relays connected")

    dialog = admin.ask_to_remove(url)
    expect(dialog).to_contain_text(url)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(admin.relay(url)).to_be_visible()

    admin.ask_to_remove(url).get_by_role("button", name="Remove").click()
    expect(admin.relay(url)).to_have_count(0)
    expect(admin.summary).to_have_text("All 2 relays connected")


def test_an_unreachable_relay_says_why(admin: AdminPage) -> None:
    url = f"ws://{HOST}:{free_port()}"
    admin.add(url)
    expect(admin.state(url)).to_contain_text("Retrying")
    expect(admin.relay(url)).to_contain_text("refused")
    expect(admin.summary).to_have_text("2 of 3 relays connected")
    admin.relay(url).get_by_role("button", name="Details").click()
    expect(admin.page.get_by_test_id("log")).to_contain_text("refused")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "Enter the URL of a relay."),
        ("ftp://relay.example", "starts with wss:// or ws://"),
        ("wss://", "not a valid URL"),
        ("wss://somebody:secret@relay.example", "no user name, password"),
        ("wss://relay.example#here", "no user name, password or #fragment"),
    ],
)
def test_an_invalid_url_is_refused_with_a_reason(
    admin: AdminPage, url: str, reason: str
) -> None:
    admin.add(url)
    expect(admin.refusal).to_contain_text(reason)
    admin.page.get_by_label("Relay URLs").fill("w")
    expect(admin.refusal).to_have_count(0)


def test_a_url_is_checked_while_one_types(admin: AdminPage) -> None:
    url = admin.page.get_by_label("Relay URLs")
    url.fill("wss:")
    expect(admin.refusal).to_have_count(0)
    url.fill("ftp://relay.example")
    expect(admin.refusal).to_contain_text("starts with wss:// or ws://")
    url.fill("relay.example")
    expect(admin.refusal).to_have_count(0)


def test_refusal_of_the_server_is_shown_with_its_reason(
    admin: AdminPage, relays: list[LocalRelay]
) -> None:
    admin.add(relays[0].url)
    expect(admin.refusal).to_contain_text("already in the list")
    admin.forgive_refused_requests()


# What relays say


def test_f4_text_of_a_relay_is_shown_as_text(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    url = talkative_relay.url
    admin.add(url)
    admin.relay(url).get_by_role("button", name="0 errors, 1 notices").click()
    log = admin.page.get_by_test_id("log")
    expect(log.get_by_role("listitem")).to_contain_text([talkative_relay.notice])
    assert log.locator("img").count() == 0
    assert not admin.page.evaluate("window.harmed")


# Endpoints


def test_an_endpoints_url_is_shown_as_a_qr_code(admin: AdminPage) -> None:
    admin.button("QR code of the private endpoint").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog.locator(".qrcode__image, svg").first).to_be_visible()
    shown = admin.endpoint("private").get_by_test_id("url").inner_text()
    expect(dialog).to_contain_text(shown)


def test_the_public_endpoint_is_opened_and_closed(
    admin: AdminPage, server: LnbitsServer
) -> None:
    public = admin.endpoint("public")
    expect(public).to_contain_text("closed")
    admin.set_endpoint("Public endpoint")
    expect(public).to_contain_text("Public endpoint: open")
    expect(public.get_by_test_id("url")).to_have_text(server.public_url)
    assert _open_endpoints(server) == {"private_ws": True, "public_ws": True}
    admin.set_endpoint("Public endpoint")
    expect(public).to_contain_text("Public endpoint: closed")
    assert _open_endpoints(server) == {"private_ws": True, "public_ws": False}


def test_an_endpoint_is_opened_and_closed_on_its_card(
    admin: AdminPage, server: LnbitsServer
) -> None:
    public = admin.endpoint("public")
    admin.button("Open the public endpoint").click()
    expect(public).to_contain_text("Public endpoint: open")
    assert _open_endpoints(server) == {"private_ws": True, "public_ws": True}
    admin.button("Close the public endpoint").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("disconnects its clients at once")
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="detached")
    assert _open_endpoints(server) == {"private_ws": True, "public_ws": True}
    admin.button("Close the public endpoint").click()
    dialog.get_by_role("button", name="Close").click()
    expect(public).to_contain_text("Public endpoint: closed")
    assert _open_endpoints(server) == {"private_ws": True, "public_ws": False}


def _open_endpoints(server: LnbitsServer) -> dict[str, bool]:
    config = server.api("GET", "/config")
    return {name: config[name] for name in ("private_ws", "public_ws")}


def test_endpoint_urls_are_copied(admin: AdminPage, server: LnbitsServer) -> None:
    admin.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = admin.endpoint("private").get_by_test_id("url").inner_text()
    assert shown.startswith(f"{server.websocket_url}/")
    admin.button("Copy the URL of the private endpoint").click()
    expect(admin.page.get_by_text("Copied", exact=True)).to_be_visible()
    assert admin.page.evaluate("navigator.clipboard.readText()") == shown


# A message through an endpoint


@pytest.mark.parametrize("endpoint", ["Private endpoint", "Public endpoint"])
def test_a_message_passes_through_the_endpoint_and_back(
    admin: AdminPage, recipient: nostr_sdk.PublicKey, endpoint: str
) -> None:
    if endpoint.startswith("Public"):
        admin.set_endpoint(endpoint)
    admin.send_test_message(recipient.to_bech32(), endpoint=endpoint)
    expect(admin.outcome).to_contain_text(
        re.compile(r"It works: the message came back \d+ ms after it was sent")
    )
    steps = admin.page.get_by_test_id("steps")
    for step in ("(REQ)", "(EOSE)", "(EVENT)", "Accepted (OK)", "Received back"):
        expect(steps).to_contain_text(step)
    steps.get_by_text("Received back").click()
    expect(steps).to_contain_text(recipient.to_hex())


def test_an_event_says_who_sent_it(
    admin: AdminPage, recipient: nostr_sdk.PublicKey
) -> None:
    sender = nostr_sdk.Keys.generate()
    admin.page.get_by_text("Test an endpoint").click()
    admin.page.get_by_label("Sender").fill(sender.secret_key().to_bech32())
    admin.page.get_by_label("Recipient").fill(recipient.to_hex())
    admin.button("Send").click()
    expect(admin.page.get_by_test_id("steps")).to_contain_text(
        sender.public_key().to_hex()
    )
    expect(admin.outcome).to_contain_text("It works")


def test_page_shows_which_relay_took_the_message_and_which_refused_it(
    admin: AdminPage,
    relays: list[LocalRelay],
    talkative_relay: TalkativeRelay,
    recipient: nostr_sdk.PublicKey,
) -> None:
    admin.add(talkative_relay.url)
    expect(admin.state(talkative_relay.url)).to_contain_text("Connected")
    admin.send_test_message(recipient.to_hex())
    answers = admin.page.get_by_test_id("answers").get_by_role("listitem")
    expect(answers).to_have_count(len(relays) + 1)
    for relay in relays:
        expect(answers.filter(has_text=relay.url)).to_contain_text(
            re.compile(r"Accepted in \d+ ms")
        )
    refused = answers.filter(has_text=talkative_relay.url)
    expect(refused).to_contain_text(re.compile(r"Rejected in \d+ ms: blocked: "))
    expect(refused).to_contain_text(talkative_relay.notice)  # F4: as text
    assert not admin.page.evaluate("window.harmed")


def test_a_recipient_that_is_none_is_said_to_be_so(admin: AdminPage) -> None:
    admin.send_test_message("npub1nonsense")
    expect(admin.outcome).to_contain_text(re.compile("npub|bech32|key"))
    admin.forgive_refused_requests()


def test_a_closed_endpoint_cannot_be_tested(admin: AdminPage) -> None:
    admin.page.get_by_text("Test an endpoint").click()
    admin.page.get_by_role("combobox", name="Endpoint").click()
    admin.page.get_by_role("option", name="Public endpoint").click()
    expect(admin.page.get_by_text("This endpoint is closed")).to_be_visible()
    expect(admin.button("Send")).to_be_disabled()


# Who may see it, and how


def test_only_an_admin_gets_the_page(server: LnbitsServer) -> None:
    user = server.new_user()
    for path in ("/nostrclient/", "/nostrclient/api/v1/endpoints"):
        assert user.get(path).status_code == 403
    user.close()
    assert server.http.get("/nostrclient/").status_code == 200


def test_the_page_opens_from_within_lnbits(
    admin: AdminPage, server: LnbitsServer
) -> None:
    admin.page.goto(f"{server.url}/wallet")
    admin.page.get_by_role("link", name="Nostr Client").click()
    expect(admin.summary).to_contain_text("relays connected")


@pytest.mark.parametrize("dark", [True, False])
def test_page_fits_a_phone(
    admin: AdminPage,
    server: LnbitsServer,
    recipient: nostr_sdk.PublicKey,
    relays: list[LocalRelay],
    dark: bool,
) -> None:
    admin.page.set_viewport_size({"width": 360, "height": 740})
    admin.page.goto(f"{server.extension_url}/?dark={int(dark)}")
    expect(admin.state(relays[0].url)).to_contain_text("Connected")
    admin.send_test_message(recipient.to_hex())
    expect(admin.outcome).to_contain_text("It works")
    assert admin.page.evaluate("document.body.classList.contains('body--dark')") == dark
    assert admin.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_everything_can_be_named_and_reached_by_keyboard(
    admin: AdminPage, talkative_relay: TalkativeRelay
) -> None:
    url = talkative_relay.url
    admin.page.get_by_label("Relay URLs").focus()
    admin.page.keyboard.type(url)
    admin.page.keyboard.press("Enter")
    expect(admin.state(url)).to_contain_text("Connected")
    admin.page.get_by_text("Test an endpoint").click()
    nameless = admin.page.locator(".q-page").evaluate(
        """page => [...page.querySelectorAll('button, input, textarea, select')]
          .filter(it => it.offsetParent)
          .filter(it => !(
            it.getAttribute('aria-label') ||
            it.innerText?.replace(it.querySelector('i')?.innerText, '').trim()
          ))
          .map(it => it.outerHTML)"""
    )
    assert not nameless
    admin.relay(url).get_by_role("button", name="Remove").focus()
    admin.page.keyboard.press("Enter")
    dialog = admin.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    admin.page.keyboard.press("Tab")
    admin.page.keyboard.press("Enter")
    expect(admin.relay(url)).to_have_count(0)


def test_the_page_speaks_german(admin: AdminPage, server: LnbitsServer) -> None:
    admin.page.evaluate("localStorage['lnbits.lang'] = '__q_strn|de'")
    admin.page.goto(f"{server.extension_url}/")
    expect(admin.summary).to_contain_text("Alle 2 Relays verbunden")
    admin.button("Einstellungen").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Öffentlicher Endpunkt")
    dialog.get_by_role("searchbox", name="Suche").fill("Pings")
    expect(dialog).to_contain_text("Pause zwischen zwei Pings")
    expect(dialog).to_contain_text("Standard: 20 Sekunden")


def test_a_language_that_is_missing_falls_back_to_english(
    admin: AdminPage, server: LnbitsServer
) -> None:
    expect(admin.summary).to_contain_text("relays connected")
    admin.page.evaluate("localStorage['lnbits.lang'] = '__q_strn|pi'")
    admin.page.goto(f"{server.extension_url}/")
    expect(admin.summary).to_contain_text("relays connected")
    admin.forgive_refused_requests()  # LNbits looked for our texts in that language
