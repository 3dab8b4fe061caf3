"""Rules for clients of the public endpoint: who may read and publish what (H5).

A client is known by the keys that it authenticated as (NIP-42), by the author of what
it publishes, and by its address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence, Set
from typing import NamedTuple

from .errors import InvalidMessage
from .event import MAX_KIND, SignedEvent

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DENIED_KEY = "blocked: this key may not use this endpoint"
READ_AUTH = "auth-required: authenticate to read here"
PUBLISH_AUTH = "auth-required: authenticate to publish here"
READ_UNLISTED = "restricted: only certain keys may read here"
PUBLISH_UNLISTED = "restricted: only certain keys may publish here"
DENIED_KIND = "blocked: events of kind {kind} are not accepted here"


class GuestRules(NamedTuple):
    """The operator's rules; without any of them everybody may do everything.

    Keys are public keys in hex. An empty list of what is allowed allows all.
    """

    auth_to_read: bool = False
    auth_to_publish: bool = False
    allowed_keys: frozenset[str] = frozenset()
    denied_keys: frozenset[str] = frozenset()
    allowed_kinds: tuple[range, ...] = ()
    denied_kinds: tuple[range, ...] = ()
    allowed_networks: tuple[Network, ...] = ()
    denied_networks: tuple[Network, ...] = ()

    @property
    def needs_auth(self) -> bool:
        """Whether anything depends on a client's AUTH."""
        return self.auth_to_read or self.auth_to_publish

    @property
    def restricts_writes(self) -> bool:
        """Whether some event of somebody would be refused (NIP-11)."""
        lists = (
            self.allowed_keys,
            self.denied_keys,
            self.allowed_kinds,
            self.denied_kinds,
        )
        return self.auth_to_publish or any(lists)

    def for_users(self) -> GuestRules:
        """Return the rules for LNbits users, whom the operator knows by their login.

        The lists of what is denied, and those of kinds, hold for them as well.
        """
        return self._replace(
            auth_to_read=False, auth_to_publish=False, allowed_keys=frozenset()
        )

    def admits(self, address: str) -> bool:
        """Return whether a client may connect from an address."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return not self.allowed_networks
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        if any(found in network for network in self.denied_networks):
            return False
        allowed = self.allowed_networks
        return not allowed or any(found in network for network in allowed)

    def read_refusal(self, keys: Set[str]) -> str | None:
        """Return why a client that authenticated as these keys may not read."""
        if keys & self.denied_keys:
            return DENIED_KEY
        if not self.auth_to_read:
            return None
        if not keys:
            return READ_AUTH
        if self.allowed_keys and not keys & self.allowed_keys:
            return READ_UNLISTED
        return None

    def publish_refusal(self, event: SignedEvent, keys: Set[str]) -> str | None:
        """Return why a client that authenticated as these keys may not publish."""
        if event.pubkey in self.denied_keys or keys & self.denied_keys:
            return DENIED_KEY
        allowed_kinds = self.allowed_kinds
        if any(event.kind in kinds for kinds in self.denied_kinds) or (
            allowed_kinds and not any(event.kind in kinds for kinds in allowed_kinds)
        ):
            return DENIED_KIND.format(kind=event.kind)
        if self.auth_to_publish and not keys:
            return PUBLISH_AUTH
        # A gift wrap has a throw-away author: the key of the connection counts as well.
        publishers = keys if self.auth_to_publish else {event.pubkey, *keys}
        if self.allowed_keys and not publishers & self.allowed_keys:
            return PUBLISH_UNLISTED
        return None


OPEN_TO_ALL = GuestRules()


def parse_kinds(texts: Sequence[str]) -> tuple[range, ...]:
    """Parse kinds, such as `1`, and ranges of them, such as `30000-39999`.

    Raises `InvalidMessage`.
    """
    found: list[range] = []
    for text in texts:
        first, dash, last = text.partition("-")
        numbers = [part.strip() for part in (first, last if dash else first)]
        if not all(part.isascii() and part.isdigit() for part in numbers):
            raise InvalidMessage(f"{text!r} is not a kind")
        least, most = (int(part[:10]) for part in numbers)
        if not least <= most <= MAX_KIND:
            raise InvalidMessage(f"{text!r} is not a kind")
        found.append(range(least, most + 1))
    return tuple(found)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse addresses and networks, such as `192.0.2.0/24`. Raises `InvalidMessage`."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise InvalidMessage(f"{text!r} is not an address") from error
    return tuple(found)
