"""Clients, all in one process, that record every frame and do nothing else."""

import asyncio
import json
import math
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
PAUSE_SECONDS = 0.01  # between two exchanges, so that each begins in silence
SUBSCRIPTION_ID = b"benchmark"
_EVENT = b'["EVENT"'
_EOSE = b'["EOSE"'
_OK = b'["OK"'


class Connect(NamedTuple):
    """Command: replace all connections by new ones."""

    url: str
    clients: int


class Ask(NamedTuple):
    """Command: send a REQ on each connection and wait for the stored events.

    The answer comes after all EOSEs and `expect` events on each, or after `seconds`.
    With `newest` only that many connections are used, those opened last; 0 means all.
    """

    filters: str
    expect: int
    seconds: float
    subscriptions: int = 1
    newest: int = 0


class Publish(NamedTuple):
    """Command: send events on the newest connection, one at a time, at a rate.

    The answer is the list of the seconds until each OK; NaN for none in `seconds`.
    """

    texts: list[str]
    per_second: float
    seconds: float


class Delays(NamedTuple):
    """Command: measure answers through nostrclient beside the relays' own, in turn.

    For each of `texts`, alternately, an event is published; for each of `slices` a REQ
    is sent for so many stored events as `per_slice` says. The answer is a
    `MeasuredDelays`.
    """

    url: str
    relay_urls: list[str]
    texts: list[str]
    slices: int
    per_slice: int
    seconds: float


class MeasuredDelays(NamedTuple):
    """Seconds until each answer, through nostrclient and of the slowest relay itself.

    `missing` counts events that an answer lacked.
    """

    ok: list[float]
    own_ok: list[float]
    eose: list[float]
    own_eose: list[float]
    first_event: list[float]
    own_first_event: list[float]
    missing: int


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
        self.awaited = 0
        self.answers: dict[str, asyncio.Future[float]] = {}
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
        if kind == TEXT and payload.startswith((_EOSE, _OK)):
            answer = self.answers.pop(payload.split(b'"', 4)[3].decode(), None)
            if answer is not None and not answer.done():
                answer.set_result(now)
        if payload.startswith(_EOSE) and kind == TEXT:
            self.awaited -= 1
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
        self.awaited += subscriptions
        for number in range(subscriptions):
            # All of one length: an event's id is found by its place.
            subscription_id = SUBSCRIPTION_ID + b"%05d" % number
            text = b'["REQ","' + subscription_id + b'",' + filters.encode() + b"]"
            self._transport.write(frame(text, masked=True))

    async def exchange(self, key: str, text: str, seconds: float) -> float:
        """Send a message; return the seconds until its OK or EOSE, NaN for none."""
        assert self._transport is not None  # noqa: S101
        answer = self.answers[key] = asyncio.get_running_loop().create_future()
        sent_at = self.asked_at = time.monotonic()
        self._transport.write(frame(text.encode(), masked=True))
        try:
            return float(await asyncio.wait_for(answer, seconds)) - sent_at
        except asyncio.TimeoutError:
            return math.nan

    async def publish(self, text: str, seconds: float) -> float:
        """Publish an event; return the seconds until its OK, NaN for none."""
        event_id = json.loads(text)["id"]
        return await self.exchange(event_id, f'["EVENT",{text}]', seconds)

    async def request(
        self, key: str, filter_: str, seconds: float
    ) -> tuple[float, float, int]:
        """Send a REQ; return the seconds until EOSE and the first event, and events."""
        self.ids.clear()
        del self.instants[:]
        eose = await self.exchange(key, f'["REQ","{key}",{filter_}]', seconds)
        first = self.instants[0] - self.asked_at if self.instants else math.nan
        count = len(set(self.ids))
        self.say(f'["CLOSE","{key}"]')
        return eose, first, count

    def say(self, text: str) -> None:
        """Send a message."""
        assert self._transport is not None  # noqa: S101
        self._transport.write(frame(text.encode(), masked=True))

    def close(self) -> None:
        """Send a closing frame; the server ends the connection."""
        if self._transport is not None:
            self._transport.write(frame(b"\x03\xe8", kind=CLOSE, masked=True))

    def received(self) -> Received:
        """Return the received events."""
        return Received(
            [item.decode() for item in self.ids],
            self.instants[:],  # more may arrive while this is sent
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
            for _ in range(command.clients):
                self._clients.append(await _connected(command.url))
            return None
        if isinstance(command, Ask):
            return await self._ask(command)
        if isinstance(command, Publish):
            return await self._publish(command)
        if isinstance(command, Delays):
            return await _measure_delays(command)
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
                and (client.awaited > 0 or len(client.ids) < command.expect)
            ]
        return not waiting

    async def _publish(self, command: Publish) -> list[float]:
        client = self._clients[-1]
        began, sending = time.monotonic(), []
        for number, text in enumerate(command.texts):
            due = began + number / command.per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sending.append(asyncio.create_task(client.publish(text, command.seconds)))
        return list(await asyncio.gather(*sending))


async def _connected(url: str) -> Client:
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(url), uri.host, uri.port)
    await asyncio.wait_for(client.opened, CONNECT_SECONDS)
    return client


async def _measure_delays(command: Delays) -> MeasuredDelays:
    through = await _connected(command.url)
    relays = [await _connected(url) for url in command.relay_urls]
    seconds = command.seconds
    found = MeasuredDelays([], [], [], [], [], [], 0)
    for text in command.texts:
        own = await asyncio.gather(*(item.publish(text, seconds) for item in relays))
        found.own_ok.append(max(own))
        found.ok.append(await through.publish(text, seconds))
        await asyncio.sleep(PAUSE_SECONDS)
    missing = 0
    for number in range(command.slices):
        filter_ = f'{{"kinds":[1],"since":{number},"limit":{command.per_slice}}}'
        key = f"benchmark-{number:05}"
        own_answers = await asyncio.gather(
            *(item.request(key, filter_, seconds) for item in relays)
        )
        eose, first, count = await through.request(key, filter_, seconds)
        found.own_eose.append(max(item[0] for item in own_answers))
        found.own_first_event.append(max(item[1] for item in own_answers))
        found.eose.append(eose)
        found.first_event.append(first)
        missing += command.per_slice - count
        await asyncio.sleep(PAUSE_SECONDS)
    for client in (through, *relays):
        client.close()
    return found._replace(missing=missing)


async def _serve(pipe: Connection) -> None:
    clients = Clients()
    pipe.send(None)
    await serve_commands(pipe, clients.answer)


def main(pipe: Connection) -> None:
    """Run as the clients' process."""
    uvloop.new_event_loop().run_until_complete(_serve(pipe))
