"""The operator's rules for relays that are named with a query or an event (H10)."""

from __future__ import annotations

from lnbits.settings import settings as host_settings

from .nostr.errors import InvalidMessage
from .nostr.relay_url import normalize_relay_url
from .router import NostrRouter


def check_named_url(url: str) -> str:
    """Return a named relay's URL in its normal form.

    Raises `InvalidMessage` where it is none, or our own, or where LNbits' rules for
    callback URLs do not allow it.
    """
    try:
        from lnbits.helpers import check_callback_url  # not in every version
    except ImportError as error:
        raise InvalidMessage("this LNbits has no rules for URLs") from error
    try:
        url = normalize_relay_url(url)
        check_callback_url(url.replace("ws", "http", 1).partition("?")[0])
    except ValueError as error:
        raise InvalidMessage(f"{url[:200]}: {error}") from error
    if url == NostrRouter.public_url:
        raise InvalidMessage(f"{url}: it is this endpoint")
    return url


def public_only() -> bool:
    """Return whether no private address may be connected to."""
    return not getattr(host_settings, "lnbits_callback_allow_private_ips", False)
