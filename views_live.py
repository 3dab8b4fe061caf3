"""Pushes changes to the admin's page: a ticket, then a WebSocket."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException, WebSocket
from lnbits.decorators import check_admin

from . import live
from .models import REFUSED, LivePath, conflict
from .nostr import clock

nostrclient_live_router = APIRouter()


@nostrclient_live_router.post(
    "/api/v1/live",
    dependencies=[Depends(check_admin)],
    summary="Open a push of changes",
    responses=REFUSED | conflict("Too many pages are connected"),
)
async def api_open_live() -> LivePath:
    """Return the path of a WebSocket that pushes changes; valid once, for 30 seconds.

    A browser cannot send the session with a WebSocket's handshake.
    """
    if len(live.listeners) >= live.MAX_LISTENERS:
        reason = f"{live.MAX_LISTENERS} pages are connected already."
        raise HTTPException(HTTPStatus.CONFLICT, reason)
    return LivePath(path=f"/nostrclient/api/v1/live/{live.issue_ticket(clock.now())}")


@nostrclient_live_router.websocket("/api/v1/live/{ticket}")
async def ws_live(ticket: str, websocket: WebSocket) -> None:
    """Push changes; a refused page gets HTTP 403 before the upgrade."""
    good = live.redeem_ticket(ticket, clock.now())
    if not good or len(live.listeners) >= live.MAX_LISTENERS:
        await websocket.close()
        return
    await live.Listener(websocket).run()
