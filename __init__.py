"""nostrclient: an always-on connection to Nostr for LNbits and its extensions.

LNbits loads this package as an extension and calls `nostrclient_start` and
`nostrclient_stop` at run time, any number of times.
"""

# ruff: noqa: E402  # the imports need the statements before them

import sys

# An earlier version that LNbits could not load, e.g. for a missing library, leaves the
# modules that it did import behind, under the names of ours.
for _name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
    del sys.modules[_name]

from fastapi import APIRouter

from .generations import remember_modules, restore_modules

restore_modules()

from .crud import db
from .tasks import start, stop
from .views import nostrclient_generic_router
from .views_api import nostrclient_api_router
from .views_endpoints import nostrclient_endpoints_router
from .views_history import nostrclient_history_router
from .views_http import nostrclient_http_router
from .views_identities import nostrclient_identities_router
from .views_live import nostrclient_live_router
from .views_metrics import nostrclient_metrics_router
from .views_private_urls import nostrclient_private_urls_router

remember_modules(__name__)

nostrclient_static_files = [
    {
        "path": "/nostrclient/static",
        "name": "nostrclient_static",
    }
]

nostrclient_ext: APIRouter = APIRouter(prefix="/nostrclient", tags=["nostrclient"])
nostrclient_ext.include_router(nostrclient_generic_router)
nostrclient_ext.include_router(nostrclient_identities_router)
nostrclient_ext.include_router(nostrclient_private_urls_router)
nostrclient_ext.include_router(nostrclient_live_router)
nostrclient_ext.include_router(nostrclient_history_router)
nostrclient_ext.include_router(nostrclient_metrics_router)
nostrclient_ext.include_router(nostrclient_api_router)
nostrclient_ext.include_router(nostrclient_http_router)
nostrclient_ext.include_router(nostrclient_endpoints_router)  # last: matches any path


def nostrclient_start() -> None:
    """Start everything; does nothing if it was started already."""
    start()


async def nostrclient_stop() -> None:
    """End every thread, task and socket; `nostrclient_start` begins anew."""
    await stop()


__all__ = [
    "db",
    "nostrclient_ext",
    "nostrclient_start",
    "nostrclient_static_files",
    "nostrclient_stop",
]
