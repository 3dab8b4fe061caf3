"""Metrics for Prometheus and the health check, with their authorisation."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException, Request, Security
from fastapi.responses import PlainTextResponse, Response
from lnbits.core.crud import get_account
from lnbits.core.models import Account
from lnbits.decorators import (
    api_key_header,
    check_access_token,
    check_account_exists,
    check_admin,
    require_admin_key,
)

from . import services
from .metrics import CONTENT_TYPE, Measured, exposition
from .models import NOT_ALLOWED
from .nostr import clock
from .router import nostr_client

STARTED_AT = clock.wall()

nostrclient_metrics_router = APIRouter()


async def check_monitor(
    request: Request,
    api_key: str | None = Security(api_key_header),
    access_token: str | None = Depends(check_access_token),
) -> None:
    """Accept the admin key of an admin's wallet, or an admin's session.

    Monitoring has no session, and every user has a wallet with an admin key.
    """
    if api_key:
        account = await _owner(request, api_key)
    else:
        account = await check_account_exists(request, access_token)
    await check_admin(account)


async def _owner(request: Request, api_key: str) -> Account:
    try:
        found = await require_admin_key(request, api_key, "")
    except HTTPException as error:
        if error.status_code != HTTPStatus.NOT_FOUND:
            raise
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "No wallet's key.") from None
    account: Account | None = await get_account(found.wallet.user)
    if account is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "The wallet has no owner.")
    return account


@nostrclient_metrics_router.get(
    "/api/v1/metrics",
    dependencies=[Depends(check_monitor)],
    summary="Return the metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **NOT_ALLOWED,
    },
)
async def api_get_metrics() -> Response:
    """Return the metrics of the status, the relays and the endpoints."""
    text = exposition(
        Measured(
            status=services.status(),
            relays=services.relays(),
            endpoints=services.endpoints(),
            figures=nostr_client.relay_manager.message_pool.figures,
            version=services.VERSION,
            started_at=STARTED_AT,
        )
    )
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


@nostrclient_metrics_router.head("/api/v1/health", include_in_schema=False)
@nostrclient_metrics_router.get(
    "/api/v1/health",
    summary="Return whether Nostr works",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "Events can be published and received"},
        503: {
            "description": "They cannot",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        422: {"description": "Never: it has no parameters"},
    },
)
async def api_get_health() -> PlainTextResponse:
    """Return one word, for uptime monitors; needs no login."""
    if services.can_publish() and services.can_receive():
        return PlainTextResponse("ok")
    return PlainTextResponse("unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
