"""The state of the running client as the REST interface and the metrics show it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from . import history
from .configuration import configuration
from .instances import instances
from .models import (
    Client,
    Delay,
    Figures,
    LogEntry,
    NamedRelay,
    OutboxEvent,
    Relay,
    RelayInformation,
    RelayStatus,
    Setting,
    Status,
    TestAnswer,
    UndeliverableEvent,
    WaitingEvent,
    WantedKey,
)
from .nostr import clock
from .nostr import relay as nostr_relay
from .nostr.errors import InvalidKey
from .nostr.event import SignedEvent
from .nostr.figures import Histogram
from .nostr.information import RelayInformation as ToldInformation
from .nostr.key import PublicKey
from .nostr.named_relays import NamedRelay as NamedLink
from .nostr.relay_counters import Refusal, RelayCounters, Service
from .nostr.settings import SETTINGS, usable_settings
from .outbox_store import MICROSECONDS
from .private_urls import private_urls
from .router import (
    Traffic,
    all_routers,
    nostr_client,
    refused_connections,
    traffic,
)

VERSION = str(
    json.loads(Path(__file__).with_name("config.json").read_text())["version"]
)


def relays() -> list[Relay]:
    """Return all relays, including those that other extensions added."""
    stored = configuration.relays
    manager = nostr_client.relay_manager
    numbers = manager.publisher.relay_numbers()
    shown = [
        _relay(
            relay,
            stored.get(url),
            relay.active,
            *numbers.get(url, (0, 0)),
        )
        for url, relay in list(manager.relays.items())
    ]
    missing = [relay for url, relay in stored.items() if url not in manager.relays]
    return shown + missing


def _relay(
    relay: nostr_relay.Relay,
    stored: Relay | None,
    active: bool,
    owed: int,
    dropped: int,
) -> Relay:
    retry_at = relay.retry_at
    if not active:
        retry_at = None
    retry_in = None if retry_at is None else max(0.0, retry_at - clock.now())
    return Relay(
        id=stored.id if stored else relay.url,
        url=relay.url,
        active=active,
        connected=relay.connected,
        connected_string=relay.status.value,
        read=relay.read,
        write=relay.write,
        route=relay.route.value,
        status=RelayStatus(
            num_sent_events=relay.counters.sent_events,
            num_received_events=relay.counters.received_events,
            error_counter=relay.error_counter,
            error_list=relay.error_list,
            notice_list=relay.notice_list,
            num_duplicate_events=relay.counters.duplicate_events,
            num_invalid_messages=relay.counters.invalid_messages,
            num_unasked_events=relay.counters.unasked_events,
            num_owed_events=owed,
            num_dropped_events=dropped,
            num_subscriptions=relay.num_subscriptions,
            connections=relay.connections,
            retry_in_seconds=retry_in,
            errors=[
                LogEntry(text=noted.text, at=int(noted.at)) for noted in relay.errors
            ],
            notices=[
                LogEntry(text=noted.text, at=int(noted.at)) for noted in relay.notices
            ],
            since=int(relay.since),
            round_trips_ms=[round(1000 * seconds, 2) for seconds in relay.round_trips],
            information=_information(relay.information),
            extension=relay.extension,
            asks_who_we_are=relay.asks_who_we_are,
            down_since=_down_since(relay),
            limits={
                name: limit
                for name, limit in relay.limits._asdict().items()
                if isinstance(limit, int)
            },
            wanted_keys=_wanted_keys(relay.url),
            **_counts(relay.counters),
        ),
        ping=relay.ping,
    )


def _wanted_keys(url: str) -> list[WantedKey]:
    links = nostr_client.relay_manager.links
    counters = {
        pubkey: link.record.counters
        for link in links.links_of(url)
        for pubkey in link.pubkeys
    }
    found = []
    for pubkey, is_held in links.wanted_keys(url).items():
        npub = _npub(pubkey)
        if npub is None:
            continue
        key = WantedKey(npub=npub, pubkey=pubkey, held=is_held)
        if is_held:
            key.auth = "not_asked"
        if is_held and pubkey in counters:
            key.auth = counters[pubkey].auth.value
            key.auth_message = counters[pubkey].auth_message
        found.append(key)
    return found


@lru_cache(maxsize=1000)
def _npub(pubkey: str) -> str | None:
    """Return a public key as `npub`; None where a client's filter named no key."""
    try:
        return PublicKey.from_hex(pubkey).bech32()
    except InvalidKey:
        return None


def _down_since(relay: nostr_relay.Relay) -> int | None:
    if relay.connected or relay.down_since is None:
        return None
    return int(clock.wall() - clock.now() + relay.down_since)


