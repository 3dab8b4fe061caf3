"""Simulated relays, all in one process and all holding the same events.

They use as little CPU as possible, so that they do not distort the measurement: events
are signed and framed in advance and written in large pieces. Filters are ignored,
except `limit: 0` and `ids`, which get no stored events.
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

from .bench_frames import SignedEvents, frame
from .ports import HOST

LIVE_LEAD_SECONDS = 0.05


class Prepare(NamedTuple):
    """Command: sign new events; each REQ gets the first `stored` of them.

    The answer is the list of all ids.
    """

    stored: int
    live: int


class Texts(NamedTuple):
    """Command: return the texts of all events."""


class PublishLive(NamedTuple):
    """Command: send the other events to all open subscriptions, at a fixed rate.

    The answer, when all are sent, is the list of the instants of sending.
    """

    per_second: float


class Count(NamedTuple):
    """Command: return the number of open subscriptions on all relays together."""


class Simulation:
    """The shared state of the relays of this process."""

    def __init__(self) -> None:
        self.events = SignedEvents(0)
        self.stored = 0
        self.connections: set[SimulatedConnection] = set()

    async def answer(self, command: object) -> object:
        """Carry out a command of the benchmark."""
        if isinstance(command, Prepare):
            self.events = SignedEvents(command.stored + command.live)
            self.stored = command.stored
            return self.events.ids
        if isinstance(command, Texts):
            return [text.decode() for text in self.events.texts]
        if isinstance(command, PublishLive):
            return await self._publish(command.per_second)
        if isinstance(command, Count):
            return sum(len(item.subscriptions) for item in self.connections)
        raise TypeError(command)

    async def _publish(self, per_second: float) -> list[float]:
        began = time.monotonic() + LIVE_LEAD_SECONDS
        instants = []
        for number in range(self.stored, len(self.events.ids)):
            due = began + (number - self.stored) / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            instants.append(time.monotonic())
            for connection in self.connections:
                connection.send_events(number, number + 1)
        return instants


class SimulatedConnection(asyncio.Protocol):
    """The relay's side of one connection."""

    def __init__(self, simulation: Simulation) -> None:
        self.subscriptions: dict[bytes, None] = {}
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
                self._transport.write(data)
        if self._protocol.state is State.CLOSED or self._protocol.close_expected():
            self._transport.close()

    def _hear(self, message: list[object]) -> None:
        if self._transport is None:
            return
        match message:
            case ["REQ", str(subscription_id), *filters]:
                key = subscription_id.encode()
                self.subscriptions[key] = None
                if not any(
                    isinstance(item, dict) and (item.get("limit") == 0 or "ids" in item)
                    for item in filters
                ):
                    stored = self._simulation.stored
                    events = self._simulation.events.frames(key, 0, stored)
                    self._transport.write(events)
                self._transport.write(frame(b'["EOSE","' + key + b'"]'))
            case ["CLOSE", str(subscription_id)]:
                self.subscriptions.pop(subscription_id.encode(), None)
            case ["EVENT", {"id": str(event_id)}]:
                self._transport.write(frame(f'["OK","{event_id}",true,""]'.encode()))

    def send_events(self, first: int, end: int) -> None:
        """Send events to every subscription of this connection."""
        if self._transport is not None and self.subscriptions:
            events = self._simulation.events
            frames = (events.frames(key, first, end) for key in self.subscriptions)
            self._transport.write(b"".join(frames))


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
