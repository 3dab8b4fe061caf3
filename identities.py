"""Reader keys: those that the admin stored, and those of nostrmarket's merchants.

The relay manager asks relays as each of them (H2). A key may come from both sources; it
is removed from the manager when no source names it any longer. The merchants' private
keys are read from nostrmarket's table only while the admin has switched that on, and
are nowhere but in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from .crud import (
    get_identities,
    get_merchants,
    get_merchants_enabled,
    get_merchants_keys,
)
from .helpers import decrypt_identity
from .models import Merchant, Merchants, ReaderKey
from .nostr.errors import InvalidKey
from .nostr.key import PrivateKey, PublicKey
from .nostr.log import logger
from .router import nostr_client


class Identities:
    """The reader keys in force, by source. For the event loop only."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        """The labels of the stored keys, by public key."""
        self.merchants_enabled = False
        self._stored: dict[str, PrivateKey] = {}
        self._merchants: dict[str, PrivateKey] = {}
        self._in_force: set[str] = set()
        self._failing = False

    # The stored keys

    async def load(self) -> None:
        """Load the stored keys and the merchants' switch."""
        stored: dict[str, PrivateKey] = {}
        labels: dict[str, str] = {}
        for row in await get_identities():
            labels[row.pubkey] = row.label
            try:
                stored[row.pubkey] = decrypt_identity(row.secret)
            except InvalidKey as error:
                logger.error(f"reader key {row.pubkey} cannot be used: {error}")
        enabled = await get_merchants_enabled()
        self.labels, self._stored = labels, stored
        self.merchants_enabled = enabled
        if not enabled:
            self._merchants = {}
        self._apply()
        await self._try_refresh()

    def add(self, key: PrivateKey, label: str) -> None:
        """Add a key that was stored."""
        pubkey = key.public_key.hex()
        self._stored[pubkey], self.labels[pubkey] = key, label
        self._apply()

    def remove(self, pubkey: str) -> None:
        """Remove a key that was deleted from the store."""
        self._stored.pop(pubkey, None)
        self.labels.pop(pubkey, None)
        self._apply()

    def shown(self) -> list[ReaderKey]:
        """Return the stored keys, never their secrets."""
        return [
            ReaderKey(
                npub=PublicKey.from_hex(pubkey).bech32(), pubkey=pubkey, label=label
            )
            for pubkey, label in self.labels.items()
        ]

    # The merchants' keys

    async def watch_merchants(self) -> None:
        """Look for new and removed merchants, again and again, until cancelled."""
        while True:
            await self._try_refresh()
            settings = nostr_client.relay_manager.settings
            await asyncio.sleep(settings.merchants_seconds)

    async def _try_refresh(self) -> None:
        try:
            await self.refresh_merchants()
        except Exception as error:  # noqa: BLE001  # drivers raise their own errors
            if not self._failing:
                logger.error(f"nostrmarket's merchants cannot be read: {error}")
            self._failing = True
        else:
            self._failing = False

    async def refresh_merchants(self) -> None:
        """Read the merchants' keys, if they are to be used."""
        if not self.merchants_enabled:
            return
        keys = _readable(await get_merchants_keys())
        if self.merchants_enabled:  # it may have been switched off meanwhile
            self._merchants = {key.public_key.hex(): key for key in keys}
            self._apply()

    async def set_merchants(self, enabled: bool) -> None:
        """Use the merchants' keys from now on, or remove them from memory."""
        self.merchants_enabled = enabled
        if enabled:
            await self.refresh_merchants()
        else:
            self._merchants = {}
            self._apply()

    async def merchants(self) -> Merchants:
        """Return the merchants in nostrmarket's table, by their public keys."""
        found = []
        for text in dict.fromkeys(await get_merchants()):
            try:
                public_key = PublicKey.from_hex(text)
            except InvalidKey:
                continue
            found.append(Merchant(npub=public_key.bech32(), pubkey=public_key.hex()))
        return Merchants(enabled=self.merchants_enabled, merchants=found)

    def _apply(self) -> None:
        manager = nostr_client.relay_manager
        wanted = {**self._merchants, **self._stored}
        for pubkey in self._in_force - wanted.keys():
            manager.remove_identity(pubkey)
        for pubkey in wanted.keys() - self._in_force:
            manager.add_identity(wanted[pubkey])
        self._in_force = set(wanted)


def reader_key(pubkey: str, label: str) -> ReaderKey:
    """Return what REST says of a reader key."""
    npub = PublicKey.from_hex(pubkey).bech32()
    return ReaderKey(npub=npub, pubkey=pubkey, label=label)


def _readable(secrets: Iterable[str]) -> list[PrivateKey]:
    keys = []
    for secret in secrets:
        try:
            keys.append(PrivateKey.from_hex(secret))
        except InvalidKey:
            logger.error("a merchant's key in nostrmarket's table is not valid")
    return keys


identities = Identities()
