"""`make soak`: break everything at random for a while, then see what is missing.

A real LNbits, relays and clients, each behind a proxy that a random generator breaks:
connections are refused, reset, frozen, delayed, throttled and cut, and now and then
LNbits itself is killed. One relay is a real one, the others have the habits of strfry,
nostream and the like. Meanwhile events are published, through nostrclient and on the
relays directly. At the end everything must be everywhere, once.

Two clients stay connected and ask once: what they are not given by itself is lost. The
others ask again for what they may have missed. Events count from the first second on,
while limits and rates of the relays are not known yet.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Container, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nostr_sdk
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.odd_relay import OddRelay
from tests.faults.profiles import PROFILES, profile

from .lnbits_server import LnbitsServer
from .local_relay import LocalRelay
from .proxy import LoopThread, Proxy

REAL = "LocalRelay"
MIX = (REAL, *sorted(PROFILES))
CLIENTS = 5
STEADY_CLIENTS = 2
AUTHORS = 40
DAY = 24 * 60 * 60
LIVE = "live"
ASKED_SECONDS = 60
GIFT_WRAP = 1059

OUTAGES = ["refuse", "reset", "freeze", "freeze and reset", "cut"]
RELAY_FAULTS = [*OUTAGES, "delay", "throttle"]
CLIENT_FAULTS = ["refuse", "reset", "freeze", "throttle"]

COMPRESSED: dict[str, float] = {
    "connect_seconds": 3,
    "connect_address_seconds": 1,
    "reconnect_seconds": 0.1,
    "reconnect_max_seconds": 2,
    "reconnect_forget_seconds": 5,
    "ping_seconds": 2,
    "pong_seconds": 2,
    "overlap_seconds": 20,
    "refresh_seconds": 15,
    "refresh_answer_seconds": 3,
    "probe_seconds": 2,
    "refreshes_per_second": 10,
    "subscription_retry_seconds": 0.5,
    "subscription_retry_max_seconds": 5,
    "publish_retry_seconds": 0.5,
    "publish_retry_max_seconds": 5,
    # Every connection is cut again and again, and no message is the reason.
    "poison_seconds": 0.05,
    "log_lines_per_minute": 6000,
}

# What may still be in caches after a run, and is bounded; not a leak.
# So long after its return a relay is connected again, whatever the backoff was.
RETURN_SECONDS = {"compressed": 4.0, "default": 65.0}
# A client that reconnects asks from so long before it heard the last word. Faults in a
# row keep a relay away for up to a minute, and a client cannot know of it.
MARGIN_SECONDS = {True: 120, False: 300}
# D4: with all relays silent, EOSE comes 4 s after the REQ, and that is not early.
EOSE_SECONDS = 3.8

MOST_MORE_DESCRIPTORS = 8
MOST_MORE_THREADS = 8
MOST_MORE_BYTES = 100 * 1024 * 1024

Failure = (OSError, WebSocketException, asyncio.TimeoutError, EOFError)


@dataclass
class Event:
    """An event of the run, what is known of it, and where it should be."""

    body: dict[str, Any]
    topic: int
    made_at: float = field(default_factory=time.monotonic)
    put_at: dict[int, float] = field(default_factory=dict)
    """When it was on which relay, for those that were put there directly."""
    answered_at: float | None = None
    """When nostrclient said true."""

    @property
    def id(self) -> str:
        """Its id."""
        event_id: str = self.body["id"]
        return event_id


@dataclass
class Outages:
    """When something was not reachable, each from when until when."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def at(self, instant: float) -> tuple[float, float] | None:
        """Return the outage at an instant."""
        for began, ended in self.spans:
            if began <= instant <= ended:
                return began, ended
        return None

    def any_between(self, start: float, end: float) -> bool:
        """Return whether an outage overlaps a period."""
        return any(began <= end and ended >= start for began, ended in self.spans)


