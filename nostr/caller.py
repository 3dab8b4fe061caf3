"""Which LNbits extension called into this one, found by the code that is running.

Other extensions import the running client and name nobody when they add a relay. A
relay that one of them adds is for that extension alone, until the operator adopts it.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import PurePath
from types import FrameType

OURS = __name__.rpartition(".nostr.")[0]
FOLDER = "extensions"
PACKAGE = "lnbits.extensions."


@lru_cache(maxsize=1000)
def extension_of(module: str, path: str) -> str | None:
    """Return the extension that a module belongs to; None for any other code.

    LNbits imports `extensions/NAME/…` as `lnbits.extensions.NAME`, or as `NAME` with a
    custom path.
    """
    if module == OURS or module.startswith(f"{OURS}."):
        return None
    folders = PurePath(path).parts[:-1]
    if FOLDER not in folders[:-1]:
        return None
    last = len(folders) - 1 - folders[::-1].index(FOLDER, 1)
    name = folders[last + 1]
    package = module.removeprefix(PACKAGE)
    return name if package == name or package.startswith(f"{name}.") else None


def calling_extension() -> str | None:
    """Return the extension whose code called, directly or not; None for none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        found = extension_of(module, frame.f_code.co_filename)
        if found is not None:
            return found
        frame = frame.f_back
    return None
