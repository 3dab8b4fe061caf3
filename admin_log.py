"""The log's lines about what an admin changed; no line holds a secret."""

from __future__ import annotations

from collections.abc import Iterator

from lnbits.core.models import Account

from .models import Config
from .nostr.log import logger
from .nostr.message import printable
from .nostr.settings import SETTINGS

SHOWN_CHARACTERS = 8
"""Of a user's id: enough to tell admins apart, and no way to sign in."""


def log_change(account: Account, what: str) -> None:
    """Log what an admin changed."""
    logger.info(f"admin {account.id[:SHOWN_CHARACTERS]}: {printable(what)}")


def log_config_changes(account: Account, before: Config, after: Config) -> None:
    """Log each difference between two configurations."""
    for what in config_changes(before, after):
        log_change(account, what)


def config_changes(before: Config, after: Config) -> Iterator[str]:
    """Yield in words what differs between two configurations."""
    for name in ("private", "public"):
        is_open = getattr(after, f"{name}_ws")
        if is_open != getattr(before, f"{name}_ws"):
            yield f"the {name} endpoint is {'opened' if is_open else 'closed'}"
    for name in sorted(before.settings.keys() | after.settings.keys()):
        known = SETTINGS.get(name)
        if known is None:  # of another version, and not used by this one
            continue
        old = before.settings.get(name, known.default)
        new = after.settings.get(name, known.default)
        if old != new:
            yield f"setting {name}: {old:.12g} becomes {new:.12g}"
    if (before.proxy_url, before.proxy_mode) != (after.proxy_url, after.proxy_mode):
        yield "the proxy is changed"  # its URL may hold a password
    if before.face != after.face:
        yield "what the public endpoint says of itself is changed"
    if before.guests != after.guests:
        yield "the rules for guests are changed"
