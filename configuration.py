"""The stored configuration, held in memory.

The database is read at start and written when something changes. Whatever only needs to
know the configuration (a handshake, the page, monitoring) reads it here, and does not
wait for the database. Changes are serialised by `Configuration.lock`, so that memory
and database agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from .helpers import normalize_public_key
from .models import Config, Guests, Relay
from .nostr.errors import InvalidMessage
from .nostr.guests import GuestRules, parse_kinds, parse_networks
from .nostr.log import logger
from .nostr.relay_url import known_relay_url
from .nostr.socks import ProxyMode, ProxyPolicy, RelayRoute, parse_proxy_url
from .router import NostrRouter, all_routers, nostr_client

MAX_LISTED = 1000  # entries in a list of guests


class Part(str, Enum):
    """A part of what is stored; each is loaded by itself."""

    TABLES = "tables"
    SETTINGS = "settings"
    URLS = "private_urls"
    IDENTITY = "identity"
    IDENTITIES = "identities"
    OUTBOX = "outbox"
    RELAYS = "relays"


class Configuration:
    """Endpoints, settings and relays as they are stored. For the event loop only.

    `lock` is held from reading until memory is up to date, by whoever changes anything.
    """

    def __init__(self) -> None:
        self.config = Config()
        self.relays: dict[str, Relay] = {}
        """By normalised URL; a URL that is not valid stands as it is stored."""
        self.lock = asyncio.Lock()
        self._loaded: set[Part] = set()
        self._tried = {part: asyncio.Event() for part in Part}

    # Loading

    @property
    def not_loaded(self) -> list[str]:
        """The parts that were not read so far, in the order of loading."""
        return [part.value for part in Part if part not in self._loaded]

    def set_loaded(self, part: Part, loaded: bool) -> None:
        """Store the outcome of an attempt to load a part."""
        if loaded:
            self._loaded.add(part)
        self._tried[part].set()

    async def wait_for(self, part: Part, seconds: float) -> None:
        """Wait until a part was read, or could not be, or the time is over."""
        if self._tried[part].is_set():
            return
        waiting = asyncio.ensure_future(self._tried[part].wait())
        try:
            await asyncio.wait([waiting], timeout=seconds)
        finally:
            waiting.cancel()

    # Changes that were stored

    async def apply_config(self, config: Config) -> None:
        """Open and close the endpoints, and reach relays as it says.

        The clients of a closed endpoint are closed.
        """
        self.config = config
        NostrRouter.public_url = config.face.public_url
        try:
            rules = guest_rules(config.guests)
        except ValueError as error:
            # Better closed than open to those whom the operator wanted to keep out.
            logger.error(f"the stored rules for guests cannot be used: {error}")
            rules = GuestRules(auth_to_read=True, auth_to_publish=True)
        if rules != NostrRouter.guests:
            NostrRouter.guests = rules
            for router in all_routers:
                router.apply_guests()
        try:
            nostr_client.relay_manager.set_proxy(proxy_policy(config))
        except ValueError as error:
            logger.error(f"the stored proxy cannot be used: {error}")
        await asyncio.gather(
            *(
                router.stop()
                for router in all_routers
                if not (config.public_ws if router.is_public else config.private_ws)
            )
        )

    def apply_relays(self, stored: Iterable[Relay]) -> None:
        """Add, change and remove relays as the database says.

        Relays that other extensions added are left alone. A stored relay whose row has
        not changed is left as it is: it may have been switched off for being ourselves.
        """
        manager = nostr_client.relay_manager
        rows = {known_relay_url(row.url or ""): row for row in stored if row.url}
        for url in self.relays.keys() - rows.keys():
            manager.remove_relay(url)
        for url, row in rows.items():
            known = self.relays.get(url)
            is_same = known is not None and StoredUse.of(row) == StoredUse.of(known)
            if url in manager.relays and is_same:
                continue
            try:
                self._apply_relay(url, row)
            except ValueError as error:
                if url not in self.relays:
                    logger.warning(f"stored relay {row.url!r} is left out: {error}")
        self.relays = rows

    def _apply_relay(self, url: str, row: Relay) -> None:
        use = StoredUse.of(row)
        manager = nostr_client.relay_manager
        if url in manager.relays:
            manager.update_relay(url, **use._asdict())
        else:
            manager.add_relay(url, **use._asdict())


class StoredUse(NamedTuple):
    """The use of a relay in its row; null counts as yes."""

    active: bool
    read: bool
    write: bool
    route: RelayRoute

    @classmethod
    def of(cls, row: Relay) -> StoredUse:
        """Read a row."""
        return cls(
            row.active is not False,
            row.read is not False,
            row.write is not False,
            RelayRoute.parse(row.route),
        )


def guest_rules(guests: Guests) -> GuestRules:
    """Return the rules of the public endpoint. Raises `ValueError` with a reason."""
    for name, items in guests.dict().items():
        if isinstance(items, list) and len(items) > MAX_LISTED:
            raise InvalidMessage(f"{name} has more than {MAX_LISTED} entries")
    return GuestRules(
        auth_to_read=guests.auth_to_read,
        auth_to_publish=guests.auth_to_publish,
        allowed_keys=frozenset(map(normalize_public_key, guests.allow_pubkeys)),
        denied_keys=frozenset(map(normalize_public_key, guests.deny_pubkeys)),
        allowed_kinds=parse_kinds(guests.allow_kinds),
        denied_kinds=parse_kinds(guests.deny_kinds),
        allowed_networks=parse_networks(guests.allow_addresses),
        denied_networks=parse_networks(guests.deny_addresses),
    )


def proxy_policy(config: Config) -> ProxyPolicy:
    """Return how relays are reached. Raises `InvalidMessage` for a wrong URL."""
    proxy = parse_proxy_url(config.proxy_url) if config.proxy_url else None
    return ProxyPolicy(proxy, ProxyMode(config.proxy_mode))


configuration = Configuration()
