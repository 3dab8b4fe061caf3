"""The metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .models import Relay, RelayStatus, Status
from .nostr.figures import Figures
from .services import Endpoint

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """A number, and the labels that tell it from others of its name."""

    value: float
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


class Metric(NamedTuple):
    """A name, what it means, and its numbers; a name in `_total` is a counter's."""

    name: str
    help: str
    samples: list[Sample]
    is_histogram: bool = False

    def lines(self) -> Iterator[str]:
        """Yield its lines of the text format."""
        name = f"nostrclient_{self.name}"
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {'histogram' if self.is_histogram else kind}"
        for value, labels, suffix in self.samples:
            written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            yield f"{name}{suffix}{f'{{{written}}}' if written else ''} {value}"


class Measured(NamedTuple):
    """Everything that Prometheus reads, at one instant."""

    status: Status
    relays: list[Relay]
    endpoints: list[Endpoint]
    figures: Figures
    version: str
    started_at: float


def exposition(measured: Measured) -> str:
    """Return all numbers in the text format."""
    metrics = [
        *_of_all(measured),
        *_of_figures(measured.figures),
        *_of_relays(measured.relays),
        *_of_endpoints(measured.endpoints),
    ]
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _escaped(text: str) -> str:
    # What a relay is called is not ours to choose: a quote in it must not end it.
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_all(measured: Measured) -> Iterator[Metric]:
    status = measured.status
    version = Sample(1, (("version", measured.version),))
    yield Metric("build_info", "The version that runs.", [version])
    for name, text, value in (
        (
            "start_time_seconds",
            "When this code was loaded, in Unix seconds.",
            measured.started_at,
        ),
        (
            "can_publish",
            "Whether a connected relay accepts events.",
            int(status.can_publish),
        ),
        (
            "can_receive",
            "Whether a connected relay serves requests.",
            int(status.can_receive),
        ),
        (
            "relays",
            "Configured relays, switched off ones included.",
            status.relays,
        ),
        ("relays_connected", "Relays that are connected.", status.relays_connected),
        ("subscriptions", "Subscriptions that are open.", status.subscriptions),
        (
            "outbox_waiting_events",
            "Events that no relay has accepted yet.",
            status.outbox_waiting,
        ),
        (
            "outbox_oldest_timestamp_seconds",
            "When the oldest waiting event was published, in Unix seconds; 0: none.",
            status.outbox_oldest_at or 0,
        ),
        (
            "named_relays",
            "Relays outside the list that events name.",
            status.named_relays,
        ),
        (
            "named_relays_connected",
            "Connected relays of these.",
            status.named_relays_connected,
        ),
        (
            "named_relays_pending_events",
            "Copies of events that are queued for them.",
            status.named_events,
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
                samples.append(Sample(value, (("relay", relay.url),)))
        yield Metric(f"relay_{name}", text, samples)
    for name, label, text, numbers in _RELAY_RESULTS:
        yield Metric(
            f"relay_{name}",
            text,
            [
                Sample(value, (("relay", relay.url), (label, key)))
                for relay in relays
                if relay.url is not None and relay.status is not None
                for key, value in numbers(relay.status).items()
            ],
        )


def _of_figures(figures: Figures) -> Iterator[Metric]:
    for name, text, histogram in (
        (
            "event_discovery_seconds",
            "From an event's created_at to its delivery to a client.",
            figures.discovery,
        ),
        (
            "event_processing_seconds",
            "From the arrival of events to the client's socket, per burst.",
            figures.processing,
        ),
        ("ok_seconds", "From an EVENT to the relay's OK.", figures.answer),
        ("eose_seconds", "From a REQ to the relay's EOSE.", figures.stored),
    ):
        bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
        buckets = zip(bounds, histogram.cumulative(), strict=True)
        samples = [Sample(n, (("le", bound),), "_bucket") for bound, n in buckets]
        samples += [
            Sample(histogram.total, (), "_sum"),
            Sample(histogram.count, (), "_count"),
        ]
        yield Metric(name, text, samples, is_histogram=True)
    yield Metric(
        "events_recovered_total",
        "Events that only a replay, a refresh or a page brought.",
        [
            Sample(count, (("by", way.value),))
            for way, count in figures.recovered.items()
        ],
    )


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
        "Messages received from the relay that are invalid or badly signed.",
        lambda _, status: status.num_invalid_messages,
    ),
    (
        "errors_total",
        "Connection and protocol errors of the relay.",
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
    (
        "connected_seconds_total",
        "How long the relay was connected.",
        lambda _, status: status.connected_seconds,
    ),
    (
        "unanswered_events",
        "Events sent on this connection that the relay has not answered.",
        lambda _, status: status.num_unanswered_events,
    ),
    (
        "authenticated",
        "Whether the relay accepted our AUTH on this connection.",
        lambda _, status: int(status.auth == "accepted"),
    ),
)


def _events(status: RelayStatus) -> dict[str, int]:
    return {"accepted": status.num_accepted_events} | status.refused_events


def _requests(status: RelayStatus) -> dict[str, int]:
    return {
        "eose": status.num_finished_requests,
        "closed": sum(status.closed_requests.values()),
        "timeout": status.num_unanswered_requests,
    }


def _withheld_keys(status: RelayStatus) -> dict[str, int]:
    held = sum(key.held for key in status.wanted_keys)
    return {"true": held, "false": len(status.wanted_keys) - held}


_RelayResults = Callable[[RelayStatus], dict[str, int]]
_RELAY_RESULTS: tuple[tuple[str, str, str, _RelayResults], ...] = (
    (
        "answered_events_total",
        "result",
        "The relay's answers to events: accepted, or the prefix of the refusal.",
        _events,
    ),
    (
        "requests_total",
        "result",
        "Requests to the relay, by their answer: eose, closed or timeout.",
        _requests,
    ),
    (
        "closed_requests_total",
        "prefix",
        "Requests that the relay closed, by the prefix of its reason.",
        lambda status: status.closed_requests,
    ),
    (
        "withheld_keys",
        "held",
        "Keys that the relay wants for what it withholds, by whether they are held.",
        _withheld_keys,
    ),
)


def _of_endpoints(endpoints: list[Endpoint]) -> Iterator[Metric]:
    for name, text, number in _ENDPOINT_NUMBERS:
        samples = [
            Sample(number(item), (("endpoint", item.name),)) for item in endpoints
        ]
        yield Metric(f"endpoint_{name}", text, samples)
    yield Metric(
        "endpoint_refused_connections_total",
        "Connections of clients that were refused, by reason.",
        [
            Sample(count, (("endpoint", item.name), ("reason", reason)))
            for item in endpoints
            for reason, count in item.refused_connections.items()
        ],
    )


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