class RealRelay:
    """rust-nostr's relay, in a process of its own."""

    name = REAL

    def __init__(self, log: Path) -> None:
        self._relay = LocalRelay(log=log)
        self._connection: ClientConnection | None = None
        self._relay.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._relay.port

    async def put(self, event: dict[str, Any]) -> None:
        """Publish an event there, past nostrclient."""
        if self._connection is None:
            # Without pings: on a busy machine they would end the run.
            self._connection = await connect(
                self._relay.url, compression=None, ping_interval=None
            )
        await self._connection.send(json.dumps(["EVENT", event]))
        while json.loads(await self._connection.recv())[:2] != ["OK", event["id"]]:
            pass

    async def stored(self, ids: Sequence[str]) -> set[str]:
        """Return which of these events it has."""
        stored: set[str] = set()
        async with connect(
            self._relay.url, compression=None, max_size=None
        ) as connection:
            for start in range(0, len(ids), 200):
                wanted = {"ids": ids[start : start + 200]}
                await connection.send(json.dumps(["REQ", "all", wanted]))
                while True:
                    message = json.loads(await connection.recv())
                    if message[0] == "EVENT":
                        stored.add(message[2]["id"])
                    elif message[0] == "EOSE":
                        break
        return stored

    def answer_to(self, url: str) -> None:
        """It has no AUTH."""

    def close(self) -> None:
        """End it."""
        self._relay.stop()


class RelayWithHabits:
    """A test relay with the habits of a kind of relay."""

    def __init__(self, name: str, loop: LoopThread, minute_seconds: float) -> None:
        self.name = name
        self._relay = OddRelay(loop, profile(name, minute_seconds=minute_seconds))

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._relay.port

    async def put(self, event: dict[str, Any]) -> None:
        """Add an event there, past nostrclient."""
        await asyncio.to_thread(self._relay.put, event)

    async def stored(self, ids: Sequence[str]) -> set[str]:
        """Return which of these events it has."""
        return {event["id"] for event in list(self._relay.events)} & set(ids)

    def answer_to(self, url: str) -> None:
        """Expect this URL in an AUTH: the one by which nostrclient knows the relay."""
        self._relay.habits.service_url = url

    def close(self) -> None:
        """End it."""
        self._relay.close()


@dataclass
class Answer:
    """The stored events of one REQ."""

    topics: Container[int]
    kinds: Container[int]
    since: float
    asked_at: float = field(default_factory=time.monotonic)
    before_eose: set[str] = field(default_factory=set)
    eose_at: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class SoakClient:
    """A client that reconnects for ever, and asks for what it may have missed."""

    def __init__(
        self, number: int, url: str, margin_seconds: float, *, asks_often: bool
    ) -> None:
        self.number = number
        self._asks_often = asks_often
        self.url = url
        self.came: Counter[tuple[int, str, str]] = Counter()
        """How often each event came, by connection and subscription."""
        self.first_at: dict[str, float] = {}
        self.answers: dict[str, tuple[bool, str]] = {}
        self.eoses: Counter[tuple[int, str]] = Counter()
        self.stored: dict[tuple[int, str], Answer] = {}
        """What came before EOSE, by connection and subscription."""
        self.unexpected: list[Any] = []
        self.connections = 0
        self.outages = Outages()
        self._margin_seconds = margin_seconds
        self._connection: ClientConnection | None = None
        self._good_at = time.time()
        self.killed_at = math.inf
        """When LNbits was killed last, in Unix seconds."""
        self._answered = asyncio.Event()

    async def run(self) -> None:
        """Stay connected."""
        while True:
            lost = time.monotonic()
            with suppress(*Failure):
                async with connect(
                    self.url,
                    ping_interval=1,
                    ping_timeout=4,
                    open_timeout=5,
                    close_timeout=1,
                    compression=None,
                    max_size=None,
                ) as connection:
                    self.connections += 1
                    if self.connections > 1:
                        self.outages.spans.append((lost, time.monotonic() + 0.5))
                    await self._subscribe(connection)
                    self._connection = connection
                    asking = asyncio.create_task(self._ask_often(connection))
                    try:
                        await self._listen(connection)
                    finally:
                        asking.cancel()
            self._connection = None
            await asyncio.sleep(0.2)

    async def _subscribe(self, connection: ClientConnection) -> None:
        # An EOSE does not wait for relays that are down: what was missed while LNbits
        # was away is asked for again on every further connection.
        since = int(min(self._good_at, self.killed_at) - self._margin_seconds)
        tags = {"#t": [f"soak-{self.number}", "soak-all"]}
        answer = Answer((self.number, -1), (1, 4, 7), since)
        self.stored[self.connections, LIVE] = answer
        filters = [
            {"kinds": [1, 4, 7], "since": since, **tags},
            {"kinds": [GIFT_WRAP], "since": since - 2 * DAY, **tags},
        ]
        await connection.send(json.dumps(["REQ", LIVE, *filters]))

    async def _ask_often(self, connection: ClientConnection) -> None:
        """Ask for what was published lately; EOSE must wait for all of it."""
        topics = range(-1, CLIENTS)
        tags = ["soak-all", *(f"soak-{number}" for number in range(CLIENTS))]
        for number in itertools.count() if self._asks_often else ():
            await asyncio.sleep(1)
            subscription_id = f"question {number}"
            since = int(time.time()) - ASKED_SECONDS
            answer = Answer(topics, (1, 7), since)
            self.stored[self.connections, subscription_id] = answer
            wanted = {"kinds": [1, 7], "since": since, "#t": tags}
            with suppress(*Failure):
                await connection.send(json.dumps(["REQ", subscription_id, wanted]))
                await answer.ended.wait()
                await connection.send(json.dumps(["CLOSE", subscription_id]))

    async def _listen(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            self._good_at = time.time()
            match message:
                case ["EVENT", subscription_id, {"id": event_id}]:
                    key = (self.connections, subscription_id)
                    self.came[self.connections, subscription_id, event_id] += 1
                    if self.stored[key].eose_at is None:
                        self.stored[key].before_eose.add(event_id)
                    if subscription_id == LIVE:
                        self.first_at.setdefault(event_id, time.monotonic())
                case ["OK", event_id, accepted, reason]:
                    self.answers[event_id] = accepted, reason
                    self._answered.set()
                case ["EOSE", subscription_id, *_]:
                    key = (self.connections, subscription_id)
                    self.eoses[key] += 1
                    self.stored[key].eose_at = time.monotonic()
                    self.stored[key].ended.set()
                case ["NOTICE" | "AUTH", *_]:
                    pass
                case _:
                    self.unexpected.append(message)

    async def publish(self, event: Event) -> None:
        """Publish, and wait for the answer for as long as the connection lives."""
        connection = self._connection
        if connection is None:
            return
        with suppress(*Failure):
            await connection.send(json.dumps(["EVENT", event.body]))
            while event.id not in self.answers and self._connection is connection:
                self._answered.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._answered.wait(), 0.5)
        if self.answers.get(event.id, (False, ""))[0]:
            event.answered_at = time.monotonic()

    def wants(self, event: Event) -> bool:
        """Return whether the event matches this client's filters."""
        return event.topic in (self.number, -1)


