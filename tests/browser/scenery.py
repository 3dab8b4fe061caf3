"""What a busy server tells the page, for states that are hard to bring about."""

import json
import math
import re
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute

API = "**/nostrclient/api/v1"
HARM = "<img src=x onerror=window.harmed=true>"

Entry = dict[str, Any]


def some_id(text: str) -> str:
    """Something that looks like an event's id or a public key."""
    return sha256(text.encode()).hexdigest()


def said(text: str, minutes: float) -> Entry:
    """Something that was said some minutes ago."""
    return {"text": text, "at": time.time() - 60 * minutes}


def information(name: str, **told: Any) -> Entry:
    """What a relay says of itself."""
    empty = dict.fromkeys(("icon", "software", "version", "description", "contact"), "")
    return {"name": name, "limitation": {}, **empty, **told}


def relay_entry(
    url: str = "wss://one.example",
    state: str = "connected",
    *,
    active: bool = True,
    read: bool = True,
    write: bool = True,
    **status: Any,
) -> Entry:
    """An entry of GET /relays."""
    trips = status.get("round_trips_ms") or [None]
    usual = {
        "num_received_events": 12,
        "num_sent_events": 3,
        "error_counter": len(status.get("errors", [])),
        "since": time.time() - 300,
        "connections": 1,
    }
    return {
        "id": url,
        "url": url,
        "active": active,
        "read": read,
        "write": write,
        "connected": state == "connected",
        "connected_string": state,
        "ping": trips[-1],
        "status": {**usual, **status},
    }


def waiting_event(number: int) -> Entry:
    """An entry of GET /outbox."""
    return {
        "event_id": f"{number:064x}",
        "pubkey": "b" * 64,
        "kind": 1059 if number % 2 else 4,
        "size": 700 + number,
        "waiting_seconds": 60.0 * number,
        "since": time.time() - 60 * number,
        "expires_in_seconds": 600_000,
        "owed": ["wss://one.example", "wss://two.example"],
        "refusals": {"wss://two.example": "error: <b>full</b>"},
    }


def lost_event(reason: str, hours: int) -> Entry:
    """An entry of GET /outbox/undeliverable."""
    return {
        "event_id": some_id(reason),
        "pubkey": "b" * 64,
        "kind": 1,
        "reason": reason,
        "at": time.time() - 3600 * hours,
    }


def client_entry(number: int, **changed: Any) -> Entry:
    """An entry of GET /clients."""
    return {
        "id": f"{number}",
        "endpoint": "public",
        "address": f"192.0.2.{number}",
        "agent": "",
        "since": time.time() - 86400 * number,
        "subscriptions": 5,
        "received": 1234,
        "sent": 6,
        "dropped": 7,
        "waiting_bytes": 2048,
        **changed,
    }


RELAYS = (
    relay_entry(
        "wss://relay.damus.io",
        num_received_events=48_210,
        num_sent_events=311,
        num_duplicate_events=9_120,
        num_subscriptions=14,
        round_trips_ms=[61, 58, 64, 60, 97, 71, 62, 59, 60, 66, 58, 61],
        notices=[said("You are sending requests too fast.", 95)],
        errors=[said("the connection was lost", 340)],
        connections=2,
        information=information(
            "damus.io",
            software="git+https://github.com/hoytech/strfry.git",
            version="1.0.4",
            description="Damus strfry relay",
            contact="relay@damus.example",
            limitation={"max_message_length": 131_072, "max_subscriptions": 20},
        ),
    ),
    relay_entry(
        "wss://nos.lol",
        num_received_events=51_877,
        num_sent_events=310,
        round_trips_ms=[24, 23, 26],
        information=information("nos.lol"),
    ),
    relay_entry(
        "wss://relay.primal.net",
        num_received_events=40_116,
        num_sent_events=309,
        round_trips_ms=[88, 91],
    ),
    relay_entry(
        "wss://nostr.wine",
        num_received_events=17_004,
        write=False,
        round_trips_ms=[140, 133],
        asks_who_we_are=True,
        errors=[said("auth-required: sign up to write", 12)],
    ),
    relay_entry("wss://offchain.pub", "connecting", num_received_events=0),
    relay_entry(
        "wss://relay.snort.social",
        "waiting",
        retry_in_seconds=48.0,
        num_owed_events=3,
        errors=[said("no address found for relay.snort.social", 1)],
    ),
    relay_entry(
        "wss://noise.example",
        "penalised",
        retry_in_seconds=512.0,
        num_invalid_messages=11,
        errors=[said("paused: too many invalid messages", 2)],
    ),
    relay_entry("wss://nostr.mom", "stopped", active=False),
)

OUTBOX = tuple(
    {
        **waiting_event(minutes),
        "event_id": some_id(f"event {minutes}"),
        "pubkey": some_id("author"),
        "owed": owed,
        "refusals": {},
    }
    for minutes, owed in (
        (7, ["wss://relay.snort.social", "wss://offchain.pub"]),
        (4, ["wss://relay.snort.social"]),
        (1, ["wss://offchain.pub"]),
    )
)

LOST = (
    lost_event("blocked: kind 1 is not for this relay", 2),
    lost_event("error: no relay accepted it in time", 30),
)

CLIENTS = (
    client_entry(
        1, endpoint="private", address="127.0.0.1", received=9_120, sent=48_004
    ),
    client_entry(2, endpoint="private", address="127.0.0.1", subscriptions=2),
    client_entry(17, address="203.0.113.17", since=time.time() - 720, dropped=0),
)

