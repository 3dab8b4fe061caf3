"""Notifications to LNbits' admins, through the channels they set up in LNbits.

`Watch` decides what is worth one; `keep` looks every few seconds and sends. Each kind
has a setting that switches it off, and none is repeated within `notify_pause_seconds`.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import NamedTuple

from .nostr import clock
from .nostr.log import logger
from .nostr.settings import Settings
from .router import nostr_client

LOOK_SECONDS = 10.0
TYPE = "text_message"


class Kind(Enum):
    """The subject of a notification."""

    DOWN = "down"
    UNDELIVERABLE = "undeliverable"
    OUTBOX = "outbox"
    WITHHELD = "withheld"


class Seen(NamedTuple):
    """The state that notifications depend on, at one instant."""

    active: int
    connected: int
    waiting: int
    undeliverable: int
    lacking_keys: int = 0


class Watch:
    """Decides which notifications are due. Instants are those of `clock.now`.

    `undeliverable` is how many events were so before it began to watch.
    """

    def __init__(self, undeliverable: int = 0) -> None:
        self._down_since: float | None = None
        self._is_full = False
        self._undeliverable = undeliverable
        self._told: set[Kind] = set()
        self._sent_at: dict[Kind, float] = {}

    def look(self, seen: Seen, settings: Settings, now: float) -> list[str]:
        """Return the notifications that are due now."""
        found = (
            self._down(seen, settings, now),
            self._lost(seen, settings, now),
            self._full(seen, settings, now),
            self._withheld(seen, settings, now),
        )
        return [text for text in found if text is not None]

    def _down(self, seen: Seen, settings: Settings, now: float) -> str | None:
        if seen.connected or not seen.active:
            self._down_since = None
            self._told.discard(Kind.DOWN)
            return None
        if self._down_since is None:
            self._down_since = now
        longest, down = settings.notify_down_seconds, now - self._down_since
        if not longest or down < longest or not self._may(Kind.DOWN, settings, now):
            return None
        self._told.add(Kind.DOWN)
        return (
            f"No Nostr relay has been connected for {down / 60:.0f} minutes."
            " New events are queued until a relay is back."
        )

    def _lost(self, seen: Seen, settings: Settings, now: float) -> str | None:
        least = settings.notify_undeliverable_events
        count = seen.undeliverable - self._undeliverable
        if not least or count < least:
            return None
        if not self._may(Kind.UNDELIVERABLE, settings, now):
            return None
        self._undeliverable = seen.undeliverable
        events = "1 event is" if count == 1 else f"{count} events are"
        return f"{events} undeliverable. nostrclient's page lists the reasons."

    def _full(self, seen: Seen, settings: Settings, now: float) -> str | None:
        share, room = settings.notify_outbox_share, settings.outbox_events
        if not share or not room or seen.waiting < share * room:
            self._told.discard(Kind.OUTBOX)
            return None
        if not self._may(Kind.OUTBOX, settings, now):
            return None
        self._told.add(Kind.OUTBOX)
        return (
            f"The outbox holds {seen.waiting} of at most {room} events."
            " Further events are refused once it is full."
        )

    def _withheld(self, seen: Seen, settings: Settings, now: float) -> str | None:
        least, count = settings.notify_withheld_keys, seen.lacking_keys
        if not least or count < least:
            self._told.discard(Kind.WITHHELD)
            return None
        if not self._may(Kind.WITHHELD, settings, now):
            return None
        self._told.add(Kind.WITHHELD)
        keys = "1 key" if count == 1 else f"{count} keys"
        return (
            f"Relays withhold private messages for {keys} that nostrclient does not"
            " hold. Add them as reader keys: its page names them."
        )

    def _may(self, kind: Kind, settings: Settings, now: float) -> bool:
        """Return whether a notification of this kind may be sent, and count it as sent.

        A state that lasts is told once; one that comes back, after the pause.
        """
        sent_at = self._sent_at.get(kind)
        if kind in self._told:
            return False
        if sent_at is not None and now - sent_at < settings.notify_pause_seconds:
            return False
        self._sent_at[kind] = now
        return True


async def keep() -> None:
    """Look every few seconds, and send what is due, until cancelled."""
    manager = nostr_client.relay_manager
    watch = Watch(manager.publisher.undeliverable_count)
    while True:
        active = sum(relay.active for relay in list(manager.relays.values()))
        seen = Seen(
            active=active,
            connected=manager.connected_relays,
            waiting=manager.publisher.waiting_count,
            undeliverable=manager.publisher.undeliverable_count,
            lacking_keys=len(manager.links.lacking_keys),
        )
        for text in watch.look(seen, manager.settings, clock.now()):
            await send(text)
        await asyncio.sleep(LOOK_SECONDS)


async def send(text: str) -> None:
    """Send a notification to LNbits' admins; where that fails, the log has it."""
    logger.warning(f"notification: {text}")
    try:
        from lnbits.core.services.notifications import send_admin_notification

        await send_admin_notification(f"nostrclient: {text}", TYPE)
    except Exception as error:  # noqa: BLE001  # whatever the channels raise
        logger.error(f"the notification could not be sent: {error}")
