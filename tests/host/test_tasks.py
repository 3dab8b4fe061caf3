"""What an upgrade hands over, and a database that does not do as it should."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nostrclient import instances, outbox_store, tasks
from nostrclient.configuration import Configuration, Part
from nostrclient.helpers import encrypt_identity
from nostrclient.identities import identities
from nostrclient.instances import Instances
from nostrclient.models import Config, OutboxEvent, Relay
from nostrclient.nostr import clock
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.in_process import EndOfStoredEventsMessage, EventMessage
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.outbox_store import OutboxStore
from nostrclient.private_urls import private_urls
from nostrclient.router import NostrRouter, nostr_client
from tests.nostr.builders import KEY, signed

DAY = 24 * 60 * 60
NUMBERS = Config(settings={"outbox_expiry_seconds": 30 * DAY})


REFUSED_IN_PART = Config(
    settings={
        "eose_seconds": 7,
        "gone_seconds": 1,
        "ping_seconds": 0,
        "reconnect_seconds": 90,
        "reconnect_max_seconds": 120,
    }
)
"""Settings of another version, one that this version refuses, and good ones."""


class Earlier:
    """An earlier generation, in whose outbox an event has waited for eight days."""

    def __init__(self) -> None:
        self.event = signed("it takes time")
        self.stopped = False
        self._manager = RelayManager()
        self._manager.publisher.restore(
            self.event, is_public=False, age_seconds=8 * DAY, accepted=False, owed=[]
        )

    async def stop(self) -> None:
        self.stopped = True

    def hand_over(self, successor: Any) -> dict[str, Any]:
        received = (
            NostrRouter.received_subscription_events,
            NostrRouter.received_subscription_notices,
            NostrRouter.received_subscription_eosenotices,
        )
        return self._manager.hand_over() | {"received": received}


async def _nothing() -> None:
    return None


async def _default_config() -> Config:
    return Config()


async def _no_rows(_: str | None = None) -> list[Any]:
    return []


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """The configuration in memory, of its own."""
    fresh = Configuration()
    monkeypatch.setattr(tasks, "configuration", fresh)
    return fresh


@pytest.fixture
def manager(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RelayManager]:
    """The relay manager of a later generation, whose database is empty."""
    manager = RelayManager()
    monkeypatch.setattr(nostr_client, "relay_manager", manager)
    monkeypatch.setattr(tasks, "outbox_store", OutboxStore())
    monkeypatch.setattr(tasks, "create_tables", _nothing)
    monkeypatch.setattr(tasks, "get_config", _default_config)
    monkeypatch.setattr(tasks, "get_identity", _nothing)
    monkeypatch.setattr(identities, "load", _nothing)
    monkeypatch.setattr(private_urls, "load", _nothing)
    monkeypatch.setattr(outbox_store, "get_outbox", _no_rows)
    monkeypatch.setattr(tasks, "get_relays", _no_rows)
    monkeypatch.setattr(tasks, "_running", {})
    yield manager
    manager.stop()


def load(earlier: Earlier | None = None) -> None:
    """Load everything, as far as that is possible."""
    previous = None
    if earlier is not None:
        previous = {"stop": earlier.stop, "hand_over": earlier.hand_over}
    asyncio.run(_load(previous))


async def _load(previous: tasks.Generation | None) -> None:
    await tasks._load(previous, asyncio.Event())
    for task in tasks._running.values():
        task.cancel()
    await asyncio.gather(*tasks._running.values(), return_exceptions=True)


def test_c4_events_taken_over_wait_as_long_as_the_setting_says(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_config() -> Config:
        manager.step()  # the outbox's task goes on meanwhile
        return NUMBERS

    monkeypatch.setattr(tasks, "get_config", get_config)
    earlier = Earlier()
    load(earlier)
    manager.step()
    assert earlier.stopped
    assert manager.publisher.publication(earlier.event.id) is not None


def test_f7_an_earlier_generation_is_stopped_where_no_number_can_be_read(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_config() -> Config:
        raise OSError("the disk is gone")

    monkeypatch.setattr(tasks, "get_config", get_config)
    earlier = Earlier()
    load(earlier)
    assert earlier.stopped
    assert manager.publisher.publication(earlier.event.id) is not None


class Gone:
    """A part of the database that cannot be read at first."""

    def __init__(self, found: Any, failures: int = 2) -> None:
        self.found = found
        self.failures = failures

    async def read(self, _: str | None = None) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError("the database is locked")
        return self.found


async def test_c5_relays_start_though_nothing_could_be_loaded(
    manager: RelayManager,
    configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("create_tables", "get_config", "get_identity", "get_relays"):
        monkeypatch.setattr(tasks, name, Gone(None, failures=1000).read)
    monkeypatch.setattr(identities, "load", Gone(None, failures=1000).read)
    monkeypatch.setattr(private_urls, "load", Gone(None, failures=1000).read)
    monkeypatch.setattr(outbox_store, "get_outbox", Gone(None, failures=1000).read)
    await _load(None)
    assert manager.running
    assert configuration.not_loaded == [part.value for part in Part]


async def test_c5_parts_are_loaded_later_each_by_itself(
    manager: RelayManager,
    configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager.configure(replace(manager.settings, database_retry_seconds=0.01))
    event = signed("queued before")
    row = OutboxEvent(
        id=event.id,
        event=event.text,
        published_at=int(clock.wall() * 1_000_000),
        accepted=False,
        is_public=False,
        owed="[]",
    )
    relay = Relay(id="1", url="ws://127.0.0.1:9")
    config = Config(settings={"eose_seconds": 7}, public_ws=True)
    monkeypatch.setattr(tasks, "get_config", Gone(config).read)
    monkeypatch.setattr(tasks, "get_identity", Gone(encrypt_identity(KEY)).read)
    monkeypatch.setattr(tasks, "get_relays", Gone([relay], failures=4).read)
    monkeypatch.setattr(outbox_store, "get_outbox", Gone([row]).read)
    await tasks._load(None, asyncio.Event())
    assert configuration.not_loaded == [
        "settings",
        "identity",
        "outbox",
        "relays",
    ]
    for _ in range(200):
        await asyncio.sleep(0.01)
        if not configuration.not_loaded:
            break
    assert configuration.not_loaded == []
    assert manager.settings.eose_seconds == 7
    assert configuration.config.public_ws
    assert manager.identity == KEY
    assert manager.publisher.publication(event.id) is not None
    assert list(manager.relays) == ["ws://127.0.0.1:9"]


async def test_c5_stored_relays_that_are_gone_are_removed_at_the_next_start(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add_relay("ws://127.0.0.1:8")  # by another extension
    rows = [Relay(id="1", url="ws://127.0.0.1:9", write=False)]
    monkeypatch.setattr(tasks, "get_relays", Gone(rows, failures=0).read)
    await _load(None)
    assert set(manager.relays) == {"ws://127.0.0.1:8", "ws://127.0.0.1:9"}
    assert not manager.relays["ws://127.0.0.1:9"].write
    monkeypatch.setattr(tasks, "get_relays", _no_rows)
    await _load(None)
    assert set(manager.relays) == {"ws://127.0.0.1:8"}


def test_g2_events_of_closed_subscriptions_are_removed_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = NostrClient()
    manager = client.relay_manager
    monkeypatch.setattr(tasks, "nostr_client", client)
    monkeypatch.setattr(tasks, "_byte_limits", {})
    for name in ("received_subscription_events", "received_subscription_eosenotices"):
        monkeypatch.setattr(NostrRouter, name, {})
    manager.add_subscription("open", [{}])
    most = manager.settings.in_process_subscriptions
    names = ["open", *(f"closed {n}" for n in range(3 * most))]
    for name in names:
        manager.add_subscription(name, [{}])
        tasks.keep_event(EventMessage("{}", "", name, ""))
        tasks.keep_eose(EndOfStoredEventsMessage(name, ""))
        if name != "open":
            manager.close_subscription(name)
    newest = ["open", *names[1 - most :]]
    assert list(NostrRouter.received_subscription_events) == newest
    assert list(NostrRouter.received_subscription_eosenotices) == newest
    assert list(tasks._byte_limits) == newest


async def test_c5_setting_that_cannot_be_used_does_not_undo_the_others(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_config() -> Config:
        return REFUSED_IN_PART

    monkeypatch.setattr(tasks, "get_config", get_config)
    await tasks.load_settings()
    assert manager.settings.eose_seconds == 7
    assert manager.settings.reconnect_seconds == 90
    assert manager.settings.ping_seconds == DEFAULTS.ping_seconds


async def test_j3_second_process_serves_once_the_first_one_has_ended(
    manager: RelayManager, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.configure(replace(manager.settings, database_retry_seconds=0.01))
    second = Instances()
    second.is_second = True
    ended = asyncio.Event()
    monkeypatch.setattr(instances, "is_shareable", lambda: False)
    monkeypatch.setattr(instances, "_lock_process", ended.is_set)
    monkeypatch.setattr(tasks, "instances", second)
    loading = asyncio.ensure_future(_load(None))
    await asyncio.sleep(0.05)
    assert configuration.not_loaded == [part.value for part in Part]
    assert not manager.running
    ended.set()
    await asyncio.wait_for(loading, 10)
    assert configuration.not_loaded == []
    assert manager.running
