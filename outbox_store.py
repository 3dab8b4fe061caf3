"""The outbox's table: what the ledger asks for is stored, what was stored is restored.

The outbox puts entries into the relay manager's `ledger`; here they are carried out, in
order, and reported back. No client is told `queued:` before its event is committed.
"""

from __future__ import annotations

import asyncio
import json

from loguru import logger

from .crud import get_outbox, write_outbox
from .models import OutboxEvent
from .nostr import clock
from .nostr.errors import InvalidEvent
from .nostr.event import SignedEvent
from .nostr.outbox import Delete, Save
from .router import nostr_client

MICROSECONDS = 1_000_000
STORE_RETRY_SECONDS = 1.0


async def restore_outbox() -> None:
    """Take back what an earlier run of the process vouched for."""
    manager = nostr_client.relay_manager
    for stored in await get_outbox():
        try:
            event = SignedEvent.parse(stored.event)
        except InvalidEvent as error:
            logger.error(f"stored event {stored.id} is given up: {error}")
            continue
        manager.outbox_restore(
            event,
            is_public=stored.is_public,
            age_seconds=max(0.0, clock.wall() - stored.published_at / MICROSECONDS),
            accepted=stored.accepted,
            owed=json.loads(stored.owed),
        )


async def write_ledger() -> None:
    """Store and delete what the outbox asks for, and only then let it say so."""
    manager = nostr_client.relay_manager
    while manager.ledger:
        entries = list(manager.ledger)
        # Of several entries for an event only the latest counts.
        latest = {entry.event_id: entry for entry in entries}
        began = clock.wall() - clock.now()  # one for all, so that they keep their order
        saved = [
            event
            for entry in latest.values()
            if isinstance(entry, Save)
            and (event := _outbox_event(entry.event_id, began))
        ]
        kept = {event.id for event in saved}
        try:
            gone = [key for key in latest if key not in kept]
            await write_outbox(saved, gone)
        except Exception as error:  # noqa: BLE001  # drivers raise errors of their own
            logger.error(f"the outbox could not be stored: {error}")
            await _not_stored(entries)
            continue
        for entry in entries:
            manager.ledger.popleft()
            if isinstance(entry, Save):
                manager.outbox_stored(entry.event_id, True)
            else:
                manager.outbox_forgotten(entry)


async def _not_stored(entries: list[Save | Delete]) -> None:
    """Let nobody rely on what was not stored; what is to be deleted is tried again."""
    manager = nostr_client.relay_manager
    forgets = [entry for entry in entries if isinstance(entry, Delete)]
    for entry in entries:
        manager.ledger.popleft()
        if isinstance(entry, Save):
            manager.outbox_stored(entry.event_id, False)
    manager.ledger.extendleft(reversed(forgets))
    await asyncio.sleep(STORE_RETRY_SECONDS)


def _outbox_event(event_id: str, began: float) -> OutboxEvent | None:
    publication = nostr_client.relay_manager.outbox_publication(event_id)
    if publication is None:
        return None
    return OutboxEvent(
        id=event_id,
        event=publication.event.text,
        published_at=int((began + publication.published_at) * MICROSECONDS),
        accepted=publication.accepted,
        is_public=publication.is_public,
        owed=json.dumps(list(publication.copies)),
    )
