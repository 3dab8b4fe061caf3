"""`make bench`: the speed of nostrclient, compared with what the machine can do.

Every round uses events never seen before. Each figure is the median of the rounds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from . import bench_scale
from .bench_clients import Ask, Received
from .bench_relays import Prepare, PublishLive, Texts
from .bench_stage import Stage, machine
from .paths import CHECKOUT

SUBJECT = "nostrclient"
FILTERS = '{"kinds":[1]}'
POUR_SECONDS = 120.0
LIVE_PER_SECOND = 200.0
LIVE_SETTLE_SECONDS = 0.5
MANY_CLIENTS_SHARE = 5  # 20 clients get a fifth of the events each
MIB = 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """The cases to measure."""

    relays: tuple[int, ...]
    clients: tuple[int, ...]
    events: int
    live: int
    host_events: int
    rounds: int
    pipe: bool


@dataclass(frozen=True)
class Case:
    """One line of the table: medians of all rounds, and the maximum for `live_max_ms`.

    `delivered_per_second` counts each event once per client, even if the bare pipe
    delivers a copy per relay. `complete` is the lowest share of the stored events that
    arrived before EOSE. `wrong` counts duplicate, missing and unrequested events.
    """

    subject: str
    relays: int
    clients: int
    events: int
    delivered_per_second: float
    cpu_us: float
    complete: float
    wrong: int
    live_p50_ms: float
    live_p99_ms: float
    live_max_ms: float
    rss_before_mib: float
    rss_after_mib: float


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


def measure(stage: Stage, plan: Plan, subject: str, relays: int, clients: int) -> Case:
    """Measure one case."""
    stage.use_relays(relays if subject != "pipe" else 0)
    stored = plan.events if clients == 1 else max(1, plan.events // MANY_CLIENTS_SHARE)
    before = stage.resident_bytes()
    rounds = [
        play(stage, subject, relays, clients, stored, plan.live)
        for _ in range(plan.rounds)
    ]
    return Case(
        subject=subject,
        relays=relays,
        clients=clients,
        events=stored,
        delivered_per_second=median(item.delivered_per_second for item in rounds),
        cpu_us=median(item.cpu_us for item in rounds),
        complete=min(item.complete for item in rounds),
        wrong=sum(item.wrong for item in rounds),
        live_p50_ms=median(percentile(item.latencies, 0.5) for item in rounds) * 1000,
        live_p99_ms=median(percentile(item.latencies, 0.99) for item in rounds) * 1000,
        live_max_ms=max(max(item.latencies, default=0.0) for item in rounds) * 1000,
        rss_before_mib=before / MIB,
        rss_after_mib=stage.resident_bytes() / MIB,
    )


def play(
    stage: Stage, subject: str, relays: int, clients: int, stored: int, live: int
) -> Round:
    """Request stored events, publish live ones, and check what arrived."""
    ids: list[str] = stage.relays.call(Prepare(stored, live))
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


def measure_host(stage: Stage, plan: Plan, relays: int) -> dict[str, float]:
    """Measure LNbits' health page while stored events arrive."""
    stage.use_relays(relays)
    rounds: list[list[float]] = []
    for _ in range(plan.rounds):
        stage.relays.call(Prepare(plan.host_events, 0))
        stage.connect(stage.private_url, 1)
        with stage.host_latency() as seconds:
            stage.clients.call(Ask(FILTERS, plan.host_events, POUR_SECONDS))
        stage.finish()
        rounds.append(seconds)
    with stage.host_latency() as idle:
        time.sleep(1)
    return {
        "relays": relays,
        "events": plan.host_events,
        "p50_ms": median(percentile(item, 0.5) for item in rounds) * 1000,
        "p99_ms": median(percentile(item, 0.99) for item in rounds) * 1000,
        "max_ms": max(max(item) for item in rounds) * 1000,
        "idle_p50_ms": percentile(idle, 0.5) * 1000,
        "idle_p99_ms": percentile(idle, 0.99) * 1000,
    }


def measure_verification(stage: Stage, plan: Plan) -> float:
    """Return the microseconds to check one event in an otherwise idle LNbits."""
    rounds: list[float] = []
    count = min(plan.events, 2000)
    for _ in range(plan.rounds):
        stage.relays.call(Prepare(count, 0))
        texts = stage.relays.call(Texts())
        answer = stage.lnbits.http.post("/bench_pipe/api/v1/verify", json=texts)
        answer.raise_for_status()
        rounds.append(answer.json() * 1e6 / count)
    return median(rounds)


