"""The outbox's store: the clock never waits for the database, and promises hold."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from nostrclient import outbox_store
from nostrclient.crud import OutdatedError
from nostrclient.models import OutboxEvent
from nostrclient.nostr import clock
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.log import logger
from nostrclient.nostr.outbox import NOT_STORED, Delete, Notify
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.outbox_store import OutboxStore
from tests.nostr.builders import Inbox, signed

QUICK = replace(
    DEFAULTS, answer_seconds=0.1, store_seconds=0.1, database_retry_seconds=0.1
)


class FakeTable:
    """The outbox's table: rows by id, and what a test does to the next writes."""

    def __init__(self) -> None:
        self.rows: dict[str, OutboxEvent] = {}
        self.failures: list[Exception] = []
        self.open = asyncio.Event()
        self.committing: Callable[[], None] = lambda: None
        self.open.set()
        self.writes = 0

    async def write(
        self,
        saved: list[OutboxEvent],
        deleted: list[str],
        *,
        is_current: Callable[[], bool],
        **_: object,
    ) -> None:
        self.writes += 1
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        if not is_current():
            raise OutdatedError
        self.committing()
        for event_id in deleted:
            self.rows.pop(event_id, None)
        self.rows.update({row.id: row for row in saved})

    async def read(self, _: str | None = None) -> list[OutboxEvent]:
        return list(self.rows.values())


