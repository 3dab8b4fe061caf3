"""An LNbits extension for the benchmark: what the machine could do without the work.

`pipe` forwards the same relays' frames through a WebSocket endpoint of the same server
and parses, checks and deduplicates nothing. `verify` checks events and does nothing
else with them.
"""

import asyncio
import time

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

bench_pipe_ext = APIRouter(prefix="/bench_pipe")
bench_pipe_static_files: list[dict[str, str]] = []


def bench_pipe_start() -> None:
    """Nothing to start; LNbits demands the function."""


@bench_pipe_ext.websocket("/api/v1/pipe")
async def pipe(websocket: WebSocket, relays: str) -> None:
    """Forward everything between a client and some relays."""
    await websocket.accept()
    upstream: list[ClientConnection] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        for url in relays.split(","):
            relay = await connect(url, compression=None, max_size=None)
            upstream.append(relay)
            tasks.append(asyncio.create_task(_forward(relay, websocket)))
        while True:
            text = await websocket.receive_text()
            for relay in upstream:
                await relay.send(text)
    except WebSocketDisconnect:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for relay in upstream:
            await relay.close()


async def _forward(relay: ClientConnection, websocket: WebSocket) -> None:
    async for frame in relay:
        if isinstance(frame, str):
            await websocket.send_text(frame)


@bench_pipe_ext.post("/api/v1/verify")
def verify(texts: list[str]) -> float:
    """Check events in a thread of their own; gives its CPU seconds."""
    from nostrclient.nostr.event import SignedEvent

    began = time.thread_time()
    for text in texts:
        SignedEvent.parse(text)
    return time.thread_time() - began
