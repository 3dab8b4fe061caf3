"""Ratios of the benchmark: to the yardsticks of the run, and to an earlier run's.

Ratios hardly depend on the machine, so they can be stored and compared. What is
broken, such as a missing figure or a lost event, does not depend on it at all.
"""

import math
from typing import Any

SUBJECT = "nostrclient"
Point = dict[str, float]
MUST_BE_THERE = ("cases", "verification_cpu_us", "host", "delays", "bytes", "curves")
CURVES = ("relays", "clients", "subscriptions", "values", "characters", "waiting")


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Return the ratios that can be computed from a result."""
    found: dict[str, float] = {}
    alone = result.get("verification_cpu_us")
    cases = {
        (case["subject"], case["relays"], case["clients"]): case
        for case in result.get("cases", ())
    }
    for (subject, relays, clients), case in cases.items():
        pipe = cases.get(("pipe", relays, clients))
        if subject != SUBJECT or pipe is None:
            continue
        where = f"{relays} relays, {clients} clients"
        found[f"cpu to pipe, {where}"] = _share(case["cpu_us"], pipe["cpu_us"])
        if alone and clients == 1:
            both = alone + pipe["cpu_us"]
            found[f"cpu to verification + pipe, {where}"] = _share(case["cpu_us"], both)
    for point in result.get("curves", {}).get("relays", ()):
        both = point["verification_us"] + point["pipe_cpu_us"]
        name = f"curve: cpu to verification + pipe, {point['x']:.0f} relays"
        found[name] = _share(point["cpu_us"], both)
    for point in result.get("curves", {}).get("characters", ()):
        both = point["verification_us"] + point["pipe_cpu_us"]
        name = f"curve: cpu to verification + pipe, {point['x']:.0f} bytes"
        found[name] = _share(point["cpu_us"], both)
    delays = result.get("delays")
    if delays:
        for name in ("ok", "eose", "first_event"):
            for share in ("p50", "p99"):
                own = delays[f"own_{name}_{share}_ms"]
                found[f"{name} {share} to the relay's own"] = _share(
                    delays[f"{name}_{share}_ms"], own
                )
    if "bytes" in result:
        found["bytes to complete answers"] = result["bytes"]["to_complete_answers"]
    start = result.get("start")
    if start:
        for name in ("seconds", "mib"):
            found[f"start, {name}"] = _share(
                start[f"{name}_with"], start[f"{name}_without"]
            )
    return found


def _share(value: float, other: float) -> float:
    return value / max(other, 1e-9)


def compare_ratios(result: dict[str, Any], base: dict[str, Any] | None) -> None:
    """Print the ratios, beside those of an earlier run."""
    earlier = (base or {}).get("ratios", {})
    if not result["ratios"]:
        return
    print("\nRatios within this run" + (" (in the earlier run)" if earlier else ""))
    for name, value in result["ratios"].items():
        was = f"  ({earlier[name]:.2f})" if name in earlier else ""
        print(f"{name}: {value:.2f}{was}")


def broken(result: dict[str, Any]) -> list[str]:
    """Return what is wrong with a result whatever the machine: lost events, no number.

    A result without curves must only hold what it holds.
    """
    found = [f"{where} is {value}" for where, value in _not_numbers(result, "result")]
    for case in result.get("cases", ()):
        where = f"{case['subject']}, {case['relays']} relays, {case['clients']} clients"
        if case["subject"] != SUBJECT:
            continue  # a bare pipe may be late when the machine is busy
        if case["wrong"]:
            found.append(f"{where}: {case['wrong']} events are wrong")
        if case["complete"] < 1:
            found.append(f"{where}: EOSE came before {1 - case['complete']:.1%}")
    if "curves" not in result:
        return found
    found += [f"{name} is missing" for name in MUST_BE_THERE if name not in result]
    points = [(name, result.get(name, {})) for name in ("delays", "bytes")]
    for name in CURVES:
        curve = result["curves"].get(name, [])
        if not curve:
            found.append(f"the curve {name} is missing")
        points += [(f"{name} {point['x']:.0f}", point) for point in curve]
    for where, point in points:
        if point.get("lost"):
            found.append(f"{where}: {point['lost']:.0f} events or answers are lost")
    return found


def _not_numbers(value: object, where: str) -> list[tuple[str, object]]:
    """Return each leaf that is None, NaN, infinite or negative."""
    if isinstance(value, dict):
        parts = [_not_numbers(item, f"{where}.{key}") for key, item in value.items()]
        return [leaf for part in parts for leaf in part]
    if isinstance(value, list):
        parts = [_not_numbers(item, f"{where}.{at}") for at, item in enumerate(value)]
        return [leaf for part in parts for leaf in part]
    if isinstance(value, int | float):
        return [] if math.isfinite(value) and value >= 0 else [(where, value)]
    return [(where, value)] if value is None else []
