"""Fetching a relay's NIP-11 document, in a thread of its own, best effort."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import httpx

from .information import RelayInformation, parse_information
from .settings import Settings


def request_information(
    relay_url: str,
    settings: Settings,
    answer: Callable[[RelayInformation], None],
) -> None:
    """Fetch the document and hand it to `answer`, from another thread.

    Nothing happens where there is none, where it takes longer than
    `information_seconds` or is larger than `information_bytes`.
    """
    threading.Thread(
        target=_fetch,
        args=(relay_url, settings, answer),
        name=f"nostrclient information {relay_url}",
        daemon=True,
    ).start()


def _fetch(
    relay_url: str,
    settings: Settings,
    answer: Callable[[RelayInformation], None],
) -> None:
    # An event loop of its own, because only there one deadline holds for the whole
    # request: a relay may send its headers a byte at a time.
    information = asyncio.run(fetch_information(relay_url, settings))
    if information is not None:
        answer(information)


async def fetch_information(
    relay_url: str, settings: Settings, seconds: float | None = None
) -> RelayInformation | None:
    """Fetch the document; None where there is none within `seconds`."""
    request = _get(relay_url.replace("ws", "http", 1), settings)
    try:
        data = await asyncio.wait_for(request, seconds or settings.information_seconds)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, asyncio.TimeoutError):
        return None
    return None if data is None else parse_information(data)


async def _get(url: str, settings: Settings) -> bytes | None:
    """Give the document; None where there is none or it is too large."""
    # Not compressed: a few bytes must not become many before they can be counted.
    headers = {"Accept": "application/nostr+json", "Accept-Encoding": "identity"}
    timeout = settings.information_seconds
    data = b""
    async with (
        httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code != httpx.codes.OK:
            return None
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > settings.information_bytes:
                return None
    return data
