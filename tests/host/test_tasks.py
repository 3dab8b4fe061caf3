"""What an upgrade hands over, and a database that does not do as it should."""

import asyncio
from typing import Any

import asyncpg
import pytest

from nostrclient import outbox_store, tasks
from nostrclient.models import Config
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.in_process import EndOfStoredEventsMessage, EventMessage
from nostrclient.nostr.outbox import NOT_STORED
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.router import NostrRouter, nostr_client
from tests.nostr.builders import Inbox, signed

DAY = 24 * 60 * 60
NUMBERS = Config(settings={"outbox_expiry_seconds": 30 * DAY})


OF_ANOTHER_VERSION = Config(settings={"eose_seconds": 7, "gone_seconds": 1})


class Earlier:
    """An earlier generation, in whose outbox an event has waited for eight days."""

    def __init__(self) -> None:
        self.event = signed("it takes time")
        self.stopped = False
        self._manager = RelayManager()
        self._manager.outbox_restore(
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


async def _no_rows() -> list[Any]:
    return []


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> RelayManager:
    """The relay manager of a later generation, whose database is empty."""
    manager = RelayManager()
    monkeypatch.setattr(nostr_client, "relay_manager", manager)
    monkeypatch.setattr(tasks, "get_identity", _nothing)
    monkeypatch.setattr(outbox_store, "get_outbox", _no_rows)
    monkeypatch.setattr(tasks, "get_relays", _no_rows)
    return manager


def load(earlier: Earlier) -> None:
    previous = {"stop": earlier.stop, "hand_over": earlier.hand_over}
    asyncio.run(tasks._load(previous))


def test_c4_what_is_taken_over_waits_as_long_as_the_operator_said(
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
    assert manager.outbox_publication(earlier.event.id) is not None


def test_f7_an_earlier_generation_is_stopped_where_no_number_can_be_read(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_config() -> Config:
        raise OSError("the disk is gone")

    monkeypatch.setattr(tasks, "get_config", get_config)
    earlier = Earlier()
    with pytest.raises(OSError, match="the disk is gone"):
        load(earlier)
    assert earlier.stopped
    assert manager.outbox_publication(earlier.event.id) is not None


async def test_c3_a_database_that_cannot_be_connected_to_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What asyncpg raises while it connects is no error of SQLAlchemy."""
    client = NostrClient()
    manager = client.relay_manager
    manager.outbox.durable = True
    failures = [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    ]

    async def write(*_: object) -> None:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop(0)

    monkeypatch.setattr(outbox_store, "nostr_client", client)
    monkeypatch.setattr(outbox_store, "write_outbox", write)
    monkeypatch.setattr(outbox_store, "STORE_RETRY_SECONDS", 0.01)
    event, inbox = signed(), Inbox()
    manager.publish(event, inbox)
    await outbox_store.write_ledger()
    assert inbox.items == [PublishResult(event.id, False, NOT_STORED)]
    assert not failures
    assert not manager.ledger


def test_g2_what_was_kept_for_closed_subscriptions_goes_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = NostrClient()
    manager = client.relay_manager
    monkeypatch.setattr(tasks, "nostr_client", client)
    monkeypatch.setattr(tasks, "_bounds", {})
    for name in ("received_subscription_events", "received_subscription_eosenotices"):
        monkeypatch.setattr(NostrRouter, name, {})
    manager.add_subscription("open", [{}])
    names = ["open", *(f"closed {n}" for n in range(3 * tasks.MOST_SUBSCRIPTIONS))]
    for name in names:
        manager.add_subscription(name, [{}])
        tasks.keep_event(EventMessage("{}", "", name, ""))
        tasks.keep_eose(EndOfStoredEventsMessage(name, ""))
        if name != "open":
            manager.close_subscription(name)
    newest = ["open", *names[1 - tasks.MOST_SUBSCRIPTIONS :]]
    assert list(NostrRouter.received_subscription_events) == newest
    assert list(NostrRouter.received_subscription_eosenotices) == newest
    assert list(tasks._bounds) == newest


async def test_numbers_that_only_another_version_knows_do_not_undo_the_others(
    manager: RelayManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_config() -> Config:
        return OF_ANOTHER_VERSION

    monkeypatch.setattr(tasks, "get_config", get_config)
    await tasks.configure()
    assert manager.settings.eose_seconds == 7
