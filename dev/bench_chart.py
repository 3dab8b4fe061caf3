"""Draws the benchmark's curves as SVG: `python -m dev.bench_chart RESULT FOLDER`."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 48, 44
COLOURS = ("#1f77b4", "#e07b00", "#2ca02c", "#9467bd")
GREY = "#808080"
SVG = "http://www.w3.org/2000/svg"
MIN_VALUE = 1e-3  # a logarithmic axis has no zero


class Chart(NamedTuple):
    """One chart: a curve of the result, and what of its points is drawn."""

    curve: str
    title: str
    x: str
    series: dict[str, str]


CHARTS = {
    "relays": Chart(
        "relays",
        "Processor time per event, one client",
        "relays",
        {
            "cpu_us": "nostrclient, us",
            "pipe_cpu_us": "bare pipe, us",
            "verification_us": "verification alone, us",
        },
    ),
    "clients": Chart(
        "clients",
        "Processor time per delivered event, three relays",
        "clients",
        {"cpu_us": "nostrclient, us", "pipe_cpu_us": "bare pipe, us"},
    ),
    "subscriptions": Chart(
        "subscriptions",
        "Subscriptions on three relays",
        "subscriptions",
        {
            "idle_percent": "idle, % of a core",
            "open_ms": "opening one, ms",
            "cpu_us": "an event for one of them, us",
        },
    ),
    "values": Chart(
        "values",
        "A filter with many values, three relays",
        "values",
        {"req_cpu_ms": "the REQ, ms of CPU", "cpu_us": "an event, us of CPU"},
    ),
    "sizes": Chart(
        "characters",
        "Processor time per event, three relays",
        "bytes of an event",
        {
            "cpu_us": "nostrclient, us",
            "pipe_cpu_us": "bare pipe, us",
            "verification_us": "verification alone, us",
        },
    ),
    "outbox": Chart(
        "waiting",
        "The outbox of a relay that refuses for now",
        "waiting events",
        {"idle_percent": "idle, % of a core", "cpu_us": "publishing one, us"},
    ),
}


class Axis:
    """A logarithmic axis from one pixel to another."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(values))))
        self._first, self._last = first, last

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self._first + share * (self._last - self._first)

    @property
    def ticks(self) -> list[float]:
        """The powers of ten on it."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def draw(chart: Chart, points: Sequence[dict[str, float]]) -> str:
    """Return the chart as SVG; both axes are logarithmic."""
    lines = {
        label: [
            (max(point["x"], 1.0), max(point[key], MIN_VALUE))
            for point in points
            if key in point
        ]
        for key, label in chart.series.items()
    }
    every = [pair for line in lines.values() for pair in line]
    across = Axis([pair[0] for pair in every], LEFT, WIDTH - RIGHT)
    up = Axis([pair[1] for pair in every], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="{SVG}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 18, chart.title, anchor="start", colour="#000000", size=14),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x),
    ]
    for tick in across.ticks:
        x = across.at(tick)
        parts.append(_line(x, TOP, x, HEIGHT - BOTTOM))
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{tick:,g}"))
    for tick in up.ticks:
        y = up.at(tick)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y))
        parts.append(_text(LEFT - 6, y + 4, f"{tick:,g}", anchor="end"))
    for number, (label, line) in enumerate(lines.items()):
        colour = COLOURS[number]
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3" '
            f'fill="{colour}"/>'
            for x, y in line
        ]
        parts.append(
            _text(LEFT + number * 190, 36, label, anchor="start", colour=colour)
        )
    return "\n".join([*parts, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="#e0e0e0"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "middle",
    colour: str = GREY,
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size}">{text}</text>'
    )


def main(result: str, folder: str) -> None:
    """Draw all charts of a result into a folder."""
    curves = json.loads(Path(result).read_text())["curves"]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, chart in CHARTS.items():
        Path(folder, f"{name}.svg").write_text(draw(chart, curves[chart.curve]))


if __name__ == "__main__":
    main(*sys.argv[1:])
