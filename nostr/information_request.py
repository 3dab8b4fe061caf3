"""Fetching a relay's NIP-11 document, in a thread of its own, best effort."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx

from . import clock
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
    deadline = clock.now() + settings.information_seconds
    data = b""
    try:
        with httpx.stream(
            "GET",
            relay_url.replace("ws", "http", 1),
            headers={"Accept": "application/nostr+json"},
            timeout=settings.information_seconds,
            trust_env=False,
        ) as response:
            if response.status_code != httpx.codes.OK:
                return
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > settings.information_bytes or clock.now() > deadline:
                    return
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return
    information = parse_information(data)
    if information is not None:
        answer(information)
