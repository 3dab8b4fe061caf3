"""I8: what Prometheus itself says of the alert rules, the dashboard and the metrics."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from .test_dashboard import ALERTS, dashboard, rules
from .test_metrics import text

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool: install prometheus"
)

# Where the alert is to fire: the series, and when it is looked at.
FIRING: dict[str, tuple[dict[str, str], str]] = {
    "NostrclientCannotPublish": ({"nostrclient_can_publish": "0x400"}, "6m"),
    "NostrclientCannotReceive": ({"nostrclient_can_receive": "0x400"}, "6m"),
    "NostrclientGone": ({"nostrclient_can_receive": "1x400"}, "6m"),
    "NostrclientOutboxWaits": (
        {
            "nostrclient_outbox_waiting_events": "1x400",
            "nostrclient_outbox_oldest_timestamp_seconds": "0x400",
        },
        "40m",
    ),
    "NostrclientUndeliverable": (
        {"nostrclient_outbox_undeliverable_events_total": "0x10 1x100"},
        "30m",
    ),
    "NostrclientRelayDown": (
        {
            'nostrclient_relay_active{relay="ws://a"}': "1x400",
            'nostrclient_relay_connected{relay="ws://a"}': "0x400",
        },
        "61m",
    ),
    "NostrclientRelayRefuses": (
        {
            (
                'nostrclient_relay_answered_events_total{relay="ws://a",'
                'result="blocked"}'
            ): "0+10x400",
            (
                'nostrclient_relay_answered_events_total{relay="ws://a",'
                'result="accepted"}'
            ): "0x400",
        },
        "60m",
    ),
    "NostrclientDiscoveryIsSlow": (
        {
            'nostrclient_event_discovery_seconds_bucket{le="60.0"}': "0+1x400",
            'nostrclient_event_discovery_seconds_bucket{le="300.0"}': "0+9x400",
            'nostrclient_event_discovery_seconds_bucket{le="+Inf"}': "0+9x400",
        },
        "70m",
    ),
}


def promtool(*arguments: object, text: str = "") -> str:
    """Run promtool; what it finds wrong is the failure's text."""
    run = subprocess.run(
        [str(PROMTOOL), *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = run.stdout + run.stderr
    assert run.returncode == 0, printed
    return printed


def test_i8_promtool_accepts_the_alert_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", ALERTS)


def test_i8_promtool_finds_nothing_to_complain_about_in_the_metrics() -> None:
    assert promtool("check", "metrics", text=text()) == ""


def test_i8_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    queries = [item["expr"] for it in dashboard()["panels"] for item in it["targets"]]
    queries = [query.replace("$__rate_interval", "5m") for query in queries]
    recorded = [
        {"record": f"dashboard:query_{number}", "expr": query}
        for number, query in enumerate(queries)
    ]
    assert recorded
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", path)


@pytest.mark.parametrize("name", [rule["alert"] for rule in rules()])
def test_i8_alert_fires_when_it_should_and_not_before(
    name: str, tmp_path: Path
) -> None:
    """Prometheus' own engine runs the rule over series that are to make it fire."""
    series, at = FIRING[name]
    (rule,) = (rule for rule in rules() if rule["alert"] == name)
    labels = dict(rule["labels"])
    has_relay = any('relay="ws://a"' in item for item in series)
    labels |= {"relay": "ws://a"} if has_relay else {}
    summary = rule["annotations"]["summary"].replace("{{ $labels.relay }}", "ws://a")
    fired = {"exp_labels": labels, "exp_annotations": {"summary": summary}}
    check: dict[str, Any] = {"alertname": name, "eval_time": at, "exp_alerts": [fired]}
    early: dict[str, Any] = {"alertname": name, "eval_time": "0s", "exp_alerts": []}
    tests = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": item, "values": values}
                    for item, values in series.items()
                ],
                "alert_rule_test": [early, check],
            }
        ],
    }
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump(tests))
    promtool("test", "rules", path)


def test_i8_promtool_reads_the_recipe_for_scraping(tmp_path: Path) -> None:
    guide = (ALERTS.parent / "monitoring.md").read_text()
    recipe = guide.partition("```yaml\n")[2].partition("```")[0]
    token = tmp_path / "token"
    token.write_text("token")
    path = tmp_path / "prometheus.yml"
    path.write_text(recipe.replace("/etc/prometheus/lnbits-token", str(token)))
    assert "SUCCESS" in promtool("check", "config", path)
