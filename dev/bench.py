"""`make bench`: the speed of nostrclient, compared with what the machine can do.

Every round uses events never seen before. Each figure is the median of the rounds.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from . import bench_scale
from .bench_clients import Ask
from .bench_curves import SHORT, Extent, measure_bytes, measure_curves, measure_delays
from .bench_curves import verification as verify_alone
from .bench_ratios import broken, compare_ratios, ratios
from .bench_relays import Prepare
from .bench_rounds import FILTERS, POUR_SECONDS, SUBJECT, percentile, play
from .bench_stage import Stage, machine
from .bench_start import measure_start
from .paths import CHECKOUT

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
    extent: Extent | None = None


SHORT_PLAN = Plan(
    relays=(1, 3),
    clients=(1,),
    events=200,
    live=40,
    host_events=200,
    rounds=1,
    pipe=True,
    extent=SHORT,
)


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
    count = min(plan.events, 2000)
    return median(verify_alone(stage, count) for _ in range(plan.rounds))


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
    if plan.extent is not None:
        result["delays"] = measure_delays(stage, plan.extent)
        result["bytes"] = measure_bytes(stage, plan.extent)
        for name in ("delays", "bytes"):
            figures = (f"{key} {value:.6g}" for key, value in result[name].items())
            print(f"{name}: " + ", ".join(figures), flush=True)
        result["curves"] = measure_curves(stage, plan.extent)
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
    earlier = {_key(case): case for case in (base or {}).get("cases", ())}
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
    parser.add_argument("--curves", action="store_true", help="delays and curves, too")
    parser.add_argument(
        "--short", action="store_true", help="everything in seconds; fails on nonsense"
    )
    parser.add_argument("--extension", type=Path, default=CHECKOUT)
    parser.add_argument("--out", type=Path, help="where to write the result as JSON")
    parser.add_argument("--base", type=Path, help="an earlier result to compare with")
    arguments = parser.parse_args()
    base = json.loads(arguments.base.read_text()) if arguments.base else None
    values: dict[str, Any] = vars(arguments) | {
        "pipe": not arguments.no_pipe,
        "extent": Extent() if arguments.curves else None,
    }
    plan = Plan(**{item.name: values[item.name] for item in fields(Plan)})
    if arguments.short:
        plan = SHORT_PLAN
    relays = max(*plan.relays, *(plan.extent.relays if plan.extent else ()), 1)
    if arguments.scale:
        relays = bench_scale.RELAYS
    result: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="nostrclient-bench-") as folder:
        with Stage(Path(folder) / "stage", arguments.extension, relays) as stage:
            result |= bench_scale.run(stage) if arguments.scale else run(stage, plan)
        if plan.extent is not None and plan.extent.starts and not arguments.scale:
            result["start"] = measure_start(
                Path(folder),
                arguments.extension,
                plan.extent.starts,
                plan.extent.settle_seconds,
            )
    wrong: list[str] = []
    if not arguments.scale:
        compare(result, base)
        result["ratios"] = ratios(result)
        compare_ratios(result, base)
        wrong = broken(result)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for text in wrong:
        print(f"Broken: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
