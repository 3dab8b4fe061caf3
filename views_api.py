"""The REST interface and the WebSocket endpoints."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException, Request, WebSocket
from lnbits.decorators import check_admin
from lnbits.helpers import urlsafe_short_hash
from loguru import logger

from .crud import add_relay, delete_relay, get_config, get_relays, update_config
from .helpers import (
    PUBLIC_ENDPOINT,
    address_group,
    is_private_endpoint,
    normalize_public_key,
)
from .models import (
    Config,
    ConfigUpdate,
    Relay,
    RelayStatus,
    TestMessage,
    TestMessageResponse,
)
from .nostr import relay as nostr_relay
from .nostr.errors import NostrError
from .nostr.event import EncryptedDirectMessage
from .nostr.key import PrivateKey
from .nostr.relay_url import normalize_relay_url
from .router import NostrRouter, all_routers, nostr_client

nostrclient_api_router = APIRouter()


# Relays


@nostrclient_api_router.get("/api/v1/relays", dependencies=[Depends(check_admin)])
async def api_get_relays() -> list[Relay]:
    """List all relays, those that other extensions added included."""
    stored = {_known_url(relay.url or ""): relay for relay in await get_relays()}
    manager = nostr_client.relay_manager
    shown = [
        _shown(relay, stored.get(url), manager.is_active(url))
        for url, relay in list(manager.relays.items())
    ]
    missing = [relay for url, relay in stored.items() if url not in manager.relays]
    return shown + missing


@nostrclient_api_router.post(
    "/api/v1/relay", status_code=HTTPStatus.OK, dependencies=[Depends(check_admin)]
)
async def api_add_relay(relay: Relay, request: Request) -> list[Relay]:
    """Add a relay and connect to it."""
    url = _valid_url(relay.url)
    if _is_own_endpoint(url, request):
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "This is nostrclient's own endpoint."
        )
    stored = {_known_url(known.url or "") for known in await get_relays()}
    if url in stored:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"Relay: {url} already exists.")
    await add_relay(Relay(id=urlsafe_short_hash(), url=url, active=True))
    nostr_client.relay_manager.add_relay(url)
    return await api_get_relays()


@nostrclient_api_router.delete(
    "/api/v1/relay", status_code=HTTPStatus.OK, dependencies=[Depends(check_admin)]
)
async def api_delete_relay(relay: Relay) -> None:
    """Remove a relay."""
    if not relay.url:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Relay url not provided.")
    url = _known_url(relay.url)
    nostr_client.relay_manager.remove_relay(url)
    for stored in await get_relays():
        if _known_url(stored.url or "") == url:
            await delete_relay(stored)


def _shown(relay: nostr_relay.Relay, stored: Relay | None, active: bool) -> Relay:
    return Relay(
        id=stored.id if stored else relay.url,
        url=relay.url,
        active=active,
        connected=relay.connected,
        connected_string=relay.status.value,
        status=RelayStatus(
            num_sent_events=relay.num_sent_events,
            num_received_events=relay.num_received_events,
            error_counter=relay.error_counter,
            error_list=relay.error_list,
            notice_list=relay.notice_list,
        ),
        ping=relay.ping,
    )


def _valid_url(url: str | None) -> str:
    if not url:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Relay url not provided.")
    try:
        return normalize_relay_url(url)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error


def _known_url(url: str) -> str:
    try:
        return normalize_relay_url(url)
    except NostrError:
        return url


def _is_own_endpoint(url: str, request: Request) -> bool:
    base = str(request.base_url).rstrip("/").replace("http", "ws", 1)
    own = normalize_relay_url(f"{base}/nostrclient/api/v1")
    return url.startswith(f"{own}/")


# The test panel


@nostrclient_api_router.put(
    "/api/v1/relay/test", status_code=HTTPStatus.OK, dependencies=[Depends(check_admin)]
)
async def api_test_endpoint(data: TestMessage) -> TestMessageResponse:
    """Make a signed direct message, to be sent through an endpoint."""
    try:
        to_public_key = normalize_public_key(data.reciever_public_key)
        secret = data.sender_private_key
        private_key = PrivateKey(bytes.fromhex(secret)) if secret else PrivateKey()
        message = EncryptedDirectMessage(
            recipient_pubkey=to_public_key, cleartext_content=data.message
        )
        private_key.sign_event(message)
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
    return TestMessageResponse(
        private_key=private_key.hex(),
        public_key=to_public_key,
        event_json=message.to_message(),
    )


# Configuration


@nostrclient_api_router.get("/api/v1/config", dependencies=[Depends(check_admin)])
async def api_get_config() -> Config:
    """Tell which endpoints are open."""
    return await get_config()


@nostrclient_api_router.put("/api/v1/config", dependencies=[Depends(check_admin)])
async def api_update_config(data: ConfigUpdate) -> Config:
    """Open or close endpoints; what is not named stays as it is."""
    stored = await get_config()
    config = Config(**{**stored.dict(), **data.dict(exclude_none=True)})
    await update_config(config)
    for router in list(all_routers):
        if not (config.public_ws if router.is_public else config.private_ws):
            await router.stop()
    return config


# The endpoints


@nostrclient_api_router.websocket("/api/v1/{ws_id:path}")
async def ws_relay(ws_id: str, websocket: WebSocket) -> None:
    """Serve a client as one Nostr relay (NIP-01) in front of many.

    A refused client gets HTTP 403 before the upgrade.
    """
    is_public = ws_id.rstrip("/") == PUBLIC_ENDPOINT
    address = websocket.client.host if websocket.client else ""
    refusal = await _refusal(ws_id, is_public, address)
    if refusal is not None:
        logger.debug(f"WebSocket refused: {refusal}")
        await websocket.close()
        return
    await websocket.accept()
    await NostrRouter(websocket, is_public=is_public, address=address).run()


async def _refusal(ws_id: str, is_public: bool, address: str) -> str | None:
    config = await get_config()
    if is_public and not config.public_ws:
        return "the public endpoint is closed"
    if not is_public and not config.private_ws:
        return "the private endpoint is closed"
    if not is_public and not is_private_endpoint(ws_id):
        return "there is no such endpoint"
    settings = nostr_client.relay_manager.settings
    limits = settings.public if is_public else settings.private
    same = [router for router in all_routers if router.is_public == is_public]
    if len(same) >= limits.connections:
        return "too many connections"
    group = address_group(address)
    if group is not None:
        alike = sum(address_group(router.address) == group for router in same)
        if alike >= limits.connections_per_address:
            return f"too many connections from {group}"
    return None
