"""The dashboard and the alert rules ask for nothing but metrics that exist."""

import json
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from dev.paths import CHECKOUT

from .test_metrics import text

DASHBOARD = CHECKOUT / "docs" / "grafana.json"
ALERTS = CHECKOUT / "docs" / "alerts.yml"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


EXPRESSIONS = [
    target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]
] + [rule["expr"] for rule in rules()]

SAMPLES = {line for line in text().splitlines() if not line.startswith("#")}
NAMES = {re.split(r"[{ ]", line)[0] for line in SAMPLES}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_i8_expression_uses_metrics_and_labels_that_exist(expression: str) -> None:
    names = re.findall(r"nostrclient_\w+", expression)
    assert names
    assert set(names) <= NAMES
    samples = "\n".join(line for line in SAMPLES if line.split("{")[0] in names)
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        for label in labels.split(", "):
            assert f'{label}="' in samples, label
    for label, value in re.findall(r'(\w+)(?:!=|=)"([^"]*)"', expression):
        assert f'{label}="{value}"' in samples


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_i8_parentheses_of_an_expression_match(expression: str) -> None:
    for left, right in ("()", "[]", "{}"):
        assert expression.count(left) == expression.count(right)


def test_i8_counters_are_only_used_as_rates() -> None:
    for expression in EXPRESSIONS:
        for name in re.findall(r"nostrclient_\w+_total", expression):
            pattern = rf"(rate|increase)\({name}(\{{[^}}]*\}})?\["
            assert re.search(pattern, expression), expression


def test_i8_panels_do_not_overlap_and_rules_have_a_summary() -> None:
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            assert (x, place["y"]) not in taken, panel["title"]
            taken.add((x, place["y"]))
    for rule in rules():
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")