PRIVATE_URLS: tuple[Entry, ...] = tuple(
    {
        "id": name,
        "name": name,
        "path": f"/nostrclient/api/v1/{'U2FsdGVkX1' + 54 * 'a'}=",
        "is_open": is_open,
        "private_messages": reads,
        "created_at": time.time() - 90_000,
        "last_used_at": used,
        "clients": 0,
    }
    for name, is_open, reads, used in (
        ("Shop app", True, True, time.time() - 60),
        ("Monitoring", True, False, None),
        ("Old wallet", False, True, time.time() - 80_000),
    )
)

NAMED_RELAYS: tuple[Entry, ...] = (
    {
        "url": "wss://inbox.example",
        "state": "connected",
        "pending": 0,
        "accepted": 7,
        "refused": 1,
        "message": "rate-limited: slow down <b>please</b>",
    },
    {
        "url": f"wss://{30 * 'gone'}.example",
        "state": "waiting",
        "pending": 2,
        "accepted": 0,
        "refused": 0,
        "message": "connection refused",
    },
    {
        "url": "wss://later.example",
        "state": "no_connection",
        "pending": 1,
        "accepted": 0,
        "refused": 0,
        "message": "",
    },
)

ANSWERS = (
    {"url": "wss://nos.lol", "accepted": True, "message": "", "milliseconds": 31.0},
    {
        "url": "wss://relay.damus.io",
        "accepted": True,
        "message": "",
        "milliseconds": 66.4,
    },
    {
        "url": "wss://relay.primal.net",
        "accepted": False,
        "message": "blocked: direct messages of kind 4 are not taken",
        "milliseconds": 92.1,
    },
    {
        "url": "wss://relay.snort.social",
        "accepted": None,
        "message": "",
        "milliseconds": None,
    },
)


def history_points(count: int, width: int) -> list[Entry]:
    """Points of the history, with an outage in the middle of the last day."""
    latest = int(time.time()) // width * width
    day = 24 * 3600 // width
    return [
        {
            "at": latest - width * (count - 1 - number),
            "uptime": 0.4 if number == count - day // 2 else 1,
            "latency_ms": round(60 + 9 * math.sin(number / 5) + number % 3),
            "received": round(900 + 600 * math.sin(number * width / 13_751)),
            "accepted": 12,
            "refused": 0,
        }
        for number in range(count)
    ]


def history() -> Entry:
    """What GET /history answers."""
    uptimes = [
        {"url": "wss://relay.damus.io", "day": 0.985, "week": 0.99},
        {"url": "wss://nos.lol", "day": 1, "week": 1},
        {"url": "wss://relay.snort.social", "day": 0.31, "week": 0.8},
    ]
    return {"points": history_points(168, 3600), "uptimes": uptimes}


def relay_history(reason: str = "connection refused") -> Entry:
    """What GET /history/relay answers."""
    now = int(time.time())
    incident = {
        "since": now - 40_000,
        "until": now - 38_000,
        "down_seconds": 1500,
        "reason": reason,
    }
    return {"points": history_points(336, 1800), "incidents": [incident]}


class Scenery:
    """Tells the page, in the server's place, what there is and what changes.

    The page is to be opened, or reloaded, after that.
    """

    def __init__(
        self,
        page: Page,
        *,
        relays: Sequence[Entry] = (),
        clients: Sequence[Entry] = (),
        outbox: Sequence[Entry] = (),
        undeliverable: Sequence[Entry] = (),
        named_relays: Sequence[Entry] = (),
        private_urls: Sequence[Entry] = (),
    ) -> None:
        self.relays = list(relays)
        self.clients = list(clients)
        self.outbox = list(outbox)
        self.undeliverable = list(undeliverable)
        self.named_relays = list(named_relays)
        self.private_urls = list(private_urls)
        self.status: Entry = {"named_relays": len(named_relays)}
        self.incident = HARM
        self.changes: list[str] = []
        """The requests that would have changed the outbox."""
        self.sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/api/v1/live/"), self._open)
        page.route(f"{API}/outbox", self._answer)
        page.route(re.compile("/outbox/(undeliverable/)?[0-9a-f]{64}$"), self._answer)
        page.route(
            f"{API}/outbox/undeliverable",
            lambda route: route.fulfill(json=self.undeliverable),
        )
        page.route(
            f"{API}/named-relays",
            lambda route: route.fulfill(json=self.named_relays),
        )
        page.route(
            f"{API}/private-urls",
            lambda route: route.fulfill(json=self.private_urls),
        )
        page.route(
            f"{API}/history",
            lambda route: route.fulfill(
                json=history() if self.relays else {"points": [], "uptimes": []}
            ),
        )
        page.route(
            re.compile("/api/v1/history/relay"),
            lambda route: route.fulfill(json=relay_history(self.incident)),
        )

    def tell(self, **changes: Any) -> None:
        """Push what has changed to the page."""
        self.sockets[-1].send(json.dumps(changes))

    def _open(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        self.tell(
            relays=self.relays,
            clients=self.clients,
            outbox={"count": len(self.outbox), "undeliverable": 0, "revision": ""},
            status=self.status,
        )

    def _answer(self, route: Route) -> None:
        method = route.request.method
        path = route.request.url.rpartition("/api/v1/")[2]
        event_id = path.removeprefix("outbox/")
        if method == "GET":
            route.fulfill(json=self.outbox)
            return
        if method == "DELETE":
            self.outbox = [
                event for event in self.outbox if event["event_id"] != event_id
            ]
        self.changes.append(f"{method} {event_id}")
        route.fulfill(json=None)