class Soak:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.chance = random.Random(arguments.seed)  # noqa: S311  # to be repeated
        self.seconds: float = arguments.seconds
        self.compressed: bool = arguments.settings == "compressed"
        self.kills: int = arguments.kills
        self.pace = 1.0 if self.compressed else 4.0
        self.loop_thread = LoopThread()
        self.return_seconds = RETURN_SECONDS[arguments.settings]
        minute = 3.0 if self.compressed else 60.0
        self.relays: list[RealRelay | RelayWithHabits] = [
            (
                RealRelay(folder / "relay.log")
                if name == REAL
                else RelayWithHabits(name, self.loop_thread, minute)
            )
            for name in arguments.relays
        ]
        self.server = LnbitsServer(
            folder / "lnbits", environment={"LNBITS_RATE_LIMIT_NO": "1000000"}
        )
        self.events: dict[str, Event] = {}
        self.faults: Counter[str] = Counter()
        self.relay_outages = [Outages() for _ in self.relays]
        self.disturbances = [Outages() for _ in self.relays]
        """As the outages, with what only makes a relay slow."""
        self.lnbits_outages = Outages()
        self.clients: list[SoakClient] = []
        self.relay_proxies: list[Proxy] = []
        self.client_proxies: list[Proxy] = []
        self.restarting = False
        self.authors = [nostr_sdk.Keys.generate() for _ in range(AUTHORS)]
        self.identity = nostr_sdk.Keys.generate()
        self.undeliverable = 0

    # --- the run

    async def run(self) -> bool:
        """Run; tells whether nothing was lost, repeated or leaked."""
        self._prepare()
        async with AsyncExitStack() as stack:
            stack.callback(self._close)
            before = await self._settled_resources()
            client_tasks = [asyncio.create_task(item.run()) for item in self.clients]
            await asyncio.sleep(1)
            work = [
                *(self._publish_through(client) for client in self.clients),
                *(self._publish_directly(number) for number in range(len(self.relays))),
                *(self._break_relay(number) for number in range(len(self.relays))),
                *(self._break_client(item) for item in self.clients[STEADY_CLIENTS:]),
                self._break_everything(),
                self._kill_lnbits(),
            ]
            tasks = [asyncio.create_task(item) for item in work]
            try:
                await asyncio.gather(*tasks)
            finally:
                self._mend()
                for task in tasks:
                    task.cancel()
            lost = await self._wait_for_all()
            self.undeliverable = self._status()["outbox_undeliverable"]
            if any(lost.values()):
                self._report_relays()
            for task in client_tasks:
                task.cancel()
            await asyncio.gather(*client_tasks, return_exceptions=True)
            after = await self._settled_resources()
            return self._report(lost, before, after)

    def _prepare(self) -> None:
        for relay in self.relays:
            proxy = Proxy(relay.port, self.loop_thread)
            relay.answer_to(proxy.url)
            self.relay_proxies.append(proxy)
        self.server.start()
        settings = COMPRESSED if self.compressed else {}
        self.server.api("PUT", "/config", {"public_ws": True, "settings": settings})
        nsec = self.identity.secret_key().to_bech32()
        self.server.api("PUT", "/identity", {"nsec": nsec})
        for proxy in self.relay_proxies:
            self.server.api("POST", "/relay", {"url": proxy.url})
        self.server.deactivate()
        self.server.activate()
        for number in range(CLIENTS):
            proxy = Proxy(self.server.port, self.loop_thread)
            self.client_proxies.append(proxy)
            url = self.server.private_url()
            url = url.replace(f":{self.server.port}/", f":{proxy.port}/")
            margin = MARGIN_SECONDS[self.compressed]
            self.clients.append(SoakClient(number, url, margin, asks_often=number == 0))

    def _close(self) -> None:
        for proxy in [*self.relay_proxies, *self.client_proxies]:
            proxy.close()
        self.server.stop()
        for relay in self.relays:
            relay.close()
        self.loop_thread.close()

    def _mend(self) -> None:
        for proxy in [*self.relay_proxies, *self.client_proxies]:
            proxy.resume()

    # --- events

    def _new_event(self) -> Event:
        topic = self.chance.choice([-1, *range(CLIENTS)])
        kind = self.chance.choice([1, 4, 7, GIFT_WRAP])
        tags = [["t", "soak-all" if topic < 0 else f"soak-{topic}"]]
        if kind in (4, GIFT_WRAP):  # some relays give these to their recipient only
            tags.append(["p", self.identity.public_key().to_hex()])
        builder = nostr_sdk.EventBuilder(
            nostr_sdk.Kind(kind), f"event {len(self.events)} <b>&amp;</b>"
        ).tags([nostr_sdk.Tag.parse(tag) for tag in tags])
        if kind == GIFT_WRAP:
            age = self.chance.randint(0, 2 * DAY - 600)
            date = nostr_sdk.Timestamp.from_secs(int(time.time()) - age)
            builder = builder.custom_created_at(date)
        signed = builder.sign_with_keys(self.chance.choice(self.authors))
        event = Event(json.loads(signed.as_json()), topic)
        self.events[event.id] = event
        return event

    async def _publish_through(self, client: SoakClient) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5))
            await client.publish(self._new_event())

    async def _publish_directly(self, number: int) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            await asyncio.sleep(self.chance.uniform(0.2, 1.8))
            event = self._new_event()
            await self.relays[number].put(event.body)
            event.put_at[number] = time.monotonic()

    # --- faults

    async def _break_relay(self, number: int) -> None:
        proxy = self.relay_proxies[number]
        outages = self.relay_outages[number]
        end = time.monotonic() + self.seconds
        while True:
            await asyncio.sleep(self.chance.uniform(1, 6) * self.pace)
            seconds = self.chance.choice([0.2, 1.0, 2.0, 5.0])
            if time.monotonic() + seconds > end:
                return
            fault = self.chance.choice(RELAY_FAULTS)
            self.faults[f"relay: {fault}"] += 1
            began = time.monotonic()
            await self._inject(proxy, fault, seconds)
            self.disturbances[number].spans.append((began, time.monotonic()))
            if fault in OUTAGES:
                outages.spans.append((began, time.monotonic()))

    async def _break_everything(self) -> None:
        end = time.monotonic() + self.seconds
        while True:
            await asyncio.sleep(self.chance.uniform(10, 30) * self.pace)
            seconds = self.chance.uniform(0.5, 3)
            if time.monotonic() + seconds > end:
                return
            self.faults["all relays: refuse"] += 1
            await self._refuse_all(asyncio.sleep(seconds))

    async def _refuse_all(self, meanwhile: Awaitable[None]) -> None:
        began = time.monotonic()
        for proxy in self.relay_proxies:
            proxy.refuse()
        await meanwhile
        for number, proxy in enumerate(self.relay_proxies):
            proxy.resume()
            for spans in (self.relay_outages[number], self.disturbances[number]):
                spans.spans.append((began, time.monotonic()))

    async def _inject(self, proxy: Proxy, fault: str, seconds: float) -> None:
        if fault in ("reset", "cut"):
            getattr(proxy, fault)()
            return
        if fault == "refuse":
            proxy.refuse()
        elif fault.startswith("freeze"):
            proxy.freeze()
        elif fault == "delay":
            proxy.delay(self.chance.uniform(0.1, 1.5))
        elif fault == "throttle":
            proxy.throttle(self.chance.choice([2_000, 20_000]))
        await asyncio.sleep(seconds)
        if fault == "freeze and reset":
            proxy.reset()
        proxy.resume()

    async def _break_client(self, client: SoakClient) -> None:
        proxy = self.client_proxies[client.number]
        end = time.monotonic() + self.seconds
        while True:
            await asyncio.sleep(self.chance.uniform(5, 25) * self.pace)
            seconds = self.chance.choice([0.2, 1.0, 3.0])
            if time.monotonic() + seconds > end:
                return
            fault = self.chance.choice(CLIENT_FAULTS)
            self.faults[f"client: {fault}"] += 1
            began = time.monotonic()
            await self._inject(proxy, fault, seconds)
            client.outages.spans.append((began, time.monotonic()))

    async def _kill_lnbits(self) -> None:
        gap = self.seconds / (self.kills + 1)
        for number in range(self.kills):
            await asyncio.sleep(gap * self.chance.uniform(0.5, 1.0))
            began = time.monotonic()
            if number % 2 == 0:  # with events in the outbox
                self.faults["LNbits: SIGKILL, no relay up"] += 1
                await self._refuse_all(self._kill_and_start(after_seconds=2.5))
            else:
                self.faults["LNbits: SIGKILL"] += 1
                await self._kill_and_start(after_seconds=0)
            self.lnbits_outages.spans.append((began, time.monotonic() + 3))

    async def _kill_and_start(self, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        for client in self.clients:
            client.killed_at = time.time()
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)

    # --- judging

    async def _wait_for_all(self) -> dict[str, list[str]]:
        """Wait until nothing is missing, or for long; give what is, by reason."""
        patience = 90 if self.compressed else 180
        deadline = time.monotonic() + patience
        while True:
            lost = await self._missing()
            if not any(lost.values()) or time.monotonic() > deadline:
                return lost
            await asyncio.sleep(1)

    async def _missing(self) -> dict[str, list[str]]:
        ids = list(self.events)
        on_relays = [await relay.stored(ids) for relay in self.relays]
        anywhere = set().union(*on_relays)
        lost = defaultdict(list)
        for event in self.events.values():
            if event.answered_at is not None:
                if event.id not in anywhere:
                    lost["answered true, on no relay"].append(event.id)
                elif not self._killed_after(event.answered_at):
                    for number, stored in enumerate(on_relays):
                        if event.id not in stored:
                            name = self.relays[number].name
                            reason = f"answered true, not on {name}"
                            lost[reason].append(event.id)
            if event.id in anywhere:
                for client in self.clients:
                    if client.wants(event) and event.id not in client.first_at:
                        names = [
                            relay.name
                            for relay, stored in zip(
                                self.relays, on_relays, strict=True
                            )
                            if event.id in stored
                        ]
                        reason = f"of {', '.join(names)}, not delivered"
                        lost[reason].append(event.id)
        return lost

    def _killed_after(self, answered_at: float) -> bool:
        # Copies owed to further relays are stored two seconds after acceptance.
        return self.lnbits_outages.any_between(answered_at, answered_at + 4)

    def _early(self) -> tuple[list[str], int]:
        """Return what an EOSE did not wait for, though its relay owed it.

        The number is how many events it had to wait for, in all.

        That is: stored on a relay before the REQ, the relay reachable from well before
        the REQ until EOSE, and EOSE before the deadline (D4).
        """
        early = []
        judged = 0
        for client in self.clients:
            for answer in client.stored.values():
                ended = answer.eose_at
                if ended is None or ended - answer.asked_at > EOSE_SECONDS:
                    continue
                settled = answer.asked_at - self.return_seconds
                for event in self.events.values():
                    owed = [
                        number
                        for number, at in event.put_at.items()
                        if at < answer.asked_at
                        and not self.disturbances[number].any_between(settled, ended)
                    ]
                    if (
                        owed
                        and event.topic in answer.topics
                        and event.body["kind"] in answer.kinds
                        and event.body["created_at"] >= answer.since
                    ):
                        judged += 1
                        if event.id not in answer.before_eose:
                            early.append(f"{self.relays[owed[0]].name}: {event.id}")
        return early, judged

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.api("GET", "/status")
        return status

    async def _settled_resources(self) -> tuple[int, int, int]:
        """Return descriptors, threads and bytes with all relays and no client."""
        deadline = time.monotonic() + 60
        status: dict[str, Any] = {}
        while status.get("relays_connected") != len(self.relays) or status["clients"]:
            if time.monotonic() > deadline:
                print(f"not settled: {status}", file=sys.stderr)
                break
            await asyncio.sleep(0.2)
            with suppress(httpx.HTTPError):
                status = self._status()
        await asyncio.sleep(2)
        process: psutil.Process = self.server.process()
        return process.num_fds(), process.num_threads(), process.memory_info().rss

    def _report_relays(self) -> None:
        """Print what nostrclient says about the relays, to find out what was lost."""
        print(f"{'relay':16}{'up':>4}{'owed':>6}{'dropped':>9}  {'last error'}")
        pairs = zip(self.relay_proxies, self.relays, strict=True)
        names = {proxy.url: relay.name for proxy, relay in pairs}
        for relay in self.server.api("GET", "/relays"):
            status = relay["status"]
            print(
                f"{names[relay['url']]:16}{relay['connected']!s:>6}"
                f"{status['num_owed_events']:6}{status['num_dropped_events']:9}"
                f"  {json.dumps(status['errors'][:2])} {status['limits']}"
            )

    def _discoveries(self) -> Iterable[float]:
        """Return the delays from a relay's return to the delivery of missed events."""
        for event in self.events.values():
            if len(event.put_at) != 1 or event.answered_at is not None:
                continue
            ((number, put_at),) = event.put_at.items()
            outage = self.relay_outages[number].at(put_at)
            if outage is None:
                continue
            began, reachable = outage
            for client in self.clients:
                if client.wants(event) and event.id in client.first_at:
                    at = client.first_at[event.id]
                    if at >= reachable and not (
                        client.outages.any_between(began, at)
                        or self.lnbits_outages.any_between(began, at)
                        or self._broken_again(number, reachable, at)
                    ):
                        yield at - reachable

    def _broken_again(self, number: int, after: float, until: float) -> bool:
        return any(
            after < began <= until for began, _ in self.relay_outages[number].spans
        )

    def _report(
        self,
        lost: dict[str, list[str]],
        before: tuple[int, int, int],
        after: tuple[int, int, int],
    ) -> bool:
        repeated = sum(
            count - 1 for client in self.clients for count in client.came.values()
        )
        eoses = sum(
            count - 1 for client in self.clients for count in client.eoses.values()
        )
        deliveries = sum(sum(client.came.values()) for client in self.clients)
        early, judged = self._early()
        unexpected = [item for client in self.clients for item in client.unexpected]
        answers = [item for client in self.clients for item in client.answers.values()]
        refused = [reason for accepted, reason in answers if not accepted]
        queued = sum(reason.startswith("queued:") for _, reason in answers)
        missing = sum(len(ids) for ids in lost.values())
        growth = [now - then for then, now in zip(before, after, strict=True)]
        most = (MOST_MORE_DESCRIPTORS, MOST_MORE_THREADS, MOST_MORE_BYTES)
        leaked = any(more > limit for more, limit in zip(growth, most, strict=True))

        print(f"{'faults':24}{sum(self.faults.values()):8}")
        for fault, count in sorted(self.faults.items()):
            print(f"  {fault:30}{count:4}")
        print(f"{'events':24}{len(self.events):8}")
        direct = sum(bool(event.put_at) for event in self.events.values())
        print(f"{'  put on a relay':24}{direct:8}")
        through = sum(item.answered_at is not None for item in self.events.values())
        print(f"{'  answered true':24}{through:8}   of them queued: {queued}")
        print(f"{'  answered false':24}{len(refused):8}   {sorted(set(refused))}")
        print(f"{'deliveries':24}{deliveries:8}")
        print(f"{'lost':24}{missing:8}")
        for reason, ids in lost.items():
            print(f"  {reason}: {len(ids)}, among them {ids[:3]}")
            print("     ", self._when(ids))
        print(f"{'duplicated':24}{repeated:8}")
        print(f"{'second EOSEs':24}{eoses:8}")
        print(f"{'early EOSEs':24}{len(early):8}   of {judged} {early[:3]}")
        print(f"{'unexpected messages':24}{len(unexpected):8}   {unexpected[:3]}")
        print(f"{'undeliverable':24}{self.undeliverable:8}")
        self._report_delays(sorted(self._discoveries()))
        for name, then, now in zip(
            ("descriptors", "threads"), before[:2], after[:2], strict=True
        ):
            print(f"{name + ', before / after':24}{then:8} / {now}")
        mib = [size // 1024**2 for size in (before[2], after[2])]
        print(f"{'MiB, before / after':24}{mib[0]:8} / {mib[1]}")
        bad = missing or repeated or eoses or early or unexpected or refused or leaked
        return not (bad or self.undeliverable)

    def _when(self, ids: list[str]) -> str:
        """Return in which tenth of the run the events were made, and their kinds."""
        first = min(event.made_at for event in self.events.values())
        events = [self.events[event_id] for event_id in ids]
        tenths = Counter(
            int((event.made_at - first) / self.seconds * 10) for event in events
        )
        kinds = Counter(event.body["kind"] for event in events)
        waiting = Counter(
            client.number
            for client in self.clients
            for event in events
            if client.wants(event) and event.id not in client.first_at
        )
        return (
            f"by tenth of the run {sorted(tenths.items())}, by kind {dict(kinds)}, "
            f"by client that lacks it {dict(waiting)}"
        )

    @staticmethod
    def _report_delays(delays: list[float]) -> None:
        if not delays:
            print("discovery                   no sample")
            return
        median = delays[len(delays) // 2]
        p99 = delays[min(len(delays) - 1, int(len(delays) * 0.99))]
        print(
            f"discovery after return   p50 {median:.3f} s, p99 {p99:.3f} s, "
            f"max {delays[-1]:.3f} s, {len(delays)} deliveries"
        )


def main() -> int:
    """Run the soak; 0 where nothing was lost, repeated or leaked."""
    parser = argparse.ArgumentParser(description="Break everything, miss nothing.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument(
        "--relays",
        nargs="+",
        choices=MIX,
        default=MIX,
        help="the kinds of relays; default: one of each",
    )
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    parser.add_argument(
        "--settings",
        choices=["compressed", "default"],
        default="compressed",
        help="default: nostrclient's own numbers, with a quarter of the faults",
    )
    parser.add_argument(
        "--kills", type=int, help="of LNbits; default: one in 2 minutes"
    )
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    if arguments.seconds is None:
        arguments.seconds = arguments.minutes * 60
    if arguments.kills is None:
        arguments.kills = max(1, int(arguments.seconds / 120))
    print(
        f"{arguments.seconds:g} seconds, {arguments.settings} settings, "
        f"SEED={arguments.seed}, relays: {', '.join(arguments.relays)}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="nostrclient-soak-") as folder:
        good = asyncio.run(Soak(arguments, Path(folder)).run())
        if not good:
            log = Path(folder) / "lnbits" / "lnbits.log"
            kept = Path(tempfile.gettempdir()) / f"soak-{arguments.seed}.log"
            kept.write_bytes(log.read_bytes())
            print(f"FAILED; SEED={arguments.seed} repeats it; LNbits' log: {kept}")
            return 1
    print("Nothing was lost, nothing came twice.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
