"""nostrclient: an always-on connection to Nostr for LNbits and its extensions.

LNbits loads this package as an extension and calls `nostrclient_start` and
`nostrclient_stop` at run time, any number of times.
"""

# ruff: noqa: E402  # what comes first is what the imports need

import sys

# Where LNbits could not load an earlier version, as happens when a library that it used
# is gone, the modules that it had come to are still there, under the names of ours.
for _name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
    del sys.modules[_name]

import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter

# LNbits drops an extension's modules at every activation, also of one that is active,
# and imports them afresh. What runs must neither be doubled nor lost, and other
# extensions hold what they imported. So unless the code has changed, its modules are
# put back; where it has, `tasks` takes over from the earlier generation.
_process = vars(
    sys.modules.setdefault("nostrclient_process", ModuleType("nostrclient_process"))
)
_folder = Path(__file__).parent
_sources = [*_folder.glob("*.py"), *(_folder / "nostr").rglob("*.py")]
_code = sha256(b"".join(path.read_bytes() for path in sorted(_sources))).digest()
if _process.get("code") == _code:
    for _name, _module in _process["modules"].items():
        sys.modules.setdefault(_name, _module)

from .crud import db  # after its modules were put back
from .tasks import start, stop
from .views import nostrclient_generic_router
from .views_api import nostrclient_api_router
from .views_live import nostrclient_live_router
from .views_metrics import nostrclient_metrics_router

_process["code"] = _code
_process["modules"] = {
    name: module
    for name, module in sys.modules.items()
    if name.startswith(f"{__name__}.")
}

nostrclient_static_files = [
    {
        "path": "/nostrclient/static",
        "name": "nostrclient_static",
    }
]

nostrclient_ext: APIRouter = APIRouter(prefix="/nostrclient", tags=["nostrclient"])
nostrclient_ext.include_router(nostrclient_generic_router)
nostrclient_ext.include_router(nostrclient_live_router)
nostrclient_ext.include_router(nostrclient_metrics_router)
nostrclient_ext.include_router(nostrclient_api_router)  # last: its paths take any


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
