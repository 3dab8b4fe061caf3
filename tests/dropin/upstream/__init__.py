"""Stands where upstream's extension would: older than the tables it finds."""

import os

from fastapi import APIRouter

from .crud import db
from .router import router

if os.environ.get("UPSTREAM_LACKS_A_LIBRARY"):
    raise ImportError("as upstream's, where LNbits no longer brings secp256k1")

nostrclient_ext = APIRouter(prefix="/nostrclient")
nostrclient_ext.include_router(router)
nostrclient_static_files: list[dict[str, str]] = []


def nostrclient_start() -> None:
    """Nothing to start."""


async def nostrclient_stop() -> None:
    """Stop nothing: upstream's leaves some connections open, too."""


__all__ = [
    "db",
    "nostrclient_ext",
    "nostrclient_start",
    "nostrclient_static_files",
    "nostrclient_stop",
]
