"""Start and stop, and the tasks that run in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakSet

from loguru import logger

from . import live
from .crud import (
    get_config,
    get_identity,
    get_relays,
)
from .generations import process
from .helpers import decrypt_identity
from .nostr import clock
from .nostr.errors import InvalidKey
from .nostr.in_process import (
    ByteLimit,
    EndOfStoredEventsMessage,
    EventMessage,
    NoticeMessage,
)
from .nostr.settings import DEFAULTS, known_settings
from .outbox_store import restore_outbox, write_ledger
from .router import NostrRouter, all_routers, nostr_client

MOST_PER_SUBSCRIPTION = 10_000
MOST_SUBSCRIPTIONS = 100
MOST_NOTICES = 1_000
STORE_SECONDS = 5.0

_running: dict[str, asyncio.Task[None]] = {}
_bounds: dict[str, ByteLimit] = {}


def start() -> None:
    """Start relays and tasks; does nothing where they run already.

    Where an earlier generation of this code still runs, it is stopped first, and what
    it knows is taken over.
    """
    if _running:
        return
    nostr_client.running = True
    nostr_client.relay_manager.outbox.durable = True
    previous = process.get("generation")
    generation = {"stop": stop, "hand_over": hand_over}
    process["generation"] = generation
    is_same = previous is not None and previous["hand_over"] is hand_over
    _run("load", _load(None if is_same else previous))
    _run("events", subscribe_events())
    _run("outbox", check_outbox())


async def stop() -> None:
    """End every task, client and thread, and wait until they have ended."""
    if "load" in _running:  # it may be waiting for an earlier generation to stop
        await asyncio.wait([_running["load"]])
    tasks = list(_running.values())
    _running.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    routers = list(all_routers)
    await asyncio.gather(
        asyncio.to_thread(nostr_client.close),
        live.stop(),
        *(router.stop("nostrclient was stopped") for router in routers),
    )
    try:
        await asyncio.wait_for(write_ledger(), STORE_SECONDS)
    except asyncio.TimeoutError:
        logger.error("the outbox could not be stored before the end")


def hand_over(successor: Any) -> dict[str, Any]:
    """Give what a later generation of this code goes on with, once this one stopped.

    `successor` is its relay manager: other extensions that still hold the client of
    this generation, or of one before it, reach it from now on.
    """
    pool = nostr_client.relay_manager.message_pool
    while pool.has_events():
        keep_event(pool.get_event())
    state = nostr_client.relay_manager.hand_over()
    state["received"] = (
        NostrRouter.received_subscription_events,
        NostrRouter.received_subscription_notices,
        NostrRouter.received_subscription_eosenotices,
    )
    for client in process.get("clients", ()):
        client.relay_manager = successor
    return state


async def _take_over(previous: dict[str, Any]) -> None:
    await previous["stop"]()
    manager = nostr_client.relay_manager
    state: dict[str, Any] = previous["hand_over"](manager)
    # The very same lists and dictionaries: other extensions poll those they imported.
    events, notices, eoses = state["received"]
    NostrRouter.received_subscription_events = events
    NostrRouter.received_subscription_notices = notices
    NostrRouter.received_subscription_eosenotices = eoses
    manager.take_over(state)


def _run(name: str, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work, name=f"nostrclient {name}")
    _running[name] = task
    task.add_done_callback(_log_failure)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.opt(exception=task.exception()).error(f"{task.get_name()} ended")


async def _load(previous: dict[str, Any] | None) -> None:
    try:
        # The numbers come first: by the defaults, what is taken over may be too much or
        # too old. Without them it is taken over as well.
        try:
            await configure()
        finally:
            if previous is not None:
                await _take_over(previous)
        process.setdefault("clients", WeakSet()).add(nostr_client)
        await load_identity()
        await restore_outbox()
    finally:
        await init_relays()


async def configure() -> None:
    """Go by the numbers of the stored configuration, the defaults apart."""
    stored = (await get_config()).settings
    numbers = known_settings(stored)
    for name in stored.keys() - numbers.keys():
        logger.warning(f"the stored setting {name!r} is none of this version's")
    try:
        nostr_client.relay_manager.configure(DEFAULTS.with_changes(numbers))
    except ValueError as error:
        logger.error(f"the stored settings are left out: {error}")


async def load_identity() -> None:
    """Take the key with which relays that ask for it are answered (NIP-42)."""
    encrypted = await get_identity()
    try:
        key = decrypt_identity(encrypted) if encrypted else None
    except InvalidKey as error:
        logger.error(f"nobody to authenticate as: {error}")
        key = None
    nostr_client.relay_manager.set_identity(key)


async def init_relays() -> None:
    """Connect to the relays of the database, whatever their spelling there."""
    manager = nostr_client.relay_manager
    for relay in await get_relays():
        try:
            if relay.url:
                manager.add_relay(
                    relay.url,
                    active=relay.active is not False,
                    read=relay.read is not False,
                    write=relay.write is not False,
                )
        except ValueError as error:
            logger.warning(f"stored relay {relay.url!r} is left out: {error}")
    manager.start()


async def check_outbox() -> None:
    """Do what is due in the outbox, when it is due."""
    manager = nostr_client.relay_manager
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:  # the loop ended without cancelling this task
            manager.on_change = None

    manager.on_change = wake
    try:
        while True:
            changed.clear()
            manager.step()
            await write_ledger()
            due = manager.step()
            timer = None
            if due is not None:
                delay = max(0.0, due - clock.now()) + 0.001
                timer = loop.call_later(delay, changed.set)
            # Not wait_for: before Python 3.12 it drops a cancellation that comes in
            # the moment in which the wait ends, and `stop` would wait for ever.
            try:
                await changed.wait()
            finally:
                if timer:
                    timer.cancel()
    finally:
        manager.on_change = None


async def subscribe_events() -> None:
    """Keep what comes for other extensions' subscriptions where they look for it."""
    await nostr_client.subscribe(keep_event, keep_notice, keep_eose)


def keep_event(event: EventMessage) -> None:
    """Keep an event for the extension that subscribed; the oldest go first."""
    received = NostrRouter.received_subscription_events
    _make_room(received, event.subscription_id)
    events = received.setdefault(event.subscription_id, [])
    events.append(event)
    if len(events) > MOST_PER_SUBSCRIPTION:
        events.pop(0)
    _make_room(_bounds, event.subscription_id)
    _bounds.setdefault(event.subscription_id, ByteLimit()).added(event.event, events)


def keep_notice(notice: NoticeMessage) -> None:
    """Keep a relay's NOTICE; the oldest go first."""
    notices = NostrRouter.received_subscription_notices
    notices.append(notice)
    if len(notices) > MOST_NOTICES:
        notices.pop(0)


def keep_eose(eose: EndOfStoredEventsMessage) -> None:
    """Keep the first EOSE of a subscription."""
    eoses = NostrRouter.received_subscription_eosenotices
    _make_room(eoses, eose.subscription_id)
    eoses.setdefault(eose.subscription_id, eose)


def _make_room(kept: dict[str, Any], subscription_id: str) -> None:
    """Forget the oldest subscriptions that are closed, where there are too many.

    Not at their end: some take what has come only after they have closed them.
    """
    if len(kept) < MOST_SUBSCRIPTIONS or subscription_id in kept:
        return
    is_open = nostr_client.relay_manager.is_open
    closed = [name for name in kept if not is_open(name)]
    for name in closed[: len(kept) - MOST_SUBSCRIPTIONS + 1]:
        del kept[name]
