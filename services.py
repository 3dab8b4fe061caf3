"""What is shown of the running client: to the admin over REST, and to monitoring."""

from __future__ import annotations

from typing import NamedTuple

from .crud import get_config, get_relays
from .models import (
    Client,
    LogEntry,
    Relay,
    RelayInformation,
    RelayStatus,
    Setting,
    Status,
    TestAnswer,
    UndeliverableEvent,
    WaitingEvent,
)
from .nostr import clock
from .nostr import relay as nostr_relay
from .nostr.information import RelayInformation as ToldInformation
from .nostr.relay_url import known_relay_url
from .nostr.settings import SETTINGS
from .router import Traffic, all_routers, nostr_client, traffic


async def relays() -> list[Relay]:
    """Give all relays, those that other extensions added included."""
    stored = {known_relay_url(relay.url or ""): relay for relay in await get_relays()}
    manager = nostr_client.relay_manager
    numbers = manager.relay_numbers()
    shown = [
        _relay(
            relay,
            stored.get(url),
            manager.is_active(url),
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
    retry_in = None if retry_at is None else max(0.0, retry_at - clock.now())
    return Relay(
        id=stored.id if stored else relay.url,
        url=relay.url,
        active=active,
        connected=relay.connected,
        connected_string=relay.status.value,
        read=relay.read,
        write=relay.write,
        status=RelayStatus(
            num_sent_events=relay.num_sent_events,
            num_received_events=relay.num_received_events,
            error_counter=relay.error_counter,
            error_list=relay.error_list,
            notice_list=relay.notice_list,
            num_duplicate_events=relay.num_duplicate_events,
            num_invalid_messages=relay.num_invalid_messages,
            num_unasked_events=relay.num_unasked_events,
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
            asks_who_we_are=relay.asks_who_we_are,
        ),
        ping=relay.ping,
    )


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
    """Give the events that wait for a relay to accept them, in order."""
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
            refusals=publication.refusals,
        )
        for publication in nostr_client.relay_manager.waiting_events()
    ]


def undeliverable() -> list[UndeliverableEvent]:
    """Give the latest events that were vouched for in vain, newest first."""
    began = clock.wall() - clock.now()
    return [
        UndeliverableEvent(
            event_id=item.event.id,
            pubkey=item.event.pubkey,
            kind=item.event.kind,
            reason=item.reason,
            at=int(began + item.at),
        )
        for item in nostr_client.relay_manager.undeliverable_events()
    ]


def test_answers(event_id: str) -> list[TestAnswer] | None:
    """Give how each relay answered an event of the test panel; None: no such event."""
    manager = nostr_client.relay_manager
    publication = manager.outbox_publication(event_id)
    owed = publication.copies if publication else {}
    answers = manager.event_answers(event_id)
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
    """Give the clients of both endpoints, in the order they came."""
    return [
        Client(
            id=router.id,
            endpoint="public" if router.is_public else "private",
            address=router.address,
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
    """An endpoint in numbers: `traffic` only grows, the others come and go."""

    name: str
    clients: int
    waiting_bytes: int
    traffic: Traffic


def endpoints() -> list[Endpoint]:
    """Give both endpoints in numbers."""
    present = clients()
    found = []
    for name in ("public", "private"):
        mine = [client for client in present if client.endpoint == name]
        waiting = sum(client.waiting_bytes for client in mine)
        total = traffic(is_public=name == "public")
        found.append(Endpoint(name, len(mine), waiting, total))
    return found


def status() -> Status:
    """Give the summary in numbers."""
    manager = nostr_client.relay_manager
    return Status(
        relays=len(manager.relays),
        relays_connected=manager.connected_relays,
        clients=len(all_routers),
        subscriptions=manager.subscription_count,
        outbox_waiting=manager.waiting_count,
        outbox_undeliverable=manager.undeliverable_count,
    )


async def settings() -> list[Setting]:
    """Return all settings with the values that apply from the next start on."""
    stored = (await get_config()).settings
    return [
        Setting(
            name=setting.name,
            group=setting.group,
            value=stored.get(setting.name, setting.default),
            default=setting.default,
            unit=setting.unit,
            integer=setting.integer,
            description=setting.description,
        )
        for setting in SETTINGS.values()
    ]
