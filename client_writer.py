"""Sends queued messages in one write, bypassing ASGI where uvicorn allows it.

ASGI passes each message through Starlette, LNbits' middleware, uvicorn and
`websockets`. That costs half as much as all other work for an event except its
signature. If the server is uvicorn with `websockets`, as under LNbits, the frames of
many messages are joined here (RFC 6455, section 5.2) and written at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import WebSocket
from websockets.frames import Frame, Opcode
from websockets.protocol import State

BURST_MESSAGES = 50
BURST_CHARACTERS = 64 * 1024
CLOSE_SECONDS = 2

_NEEDED = ("state", "extensions", "transport", "drain")


class ClientWriter:
    """Sends messages to one client and closes its connection."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        protocol = server_side(websocket)
        is_known = all(hasattr(protocol, name) for name in _NEEDED)
        self._protocol: Any = protocol if is_known else None

    @property
    def burst(self) -> int:
        """How many messages `send` accepts at a time.

        They are written before any other task runs. It is 1 if ASGI is needed.
        """
        return BURST_MESSAGES if self._is_direct else 1

    async def send(self, texts: Sequence[str]) -> None:
        """Send messages, and wait while the client reads too slowly.

        Raises the server's own errors once the client is gone.
        """
        if self._is_direct:
            self._protocol.transport.write(b"".join(map(_frame, texts)))
            await self._protocol.drain()
        else:
            for text in texts:
                await self._websocket.send_text(text)

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection (RFC 6455), within about `CLOSE_SECONDS`.

        The server waits longer for the client's closing frame, and without limit for
        the client to read earlier data. So a client that does neither is cut off.
        """
        closing = asyncio.ensure_future(self._websocket.close(code, reason))
        try:
            await asyncio.wait([closing], timeout=CLOSE_SECONDS)
            if closing.done():
                closing.result()
                return
            transport = getattr(server_side(self._websocket), "transport", None)
            if transport is not None:
                transport.abort()
        finally:
            closing.cancel()
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if closing.done() and not closing.cancelled():
            closing.result()

    @property
    def _is_direct(self) -> bool:
        protocol = self._protocol
        # Extensions would have to be applied to the frames.
        return (
            protocol is not None
            and protocol.state is State.OPEN
            and not protocol.extensions
        )


def refuse_compression(websocket: WebSocket) -> None:
    """Prevent permessage-deflate (RFC 7692) for this client.

    Uvicorn offers it by default, and then 64 KiB become 64 MiB before any limit
    applies. ASGI has no option for it, so this works for uvicorn only and does nothing
    on other servers. Call it before the handshake.
    """
    offered = getattr(server_side(websocket), "available_extensions", None)
    if isinstance(offered, list):
        offered.clear()


def server_side(websocket: WebSocket) -> Any:
    """Return the server's own object for the connection; any object elsewhere."""
    return getattr(websocket._receive, "__self__", None)


def _frame(text: str) -> bytes:
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
