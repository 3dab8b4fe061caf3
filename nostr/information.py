"""Relays' information documents (NIP-11): read theirs, build ours."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .limits import EventLimits, RelayLimits
from .message import printable
from .settings import DEFAULTS, ClientLimits, Settings

ABSURD = 2**31
COUNT_NIP = 45
HINTS_NIP = 67
NEGENTROPY_NIP = 77
AUTH_NIP = 42
SEARCH_NIP = 50
ONE_LIMIT_SOFTWARE = "nostream"
INSTANCE_KEY = "nostrclient_instance"
USER_AGENT = "nostrclient"
PRESENCE_HEADER = "x-nostrclient"
"""The header of a handshake's answer by which an endpoint of nostrclient is known."""
SOFTWARE = "https://github.com/lnbits/nostrclient"
MAX_TEXT_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 1000
MAX_LIMITATIONS = 40
MAX_NAME_CHARACTERS = 64
EXACT = 2**53  # JavaScript reads larger integers inexactly
LEAST = {
    "max_message_length": 4096,
    "max_subscriptions": 1,
    "max_filters": 1,
    "max_limit": 1,
    "default_limit": 1,
}
LEAST_OF_EVENTS = dict.fromkeys(EventLimits._fields, 1)


Limitation = bool | int | float | str


class RelayInformation(NamedTuple):
    """The fields of a relay's NIP-11 document that are used here.

    The relay's texts must be shown as text, never as HTML. `icon` is the URL of an
    image, or empty. `limitation` is shown as announced; `limits` and `event_limits`
    hold sane values.
    """

    name: str = ""
    icon: str = ""
    software: str = ""
    version: str = ""
    description: str = ""
    contact: str = ""
    limitation: tuple[tuple[str, Limitation], ...] = ()
    instance_id: str = ""
    supported_nips: frozenset[int] = frozenset()
    limits: RelayLimits = RelayLimits()
    event_limits: EventLimits = EventLimits()


def own_document(
    limits: ClientLimits,
    settings: Settings,
    instance_id: str,
    *,
    counts: bool,
    searches: bool,
    authenticates: bool = False,
) -> dict[str, Any]:
    """Return the NIP-11 document of one of our own endpoints.

    It states only enforced limits and delivered NIPs. `counts` is whether a relay can
    answer a COUNT, `searches` whether one searches, `authenticates` whether clients are
    sent a challenge. By `instance_id` we recognise
    ourselves among our relays.
    """
    nips = [1, 11, 40, HINTS_NIP]
    if counts:
        nips.append(COUNT_NIP)
    if searches:
        nips.append(SEARCH_NIP)
    if authenticates:
        nips.append(AUTH_NIP)
    return {
        "name": "nostrclient",
        "description": "One endpoint in front of many Nostr relays, run by an LNbits.",
        "software": SOFTWARE,
        "supported_nips": nips,
        "limitation": {
            "max_message_length": limits.message_bytes,
            "max_subscriptions": limits.subscriptions,
            "max_filters": limits.filters,
            "max_subid_length": settings.subscription_id_characters,
            "auth_required": False,
            "payment_required": False,
            "restricted_writes": False,
        },
        INSTANCE_KEY: instance_id,
    }


def is_nostrclient_agent(agent: str) -> bool:
    """Return whether a client with this User-Agent is another nostrclient."""
    return agent.partition("/")[0].strip().lower() == USER_AGENT


def parse_information(data: bytes) -> RelayInformation | None:
    """Parse a NIP-11 document; None if it is invalid. Absurd values are ignored."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    limitation = document.get("limitation")
    if not isinstance(limitation, dict):
        limitation = {}
    nips = document.get("supported_nips")
    if not isinstance(nips, list):
        nips = []
    return RelayInformation(
        name=_text(document, "name"),
        icon=_url(document, "icon"),
        software=_text(document, "software"),
        version=_text(document, "version"),
        description=_text(document, "description", MAX_DESCRIPTION_CHARACTERS),
        contact=_text(document, "contact"),
        limitation=_announced(limitation),
        instance_id=_text(document, INSTANCE_KEY),
        supported_nips=_supported_nips(nips, limitation),
        limits=_limits(document, limitation),
        event_limits=EventLimits(
            **{
                key: _number(limitation.get(key), least)
                for key, least in LEAST_OF_EVENTS.items()
            }
        ),
    )


def _supported_nips(nips: list[Any], limitation: dict[str, Any]) -> frozenset[int]:
    supported = {nip for nip in nips if type(nip) is int}
    # nostream lists NIP-50 where it is switched off, and answers as without `search`.
    if limitation.get("search_supported") is False:
        supported.discard(SEARCH_NIP)
    return frozenset(supported)


def _limits(document: dict[str, Any], limitation: dict[str, Any]) -> RelayLimits:
    numbers = {key: _number(limitation.get(key), least) for key, least in LEAST.items()}
    limits = RelayLimits(**numbers)
    # No document says so, but its source does: one SQL statement for all filters.
    if ONE_LIMIT_SOFTWARE in _text(document, "software").lower():
        most = limits.max_limit or DEFAULTS.assumed_max_limit
        return limits._replace(first_limit=most)
    return limits


def _text(
    document: dict[str, Any], key: str, characters: int = MAX_TEXT_CHARACTERS
) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        return ""
    return printable(" ".join(value[:characters].split()), characters)


def _url(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        return ""
    is_web = value.lower().startswith(("https://", "http://"))
    return value if is_web and value.isprintable() else ""


def _announced(limitation: dict[str, Any]) -> tuple[tuple[str, Limitation], ...]:
    found: list[tuple[str, Limitation]] = []
    for name, value in limitation.items():
        shown_name = printable(name, MAX_NAME_CHARACTERS)
        if isinstance(value, str):
            found.append((shown_name, printable(value, MAX_TEXT_CHARACTERS)))
        elif isinstance(value, bool | int | float) and abs(value) <= EXACT:
            found.append((shown_name, value))
    return tuple(found[:MAX_LIMITATIONS])


def _number(value: object, least: int) -> int | None:
    if type(value) is not int or not least <= value <= ABSURD:
        return None
    return value
