"""Several LNbits on one PostgreSQL: each event of the outbox has one owner.

Theory of operation. An instance renews its lease every `lease_renew_seconds`. A row of
the outbox belongs to the instance that it names. When the lease of that one is
`lease_seconds` over, another instance takes the row and delivers the event. An instance
that could not renew its lease in time drops the events from its memory before others
may take them, and takes its own rows back when the database answers again:

    ALONE      no other instance has a lease: nothing is polled
    SHARED     others have one: their changes are looked for every few seconds
    CUT_OFF    the lease could not be renewed: the stored events are dropped

    ALONE, SHARED -> CUT_OFF     `lease_seconds` less one renewal passed without one
    any           -> ALONE, SHARED   the lease was renewed, alone or beside others

On SQLite nothing of this runs. One process serves there: a second process with the same
data folder, e.g. a second worker of uvicorn, refuses to (`is_second`) until the first
one has ended. A lock on a file in that folder tells. The file also holds this
instance's id, so that after a restart, under whatever host name or port, its own events
are taken back at once: who has the lock knows that their process is dead.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import secrets
from collections.abc import Awaitable, Callable
from enum import Enum
from hashlib import sha256
from pathlib import Path
from socket import gethostname
from typing import TextIO

from lnbits.settings import settings as lnbits_settings

from .crud import (
    claim_events,
    delete_event,
    get_outbox,
    get_outbox_owners,
    is_shareable,
    renew_lease,
)
from .generations import process
from .models import OutboxEvent
from .nostr import clock
from .nostr.log import logger
from .outbox_store import outbox_store
from .router import nostr_client

LOCK = "nostrclient.lock"
"""The file in LNbits' data folder that one process locks at a time."""

ID = re.compile(r"[0-9a-f]{16}")


class Sharing(Enum):
    """Whether other instances share the database."""

    ALONE = "alone"
    SHARED = "shared"
    CUT_OFF = "cut off"


