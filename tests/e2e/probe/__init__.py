"""An LNbits extension for the tests, which tells what runs in the server's process.

From outside one sees threads and sockets, but no asyncio task.
"""

import asyncio
import sys
import threading
from types import FrameType

from fastapi import APIRouter

probe_ext = APIRouter(prefix="/probe")
probe_static_files: list[dict[str, str]] = []


def probe_start() -> None:
    """Nothing to start; LNbits demands the function."""


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
