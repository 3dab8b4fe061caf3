"""Keeps the secret of a private URL out of the server's log.

uvicorn logs the path of each connection, and LNbits shows its log to the admin. Whoever
reads the path of a private connection can use the private endpoint.
"""

from __future__ import annotations

import logging
from urllib.parse import unquote

from .helpers import is_private_endpoint

PREFIX = "/nostrclient/api/v1/"
HIDDEN = f"{PREFIX}…"
LOGGERS = ("uvicorn.access", "uvicorn.error")


class SecretFilter(logging.Filter):
    """Replaces the paths of the private endpoint in log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record's arguments; every record passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_secret, record.args))
        return True


_filter = SecretFilter()


def install() -> None:
    """Hide the secrets from now on."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)


def remove() -> None:
    """Leave the server's log as it was."""
    for name in LOGGERS:
        logging.getLogger(name).removeFilter(_filter)


def _without_secret(argument: object) -> object:
    if not isinstance(argument, str) or not argument.startswith(PREFIX):
        return argument
    ws_id = unquote(argument.removeprefix(PREFIX).partition("?")[0])
    return HIDDEN if is_private_endpoint(ws_id) else argument
