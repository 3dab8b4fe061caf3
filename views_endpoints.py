"""The two WebSocket endpoints that clients connect to, and their NIP-11 documents."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, Response

from . import services
from .client_address import client_address, is_blocked
from .configuration import Part, configuration
from .endpoint_face import human_page, information_fields
from .helpers import (
    PUBLIC_ENDPOINT,
    accepts_information,
    address_group,
    private_url_id,
)
from .instances import instances
from .models import Face
from .nostr.information import own_document
from .private_urls import private_urls
from .router import NostrRouter, all_routers, nostr_client, refused_connections

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "*",
}


nostrclient_endpoints_router = APIRouter()


@nostrclient_endpoints_router.head("/api/v1/{ws_id:path}", include_in_schema=False)
@nostrclient_endpoints_router.get("/api/v1/{ws_id:path}", include_in_schema=False)
async def endpoint_information(ws_id: str, request: Request) -> Response:
    """Say what the endpoint is: to programs as NIP-11 has it, to people in words."""
    is_public = ws_id.rstrip("/") == PUBLIC_ENDPOINT
    if not is_public and private_urls.refusal(private_url_id(ws_id)):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such endpoint.")
    if not accepts_information(request.headers.getlist("accept")):
        face = configuration.config.face if is_public else Face()
        page = human_page(face, face.public_url or _own_url(request), _state(is_public))
        return HTMLResponse(page, headers=CORS | {"Vary": "Accept"})
    manager = nostr_client.relay_manager
    settings = manager.settings
    document = own_document(
        settings.public if is_public else settings.private,
        settings,
        manager.instance_id,
        counts=manager.can_count,
        searches=manager.can_search,
        authenticates=manager.challenges_clients
        or (is_public and NostrRouter.guests.needs_auth),
    )
    if is_public:
        document |= information_fields(configuration.config.face)
        document["limitation"] |= {
            "auth_required": NostrRouter.guests.auth_to_read,
            "restricted_writes": NostrRouter.guests.restricts_writes,
        }
    return JSONResponse(
        document,
        headers=CORS | {"Vary": "Accept"},
        media_type="application/nostr+json",
    )


def _own_url(request: Request) -> str:
    """Return the URL of the endpoint, as the page was reached."""
    scheme = "wss" if request.url.scheme == "https" else "ws"
    return f"{scheme}://{request.url.netloc}{request.url.path}"


def _state(is_public: bool) -> str:
    """Return one sentence on whether the endpoint is of use now."""
    config = configuration.config
    if not (config.public_ws if is_public else config.private_ws):
        return "State: closed by its operator."
    if services.can_publish() and services.can_receive():
        return "State: open; relays accept events and serve requests."
    return "State: open, but its relays are out of reach now."


@nostrclient_endpoints_router.options("/api/v1/{ws_id:path}", include_in_schema=False)
async def endpoint_options() -> Response:
    """Allow every origin to read the information document (NIP-11)."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=CORS)


@nostrclient_endpoints_router.websocket("/api/v1/{ws_id:path}")
async def ws_relay(ws_id: str, websocket: WebSocket) -> None:
    """Serve a client as one Nostr relay (NIP-01) in front of many.

    A refused client gets HTTP 403 before the upgrade.
    """
    is_public = ws_id.rstrip("/") == PUBLIC_ENDPOINT
    address = client_address(websocket)
    url_id = private_url_id(ws_id) or ""
    refusal = await _refusal(ws_id, is_public, address)
    if refusal is not None:
        NostrRouter.refusal_log.log("INFO", f"a client was refused: {refusal}")
        # Without the address: a metric has no label for each of them.
        reason = refusal.partition(" from ")[0]
        refused_connections["public" if is_public else "private"][reason] += 1
        await websocket.close()
        return
    agent = websocket.headers.get("user-agent", "")
    private_urls.note_use(url_id)
    await NostrRouter(
        websocket,
        is_public=is_public,
        address=address,
        agent=agent,
        private_url=url_id,
        reads_private_messages=private_urls.reads_private_messages(url_id),
    ).run()
    private_urls.note_use(url_id)


async def _refusal(ws_id: str, is_public: bool, address: str) -> str | None:
    """Return why a client is not let in; None if it is.

    Nothing is awaited after the configuration was read: an endpoint that is closed
    meanwhile closes exactly the clients that are counted by then.
    """
    settings = nostr_client.relay_manager.settings
    await configuration.wait_for(Part.SETTINGS, settings.load_seconds)
    url_id = private_url_id(ws_id)
    if url_id:
        await configuration.wait_for(Part.URLS, settings.load_seconds)
    config = configuration.config
    if instances.refuses:
        return "another process of this LNbits serves nostrclient"
    if is_blocked(address):
        return "the address is blocked"
    if is_public and not NostrRouter.guests.admits(address):
        return "the address is not allowed"
    if is_public and not config.public_ws:
        return "the public endpoint is closed"
    if not is_public and not config.private_ws:
        return "the private endpoint is closed"
    if not is_public and (refusal := private_urls.refusal(url_id)):
        return refusal
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
