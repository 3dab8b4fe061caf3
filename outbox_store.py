"""The outbox's table: the ledger's entries are carried out, stored events are restored.

Theory of operation. The outbox asks for rows to be stored (`Save`) and deleted
(`Delete`) through the relay manager's ledger, and says `queued:` to a client only after
the row is committed. Two tasks serve it, and neither waits for the other:

- the *clock* (`tasks.keep_time`) calls `OutboxStore.step`: new entries are taken from
  the ledger, and entries whose deadline has passed are given up;
- the *writer* (`OutboxStore.run`) writes all pending entries in one transaction at a
  time and tries again for as long as that fails.

Each pending entry is in one of these states:

    WAITING     its client waits for the database, until the deadline
    UNANSWERED  nobody waits for it any more, but it is still to be written

    WAITING -> written         the client is told `queued:`, or `false` after a deletion
    WAITING -> UNANSWERED      the deadline passed: the client is told `false` now, and
                               the deletion of a row that may exist is made good later
    UNANSWERED -> written      nobody is told

A write that began before an entry was given up is rolled back: `write_outbox` asks
just before its commit whether it is still wanted. Only a commit that was already under
way can leave the row of a refused event, until the next write deletes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from .crud import OutdatedError, get_outbox, write_outbox
from .generations import process
from .models import OutboxEvent
from .nostr import clock
from .nostr.event import SignedEvent
from .nostr.log import logger
from .nostr.outbox import Delete, Save
from .nostr.publication import parse_publishers, plain_publishers
from .nostr.relay_manager import RelayManager
from .router import nostr_client

MICROSECONDS = 1_000_000


@dataclass
class Entry:
    """One pending entry: the latest that the ledger asked for an event.

    `deadline` is the instant at which the entry's client stops waiting; None once it
    was answered.
    """

    request: Save | Delete
    deadline: float | None


class Batch(NamedTuple):
    """The entries of one transaction, and the rows for those that are to be stored."""

    entries: dict[str, Entry]
    saved: list[OutboxEvent]


class OutboxStore:
    """Writes what the ledger asks for. All methods are for the event loop only."""

    def __init__(self) -> None:
        self.instance: str | None = None
        """The owner that is written into rows, if several LNbits share a database."""
        self._rows: set[str] = set()
        self._pending: dict[str, Entry] = {}
        self._work = asyncio.Event()
        self._failing = False

    @property
    def _manager(self) -> RelayManager:
        return nostr_client.relay_manager

    @property
    def undeleted(self) -> set[str]:
        """The ids of events whose rows are still to be deleted."""
        return {
            event_id
            for event_id, entry in self._pending.items()
            if isinstance(entry.request, Delete)
        }

    @property
    def idle(self) -> bool:
        """Whether nothing is left to write."""
        return not self._pending and not self._manager.publisher.ledger

    def add_undeleted(self, event_ids: Iterable[str]) -> None:
        """Add deletions that an earlier generation of this code left behind."""
        for event_id in event_ids:
            self._pending.setdefault(event_id, Entry(Delete(event_id), None))
            self._work.set()

    # The clock's side

    def step(self) -> float | None:
        """Add new entries, give up late ones, and return the next deadline."""
        now = clock.now()
        while True:
            self._take_entries(now)
            late = [
                event_id
                for event_id, entry in self._pending.items()
                if entry.deadline is not None and entry.deadline <= now
            ]
            for event_id in late:
                self._give_up(self._pending[event_id])
            if not late and not self._manager.publisher.ledger:
                break  # giving up an entry may have put others into the ledger
        deadlines = [entry.deadline for entry in self._pending.values()]
        return min((at for at in deadlines if at is not None), default=None)

    def _take_entries(self, now: float) -> None:
        while self._manager.publisher.ledger:
            request = self._manager.publisher.ledger.popleft()
            earlier = self._pending.pop(request.event_id, None)
            if earlier is None:
                entry = Entry(request, self._deadline(request, now))
            elif isinstance(request, Save):
                # The row is stored again: a client that waits for its deletion need
                # not wait any longer.
                if isinstance(earlier.request, Delete):
                    self._manager.publisher.deleted(earlier.request)
                entry = Entry(request, self._deadline(request, now))
            else:
                entry = _deletion_after(earlier, request, self._deadline(request, now))
            self._pending[request.event_id] = entry
            self._work.set()

    def _deadline(self, request: Save | Delete, now: float) -> float | None:
        if isinstance(request, Delete) and not request.tell:
            return None
        settings = self._manager.settings
        publication = self._manager.publisher.publication(request.event_id)
        answer_at = now
        if publication is not None:
            # A client without an answer from a relay expects none before this.
            answer_at = max(now, publication.published_at + settings.answer_seconds)
        return answer_at + settings.store_seconds

    def _give_up(self, entry: Entry) -> None:
        """Answer the client without the database; the entry itself stays pending."""
        entry.deadline = None
        if isinstance(entry.request, Save):
            self._manager.publisher.stored(entry.request.event_id, False)
        else:
            self._manager.publisher.deleted(entry.request)
            entry.request = Delete(entry.request.event_id)

    # The writer's side

    async def run(self) -> None:
        """Write whatever is pending, as soon as it is, until cancelled."""
        delay = 0.0
        while True:
            await self._work.wait()
            self._work.clear()
            if await self.write():
                delay = 0.0
                continue
            settings = self._manager.settings
            least, most = settings.store_seconds / 4, settings.database_retry_seconds
            delay = min(max(2 * delay, least), most)
            await asyncio.sleep(delay)
            self._work.set()

    async def write(self) -> bool:
        """Write all pending entries. Return whether that succeeded."""
        self.step()
        while self._pending:
            batch = self._batch()
            stored = {event.id for event in batch.saved}
            is_current = partial(self._is_current, batch)
            try:
                await write_outbox(
                    batch.saved,
                    [event_id for event_id in batch.entries if event_id not in stored],
                    instance=self.instance,
                    is_current=is_current,
                    wait_seconds=self._manager.settings.store_seconds,
                )
            except OutdatedError:
                continue
            except Exception as error:  # noqa: BLE001  # drivers raise their own errors
                self._set_failing(error)
                return False
            self._set_failing(None)
            self._written(batch)
            self.step()
        return True

    def _batch(self) -> Batch:
        began = clock.wall() - clock.now()  # one for all: they keep their order
        rows = (
            self._row(event_id, began)
            for event_id, entry in self._pending.items()
            if isinstance(entry.request, Save)
        )
        return Batch(dict(self._pending), [row for row in rows if row is not None])

    def _is_current(self, batch: Batch) -> bool:
        self.step()
        return all(
            self._pending.get(event_id) is entry
            for event_id, entry in batch.entries.items()
        )

    def _written(self, batch: Batch) -> None:
        for event_id, entry in batch.entries.items():
            if self._pending.get(event_id) is not entry:
                continue  # a newer entry arrived during the commit
            del self._pending[event_id]
            if isinstance(entry.request, Save):
                self._rows.add(event_id)
                self._manager.publisher.stored(event_id, True)
            else:
                self._rows.discard(event_id)
                self._manager.publisher.deleted(entry.request)

    def _row(self, event_id: str, began: float) -> OutboxEvent | None:
        publication = self._manager.publisher.publication(event_id)
        if publication is None:
            return None
        return OutboxEvent(
            id=event_id,
            event=publication.event.text,
            published_at=int((began + publication.published_at) * MICROSECONDS),
            accepted=publication.accepted,
            is_public=publication.is_public,
            owed=json.dumps(list(publication.copies)),
            instance=self.instance,
            publishers=json.dumps(plain_publishers(publication.publishers)),
        )

    def _set_failing(self, error: Exception | None) -> None:
        if error is not None and not self._failing:
            logger.error(f"the outbox cannot be stored: {error}")
        elif error is None and self._failing:
            logger.info("the outbox is stored again")
        self._failing = error is not None

    # At start and stop

    def written_ids(self) -> set[str]:
        """Return the ids of the events in memory that have a row."""
        return self._rows & self._manager.publisher.stored_ids()

    def release_stored(self) -> None:
        """Drop the events with rows from memory; their rows stay."""
        self.step()
        self.release(self.written_ids())

    def release(self, event_ids: set[str]) -> None:
        """Drop events from memory; their rows stay, and are others' from now on."""
        for event_id in event_ids:
            entry = self._pending.get(event_id)
            if entry is not None and isinstance(entry.request, Save):
                del self._pending[event_id]
        self._rows -= event_ids
        self._manager.publisher.release(event_ids)

    async def restore(self, instance: str | None = None) -> None:
        """Restore the events that an earlier run queued, or all of an instance."""
        rows = await get_outbox(instance)
        undeleted = self.undeleted
        for stored in rows:
            if stored.id in undeleted:
                continue
            try:
                event = SignedEvent.parse(stored.event)
                owed = json.loads(stored.owed)
                publishers = parse_publishers(json.loads(stored.publishers or "{}"))
            except ValueError as error:
                logger.error(f"stored event {stored.id} is given up: {error}")
                continue
            self._rows.add(stored.id)
            published_at = stored.published_at / MICROSECONDS
            self._manager.publisher.restore(
                event,
                is_public=stored.is_public,
                age_seconds=max(0.0, clock.wall() - published_at),
                accepted=stored.accepted,
                owed=owed,
                publishers=publishers,
            )

    async def flush(self) -> None:
        """Write whatever is pending, and leave the rest to a later start."""
        seconds = self._manager.settings.store_seconds
        try:
            while True:
                if await self.write():
                    return
                await asyncio.sleep(seconds)
        finally:
            process["undeleted"] = self.undeleted


def _deletion_after(earlier: Entry, request: Delete, deadline: float | None) -> Entry:
    """Return the entry of a deletion that follows one that was not written yet."""
    if isinstance(earlier.request, Delete):
        request = Delete(request.event_id, earlier.request.tell + request.tell)
    elif earlier.deadline is None:
        return Entry(request, clock.now())  # given up: its client is told at once
    deadlines = [at for at in (earlier.deadline, deadline) if at is not None]
    return Entry(request, min(deadlines) if request.tell else None)


outbox_store = OutboxStore()
