"""An LNbits extension for the tests, which tells what runs in the server's process.

From outside one sees threads and sockets, but no asyncio task.
"""

import asyncio
import socket
import sys
import threading
from types import FrameType
from typing import Any

from fastapi import APIRouter, Depends
from lnbits.core.models import Account
from lnbits.decorators import check_access_token, check_account_exists

probe_ext = APIRouter(prefix="/probe")
probe_static_files: list[dict[str, str]] = []


_resolve = socket.getaddrinfo
_resolved: set[str] = set()


def _watched(host: Any, *args: Any, **kwargs: Any) -> Any:
    _resolved.add(str(host))
    return _resolve(host, *args, **kwargs)


def probe_start() -> None:
    """Watch which names the process asks the system's resolver for."""
    socket.getaddrinfo = _watched


@probe_ext.get("/resolved")
async def resolved() -> list[str]:
    """List the names that the process has asked the system's resolver for."""
    return sorted(_resolved)


@probe_ext.post("/wasm")
async def call_as_wasm_extension(
    call: dict[str, Any],
    account: Account = Depends(check_account_exists),
    access_token: str | None = Depends(check_access_token),
) -> dict[str, Any]:
    """Call nostrclient as a WASM extension of the user does: by LNbits' own host call.

    `error` is what the extension would get in place of an answer.
    """
    # LNbits before 1.6 has no such extensions.
    from lnbits.core.wasm_ext.api.host import ExtensionHostAPI
    from lnbits.core.wasm_ext.api.models import ExtensionApiRequest

    policies = [{"id": "nostrclient", "access": ["read", "write"]}]
    host = ExtensionHostAPI(
        "shop",
        [{"id": "extension.api.request", "policies": policies}],
        user_id=account.id,
        access_token=access_token,
    )
    try:
        request = ExtensionApiRequest(extension_id="nostrclient", **call)
        answer = await host.extension_api_request(request)
    except (ValueError, PermissionError) as error:
        return {"error": str(error)}
    return {"status": answer.status_code, "body": answer.body}


@probe_ext.get("/running/{package}")
async def running(package: str) -> dict[str, list[str]]:
    """List the threads and tasks that are inside code of a package right now."""
    return {
        "threads": [
            thread.name
            for thread in threading.enumerate()
            if thread is not threading.main_thread()
            and thread.ident is not None
            and _is_inside(sys._current_frames().get(thread.ident), package)
        ],
        "tasks": [
            f"{task.get_name()}: {task.get_coro()}"
            for task in asyncio.all_tasks()
            if any(_belongs(frame, package) for frame in task.get_stack())
        ],
    }


def _is_inside(frame: FrameType | None, package: str) -> bool:
    while frame:
        if _belongs(frame, package):
            return True
        frame = frame.f_back
    return False


def _belongs(frame: FrameType, package: str) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return package in name.split(".")
