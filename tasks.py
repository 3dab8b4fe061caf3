"""Start and stop, and the tasks that run in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from . import history, http_requests, live, log_filter, notifications
from .configuration import Part, configuration
from .crud import (
    create_tables,
    get_config,
    get_identity,
    get_relays,
    limit_waits,
)
from .generations import close_other_clients, process
from .helpers import decrypt_identity
from .identities import identities
from .instances import instances
from .named_rules import check_named_url, public_only
from .nostr import clock
from .nostr.errors import InvalidKey
from .nostr.in_process import (
    ByteLimit,
    EndOfStoredEventsMessage,
    EventMessage,
    NoticeMessage,
)
from .nostr.log import logger
from .nostr.settings import DEFAULTS, usable_settings
from .outbox_store import outbox_store
from .private_urls import private_urls
from .router import NostrRouter, all_routers, nostr_client

Generation = dict[str, Any]
"""What a generation of this code leaves in `process`: how to stop it, and its state."""

_running: dict[str, asyncio.Task[None]] = {}
_stop_requested: list[asyncio.Event] = []
"""The event of the start that is in force, if any; see `stop`."""
_byte_limits: dict[str, ByteLimit] = {}


def start() -> None:
    """Start relays and tasks; does nothing where they run already.

    An earlier generation of this code that still runs is stopped first, and its state
    is taken over.
    """
    if _running:
        return
    nostr_client.running = True
    nostr_client.relay_manager.publisher.outbox.durable = True
    previous = process.get("generation")
    generation = {"stop": stop, "hand_over": hand_over}
    process["generation"] = generation
    is_same = previous is not None and previous["hand_over"] is hand_over
    nostr_client.relay_manager.named.check = check_named_url
    nostr_client.relay_manager.named.public_only = public_only
    log_filter.install()
    instances.check_process()
    outbox_store.instance = instances.id
    stopping = asyncio.Event()
    _stop_requested[:] = [stopping]
    _run("load", _load(None if is_same else previous, stopping))
    _run("events", subscribe_events())
    _run("clock", keep_time())
    _run("outbox", outbox_store.run())
    _run("merchants", identities.watch_merchants())
    _run("instances", instances.run(load_changes))
    _run("urls", private_urls.keep())
    _run("history", history.keep())
    _run("notifications", notifications.keep())


async def stop() -> None:
    """End every task, client and thread, and wait until they have ended.

    A database operation under way cannot be ended; it is waited for `stop_seconds`.
    """
    deadline = clock.now() + nostr_client.relay_manager.settings.stop_seconds
    for stopping in _stop_requested:
        stopping.set()
    if "load" in _running:  # it may be waiting for an earlier generation to stop
        await asyncio.wait([_running["load"]])
    log_filter.remove()
    tasks = list(_running.values())
    _running.clear()
    for task in tasks:
        task.cancel()
    routers = list(all_routers)
    await asyncio.gather(
        asyncio.to_thread(nostr_client.close),
        live.stop(),
        http_requests.stop(),
        *(router.stop("nostrclient was stopped") for router in routers),
    )
    flushing = asyncio.ensure_future(outbox_store.flush())
    # One second less: the relays' threads have the same time to end.
    left = max(1.0, deadline - clock.now() - 1.0)
    await asyncio.wait([*tasks, flushing], timeout=left)
    if not flushing.done():
        logger.error("the outbox could not be stored before the end")
        flushing.cancel()


async def restart() -> None:
    """Stop and start, and wait until the stored settings are loaded, or cannot be."""
    await stop()
    start()
    await asyncio.wait([_running["load"]])


def hand_over(successor: Any) -> dict[str, Any]:
    """Return the state of this stopped generation for the next one.

    `successor` is the next generation's relay manager. Other extensions that hold a
    client of this generation, or of an earlier one, reach it from now on.
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


async def _take_over(previous: Generation) -> None:
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