class Instances:
    """This instance's lease, and what it does for others. For the event loop only."""

    def __init__(self) -> None:
        self.state = Sharing.ALONE
        self.is_second = False
        self.count = 1
        """How many instances have a lease, this one included."""
        self.others_waiting: frozenset[str] = frozenset()
        """The waiting events that other instances are to deliver, as last seen."""
        self._id: str | None = None
        self._renewed_at = clock.now()
        self._was_renewed = False
        self._claims_from = self._renewed_at

    @property
    def id(self) -> str | None:
        """The owner that this instance writes into its rows; None on SQLite."""
        if self._id is None and is_shareable():
            self._id = self._find_id()
        return self._id

    def check_process(self) -> None:
        """Check whether another process of the same LNbits serves already."""
        was_second, self.is_second = self.is_second, not _lock_process()
        if self.is_second and not was_second:
            logger.error(
                "another process of this LNbits runs nostrclient, too:"
                " start LNbits with one worker"
            )
        elif was_second and not self.is_second:
            logger.info("the other process of this LNbits has ended: this one serves")

    @property
    def refuses(self) -> bool:
        """Whether this process must not serve, because it cannot share a database."""
        return self.is_second and not is_shareable()

    async def join(self) -> None:
        """Renew the lease and claim events that are left, before any is restored."""
        if self.id is None:
            return
        if self._is_over():  # stopped for a while: others may have taken them
            outbox_store.release_stored()
        await self._renew(self.id)

    async def others_events(self) -> list[OutboxEvent]:
        """Return the waiting events that other instances are to deliver."""
        if self.state is not Sharing.SHARED:
            return []
        rows = await get_outbox()
        return [row for row in rows if row.instance != self.id and not row.accepted]

    async def delete_event(self, event_id: str) -> bool:
        """Delete another instance's event, which will notice. Return False if none."""
        if self.state is not Sharing.SHARED or event_id in outbox_store.written_ids():
            return False
        return await delete_event(event_id)

    async def run(self, poll: Callable[[], Awaitable[None]]) -> None:
        """Renew the lease, and call `poll` while others may change anything."""
        if self.id is None:
            return
        renew = asyncio.create_task(self._keep_lease(self.id), name="nostrclient lease")
        try:
            await asyncio.gather(renew, self._watch_lease(), self._poll(poll))
        finally:
            renew.cancel()

    async def _keep_lease(self, instance: str) -> None:
        while True:
            settings = nostr_client.relay_manager.settings
            try:
                await self._renew(instance)
            except Exception as error:  # noqa: BLE001  # drivers raise their own errors
                logger.debug(f"the lease could not be renewed: {error}")
                # Others may have lost the database, too. Back again, they first renew
                # their leases, and delete what they had to refuse meanwhile.
                if self._was_renewed:
                    self._claims_from = clock.now() + settings.lease_renew_seconds
                await asyncio.sleep(settings.database_retry_seconds)
            else:
                await asyncio.sleep(settings.lease_renew_seconds)

    async def _renew(self, instance: str) -> None:
        settings = nostr_client.relay_manager.settings
        began = clock.now()
        others = await renew_lease(instance, settings.lease_seconds)
        taken = 0
        if began >= self._claims_from:
            taken = await claim_events(instance, settings.lease_seconds)
        was_cut_off = self.state is Sharing.CUT_OFF
        self._renewed_at = began
        self._was_renewed = True
        self.state = Sharing.SHARED if others else Sharing.ALONE
        self.count = len(others) + 1
        if not others:
            self.others_waiting = frozenset()
        if was_cut_off:
            logger.info("the database answers again: own events are taken back")
        if taken:
            logger.info(f"{taken} events of another instance are delivered here now")
        if taken or was_cut_off:
            await outbox_store.restore(instance)
            nostr_client.relay_manager.publisher.retry()

    async def _watch_lease(self) -> None:
        """Drop the stored events before another instance may take them."""
        while True:
            settings = nostr_client.relay_manager.settings
            if self._is_over():
                if self.state is not Sharing.CUT_OFF:
                    self.state = Sharing.CUT_OFF
                    logger.warning("the lease is over: others may deliver the events")
                outbox_store.release_stored()
            await asyncio.sleep(settings.database_retry_seconds)

    def _is_over(self) -> bool:
        """Return whether others may take this instance's events, or soon may."""
        settings = nostr_client.relay_manager.settings
        limit = settings.lease_seconds - settings.lease_renew_seconds / 2
        return clock.now() - self._renewed_at > limit

    async def _poll(self, poll: Callable[[], Awaitable[None]]) -> None:
        while True:
            settings = nostr_client.relay_manager.settings
            await asyncio.sleep(settings.shared_poll_seconds)
            if self.state is not Sharing.SHARED:
                continue
            try:
                await self._look_at_outbox()
                await poll()
            except Exception as error:  # noqa: BLE001  # drivers raise their own errors
                logger.debug(f"changes of other instances cannot be read: {error}")

    async def _look_at_outbox(self) -> None:
        """End the events whose rows another instance deleted or took."""
        before = outbox_store.written_ids()
        rows = await get_outbox_owners()
        mine = {row.id for row in rows if row.instance == self.id}
        others = {row.id for row in rows if row.instance != self.id}
        self.others_waiting = frozenset(
            row.id for row in rows if row.instance != self.id and not row.accepted
        )
        lost = (before & outbox_store.written_ids()) - mine
        outbox_store.release(lost & others)
        for event_id in lost - others:
            nostr_client.relay_manager.publisher.discard(event_id)

    def _find_id(self) -> str:
        """Return an id that is the same after a restart of this LNbits."""
        if self.is_second:
            return secrets.token_hex(8)
        kept = process.get("process_lock")
        if kept is not None:
            return _kept_id(kept)
        # Without a file of its own, what is likely to be of this instance alone.
        folder = Path(lnbits_settings.lnbits_data_folder).absolute()
        place = f"{gethostname()}|{folder}|{lnbits_settings.port}"
        return sha256(place.encode()).hexdigest()[:16]


def _lock_process() -> bool:
    """Return whether this is the only process of this LNbits, until it ends."""
    if "process_lock" in process:
        return True
    try:
        # It stays open as long as the process lives.
        file = Path(lnbits_settings.lnbits_data_folder, LOCK).open("a+")  # noqa: SIM115
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    except OSError:  # a file system without locks
        file.close()
        return True
    process["process_lock"] = file
    return True


def _kept_id(file: TextIO) -> str:
    """Return the id in the locked file; store a new one if there is none."""
    file.seek(0)
    kept = file.read().strip()
    if ID.fullmatch(kept):
        return kept
    new = secrets.token_hex(8)
    file.truncate(0)
    file.write(f"{new}\n")
    file.flush()
    return new


instances = Instances()
