"""Pushes changes to the admin's page: a ticket, then a WebSocket."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException, WebSocket
from lnbits.core.models import Account
from lnbits.decorators import check_admin

from . import live
from .client_address import client_address, is_blocked
from .models import REFUSED, LivePath, conflict
from .nostr import clock

nostrclient_live_router = APIRouter()


@nostrclient_live_router.post(
    "/api/v1/live",
    summary="Open a push of changes",
    responses=REFUSED | conflict("Too many pages are connected"),
)
async def api_open_live(account: Account = Depends(check_admin)) -> LivePath:
    """Return the path of a WebSocket that pushes changes; valid for 30 seconds, once
    at each LNbits on the database.

    A browser cannot send the session with a WebSocket's handshake.
    """
    if len(live.listeners) >= live.MAX_LISTENERS:
        reason = f"{live.MAX_LISTENERS} pages are connected already."
        raise HTTPException(HTTPStatus.CONFLICT, reason)
    ticket = live.issue_ticket(account.id, clock.wall())
    return LivePath(path=f"/nostrclient/api/v1/live/{ticket}")


@nostrclient_live_router.websocket("/api/v1/live/{ticket}")
async def ws_live(ticket: str, websocket: WebSocket) -> None:
    """Push changes; a refused page gets HTTP 403 before the upgrade."""
    account_id = live.redeem_ticket(ticket, clock.wall())
    is_full = len(live.listeners) >= live.MAX_LISTENERS
    if account_id is None or is_full or is_blocked(client_address(websocket)):
        await websocket.close()
        return
    await live.Listener(websocket, account_id).run()