class Bench:
    """A client of an outbox without relays, its store and its table."""

    def __init__(self) -> None:
        self.client = NostrClient(QUICK)
        self.manager = self.client.relay_manager
        self.manager.publisher.outbox.durable = True
        self.table = FakeTable()
        self.store = OutboxStore()

    def publish(self, event: SignedEvent | None = None) -> tuple[SignedEvent, Inbox]:
        event, inbox = event or signed(), Inbox()
        self.manager.publisher.publish(event, inbox)
        return event, inbox

    async def keep_time(self) -> None:
        while True:
            self.manager.step()
            self.store.step()
            await asyncio.sleep(0.005)

    async def run(self, seconds: float) -> None:
        """Run the clock and the writer for a while."""
        tasks = [
            asyncio.create_task(work) for work in (self.keep_time(), self.store.run())
        ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(outbox_store, "nostr_client", bench.client)
    monkeypatch.setattr(outbox_store, "write_outbox", bench.table.write)
    monkeypatch.setattr(outbox_store, "get_outbox", bench.table.read)
    return bench


async def test_c5_event_is_stored_before_its_client_is_told_queued(
    bench: Bench,
) -> None:
    event, inbox = bench.publish()
    bench.table.committing = lambda: seen.append(list(inbox.items))
    seen: list[list[Any]] = []
    await bench.store.write()
    assert seen == [[]]
    assert list(bench.table.rows) == [event.id]
    assert accepted(inbox) == [True]


async def test_c5_client_is_told_false_in_time_while_the_database_hangs(
    bench: Bench,
) -> None:
    bench.table.open.clear()
    event, inbox = bench.publish()
    await bench.run(0.5)
    assert inbox.items == [PublishResult(event.id, False, NOT_STORED)]
    bench.table.open.set()
    await bench.run(0.3)
    assert bench.table.rows == {}
    assert bench.store.idle
    assert len(inbox.items) == 1


async def test_c5_row_that_was_committed_too_late_is_deleted_afterwards(
    bench: Bench,
) -> None:
    def commit_takes_long() -> None:
        entry = bench.store._pending[event.id]
        entry.deadline = clock.now()
        bench.store.step()

    bench.table.committing = commit_takes_long
    event, inbox = bench.publish()
    bench.manager.step()
    bench.store.step()
    await bench.store.write()
    assert inbox.items == [PublishResult(event.id, False, NOT_STORED)]
    assert bench.table.rows == {}
    assert bench.table.writes == 2


async def test_c5_event_is_queued_when_the_database_is_back_before_the_deadline(
    bench: Bench,
) -> None:
    bench.table.failures = [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    ]
    event, inbox = bench.publish()
    await bench.run(0.4)
    assert accepted(inbox) == [True]
    assert list(bench.table.rows) == [event.id]
    assert bench.store.idle


async def test_c5_failed_writes_are_logged_once_for_an_outage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(logger, "error", lines.append)
    monkeypatch.setattr(logger, "info", lines.append)
    bench.table.failures = [OSError("gone")] * 3
    bench.publish()
    await bench.run(0.6)
    assert lines == [
        "the outbox cannot be stored: gone",
        "the outbox is stored again",
    ]


async def test_c5_deletion_that_failed_is_made_good_later(bench: Bench) -> None:
    event, _ = bench.publish()
    await bench.store.write()
    bench.table.failures = [OSError("gone")] * 2
    bench.manager.publisher.discard(event.id)
    await bench.run(0.5)
    assert bench.table.rows == {}
    assert bench.store.idle


async def test_c5_refused_client_is_told_in_time_though_its_row_cannot_be_deleted(
    bench: Bench,
) -> None:
    event, inbox = bench.publish()
    bench.table.open.clear()
    refusal = PublishResult(event.id, False, "blocked: no")
    bench.manager.publisher.ledger.append(Delete(event.id, _notices(inbox, refusal)))
    await bench.run(0.4)
    assert inbox.items == [refusal]


async def test_c5_event_published_again_after_a_refusal_has_its_own_time(
    bench: Bench,
) -> None:
    bench.table.open.clear()
    event, first = bench.publish()
    await bench.run(0.4)
    assert accepted(first) == [False]
    _, second = bench.publish(event)
    bench.table.open.set()
    await bench.run(0.3)
    assert accepted(second) == [True]
    assert list(bench.table.rows) == [event.id]


async def test_c5_row_that_is_still_to_be_deleted_is_not_restored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, _ = bench.publish()
    await bench.store.write()
    later = Bench()
    later.store.add_undeleted([event.id])
    monkeypatch.setattr(outbox_store, "nostr_client", later.client)
    await later.store.restore()
    assert later.manager.publisher.publication(event.id) is None
    await later.store.write()
    assert bench.table.rows == {}


async def test_c5_undeleted_rows_are_known_to_the_next_generation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    process: dict[str, Any] = {}
    monkeypatch.setattr(outbox_store, "process", process)
    event, _ = bench.publish()
    await bench.store.write()
    bench.table.open.clear()
    bench.manager.publisher.discard(event.id)
    flushing = asyncio.create_task(bench.store.flush())
    await asyncio.sleep(0.05)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    assert process["undeleted"] == {event.id}


async def test_c5_damaged_row_does_not_keep_others_from_being_restored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, _ = bench.publish()
    await bench.store.write()
    good = bench.table.rows[event.id]
    bench.table.rows = {
        "a": good.copy(update={"id": "a", "event": "{}"}),
        "b": good.copy(update={"id": "b", "owed": "["}),
        "c": good.copy(update={"id": "c", "publishers": "[1]"}),
        event.id: good,
    }
    later = NostrClient(QUICK)
    monkeypatch.setattr(outbox_store, "nostr_client", later)
    await OutboxStore().restore()
    assert list(later.relay_manager.publisher.outbox.publications) == [event.id]


async def test_h10_publishers_and_their_named_relays_are_restored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, plain, old = signed("named"), signed("plain"), signed("old")
    relays = frozenset(("wss://a.example", "wss://b.example"))
    publisher = bench.manager.publisher
    publisher.publish(named, Inbox(), publisher="user 1", named=relays)
    publisher.publish(plain, Inbox(), extension="bunker")
    publisher.publish(old, Inbox())
    for url in relays:
        publisher.relay_disconnected(url)
    await bench.store.write()
    bench.table.rows[old.id].publishers = None  # stored by an earlier version
    later = NostrClient(QUICK)
    monkeypatch.setattr(outbox_store, "nostr_client", later)
    await OutboxStore().restore()
    found = later.relay_manager.publisher.outbox.publications
    assert found[named.id].publishers == {"user 1": relays}
    assert found[named.id].everywhere is False
    assert set(found[named.id].copies) == relays
    assert found[plain.id].extension == "bunker"
    assert found[plain.id].everywhere is True
    assert found[plain.id].named == frozenset()
    assert found[old.id].publishers == {"": None}
    assert found[old.id].extension is None


def accepted(inbox: Inbox) -> list[bool]:
    """Return what a client was told of its event, each time."""
    return [item.accepted for item in inbox.items if isinstance(item, PublishResult)]


def _notices(inbox: Inbox, result: PublishResult) -> tuple[Any, ...]:
    return (Notify(inbox, result),)
