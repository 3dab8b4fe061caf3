"""The REST API for the admin page and other programs."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from lnbits.core.models import Account
from lnbits.decorators import check_admin, check_user_exists
from lnbits.helpers import urlsafe_short_hash

from . import services, tasks
from .access import check_signed_in, is_admin
from .admin_log import log_change, log_config_changes
from .configuration import configuration, guest_rules, proxy_policy
from .crud import (
    add_relay,
    change_config,
    delete_relay,
    get_relays,
    update_identity,
    update_relay,
)
from .endpoint_face import checked_face
from .helpers import (
    encrypt_identity,
    normalize_public_key,
    read_private_key,
)
from .instances import instances
from .models import (
    REFUSED,
    Client,
    ClientSubscription,
    Config,
    ConfigUpdate,
    Identity,
    IdentityUpdate,
    NamedRelay,
    Reconnected,
    Relay,
    RelayUpdate,
    RelayUrl,
    Setting,
    Status,
    TestAnswer,
    TestMessage,
    TestMessageResponse,
    UndeliverableEvent,
    WaitingEvent,
    not_found,
)
from .nostr.errors import NostrError
from .nostr.event import EncryptedDirectMessage
from .nostr.information_request import fetch_information
from .nostr.key import PrivateKey
from .nostr.relay_url import known_relay_url, normalize_relay_url
from .nostr.settings import non_default, usable_settings
from .nostr.socks import RelayRoute, SocksError
from .router import NostrRouter, all_routers, nostr_client

OWN_ENDPOINT = "This is nostrclient's own endpoint."
RECOGNISE_SECONDS = 2.0

nostrclient_api_router = APIRouter(responses=REFUSED)


# Relays


@nostrclient_api_router.get(
    "/api/v1/relays",
    summary="List the relays",
    response_model=list[Relay],
)
async def api_list_relays(
    account: Account = Depends(check_signed_in),
) -> list[Relay] | Response:
    """List all relays, including those that other extensions added.

    A user who is no admin gets `url` and `connected` of each and nothing else.
    """
    relays = await api_get_relays()
    if await is_admin(account):
        return relays
    return JSONResponse(
        [{"url": relay.url, "connected": bool(relay.connected)} for relay in relays]
    )


async def api_get_relays() -> list[Relay]:
    """Return all relays, including those that other extensions added."""
    return services.relays()


@nostrclient_api_router.post(
    "/api/v1/relay",
    status_code=HTTPStatus.OK,
    dependencies=[Depends(check_admin)],
    summary="Add a relay",
)
async def api_add_relay(relay: RelayUrl, request: Request) -> list[Relay]:
    """Add a relay and connect to it."""
    url = _valid_url(relay.url)
    if _is_own_endpoint(url, request):
        raise HTTPException(HTTPStatus.BAD_REQUEST, OWN_ENDPOINT)
    exists = HTTPException(HTTPStatus.BAD_REQUEST, f"Relay: {url} already exists.")
    if url in configuration.relays:
        raise exists
    _check_route(url, RelayRoute.DEFAULT)
    if await _is_this_instance(url):
        raise HTTPException(HTTPStatus.BAD_REQUEST, OWN_ENDPOINT)
    async with configuration.lock:
        added = await add_relay(Relay(id=urlsafe_short_hash(), url=url, active=True))
        configuration.apply_relays(await get_relays())
    if added is None:
        raise exists
    return await api_get_relays()


@nostrclient_api_router.delete(
    "/api/v1/relay",
    status_code=HTTPStatus.OK,
    dependencies=[Depends(check_admin)],
    summary="Remove a relay",
)
async def api_delete_relay(relay: RelayUrl) -> None:
    """Remove a relay."""
    if not relay.url:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Relay url not provided.")
    url = known_relay_url(relay.url)
    async with configuration.lock:
        for stored in await _stored_relays(url):
            await delete_relay(stored)
        nostr_client.relay_manager.remove_relay(url)
        configuration.relays.pop(url, None)


async def _stored_relays(url: str) -> list[Relay]:
    """Return the rows of a relay; other versions may have stored several."""
    return [row for row in await get_relays() if known_relay_url(row.url or "") == url]


@nostrclient_api_router.put(
    "/api/v1/relay",
    dependencies=[Depends(check_admin)],
    summary="Change a relay",
    responses=not_found("The relay is not known"),
)
async def api_update_relay(update: RelayUpdate) -> list[Relay]:
    """Switch a relay on or off, change what it is used for or the way to it."""
    url = _valid_url(update.url)
    manager = nostr_client.relay_manager
    route = None if update.route is None else RelayRoute(update.route)
    if route is not None:
        _check_route(url, route)
    changes = update.dict(exclude={"url"}, exclude_none=True)
    async with configuration.lock:
        stored = await _stored_relays(url)
        if not stored and url not in manager.relays:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"Relay: {url} is not known.")
        for row in stored:
            await update_relay(row.id or "", changes)
            configuration.relays[url] = row.copy(update=changes)
        if url not in manager.relays:
            manager.add_relay(url, active=False)
        manager.update_relay(url, **{**changes, "route": route})
    return await api_get_relays()


@nostrclient_api_router.put(
    "/api/v1/relay/reconnect",
    dependencies=[Depends(check_admin)],
    summary="Connect relays now",
    responses=not_found("The relay is not known"),
)
async def api_reconnect(relay: RelayUrl) -> Reconnected:
    """Connect a relay that waits for its next attempt at once; without `url`, all."""
    try:
        count = nostr_client.relay_manager.reconnect(relay.url)
    except KeyError:
        text = f"Relay: {relay.url} is not known."
        raise HTTPException(HTTPStatus.NOT_FOUND, text) from None
    return Reconnected(relays=count)


def _valid_url(url: str | None) -> str:
    if not url:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Relay url not provided.")
    try:
        return normalize_relay_url(url)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error


def _check_route(url: str, route: RelayRoute) -> None:
    """Refuse a relay that needs a proxy where none is set."""
    try:
        policy = nostr_client.relay_manager.settings.proxy
        policy.choose(urlsplit(url).hostname or "", url, route)
    except SocksError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error


def _is_own_endpoint(url: str, request: Request) -> bool:
    base = str(request.base_url).rstrip("/").replace("http", "ws", 1)
    own = normalize_relay_url(f"{base}/nostrclient/api/v1")
    return url.startswith(f"{own}/") or url == configuration.config.face.public_url


async def _is_this_instance(url: str) -> bool:
    """Return whether the relay's NIP-11 document is our own."""
    manager = nostr_client.relay_manager
    told = await fetch_information(url, manager.settings, RECOGNISE_SECONDS)
    return told is not None and told.instance_id == manager.instance_id


