"""Bars and lines of the history."""

from typing import Any

from tests.programs import needs_node

from .modules import evaluate

pytestmark = needs_node

NOW = 1_790_000_000
BAR = 1800


def point(at: int, uptime: float) -> dict[str, Any]:
    counts = {"received": 5, "accepted": 1, "refused": 0}
    return {"at": at, "uptime": uptime, "latency_ms": 40.5, **counts}


def test_i4_bars_cover_24_hours_and_leave_out_what_is_unknown() -> None:
    latest = NOW // BAR * BAR
    points = [point(latest, 0.5), point(latest - 2 * BAR, 1), point(NOW - 90_000, 0)]
    script = """
      const {bars, mean} = await load('history')
      const found = bars(points, NOW)
      return [found.map(bar => bar.uptime), found.at(-1).at, found.length,
        mean(found.map(bar => bar.uptime)), mean([null])]"""
    uptimes, last, count, mean, nothing = evaluate(script, points=points, NOW=NOW)
    assert count == 48
    assert last == latest
    assert uptimes == [*[None] * 45, 1, None, 0.5]
    assert mean == 0.75
    assert nothing is None


def test_i4_chart_has_a_line_or_bar_for_each_figure() -> None:
    script = """
      const {chartOptions} = await load('history')
      const {data} = chartOptions(points, {
        text: name => name, color: '#000000', time: at => `${at}`
      })
      return [data.labels, data.datasets.map(({label, data}) => [label, data])]"""
    labels, datasets = evaluate(script, points=[point(1, 0.985), point(2, 1)])
    assert labels == ["1", "2"]
    assert datasets == [
        ["uptime", [98.5, 100]],
        ["latency", [40.5, 40.5]],
        ["received", [5, 5]],
    ]
