"""The numbers as Prometheus reads them: its own parser finds what went in."""

from prometheus_client.parser import text_string_to_metric_families

from nostrclient.metrics import exposition
from nostrclient.models import Relay, RelayStatus, Status
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
    Endpoint("public", 3, 41, Traffic(42, 43, 44, 45)),
    Endpoint("private", 1, 0, Traffic(1, 2, 3, 0)),
]


def parsed() -> dict[str, dict[str, float]]:
    """Give all samples by name and label, as Prometheus' own library reads them."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(exposition(STATUS, RELAYS, ENDPOINTS)):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            is_counter = sample.name.endswith("_total")
            assert family.type == ("counter" if is_counter else "gauge"), sample.name
            label = "".join(sample.labels.values())
            numbers = found.setdefault(sample.name.removeprefix("nostrclient_"), {})
            assert label not in numbers, f"{sample.name} {label} comes twice"
            numbers[label] = sample.value
    return found


def test_everything_is_there_under_its_name() -> None:
    down = "ws://down.example"
    assert parsed() == {
        "relays": {"": 2},
        "relays_connected": {"": 1},
        "subscriptions": {"": 5},
        "outbox_waiting_events": {"": 6},
        "outbox_undeliverable_events_total": {"": 7},
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


def test_a_relay_s_url_cannot_end_its_label() -> None:
    text = exposition(STATUS, RELAYS, ENDPOINTS)
    lines = [line for line in text.splitlines() if "relay.example" in line]
    assert len(lines) == 13
    assert all(line.startswith("nostrclient_relay_") for line in lines)
    assert "\nnostrclient_relays 99" not in text
