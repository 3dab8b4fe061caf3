"""Rule H2: which reader keys the relay manager has, and for how long."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from nostrclient import identities as module
from nostrclient.helpers import encrypt_identity
from nostrclient.identities import Identities
from nostrclient.models import StoredIdentity
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.settings import DEFAULTS

SHOP, WALLET, MERCHANT = (PrivateKey.from_hex(f"0{n}" * 32) for n in (3, 4, 5))


class FakeManager:
    """The relay manager's reader keys."""

    settings = DEFAULTS

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def add_identity(self, key: PrivateKey) -> None:
        assert key.public_key.hex() not in self.keys
        self.keys.add(key.public_key.hex())

    def remove_identity(self, pubkey: str) -> None:
        self.keys.remove(pubkey)


class FakeTables:
    """The stored reader keys, and nostrmarket's table of merchants."""

    def __init__(self) -> None:
        self.stored = [stored(SHOP, "shop")]
        self.merchants_enabled = False
        self.merchants = [MERCHANT.hex()]
        self.reads = 0

    def read(self, name: str) -> Callable[[], Awaitable[object]]:
        async def read() -> object:
            self.reads += name == "merchants"
            return getattr(self, name)

        return read


def stored(key: PrivateKey, label: str) -> StoredIdentity:
    return StoredIdentity(
        pubkey=key.public_key.hex(), secret=encrypt_identity(key), label=label
    )


def pubkeys(*keys: PrivateKey) -> set[str]:
    return {key.public_key.hex() for key in keys}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    manager = FakeManager()
    monkeypatch.setattr(module, "nostr_client", SimpleNamespace(relay_manager=manager))
    return manager


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> FakeTables:
    tables = FakeTables()
    monkeypatch.setattr(module, "get_identities", tables.read("stored"))
    monkeypatch.setattr(
        module, "get_merchants_enabled", tables.read("merchants_enabled")
    )
    monkeypatch.setattr(module, "get_merchants_keys", tables.read("merchants"))
    return tables


async def test_h2_stored_keys_are_in_force_after_a_start(
    manager: FakeManager, tables: FakeTables
) -> None:
    identities = Identities()
    await identities.load()
    assert manager.keys == pubkeys(SHOP)
    identities.add(WALLET, "wallet")
    assert [key.label for key in identities.shown()] == ["shop", "wallet"]
    identities.remove(SHOP.public_key.hex())
    assert manager.keys == pubkeys(WALLET)


async def test_h2_key_that_cannot_be_decrypted_is_shown_and_blocks_no_other(
    manager: FakeManager, tables: FakeTables
) -> None:
    broken = stored(WALLET, "broken").copy(update={"secret": "of another LNbits"})
    tables.stored.append(broken)
    identities = Identities()
    await identities.load()
    assert manager.keys == pubkeys(SHOP)
    assert len(identities.shown()) == 2


async def test_h2_merchants_keys_are_read_only_while_switched_on(
    manager: FakeManager, tables: FakeTables
) -> None:
    identities = Identities()
    await identities.load()
    await identities.refresh_merchants()
    assert tables.reads == 0
    await identities.set_merchants(True)
    assert manager.keys == pubkeys(SHOP, MERCHANT)
    await identities.set_merchants(False)
    assert manager.keys == pubkeys(SHOP)
    assert identities._merchants == {}


async def test_h2_new_merchant_is_found_and_a_bad_row_skipped(
    manager: FakeManager, tables: FakeTables
) -> None:
    tables.merchants_enabled = True
    identities = Identities()
    await identities.load()
    tables.merchants += ["", "nonsense", WALLET.hex()]
    await identities.refresh_merchants()
    assert manager.keys == pubkeys(SHOP, MERCHANT, WALLET)
    tables.merchants = []
    await identities.refresh_merchants()
    assert manager.keys == pubkeys(SHOP)


async def test_h2_key_of_two_sources_stays_until_both_are_gone(
    manager: FakeManager, tables: FakeTables
) -> None:
    tables.merchants = [SHOP.hex()]
    identities = Identities()
    await identities.load()
    await identities.set_merchants(True)
    identities.remove(SHOP.public_key.hex())
    assert manager.keys == pubkeys(SHOP)
    await identities.set_merchants(False)
    assert manager.keys == set()
