"""Who is let in and how the configuration changes, without a server."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException
from lnbits.core.models import Account
from starlette.datastructures import Headers

from nostrclient import configuration as configuration_module
from nostrclient import crud, views_api, views_endpoints
from nostrclient.configuration import Configuration, Part
from nostrclient.models import Config, ConfigUpdate
from nostrclient.nostr.settings import DEFAULTS, Settings
from nostrclient.router import NostrRouter, nostr_client

ADMIN = Account.construct(id="0123456789abcdef")

LIMITED = Config(settings={"eose_seconds": 7, "gone_seconds": 1, "ping_seconds": 0})


@pytest.fixture
async def configuration(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """A configuration of its own in memory, with the settings loaded."""
    fresh = Configuration()
    fresh.set_loaded(Part.SETTINGS, True)
    for module in (configuration_module, views_api, views_endpoints):
        monkeypatch.setattr(module, "configuration", fresh)
    return fresh


class FakeStore:
    """The stored configuration; a change takes a while."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changing = asyncio.Event()

    async def change(self, change: Callable[[Config], Config]) -> Config:
        changed = change(self.config)
        self.changing.set()
        await asyncio.sleep(0.02)
        self.config = changed
        return changed


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    store = FakeStore(LIMITED)
    monkeypatch.setattr(views_api, "change_config", store.change)
    return store


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
async def test_a4_client_is_refused_as_soon_as_its_endpoint_is_closed(
    configuration: Configuration, store: FakeStore, is_public: bool
) -> None:
    store.config = Config(public_ws=True)
    configuration.config = Config(public_ws=True)
    assert "closed" not in str(await views_endpoints._refusal("relay", is_public, ""))
    update = ConfigUpdate(public_ws=False, private_ws=False)
    await views_api.api_update_config(update, ADMIN)
    assert "closed" in str(await views_endpoints._refusal("relay", is_public, ""))


async def test_a4_client_that_comes_before_the_settings_are_read_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = Configuration()
    monkeypatch.setattr(views_endpoints, "configuration", fresh)
    coming = asyncio.create_task(views_endpoints._refusal("relay", True, ""))
    await asyncio.sleep(0.02)
    assert not coming.done()
    await fresh.apply_config(Config(public_ws=True))
    fresh.set_loaded(Part.SETTINGS, True)
    assert await coming is None


async def test_c5_client_is_let_in_by_the_defaults_where_no_settings_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = Configuration()
    monkeypatch.setattr(views_endpoints, "configuration", fresh)
    manager = nostr_client.relay_manager
    monkeypatch.setattr(manager, "settings", Settings(load_seconds=0.02))
    refusal = await views_endpoints._refusal("relay", True, "")
    assert refusal == "the public endpoint is closed"


async def test_a6_stored_value_that_is_refused_does_not_block_another_change(
    configuration: Configuration, store: FakeStore
) -> None:
    update = ConfigUpdate(public_ws=True, settings={"pong_seconds": 11})
    changed = await views_api.api_update_config(update, ADMIN)
    assert changed.settings == {"eose_seconds": 7, "pong_seconds": 11}
    assert configuration.config == store.config == changed
    with pytest.raises(HTTPException, match="ping_seconds"):
        await views_api.api_update_config(
            ConfigUpdate(settings={"ping_seconds": 0}), ADMIN
        )


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "null",
        "[]",
        "{",
        '{"public_ws":true,"settings":{"ping_seconds":null}}',
        '{"public_ws":true,"settings":null,"private_ws":{}}',
        '{"public_ws":true,"settings":{"eose_seconds":"x"},"identity":[]}',
        '{"public_ws":true,"unknown":1,"settings":{"ping_seconds":true}}',
    ],
)
def test_a6_stored_configuration_that_is_damaged_can_be_read(
    stored: str | None,
) -> None:
    config = crud.parse_config(stored)
    assert config.settings == {}
    assert config.identity is None
    assert config.private_ws
    assert config.public_ws == ("public_ws" in (stored or ""))


class Handshake:
    """A WebSocket before its handshake, from an address."""

    def __init__(self, address: str) -> None:
        self.client = (address, 4711)
        self.headers = Headers({})
        self.closed = False

    async def receive(self) -> None:
        """Receive nothing."""

    _receive = receive

    async def close(self) -> None:
        """Note that it was refused."""
        self.closed = True


async def test_f2_refused_connections_are_counted_and_explained_without_an_address(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration.config = Config(public_ws=True)
    limits = replace(DEFAULTS.public, connections=3, connections_per_address=2)
    settings = replace(DEFAULTS, public=limits)
    monkeypatch.setattr(nostr_client.relay_manager, "settings", settings)
    refused: dict[str, Counter[str]] = {"public": Counter(), "private": Counter()}
    monkeypatch.setattr(views_endpoints, "refused_connections", refused)
    lines: list[str] = []
    monkeypatch.setattr(
        NostrRouter.refusal_log, "log", lambda _, text: lines.append(text)
    )
    present = [SimpleNamespace(is_public=True, address="8.8.8.8") for _ in range(2)]
    monkeypatch.setattr(views_endpoints, "all_routers", present)

    async def connect(address: str) -> bool:
        handshake: Any = Handshake(address)
        await views_endpoints.ws_relay("relay", handshake)
        return bool(handshake.closed)

    assert await connect("8.8.8.8")
    present.append(SimpleNamespace(is_public=True, address="9.9.9.9"))
    assert await connect("7.7.7.7")
    assert refused["public"] == {
        "too many connections": 2,
    }
    assert lines == [
        "a client was refused: too many connections from 8.8.8.8",
        "a client was refused: too many connections",
    ]
