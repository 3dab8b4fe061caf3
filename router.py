"""The WebSocket around one client's session, and the relays that all clients share.

This is the event loop's side: a `NostrRouter` is woken when its mailbox has items,
takes all of them and sends them. Nothing here polls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fastapi import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from .client_writer import (
    BURST_CHARACTERS,
    BURST_MESSAGES,
    ClientWriter,
    refuse_compression,
)
from .nostr import clock
from .nostr.client.client import NostrClient
from .nostr.delivery import Delivery, Reply
from .nostr.guests import OPEN_TO_ALL, GuestRules
from .nostr.in_process import EndOfStoredEventsMessage, EventMessage, NoticeMessage
from .nostr.information import PRESENCE_HEADER, is_nostrclient_agent
from .nostr.log import LimitedLog, logger
from .nostr.mailbox import Mailbox
from .nostr.message import printable
from .nostr.publication import RELAYED
from .nostr.relay import new_id
from .nostr.session import (
    Authenticated,
    Command,
    Count,
    Publish,
    Session,
    Subscribe,
    Unsubscribe,
)
from .nostr.settings import DEFAULTS

# The names for other extensions: docs/extensions.md. The rest may change.
__all__ = ["NostrRouter", "nostr_client"]

nostr_client: NostrClient = NostrClient()
all_routers: list[NostrRouter] = []

BURST_DELIVERIES = 1000
GOING_AWAY = 1001
MAX_AGENT_CHARACTERS = 200
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


@dataclass
class Traffic:
    """Counters of an endpoint since this code was loaded."""

    connections: int = 0
    received_messages: int = 0
    sent_messages: int = 0
    dropped_messages: int = 0

    def add(self, router: NostrRouter) -> None:
        """Add the counters of one client."""
        self.connections += 1
        self.received_messages += router.received_messages
        self.sent_messages += router.sent_messages
        self.dropped_messages += router.dropped_messages


_departed = {True: Traffic(), False: Traffic()}


refused_connections: dict[str, Counter[str]] = {
    "public": Counter(),
    "private": Counter(),
}
"""Connections that were refused, by endpoint and a reason of few words."""


def traffic(*, is_public: bool) -> Traffic:
    """Return the counters of an endpoint, including disconnected clients."""
    total = replace(_departed[is_public])
    for router in all_routers:
        if router.is_public == is_public:
            total.add(router)
    return total


# Errors of sending to a disconnected client, depending on how it disconnected.
CLIENT_GONE = (RuntimeError, OSError, WebSocketDisconnect, ConnectionClosed)


class NostrRouter:
    """One client's WebSocket, from `start` to `stop`.

    The class also holds the events of subscriptions that other extensions opened in
    this process, by subscription id. They poll these lists and remove items from the
    front.
    """

    public_url: ClassVar[str] = ""
    """The public endpoint's own address; empty if it has none."""

    guests: ClassVar[GuestRules] = OPEN_TO_ALL
    refusal_log: ClassVar[LimitedLog] = LimitedLog(DEFAULTS)
    """The rules for clients of the public endpoint."""

    received_subscription_events: ClassVar[dict[str, list[EventMessage]]] = {}
    received_subscription_notices: ClassVar[list[NoticeMessage]] = []
    received_subscription_eosenotices: ClassVar[dict[str, EndOfStoredEventsMessage]] = (
        {}
    )

    def __init__(
        self,
        websocket: WebSocket,
        *,
        is_public: bool = False,
        address: str = "",
        agent: str = "",
        private_url: str = "",
        reads_private_messages: bool = True,
    ) -> None:
        settings = nostr_client.relay_manager.settings
        self.websocket = websocket
        self.is_public = is_public
        self.address = address
        self.agent = printable(agent)[:MAX_AGENT_CHARACTERS]
        self.is_nostrclient = is_nostrclient_agent(agent)
        """Whether the client is another nostrclient, which has us as its relay."""
        self.publisher = RELAYED if self.is_nostrclient else ""
        """A name for the client that lasts, empty if it has none."""
        self.private_url = private_url
        """The id of the named private URL that the client uses, empty for others."""
        self._reads_as_public = is_public or not reads_private_messages
        self.named_relays: frozenset[str] | None = None
        """The relays that its events are for; None: the configured ones."""
        self.connected = False
        self.started_at = clock.wall()
        self.sent_messages = 0
        self.id = new_id()
        self.tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._finished = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._end_code = GOING_AWAY
        self._end_reason = ""
        pool = nostr_client.relay_manager.message_pool
        budget = pool.public_budget if is_public else pool.budget
        self._mailbox = Mailbox(self._wake, settings.mailbox_bytes, budget)
        limits = settings.public if is_public else settings.private
        self._session = Session(limits, settings, new_id, clock.now())
        if is_public:
            self._session.set_guests(self.guests)

    @property
    def subscriptions(self) -> list[str]:
        """The ids under which this client's subscriptions are open on the relays."""
        return self._session.upstream_ids

    @property
    def num_subscriptions(self) -> int:
        """How many subscriptions the client has open."""
        return self._session.subscription_count

    @property
    def filters(self) -> dict[str, list[dict[str, Any]]]:
        """The filters of the client's open subscriptions, by subscription id."""
        return self._session.open_filters

    @property
    def received_messages(self) -> int:
        """How many messages the client has sent."""
        return self._session.received

    @property
    def dropped_messages(self) -> int:
        """How many of them were refused as too many or too large."""
        return self._session.dropped

    @property
    def waiting_bytes(self) -> int:
        """The bytes that the client has not read yet."""
        return self._mailbox.waiting_bytes

    def is_complete(self, subscription_id: str) -> bool:
        """Return whether every relay has answered one of the client's subscriptions."""
        return self._session.is_complete(subscription_id)

    def start(self) -> None:
        """Begin to serve the client once its socket is accepted."""
        self.connected = True
        nostr_client.relay_manager.register(
            self._mailbox, is_nostrclient=self.is_nostrclient
        )
        self.tasks = [
            asyncio.create_task(self._client_to_nostr(), name="nostrclient receive"),
            asyncio.create_task(self._nostr_to_client(), name="nostrclient send"),
        ]

    async def run(self) -> None:
        """Accept the client and serve it until it goes away or is stopped.

        It counts as connected from the first moment, and leaves nothing behind.
        """
        all_routers.append(self)
        ended = asyncio.create_task(self._ended.wait(), name="nostrclient end")
        try:
            refuse_compression(self.websocket)
            await self.websocket.accept(headers=[(PRESENCE_HEADER.encode(), b"yes")])
            self.start()
            self._challenge()
            await asyncio.wait(
                [*self.tasks, ended], return_when=asyncio.FIRST_COMPLETED
            )
        except CLIENT_GONE:
            pass  # before the handshake was complete
        finally:
            ended.cancel()
            await self.finish()

    def _challenge(self) -> None:
        """Send AUTH where anything depends on who the client is (NIP-42)."""
        needed = self.is_public and self.guests.needs_auth
        if not (needed or nostr_client.relay_manager.challenges_clients):
            return
        url = self.websocket.url
        path = url.path.rstrip("/")
        hosts = {url.netloc, self.websocket.headers.get("host", "")}
        hosts.add(self.websocket.headers.get("x-forwarded-host", ""))
        urls = [f"wss://{host}{path}" for host in hosts if host]
        if self.is_public and self.public_url:
            urls.append(self.public_url)
        text = self._session.challenge(urls)
        self._mailbox.put(Reply(text))

    def apply_guests(self) -> None:
        """Apply changed rules for clients of the public endpoint to this one."""
        if not self.is_public or not self.connected:
            return
        if not self.guests.admits(self.address):
            self.end(POLICY_VIOLATION, "blocked: this address may not connect")
            return
        if self.guests.needs_auth and not self._session.is_challenged:
            self._challenge()
        self.set_guests(self.guests)

    def set_guests(self, rules: GuestRules) -> None:
        """Hold the client to these rules."""
        for item in self._session.set_guests(rules):
            if isinstance(item, str):
                self._mailbox.put(Reply(item))
            else:
                self._command(item)

    async def stop(self, reason: str = "endpoint closed") -> None:
        """End the connection and wait until its tasks have ended."""
        self.end(GOING_AWAY, reason)
        await self._finished.wait()

    def end(self, code: int, reason: str) -> None:
        """Request the end of the connection with this code and reason (RFC 6455)."""
        if not self._ended.is_set():
            self._end_code, self._end_reason = code, reason
            self._ended.set()

    async def finish(self) -> None:
        """Free everything the client used, and close its WebSocket."""
        self.connected = False
        if self._timer is not None:
            self._timer.cancel()
        manager = nostr_client.relay_manager
        manager.unregister(self._mailbox)
        for upstream_id in self.subscriptions:
            manager.unsubscribe(upstream_id)
        self._mailbox.close()
        for task in self.tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                text = "a client's connection was given up for a bug"
                logger.opt(exception=outcome).error(text)
        if self in all_routers:
            all_routers.remove(self)
            _departed[self.is_public].add(self)
        try:
            with suppress(*CLIENT_GONE):
                await ClientWriter(self.websocket).close(
                    self._end_code, self._end_reason
                )
        finally:
            self._finished.set()

    # From the client

    async def _client_to_nostr(self) -> None:
        while True:
            frame = await self.websocket.receive()
            if frame["type"] != "websocket.receive":
                return
            text = frame.get("text")
            if text is None:
                output = self._session.receive_binary()
            else:
                output = self._session.receive(text, clock.now(), clock.wall())
            # Answers go through the mailbox. So a client that does not read them
            # neither blocks reading nor exceeds the mailbox's limit.
            for item in output:
                if isinstance(item, str):
                    self._mailbox.put_later(Reply(item))
                else:
                    self._command(item)
            self._mailbox.flush()  # wakes the sender only if there is something to send
            await asyncio.sleep(
                0
            )  # another message may have arrived: let others run first

    async def _put_out(
        self, writer: ClientWriter, output: Iterable[str | Command]
    ) -> None:
        texts: list[str] = []
        characters = 0
        for number, item in enumerate(output, 1):
            if isinstance(item, str):
                texts.append(item)
                characters += len(item)
            else:
                self._command(item)
            pause = number % BURST_MESSAGES == 0
            # Items taken from the session are sent before any other task runs.
            if pause or len(texts) >= writer.burst or characters > BURST_CHARACTERS:
                await self._send(writer, texts)
                texts, characters = [], 0
            if pause:
                await asyncio.sleep(0)  # a burst must not block LNbits
        await self._send(writer, texts)

    async def _send(self, writer: ClientWriter, texts: Sequence[str]) -> None:
        if texts:
            self.sent_messages += len(texts)
            await writer.send(texts)

    def _command(self, command: Command) -> None:
        manager = nostr_client.relay_manager
        if isinstance(command, Publish):
            manager.publish(
                command.event,
                self._mailbox,
                is_public=self.is_public,
                publisher=self.publisher,
                named=self.named_relays,
            )
        elif isinstance(command, Subscribe):
            manager.subscribe(
                command.upstream_id,
                command.filters,
                self._mailbox,
                is_public=self._reads_as_public,
                keys=self._session.keys,
            )
        elif isinstance(command, Authenticated):
            manager.authenticated(command.pubkey)
        elif isinstance(command, Unsubscribe):
            manager.unsubscribe(command.upstream_id)
        elif isinstance(command, Count):
            manager.count(
                command.upstream_id,
                command.filters,
                self._mailbox,
                is_public=self._reads_as_public,
                keys=self._session.keys,
            )

    # To the client

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._woken)
        except RuntimeError:
            self._mailbox.close()  # the loop has ended, and so has the client

    def _woken(self) -> None:
        self._arrived.set()
        if self._mailbox.overflowed:
            logger.warning("a client reads too slowly and is disconnected")
            self.end(TRY_AGAIN_LATER, "too slow: too much data was waiting")

    async def _nostr_to_client(self) -> None:
        writer = ClientWriter(self.websocket)
        figures = nostr_client.relay_manager.message_pool.figures
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                # Taken after `now`, so that earlier items precede an EOSE that is due.
                now = clock.now()
                arrived_at, deliveries = self._take_all()
                while True:
                    for first in range(0, len(deliveries), BURST_DELIVERIES):
                        if first:  # all of them may have gone into a merge
                            await asyncio.sleep(0)
                        part = deliveries[first : first + BURST_DELIVERIES]
                        await self._put_out(writer, self._session.deliver(part, now))
                    # Each time, as there may always be more to send.
                    await self._put_out(writer, self._session.tick(now))
                    now = clock.now()
                    if arrived_at is not None:
                        figures.processing.observe(now - arrived_at)
                    arrived_at, deliveries = self._take_all()
                    if not deliveries:
                        break
                self._set_timer(now)
        except CLIENT_GONE:
            return  # the client disconnected

    def _take_all(self) -> tuple[float | None, list[Delivery]]:
        """Return all waiting items and the arrival of the oldest event among them."""
        arrived_at, self._mailbox.arrived_at = self._mailbox.arrived_at, None
        return arrived_at, self._mailbox.take_all(self._session.held_bytes)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._session.deadline(now)
        if deadline is not None:
            delay = max(0.0, deadline - now) + 0.001
            self._timer = self._loop.call_later(delay, self._arrived.set)