# Status and outbox


@nostrclient_api_router.get(
    "/api/v1/status",
    dependencies=[Depends(check_user_exists)],
    summary="Return a summary in numbers",
)
async def api_get_status() -> Status:
    """Return whether Nostr works, in a few numbers."""
    return services.status()


@nostrclient_api_router.get(
    "/api/v1/outbox", dependencies=[Depends(check_admin)], summary="List waiting events"
)
async def api_get_outbox() -> list[WaitingEvent]:
    """List the events that wait for a relay to accept them."""
    return services.outbox() + services.stored_events(await instances.others_events())


@nostrclient_api_router.put(
    "/api/v1/outbox",
    dependencies=[Depends(check_admin)],
    summary="Retry all waiting events now",
)
async def api_retry_outbox() -> list[WaitingEvent]:
    """Retry all waiting events now."""
    nostr_client.relay_manager.publisher.retry()
    return services.outbox()


@nostrclient_api_router.get(
    "/api/v1/named-relays",
    dependencies=[Depends(check_admin)],
    summary="List relays that events name",
)
async def api_get_named_relays() -> list[NamedRelay]:
    """List the relays outside the list that events name, by URL."""
    return services.named_relays()


@nostrclient_api_router.get(
    "/api/v1/outbox/undeliverable",
    dependencies=[Depends(check_admin)],
    summary="List undeliverable events",
)
async def api_get_undeliverable() -> list[UndeliverableEvent]:
    """List recent events that were queued but never accepted, newest first."""
    return services.undeliverable()


