"""`make several`: kill one of several LNbits on one PostgreSQL, again and again.

Events are published on all instances, and the only relay comes and goes, so that events
wait. In each round something is killed or cut off, most of the time one instance with
SIGKILL. Afterwards every event that was answered `true` must be on the relay, and no
event may have been sent by an instance while the one that sent it before was alive.

Leases are three seconds long instead of 30, unless `--settings default` is given.
"""

import argparse
import asyncio
import itertools
import json
import logging
import math
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import asyncpg
import nostr_sdk
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from tests.dropin.databases import Postgres

from .cluster import QUICK, Cluster
from .lnbits_server import LnbitsServer
from .ports import HOST, free_port

EVENTS_PER_SECOND = 15.0
"""From each client; LNbits allows 20."""

SENDING_SECONDS = 1.0
"""An event that arrives later than this was not already on its way."""

TELL_SECONDS = 1.0
"""Until the database is told that a relay has an event."""

CLIENTS = 2
"""Clients of each instance."""

SETTINGS: dict[str, dict[str, float]] = {
    "quick": {
        **QUICK,
        "lease_seconds": 3,
        "lease_renew_seconds": 1,
        "outbox_events": 5000,
        "outbox_public_share": 1,
    },
    "default": {"outbox_events": 5000, "outbox_public_share": 1},
}
LEASES = {"quick": 3.0, "default": 30.0}
FAULTS = ("kill", "both", "database", "split")

# Clients that leave in the middle of a handshake are no news here.
LOGGER = logging.getLogger("nostrclient several: relay")
LOGGER.setLevel(logging.CRITICAL)

NOT_STORED = "could not be stored"

Failure = (OSError, WebSocketException, asyncio.TimeoutError, EOFError)


class Sender(NamedTuple):
    """A process of an instance, by its number since the start of the run."""

    instance: int
    generation: int


class Arrival(NamedTuple):
    """An event that reached the relay."""

    sender: Sender | None
    at: float


class Answer(NamedTuple):
    """What an instance said of an event."""

    accepted: bool
    message: str
    at: float


@dataclass
class Life:
    """When a process of an instance was neither dead nor cut off from the database."""

    ended_at: float | None = None
    cut_off: list[list[float]] = field(default_factory=list)

    def is_released(self, sent_at: float, again_at: float) -> bool:
        """Return whether another one may send again what this one had sent.

        It may if this one ended meanwhile, or could not tell the database.
        """
        if self.ended_at is not None and self.ended_at <= again_at:
            return True
        return any(began <= sent_at <= ended for began, ended in self.cut_off)


class Relay:
    """An honest relay that comes and goes, and notes who sends it what."""

    def __init__(self, run: "Several") -> None:
        self.port = free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self.arrivals: dict[str, list[Arrival]] = defaultdict(list)
        self._run = run
        self._open = True
        self._connections: set[ServerConnection] = set()

    async def serve(self) -> None:
        """Serve until cancelled."""
        async with serve(
            self._serve,
            HOST,
            self.port,
            process_request=self._process_request,
            compression=None,
            close_timeout=0.1,
            logger=LOGGER,
        ):
            await asyncio.Event().wait()

    def let_in(self, is_open: bool) -> None:
        """Open, or end all connections and refuse new ones."""
        self._open = is_open
        if not is_open:
            for connection in self._connections:
                connection.transport.abort()

    def _process_request(
        self, _: ServerConnection, request: Request
    ) -> Response | None:
        if "Upgrade" not in request.headers:
            return Response(404, "Not Found", Headers(), b"")
        if not self._open:
            return Response(503, "Service Unavailable", Headers(), b"")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        port = connection.remote_address[1]
        sender = await asyncio.to_thread(self._run.sender_at, port)
        try:
            async for text in connection:
                match json.loads(text):
                    case ["EVENT", {"id": event_id}]:
                        arrival = Arrival(sender, time.monotonic())
                        self.arrivals[event_id].append(arrival)
                        await connection.send(json.dumps(["OK", event_id, True, ""]))
                    case ["REQ", name, *_]:
                        await connection.send(json.dumps(["EOSE", name]))
        except WebSocketException:
            pass
        finally:
            self._connections.discard(connection)


