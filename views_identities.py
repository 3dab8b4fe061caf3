"""The REST API of the reader keys and of nostrmarket's merchants."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException
from lnbits.core.models import Account
from lnbits.decorators import check_admin

from .admin_log import log_change
from .configuration import configuration
from .crud import add_identity, delete_identity, update_merchants_enabled
from .helpers import encrypt_identity, normalize_public_key, read_private_key
from .identities import identities, reader_key
from .models import (
    REFUSED,
    Merchants,
    MerchantsUpdate,
    ReaderKey,
    ReaderKeyRef,
    ReaderKeyUpdate,
    StoredIdentity,
    conflict,
    not_found,
)
from .nostr.errors import NostrError
from .router import nostr_client

nostrclient_identities_router = APIRouter(
    responses=REFUSED, dependencies=[Depends(check_admin)]
)


@nostrclient_identities_router.get("/api/v1/identities", summary="List the reader keys")
async def api_get_identities() -> list[ReaderKey]:
    """List the stored reader keys, without their secrets."""
    return identities.shown()


@nostrclient_identities_router.post(
    "/api/v1/identities",
    status_code=HTTPStatus.OK,
    summary="Add a reader key",
    responses=conflict("The key is there already"),
)
async def api_add_identity(
    data: ReaderKeyUpdate, account: Account = Depends(check_admin)
) -> ReaderKey:
    """Store a reader key, encrypted, and use it at once."""
    try:
        key = read_private_key(data.nsec)
        encrypted = encrypt_identity(key)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    if key == nostr_client.relay_manager.identity:
        raise HTTPException(HTTPStatus.CONFLICT, "This is the service key already.")
    pubkey = key.public_key.hex()
    label = data.label.strip()
    async with configuration.lock:
        stored = StoredIdentity(pubkey=pubkey, secret=encrypted, label=label)
        if not await add_identity(stored):
            raise HTTPException(HTTPStatus.CONFLICT, "This key is stored already.")
        identities.add(key, label)
    log_change(account, f"reader key {pubkey} is added")
    return reader_key(pubkey, label)


@nostrclient_identities_router.delete(
    "/api/v1/identities",
    summary="Remove a reader key",
    responses=not_found("The key is not stored"),
)
async def api_delete_identity_of(
    data: ReaderKeyRef, account: Account = Depends(check_admin)
) -> list[ReaderKey]:
    """Delete a reader key from the database and from memory."""
    try:
        pubkey = normalize_public_key(data.pubkey)
    except NostrError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    async with configuration.lock:
        if not await delete_identity(pubkey):
            raise HTTPException(HTTPStatus.NOT_FOUND, "This key is not stored.")
        identities.remove(pubkey)
    log_change(account, f"reader key {pubkey} is removed")
    return identities.shown()


@nostrclient_identities_router.get(
    "/api/v1/merchants", summary="List nostrmarket's merchants"
)
async def api_get_merchants() -> Merchants:
    """List the merchants of nostrmarket on this server, whether their keys are used."""
    return await identities.merchants()


@nostrclient_identities_router.put(
    "/api/v1/merchants", summary="Use the merchants' keys or not"
)
async def api_update_merchants(
    data: MerchantsUpdate, account: Account = Depends(check_admin)
) -> Merchants:
    """Use the keys of nostrmarket's merchants as reader keys, or stop using them.

    They are held in memory only. Switched off, they are gone from memory at once.
    """
    async with configuration.lock:
        await update_merchants_enabled(data.enabled)
        await identities.set_merchants(data.enabled)
    are_used = "used" if data.enabled else "not used any more"
    log_change(account, f"the keys of nostrmarket's merchants are {are_used}")
    return await identities.merchants()
