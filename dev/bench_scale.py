"""Many relays, clients, subscriptions and events: what idling costs, what grows."""

import time
from typing import Any

from .bench_clients import Ask
from .bench_relays import Prepare, PublishLive
from .bench_stage import Stage

RELAYS = 50
CLIENTS = 200
SUBSCRIPTIONS = 10  # of each client
SETTLE_SECONDS = 60.0
IDLE_SECONDS = 60.0
FLOOD_EVENTS = 1_000_000
FLOOD_STEP = 20_000
FLOOD_PER_SECOND = 6000.0
LAST_SECONDS = 3.0  # for the last events to arrive
NOTHING_STORED = '{"kinds":[1],"limit":0}'
MIB = 1024 * 1024


def run(stage: Stage) -> dict[str, Any]:
    """Measure a million events through one subscription, then idling with many."""
    return {"flood": flood(stage), "idle": idle(stage)}


def idle(
    stage: Stage,
    relays: int = RELAYS,
    clients: int = CLIENTS,
    settle: float = SETTLE_SECONDS,
    seconds: float = IDLE_SECONDS,
) -> dict[str, float]:
    """Measure CPU and memory while many subscriptions are open and nothing happens."""
    stage.use_relays(relays)
    time.sleep(settle)
    alone = _idle_cpu(stage, seconds)
    before = stage.resident_bytes()
    stage.connect(stage.private_url, clients)
    began = time.monotonic()
    complete = stage.clients.call(Ask(NOTHING_STORED, 0, settle, SUBSCRIPTIONS))
    asked = time.monotonic() - began
    time.sleep(settle)
    middle = stage.resident_bytes()
    cpu = _idle_cpu(stage, seconds)
    result = {
        "relays": relays,
        "clients": clients,
        "subscriptions": clients * SUBSCRIPTIONS,
        "answered": bool(complete),
        "answered_seconds": asked,
        "cpu_percent_without_clients": alone,
        "cpu_percent": cpu,
        "resident_before_mib": before / MIB,
        "resident_settled_mib": middle / MIB,
        "resident_after_mib": stage.resident_bytes() / MIB,
    }
    stage.finish()
    print(
        "{subscriptions} subscriptions of {clients} clients on {relays} relays: "
        "idle {cpu_percent:.2f} % of a core ({cpu_percent_without_clients:.2f} % "
        "without clients), {resident_before_mib:.0f}, then {resident_settled_mib:.0f} "
        "and {resident_after_mib:.0f} MiB".format(**result),
        flush=True,
    )
    return result


def _idle_cpu(stage: Stage, seconds: float) -> float:
    used = stage.cpu_seconds()
    time.sleep(seconds)
    return (stage.cpu_seconds() - used) / seconds * 100


def flood(
    stage: Stage, events: int = FLOOD_EVENTS, step: int = FLOOD_STEP
) -> dict[str, Any]:
    """Measure memory while very many live events pass through one subscription."""
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
