"""The history of the relays, for the admin page and other programs."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from lnbits.decorators import check_admin

from . import history
from .models import REFUSED, History, RelayHistory
from .nostr import clock
from .nostr.relay_url import known_relay_url

nostrclient_history_router = APIRouter(responses=REFUSED)


@nostrclient_history_router.get(
    "/api/v1/history",
    dependencies=[Depends(check_admin)],
    summary="Get the history of all relays",
)
async def api_get_history() -> History:
    """Get a week of all relays together, hour by hour, and each relay's uptime."""
    return await history.of_all(clock.wall())


@nostrclient_history_router.get(
    "/api/v1/history/relay",
    dependencies=[Depends(check_admin)],
    summary="Get the history of a relay",
)
async def api_get_relay_history(url: str) -> RelayHistory:
    """Get a week of one relay, in parts of 30 minutes, and when it was down."""
    return await history.of_relay(known_relay_url(url), clock.wall())
