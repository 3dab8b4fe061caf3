"""A TCP proxy that can break connections while both ends are running."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from .ports import HOST, free_port

Result = TypeVar("Result")

READ_BYTES = 64 * 1024
QUEUED_CHUNKS = 256
THROTTLE_SLICES_PER_SECOND = 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no waiting, RST instead of FIN


class LoopThread:
    """An event loop in a thread of its own, controlled from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="fault bench", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], seconds: float = 30.0) -> Result:
        """Run a coroutine in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in the loop and return its result."""

        async def work() -> Result:
            return function()

        return self.run(work())

    def close(self) -> None:
        """End the loop, its tasks and its thread."""
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Proxy:
    """Forwards a port to another one, with faults.

    Every fault lasts until `resume`, except `reset`, `cut` and `forget`: they concern
    open connections and let new ones pass.
    """

    def __init__(self, target_port: int, loop: LoopThread) -> None:
        """Listen on a free port."""
        self.port = free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self.accepted = 0
        """How many connections were made to the proxy."""
        self._target_port = target_port
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._connections: set[_ProxiedConnection] = set()
        self._flowing = loop.call(asyncio.Event)
        self._delay_seconds = 0.0
        self._bytes_per_second: float | None = None
        self._cutting = False
        loop.run(self._listen())
        loop.call(self._flowing.set)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # --- faults

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._loop.run(self._close())

    def reset(self) -> None:
        """Reset all connections; new ones pass."""
        self._loop.call(self._abort_all)

    def freeze(self) -> None:
        """Keep connections open, accept new ones, and forward nothing."""
        self._loop.call(self._flowing.clear)

    def forget(self) -> None:
        """Forward nothing on open connections ever again; new ones pass.

        Neither side is told, as when a firewall on the way has lost its memory.
        """
        self._loop.call(self._forget_all)

    def delay(self, seconds: float) -> None:
        """Delay all data in both directions."""
        self._delay_seconds = seconds

    def throttle(self, bytes_per_second: float) -> None:
        """Limit the rate of each connection in each direction."""
        self._bytes_per_second = bytes_per_second

    def cut(self) -> None:
        """Forward half of the target's next data, then reset the connection."""
        self._cutting = True

    def resume(self) -> None:
        """End all faults; frozen connections continue."""
        self._delay_seconds = 0.0
        self._bytes_per_second = None
        self._cutting = False
        self._loop.run(self._listen())
        self._loop.call(self._flowing.set)

    def close(self) -> None:
        """Close the port and all connections."""
        self._loop.run(self._close())

    # --- in the loop

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, HOST, self.port, backlog=200
            )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._abort_all()

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _forget_all(self) -> None:
        for connection in self._connections:
            connection.forget()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        connection = _ProxiedConnection(writer)
        own = asyncio.current_task()
        assert own is not None  # noqa: S101
        connection.tasks.append(
            own
        )  # keep a reference: asyncio keeps none of an idle task
        self._connections.add(connection)
        try:
            await self._flowing.wait()
            to_target = await asyncio.open_connection(HOST, self._target_port)
            connection.writers.append(to_target[1])
            if connection.aborted:  # while it was connecting
                return
            pumps = [
                self._receive(reader, outward := _DataQueue(), connection),
                self._send(to_target[1], outward, connection, may_cut=False),
                self._receive(to_target[0], inward := _DataQueue(), connection),
                self._send(writer, inward, connection, may_cut=True),
            ]
            tasks = [asyncio.ensure_future(pump) for pump in pumps]
            connection.tasks += tasks
            connection.pumps = tasks
            await asyncio.wait(
                [tasks[1], tasks[3]], return_when=asyncio.FIRST_COMPLETED
            )
            if connection.forgotten:
                await asyncio.Event().wait()  # until somebody ends it
        except (OSError, asyncio.CancelledError):
            connection.abort()
        finally:
            connection.close()
            self._connections.discard(connection)

    async def _receive(
        self,
        reader: asyncio.StreamReader,
        queue: "_DataQueue",
        connection: "_ProxiedConnection",
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(READ_BYTES):
                await queue.put((loop.time() + self._delay_seconds, data))
                await self._flowing.wait()
            await queue.put((loop.time() + self._delay_seconds, b""))
        except OSError:
            connection.abort()

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        queue: "_DataQueue",
        connection: "_ProxiedConnection",
        *,
        may_cut: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                at, data = await queue.get()
                await asyncio.sleep(at - loop.time())
                await self._flowing.wait()
                if not data:
                    return
                if may_cut and self._cutting:
                    self._cutting = False
                    writer.write(data[: max(1, len(data) // 2)])
                    await asyncio.sleep(0.05)  # a reset may overtake what was written
                    connection.abort()
                    return
                await self._write(writer, data)
        except OSError:
            connection.abort()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self._bytes_per_second
            size = len(data)
            if rate is not None:
                size = max(1, int(rate / THROTTLE_SLICES_PER_SECOND))
            writer.write(data[:size])
            await writer.drain()
            if rate is not None:
                await asyncio.sleep(min(size, len(data)) / rate)
                await self._flowing.wait()
            data = data[size:]


class _DataQueue(asyncio.Queue[tuple[float, bytes]]):
    """Received data that waits to be sent, each with the instant from which."""

    def __init__(self) -> None:
        super().__init__(QUEUED_CHUNKS)


class _ProxiedConnection:
    """One connection through the proxy, with its two sockets."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]
        self.tasks: list[asyncio.Future[None]] = []
        self.pumps: list[asyncio.Task[None]] = []
        self.aborted = False
        self.forgotten = False

    def forget(self) -> None:
        """Forward nothing any more, in neither direction."""
        self.forgotten = True
        for pump in self.pumps:
            pump.cancel()

    def abort(self) -> None:
        """Reset both sides."""
        self.aborted = True
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()
        self._cancel()

    def close(self) -> None:
        """Close both sides."""
        for writer in self.writers:
            writer.close()
        self._cancel()

    def _cancel(self) -> None:
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
