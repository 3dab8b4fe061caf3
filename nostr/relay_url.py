"""Relay URLs: validation and normal form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .errors import InvalidMessage

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_NAME = re.compile(r"[a-z0-9._-]+")
_HALF_A_PAIR = re.compile(r"[\ud800-\udfff]")


def normalize_relay_url(url: str) -> str:
    """Return the normal form of a relay's URL.

    The scheme and the host become lower case; a default port and a trailing slash are
    removed; path and query stay. Raises `InvalidMessage`, with a reason for the
    operator, for another scheme, credentials, a fragment, no host or an invalid port.
    """
    text = url.strip()
    if len(text) > 2048:
        raise InvalidMessage("relay URL is longer than 2048 characters")
    if any(ord(character) <= 32 or ord(character) == 127 for character in text):
        raise InvalidMessage("relay URL contains spaces or control characters")
    if _HALF_A_PAIR.search(text):
        raise InvalidMessage("relay URL holds half a surrogate pair")
    if "\\" in text:
        raise InvalidMessage("relay URL contains a backslash")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise InvalidMessage(f"relay URL is not valid: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidMessage("relay URL must start with ws:// or wss://")
    if not host:
        raise InvalidMessage("relay URL has no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidMessage("relay URL must not contain credentials")
    if "#" in text:
        raise InvalidMessage("relay URL must not contain a fragment")
    if port == 0:
        raise InvalidMessage("relay URL has port 0")
    host = _normalize_host(host)
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        host = f"{host}:{port}"
    path = parts.path.rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{host}{path}{query}"


def known_relay_url(url: str) -> str:
    """Return the normal form of a stored URL, or the text itself if it is invalid."""
    try:
        return normalize_relay_url(url)
    except InvalidMessage:
        return url


def _normalize_host(host: str) -> str:
    if ":" in host:
        return f"[{host}]"
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidMessage("relay URL has a host that is no valid name") from error
    name = name.lower()
    if not _NAME.fullmatch(name):  # IDNA maps some letters to spaces and symbols
        raise InvalidMessage("relay URL has a host that is no valid name")
    return name


LINK_MARK = "#"  # no relay URL has a fragment (F1)


def link_label(url: str, pubkey: str) -> str:
    """Return the name under which consumers know a link: the URL and whose it is."""
    return f"{url}{LINK_MARK}{pubkey}"


def url_of(label: str) -> str:
    """Return the relay's URL from the name of one of its links."""
    return label.partition(LINK_MARK)[0]
