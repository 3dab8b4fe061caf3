"""Sending many messages at once, through a real server and to a real client."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dev.ports import HOST, free_port, wait_until_open
from nostrclient.client_writer import (
    BURST_MESSAGES,
    CLOSE_SECONDS,
    ClientWriter,
    refuse_compression,
)
from nostrclient.router import CLIENT_GONE
from tests.e2e.clients import wait_until

TEXTS = [
    "a",
    *("x" * size for size in (125, 126, 65535, 65536, 300_000)),
    "ü" * 63,  # 126 bytes
    "💜" * 20_000,
    *(f"message {number}" for number in range(1000)),
]

HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Serve = Callable[[ClientWriter], Awaitable[None]]


@contextlib.contextmanager
def server(serve: Serve, ws: Any = "websockets", refuse: bool = True) -> Iterator[str]:
    """Run uvicorn, which serves each client so; gives its URL."""
    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        if refuse:
            refuse_compression(websocket)
        await websocket.accept()
        await serve(ClientWriter(websocket))
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()  # until the client goes away

    config = uvicorn.Config(app, HOST, free_port(), ws=ws, log_level="critical")
    running = uvicorn.Server(config)
    thread = Thread(target=running.run)
    thread.start()
    try:
        wait_until_open(config.port, thread.is_alive)
        yield f"ws://{HOST}:{config.port}/"
    finally:
        running.should_exit = True
        thread.join()


@pytest.mark.parametrize(
    ("ws", "refuse", "compressed", "burst"),
    [
        ("websockets", True, False, BURST_MESSAGES),
        ("websockets", False, True, 1),
        ("websockets-sansio", True, True, 1),  # a server we do not know inside
    ],
)
def test_all_messages_arrive_in_order(
    ws: str, refuse: bool, compressed: bool, burst: int
) -> None:
    bursts = []

    async def serve(writer: ClientWriter) -> None:
        await writer.send(["first"])  # the handshake is through afterwards
        bursts.append(writer.burst)
        for first in range(0, len(TEXTS), writer.burst):
            await writer.send(TEXTS[first : first + writer.burst])

    with server(serve, ws, refuse) as url, connect(url, max_size=None) as client:
        received = [client.recv(timeout=20) for _ in range(1 + len(TEXTS))]
        assert bool(client.protocol.extensions) == compressed
    assert received == ["first", *TEXTS]
    assert bursts == [burst]


def test_send_waits_for_a_client_that_does_not_read() -> None:
    sent = []
    text = "x" * 100_000

    async def serve(writer: ClientWriter) -> None:
        for number in range(400):
            await writer.send([text])
            sent.append(number)

    with server(serve) as url, connect(url, compression=None, max_queue=1) as client:
        seen = -1
        while seen < len(sent):
            seen = len(sent)
            time.sleep(0.5)
        assert len(sent) < 300  # the rest waits for the client
        assert [client.recv(timeout=20) for _ in range(400)] == 400 * [text]
    assert len(sent) == 400


@pytest.mark.parametrize("politely", [True, False])
def test_send_raises_for_a_client_that_is_gone(politely: bool) -> None:
    ended: list[BaseException] = []

    async def serve(writer: ClientWriter) -> None:
        try:
            for _ in range(2000):
                await writer.send(["are you there?"] * writer.burst)
                await asyncio.sleep(0.01)
        except CLIENT_GONE as error:
            ended.append(error)
            raise

    with server(serve) as url:
        client = connect(url)
        assert client.recv(timeout=20) == "are you there?"
        if politely:
            client.close()
        else:
            client.socket.shutdown(2)
        for _ in range(2000):
            if not ended:
                time.sleep(0.01)
        with contextlib.suppress(ConnectionClosed):
            client.close()
    assert ended


@pytest.mark.parametrize("waiting", [0, 100])
def test_f7_client_that_neither_reads_nor_answers_is_closed_in_time(
    waiting: int,
) -> None:
    took: list[float] = []

    async def serve(writer: ClientWriter) -> None:
        texts = waiting * ["x" * 100_000]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(writer.send(["first", *texts]), 0.5)
        began = time.monotonic()
        with contextlib.suppress(*CLIENT_GONE):
            await writer.close(1001, "endpoint closed")
        took.append(time.monotonic() - began)

    with server(serve) as url:
        port = urlsplit(url).port or 0
        with socket.create_connection((HOST, port)) as client:
            client.sendall(HANDSHAKE.format(port=port).encode())
            wait_until(lambda: bool(took), "it is closed", 20.0)
            assert took[0] < CLOSE_SECONDS + 1
            wait_until(lambda: not connections(port), "no socket is left", 2.0)


def connections(port: int) -> list[Any]:
    """Give the server's ends of connections."""
    return [
        found
        for found in psutil.Process().net_connections("tcp")
        if found.status != psutil.CONN_LISTEN and found.laddr.port == port
    ]
