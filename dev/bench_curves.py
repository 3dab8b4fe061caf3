"""Curves: what relays, clients, subscriptions, filters, events and waiting events cost.

Each point is measured in the same run as the yardstick beside it. `lost` of a point
counts events and answers that did not arrive as they should.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from .bench_clients import Ask, Delays, MeasuredDelays, Publish
from .bench_relays import Accept, Prepare, PublishLive, Texts, Traffic
from .bench_rounds import POUR_SECONDS, SUBJECT, percentile, play
from .bench_stage import Stage

NOTHING_STORED = '{"kinds":[1],"limit":0}'
SUBSCRIPTIONS_PER_CLIENT = 200
MAX_PIPE_CLIENTS = 100  # the bare pipe has a connection of each to every relay
ANSWER_SECONDS = 10.0
ACTIVE_PER_SECOND = 200.0
PUBLISH_PER_SECOND = 25.0
EVENTS_BYTES = 8_000_000  # of one point of the curve of sizes
KIB = 1024
Point = dict[str, float]


@dataclass(frozen=True)
class Extent:
    """How much is measured: the values of each curve, and the sizes of each point."""

    relays: tuple[int, ...] = (1, 3, 10, 30, 100)
    clients: tuple[int, ...] = (1, 10, 100, 300, 1000)
    subscriptions: tuple[int, ...] = (10, 100, 1000, 5000, 20_000)
    values: tuple[int, ...] = (1, 10, 100, 1000, 5000)
    characters: tuple[int, ...] = (0, 600, 3600, 15_600, 63_600, 249_600)
    waiting: tuple[int, ...] = (0, 10, 100, 300, 1000)
    events: int = 3000
    client_events: int = 100
    active_events: int = 600
    exchanges: int = 200
    idle_seconds: float = 20.0
    settle_seconds: float = 5.0
    rounds: int = 3
    starts: int = 3


SHORT = Extent(
    relays=(1, 3),
    clients=(1, 5),
    subscriptions=(10, 100),
    values=(1, 200),
    characters=(0, 3600),
    waiting=(0, 5),
    events=200,
    client_events=20,
    active_events=40,
    exchanges=10,
    idle_seconds=0.5,
    settle_seconds=0.2,
    rounds=1,
    starts=0,  # it takes four starts of LNbits
)


def measure_curves(stage: Stage, extent: Extent) -> dict[str, list[Point]]:
    """Measure all curves, each as a list of points with `x`."""
    curves: dict[str, Callable[[Stage, Extent, int], Point]] = {
        "relays": _relays,
        "clients": _clients,
        "subscriptions": _subscriptions,
        "values": _values,
        "characters": _characters,
        "waiting": _waiting,
    }
    found: dict[str, list[Point]] = {}
    for name, measure in curves.items():
        found[name] = []
        for x in getattr(extent, name):
            point = measure(stage, extent, x)
            found[name].append(point)
            figures = ", ".join(f"{key} {value:.6g}" for key, value in point.items())
            print(f"{name:14} {figures}", flush=True)
    return found


def _pour(
    stage: Stage,
    extent: Extent,
    relays: int,
    clients: int,
    stored: int,
    *,
    characters: int | None = None,
    pipe: bool = True,
) -> Point:
    """Return the CPU per event of nostrclient and of the bare pipe, in alternation."""
    stage.use_relays(relays)
    used: dict[str, list[float]] = {}
    lost = 0
    for _ in range(extent.rounds):
        for subject in ("pipe", SUBJECT) if pipe else (SUBJECT,):
            round_ = play(
                stage, subject, relays, clients, stored, 0, characters=characters
            )
            used.setdefault(subject, []).append(round_.cpu_us)
            lost += round_.wrong if subject == SUBJECT else 0
    point: Point = {"cpu_us": median(used[SUBJECT])}
    if pipe:
        point["pipe_cpu_us"] = median(used["pipe"])
    return point | {"lost": lost}


def verification(stage: Stage, count: int, characters: int | None = None) -> float:
    """Return the microseconds to check one event, with nothing else to do."""
    prepare = Prepare(count, 0)
    if characters is not None:
        prepare = prepare._replace(characters=characters)
    stage.relays.call(prepare)
    texts = stage.relays.call(Texts())
    answer = stage.lnbits.http.post("/bench_pipe/api/v1/verify", json=texts)
    return float(answer.raise_for_status().json()) * 1e6 / count


def _relays(stage: Stage, extent: Extent, x: int) -> Point:
    point = _pour(stage, extent, x, 1, max(100, extent.events * 3 // (x + 2)))
    alone = verification(stage, min(1000, extent.events))
    return {"x": x, **point, "verification_us": alone}


def _clients(stage: Stage, extent: Extent, x: int) -> Point:
    pipe = x <= MAX_PIPE_CLIENTS
    before = stage.resident_bytes()
    point = _pour(stage, extent, 3, x, extent.client_events, pipe=pipe)
    grown = max(0, stage.resident_bytes() - before)
    return {"x": x, **point, "kib_per_client": grown / KIB / x}


def _subscriptions(stage: Stage, extent: Extent, x: int) -> Point:
    """Measure opening, idling, and events that each go to one of them."""
    stage.use_relays(3)
    ids = stage.relays.call(Prepare(0, extent.active_events))
    before, used = stage.resident_bytes(), stage.cpu_seconds()
    each = min(x, SUBSCRIPTIONS_PER_CLIENT)
    clients = -(-x // each)
    stage.connect(stage.private_url, clients)
    lost = not stage.clients.call(Ask(NOTHING_STORED, 0, POUR_SECONDS, each))
    time.sleep(extent.settle_seconds)
    opened = stage.cpu_seconds() - used
    grown = max(0, stage.resident_bytes() - before)
    used = stage.cpu_seconds()
    time.sleep(extent.idle_seconds)
    idle = (stage.cpu_seconds() - used) / extent.idle_seconds
    used = stage.cpu_seconds()
    stage.relays.call(PublishLive(ACTIVE_PER_SECOND, spread=True))
    time.sleep(0.5)
    active = stage.cpu_seconds() - used - idle * 0.5
    arrived = {item for client in stage.finish() for item in client.ids}
    count = clients * each
    return {
        "x": count,
        "idle_percent": idle * 100,
        "open_ms": opened * 1000 / count,
        "bytes_per_relay": grown / count / 3,
        "cpu_us": active * 1e6 / max(1, extent.active_events),
        "lost": len(set(ids) - arrived) + lost,
    }


def _values(stage: Stage, extent: Extent, x: int) -> Point:
    """Measure a REQ whose filter names authors, most of whom publish nothing."""
    stage.use_relays(3)
    used: list[float] = []
    seconds: list[float] = []
    costs: list[float] = []
    lost = 0
    for _ in range(extent.rounds):
        stage.relays.call(Prepare(extent.events, 0))
        texts = stage.relays.call(Texts())
        authors = list({json.loads(text)["pubkey"]: None for text in texts[:50]})
        authors = authors[:x] + [secrets.token_hex(32) for _ in range(x - 50)]
        filter_ = json.dumps({"authors": authors})
        expected = {
            event["id"]
            for event in map(json.loads, texts)
            if event["pubkey"] in set(authors)
        }
        before = stage.cpu_seconds()
        stage.connect(stage.private_url, 1)
        lost += not stage.clients.call(Ask(filter_, len(expected), POUR_SECONDS))
        received = stage.finish()[0]
        used.append((stage.cpu_seconds() - before) * 1e6 / extent.events)
        lost += len(expected ^ set(received.ids))
        stage.relays.call(Prepare(0, 0))
        before = stage.cpu_seconds()
        stage.connect(stage.private_url, 1)
        lost += not stage.clients.call(Ask(filter_, 0, POUR_SECONDS))
        costs.append(stage.cpu_seconds() - before)
        received = stage.finish()[0]
        seconds.append((received.eose_at or 0) - received.asked_at)
    return {
        "x": x,
        "cpu_us": median(used),
        "req_cpu_ms": median(costs) * 1000,
        "eose_ms": median(seconds) * 1000,
        "lost": lost,
    }


def _characters(stage: Stage, extent: Extent, x: int) -> Point:
    stored = max(10, min(extent.events, EVENTS_BYTES // (x + 600)))
    point = _pour(stage, extent, 3, 1, stored, characters=x)
    alone = verification(stage, min(stored, 300), x)
    size = x + (600 if x else 340)
    return {"x": size, **point, "verification_us": alone}


def _waiting(stage: Stage, extent: Extent, x: int) -> Point:
    """Measure the outbox while the only relay refuses everything for now."""
    stage.use_relays(1)
    stage.relays.call(Accept(False))
    stage.connect(stage.private_url, 1)
    lost = 0
    try:
        delays = _publish(stage, x, 400.0)
        lost += sum(delay != delay for delay in delays)
        time.sleep(extent.settle_seconds)
        used = stage.cpu_seconds()
        time.sleep(extent.idle_seconds)
        idle = (stage.cpu_seconds() - used) / extent.idle_seconds
        count = max(1, extent.exchanges // 4)
        used, began = stage.cpu_seconds(), time.monotonic()
        delays = _publish(stage, count, PUBLISH_PER_SECOND)
        spent = time.monotonic() - began
        active = stage.cpu_seconds() - used - idle * spent
        lost += sum(delay != delay for delay in delays)
    finally:
        stage.finish()
        for event in stage.lnbits.api("GET", "/outbox"):
            stage.lnbits.api("DELETE", f"/outbox/{event['event_id']}")
        stage.relays.call(Accept(True))
        stage.use_relays(0)
    return {
        "x": x,
        "idle_percent": idle * 100,
        "cpu_us": max(0.0, active) * 1e6 / count,
        "ok_ms": percentile(delays, 0.5) * 1000,
        "lost": lost,
    }


def _publish(stage: Stage, count: int, per_second: float) -> list[float]:
    stage.relays.call(Prepare(0, count))
    texts = stage.relays.call(Texts())
    command = Publish(texts, per_second, ANSWER_SECONDS)
    delays: list[float] = stage.clients.call(command)
    return delays


def measure_delays(stage: Stage, extent: Extent, relays: int = 3) -> Point:
    """Measure the delays of OK, EOSE and the first event, beside the relays' own."""
    stage.use_relays(relays)
    count, per_slice = extent.exchanges, 20
    stage.relays.call(Prepare(count * per_slice, count))
    texts = stage.relays.call(Texts())[count * per_slice :]
    measured: MeasuredDelays = stage.clients.call(
        Delays(
            stage.private_url,
            stage.relay_urls[:relays],
            texts,
            count,
            per_slice,
            ANSWER_SECONDS,
        )
    )
    result: Point = {"relays": relays, "lost": measured.missing}
    for name in ("ok", "eose", "first_event"):
        for whose in ("", "own_"):
            values = getattr(measured, whose + name)
            result["lost"] += sum(value != value for value in values)
            result[f"{whose}{name}_p50_ms"] = percentile(values, 0.5) * 1000
            result[f"{whose}{name}_p99_ms"] = percentile(values, 0.99) * 1000
    return result


def measure_bytes(stage: Stage, extent: Extent, relays: int = 3) -> Point:
    """Measure the bytes on the relays' links beside the relays' complete answers."""
    stage.use_relays(relays)
    events = extent.events
    ids = stage.relays.call(Prepare(events, 0))
    answer = _bytes_of(stage, stage.relay_urls[0], events)[0]
    sent, received, arrived = _bytes_of(stage, stage.private_url, events)
    return {
        "relays": relays,
        "per_event": (sent + received) / events,
        "answer_per_event": answer / events,
        "to_complete_answers": (sent + received) / (answer * relays),
        "lost": len(set(ids) ^ arrived),
    }


def _bytes_of(stage: Stage, url: str, events: int) -> tuple[int, int, set[str]]:
    before = stage.relays.call(Traffic())
    stage.connect(url, 1)
    stage.clients.call(Ask('{"kinds":[1]}', events, POUR_SECONDS))
    arrived = set(stage.finish()[0].ids)
    after = stage.relays.call(Traffic())
    return after[0] - before[0], after[1] - before[1], arrived
