"""The benchmark works; how fast anything is, is not judged here."""

from array import array
from collections.abc import Iterator

import pytest

from dev import bench, bench_scale
from dev.bench_clients import Received
from dev.bench_stage import Stage
from dev.paths import CHECKOUT


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("bench"), CHECKOUT, relay_count=2) as opened:
        yield opened


def test_the_benchmark_measures_every_case_and_compares(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = bench.Plan(
        relays=(1, 2),
        clients=(1, 2),
        events=200,
        live=20,
        host_events=400,
        rounds=1,
        pipe=True,
    )

    result = bench.run(stage, plan)

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
    assert bench.percentile([], 0.5) == 0
    assert bench.percentile([3, 1, 2], 0.5) == 2
    assert bench.percentile(range(100), 0.99) == 99
    received = Received(
        ids=["a", "b", "b", "live"],
        instants=array("d", [11.0, 12.0, 12.5, 20.25]),
        asked_at=10.0,
        eose_at=13.0,
        before_eose=2,
        others=[],
    )

    seen = bench.judge([received], ["a", "b"], {"live": 20.0}, 1, cpu=0.002)

    assert seen.delivered_per_second == 1
    assert seen.cpu_us == 1000
    assert seen.complete == 1
    assert seen.wrong == 1  # b came twice
    assert seen.latencies == [0.25]
