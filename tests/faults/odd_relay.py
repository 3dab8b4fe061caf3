"""A relay with habits: it misbehaves on purpose, in the way its switches say.

With all switches off it is a simple, honest relay (NIP-01) that keeps its events in a
list. Real relays are used where honesty is wanted; this one is for the rest.
"""

import asyncio
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import nostr_sdk
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from dev.ports import HOST, free_port
from dev.proxy import LoopThread
from nostr.negentropy import Negentropy  # not as nostrclient: that needs LNbits

from .habits import EventRate, Habits

NostrEvent = dict[str, Any]
NostrFilter = dict[str, Any]

AUTH_REQUIRED = "auth-required: requested filter requires authentication"
AUTH_KIND = 22242
# Clients that leave in the middle of a handshake are no news here.
LOGGER = logging.getLogger("nostrclient tests: odd relay")
LOGGER.setLevel(logging.CRITICAL)

EPHEMERAL_KINDS = range(20_000, 30_000)
LARGEST_KIND = 65_535
FILTER_KEYS = frozenset(("ids", "authors", "kinds", "since", "until", "limit"))


class Window:
    """A sliding window over what happened lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def exceeds(
        self, now: float, seconds: float, limit: int, *, refused_count: bool = True
    ) -> bool:
        """Return whether one more is too many; count it, if refused only on demand."""
        while self._times and self._times[0] <= now - seconds:
            self._times.popleft()
        too_many = len(self._times) >= limit
        if not too_many or refused_count:
            self._times.append(now)
        return too_many


class Decay(Window):
    """What happened lately, of which half is forgotten after each window."""

    def __init__(self) -> None:
        super().__init__()
        self._level = 0.0
        self._at = 0.0

    def exceeds(
        self, now: float, seconds: float, limit: int, *, refused_count: bool = True
    ) -> bool:
        """Return whether one more is too many; count it in any case."""
        passed = now - self._at
        self._level = 1 + (
            self._level * 2 ** (-passed / seconds) if passed < seconds else 0
        )
        self._at = now
        return self._level > limit


@dataclass
class Link:
    """One connection of somebody to the relay."""

    connection: ServerConnection
    subscriptions: dict[str, list[NostrFilter]] = field(default_factory=dict)
    closed: dict[str, list[NostrFilter]] = field(default_factory=dict)
    challenges: list[str] = field(default_factory=list)
    """The challenges it was sent, oldest first."""
    pubkeys: set[str] = field(default_factory=set)
    """Who it authenticated as."""
    failed_auths: int = 0
    late_refusals: list[str] = field(default_factory=list)
    """Events that are refused once AUTH is through."""
    negotiations: dict[str, Negentropy] = field(default_factory=dict)
    """The sides of the reconciliations under way."""
    recent: Window = field(default_factory=Window)

    @property
    def authenticated(self) -> bool:
        """Whether it authenticated as anybody."""
        return bool(self.pubkeys)


class OddRelay:
    """The relay; listens on a free port as soon as it is made."""

    def __init__(self, loop: LoopThread, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.port = free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self.events: list[NostrEvent] = []
        """The events it has, oldest first by arrival."""
        self.received: list[list[Any]] = []
        """Every message it was sent, but those it dropped for its rate."""
        self.refused: list[tuple[str, str]] = []
        """What it refused: the id of a REQ or event, and the reason."""
        self.sent_events = 0
        """How many EVENTs it sent, stored and live."""
        self.dropped = 0
        """How many messages it dropped for its rate."""
        self.connections = 0
        self.answers: Callable[[NostrEvent], list[NostrEvent]] | None = None
        """What somebody else publishes at once in answer to an event."""
        self._refuses = False
        self._loop = loop
        self._links: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connection_windows = (Window(), Window())
        self._message_window = Window()
        self._message_decay = Decay()
        self._event_windows: dict[tuple[str, EventRate], Window] = {}
        self._server: Server = loop.run(self._start())

    # --- what tests do

    def put(self, *events: NostrEvent) -> None:
        """Add events to the relay, as if somebody else had published them."""
        self._loop.run(self._put_all(events))

    def send_all(self, *message: object) -> None:
        """Send a message on every connection."""

        async def send() -> None:
            for link in list(self._links):
                await self._send(link, *message)

        self._loop.run(send())

    def drop_subscriptions(
        self, dropped: Callable[[list[NostrFilter]], bool] = lambda filters: True
    ) -> None:
        """Forget subscriptions, by default all; the connections live on."""

        def drop() -> None:
            for link in self._links:
                for subscription_id, filters in list(link.subscriptions.items()):
                    if dropped(filters):
                        del link.subscriptions[subscription_id]

        self._loop.call(drop)

    def disconnect(self) -> None:
        """End all connections without a closing handshake."""
        self._loop.call(self._abort_all)

    def refuse(self) -> None:
        """End all connections and let nobody connect, until `resume`."""
        self._refuses = True
        self.disconnect()

    def resume(self) -> None:
        """Let everybody connect again."""
        self._refuses = False

    def count(self, verb: str) -> int:
        """Count the messages of one verb it was sent."""
        return sum(message[0] == verb for message in list(self.received))

    def event_ids(self) -> Counter[str]:
        """Count how often it was sent each event."""
        return Counter(
            message[1]["id"] for message in list(self.received) if message[0] == "EVENT"
        )

    def has(self, *events: NostrEvent) -> bool:
        """Return whether it stores all of these events."""
        stored = {event["id"] for event in list(self.events)}
        return all(event["id"] in stored for event in events)

    @property
    def subscriptions(self) -> list[list[NostrFilter]]:
        """The filters of all open subscriptions."""
        return [
            filters
            for link in list(self._links)
            for filters in list(link.subscriptions.values())
        ]

    def close(self) -> None:
        """End everything."""
        self._loop.run(self._stop())

    # --- Connections

    async def _start(self) -> Server:
        return await serve(
            self._serve,
            HOST,
            self.port,
            process_request=self._process_request,
            compression=None,
            close_timeout=0.1,
            max_size=2**26,
            ping_interval=None,
            logger=LOGGER,
        )

    async def _stop(self) -> None:
        self._abort_all()
        for task in list(self._tasks):
            task.cancel()
        self._server.close()
        await self._server.wait_closed()

    def _abort_all(self) -> None:
        for link in self._links:
            link.connection.transport.abort()

    async def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        habits = self.habits
        if "Upgrade" not in request.headers:
            return self._information()
        if self._refuses:
            return Response(503, "Service Unavailable", Headers(), b"")
        if habits.handshake_answer is not None:
            connection.transport.write(
                f"HTTP/1.1 {habits.handshake_answer}\r\n\r\n<html>".encode()
            )
            await asyncio.wait([connection.connection_lost_waiter])
        return None

    def _information(self) -> Response:
        habits = self.habits
        headers = Headers({"Content-Type": "application/nostr+json"})
        if not habits.information:
            return Response(404, "Not Found", headers, b"")
        true_limits = {
            "max_message_length": habits.max_message_bytes,
            "max_subscriptions": habits.max_subscriptions,
            "max_filters": habits.announced_max_filters or habits.max_filters,
            "max_limit": habits.max_stored,
            "auth_required": habits.demands_auth,
        }
        if habits.search_supported is not None:
            true_limits["search_supported"] = habits.search_supported
        document: dict[str, Any] = {
            "name": "odd relay",
            "software": habits.software,
            "supported_nips": list(habits.supported_nips),
            "limitation": {name: true_limits[name] for name in habits.announced_limits},
        }
        if habits.instance_id is not None:
            document["nostrclient_instance"] = habits.instance_id
        body = json.dumps(document).encode()
        headers["Content-Length"] = str(len(body))
        return Response(200, "OK", headers, body)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        if self._has_too_many_connections():
            connection.transport.abort()
            return
        self._answer_pings_as_told(connection)
        link = Link(connection)
        self._links.append(link)
        try:
            await self._greet(link)
            async for text in connection:
                if not await self._admit(link, text):
                    continue
                message = json.loads(text)
                self.received.append(message)
                # Like many relays, it works on several REQs at a time.
                self._start_task(self._take(link, message))
        except ConnectionClosed:
            pass
        finally:
            self._links.remove(link)

    def _start_task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _has_too_many_connections(self) -> bool:
        habits = self.habits
        minute = habits.minute_seconds
        limits = (
            (habits.max_connections_per_second, minute / 60),
            (habits.max_connections_per_minute, minute),
        )
        found = [
            window.exceeds(self._now(), seconds, limit)
            for window, (limit, seconds) in zip(
                self._connection_windows, limits, strict=True
            )
            if limit is not None
        ]
        return any(found)

    def _answer_pings_as_told(self, connection: ServerConnection) -> None:
        send_frame = connection.protocol.send_frame

        def send_unless_pong(frame: Frame) -> None:
            if self.habits.pongs or frame.opcode is not Opcode.PONG:
                send_frame(frame)

        connection.protocol.send_frame = send_unless_pong  # type: ignore[method-assign]

    def _now(self) -> float:
        return self._loop.loop.time()

    async def _greet(self, link: Link) -> None:
        habits = self.habits
        if habits.demands_auth or habits.challenges_at_once:
            await self._challenge(link)
            if habits.second_challenge_seconds is not None:

                async def challenge_again(seconds: float) -> None:
                    await asyncio.sleep(seconds)
                    await self._challenge(link)

                self._start_task(challenge_again(habits.second_challenge_seconds))

    async def _admit(self, link: Link, text: str | bytes) -> bool:
        """Return whether the relay looks at a message at all."""
        habits = self.habits
        now = self._now()
        limit = habits.max_message_bytes
        if limit is not None and len(text) > limit:
            if habits.max_message_notice:
                await self._notice(link, f"message too large ({len(text)} > {limit})")
            else:
                link.connection.transport.abort()
            return False
        if habits.hangs_up_at is not None and habits.hangs_up_at in str(text):
            await link.connection.close(1008, "bad message")
            return False
        burst = habits.max_burst_messages
        if burst is not None and link.recent.exceeds(now, 1.0, burst):
            await link.connection.close(1008, "rate limit")
            return False
        rate = habits.max_messages_per_minute
        window = self._message_decay if habits.rates_decay else self._message_window
        if rate is not None and window.exceeds(
            now, habits.minute_seconds, rate, refused_count=habits.refused_count
        ):
            self.dropped += 1
            await self._notice(link, "rate limited")
            return False
        return True

    async def _send(self, link: Link, *message: object) -> None:
        try:
            await link.connection.send(json.dumps(message))
        except ConnectionClosed:
            link.subscriptions.clear()

    async def _notice(self, link: Link, text: str) -> None:
        await self._send(link, "NOTICE", f"{self.habits.error_prefix}{text}")

    async def _take(self, link: Link, message: list[Any]) -> None:
        verb = message[0]
        habits = self.habits
        if verb == "AUTH":
            await self._auth(link, message[1])
        elif verb == "CLOSE":
            filters = link.subscriptions.pop(message[1], None)
            if filters is not None:
                link.closed[message[1]] = filters
        elif habits.ignores_before_auth and not link.authenticated:
            pass
        elif verb == "EVENT":
            await self._event(link, message[1])
        elif verb == "REQ":
            await self._req(link, message[1], message[2:])
        elif verb == "COUNT" and habits.counts:
            await self._count(link, message[1], message[2:])
        elif verb.startswith("NEG-") and habits.negentropy is not None:
            await self._negotiate(link, verb, message[1], message[2:])
        else:
            await self._notice(link, f"unknown command {verb}")

    # --- NIP-42

    async def _challenge(self, link: Link) -> None:
        link.challenges.append(f"challenge {self.connections}.{len(link.challenges)}")
        await self._send(link, "AUTH", link.challenges[-1])

    async def _challenge_if_new(self, link: Link) -> None:
        if not link.challenges or self.habits.renews_challenge:
            await self._challenge(link)

    async def _auth(self, link: Link, event: NostrEvent) -> None:
        habits = self.habits
        if habits.auth_delay_seconds:
            await asyncio.sleep(habits.auth_delay_seconds)
        reason = self._auth_fault(link, event)
        if reason is not None:
            await self._send(link, "OK", event["id"], False, reason)
            return
        if self._is_full(link) and habits.further_key == "replaces":
            link.pubkeys.clear()
        if not self._is_full(link):
            link.pubkeys.add(event["pubkey"])
        if habits.auth_ok:
            await self._send(link, "OK", event["id"], True, "")
        for event_id in link.late_refusals:
            await self._refuse_event(link, event_id, "auth-required: who are you?")
        link.late_refusals.clear()

    def _auth_fault(self, link: Link, event: NostrEvent) -> str | None:
        habits = self.habits
        if link.failed_auths < habits.failing_auths:
            link.failed_auths += 1
            return "error: could not connect to the database"
        if habits.service_url == "":
            return "error: relay needs serviceUrl to be configured before AUTH can work"
        if self._is_full(link) and habits.further_key == "refused":
            return "error: already authenticated"
        tags = {tag[0]: tag[1] for tag in event["tags"] if len(tag) > 1}
        valid = link.challenges[-1:] if habits.renews_challenge else link.challenges
        if event["kind"] != AUTH_KIND or tags.get("challenge") not in valid:
            return "error: challenge string mismatch"
        expected = habits.service_url or self.url
        if _authority(tags.get("relay", "")) != _authority(expected):
            return f"error: incorrect or missing relay tag, expected: {expected}"
        if not nostr_sdk.Event.from_json(json.dumps(event)).verify():
            return "error: bad signature"
        return None

    def _is_full(self, link: Link) -> bool:
        most = self.habits.max_keys
        return most is not None and len(link.pubkeys) >= most

    async def _negotiate(
        self, link: Link, verb: str, name: str, rest: list[Any]
    ) -> None:
        if verb == "NEG-CLOSE":
            link.negotiations.pop(name, None)
            return
        if self.habits.negentropy == "silent":
            return
        if self.habits.negentropy == "refuses":
            await self._send(link, "NEG-ERR", name, "blocked: too many query results")
            return
        if verb == "NEG-OPEN" and self._lacks_auth(link, rest[:1]):
            await self._challenge_if_new(link)
            await self._send(link, "NEG-ERR", name, AUTH_REQUIRED)
            return
        if verb == "NEG-OPEN":
            link.negotiations[name] = Negentropy(
                (event["created_at"], bytes.fromhex(event["id"]))
                for event in self.events
                if self._may_read(link, event) and matches(rest[0], event)
            )
        answer = link.negotiations[name].respond(bytes.fromhex(rest[-1]))
        await self._send(link, "NEG-MSG", name, answer.hex())

    async def _count(
        self, link: Link, count_id: str, filters: list[NostrFilter]
    ) -> None:
        """Count, but for restricted kinds only what the filters name the reader in."""
        reason = None
        for filter_ in filters:
            if self.habits.restricted_kinds.isdisjoint(filter_.get("kinds", ())):
                continue
            named = [set(filter_.get(key, ())) for key in ("authors", "#p")]
            if not link.authenticated:
                reason = AUTH_REQUIRED
            elif self.habits.involved_only and not any(
                keys and keys <= link.pubkeys for keys in named
            ):
                reason = "count-failed: can only count events you are involved in"
        if reason is None:
            found = self.stored(filters, link)
            await self._send(link, "COUNT", count_id, {"count": len(found)})
            return
        if not link.authenticated:
            await self._challenge_if_new(link)
        reason = f"{self.habits.error_prefix}{reason}"
        await self._send(link, "CLOSED", count_id, reason)

    def _may_read(self, link: Link | None, event: NostrEvent) -> bool:
        if link is None or event["kind"] not in self.habits.restricted_kinds:
            return True
        if link.authenticated and not self.habits.involved_only:
            return True
        involved = {tag[1] for tag in event["tags"] if tag[:1] == ["p"] and tag[1:]}
        return not link.pubkeys.isdisjoint({event["pubkey"], *involved})

    def _is_restricted(self, filters: list[NostrFilter]) -> bool:
        restricted = self.habits.restricted_kinds
        return all(
            filter_.get("kinds") and restricted.issuperset(filter_["kinds"])
            for filter_ in filters
        )

    # --- EVENT

    async def _event(self, link: Link, event: NostrEvent) -> None:
        habits = self.habits
        if habits.demands_auth and not link.authenticated:
            if habits.refuses_late:
                link.late_refusals.append(event["id"])
                return
            reason = "auth-required: we only accept events from friends"
            await self._challenge_if_new(link)
            await self._refuse_event(link, event["id"], reason)
            return
        fault = self._event_fault(event)
        if fault is not None:
            await self._refuse_event(link, event["id"], fault)
            return
        message = "duplicate: have this event" if self.has(event) else ""
        if habits.queues_events:
            message = "queued: no relay is connected"
        else:
            await self._put_all([event])
        if habits.sends_ok:
            await self._send(link, "OK", event["id"], True, message)
        if self.answers is not None:
            await self._put_all(self.answers(event))

    async def _refuse_event(self, link: Link, event_id: str, reason: str) -> None:
        self.refused.append((event_id, reason))
        if self.habits.notice_for_ok:
            await self._notice(link, reason)
        else:
            await self._send(link, "OK", event_id, False, reason)

    def _event_fault(self, event: NostrEvent) -> str | None:
        habits = self.habits
        kind = event["kind"]
        if habits.refuses_events is not None:
            return habits.refuses_events
        if not habits.stores_odd_events and (
            kind > LARGEST_KIND or not all(event["tags"])
        ):
            return "invalid: strange event"
        age = _unix_time() - event["created_at"]
        if habits.max_ahead_seconds is not None and -age > habits.max_ahead_seconds:
            return "invalid: created_at too late"
        if habits.max_age_seconds is not None and age > habits.max_age_seconds:
            return "invalid: created_at too early"
        max_ephemeral_age = habits.max_ephemeral_age_seconds
        if (
            kind in EPHEMERAL_KINDS
            and max_ephemeral_age is not None
            and age > max_ephemeral_age
        ):
            return "invalid: ephemeral event expired"
        if self._is_above_rate(event):
            return "rate-limited: slow down"
        if habits.mutes_unheard and kind in EPHEMERAL_KINDS:
            wanted = self.subscriptions
            if not any(matches(item, event) for items in wanted for item in items):
                return "mute: no one was listening for this"
        return None

    def _is_above_rate(self, event: NostrEvent) -> bool:
        habits = self.habits
        kept = Decay if habits.rates_decay else Window
        found = [
            self._event_windows.setdefault((event["pubkey"], rate), kept()).exceeds(
                self._now(),
                rate.minutes * habits.minute_seconds,
                rate.events,
                refused_count=habits.refused_count,
            )
            for rate in habits.event_rates
            if any(event["kind"] in kinds for kinds in rate.kinds)
        ]
        return any(found)

    async def _put_all(self, events: Iterable[NostrEvent]) -> None:
        known = {event["id"] for event in self.events}
        for event in events:
            if event["id"] not in known:
                if event["kind"] not in EPHEMERAL_KINDS:
                    self.events.append(event)
                if self.habits.serves_live:
                    for link in list(self._links):
                        await self._pass_on(link, event)

    async def _pass_on(self, link: Link, event: NostrEvent) -> None:
        if not self._may_read(link, event):
            return
        wanted = dict(link.subscriptions)
        if self.habits.ignores_close:
            wanted |= link.closed
        for subscription_id, filters in wanted.items():
            if any(matches(filter_, event) for filter_ in filters):
                await self._send_event(link, subscription_id, event)

    async def _send_event(
        self, link: Link, subscription_id: str, event: NostrEvent
    ) -> None:
        if self.habits.forges_first:
            await self._send(link, "EVENT", subscription_id, forged(event))
        self.sent_events += 1
        await self._send(link, "EVENT", subscription_id, event)

    # --- REQ

    async def _req(
        self, link: Link, subscription_id: str, filters: list[NostrFilter]
    ) -> None:
        habits = self.habits
        known = link.subscriptions.get(subscription_id)
        if self._ignores(filters, known):
            return
        reason = self._req_fault(link, filters)
        if reason is not None:
            if reason.startswith("auth-required:"):
                await self._challenge_if_new(link)
            await self._refuse_req(link, subscription_id, reason)
            return
        cap = habits.max_subscriptions
        is_above_cap = (
            cap is not None and known is None and len(link.subscriptions) >= cap
        )
        if not is_above_cap:
            kept = known if known is not None and habits.adds_reqs else []
            link.subscriptions[subscription_id] = [*kept, *filters]
            link.closed.pop(subscription_id, None)
        if not is_above_cap or habits.stored_above_cap:
            await self._send_stored(link, subscription_id, filters, is_above_cap)
        if is_above_cap:
            await self._refuse_one_too_many(link, subscription_id)
            return
        if not habits.serves_live:
            link.subscriptions.pop(subscription_id, None)
        if habits.closes_after_eose is not None:
            await self._close_later(link, subscription_id, habits.closes_after_eose)

    async def _close_later(self, link: Link, subscription_id: str, reason: str) -> None:
        await asyncio.sleep(self.habits.closes_after_eose_seconds)
        if link.subscriptions.pop(subscription_id, None) is not None:
            reason = f"{self.habits.error_prefix}{reason}"
            await self._send(link, "CLOSED", subscription_id, reason)

    def _ignores(
        self, filters: list[NostrFilter], known: list[NostrFilter] | None
    ) -> bool:
        if self.habits.ignores_identical_req and known == filters:
            return True
        return not self.habits.serves_limit_0 and _is_live_only(filters)

    async def _send_stored(
        self,
        link: Link,
        subscription_id: str,
        filters: list[NostrFilter],
        is_above_cap: bool,
    ) -> None:
        habits = self.habits
        for event in self.stored(filters, link):
            if habits.event_pause_seconds:
                await asyncio.sleep(habits.event_pause_seconds)
            is_open = is_above_cap or subscription_id in link.subscriptions
            if not is_open and not habits.ignores_close:
                return
            await self._send_event(link, subscription_id, event)
        if habits.eose_delay_seconds:
            await asyncio.sleep(habits.eose_delay_seconds)
        for event in self.events[: habits.sends_unasked]:
            await self._send(link, "EVENT", "nobody-opened-this", event)
        if habits.sends_eose and (
            habits.eose_for_limit_0 or not _is_live_only(filters)
        ):
            await self._send(link, "EOSE", subscription_id)

    async def _refuse_req(self, link: Link, subscription_id: str, reason: str) -> None:
        self.refused.append((subscription_id, reason))
        if self.habits.notice_for_closed:
            await self._notice(link, reason)
        else:
            reason = f"{self.habits.error_prefix}{reason}"
            await self._send(link, "CLOSED", subscription_id, reason)

    async def _refuse_one_too_many(self, link: Link, subscription_id: str) -> None:
        reason = "too many concurrent REQs"
        self.refused.append((subscription_id, reason))
        if self.habits.too_many == "notice":
            await self._notice(link, reason)
        elif self.habits.too_many == "closed":
            reason = f"{self.habits.error_prefix}error: {reason}"
            await self._send(link, "CLOSED", subscription_id, reason)

    def _req_fault(self, link: Link, filters: list[NostrFilter]) -> str | None:
        habits = self.habits
        if habits.demands_auth and not link.authenticated:
            return "auth-required: we only serve friends"
        if habits.closes_subscriptions is not None:
            return habits.closes_subscriptions
        if habits.max_filters is not None and len(filters) > habits.max_filters:
            return "bad req: arr too big"
        for filter_ in filters:
            for key in filter_:
                if not self._knows_key(key):
                    if key.startswith("#"):
                        return f"bad req: error parsing {key}: unindexed tag filter"
                    return f"bad req: unrecognised filter item: {key}"
            tags = sum(key.startswith("#") for key in filter_)
            if habits.max_filter_tags is not None and tags > habits.max_filter_tags:
                return "bad req: too many tags in filter"
            most = habits.max_filter_values
            values = max(len(filter_.get(key, ())) for key in ("ids", "authors"))
            if most is not None and values > most:
                return "bad req: total filter items too large"
        return AUTH_REQUIRED if self._lacks_auth(link, filters) else None

    def _lacks_auth(self, link: Link, filters: list[NostrFilter]) -> bool:
        return (
            self.habits.says_auth_required
            and self._is_restricted(filters)
            and not link.authenticated
        )

    def _knows_key(self, key: str) -> bool:
        habits = self.habits
        if not habits.refuses_unknown_keys or key in FILTER_KEYS:
            return True
        if len(key) != 2 or key[0] != "#" or not key[1].isalpha():
            return False
        return key[1].islower() or not habits.refuses_upper_case_tags

    def stored(
        self, filters: list[NostrFilter], link: Link | None = None
    ) -> list[NostrEvent]:
        """Return what a REQ is answered: the newest of each filter, each event once."""
        found: dict[str, NostrEvent] = {}
        habits = self.habits
        oldest = habits.oldest_stored
        readable = [event for event in self.events if self._may_read(link, event)]
        for filter_ in filters:
            most = len(readable)
            if not habits.ignores_limit:
                most = filter_.get("limit", most)
            if habits.max_stored is not None:
                most = min(most, habits.max_stored)
            matching = [event for event in readable if matches(filter_, event)]
            matching.sort(key=newest_first)
            if oldest is not None and "limit" not in filter_:
                most, matching = oldest, matching[::-1]
            found |= {event["id"]: event for event in matching[:most]}
        answer = sorted(found.values(), key=newest_first)
        first_limit = filters[0].get("limit") if filters else None
        if oldest is not None and first_limit is None:
            answer.reverse()
        if habits.one_limit and len(filters) > 1:
            return answer[: first_limit if first_limit is not None else oldest]
        return answer


def newest_first(event: NostrEvent) -> tuple[int, str]:
    """Return the key by which relays sort what they send."""
    return -event["created_at"], event["id"]


def matches(filter_: NostrFilter, event: NostrEvent) -> bool:
    """Return whether an event matches one filter, by a reading of NIP-01 of its own."""
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
            fits = any(
                tag[:1] == [key[1:]] and tag[1] in wanted
                for tag in event["tags"]
                if len(tag) > 1
            )
        else:
            fits = True
        if not fits:
            return False
    return True


def forged(event: NostrEvent) -> NostrEvent:
    """Return a copy with the same id whose content is somebody else's."""
    return event | {"content": f"forged: {event['content']}"}


def _is_live_only(filters: list[NostrFilter]) -> bool:
    return all(filter_.get("limit") == 0 for filter_ in filters)


def _authority(url: str) -> str:
    """Return host and port of a URL, all that strfry compares."""
    rest = url.partition("://")[2]
    for end in "/?#":
        rest = rest.partition(end)[0]
    return rest.lower()


def _unix_time() -> int:
    return int(time.time())
