"""Rule I7: private URLs with a name open the endpoint until they are revoked."""

import asyncio
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lnbits.helpers import encrypt_internal_message

from nostrclient import private_urls as module
from nostrclient import views_endpoints
from nostrclient.configuration import Configuration, Part
from nostrclient.helpers import (
    NAMED_URL,
    PUBLIC_ENDPOINT,
    is_private_endpoint,
    private_path,
    private_url_id,
)
from nostrclient.models import StoredPrivateUrl
from nostrclient.nostr import clock
from nostrclient.private_urls import PrivateUrls

URL_ID = "dGhpcyBpcyBhbiBpZCEhIQ"
PREFIX = "/nostrclient/api/v1/"


class FakeRouter(SimpleNamespace):
    """A client that uses a named private URL."""

    def __init__(self, private_url: str) -> None:
        super().__init__(private_url=private_url, reasons=[])

    async def stop(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, StoredPrivateUrl]:
    """The table, with one URL."""
    table = {URL_ID: StoredPrivateUrl(id=URL_ID, name="shop", created_at=1)}

    async def get() -> list[StoredPrivateUrl]:
        return [url.copy() for url in table.values()]

    monkeypatch.setattr(module, "get_private_urls", get)
    return table


@pytest.fixture
def routers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeRouter]]:
    found = [FakeRouter(URL_ID), FakeRouter("")]
    monkeypatch.setattr(module, "all_routers", found)
    return iter([found])


@pytest.mark.parametrize("urlsafe", [True, False])
def test_i7_secret_of_a_named_url_is_read_in_both_alphabets(urlsafe: bool) -> None:
    # 22 characters, as ids are: LNbits' cipher leaves the padding at multiples of 16.
    for _ in range(20):
        secret = encrypt_internal_message(f"{NAMED_URL}{URL_ID}", urlsafe=urlsafe)
        assert private_url_id(secret or "") == URL_ID
        assert private_url_id(f"{secret}/") == URL_ID


def test_i7_encrypted_id_of_today_keeps_working() -> None:
    assert private_url_id(encrypt_internal_message(PUBLIC_ENDPOINT) or "") == ""
    assert private_url_id(private_path().removeprefix(PREFIX)) == ""
    assert private_url_id("nonsense") is None
    assert private_url_id(encrypt_internal_message("something else") or "") is None


def test_i7_secret_of_a_named_url_cannot_be_changed_into_another_url_s() -> None:
    """LNbits' cipher does not authenticate: blocks can be cut off and garbled."""
    secret = private_path(URL_ID).removeprefix(PREFIX)
    raw = urlsafe_b64decode(secret)
    header, blocks = raw[:16], [raw[at : at + 16] for at in range(16, len(raw), 16)]
    assert len(blocks) == 2
    forged = [[blocks[0]], [blocks[1]], blocks[::-1], [*blocks, blocks[1]]]
    forged += [[blocks[0], bytes([number]) * 16] for number in range(256)]
    for parts in forged:
        text = urlsafe_b64encode(header + b"".join(parts)).decode()
        assert private_url_id(text) not in ("", URL_ID)


def test_i7_secret_is_of_lnbits_own_form() -> None:
    secret = private_path(URL_ID).removeprefix(PREFIX)
    assert b64decode(secret, altchars=b"-_").startswith(b"Salted__")
    assert URL_ID not in secret
    assert is_private_endpoint(secret)  # so that it stays out of the log


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_open": False}, "the private URL is closed"),
        (None, "there is no such private URL"),
    ],
    ids=["closed", "revoked"],
)
async def test_i7_url_that_is_closed_or_revoked_ends_its_connections_only(
    stored: dict[str, StoredPrivateUrl],
    routers: Iterator[list[FakeRouter]],
    change: dict[str, Any] | None,
    reason: str,
) -> None:
    using, other = next(routers)
    urls = PrivateUrls()
    await urls.load()
    assert using.reasons == []
    assert urls.refusal(URL_ID) is None
    if change is None:
        del stored[URL_ID]
    else:
        stored[URL_ID] = stored[URL_ID].copy(update=change)
    await urls.load()
    assert using.reasons == ["the private URL is closed"]
    assert other.reasons == []
    assert urls.refusal(URL_ID) == reason
    assert urls.refusal("") is None


async def test_i7_list_has_the_last_use_and_the_clients(
    stored: dict[str, StoredPrivateUrl],
    routers: Iterator[list[FakeRouter]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected = next(routers)
    urls = PrivateUrls()
    stored["unused"] = StoredPrivateUrl(id="unused", name="new", created_at=2)
    await urls.load()
    monkeypatch.setattr(clock, "wall", lambda: 5000.5)
    used, unused = urls.shown()
    assert (used.name, used.clients, used.last_used_at) == ("shop", 1, 5000)
    assert (unused.clients, unused.last_used_at) == (0, None)
    connected.clear()
    monkeypatch.setattr(clock, "wall", lambda: 6000.5)
    used, unused = urls.shown()
    assert (used.clients, used.last_used_at) == (0, 5000)


async def test_i7_client_that_comes_before_the_urls_are_read_waits_for_them(
    stored: dict[str, StoredPrivateUrl], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, urls = Configuration(), PrivateUrls()
    fresh.set_loaded(Part.SETTINGS, True)
    monkeypatch.setattr(views_endpoints, "configuration", fresh)
    monkeypatch.setattr(views_endpoints, "private_urls", urls)
    secret = private_path(URL_ID).removeprefix(PREFIX)
    coming = asyncio.create_task(views_endpoints._refusal(secret, False, ""))
    await asyncio.sleep(0.02)
    assert not coming.done()
    await urls.load()
    fresh.set_loaded(Part.URLS, True)
    assert await coming is None
    shared = private_path().removeprefix(PREFIX)
    assert await views_endpoints._refusal(shared, False, "") is None
    del stored[URL_ID]
    await urls.load()
    refusal = await views_endpoints._refusal(secret, False, "")
    assert refusal == "there is no such private URL"
