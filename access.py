"""Authorisation beyond LNbits' own checks."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Depends, HTTPException, Request
from lnbits.core.models import Account
from lnbits.decorators import check_access_token, check_account_exists, check_admin
from lnbits.settings import settings
from pydantic import UUID4


async def check_signed_in(
    request: Request,
    access_token: str | None = Depends(check_access_token),
    usr: UUID4 | None = None,
) -> Account:
    """Return the account of any signed-in user.

    LNbits refuses a user who has not enabled the extension that a path belongs to.
    Pages of other extensions ask for the relays of such users, too.
    """
    try:
        return await check_account_exists(request, access_token, usr)
    except HTTPException as error:
        if error.status_code != HTTPStatus.FORBIDDEN:
            raise
    elsewhere = Request({**request.scope, "path": "/api/v1/auth"})
    return await check_account_exists(elsewhere, access_token, usr)


async def is_admin(account: Account) -> bool:
    """Return whether LNbits lets an account change the server's settings."""
    try:
        await check_admin(account)
    except HTTPException:
        return False
    return True


def is_admin_id(account_id: str) -> bool:
    """Return whether an account is an admin's at this moment."""
    return (
        account_id == settings.super_user or account_id in settings.lnbits_admin_users
    )
