"""What a link has asked its relay, for tests."""

import json
from typing import Any

from .builders import StoringRelay
from .links import Link


def reqs(texts: list[str]) -> list[list[Any]]:
    """Give the REQs among texts, each without its verb."""
    return [message[1:] for message in map(json.loads, texts) if message[0] == "REQ"]


def closes(texts: list[str]) -> list[str]:
    return [message[1] for message in map(json.loads, texts) if message[0] == "CLOSE"]


def suspected(link: Link) -> bool:
    return link.session.suspect is not None


def opened(*wanted: dict[str, Any], relay: StoringRelay | None = None) -> Link:
    """Give a link with one subscription that had its first EOSE."""
    link = Link(relay)
    link.subscribe("a", *(wanted or ({},)))
    link.connect()
    link.settle()
    assert link.finished["a"] == 1
    return link