async def _load(previous: Generation | None, stopping: asyncio.Event) -> None:
    """Load part by part, then start the relays, whatever could not be loaded so far."""
    waiting = asyncio.ensure_future(stopping.wait())
    while instances.refuses and not stopping.is_set():
        pause = nostr_client.relay_manager.settings.database_retry_seconds
        await asyncio.wait([waiting], timeout=pause)
        instances.check_process()
    if instances.refuses:
        return
    deadline = clock.now() + nostr_client.relay_manager.settings.load_seconds

    async def load(part: Part, step: Callable[[], Awaitable[None]]) -> None:
        tried = asyncio.Event()
        _run(f"load {part.value}", _load_part(part, step, tried))
        trying = asyncio.ensure_future(tried.wait())
        await asyncio.wait(
            [trying, waiting],
            timeout=max(0.0, deadline - clock.now()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        trying.cancel()

    try:
        await load(Part.TABLES, create_tables)
        # The settings come before the state that is taken over: by the defaults, some
        # of it may be too much or too old.
        await load(Part.SETTINGS, load_settings)
        await load(Part.URLS, private_urls.load)
        if previous is not None:
            await _take_over(previous)
        outbox_store.add_undeleted(process.pop("undeleted", ()))
        process.setdefault("clients", WeakSet()).add(nostr_client)
        await close_other_clients(NostrRouter)
        await load(Part.IDENTITY, load_identity)
        await load(Part.IDENTITIES, identities.load)
        await load(Part.OUTBOX, load_outbox)
        await load(Part.RELAYS, load_relays)
        if not stopping.is_set():
            manager = nostr_client.relay_manager
            manager.start()
            logger.info(f"started with {len(manager.relays)} relays")
    finally:
        waiting.cancel()


async def _load_part(
    part: Part, step: Callable[[], Awaitable[None]], tried: asyncio.Event
) -> None:
    """Load one part, and try again until that succeeds."""
    settings = nostr_client.relay_manager.settings
    delay = settings.database_retry_seconds
    while True:
        try:
            await step()
        except Exception as error:  # noqa: BLE001  # drivers raise their own errors
            if not tried.is_set():
                logger.error(f"{part.value} cannot be loaded: {error}")
            configuration.set_loaded(part, False)
        else:
            configuration.set_loaded(part, True)
            if tried.is_set():
                logger.info(f"{part.value} loaded at last")
            tried.set()
            return
        tried.set()
        await asyncio.sleep(delay)
        delay = min(2 * delay, settings.database_retry_max_seconds)


async def load_settings() -> None:
    """Apply the stored settings; anything not stored keeps its default."""
    config = await get_config()
    usable = usable_settings(config.settings)
    for name in config.settings.keys() - usable.keys():
        logger.error(f"the stored setting {name!r} cannot be used")
    manager = nostr_client.relay_manager
    settings = DEFAULTS.with_changes(usable)
    manager.configure(replace(settings, proxy=manager.settings.proxy))
    NostrRouter.refusal_log.configure(settings)
    limit_waits(settings.database_seconds)
    await configuration.apply_config(config)


async def load_identity() -> None:
    """Load the key that answers relays which demand AUTH (NIP-42)."""
    encrypted = await get_identity()
    try:
        key = decrypt_identity(encrypted) if encrypted else None
    except InvalidKey as error:
        logger.error(f"there is no identity to authenticate as: {error}")
        key = None
    nostr_client.relay_manager.set_identity(key)


async def load_outbox() -> None:
    """Restore the stored events, and send them if relays are running already."""
    await instances.join()
    await outbox_store.restore(instances.id)
    manager = nostr_client.relay_manager
    if manager.running:
        manager.publisher.retry()


async def load_relays() -> None:
    """Add the stored relays, whatever their spelling there."""
    async with configuration.lock:
        configuration.apply_relays(await get_relays())


async def load_changes() -> None:
    """Apply what another LNbits on the same database has changed."""
    async with configuration.lock:
        config = await get_config()
        if config != configuration.config:
            await configuration.apply_config(config)
        configuration.apply_relays(await get_relays())
        await load_identity()
        await identities.load()
        await private_urls.load()


async def keep_time() -> None:
    """Do what is due in the outbox and its store; wait for nothing but time."""
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
            due = [manager.step(), outbox_store.step()]
            timer = None
            if instants := [at for at in due if at is not None]:
                delay = max(0.0, min(instants) - clock.now()) + 0.001
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
    """Store the events of other extensions' subscriptions where they poll them."""
    await nostr_client.subscribe(keep_event, keep_notice, keep_eose)


def keep_event(event: EventMessage) -> None:
    """Store an event for the extension that subscribed; drop the oldest ones."""
    received = NostrRouter.received_subscription_events
    _make_room(received, event.subscription_id)
    events = received.setdefault(event.subscription_id, [])
    events.append(event)
    settings = nostr_client.relay_manager.settings
    if len(events) > settings.in_process_events:
        events.pop(0)
    _make_room(_byte_limits, event.subscription_id)
    limit = _byte_limits.setdefault(
        event.subscription_id, ByteLimit(settings.in_process_bytes)
    )
    limit.added(event.event, events)


def keep_notice(notice: NoticeMessage) -> None:
    """Store a relay's NOTICE; drop the oldest ones."""
    notices = NostrRouter.received_subscription_notices
    notices.append(notice)
    if len(notices) > nostr_client.relay_manager.settings.in_process_notices:
        notices.pop(0)


def keep_eose(eose: EndOfStoredEventsMessage) -> None:
    """Store the first EOSE of a subscription."""
    eoses = NostrRouter.received_subscription_eosenotices
    _make_room(eoses, eose.subscription_id)
    eoses.setdefault(eose.subscription_id, eose)


def _make_room(kept: dict[str, Any], subscription_id: str) -> None:
    """Remove the oldest closed subscriptions if there are too many.

    They are not removed when they close, because some extensions read the events after
    that.
    """
    most = nostr_client.relay_manager.settings.in_process_subscriptions
    if len(kept) < most or subscription_id in kept:
        return
    is_open = nostr_client.relay_manager.is_open
    closed = [name for name in kept if not is_open(name)]
    for name in closed[: len(kept) - most + 1]:
        del kept[name]
