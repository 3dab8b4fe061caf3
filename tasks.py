"""Start and stop, and the tasks that run in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger

from .crud import get_relays
from .nostr import clock
from .nostr.message_pool import EndOfStoredEventsMessage, EventMessage, NoticeMessage
from .router import NostrRouter, all_routers, nostr_client

MOST_PER_SUBSCRIPTION = 10_000
MOST_NOTICES = 1_000

_running: set[asyncio.Task[None]] = set()


def start() -> None:
    """Start relays and tasks; does nothing where they run already."""
    if _running:
        return
    nostr_client.running = True
    _run("relays", init_relays())
    _run("events", subscribe_events())
    _run("outbox", check_outbox())


async def stop() -> None:
    """End every task, client and thread, and wait until they have ended."""
    tasks = list(_running)
    _running.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    routers = list(all_routers)
    await asyncio.gather(
        *(router.stop("nostrclient was stopped") for router in routers)
    )
    await asyncio.to_thread(nostr_client.close)


def _run(name: str, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work, name=f"nostrclient {name}")
    _running.add(task)
    task.add_done_callback(_log_failure)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.opt(exception=task.exception()).error(f"{task.get_name()} ended")


async def init_relays() -> None:
    """Connect to the relays of the database, whatever their spelling there."""
    for relay in await get_relays():
        try:
            if relay.url and relay.active is not False:
                nostr_client.relay_manager.add_relay(relay.url)
        except ValueError as error:
            logger.warning(f"stored relay {relay.url!r} is left out: {error}")
    nostr_client.relay_manager.start()


async def check_outbox() -> None:
    """Do what is due in the outbox, when it is due."""
    manager = nostr_client.relay_manager
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:  # the loop ended without cancelling this task
            manager.on_outbox_change = None

    manager.on_outbox_change = wake
    try:
        while True:
            changed.clear()
            due = manager.outbox_step()
            timeout = None if due is None else max(0.0, due - clock.now()) + 0.001
            try:
                await asyncio.wait_for(changed.wait(), timeout)
            except asyncio.TimeoutError:
                continue
    finally:
        manager.on_outbox_change = None


async def subscribe_events() -> None:
    """Keep what comes for other extensions' subscriptions where they look for it."""
    await nostr_client.subscribe(_keep_event, _keep_notice, _keep_eose)


def _keep_event(event: EventMessage) -> None:
    received = NostrRouter.received_subscription_events
    events = received.setdefault(event.subscription_id, [])
    events.append(event)
    if len(events) > MOST_PER_SUBSCRIPTION:
        events.pop(0)


def _keep_notice(notice: NoticeMessage) -> None:
    notices = NostrRouter.received_subscription_notices
    notices.append(notice)
    if len(notices) > MOST_NOTICES:
        notices.pop(0)


def _keep_eose(eose: EndOfStoredEventsMessage) -> None:
    NostrRouter.received_subscription_eosenotices.setdefault(eose.subscription_id, eose)
