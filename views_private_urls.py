"""The REST API of the private URLs that have a name."""

from __future__ import annotations

from http import HTTPStatus
from secrets import token_urlsafe

from fastapi import APIRouter, Depends, HTTPException
from lnbits.core.models import Account
from lnbits.decorators import check_admin

from .admin_log import log_change
from .configuration import configuration
from .crud import add_private_url, delete_private_url, update_private_url
from .models import (
    REFUSED,
    PrivateUrl,
    PrivateUrlCreation,
    PrivateUrlUpdate,
    StoredPrivateUrl,
    conflict,
    not_found,
)
from .nostr import clock
from .private_urls import private_urls
from .router import nostr_client

ID_BYTES = 16

nostrclient_private_urls_router = APIRouter(
    responses=REFUSED, dependencies=[Depends(check_admin)]
)


@nostrclient_private_urls_router.get(
    "/api/v1/private-urls", summary="List the private URLs"
)
async def api_get_private_urls() -> list[PrivateUrl]:
    """List the private URLs that have a name, oldest first, with their last use."""
    return private_urls.shown()


@nostrclient_private_urls_router.post(
    "/api/v1/private-urls",
    status_code=HTTPStatus.OK,
    summary="Create a private URL",
    responses=conflict("There are too many private URLs"),
)
async def api_add_private_url(
    data: PrivateUrlCreation, account: Account = Depends(check_admin)
) -> PrivateUrl:
    """Create a private URL for one app, valid until it is revoked."""
    url = StoredPrivateUrl(
        id=token_urlsafe(ID_BYTES),
        name=_checked_name(data.name),
        private_messages=data.private_messages,
        created_at=int(clock.wall()),
    )
    max_urls = nostr_client.relay_manager.settings.private_urls
    async with configuration.lock:
        if not await add_private_url(url, max_urls):
            raise HTTPException(
                HTTPStatus.CONFLICT, f"There are {max_urls} private URLs already."
            )
        await private_urls.load()
    log_change(account, f"private URL {url.name!r} is created")
    return _shown(url.id)


@nostrclient_private_urls_router.put(
    "/api/v1/private-urls/{url_id}",
    summary="Change a private URL",
    responses=not_found("No such URL"),
)
async def api_update_private_url(
    url_id: str, data: PrivateUrlUpdate, account: Account = Depends(check_admin)
) -> PrivateUrl:
    """Rename, open or close a private URL; closing it disconnects its clients."""
    changes = data.dict(exclude_none=True)
    if "name" in changes:
        changes["name"] = _checked_name(changes["name"])
    async with configuration.lock:
        if changes and not await update_private_url(url_id, changes):
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such private URL.")
        await private_urls.load()
    shown = _shown(url_id)
    if "name" in changes:
        log_change(account, f"a private URL is named {shown.name!r} now")
    if "is_open" in changes:
        state = "opened" if shown.is_open else "closed"
        log_change(account, f"private URL {shown.name!r} is {state}")
    return shown


@nostrclient_private_urls_router.delete(
    "/api/v1/private-urls/{url_id}",
    summary="Revoke a private URL",
    responses=not_found("No such URL"),
)
async def api_delete_private_url(
    url_id: str, account: Account = Depends(check_admin)
) -> list[PrivateUrl]:
    """Revoke a private URL for good, and disconnect its clients."""
    async with configuration.lock:
        names = {url.id: url.name for url in private_urls.shown()}
        if not await delete_private_url(url_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such private URL.")
        await private_urls.load()
    log_change(account, f"private URL {names.get(url_id)!r} is revoked")
    return private_urls.shown()


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "A private URL needs a name.")
    return name


def _shown(url_id: str) -> PrivateUrl:
    for url in private_urls.shown():
        if url.id == url_id:
            return url
    raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such private URL.")
