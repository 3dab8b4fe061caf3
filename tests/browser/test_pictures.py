"""The page in five situations, at four widths, light and dark, English and German.

`make pictures` keeps all 80 pictures in .build/pictures, to be looked at. Without that,
what a program can see is checked: nothing is cut off or overlaps, axe-core has no
complaint, and a healthy state has no warning.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dev.lnbits_server import LnbitsServer

from .conftest import SECONDS, AdminPage
from .scenery import (
    CLIENTS,
    LOST,
    OUTBOX,
    PRIVATE_URLS,
    Entry,
    Scenery,
    information,
    relay_entry,
    said,
)
from .test_whole_page import check_accessible

expect.set_options(timeout=SECONDS * 1000)

FOLDER = os.environ.get("NOSTRCLIENT_PICTURES")
WIDTHS = (390, 820, 1280, 1440)
HEIGHT = 900
FIGURES: Entry = {
    "discovery": {"median": 0.4, "p95": 2.1},
    "processing": {"median": 0.0012, "p95": 0.004},
    "recovered": {"reconnect": 120, "refresh": 3, "page": 41, "reconciliation": 9},
    "success": 0.997,
    "uptime": 0.991,
}
GOOD: tuple[Entry, ...] = tuple(
    relay_entry(
        f"wss://relay{number}.example",
        publishing="works",
        receiving="works",
        num_accepted_events=300 + number,
        num_finished_requests=12,
        num_received_events=40_000 + 999 * number,
        round_trips_ms=[40 + number, 42 + number, 61],
        information=information(f"Relay {number}"),
    )
    for number in range(1, 9)
)
USELESS: tuple[Entry, ...] = (
    relay_entry(
        "wss://blocks.example",
        publishing="refused",
        receiving="works",
        refused_events={"blocked": 1059},
        refusals=[said("blocked: you are not on the list of this relay", 1)],
    ),
    relay_entry(
        "wss://demands-a-key.example",
        publishing="refused",
        receiving="refused",
        auth="no_key",
        asks_who_we_are=True,
        refused_events={"auth-required": 40},
        refusals=[said("auth-required: sign in to publish", 1)],
        closed_requests={"auth-required": 12},
        closings=[said("auth-required: sign in to read", 1)],
        information=information("Paid", limitation={"payment_required": True}),
    ),
    relay_entry(
        "wss://closes-every-request.example",
        publishing="works",
        receiving="refused",
        closed_requests={"rate-limited": 2855},
        closings=[said("rate-limited: slow down there, chief", 1)],
    ),
    relay_entry(
        "wss://says-nothing.example",
        publishing="unanswered",
        receiving="unanswered",
        num_unanswered_requests=14,
        num_unanswered_events=9,
    ),
)
DOWN: tuple[Entry, ...] = tuple(
    relay_entry(
        f"wss://relay{number}.example",
        "waiting",
        retry_in_seconds=40.0 + number,
        num_owed_events=3,
        down_since=time.time() - 2500,
        errors=[said("connection refused", 1)],
    )
    for number in range(1, 4)
)


def first_visit(page: Page) -> None:
    Scenery(page)


def useless(page: Page) -> None:
    scenery = Scenery(page, relays=GOOD + USELESS, clients=CLIENTS)
    scenery.private_urls += PRIVATE_URLS
    scenery.status["figures"] = FIGURES


def all_down(page: Page) -> None:
    told: Entry = {"outbox_waiting": 3, "outbox_oldest_at": time.time() - 420}
    scenery = Scenery(page, relays=DOWN, clients=CLIENTS, outbox=OUTBOX)
    scenery.status |= told


def outbox_waits(page: Page) -> None:
    told: Entry = {
        "outbox_waiting": 3,
        "outbox_oldest_at": time.time() - 420,
        "outbox_undeliverable": 2,
        "outbox_undeliverable_at": time.time() - 7200,
    }
    relays = GOOD[:1] + USELESS[:1] + DOWN[2:]
    scenery = Scenery(page, relays=relays, outbox=OUTBOX, undeliverable=LOST)
    scenery.status |= told


def history(page: Page) -> None:
    scenery = Scenery(page, relays=GOOD[:4], clients=CLIENTS)
    scenery.status["figures"] = FIGURES
    scenery.incident = "connection reset by peer"


SITUATIONS: dict[str, tuple[Callable[[Page], None], str]] = {
    "first": (first_visit, "info"),
    "useless": (useless, "warning"),
    "down": (all_down, "error"),
    "outbox": (outbox_waits, "warning"),
    "history": (history, "check_circle"),
}
"""How each comes about, and the sign of its headline."""

CUT_OFF = """() => [...document.querySelectorAll('.q-page *')].filter(it => {
  const style = getComputedStyle(it)
  if (style.overflowX === 'visible' || style.textOverflow === 'ellipsis') return false
  return !it.closest('.scroll, textarea, input') && it.clientWidth > 1 &&
    it.scrollWidth > it.clientWidth + 1
}).map(it => it.outerHTML.slice(0, 200))"""

OVERLAPS = """() => {
  const cards = [...document.querySelectorAll('.q-page .q-card')]
    .filter(it => !it.parentElement.closest('.q-card'))
    .map(it => it.getBoundingClientRect())
  return cards.filter((one, index) => cards.slice(index + 1).some(other =>
    one.left < other.right - 1 && other.left < one.right - 1 &&
    one.top < other.bottom - 1 && other.top < one.bottom - 1)).length
}"""


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_i1_situation_looks_right_at_every_width(
    admin: AdminPage, server: LnbitsServer, situation: str, language: str
) -> None:
    page = admin.page
    begin, sign = SITUATIONS[situation]
    begin(page)
    page.evaluate("text => localStorage['lnbits.lang'] = text", f"__q_strn|{language}")
    page.goto(f"{server.extension_url}/")
    expect(admin.summary).to_be_visible()
    icon = page.locator(".q-page .q-card").first.locator(".q-icon").first
    expect(icon).to_have_text(sign)
    if situation == "history":
        row = admin.relay("wss://relay1.example")
        row.get_by_role("button", name="Details").click()
        expect(page.get_by_test_id("details")).to_contain_text("connection reset")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        fits = "width => document.documentElement.scrollWidth <= width"
        page.wait_for_function(fits, arg=width)  # LNbits' menu moves in or out
        for theme in ("light", "dark"):
            page.evaluate("dark => Quasar.Dark.set(dark)", theme == "dark")
            expect(page.locator(f"body.body--{theme}")).to_have_count(1)
            if width in (WIDTHS[0], WIDTHS[-1]):
                check_accessible(page)
            if FOLDER:
                name = f"{situation}-{language}-{width}-{theme}"
                keep(page, Path(FOLDER), name)
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(OVERLAPS) == 0
    if situation == "history":
        assert page.locator(".q-page .q-icon", has_text="warning").count() == 0


def keep(page: Page, folder: Path, name: str) -> None:
    """Keep a picture of the whole page."""
    folder.mkdir(parents=True, exist_ok=True)
    size: Any = page.viewport_size
    height = page.evaluate("document.querySelector('.q-page').scrollHeight") + 100
    page.set_viewport_size({"width": size["width"], "height": min(height, 6000)})
    page.wait_for_timeout(400)  # until charts are drawn
    page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=60)
    page.set_viewport_size(size)