def _counts(counters: RelayCounters) -> dict[str, Any]:
    return {
        "connected_seconds": round(counters.up_seconds),
        "num_accepted_events": counters.accepted,
        "refused_events": dict(counters.refused),
        "refusals": _latest(counters.last_refusals),
        "num_unanswered_events": counters.waiting_events,
        "num_finished_requests": counters.finished,
        "closed_requests": dict(counters.closed),
        "closings": _latest(counters.last_closed),
        "num_unanswered_requests": counters.unanswered,
        "auth": counters.auth.value,
        "auth_message": counters.auth_message,
        "publishing": counters.publishing.value,
        "receiving": counters.receiving.value,
    }


def _latest(refusals: dict[str, Refusal]) -> list[LogEntry]:
    found = sorted(refusals.copy().values(), key=lambda item: -item.at)
    return [LogEntry(text=item.message, at=int(item.at)) for item in found]


def _information(told: ToldInformation | None) -> RelayInformation | None:
    if told is None:
        return None
    return RelayInformation(
        name=told.name,
        icon=told.icon,
        software=told.software,
        version=told.version,
        description=told.description,
        contact=told.contact,
        limitation=dict(told.limitation),
    )


def outbox() -> list[WaitingEvent]:
    """Return the events that wait for a relay to accept them, in order."""
    now = clock.now()
    began = clock.wall() - now
    return [
        WaitingEvent(
            event_id=publication.event.id,
            pubkey=publication.event.pubkey,
            kind=publication.event.kind,
            size=len(publication.event.text.encode()),
            waiting_seconds=now - publication.published_at,
            since=int(began + publication.published_at),
            expires_in_seconds=max(0.0, publication.expires_at - now),
            owed=list(publication.copies),
            refusals=publication.messages,
        )
        for publication in nostr_client.relay_manager.publisher.waiting_events()
    ]


def stored_events(rows: Iterable[OutboxEvent]) -> list[WaitingEvent]:
    """Return the waiting events of other instances, as far as their rows tell."""
    now = clock.wall()
    lifetime = nostr_client.relay_manager.settings.outbox_expiry_seconds
    found = []
    for row in rows:
        event = SignedEvent.parse(row.event)
        age = max(0.0, now - row.published_at / MICROSECONDS)
        found.append(
            WaitingEvent(
                event_id=row.id,
                pubkey=event.pubkey,
                kind=event.kind,
                size=len(row.event.encode()),
                waiting_seconds=age,
                since=int(now - age),
                expires_in_seconds=max(0.0, lifetime - age),
                owed=json.loads(row.owed),
                refusals={},
            )
        )
    return found


def undeliverable() -> list[UndeliverableEvent]:
    """Return recent events that were queued but never accepted, newest first."""
    began = clock.wall() - clock.now()
    return [
        UndeliverableEvent(
            event_id=item.event.id,
            pubkey=item.event.pubkey,
            kind=item.event.kind,
            reason=item.reason,
            at=int(began + item.at),
        )
        for item in nostr_client.relay_manager.publisher.undeliverable_events()
    ]


def test_answers(event_id: str) -> list[TestAnswer] | None:
    """Return how each relay answered an event of the test panel; None if unknown."""
    manager = nostr_client.relay_manager
    publication = manager.publisher.publication(event_id)
    owed = publication.copies if publication else {}
    answers = manager.publisher.answers(event_id)
    if answers is None:
        return None
    answered = [
        TestAnswer(
            url=url,
            accepted=answer.accepted,
            message=answer.message,
            milliseconds=round(1000 * answer.seconds, 1),
            owed=url in owed,
        )
        for url, answer in answers.items()
    ]
    return answered + [
        TestAnswer(url=url, accepted=None, message="", milliseconds=None, owed=True)
        for url in owed
        if url not in answers
    ]


def clients() -> list[Client]:
    """Return the clients of both endpoints, in the order of their connection."""
    return [
        Client(
            id=router.id,
            endpoint="public" if router.is_public else "private",
            address=router.address,
            agent=router.agent,
            private_url=router.private_url or None,
            private_url_name=private_urls.name(router.private_url),
            since=int(router.started_at),
            subscriptions=router.num_subscriptions,
            received=router.received_messages,
            sent=router.sent_messages,
            dropped=router.dropped_messages,
            waiting_bytes=router.waiting_bytes,
        )
        for router in all_routers
    ]


class Endpoint(NamedTuple):
    """The numbers of an endpoint; `traffic` only grows."""

    name: str
    clients: int
    waiting_bytes: int
    traffic: Traffic
    refused_connections: dict[str, int]


