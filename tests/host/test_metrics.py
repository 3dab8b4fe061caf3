"""The numbers as Prometheus reads them: its own parser finds what went in."""

from prometheus_client.parser import text_string_to_metric_families

from nostrclient import services
from nostrclient.metrics import Measured, exposition
from nostrclient.models import Relay, RelayStatus, Status, WantedKey
from nostrclient.nostr import relay as nostr_relay
from nostrclient.nostr.figures import Figures, Recovery
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.router import Traffic
from nostrclient.services import Endpoint

HOSTILE = 'wss://relay.example/"} 1\\\nnostrclient_relays 99\n# \\"x\\n{'
STATUS = Status(
    relays=2,
    relays_connected=1,
    clients=4,
    subscriptions=5,
    outbox_waiting=6,
    outbox_undeliverable=7,
    outbox_oldest_at=8,
    can_publish=True,
    can_receive=False,
    named_relays=9,
    named_relays_connected=10,
    named_events=11,
)
RELAYS = [
    Relay(
        url=HOSTILE,
        active=True,
        connected=True,
        status=RelayStatus(
            num_sent_events=12_345_678_901,
            num_received_events=22,
            error_counter=23,
            num_duplicate_events=24,
            num_invalid_messages=25,
            num_unasked_events=26,
            num_owed_events=27,
            num_dropped_events=28,
            num_subscriptions=29,
            num_accepted_events=31,
            refused_events={"blocked": 32},
            num_finished_requests=33,
            closed_requests={"auth-required": 34, "other": 35},
            num_unanswered_requests=36,
            num_unanswered_events=37,
            connected_seconds=38,
            auth="accepted",
            wanted_keys=[
                WantedKey(npub="npub", pubkey=str(number), held=number > 0)
                for number in range(3)
            ],
            connections=30,
            round_trips_ms=[80.0, 31.25],
        ),
    ),
    Relay(
        url="ws://down.example",
        active=False,
        connected=False,
        status=RelayStatus(round_trips_ms=[1.0]),
    ),
    Relay(url="not used", active=True),
]
ENDPOINTS = [
    Endpoint("public", 3, 41, Traffic(42, 43, 44, 45), {"too many connections": 46}),
    Endpoint("private", 1, 0, Traffic(1, 2, 3, 0), {}),
]


def measured() -> Measured:
    figures = Figures()
    for seconds in (0.2, 0.7, 5000):
        figures.discovery.observe(seconds)
    figures.recovered[Recovery.PAGE] = 9
    return Measured(STATUS, RELAYS, ENDPOINTS, figures, '1.2.3"', 1_790_000_000)


def text() -> str:
    return exposition(measured())


def parsed() -> dict[str, dict[str, float]]:
    """Give all samples by name and label, as Prometheus' own library reads them."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text()):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            is_counter = sample.name.endswith("_total")
            if family.type != "histogram":
                kind = "counter" if is_counter else "gauge"
                assert family.type == kind, sample.name
            label = " ".join(sample.labels.values())
            numbers = found.setdefault(sample.name.removeprefix("nostrclient_"), {})
            assert label not in numbers, f"{sample.name} {label} comes twice"
            numbers[label] = sample.value
    return found


def test_everything_is_there_under_its_name() -> None:
    down = "ws://down.example"
    found = parsed()
    for name in ("event_discovery", "event_processing", "ok", "eose"):
        for suffix in ("bucket", "sum", "count"):
            assert found.pop(f"{name}_seconds_{suffix}")
    assert found == {
        "build_info": {'1.2.3"': 1},
        "start_time_seconds": {"": 1_790_000_000},
        "can_publish": {"": 1},
        "can_receive": {"": 0},
        "outbox_oldest_timestamp_seconds": {"": 8},
        "events_recovered_total": {
            "reconnect": 0,
            "refresh": 0,
            "page": 9,
            "reconciliation": 0,
        },
        "relay_answered_events_total": {
            f"{HOSTILE} accepted": 31,
            f"{HOSTILE} blocked": 32,
            f"{down} accepted": 0,
        },
        "relay_requests_total": {
            f"{HOSTILE} eose": 33,
            f"{HOSTILE} closed": 69,
            f"{HOSTILE} timeout": 36,
            f"{down} eose": 0,
            f"{down} closed": 0,
            f"{down} timeout": 0,
        },
        "relay_closed_requests_total": {
            f"{HOSTILE} auth-required": 34,
            f"{HOSTILE} other": 35,
        },
        "relay_withheld_keys": {
            f"{HOSTILE} true": 2,
            f"{HOSTILE} false": 1,
            f"{down} true": 0,
            f"{down} false": 0,
        },
        "relay_unanswered_events": {HOSTILE: 37, down: 0},
        "relay_connected_seconds_total": {HOSTILE: 38, down: 0},
        "relay_authenticated": {HOSTILE: 1, down: 0},
        "endpoint_refused_connections_total": {"public too many connections": 46},
        "relays": {"": 2},
        "relays_connected": {"": 1},
        "subscriptions": {"": 5},
        "outbox_waiting_events": {"": 6},
        "outbox_undeliverable_events_total": {"": 7},
        "named_relays": {"": 9},
        "named_relays_connected": {"": 10},
        "named_relays_pending_events": {"": 11},
        "relay_active": {HOSTILE: 1, down: 0},
        "relay_connected": {HOSTILE: 1, down: 0},
        "relay_round_trip_seconds": {HOSTILE: 0.03125},
        "relay_connections_total": {HOSTILE: 30, down: 0},
        "relay_sent_events_total": {HOSTILE: 12_345_678_901, down: 0},
        "relay_received_events_total": {HOSTILE: 22, down: 0},
        "relay_errors_total": {HOSTILE: 23, down: 0},
        "relay_duplicate_events_total": {HOSTILE: 24, down: 0},
        "relay_invalid_messages_total": {HOSTILE: 25, down: 0},
        "relay_unasked_events_total": {HOSTILE: 26, down: 0},
        "relay_owed_events": {HOSTILE: 27, down: 0},
        "relay_dropped_events_total": {HOSTILE: 28, down: 0},
        "relay_subscriptions": {HOSTILE: 29, down: 0},
        "endpoint_clients": {"public": 3, "private": 1},
        "endpoint_waiting_bytes": {"public": 41, "private": 0},
        "endpoint_connections_total": {"public": 42, "private": 1},
        "endpoint_received_messages_total": {"public": 43, "private": 2},
        "endpoint_sent_messages_total": {"public": 44, "private": 3},
        "endpoint_refused_messages_total": {"public": 45, "private": 0},
    }


def test_i3_histograms_count_what_is_within_each_bound() -> None:
    found = parsed()
    buckets = found["event_discovery_seconds_bucket"]
    assert buckets["0.1"] == 0
    assert buckets["0.25"] == 1
    assert buckets["1"] == 2
    assert buckets["3600"] == 2
    assert buckets["+Inf"] == found["event_discovery_seconds_count"][""] == 3
    assert found["event_discovery_seconds_sum"][""] == 5000.9


def test_a_relay_s_url_cannot_end_its_label() -> None:
    lines = [line for line in text().splitlines() if "relay.example" in line]
    assert len(lines) == 25
    assert all(line.startswith("nostrclient_relay_") for line in lines)
    assert "\nnostrclient_relays 99" not in text()


def test_h9_rest_names_the_extension_that_added_a_relay() -> None:
    relay = nostr_relay.Relay("wss://a.example", RelayManager().reports)
    relay.extension = "nostr_bunker"
    shown = services._relay(relay, None, True, 0, 0).status
    assert shown is not None
    assert shown.extension == "nostr_bunker"
