"""Who is let in, where that needs no server to be told."""

import asyncio

import pytest

from nostrclient import views_api, views_endpoints
from nostrclient.models import Config, ConfigUpdate


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
async def test_a4_who_comes_while_an_endpoint_is_closed_is_refused(
    monkeypatch: pytest.MonkeyPatch, is_public: bool
) -> None:
    stored = Config(public_ws=True, private_ws=True)
    pauses = [0.05]  # before somebody who comes gets to see what was stored
    reading = asyncio.Event()

    async def get_config() -> Config:
        found = stored
        reading.set()
        await asyncio.sleep(pauses.pop() if pauses else 0)
        return found

    async def update_config(config: Config) -> None:
        nonlocal stored
        stored = config

    for module in (views_api, views_endpoints):
        monkeypatch.setattr(module, "get_config", get_config)
    monkeypatch.setattr(views_api, "update_config", update_config)
    coming = asyncio.create_task(views_endpoints._refusal("relay", is_public, ""))
    await reading.wait()
    public, private = ConfigUpdate(public_ws=False), ConfigUpdate(private_ws=False)
    await views_api.api_update_config(public if is_public else private)
    assert "endpoint is closed" in str(await coming)


async def test_numbers_that_only_another_version_knows_are_in_nobody_s_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def get_config() -> Config:
        return Config(settings={"eose_seconds": 7, "gone_seconds": 1})

    async def update_config(_: Config) -> None:
        return None

    monkeypatch.setattr(views_api, "get_config", get_config)
    monkeypatch.setattr(views_api, "update_config", update_config)
    update = ConfigUpdate(settings={"ping_seconds": 30})
    changed = await views_api.api_update_config(update)
    assert changed.settings == {"eose_seconds": 7, "ping_seconds": 30}