def endpoints() -> list[Endpoint]:
    """Return the numbers of both endpoints."""
    present = clients()
    found = []
    for name in ("public", "private"):
        mine = [client for client in present if client.endpoint == name]
        waiting = sum(client.waiting_bytes for client in mine)
        total = traffic(is_public=name == "public")
        refused = dict(refused_connections[name])
        found.append(Endpoint(name, len(mine), waiting, total, refused))
    return found


def status() -> Status:
    """Return the summary in numbers."""
    manager = nostr_client.relay_manager
    named = named_relays()
    return Status(
        relays=len(manager.relays),
        relays_connected=manager.connected_relays,
        clients=len(all_routers),
        subscriptions=manager.subscription_count,
        outbox_waiting=manager.publisher.waiting_count,
        outbox_undeliverable=manager.publisher.undeliverable_count,
        outbox_oldest_at=_oldest_at(),
        outbox_undeliverable_at=_undeliverable_at(),
        can_publish=can_publish(),
        can_receive=can_receive(),
        named_relays=len(named),
        named_relays_connected=sum(relay.state == "connected" for relay in named),
        named_events=sum(relay.pending for relay in named),
        figures=figures(),
        not_loaded=configuration.not_loaded,
        instances=instances.count,
        second_process=instances.is_second,
        version=VERSION,
    )


def named_relays() -> list[NamedRelay]:
    """Return the relays outside the list that events name, by URL.

    The settings bound the connections, and the queued events that name relays.
    """
    manager = nostr_client.relay_manager
    links = manager.named.links
    numbers = manager.publisher.relay_numbers()
    urls = links.keys() | set(manager.publisher.named_relays()) - manager.relays.keys()
    return [
        _named_relay(url, links.get(url), numbers.get(url, (0, 0))[0])
        for url in sorted(urls)
    ]


def _named_relay(url: str, link: NamedLink | None, pending: int) -> NamedRelay:
    record = link.record if link else None
    if record is None:
        return NamedRelay(
            url=url,
            state="no_connection",
            pending=pending,
            accepted=0,
            refused=0,
            message="",
        )
    refusals = [item.text for item in _latest(record.counters.last_refusals)]
    return NamedRelay(
        url=url,
        state=record.status.value,
        pending=pending,
        accepted=record.counters.accepted,
        refused=record.counters.refused.total(),
        message=next(iter(refusals + record.error_list), ""),
    )


def _oldest_at() -> int | None:
    published = [
        item.published_at
        for item in nostr_client.relay_manager.publisher.waiting_events()
    ]
    if not published:
        return None
    return int(clock.wall() - clock.now() + min(published))


def _undeliverable_at() -> int | None:
    found = nostr_client.relay_manager.publisher.undeliverable_events()
    return int(clock.wall() - clock.now() + found[0].at) if found else None


SERVING = (Service.UNKNOWN, Service.WORKS)


def can_publish() -> bool:
    """Return whether a connected relay accepts events, or was not tried yet."""
    return any(
        relay.write and relay.counters.publishing in SERVING for relay in _connected()
    )


def can_receive() -> bool:
    """Return whether a connected relay serves requests, or was not tried yet."""
    return any(
        relay.read and relay.counters.receiving in SERVING for relay in _connected()
    )


def _connected() -> list[nostr_relay.Relay]:
    manager = nostr_client.relay_manager
    return [
        relay
        for relay in list(manager.relays.values())
        if relay.connected and relay.active
    ]


def figures() -> Figures:
    """Return the figures of speed and completeness."""
    measured = nostr_client.relay_manager.message_pool.figures
    counters = [
        relay.counters for relay in list(nostr_client.relay_manager.relays.values())
    ]
    finished = sum(item.finished for item in counters)
    failed = sum(item.closed.total() + item.unanswered for item in counters)
    return Figures(
        discovery=_delay(measured.discovery),
        processing=_delay(measured.processing),
        recovered={way.value: count for way, count in measured.recovered.items()},
        success=_share(finished, finished + failed),
        uptime=history.uptime(),
    )


def _delay(histogram: Histogram) -> Delay | None:
    median, p95 = histogram.quantile(0.5), histogram.quantile(0.95)
    if median is None or p95 is None:
        return None
    return Delay(median=round(median, 4), p95=round(p95, 4))


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def settings() -> list[Setting]:
    """Return every setting with the value it has from the next start on."""
    stored = usable_settings(configuration.config.settings)
    return [
        Setting(
            name=setting.name,
            group=setting.group,
            value=stored.get(setting.name, setting.default),
            default=setting.default,
            unit=setting.unit,
            integer=setting.integer,
            in_force=nostr_client.relay_manager.settings.number(setting.name),
            description=setting.description,
        )
        for setting in SETTINGS.values()
    ]
