"""Generations of this code: what survives a reload of the modules.

LNbits drops an extension's modules from `sys.modules` at every activation, also of an
active extension, and imports them afresh. Running tasks must neither be doubled nor
lost, and other extensions keep the objects that they imported. Therefore:

- `process` is a module of its own, never dropped, in which a generation finds the one
  before it.
- Unless a source file has changed, the earlier modules are put back. Otherwise the new
  generation stops the earlier one and takes over its state (`tasks.start`).
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

process: dict[str, Any] = vars(
    sys.modules.setdefault("nostrclient_process", ModuleType("nostrclient_process"))
)


ROUTER_READS = "NostrRouter._client_to_nostr"
"""The coroutine in which upstream's router reads from its client, and ours as well."""


def _code_hash() -> bytes:
    folder = Path(__file__).parent
    sources = [*folder.glob("*.py"), *(folder / "nostr").rglob("*.py")]
    return sha256(b"".join(path.read_bytes() for path in sorted(sources))).digest()


_CODE_HASH = _code_hash()  # before any other module is imported


def restore_modules() -> None:
    """Put the modules of the earlier generation back, unless the code has changed."""
    if process.get("code") == _CODE_HASH:
        for name, module in process["modules"].items():
            sys.modules.setdefault(name, module)


def remember_modules(package: str) -> None:
    """Remember the package's modules for `restore_modules`."""
    process["code"] = _CODE_HASH
    process["modules"] = {
        name: module
        for name, module in sys.modules.items()
        if name.startswith(f"{package}.")
    }


async def close_other_clients(own: type) -> None:
    """Close the WebSockets of routers of another version than `own`.

    Upstream's `nostrclient_stop` misses some, and LNbits lets new ones in meanwhile.
    They would stay connected to code that serves nobody; a client whose connection is
    closed connects again.
    """
    for task in asyncio.all_tasks():
        coroutine: Any = task.get_coro()
        frame = getattr(coroutine, "cr_frame", None)
        name = getattr(coroutine, "__qualname__", None)
        if frame is None or name != ROUTER_READS:
            continue
        router = frame.f_locals.get("self")
        if router is not None and not isinstance(router, own):
            with suppress(Exception):  # whatever upstream's code raises
                await router.stop()
