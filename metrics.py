"""What is shown, as Prometheus reads it: its text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .models import Relay, RelayStatus, Status
from .services import Endpoint

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """A number, and the one label that tells it from others of its name."""

    value: float
    label: str = ""
    text: str = ""


class Metric(NamedTuple):
    """A name, what it means, and its numbers; a name in `_total` is a counter's."""

    name: str
    help: str
    samples: list[Sample]

    def lines(self) -> Iterator[str]:
        """Give its lines of the text format."""
        name = f"nostrclient_{self.name}"
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {kind}"
        for value, label, text in self.samples:
            labels = f'{{{label}="{_escaped(text)}"}}' if label else ""
            yield f"{name}{labels} {value}"


def exposition(status: Status, relays: list[Relay], endpoints: list[Endpoint]) -> str:
    """Write all numbers in the text format."""
    metrics = [*_of_all(status), *_of_relays(relays), *_of_endpoints(endpoints)]
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _escaped(text: str) -> str:
    # What a relay is called is not ours to choose: a quote in it must not end it.
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_all(status: Status) -> Iterator[Metric]:
    for name, text, value in (
        ("relays", "Relays that are known.", status.relays),
        ("relays_connected", "Relays that are connected.", status.relays_connected),
        ("subscriptions", "Subscriptions that are open.", status.subscriptions),
        (
            "outbox_waiting_events",
            "Events that no relay has accepted yet.",
            status.outbox_waiting,
        ),
        (
            "outbox_undeliverable_events_total",
            "Events that were queued and that no relay took.",
            status.outbox_undeliverable,
        ),
    ):
        yield Metric(name, text, [Sample(value)])


def _of_relays(relays: list[Relay]) -> Iterator[Metric]:
    for name, text, number in _RELAY_NUMBERS:
        samples = []
        for relay in relays:
            if relay.url is None or relay.status is None:
                continue  # stored, but not used
            value = number(relay, relay.status)
            if value is not None:
                samples.append(Sample(value, "relay", relay.url))
        yield Metric(f"relay_{name}", text, samples)


def _round_trip_seconds(relay: Relay, status: RelayStatus) -> float | None:
    if not relay.connected or not status.round_trips_ms:
        return None
    return status.round_trips_ms[-1] / 1000


_RelayNumber = Callable[[Relay, RelayStatus], float | None]
_RELAY_NUMBERS: tuple[tuple[str, str, _RelayNumber], ...] = (
    (
        "active",
        "Whether the relay is switched on.",
        lambda relay, _: int(bool(relay.active)),
    ),
    (
        "connected",
        "Whether the relay is connected.",
        lambda relay, _: int(bool(relay.connected)),
    ),
    (
        "round_trip_seconds",
        "The latest round trip to a relay that is connected.",
        _round_trip_seconds,
    ),
    (
        "connections_total",
        "Connections made to the relay.",
        lambda _, status: status.connections,
    ),
    (
        "received_events_total",
        "Events received from the relay.",
        lambda _, status: status.num_received_events,
    ),
    (
        "sent_events_total",
        "Events sent to the relay.",
        lambda _, status: status.num_sent_events,
    ),
    (
        "duplicate_events_total",
        "Events received from the relay that were known already.",
        lambda _, status: status.num_duplicate_events,
    ),
    (
        "unasked_events_total",
        "Events received from the relay that nobody had asked for.",
        lambda _, status: status.num_unasked_events,
    ),
    (
        "invalid_messages_total",
        "Messages received from the relay that are garbage or not verified.",
        lambda _, status: status.num_invalid_messages,
    ),
    (
        "errors_total",
        "What went wrong with the relay.",
        lambda _, status: status.error_counter,
    ),
    (
        "owed_events",
        "Events that the relay is still to be sent.",
        lambda _, status: status.num_owed_events,
    ),
    (
        "dropped_events_total",
        "Events that the relay was owed and that were given up.",
        lambda _, status: status.num_dropped_events,
    ),
    (
        "subscriptions",
        "Subscriptions open on the relay.",
        lambda _, status: status.num_subscriptions,
    ),
)


def _of_endpoints(endpoints: list[Endpoint]) -> Iterator[Metric]:
    for name, text, number in _ENDPOINT_NUMBERS:
        samples = [Sample(number(item), "endpoint", item.name) for item in endpoints]
        yield Metric(f"endpoint_{name}", text, samples)


_ENDPOINT_NUMBERS: tuple[tuple[str, str, Callable[[Endpoint], float]], ...] = (
    ("clients", "Clients that are connected.", lambda item: item.clients),
    (
        "waiting_bytes",
        "What waits for clients to read it.",
        lambda item: item.waiting_bytes,
    ),
    (
        "connections_total",
        "Connections that clients made.",
        lambda item: item.traffic.connections,
    ),
    (
        "received_messages_total",
        "Messages received from clients.",
        lambda item: item.traffic.received_messages,
    ),
    (
        "sent_messages_total",
        "Messages sent to clients.",
        lambda item: item.traffic.sent_messages,
    ),
    (
        "refused_messages_total",
        "Messages received from clients and refused as too many or too large.",
        lambda item: item.traffic.dropped_messages,
    ),
)
