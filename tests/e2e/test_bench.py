"""The benchmark works; how fast anything is, is not judged here."""

import copy
import math
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from dev import (
    bench,
    bench_chart,
    bench_curves,
    bench_ratios,
    bench_rounds,
    bench_scale,
)
from dev.bench_clients import Received
from dev.bench_stage import Stage
from dev.paths import CHECKOUT


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("bench"), CHECKOUT, relay_count=3) as opened:
        yield opened


def test_the_benchmark_measures_every_case_and_compares(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    extent = replace(bench_curves.SHORT, relays=(1, 2))
    plan = replace(bench.SHORT_PLAN, relays=(1, 2), clients=(1, 2), extent=extent)

    result = bench.run(stage, plan)

    assert bench_ratios.broken(result) == []
    for name in bench_ratios.CURVES:
        points = result["curves"][name]
        assert [point["lost"] for point in points] == [0] * len(points)
    assert result["delays"]["own_ok_p50_ms"] > 0
    assert result["delays"]["first_event_p50_ms"] > 0
    assert result["delays"]["first_event_p50_ms"] <= result["delays"]["eose_p50_ms"]
    assert 0.9 < result["bytes"]["to_complete_answers"] < 2
    for chart in bench_chart.CHARTS.values():
        drawn = ElementTree.fromstring(  # noqa: S314  # we have just written it
            bench_chart.draw(chart, result["curves"][chart.curve])
        )
        lines = drawn.findall("{*}polyline")
        assert len(lines) == len(chart.series)
    assert_broken_results_are_noticed(result)
    cases = result["cases"]
    assert [(case["subject"], case["relays"], case["clients"]) for case in cases] == [
        (subject, relays, clients)
        for clients in (1, 2)
        for relays in (1, 2)
        for subject in ("pipe", "nostrclient")
    ]
    for case in cases:
        assert case["wrong"] == 0, case
        assert case["delivered_per_second"] > 0
        assert case["cpu_us"] > 1, case
        assert 0 < case["live_p50_ms"] <= case["live_p99_ms"] <= case["live_max_ms"]
        assert case["rss_after_mib"] > 0
        if case["subject"] == "nostrclient":
            assert case["complete"] == 1, case
    assert result["verification_cpu_us"] > 0
    assert 0 < result["host"]["p50_ms"] <= result["host"]["max_ms"]

    bench.compare(result, result)
    assert "to the earlier run 1.00; 1.00" in capsys.readouterr().out
    result["ratios"] = bench_ratios.ratios(result)
    assert "bytes to complete answers" in result["ratios"]
    bench_ratios.compare_ratios(result, {"ratios": {"bytes to complete answers": 9}})
    assert "(9.00)" in capsys.readouterr().out


def assert_broken_results_are_noticed(result: dict[str, Any]) -> None:
    changed = copy.deepcopy(result)
    changed["delays"]["ok_p50_ms"] = math.nan
    assert bench_ratios.broken(changed) == ["result.delays.ok_p50_ms is nan"]
    changed = copy.deepcopy(result)
    del changed["curves"]["relays"]
    del changed["bytes"]
    assert bench_ratios.broken(changed) == [
        "bytes is missing",
        "the curve relays is missing",
    ]
    changed = copy.deepcopy(result)
    changed["curves"]["values"][0]["lost"] = 3
    changed["cases"][1]["wrong"] = 2
    assert len(bench_ratios.broken(changed)) == 2


def test_the_scale_check_measures_idling_and_growth(stage: Stage) -> None:
    idle = bench_scale.idle(
        stage, relays=2, clients=10, settle=5, seconds=0.5, refresh=0
    )
    assert idle["subscriptions"] == 100
    assert len(idle["client_cpu_ms"]) == bench_scale.STEPS
    assert idle["resident_after_mib"] > 0

    flood = bench_scale.flood(stage, events=400, step=200)
    assert flood["delivered"] == flood["events"] == 400


def test_figures_of_a_round_are_read_off_what_arrived() -> None:
    assert bench_rounds.percentile([], 0.5) == 0
    assert bench_rounds.percentile([3, 1, 2], 0.5) == 2
    assert bench_rounds.percentile(range(100), 0.99) == 99
    received = Received(
        ids=["a", "b", "b", "live"],
        instants=array("d", [11.0, 12.0, 12.5, 20.25]),
        asked_at=10.0,
        eose_at=13.0,
        before_eose=2,
        others=[],
    )

    seen = bench_rounds.judge([received], ["a", "b"], {"live": 20.0}, 1, cpu=0.002)

    assert seen.delivered_per_second == 1
    assert seen.cpu_us == 1000
    assert seen.complete == 1
    assert seen.wrong == 1  # b came twice
    assert seen.latencies == [0.25]