@nostrclient_api_router.put(
    "/api/v1/outbox/undeliverable/{event_id}",
    dependencies=[Depends(check_admin)],
    summary="Queue an undeliverable event anew",
    responses=not_found("No such event is undeliverable"),
)
async def api_send_again(event_id: str) -> None:
    """Queue an undeliverable event anew, for all relays that it was for."""
    if not nostr_client.relay_manager.publisher.send_again(event_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, "No such event is undeliverable.")


@nostrclient_api_router.put(
    "/api/v1/outbox/{event_id}",
    dependencies=[Depends(check_admin)],
    summary="Retry an event now",
    responses=not_found("No such event waits"),
)
async def api_retry_event(event_id: str) -> None:
    """Retry an event now, at all relays that may still accept it."""
    _check_waits(event_id)
    nostr_client.relay_manager.publisher.retry(event_id)


@nostrclient_api_router.delete(
    "/api/v1/outbox/{event_id}",
    dependencies=[Depends(check_admin)],
    summary="Discard an event",
    responses=not_found("No such event waits"),
)
async def api_discard_event(event_id: str) -> None:
    """Discard a waiting event, also one that another LNbits is to deliver."""
    if await instances.delete_event(event_id):
        return
    _check_waits(event_id)
    nostr_client.relay_manager.publisher.discard(event_id)


def _check_waits(event_id: str) -> None:
    if nostr_client.relay_manager.publisher.publication(event_id) is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "No such event waits.")


@nostrclient_api_router.get(
    "/api/v1/clients", dependencies=[Depends(check_admin)], summary="List the clients"
)
async def api_get_clients() -> list[Client]:
    """List the clients of both endpoints, in the order of their connection."""
    return services.clients()


@nostrclient_api_router.get(
    "/api/v1/clients/{client_id}",
    dependencies=[Depends(check_admin)],
    summary="List a client's subscriptions",
    responses=not_found("No such client is connected"),
)
async def api_get_client_subscriptions(client_id: str) -> list[ClientSubscription]:
    """List the open subscriptions of a client with their filters."""
    filters = _client(client_id).filters
    return [ClientSubscription(id=name, filters=it) for name, it in filters.items()]


@nostrclient_api_router.delete(
    "/api/v1/clients/{client_id}",
    dependencies=[Depends(check_admin)],
    summary="Disconnect a client",
    responses=not_found("No such client is connected"),
)
async def api_disconnect_client(client_id: str) -> None:
    """Disconnect a client; most clients connect again."""
    await _client(client_id).stop("closed by the operator")


def _client(client_id: str) -> NostrRouter:
    for router in all_routers:
        if router.id == client_id:
            return router
    raise HTTPException(HTTPStatus.NOT_FOUND, "No such client is connected.")


# The test panel


@nostrclient_api_router.put(
    "/api/v1/relay/test",
    status_code=HTTPStatus.OK,
    dependencies=[Depends(check_admin)],
    summary="Create a test message",
)
async def api_test_endpoint(data: TestMessage) -> TestMessageResponse:
    """Return a signed direct message, for you to publish through an endpoint."""
    try:
        to_public_key = normalize_public_key(data.reciever_public_key)
        secret = (data.sender_private_key or "").strip()
        private_key = read_private_key(secret) if secret else PrivateKey()
        message = EncryptedDirectMessage(
            recipient_pubkey=to_public_key, cleartext_content=data.message
        )
        private_key.sign_event(message)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    nostr_client.relay_manager.publisher.follow(message.id)
    return TestMessageResponse(
        private_key=private_key.hex(),
        public_key=to_public_key,
        event_json=message.to_message(),
    )


