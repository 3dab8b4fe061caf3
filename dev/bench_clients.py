"""Clients, all in one process, that record every frame and do nothing else."""

import asyncio
import time
from array import array
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

import uvloop
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from .bench_frames import CLOSE, PING, PONG, TEXT, FrameReader, frame
from .bench_relays import serve_commands

CONNECT_SECONDS = 20.0
SUBSCRIPTION_ID = b"benchmark"
_EVENT = b'["EVENT"'
_EOSE = b'["EOSE"'


class Connect(NamedTuple):
    """Command: replace all connections by new ones."""

    url: str
    clients: int


class Ask(NamedTuple):
    """Command: send a REQ on each connection and wait for the stored events.

    The answer comes after EOSE and `expect` events on each, or after `seconds`. With
    `newest` only that many connections are used, those opened last; 0 means all.
    """

    filters: str
    expect: int
    seconds: float
    subscriptions: int = 1
    newest: int = 0


class Finish(NamedTuple):
    """Command: close the connections and return what each has received."""


class Received(NamedTuple):
    """The ids and instants of the events that one client received, in order."""

    ids: list[str]
    instants: "array[float]"
    asked_at: float
    eose_at: float | None
    before_eose: int
    others: list[str]


class Client(asyncio.Protocol):
    """One connection with its handshake."""

    def __init__(self, url: str) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.ids: list[bytes] = []
        self.instants = array("d")
        self.asked_at = 0.0
        self.eose_at: float | None = None
        self.before_eose = 0
        self.others: list[str] = []
        self.lost = False
        self._handshake: ClientProtocol | None = ClientProtocol(parse_uri(url))
        self._frames = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._id_offset = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        assert self._handshake is not None  # noqa: S101
        self._transport = cast(
            asyncio.WriteTransport, transport
        )  # uvloop's is not a subclass
        self._handshake.send_request(self._handshake.connect())
        self._transport.write(b"".join(self._handshake.data_to_send()))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the failure to whoever waits for the handshake."""
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("refused"))

    def data_received(self, data: bytes) -> None:
        """Handle the answer to the handshake, then frames."""
        if self._handshake is not None:
            self._handshake.receive_data(data)
            if not self._handshake.events_received():
                return
            failed = self._handshake.handshake_exc
            self._handshake = None
            if failed is None:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(failed)
            return
        now = time.monotonic()
        ids, instants = self.ids, self.instants
        for kind, payload in self._frames.feed(data):
            if payload.startswith(_EVENT):
                at = self._id_offset or self._find_id(payload)
                ids.append(payload[at : at + 64])
                instants.append(now)
            else:
                self._other(kind, payload, now)

    def _find_id(self, payload: bytes) -> int:
        self._id_offset = payload.index(b'{"id":"') + 7
        return self._id_offset

    def _other(self, kind: int, payload: bytes, now: float) -> None:
        if payload.startswith(_EOSE) and kind == TEXT:
            if self.eose_at is None:
                self.eose_at = now
                self.before_eose = len(set(self.ids))
        elif kind == PING and self._transport is not None:
            self._transport.write(frame(payload, kind=PONG, masked=True))
        else:
            self.others.append(payload.decode(errors="replace"))

    def ask(self, filters: str, subscriptions: int) -> None:
        """Send one or more REQs."""
        assert self._transport is not None  # noqa: S101
        self.asked_at = time.monotonic()
        for number in range(subscriptions):
            subscription_id = SUBSCRIPTION_ID + (
                str(number).encode() if number else b""
            )
            text = b'["REQ","' + subscription_id + b'",' + filters.encode() + b"]"
            self._transport.write(frame(text, masked=True))

    def close(self) -> None:
        """Send a closing frame; the server ends the connection."""
        if self._transport is not None:
            self._transport.write(frame(b"\x03\xe8", kind=CLOSE, masked=True))

    def received(self) -> Received:
        """Return the received events."""
        return Received(
            [item.decode() for item in self.ids],
            self.instants,
            self.asked_at,
            self.eose_at,
            self.before_eose,
            self.others,
        )


class Clients:
    """All clients of this process."""

    def __init__(self) -> None:
        self._clients: list[Client] = []

    async def answer(self, command: object) -> object:
        """Carry out a command of the benchmark."""
        if isinstance(command, Connect):
            uri = parse_uri(command.url)
            loop = asyncio.get_running_loop()
            for _ in range(command.clients):
                _, client = await loop.create_connection(
                    lambda: Client(command.url), uri.host, uri.port
                )
                await asyncio.wait_for(client.opened, CONNECT_SECONDS)
                self._clients.append(client)
            return None
        if isinstance(command, Ask):
            return await self._ask(command)
        if isinstance(command, Finish):
            clients, self._clients = self._clients, []
            for client in clients:
                client.close()
            return [client.received() for client in clients]
        raise TypeError(command)

    async def _ask(self, command: Ask) -> bool:
        deadline = time.monotonic() + command.seconds
        waiting = self._clients[-command.newest :]
        for client in waiting:
            client.ask(command.filters, command.subscriptions)
        while waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            waiting = [
                client
                for client in waiting
                if not client.lost
                and (client.eose_at is None or len(client.ids) < command.expect)
            ]
        return not waiting


async def _serve(pipe: Connection) -> None:
    clients = Clients()
    pipe.send(None)
    await serve_commands(pipe, clients.answer)


def main(pipe: Connection) -> None:
    """Run as the clients' process."""
    uvloop.new_event_loop().run_until_complete(_serve(pipe))