def run(stage: Stage, plan: Plan) -> dict[str, Any]:
    """Measure all cases and print each line of the table when it is complete."""
    result: dict[str, Any] = {"rounds": plan.rounds}
    stage.use_relays(1)
    play(stage, SUBJECT, 1, 1, min(plan.events, 500), 0)  # warm up
    cases: list[Case] = []
    print(_HEAD, flush=True)
    for clients in plan.clients:
        for relays in plan.relays:
            for subject in ("pipe", SUBJECT) if plan.pipe else (SUBJECT,):
                case = measure(stage, plan, subject, relays, clients)
                print(_line(case), flush=True)
                cases.append(case)
    result["cases"] = [asdict(case) for case in cases]
    if plan.pipe:
        alone = result["verification_cpu_us"] = measure_verification(stage, plan)
        print(f"\nVerification alone: {alone:.1f} us an event.")
    if plan.host_events:
        relays = sorted(plan.relays)[len(plan.relays) // 2]
        host = result["host"] = measure_host(stage, plan, relays)
        print(
            "Health page while {events} events pour from {relays} relays: "
            "p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, max {max_ms:.1f} ms "
            "(idle: {idle_p50_ms:.1f} ms, {idle_p99_ms:.1f} ms).".format(**host)
        )
    return result


_HEAD = (
    "subject      relays clients  events  delivered/s  CPU us  complete wrong"
    "   live p50    p99    max ms    RSS MiB"
)


def _line(case: Case) -> str:
    return (
        f"{case.subject:12} {case.relays:6} {case.clients:7} {case.events:7}"
        f" {case.delivered_per_second:12,.0f} {case.cpu_us:7.1f}"
        f" {case.complete:8.1%} {case.wrong:5}"
        f"   {case.live_p50_ms:8.2f} {case.live_p99_ms:6.2f} {case.live_max_ms:9.2f}"
        f"  {case.rss_before_mib:4.0f} {case.rss_after_mib:4.0f}"
    )


def compare(result: dict[str, Any], base: dict[str, Any] | None) -> None:
    """Print nostrclient's figures as ratios to the yardsticks and to an earlier run."""
    cases = {_key(case): case for case in result["cases"]}
    earlier = {_key(case): case for case in base["cases"]} if base else {}
    alone = result.get("verification_cpu_us")
    print("\nRatios (delivered/s; CPU per event)")
    for key, case in cases.items():
        subject, relays, clients = key
        if subject != SUBJECT:
            continue
        parts = [f"{relays:2} relays, {clients:2} clients:"]
        pipe = cases.get(("pipe", relays, clients))
        if pipe is not None:
            parts.append("to the bare pipe " + _ratio(case, pipe))
        if alone:
            parts.append(f"to verification alone -; {case['cpu_us'] / alone:.2f}")
        if key in earlier:
            parts.append("to the earlier run " + _ratio(case, earlier[key]))
        print("  ".join(parts))


def _key(case: dict[str, Any]) -> tuple[str, int, int]:
    return case["subject"], case["relays"], case["clients"]


def _ratio(case: dict[str, Any], other: dict[str, Any]) -> str:
    rate = case["delivered_per_second"] / other["delivered_per_second"]
    return f"{rate:.2f}; {case['cpu_us'] / max(other['cpu_us'], 1e-9):.2f}"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> int:
    """Measure, print, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relays", type=_numbers, default=(1, 3, 10))
    parser.add_argument("--clients", type=_numbers, default=(1, 20))
    parser.add_argument("--events", type=int, default=5000, help="stored, per round")
    parser.add_argument("--live", type=int, default=400, help="live, per round")
    parser.add_argument("--host-events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-pipe", action="store_true", help="leave yardsticks out")
    parser.add_argument(
        "--scale", action="store_true", help="50 relays, a million events"
    )
    parser.add_argument("--extension", type=Path, default=CHECKOUT)
    parser.add_argument("--out", type=Path, help="where to write the result as JSON")
    parser.add_argument("--base", type=Path, help="an earlier result to compare with")
    arguments = parser.parse_args()
    base = json.loads(arguments.base.read_text()) if arguments.base else None
    values: dict[str, Any] = vars(arguments) | {"pipe": not arguments.no_pipe}
    plan = Plan(**{item.name: values[item.name] for item in fields(Plan)})
    relays = bench_scale.RELAYS if arguments.scale else max(plan.relays)
    result: dict[str, Any] = {"machine": machine()}
    with (
        tempfile.TemporaryDirectory(prefix="nostrclient-bench-") as folder,
        Stage(Path(folder), arguments.extension, relays) as stage,
    ):
        result |= bench_scale.run(stage) if arguments.scale else run(stage, plan)
    if not arguments.scale:
        compare(result, base)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
