"""Pushes changes to the admin pages that are open.

A listener gets the whole state once, then the changes. All listeners share one
snapshot per period. Without listeners nothing runs and no snapshot is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

from fastapi import WebSocket
from lnbits.settings import settings as lnbits_settings

from . import services
from .access import is_admin_id
from .client_writer import ClientWriter
from .instances import instances
from .nostr.log import logger
from .router import CLIENT_GONE, GOING_AWAY, nostr_client

MAX_LISTENERS = 20
TICKET_SECONDS = 30.0
PERIOD_SECONDS = 0.5
ADMIN_CHECK_SECONDS = 5.0


_redeemed: dict[str, float] = {}
"""Tickets that were used here, and until when they would be valid."""

listeners: set[Listener] = set()


def issue_ticket(account_id: str, now: float) -> str:
    """Return a ticket that opens a connection within `TICKET_SECONDS`.

    It is signed with LNbits' own secret, so that every LNbits on the same database
    takes it. `now` is in Unix seconds.
    """
    until = int(1000 * (now + TICKET_SECONDS))
    text = f"{account_id}~{until}~{secrets.token_hex(8)}"
    return f"{text}~{_signature(text)}"


def redeem_ticket(ticket: str, now: float) -> str | None:
    """Return the account of a ticket; None if it is not valid, or was used here."""
    text, _, signature = ticket.rpartition("~")
    if not hmac.compare_digest(signature.encode(), _signature(text).encode()):
        return None
    account_id, milliseconds, _ = text.rsplit("~", 2)
    until = int(milliseconds) / 1000
    for used in [used for used, end in _redeemed.items() if end <= now]:
        del _redeemed[used]
    if until <= now or text in _redeemed or not is_admin_id(account_id):
        return None
    _redeemed[text] = until
    return account_id


def _signature(text: str) -> str:
    secret = lnbits_settings.auth_secret_key.encode()
    return hmac.new(secret, f"nostrclient live {text}".encode(), sha256).hexdigest()


async def stop() -> None:
    """End every listener's connection."""
    await asyncio.gather(*(listener.stop() for listener in list(listeners)))


class State(NamedTuple):
    """Everything that the page shows, at one instant; relays by URL."""

    relays: dict[str, dict[str, Any]]
    outbox: dict[str, int | str]
    clients: list[dict[str, Any]]
    status: dict[str, Any]


async def present_state() -> State:
    """Return everything that the page shows."""
    relays = [relay.dict() for relay in services.relays()]
    status = services.status()
    others = instances.others_waiting
    revision = nostr_client.relay_manager.publisher.waiting_revision
    return State(
        relays={relay["url"]: relay for relay in relays},
        outbox={
            "count": status.outbox_waiting + len(others),
            "undeliverable": status.outbox_undeliverable,
            "revision": f"{revision} {hash(others)}" if others else revision,
        },
        clients=[client.dict() for client in services.clients()],
        status=status.dict(),
    )


class Snapshots:
    """Snapshots of the state, one per period, shared by all listeners."""

    def __init__(self, take: Callable[[], Awaitable[State]]) -> None:
        self._take = take
        self._latest: State | None = None
        self._next: asyncio.Task[State] | None = None

    async def other_than(self, known: State | None) -> State:
        """Return the latest state; if it is the known one, wait for the next."""
        if self._latest is not None and self._latest is not known:
            return self._latest
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(
                self._take_next(), name="nostrclient live state"
            )
        return await asyncio.shield(self._next)

    async def forget(self) -> None:
        """Stop taking snapshots until the next listener."""
        task, self._next, self._latest = self._next, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _take_next(self) -> State:
        if self._latest is not None:
            await asyncio.sleep(PERIOD_SECONDS)
        self._latest = await self._take()
        return self._latest


_snapshots = Snapshots(present_state)


def changes(before: State | None, after: State) -> dict[str, Any]:
    """Return what to send: everything at first, then the differences, if any.

    A running countdown is not a change.
    """
    if before is None:
        return {**after._asdict(), "relays": list(after.relays.values())}
    found: dict[str, Any] = {}
    relays = [
        relay
        for url, relay in after.relays.items()
        if url not in before.relays or _steady(relay) != _steady(before.relays[url])
    ]
    if relays:
        found["relays"] = relays
    removed = [url for url in before.relays if url not in after.relays]
    if removed:
        found["removed"] = removed
    for name in ("outbox", "clients", "status"):
        if getattr(before, name) != getattr(after, name):
            found[name] = getattr(after, name)
    return found


def _steady(relay: dict[str, Any]) -> dict[str, Any]:
    status = relay["status"]
    return {**relay, "status": status and {**status, "retry_in_seconds": None}}


class Listener:
    """One open page, from the handshake to its end."""

    def __init__(self, websocket: WebSocket, account_id: str) -> None:
        self._websocket = websocket
        self._account_id = account_id
        self._ended = asyncio.Event()
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Accept the page and send changes until it disconnects or is stopped."""
        listeners.add(self)
        parts = (
            self._until_ended(),
            self._until_no_admin(),
            self._read(),
            self._write(),
        )
        work: list[asyncio.Task[None]] = []
        try:
            with suppress(*CLIENT_GONE):
                await self._websocket.accept()
            work += [
                asyncio.create_task(part, name="nostrclient live") for part in parts
            ]
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listeners.discard(self)
            for task in work:
                task.cancel()
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, Exception):
                    text = "updates for a page ended because of a bug"
                    logger.opt(exception=outcome).error(text)
            try:
                if not listeners:
                    await _snapshots.forget()
                with suppress(*CLIENT_GONE):
                    await ClientWriter(self._websocket).close(GOING_AWAY)
            finally:
                self._finished.set()

    async def stop(self) -> None:
        """End the connection and wait until its tasks have ended."""
        self._ended.set()
        await self._finished.wait()

    async def _until_ended(self) -> None:
        await self._ended.wait()

    async def _until_no_admin(self) -> None:
        # LNbits tells nobody that an admin was removed.
        while is_admin_id(self._account_id):  # noqa: ASYNC110
            await asyncio.sleep(ADMIN_CHECK_SECONDS)

    async def _read(self) -> None:
        # The page sends nothing, but only reading shows that it disconnected.
        with suppress(*CLIENT_GONE):
            while (await self._websocket.receive())["type"] == "websocket.receive":
                pass

    async def _write(self) -> None:
        before: State | None = None
        with suppress(*CLIENT_GONE):
            while True:
                after = await _snapshots.other_than(before)
                if found := changes(before, after):
                    await self._websocket.send_json(found)
                before = after
