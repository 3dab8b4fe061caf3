"""Many relays, clients, subscriptions and events: idle costs and growth."""

import time
from collections.abc import Callable
from typing import Any

from .bench_clients import Ask
from .bench_relays import Prepare, PublishLive
from .bench_stage import Stage

RELAYS = 50
CLIENTS = 200
SUBSCRIPTIONS = 10  # of each client
STEPS = 10  # in which the clients come
SETTLE_SECONDS = 60.0
IDLE_SECONDS = 60.0
REFRESH_SECONDS = 300.0  # after which relays are asked again
FLOOD_EVENTS = 1_000_000
FLOOD_STEP = 20_000
FLOOD_PER_SECOND = 6000.0
LAST_SECONDS = 3.0  # for the last events to arrive
NOTHING_STORED = '{"kinds":[1],"limit":0}'
MIB = 1024 * 1024


def run(stage: Stage) -> dict[str, Any]:
    """Measure a million events in one subscription, then many idle subscriptions."""
    return {"flood": flood(stage), "idle": idle(stage)}


def idle(
    stage: Stage,
    relays: int = RELAYS,
    clients: int = CLIENTS,
    settle: float = SETTLE_SECONDS,
    seconds: float = IDLE_SECONDS,
    refresh: float = REFRESH_SECONDS,
) -> dict[str, Any]:
    """Measure CPU and memory while many subscriptions are open and idle.

    The first measurement is before subscriptions are refreshed, the second during
    refreshes. Clients connect in ten steps, to show whether later ones cost more.
    """
    first_relay = _seconds(lambda: stage.use_relays(1))
    stage.use_relays(relays - 1)
    last_relay = _seconds(lambda: stage.use_relays(relays))
    time.sleep(settle)
    alone = _idle_cpu(stage, seconds)
    before = stage.resident_bytes()
    steps = []
    began = time.monotonic()
    for _ in range(STEPS):
        used = stage.cpu_seconds()
        stage.connect(stage.private_url, clients // STEPS)
        ask = Ask(NOTHING_STORED, 0, settle, SUBSCRIPTIONS, newest=clients // STEPS)
        assert stage.clients.call(ask)  # noqa: S101
        time.sleep(settle / STEPS)
        steps.append((stage.cpu_seconds() - used) * 1000 / (clients // STEPS))
    middle = stage.resident_bytes()
    quiet = _idle_cpu(stage, seconds)
    time.sleep(max(0.0, began + refresh + settle - time.monotonic()))
    asking = _idle_cpu(stage, seconds)
    result: dict[str, Any] = {
        "relays": relays,
        "clients": clients,
        "subscriptions": clients * SUBSCRIPTIONS,
        "relay_seconds": [first_relay, last_relay],
        "client_cpu_ms": steps,
        "cpu_percent_without_clients": alone,
        "cpu_percent_before_asking_again": quiet,
        "cpu_percent": asking,
        "resident_before_mib": before / MIB,
        "resident_settled_mib": middle / MIB,
        "resident_after_mib": stage.resident_bytes() / MIB,
    }
    stage.finish()
    print(
        "{subscriptions} subscriptions of {clients} clients on {relays} relays: "
        "idle {cpu_percent:.2f} % of a core ({cpu_percent_before_asking_again:.2f} % "
        "before relays are asked again, {cpu_percent_without_clients:.2f} % without "
        "clients), {resident_before_mib:.0f}, then {resident_settled_mib:.0f} and "
        "{resident_after_mib:.0f} MiB".format(**result)
    )
    print(
        f"CPU for a client and its subscriptions: {steps[0]:.1f} ms among the first, "
        f"{steps[-1]:.1f} ms among the last; until a relay is connected: "
        f"{first_relay:.2f} s for the first, {last_relay:.2f} s for the last",
        flush=True,
    )
    return result


def _seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _idle_cpu(stage: Stage, seconds: float) -> float:
    used = stage.cpu_seconds()
    time.sleep(seconds)
    return (stage.cpu_seconds() - used) / seconds * 100


def flood(
    stage: Stage, events: int = FLOOD_EVENTS, step: int = FLOOD_STEP
) -> dict[str, Any]:
    """Measure memory during very many live events in one subscription."""
    stage.use_relays(1)
    resident = [stage.resident_bytes()]
    stage.connect(stage.private_url, 1)
    stage.clients.call(Ask(NOTHING_STORED, 0, SETTLE_SECONDS))
    passed = 0
    while passed < events:
        stage.relays.call(Prepare(0, step))
        stage.relays.call(PublishLive(FLOOD_PER_SECOND))
        time.sleep(0.2)
        passed += step
        resident.append(stage.resident_bytes())
        if passed % (10 * step) == 0:
            print(f"{passed:8} events, {resident[-1] / MIB:.1f} MiB", flush=True)
    time.sleep(LAST_SECONDS)
    received = stage.finish()
    delivered = len(set(received[0].ids))
    growth = (resident[-1] - resident[0]) / MIB
    print(f"{delivered} of {passed} events delivered, memory grew by {growth:.1f} MiB")
    return {
        "events": passed,
        "delivered": delivered,
        "growth_mib": growth,
        "resident_mib": [round(item / MIB, 1) for item in resident],
    }