@nostrclient_api_router.get(
    "/api/v1/relay/test/{event_id}",
    dependencies=[Depends(check_admin)],
    summary="Return the answers to a test message",
    responses=not_found("It is none of the latest test messages"),
)
async def api_get_test_answers(event_id: str) -> list[TestAnswer]:
    """Return how each relay answered a recent test message."""
    answers = services.test_answers(event_id)
    if answers is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "No such test message is known.")
    return answers


# Configuration


@nostrclient_api_router.get(
    "/api/v1/config",
    dependencies=[Depends(check_admin)],
    summary="Return the configuration",
)
async def api_get_config() -> Config:
    """Return which endpoints are open, and the settings that differ from defaults."""
    return configuration.config


@nostrclient_api_router.put("/api/v1/config", summary="Change the configuration")
async def api_update_config(
    data: ConfigUpdate, account: Account = Depends(check_admin)
) -> Config:
    """Open or close endpoints, change settings; fields that are not named stay.

    Settings apply when nostrclient starts again. A setting equal to its default is not
    stored.
    """
    changes = data.dict(exclude_none=True, exclude={"settings", "face", "guests"})
    guest_changes = data.guests.dict(exclude_none=True) if data.guests else {}
    face_changes = data.face.dict(exclude_none=True) if data.face is not None else {}

    before = configuration.config

    def change(stored: Config) -> Config:
        nonlocal before
        before = stored  # another LNbits may have changed it meanwhile
        # A stored setting that this version does not accept is dropped.
        settings = usable_settings(stored.settings) | (data.settings or {})
        face = stored.face.copy(update=face_changes)
        if face_changes:
            face = checked_face(face)
        guests = stored.guests.copy(update=guest_changes)
        if guest_changes:
            guest_rules(guests)  # raises where they cannot be used
        fields = {**stored.dict(), **changes, "face": face, "guests": guests}
        config = Config(**{**fields, "settings": non_default(settings)})
        if data.proxy_url is not None:
            proxy_policy(config)  # raises where it cannot be used
        return config

    async with configuration.lock:
        try:
            config = await change_config(change)
        except ValueError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        log_config_changes(account, before, config)
        await configuration.apply_config(config)
    return config


@nostrclient_api_router.put("/api/v1/restart", summary="Restart nostrclient")
async def api_restart(account: Account = Depends(check_admin)) -> None:
    """Restart nostrclient, so that changed settings are used.

    It disconnects all clients and relays. The outbox is kept.
    """
    log_change(account, "nostrclient is restarted")
    await tasks.restart()


@nostrclient_api_router.get(
    "/api/v1/settings", dependencies=[Depends(check_admin)], summary="List all settings"
)
async def api_get_settings() -> list[Setting]:
    """List all settings with the values that apply from the next start on."""
    return services.settings()


# The identity key


@nostrclient_api_router.get(
    "/api/v1/identity",
    dependencies=[Depends(check_admin)],
    summary="Return the identity",
)
async def api_get_identity() -> Identity:
    """Return the npub for relays that demand authentication; never the private key."""
    key = nostr_client.relay_manager.identity
    return Identity(npub=key.public_key.bech32() if key else None)


@nostrclient_api_router.put("/api/v1/identity", summary="Set the identity key")
async def api_update_identity(
    data: IdentityUpdate, account: Account = Depends(check_admin)
) -> Identity:
    """Set the key for relays that demand authentication: a given one or a new one."""
    if (data.nsec is None) is not data.generate:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Give either nsec or generate.")
    try:
        key = PrivateKey() if data.nsec is None else read_private_key(data.nsec)
        encrypted = encrypt_identity(key)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    async with configuration.lock:
        await update_identity(encrypted)
        nostr_client.relay_manager.set_identity(key)
    log_change(account, f"the service key is {key.public_key.bech32()} now")
    return await api_get_identity()


@nostrclient_api_router.delete("/api/v1/identity", summary="Delete the identity key")
async def api_delete_identity(account: Account = Depends(check_admin)) -> Identity:
    """Delete the key; relays that demand authentication get no answer any more."""
    async with configuration.lock:
        await update_identity(None)
        nostr_client.relay_manager.set_identity(None)
    log_change(account, "the service key is deleted")
    return await api_get_identity()
