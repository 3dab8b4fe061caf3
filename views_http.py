"""Publishing and querying over plain HTTP: routes, callers and sizes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request, Security
from fastapi.responses import Response
from fastapi.routing import APIRoute
from lnbits.decorators import (
    api_key_header,
    check_access_token,
    check_account_exists,
    require_invoice_key,
)
from pydantic.types import UUID4

from . import http_requests
from .http_requests import InvalidRequestError, StoppedError, TooManyRequestsError
from .models import (
    REFUSED,
    Problem,
    PublishAnswer,
    PublishRequest,
    QueryAnswer,
    QueryRequest,
    Responses,
    not_found,
)
from .router import nostr_client

PROBLEMS = (InvalidRequestError, StoppedError, TooManyRequestsError)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

LIMITED: Responses = {
    413: {"model": Problem, "description": "The request is larger than 64 KiB"},
    503: {"model": Problem, "description": "nostrclient was stopped meanwhile"},
    429: {"model": Problem, "description": "Too many requests; try again in a second"},
}


class SmallBodyRoute(APIRoute):
    """A route that refuses a body above `http_request_bytes` before parsing it."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's own handler, behind the limit."""
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            body = await _read_body(request)

            async def replay() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handle(Request(request.scope, replay))

        return limited


async def _read_body(request: Request) -> bytes:
    limit = nostr_client.relay_manager.settings.http_request_bytes
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The request is larger than {limit} bytes.",
            )
    return body


nostrclient_http_router = APIRouter(
    route_class=SmallBodyRoute, responses=REFUSED | LIMITED
)


async def get_caller(
    request: Request,
    api_key: str | None = Security(api_key_header),
    access_token: str | None = Depends(check_access_token),
    usr: UUID4 | None = None,
) -> str:
    """Return the id of the user to whom the wallet's key or the session belongs."""
    if not api_key:
        account = await check_account_exists(request, access_token, usr)
        return str(account.id)
    try:
        found = await require_invoice_key(request, api_key, "")
    except HTTPException as error:
        if error.status_code != HTTPStatus.NOT_FOUND:
            raise
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "No wallet's key.") from None
    return str(found.wallet.user)


def _refused(error: Exception) -> HTTPException:
    if isinstance(error, TooManyRequestsError):
        # LNbits passes no headers of an exception on, so there is no Retry-After.
        return HTTPException(HTTPStatus.TOO_MANY_REQUESTS, f"rate-limited: {error}")
    if isinstance(error, StoppedError):
        return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return HTTPException(HTTPStatus.BAD_REQUEST, str(error))


async def _size(request: Request) -> int:
    return len(await request.body())


@nostrclient_http_router.post("/api/v1/publish", summary="Publish an event")
async def api_publish(
    data: PublishRequest, request: Request, caller_id: str = Depends(get_caller)
) -> PublishAnswer:
    """Publish a signed event and return what its publisher is told.

    It goes to the relays that are named, or else to all configured ones.

    `accepted` is true once a relay has the event, or the outbox keeps it (`queued:`).
    With `wait` the answer comes when all relays have answered, or that much later.
    """
    try:
        return await http_requests.serve(
            caller_id,
            await _size(request),
            lambda caller: http_requests.publish(
                caller_id, caller, data.event, data.wait, data.relays
            ),
            len(data.relays),
        )
    except PROBLEMS as error:
        raise _refused(error) from error


@nostrclient_http_router.get(
    "/api/v1/publish/{event_id}",
    summary="Return what relays said of a published event",
    responses=not_found("You have not published this event lately"),
)
async def api_get_published(
    event_id: str, caller_id: str = Depends(get_caller)
) -> PublishAnswer:
    """Return what relays have said since of an event that you published over HTTP."""
    try:
        found = await http_requests.serve(
            caller_id,
            0,
            lambda caller: http_requests.published(caller_id, caller, event_id),
        )
    except PROBLEMS as error:
        raise _refused(error) from error
    if found is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, "You have not published this event lately."
        )
    return found


@nostrclient_http_router.post(
    "/api/v1/query",
    summary="Query stored events",
    response_model=QueryAnswer,
)
async def api_query(
    data: QueryRequest, request: Request, caller_id: str = Depends(get_caller)
) -> Response:
    """Return the stored events that match any of the filters, newest first.

    `cursor` of an answer leads to the next page; it is null after the last one.
    `complete` says whether every relay has answered.
    """
    try:
        text = await http_requests.serve(
            caller_id,
            await _size(request),
            lambda _: http_requests.query(
                caller_id,
                data.filters,
                data.limit,
                data.cursor,
                data.relays,
                data.wait,
            ),
            len(data.relays),
        )
    except PROBLEMS as error:
        raise _refused(error) from error
    return Response(text, media_type="application/json")
