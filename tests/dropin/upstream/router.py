"""A WebSocket that nobody serves, like those that upstream leaves behind."""

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

router = APIRouter()


class NostrRouter:
    """A client's connection, with the names that upstream gives its parts."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.ended = asyncio.Event()
        self.task = asyncio.create_task(self._client_to_nostr())

    async def stop(self) -> None:
        """Close the connection."""
        self.ended.set()
        self.task.cancel()
        await self.websocket.close(reason="Websocket connection closed")

    async def _client_to_nostr(self) -> None:
        try:
            while True:
                await self.websocket.receive_text()
        except WebSocketDisconnect:
            self.ended.set()


@router.websocket("/api/v1/relay")
async def ws_relay(websocket: WebSocket) -> None:
    """Accept anybody."""
    await websocket.accept()
    await NostrRouter(websocket).ended.wait()
