"""AUTH from a client: who it proved to be on this connection (NIP-42).

The endpoint sends one challenge. A client may answer it as several keys. What depends
on it: private messages that a relay gives to one of these keys only (H4).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from .event import AUTH_KIND, SignedEvent

MAX_KEYS = 20  # on one connection
_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


class ClientAuth:
    """The challenge of one connection, and the keys that answered it.

    `urls` are the ways in which the endpoint is reached. `keys` are public keys in hex;
    the set lives as long as the connection, and others may hold on to it.
    """

    def __init__(
        self, challenge: str, urls: Iterable[str], window_seconds: float
    ) -> None:
        self.challenge = challenge
        self.keys: set[str] = set()
        self._places = {place for url in urls if (place := _place(url)) is not None}
        self._window_seconds = window_seconds

    def refusal(self, event: SignedEvent, wall: float) -> str | None:
        """Return why an AUTH event proves nothing; None: its key is added.

        `wall` is in Unix seconds. The event's signature was verified.
        """
        tags = {tag[0]: tag[1] for tag in reversed(event.tags) if len(tag) > 1}
        if event.kind != AUTH_KIND:
            return f"invalid: the kind of an AUTH event is {AUTH_KIND}"
        if tags.get("challenge") != self.challenge:
            return "invalid: it answers another challenge"
        if _place(tags.get("relay", "")) not in self._places:
            return "invalid: it is meant for another relay"
        if abs(event.created_at - wall) > self._window_seconds:
            return "invalid: its date is too far from now"
        if len(self.keys) >= MAX_KEYS and event.pubkey not in self.keys:
            return f"restricted: {MAX_KEYS} keys per connection"
        self.keys.add(event.pubkey)
        return None


def _place(url: str) -> tuple[str, int | None, str] | None:
    """Return host, port and path: the scheme is the reverse proxy's affair."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    if port == _DEFAULT_PORTS.get(parts.scheme):
        port = None
    return parts.hostname.lower(), port, parts.path.rstrip("/")
