"""The fault bench: nostrclient's relays and sessions in this process, time compressed.

Everything is the product's own but the WebSocket towards clients: a thread stands where
the event loop is in LNbits. Relays are real ones behind proxies, or odd ones with
habits.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import nostr_sdk
from websockets.sync.client import connect

from dev.ports import HOST, free_port
from dev.proxy import LoopThread, Proxy
from nostrclient.nostr import clock
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.information import RelayInformation
from nostrclient.nostr.mailbox import Mailbox
from nostrclient.nostr.relay import new_id
from nostrclient.nostr.relay_link import Inform
from nostrclient.nostr.session import (
    Authenticated,
    Command,
    Count,
    Publish,
    Session,
    Subscribe,
    Unsubscribe,
)
from nostrclient.nostr.settings import PRIVATE_LIMITS, Settings
from tests.e2e.clients import Author, Message, wait_until

NostrEvent = dict[str, Any]

SECONDS = 20.0
"""How long a test waits for something that should happen."""

FAST = Settings(
    private=replace(PRIVATE_LIMITS, messages_per_second=10_000, burst_messages=10_000),
    answer_seconds=0.5,
    eose_seconds=1.0,
    eose_max_seconds=4.0,
    eose_busy_seconds=0.3,
    eose_lost_relay_seconds=3.0,
    connect_seconds=4.0,
    connect_address_seconds=1.0,
    reconnect_seconds=0.1,
    reconnect_max_seconds=0.5,
    reconnect_forget_seconds=5.0,
    ping_seconds=1.0,
    pong_seconds=1.0,
    overlap_seconds=3.0,
    refresh_seconds=3.0,
    refresh_answer_seconds=1.0,
    probe_seconds=1.0,
    refreshes_per_second=20.0,
    subscription_retry_seconds=0.3,
    subscription_retry_max_seconds=2.0,
    publish_retry_seconds=0.2,
    publish_retry_max_seconds=1.0,
    publish_rate_pause_seconds=0.1,
    publish_rate_max_pause_seconds=2.0,
    publish_rate_window_seconds=6.0,
    resend_seconds=3.0,
    poison_seconds=0.1,
)
"""The defaults with time run about ten times as fast, or more where it is safe."""

MEASURED: list[tuple[str, str]] = []
"""What tests measured; the test run ends with this table."""


def measured(what: str, result: str) -> None:
    """Have a line in the table of measurements."""
    MEASURED.append((what, result))


def spread(seconds: Iterable[float]) -> str:
    """Give median and maximum of some delays."""
    ordered = sorted(seconds)
    middle = ordered[len(ordered) // 2]
    return f"median {middle:.3f} s, max {ordered[-1]:.3f} s, n {len(ordered)}"


class Bench:
    """nostrclient without LNbits: relays, outbox, and clients that connect to them."""

    def __init__(self, settings: Settings = FAST) -> None:
        self.settings = settings
        self.nostr_client = NostrClient(settings)
        self.manager = self.nostr_client.relay_manager
        self._clients: list[BenchClient] = []
        self._changed = threading.Event()
        self._ended = False
        self.manager.on_change = self._changed.set
        self._stepper = threading.Thread(
            target=self._step, name="fault bench outbox", daemon=True
        )
        self._stepper.start()

    def start(self, *urls: str) -> None:
        """Add relays and connect; does not wait."""
        self.nostr_client.connect(urls)

    def start_connected(self, *urls: str) -> None:
        """Add relays and wait until all are connected."""
        self.start(*urls)
        self.wait_connected(*urls)

    def wait_connected(self, *urls: str) -> None:
        """Wait until these relays are connected, or all."""
        relays = self.manager.relays
        wait_until(
            lambda: all(relays[url].connected for url in urls or list(relays)),
            "relays are connected",
            SECONDS,
            pause=0.01,
        )

    def inform(self, url: str, *nips: int) -> None:
        """Have a relay that has no NIP-11 document list some NIPs."""
        information = RelayInformation(supported_nips=frozenset(nips))
        self.manager.relays[url]._link.put(Inform(information))

    def wait_disconnected(self, url: str) -> None:
        """Wait until a relay is known not to be connected."""
        relay = self.manager.relays[url]
        wait_until(lambda: not relay.connected, "connection is lost", SECONDS, 0.01)

    def client(self, name: str = "client", *, public: bool = False) -> "BenchClient":
        """Connect a client, to the private endpoint or to the public one."""
        client = BenchClient(self, name, public=public)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        self.nostr_client.close()
        self._ended = True
        self._changed.set()
        self._stepper.join()

    def _step(self) -> None:
        while not self._ended:
            self._changed.clear()
            due = self.manager.step()
            self._changed.wait(None if due is None else max(0.0, due - clock.now()))


class BenchClient:
    """A client's connection: the product's session and mailbox, run by a thread."""

    def __init__(self, bench: Bench, name: str, *, public: bool = False) -> None:
        self.name = name
        self._public = public
        self.received: list[Message] = []
        self.arrivals: dict[str, float] = {}
        """When each event came for the first time, by id (`time.monotonic`)."""
        self._manager = bench.manager
        self._arrived = threading.Event()
        self._closed = False
        self._challenge = self._url = ""
        self._taken = 0
        # The session belongs to an event loop; here a lock makes one of two threads.
        self._lock = threading.RLock()
        self._mailbox = Mailbox(
            self._arrived.set,
            bench.settings.mailbox_bytes,
            (
                self._manager.message_pool.public_budget
                if public
                else self._manager.message_pool.budget
            ),
        )
        self._session = Session(
            bench.settings.public if public else bench.settings.private,
            bench.settings,
            new_id,
            clock.now(),
        )
        self._manager.register(self._mailbox)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # --- what tests do

    def send(self, *message: object) -> None:
        """Send a message."""
        with self._lock:
            text = json.dumps(message)
            output = self._session.receive(text, clock.now(), clock.wall())
            self._put_out(output)
        self._arrived.set()

    def challenge(self, url: str) -> None:
        """Receive a challenge, as clients do that reached the endpoint by this URL."""
        with self._lock:
            self._challenge = json.loads(self._session.challenge([url]))[1]
            self._url = url

    def authenticate(self, author: Author) -> None:
        """Answer the challenge (NIP-42) and wait for the OK."""
        tags = [["relay", self._url], ["challenge", self._challenge]]
        event = author.event(kind=22242, tags=tags)
        self.send("AUTH", event)
        assert self.answer(event) == (True, "")

    def req(self, subscription_id: str, *filters: object) -> None:
        """Send a REQ; does not wait."""
        self.send("REQ", subscription_id, *filters)

    def subscribe(self, subscription_id: str, *filters: object) -> list[NostrEvent]:
        """Send a REQ and give the stored events, those that precede EOSE."""
        start, eose = len(self.received), ["EOSE", subscription_id]
        self.req(subscription_id, *filters)
        self.wait(
            lambda: eose in [message[:2] for message in self.received[start:]],
            f"EOSE {subscription_id}",
        )
        messages = self.received[start:]
        end = [message[:2] for message in messages].index(eose)
        return [
            message[2]
            for message in messages[:end]
            if message[:2] == ["EVENT", subscription_id]
        ]

    def publish(self, event: NostrEvent, seconds: float = SECONDS) -> tuple[bool, str]:
        """Send an EVENT and give what its OK says."""
        self.send("EVENT", event)
        return self.answer(event, seconds)

    def answer(self, event: NostrEvent, seconds: float = SECONDS) -> tuple[bool, str]:
        """Wait for the OK of an event that was sent."""
        found: list[Message] = []

        def has_come() -> bool:
            found.extend(
                message
                for message in self.received
                if message[:2] == ["OK", event["id"]]
            )
            return bool(found)

        self.wait(has_come, f"OK for {event['id']}", seconds)
        return found[0][2], found[0][3]

    def wait(
        self, true: Callable[[], bool], what: str, seconds: float = SECONDS
    ) -> None:
        """Wait for something that should come true; fail the test if it does not."""
        wait_until(true, f"{self.name}: {what}", seconds, pause=0.005)

    def wait_events(
        self, events: Iterable[NostrEvent], seconds: float = SECONDS
    ) -> None:
        """Wait until these events have come."""
        ids = {event["id"] for event in events}
        self.wait(
            lambda: ids <= self.arrivals.keys(),
            f"{len(ids)} events have come",
            seconds,
        )

    def wait_eose(self, subscription_id: str) -> None:
        """Wait for the one EOSE of a subscription."""
        self.wait(lambda: self.count("EOSE", subscription_id) == 1, "EOSE")

    def ids(self, subscription_id: str) -> Counter[str]:
        """Count how often each event has come for a subscription."""
        return Counter(
            message[2]["id"]
            for message in list(self.received)
            if message[:2] == ["EVENT", subscription_id]
        )

    def assert_exactly(
        self, subscription_id: str, events: Iterable[NostrEvent], quiet: float = 0.3
    ) -> None:
        """Wait for these events, and see that each came once, and nothing else."""
        wanted = {event["id"]: 1 for event in events}
        self.wait(
            lambda: wanted.keys() <= self.ids(subscription_id).keys(),
            f"all {len(wanted)} events on {subscription_id}",
        )
        time.sleep(quiet)
        came = self.ids(subscription_id)
        assert came == wanted, (
            f"twice or more: {[i for i, n in came.items() if n > 1]}, "
            f"unexpected: {came.keys() - wanted.keys()}"
        )

    def count(self, *start: object) -> int:
        """Count the messages received so far that start like this."""
        return sum(
            message[: len(start)] == list(start) for message in list(self.received)
        )

    def close(self) -> None:
        """Go away, as NostrRouter does it."""
        if self._closed:
            return
        self._closed = True
        self._manager.unregister(self._mailbox)
        with self._lock:
            upstream_ids = self._session.upstream_ids
        for upstream_id in upstream_ids:
            self._manager.unsubscribe(upstream_id)
        self._mailbox.close()
        self._arrived.set()
        self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        while not self._closed:
            with self._lock:
                now = clock.now()
                deadline = self._session.deadline(now)
            timeout = None if deadline is None else max(0.0, deadline - now) + 0.001
            self._arrived.wait(timeout)
            self._arrived.clear()
            with self._lock:
                while deliveries := self._mailbox.take_all(self._session.held_bytes):
                    self._put_out(self._session.deliver(deliveries, clock.now()))
                self._put_out(self._session.tick(clock.now()))

    def _put_out(self, output: Iterable[str | Command]) -> None:
        for item in output:
            if isinstance(item, str):
                message = json.loads(item)
                self.received.append(message)
                if message[0] == "EVENT":
                    self.arrivals.setdefault(message[2]["id"], time.monotonic())
            elif isinstance(item, Publish):
                self._manager.publisher.publish(
                    item.event, self._mailbox, is_public=self._public
                )
            elif isinstance(item, Subscribe):
                self._manager.subscribe(
                    item.upstream_id,
                    item.filters,
                    self._mailbox,
                    is_public=self._public,
                    keys=self._session.keys,
                )
            elif isinstance(item, Authenticated):
                self._manager.authenticated(item.pubkey)
            elif isinstance(item, Unsubscribe):
                self._manager.unsubscribe(item.upstream_id)
            elif isinstance(item, Count):
                self._manager.count(
                    item.upstream_id,
                    item.filters,
                    self._mailbox,
                    is_public=self._public,
                    keys=self._session.keys,
                )


class RealRelay:
    """rust-nostr's relay, in this process, behind a proxy that is all its clients see.

    `put` and `fetch` go round the proxy: they are the rest of the world.
    """

    def __init__(self, loop: LoopThread) -> None:
        self._port = free_port()
        self._direct_url = f"ws://{HOST}:{self._port}"
        self._loop = loop
        self._relay = loop.run(self._run())
        self.proxy = Proxy(self._port, loop)
        self.url = self.proxy.url

    async def _run(self) -> nostr_sdk.LocalRelay:
        builder = (
            nostr_sdk.RelayBuilder()
            .addr(HOST)
            .port(self._port)
            .rate_limit(
                nostr_sdk.RateLimit(max_reqs=1_000_000, notes_per_minute=1_000_000)
            )
        )
        relay = nostr_sdk.LocalRelay(builder)
        await relay.run()
        return relay

    def put(self, *events: NostrEvent) -> float:
        """Publish events here; gives when the last was accepted (monotonic)."""
        put(self._direct_url, *events)
        return time.monotonic()

    def fetch(self, filter_: dict[str, Any]) -> list[NostrEvent]:
        """Give the stored events that match."""
        return fetch(self._direct_url, filter_)

    def has(self, *events: NostrEvent) -> bool:
        """Tell whether all of these events are stored."""
        ids = [event["id"] for event in events]
        return len(self.fetch({"ids": ids})) == len(ids)

    def close(self) -> None:
        """End everything."""
        self.proxy.close()
        self._relay.shutdown()


def put(url: str, *events: NostrEvent) -> None:
    """Publish events on a relay and wait until it has accepted all."""
    with connect(url, compression=None) as relay:
        for event in events:
            relay.send(json.dumps(["EVENT", event]))
        for _ in events:
            answer = json.loads(relay.recv(timeout=SECONDS))
            assert answer[0] == "OK", answer
            assert answer[2], answer


def fetch(url: str, filter_: dict[str, Any]) -> list[NostrEvent]:
    """Ask a relay for its stored events."""
    with connect(url, compression=None, max_size=None) as relay:
        relay.send(json.dumps(["REQ", "fetch", filter_]))
        events: list[NostrEvent] = []
        while True:
            message = json.loads(relay.recv(timeout=SECONDS))
            if message[0] == "EVENT":
                events.append(message[2])
            elif message[0] == "EOSE":
                return events


def order(
    customer: Author, merchant: Author, text: str = "order", **more: Any
) -> NostrEvent:
    """Make an order as nostrmarket knows it: a direct message (kind 4)."""
    return customer.event(text, kind=4, tags=[["p", merchant.pubkey]], **more)


def orders(number: int, merchant: Author, **more: Any) -> list[NostrEvent]:
    """Make orders of one new customer."""
    customer = Author()
    return [order(customer, merchant, f"order {n}", **more) for n in range(number)]


def orders_filter(merchant: Author, **more: Any) -> dict[str, Any]:
    """Make the filter with which a merchant waits for orders."""
    return {"kinds": [4], "#p": [merchant.pubkey]} | more