class Several:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.chance = random.Random(arguments.seed)  # noqa: S311  # to be repeated
        self.rounds: int = arguments.rounds
        self.faults: list[str] = arguments.faults
        self.lease = LEASES[arguments.settings]
        self.split_seconds: float = arguments.split_seconds or 2 * self.lease
        self.cluster = Cluster(
            folder, arguments.instances, SETTINGS[arguments.settings]
        )
        self.relay = Relay(self)
        self.answers: dict[str, Answer] = {}
        self.published = 0
        self.lives: dict[Sender, Life] = {}
        self.generations = [0] * arguments.instances
        self.done: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self._flowing = asyncio.Event()
        self._keys = nostr_sdk.Keys.generate()

    @property
    def instances(self) -> list[LnbitsServer]:
        """All of them."""
        return self.cluster.instances

    def sender_at(self, port: int) -> Sender | None:
        """Return whose connection has this local port."""
        for number, instance in enumerate(self.instances):
            with suppress(psutil.Error, ProcessLookupError):
                for connection in instance.process().net_connections(kind="tcp"):
                    if connection.laddr.port == port:
                        return Sender(number, self.generations[number])
        return None

    async def run(self) -> bool:
        """Run; tells whether nothing was lost and nothing sent by two."""
        tasks = [asyncio.create_task(self.relay.serve())]
        await asyncio.to_thread(self.cluster.__enter__)
        try:
            for number in range(len(self.instances)):
                self.lives[Sender(number, 0)] = Life()
            relay = {"url": self.relay.url}
            await asyncio.to_thread(self.instances[0].api, "POST", "/relay", relay)
            tasks += [
                asyncio.create_task(self._publish(instance))
                for instance in self.instances
                for _ in range(CLIENTS)
            ]
            began = time.monotonic()
            for number in range(1, self.rounds + 1):
                await self._round()
                if number % 10 == 0 or number == self.rounds:
                    minutes = (time.monotonic() - began) / 60
                    print(
                        f"{number} rounds, {minutes:.1f} min, {self._counts()}",
                        flush=True,
                    )
                if self._lost() or self._sent_by_two():
                    break
            return self._report()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self.cluster.close)

    # --- the load

    async def _publish(self, instance: LnbitsServer) -> None:
        while True:
            with suppress(*Failure):
                async with connect(
                    instance.public_url, compression=None, close_timeout=0.2
                ) as connection:
                    reading = asyncio.create_task(self._read(connection))
                    try:
                        while not reading.done():
                            await self._flowing.wait()
                            self.published += 1
                            event = self._event()
                            await connection.send(f'["EVENT",{event}]')
                            await asyncio.sleep(1 / EVENTS_PER_SECOND)
                    finally:
                        reading.cancel()
            await asyncio.sleep(0.2)

    async def _read(self, connection: ClientConnection) -> None:
        with suppress(*Failure):
            async for text in connection:
                match json.loads(text):
                    case ["OK", event_id, accepted, message]:
                        answer = Answer(accepted, message, time.monotonic())
                        self.answers[event_id] = answer

    def _event(self) -> str:
        builder = nostr_sdk.EventBuilder.text_note(f"{self.published}")
        text: str = builder.sign_with_keys(self._keys).as_json()
        return text

    # --- the faults

    async def _round(self) -> None:
        flapping = asyncio.create_task(self._flap())
        self._flowing.set()
        try:
            await asyncio.sleep(self.chance.uniform(1, 3))
            fault = self.chance.choice(self.faults)
            self.done[fault] += 1
            await getattr(self, f"_{fault}")()
            await asyncio.sleep(self.chance.uniform(0.5, 2))
        finally:
            self._flowing.clear()
            flapping.cancel()
        self.relay.let_in(True)
        deadline = time.monotonic() + 60 + 2 * self.lease
        while self._lost() or await asyncio.to_thread(self._rows) > 0:
            if time.monotonic() > deadline:
                print("not delivered in time")
                break
            await asyncio.sleep(0.2)

    async def _flap(self) -> None:
        while True:
            self.relay.let_in(False)
            await asyncio.sleep(self.chance.uniform(0.5, 3))
            self.relay.let_in(True)
            await asyncio.sleep(self.chance.uniform(0.2, 1))

    async def _kill(self) -> None:
        """Kill one; it comes back at once, or after the others had its events."""
        number = self.chance.randrange(len(self.instances))
        waits = self.chance.random() < 0.5
        await self._end(number)
        if waits:
            await asyncio.sleep(self.lease + self.chance.uniform(0.5, 2.5))
        await self._begin(number)

    async def _both(self) -> None:
        """Kill all instances at the same time."""
        numbers = range(len(self.instances))
        await asyncio.gather(*map(self._end, numbers))
        await asyncio.gather(*map(self._begin, numbers))

    async def _database(self) -> None:
        """Kill the database, and start it again."""
        numbers = range(len(self.instances))
        spans = [self._cut_off(number) for number in numbers]
        await asyncio.to_thread(self.cluster.database.kill)
        await asyncio.sleep(self.chance.uniform(0, 1.5 * self.lease))
        for span in spans:
            span[1] = time.monotonic()
        await asyncio.to_thread(self.cluster.database.start)

    async def _split(self) -> None:
        """Cut one off from the database, for longer than a lease."""
        number = self.chance.randrange(len(self.instances))
        link = self.cluster.links[number]
        span = self._cut_off(number)
        await asyncio.to_thread(link.freeze)
        await asyncio.sleep(self.split_seconds)
        span[1] = time.monotonic()
        await asyncio.to_thread(link.resume)

    def _cut_off(self, number: int) -> list[float]:
        """Store that an instance has no database; return the span, to be ended."""
        # What it sent a moment ago it could not tell the database any more.
        span = [time.monotonic() - TELL_SECONDS, float("inf")]
        sender = Sender(number, self.generations[number])
        self.lives[sender].cut_off.append(span)
        return span

    async def _end(self, number: int) -> None:
        await asyncio.to_thread(self.instances[number].kill)
        sender = Sender(number, self.generations[number])
        self.lives[sender].ended_at = time.monotonic()

    async def _begin(self, number: int) -> None:
        self.generations[number] += 1
        self.lives[Sender(number, self.generations[number])] = Life()
        await asyncio.to_thread(self.instances[number].start)

    # --- the outcome

    def _rows(self) -> float:
        """Return how many events are stored; infinity while the database starts."""
        database = Postgres(f"{self.cluster.database.url}/postgres")
        try:
            found = database.rows("SELECT count(*) AS n FROM nostrclient.outbox")
        except (OSError, asyncpg.PostgresError):
            return math.inf
        return int(found[0]["n"])

    def _lost(self) -> list[str]:
        return [
            event_id
            for event_id, answer in self.answers.items()
            if answer.accepted and event_id not in self.relay.arrivals
        ]

    def _sent_by_two(self) -> list[str]:
        """Return what an instance sent while its earlier sender was alive."""
        found = []
        for event_id, arrivals in self.relay.arrivals.items():
            for before, after in itertools.pairwise(arrivals):
                if before.sender is None or before.sender == after.sender:
                    continue
                life = self.lives[before.sender]
                if not life.is_released(before.at, after.at):
                    found.append(event_id)
        return found

    def _sent_though_refused(self) -> list[str]:
        return [
            event_id
            for event_id, answer in self.answers.items()
            if not answer.accepted
            and NOT_STORED not in answer.message
            and self._arrived_after(event_id, answer)
        ]

    def _sent_though_not_stored(self) -> int:
        """Count what was sent although its instance never learned of its commit."""
        return sum(
            NOT_STORED in answer.message and self._arrived_after(event_id, answer)
            for event_id, answer in self.answers.items()
        )

    def _arrived_after(self, event_id: str, answer: Answer) -> bool:
        arrivals = self.relay.arrivals.get(event_id, ())
        return any(arrival.at > answer.at + SENDING_SECONDS for arrival in arrivals)

    def _counts(self) -> str:
        answers = self.answers.values()
        queued = sum(item.message.startswith("queued:") for item in answers)
        true = sum(item.accepted for item in answers)
        return (
            f"{self.published} events, {true} answered true ({queued} queued),"
            f" {len(answers) - true} false, {len(self._lost())} lost,"
            f" {len(self._sent_by_two())} sent by two"
        )

    def _report(self) -> bool:
        lost, by_two = self._lost(), self._sent_by_two()
        refused = self._sent_though_refused()
        committed = self._sent_though_not_stored()
        arrivals = list(self.relay.arrivals.values())
        moved = sum(
            len({arrival.sender for arrival in one if arrival.sender}) > 1
            for one in arrivals
        )
        again = sum(len(one) - 1 for one in arrivals)
        unknown = sum(item.sender is None for one in arrivals for item in one)
        false = Counter(
            item.message for item in self.answers.values() if not item.accepted
        )
        took = sorted(
            self.relay.arrivals[event_id][0].at - answer.at
            for event_id, answer in self.answers.items()
            if answer.message.startswith("queued:") and event_id not in set(lost)
        )
        print(f"{'faults':34}{dict(self.done)}")
        print(f"{'published':34}{self.published:8}")
        print(f"{'answered true':34}{self._true():8}")
        print(f"{'answered false':34}{sum(false.values()):8}   {dict(false)}")
        print(f"{'lost':34}{len(lost):8}   {lost[:3]}")
        print(f"{'sent by two living instances':34}{len(by_two):8}   {by_two[:3]}")
        print(f"{'sent after their refusal':34}{len(refused):8}   {refused[:3]}")
        print(f"{'refused in the moment of a commit':34}{committed:8}")
        print(f"{'sent by two, the first one gone':34}{moved - len(by_two):8}")
        print(f"{'further copies in all':34}{again:8}")
        print(f"{'copies of an unknown sender':34}{unknown:8}")
        if took:
            print(
                f"delivered after queued: p50 {took[len(took) // 2]:.1f} s,"
                f" p99 {took[int(len(took) * 0.99)]:.1f} s, max {took[-1]:.1f} s"
            )
        return not (lost or by_two or refused)

    def _true(self) -> int:
        return sum(item.accepted for item in self.answers.values())


def main() -> int:
    """Run the rounds; 0 where nothing was lost and nothing sent by two."""
    parser = argparse.ArgumentParser(description="Kill LNbits, lose no event.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=["kill"])
    parser.add_argument("--settings", choices=list(SETTINGS), default="quick")
    parser.add_argument("--split-seconds", type=float, help="default: two leases")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    print(
        f"{arguments.rounds} rounds of {', '.join(arguments.faults)},"
        f" {arguments.instances} instances, leases of"
        f" {LEASES[arguments.settings]:g} s, SEED={arguments.seed}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="nostrclient-several-") as folder:
        good = asyncio.run(_run(arguments, Path(folder)))
    print("Nothing was lost, nothing sent by two." if good else "FAILED")
    return 0 if good else 1


async def _run(arguments: argparse.Namespace, folder: Path) -> bool:
    run = Several(arguments, folder)
    good = await run.run()
    if not good:
        for instance in run.instances:
            name = f"several-{arguments.seed}-{instance.folder.name}.log"
            kept = Path(tempfile.gettempdir()) / name
            kept.write_bytes(instance.log.read_bytes())
            print(f"log: {kept}")
    return good


if __name__ == "__main__":
    sys.exit(main())
