"""Simulated relays, all in one process and all holding the same events.

They use as little CPU as possible, so that they do not distort the measurement: events
are signed and framed in advance and written in large pieces. Filters are ignored,
except `limit: 0` and `ids`, which get no stored events, and a small `since`: of that
number is the slice of `limit` stored events that the answer holds.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

import uvloop
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from .bench_frames import CONTENT_CHARACTERS, SignedEvents, frame
from .ports import HOST

LIVE_LEAD_SECONDS = 0.05
MAX_SLICES = 100_000  # a `since` below that is the number of a slice


class Prepare(NamedTuple):
    """Command: sign new events; each REQ gets the first `stored` of them.

    The answer is the list of all ids.
    """

    stored: int
    live: int
    characters: int = CONTENT_CHARACTERS


class Texts(NamedTuple):
    """Command: return the texts of all events."""


class PublishLive(NamedTuple):
    """Command: send the other events to all open subscriptions, at a fixed rate.

    With `spread` each event goes to one subscription of each connection, in turn. The
    answer, when all are sent, is the list of the instants of sending.
    """

    per_second: float
    spread: bool = False


class Count(NamedTuple):
    """Command: return the number of open subscriptions on all relays together."""


class Traffic(NamedTuple):
    """Command: return the bytes that all relays have sent and received so far."""


class Accept(NamedTuple):
    """Command: accept events from now on, or refuse them as too many for now."""

    events: bool


class Simulation:
    """The shared state of the relays of this process."""

    def __init__(self) -> None:
        self.events = SignedEvents(0)
        self.stored = 0
        self.accepts = True
        self.sent_bytes = 0
        self.received_bytes = 0
        self.connections: set[SimulatedConnection] = set()

    async def answer(self, command: object) -> object:
        """Carry out a command of the benchmark."""
        if isinstance(command, Prepare):
            self.events = SignedEvents(
                command.stored + command.live, command.characters
            )
            self.stored = command.stored
            return self.events.ids
        if isinstance(command, Texts):
            return [text.decode() for text in self.events.texts]
        if isinstance(command, PublishLive):
            return await self._publish(command)
        if isinstance(command, Traffic):
            return self.sent_bytes, self.received_bytes
        if isinstance(command, Accept):
            self.accepts = command.events
            return None
        if isinstance(command, Count):
            return sum(len(item.subscriptions) for item in self.connections)
        raise TypeError(command)

    async def _publish(self, command: PublishLive) -> list[float]:
        began = time.monotonic() + LIVE_LEAD_SECONDS
        instants = []
        for number in range(self.stored, len(self.events.ids)):
            due = began + (number - self.stored) / command.per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            instants.append(time.monotonic())
            for connection in self.connections:
                connection.send_event(number, spread=command.spread)
        return instants


class SimulatedConnection(asyncio.Protocol):
    """The relay's side of one connection."""

    def __init__(self, simulation: Simulation) -> None:
        self.subscriptions: dict[bytes, None] = {}
        self._keys: list[bytes] = []
        self._simulation = simulation
        self._protocol = ServerProtocol(max_size=None)
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the handshake."""
        self._transport = cast(
            asyncio.WriteTransport, transport
        )  # uvloop's is not a subclass
        self._simulation.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._simulation.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Handle data from nostrclient."""
        self._simulation.received_bytes += len(data)
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._hear(json.loads(bytes(event.data)))
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
        if self._protocol.state is State.CLOSED or self._protocol.close_expected():
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._simulation.sent_bytes += len(data)
            self._transport.write(data)

    def _hear(self, message: list[object]) -> None:
        match message:
            case ["REQ", str(subscription_id), *filters]:
                key = subscription_id.encode()
                self.subscriptions[key] = None
                self._keys.clear()
                self._write(self._stored(key, filters))
                self._write(frame(b'["EOSE","' + key + b'"]'))
            case ["CLOSE", str(subscription_id)]:
                self.subscriptions.pop(subscription_id.encode(), None)
                self._keys.clear()
            case ["EVENT", {"id": str(event_id)}]:
                answer = 'true,""'
                if not self._simulation.accepts:
                    answer = 'false,"rate-limited: slow down"'
                self._write(frame(f'["OK","{event_id}",{answer}]'.encode()))

    def _stored(self, key: bytes, filters: list[object]) -> bytes:
        first, end = 0, self._simulation.stored
        for item in filters:
            if not isinstance(item, dict):
                continue
            limit, since = item.get("limit"), item.get("since")
            if limit == 0 or "ids" in item:
                return b""
            if isinstance(limit, int) and isinstance(since, int) and since < MAX_SLICES:
                first, end = since * limit, (since + 1) * limit
        return self._simulation.events.frames(key, first, end)

    def send_event(self, number: int, *, spread: bool) -> None:
        """Send an event to every subscription of this connection, or to one."""
        if not self.subscriptions:
            return
        if not self._keys:
            self._keys = list(self.subscriptions)
        keys = self._keys
        if spread:
            keys = [keys[number % len(keys)]]
        events = self._simulation.events
        frames = (events.frames(key, number, number + 1) for key in keys)
        self._write(b"".join(frames))


async def serve_commands(
    pipe: Connection, answer: Callable[[object], Awaitable[object]]
) -> None:
    """Answer the benchmark's commands until it ends."""
    # In threads, because the event loop would make the pipe non-blocking.
    with contextlib.suppress(EOFError, OSError):
        while True:
            command = await asyncio.to_thread(pipe.recv)
            result = await answer(command)
            await asyncio.to_thread(pipe.send, result)


async def _serve(pipe: Connection, ports: list[int]) -> None:
    simulation = Simulation()
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda: SimulatedConnection(simulation), HOST, port)
    pipe.send(None)
    await serve_commands(pipe, simulation.answer)


def main(pipe: Connection, ports: list[int]) -> None:
    """Run as the relays' process."""
    loop = uvloop.new_event_loop()
    loop.run_until_complete(_serve(pipe, ports))
