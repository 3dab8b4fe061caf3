"""One round of the benchmark: request stored events, publish live ones, judge."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .bench_clients import Ask, Received
from .bench_relays import Prepare, PublishLive
from .bench_stage import Stage

SUBJECT = "nostrclient"
FILTERS = '{"kinds":[1]}'
POUR_SECONDS = 120.0
LIVE_PER_SECOND = 200.0
LIVE_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Round:
    """The results of one round."""

    delivered_per_second: float
    cpu_us: float
    complete: float
    wrong: int
    latencies: list[float]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that a share of the values does not exceed; 0 for no values."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def play(
    stage: Stage,
    subject: str,
    relays: int,
    clients: int,
    stored: int,
    live: int,
    *,
    characters: int | None = None,
) -> Round:
    """Request stored events, publish live ones, and check what arrived."""
    prepare = Prepare(stored, live)
    if characters is not None:
        prepare = prepare._replace(characters=characters)
    ids: list[str] = stage.relays.call(prepare)
    copies = relays if subject == "pipe" else 1
    url = stage.pipe_url(relays) if subject == "pipe" else stage.private_url
    stage.connect(url, clients)
    cpu = stage.cpu_seconds()
    stage.clients.call(Ask(FILTERS, stored * copies, POUR_SECONDS))
    cpu = stage.cpu_seconds() - cpu
    instants: list[float] = []
    if live:
        instants = stage.relays.call(PublishLive(LIVE_PER_SECOND))
        time.sleep(LIVE_SETTLE_SECONDS)
    received = stage.finish()
    sent = dict(zip(ids[stored:], instants, strict=True)) if live else {}
    return judge(received, ids[:stored], sent, copies, cpu)


def judge(
    received: Sequence[Received],
    stored: Sequence[str],
    sent: dict[str, float],
    copies: int,
    cpu: float,
) -> Round:
    """Compare the received events with the sent ones."""
    wanted = set(stored)
    finished = 0.0
    wrong = 0
    delivered = 0
    latencies = []
    for client in received:
        times: dict[str, int] = {}
        for event_id, instant in zip(client.ids, client.instants, strict=True):
            times[event_id] = times.get(event_id, 0) + 1
            if times[event_id] > 1:
                continue
            if event_id in wanted:
                finished = max(finished, instant)
            elif event_id in sent:
                latencies.append(instant - sent[event_id])
        delivered += len(wanted & times.keys())
        expected = wanted | sent.keys()
        wrong += sum(times.get(item, 0) != copies for item in expected)
        wrong += len(times.keys() - expected)
    began = min(client.asked_at for client in received)
    return Round(
        delivered_per_second=delivered / max(finished - began, 1e-9),
        cpu_us=cpu * 1e6 / max(1, delivered),
        complete=min(client.before_eose / len(wanted) for client in received),
        wrong=wrong,
        latencies=latencies,
    )
