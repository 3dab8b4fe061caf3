"""What an extension does that uses nostrclient in the same process; run as a program.

    python -m tests.interface.consumer PACKAGE RELAY_URL

PACKAGE is the name under which LNbits imported nostrclient. Prints what it saw as JSON.
"""

import asyncio
import importlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 20.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Poll, as consumers do. Raises `TimeoutError`."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


def is_connected(client: Any) -> bool:
    """Whether any relay is connected."""
    return any(relay.connected for relay in client.relay_manager.relays.values())


def threads_alive() -> list[str]:
    """Give the names of nostrclient's threads."""
    return [item.name for item in threading.enumerate() if "nostrclient" in item.name]


def import_afresh(package: str) -> Any:
    """Import an extension as LNbits does when it activates one."""
    for name in list(sys.modules):
        if f"{name}.".startswith(f"{package}."):
            del sys.modules[name]
    return importlib.import_module(package)


async def consume(package: str, relay_url: str) -> dict[str, Any]:
    """Use rules G1 to G4 through the names that other extensions import."""
    extension = importlib.import_module(package)
    router = importlib.import_module(f"{package}.router")
    event_module = importlib.import_module(f"{package}.nostr.event")
    key_module = importlib.import_module(f"{package}.nostr.key")
    manager = router.nostr_client.relay_manager
    received = router.NostrRouter.received_subscription_events
    eoses = router.NostrRouter.received_subscription_eosenotices
    key = key_module.PrivateKey()
    author = key.public_key.hex()

    def note(content: str) -> Any:
        event = event_module.Event(content)
        key.sign_event(event)
        return event

    async def receive(count: int) -> list[Any]:
        taken: list[Any] = []

        def take() -> bool:
            while received.get("mine"):
                taken.append(received["mine"].pop(0))
            return len(taken) >= count

        await until(take, f"{count} events")
        await asyncio.sleep(0.2)  # a duplicate would come now
        take()
        return taken

    # Before nostrclient is started: other extensions may be quicker.
    manager.add_relay(relay_url)
    manager.add_subscription("mine", [{"authors": [author]}])
    extension.nostrclient_start()
    extension.nostrclient_start()
    await until(lambda: is_connected(router.nostr_client), "connected")
    await until(lambda: "mine" in eoses, "an EOSE")

    first = [note(f"from the loop {number}") for number in range(3)]
    for event in first:
        manager.publish_message(event.to_message())
    seen_first = await receive(3)

    from_thread = note("from a thread")
    problems: list[BaseException] = []

    def work() -> None:
        try:
            manager.add_subscription("other", [{"kinds": [1], "limit": 0}])
            manager.publish_message(from_thread.to_message())
            manager.close_subscriptions(["other"])
            manager.close_subscription("never opened")
        except BaseException as problem:  # noqa: BLE001  # for the test to show
            problems.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    seen_thread = await receive(1)

    await extension.nostrclient_stop()
    alive = threads_alive()
    # A relay may be on the point of saying what it is; five seconds are all it has.
    deadline = time.monotonic() + 10
    while any("information" in name for name in alive) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        alive = threads_alive()
    relays_while_stopped = list(manager.relays)
    while_stopped = note("while it is stopped")
    manager.publish_message(while_stopped.to_message())
    extension.nostrclient_start()
    seen_after = await receive(1)

    # The same id anew replaces the subscription: stored events come once more.
    manager.add_subscription("mine", [{"authors": [author], "kinds": [1]}])
    seen_again = await receive(5)

    # LNbits activates again: all modules are imported afresh and start is called, after
    # a stop or without one, with the same code or a later version of it. What this
    # consumer imported goes on working.
    renewed: list[list[str]] = []
    imported: list[Any] = []
    for is_stopped, is_upgrade in itertools.product((True, False), repeat=2):
        if is_upgrade:
            vars(sys.modules["nostrclient_process"])["code"] = b"an earlier version"
        if is_stopped:
            await extension.nostrclient_stop()
        between = note(f"while modules are replaced {len(renewed)}")
        manager.publish_message(between.to_message())
        extension = import_afresh(package)
        extension.nostrclient_start()
        imported.append(importlib.import_module(f"{package}.router").nostr_client)
        await until(lambda: is_connected(imported[-1]), "connected again")
        manager = router.nostr_client.relay_manager
        after = note(f"after modules were replaced {len(renewed)}")
        manager.publish_message(after.to_message())
        seen_renewed = [item.event_id for item in await receive(2)]
        renewed.append([between.id, after.id, *seen_renewed])
        assert imported[-1].relay_manager is manager
    threads = [item.name for item in threading.enumerate() if relay_url in item.name]
    router = importlib.import_module(f"{package}.router")

    # G3 and G4: whoever polls the queues himself.
    await extension.nostrclient_stop()
    manager.start()
    callbacks: list[Any] = []
    router.nostr_client.running = True
    listening = asyncio.create_task(router.nostr_client.subscribe(callbacks.append))
    last = note("to a callback")
    manager.publish_message(last.to_message())
    await until(lambda: callbacks, "a callback")
    await asyncio.to_thread(router.nostr_client.close)
    await asyncio.wait_for(listening, SECONDS)
    manager.start()
    pool = manager.message_pool
    polled = note("to somebody who polls")
    manager.publish_message(polled.to_message())
    await until(pool.has_events, "an event to poll")
    taken = pool.get_event()
    manager.remove_relay(relay_url + "/")
    await extension.nostrclient_stop()

    return {
        "problems": [repr(problem) for problem in problems],
        "first": [event.id for event in first],
        "seen_first": [item.event_id for item in seen_first],
        "attributes": [
            seen_first[0].subscription_id,
            seen_first[0].url,
            json.loads(seen_first[0].event)["content"],
        ],
        "thread": from_thread.id,
        "seen_thread": [item.event_id for item in seen_thread],
        "alive": alive,
        "relays_while_stopped": relays_while_stopped,
        "while_stopped": while_stopped.id,
        "seen_after": [item.event_id for item in seen_after],
        "seen_again": sorted({item.event_id for item in seen_again}),
        "again": len(seen_again),
        "renewed": renewed,
        "threads": threads,
        "callback": [item.event_id for item in callbacks],
        "last": last.id,
        "polled": [taken.event_id, polled.id],
        "relays_left": list(manager.relays),
    }


def import_as_default(folder: str) -> None:
    """Let LNbits find the extension where it looks without a path of its own."""
    import lnbits

    lnbits.__path__.append(folder)


async def _main(package: str, relay_url: str) -> None:
    if package.startswith("lnbits."):
        import_as_default(str(Path(sys.argv[3])))
    migrations = importlib.import_module(f"{package}.migrations")
    database = importlib.import_module(f"{package}.crud").db
    async with database.connect() as connection:
        for name in sorted(vars(migrations)):
            if name.startswith("m0"):
                await getattr(migrations, name)(connection)
    print(json.dumps(await consume(package, relay_url)))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
