"""A relay that misbehaves on purpose, in the way its switches say.

With all switches off it is a simple, honest relay (NIP-01) that keeps its events in a
list. Real relays are used where honesty is wanted; this one is for the rest.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from dev.ports import HOST, free_port
from dev.proxy import LoopThread

NostrEvent = dict[str, Any]


@dataclass
class Lies:
    """The switches. They may be changed at any time, from any thread."""

    sends_eose: bool = True
    eose_delay_seconds: float = 0.0
    sends_ok: bool = True
    refuses_events: str | None = None
    """The reason of OK false, with which every event is refused."""
    closes_subscriptions: str | None = None
    """The reason of CLOSED, with which every REQ is answered."""
    demands_auth: bool = False
    """Serve nobody, and take nothing, before a valid AUTH (NIP-42)."""
    forges_first: bool = False
    """Send a forged copy, same id, before each event."""
    serves_live: bool = True
    """Off: subscriptions get stored events and are then dropped without a word."""
    most_stored: int | None = None
    """Answer so many stored events per filter at most, the newest."""
    ignores_close: bool = False
    """Keep sending events for subscriptions that were closed."""
    sends_unasked: int = 0
    """So many EVENTs for a subscription nobody opened, before each EOSE."""
    event_pause_seconds: float = 0.0
    """A pause before each stored event."""


@dataclass
class Link:
    """One connection of somebody to the relay."""

    connection: ServerConnection
    subscriptions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    challenge: str = ""
    authenticated: bool = False


class LyingRelay:
    """The relay; listens on a free port as soon as it is made."""

    def __init__(self, loop: LoopThread) -> None:
        self.lies = Lies()
        self.port = free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self.events: list[NostrEvent] = []
        """The events it has, oldest first by arrival."""
        self.heard: list[list[Any]] = []
        """Every message it was sent."""
        self.connections = 0
        self._loop = loop
        self._links: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server = loop.run(self._start())

    # --- what tests do

    def put(self, *events: NostrEvent) -> None:
        """Have events appear on the relay, as if somebody else had published them."""
        self._loop.run(self._put_all(events))

    def drop_subscriptions(self) -> None:
        """Forget all subscriptions; the connections live on."""
        for link in self._links:
            link.subscriptions.clear()

    def disconnect(self) -> None:
        """End all connections without a closing handshake."""
        self._loop.call(self._abort_all)

    def count(self, verb: str) -> int:
        """Count the messages of one verb it was sent."""
        return sum(message[0] == verb for message in list(self.heard))

    def event_ids(self) -> Counter[str]:
        """Count how often it was sent each event."""
        return Counter(
            message[1]["id"] for message in list(self.heard) if message[0] == "EVENT"
        )

    def close(self) -> None:
        """End everything."""
        self._loop.run(self._stop())

    # --- in the loop

    async def _start(self) -> Server:
        return await serve(
            self._serve, HOST, self.port, compression=None, close_timeout=0.1
        )

    async def _stop(self) -> None:
        self._abort_all()
        self._server.close()
        await self._server.wait_closed()

    def _abort_all(self) -> None:
        for link in self._links:
            link.connection.transport.abort()

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        link = Link(connection, challenge=f"challenge {self.connections}")
        self._links.append(link)
        try:
            if self.lies.demands_auth:
                await self._send(link, "AUTH", link.challenge)
            async for text in connection:
                message = json.loads(text)
                self.heard.append(message)
                # Like many relays, it works on several REQs at a time.
                task = asyncio.create_task(self._take(link, message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except ConnectionClosed:
            pass
        finally:
            self._links.remove(link)

    async def _send(self, link: Link, *message: object) -> None:
        try:
            await link.connection.send(json.dumps(message))
        except ConnectionClosed:
            link.subscriptions.clear()

    async def _take(self, link: Link, message: list[Any]) -> None:
        verb = message[0]
        if verb == "EVENT":
            await self._event(link, message[1])
        elif verb == "REQ":
            await self._req(link, message[1], message[2:])
        elif verb == "CLOSE":
            filters = link.subscriptions.pop(message[1], None)
            if filters is not None:
                link.closed[message[1]] = filters
        elif verb == "AUTH":
            await self._auth(link, message[1])

    async def _auth(self, link: Link, event: NostrEvent) -> None:
        link.authenticated = (
            event["kind"] == 22242
            and ["relay", self.url] in event["tags"]
            and ["challenge", link.challenge] in event["tags"]
        )
        reason = "" if link.authenticated else "invalid: wrong challenge or relay"
        await self._send(link, "OK", event["id"], link.authenticated, reason)

    async def _event(self, link: Link, event: NostrEvent) -> None:
        if self.lies.demands_auth and not link.authenticated:
            reason = "auth-required: we only accept events from friends"
            await self._send(link, "OK", event["id"], False, reason)
            return
        if self.lies.refuses_events is not None:
            await self._send(link, "OK", event["id"], False, self.lies.refuses_events)
            return
        await self._put_all([event])
        if self.lies.sends_ok:
            await self._send(link, "OK", event["id"], True, "")

    async def _put_all(self, events: Iterable[NostrEvent]) -> None:
        known = {event["id"] for event in self.events}
        for event in events:
            if event["id"] not in known:
                self.events.append(event)
                if self.lies.serves_live:
                    for link in list(self._links):
                        await self._pass_on(link, event)

    async def _pass_on(self, link: Link, event: NostrEvent) -> None:
        wanted = dict(link.subscriptions)
        if self.lies.ignores_close:
            wanted |= link.closed
        for subscription_id, filters in wanted.items():
            if any(matches(filter_, event) for filter_ in filters):
                await self._send_event(link, subscription_id, event)

    async def _send_event(
        self, link: Link, subscription_id: str, event: NostrEvent
    ) -> None:
        if self.lies.forges_first:
            await self._send(link, "EVENT", subscription_id, forged(event))
        await self._send(link, "EVENT", subscription_id, event)

    async def _req(
        self, link: Link, subscription_id: str, filters: list[dict[str, Any]]
    ) -> None:
        lies = self.lies
        if lies.demands_auth and not link.authenticated:
            reason = "auth-required: we only serve friends"
            await self._send(link, "CLOSED", subscription_id, reason)
            return
        if lies.closes_subscriptions is not None:
            await self._send(link, "CLOSED", subscription_id, lies.closes_subscriptions)
            return
        link.subscriptions[subscription_id] = filters
        for event in self.stored(filters):
            if lies.event_pause_seconds:
                await asyncio.sleep(lies.event_pause_seconds)
            if subscription_id not in link.subscriptions and not lies.ignores_close:
                return
            await self._send_event(link, subscription_id, event)
        if lies.eose_delay_seconds:
            await asyncio.sleep(lies.eose_delay_seconds)
        for event in self.events[: lies.sends_unasked]:
            await self._send(link, "EVENT", "nobody-opened-this", event)
        if lies.sends_eose:
            await self._send(link, "EOSE", subscription_id)

    def stored(self, filters: list[dict[str, Any]]) -> list[NostrEvent]:
        """Answer a REQ: the newest of each filter, each event once."""
        found: dict[str, NostrEvent] = {}
        for filter_ in filters:
            most = filter_.get("limit", len(self.events))
            if self.lies.most_stored is not None:
                most = min(most, self.lies.most_stored)
            matching = [event for event in self.events if matches(filter_, event)]
            matching.sort(key=lambda event: (-event["created_at"], event["id"]))
            found |= {event["id"]: event for event in matching[:most]}
        return sorted(found.values(), key=lambda event: -event["created_at"])


def matches(filter_: dict[str, Any], event: NostrEvent) -> bool:
    """Tell whether an event matches one filter, by a reading of NIP-01 of its own."""
    for key, wanted in filter_.items():
        if key == "since":
            fits = event["created_at"] >= wanted
        elif key == "until":
            fits = event["created_at"] <= wanted
        elif key in ("ids", "authors", "kinds"):
            fits = event[{"ids": "id", "authors": "pubkey", "kinds": "kind"}[key]] in (
                wanted
            )
        elif key.startswith("#"):
            fits = any(tag[0] == key[1] and tag[1] in wanted for tag in event["tags"])
        else:
            fits = True
        if not fits:
            return False
    return True


def forged(event: NostrEvent) -> NostrEvent:
    """Make a copy with the same id whose content is somebody else's."""
    return event | {"content": f"forged: {event['content']}"}
