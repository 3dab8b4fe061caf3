"""Sends a client all that is there at once, past ASGI where the server lets us.

Ends the connection, too, whatever the other end does.

Messages go through Starlette, LNbits' middleware, uvicorn and `websockets` one at a
time, and that costs half as much as all else that is done for an event, its signature
apart. Where the server is uvicorn with `websockets`, as it is under LNbits, the frames
of many are put together here (RFC 6455, section 5.2) and written in one piece.
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
    """The way to one client."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        protocol = _server_side(websocket)
        is_known = all(hasattr(protocol, name) for name in _NEEDED)
        self._protocol: Any = protocol if is_known else None

    @property
    def burst(self) -> int:
        """How many messages may be given to `send` at a time.

        As many as are written before anything else can happen: 1 where it takes ASGI.
        """
        return BURST_MESSAGES if self._is_direct else 1

    async def send(self, texts: Sequence[str]) -> None:
        """Send messages, and wait while the client does not keep up.

        Once the client is gone it raises what the server raises then.
        """
        if self._is_direct:
            self._protocol.transport.write(b"".join(map(_frame, texts)))
            await self._protocol.drain()
        else:
            for text in texts:
                await self._websocket.send_text(text)

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection (RFC 6455), in a little more than `CLOSE_SECONDS` at most.

        The server waits longer for the answer to its closing frame, and for ever until
        what was sent before is read: who does neither would keep the socket.
        """
        closing = asyncio.ensure_future(self._websocket.close(code, reason))
        try:
            await asyncio.wait([closing], timeout=CLOSE_SECONDS)
            if closing.done():
                closing.result()
                return
            transport = getattr(_server_side(self._websocket), "transport", None)
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
        # Extensions would have to be applied to what is sent.
        return (
            protocol is not None
            and protocol.state is State.OPEN
            and not protocol.extensions
        )


def refuse_compression(websocket: WebSocket) -> None:
    """Keep uvicorn from agreeing on permessage-deflate (RFC 7692) with this client.

    It is on by default, and 64 KiB become 64 MiB at once, before anybody is asked: an
    invitation to hold up the host. ASGI has no word for it; where the server is another
    one, or looks different inside, nothing happens. To be called before the handshake.
    """
    offered = getattr(_server_side(websocket), "available_extensions", None)
    if isinstance(offered, list):
        offered.clear()


def _server_side(websocket: WebSocket) -> Any:
    """Give the server's own object for the connection; anything, for other servers."""
    return getattr(websocket._receive, "__self__", None)


def _frame(text: str) -> bytes:
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
