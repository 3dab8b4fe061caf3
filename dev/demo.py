"""`make demo`: send notes through the running instance and print when they arrive.

A note is published over one connection to the endpoint. A second connection to the
endpoint and one to every relay receive it. Then notes are published on a relay
directly, and the time until they arrive through the endpoint is measured. At last the
relays count them (NIP-45).
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import nostr_sdk
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from .paths import DATA, EXTENSION_ID
from .ports import HOST

NOTES = 50
SHOWN = 5  # of each part, and its last
NOTES_ON_FOREIGN_RELAYS = 3
ARRIVAL_SECONDS = 10.0
KIND_TEXT_NOTE = 1


class MissingError(Exception):
    """An expected message did not arrive."""


class Wire:
    """One WebSocket connection that records when each message arrived."""

    def __init__(self, name: str, connection: ClientConnection) -> None:
        """Wrap a connection; the report uses `name`."""
        self.name = name
        self._connection = connection
        self._arrivals: dict[tuple[str, str], tuple[float, list[Any]]] = {}
        self._arrived = asyncio.Event()

    async def listen(self) -> None:
        """Receive until the connection ends."""
        async for text in self._connection:
            now = time.perf_counter()
            message = json.loads(text)
            verb, key = message[0], message[1]
            if verb == "EVENT":
                key = message[2]["id"]
            self._arrivals.setdefault((verb, key), (now, message))
            self._arrived.set()

    async def send(self, *message: object) -> float:
        """Send a message and return the instant before it."""
        text = json.dumps(message)
        now = time.perf_counter()
        await self._connection.send(text)
        return now

    async def arrival(
        self, verb: str, key: str, *others: str
    ) -> tuple[float, list[Any]]:
        """Wait for a message, of one of the verbs; return its instant and itself."""
        deadline = time.perf_counter() + ARRIVAL_SECONDS
        while True:
            for possible in (verb, *others):
                if (possible, key) in self._arrivals:
                    return self._arrivals[possible, key]
            self._arrived.clear()
            try:
                await asyncio.wait_for(
                    self._arrived.wait(), deadline - time.perf_counter()
                )
            except asyncio.TimeoutError:
                raise MissingError(f"{verb} {key[:8]}… on {self.name}") from None

    async def subscribe(self, author: str) -> None:
        """Subscribe to one author and wait for EOSE."""
        filters = {"authors": [author], "kinds": [KIND_TEXT_NOTE]}
        await self.send("REQ", "demo", filters)
        await self.arrival("EOSE", "demo")


def main() -> int:
    """Run the demonstration; return 0 if nothing was missing."""
    parser = argparse.ArgumentParser(description="Show a running instance at work.")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--data", type=Path, default=DATA, help="default: .data")
    parser.add_argument("--notes", type=int, help=f"default: {NOTES}")
    arguments = parser.parse_args()
    try:
        relay_urls = _relay_urls(arguments.port, arguments.data)
        place = f"{HOST}:{arguments.port}/{EXTENSION_ID}"
        endpoint, page = f"ws://{place}/api/v1/relay", f"http://{place}/"
        asyncio.run(_demonstrate(endpoint, page, relay_urls, arguments.notes))
    except (OSError, httpx.HTTPError, WebSocketException) as error:
        print(
            f"Nothing to talk to on port {arguments.port} ({error}). "
            "Is `make run` running?",
            file=sys.stderr,
        )
        return 1
    except MissingError as missing:
        print(f"MISSING: {missing}", file=sys.stderr)
        return 1
    return 0


def _relay_urls(port: int, data: Path) -> list[str]:
    """Return the relays of the instance."""
    login = json.loads((data / "login.json").read_text())
    with httpx.Client(base_url=f"http://{HOST}:{port}") as http:
        session = http.post("/api/v1/auth", json=login).raise_for_status().json()
        relays = http.get(
            f"/{EXTENSION_ID}/api/v1/relays",
            headers={"Authorization": f"Bearer {session['access_token']}"},
        ).raise_for_status()
        return [relay["url"] for relay in relays.json() if relay["connected"]]


async def _demonstrate(
    endpoint: str, page: str, relay_urls: list[str], notes: int | None
) -> None:
    if not relay_urls:
        raise MissingError("a connected relay")
    local = all(urlsplit(url).hostname == HOST for url in relay_urls)
    count = notes or (NOTES if local else NOTES_ON_FOREIGN_RELAYS)
    keys = nostr_sdk.Keys.generate()
    author = keys.public_key().to_hex()

    async with AsyncExitStack() as open_wires:

        async def wire(name: str, url: str) -> Wire:
            connection = await open_wires.enter_async_context(connect(url))
            made = Wire(name, connection)
            listening = asyncio.create_task(made.listen())
            open_wires.callback(listening.cancel)
            return made

        sender = await wire("the first connection", endpoint)
        receiver = await wire("the second connection", endpoint)
        relays = [await wire(_short(url), url) for url in relay_urls]
        print(f"endpoint  {endpoint}")
        print(f"relays    {'  '.join(relay.name for relay in relays)}")
        print(f"author    {keys.public_key().to_bech32()}\n")
        for subscriber in [receiver, *relays]:
            await subscriber.subscribe(author)

        print(
            "Published through the endpoint (milliseconds until its OK, until the note"
            "\nis back on the second connection, and until it is seen on each relay)"
        )
        answers, returns = [], []
        for number in range(1, count + 1):
            note = _note(keys, f"nostrclient demo, note {number} of {count}")
            line, answer, back = await _publish(number, note, sender, receiver, relays)
            _print_some(number, count, line)
            answers.append(answer)
            returns.append(back)

        print("\nGiven to one relay directly (milliseconds until it is here)")
        arrivals = []
        for number in range(1, count + 1):
            relay = relays[number % len(relays)]
            note = _note(keys, f"nostrclient demo, direct note {number} of {count}")
            line, arrival = await _give(number, note, relay, receiver)
            _print_some(number, count, line)
            arrivals.append(arrival)
        counted = await _count(author, receiver)

    print(f"\n{'':46}  median     p99   (ms, {count} notes each)")
    _report("publish: until OK", answers)
    _report("round trip: until it is back", returns)
    _report("relay to client: from a relay's input to here", arrivals)
    print(
        f"\nCOUNT of the author's notes, the largest of the relays' answers: {counted}"
    )
    print("Everything arrived.")
    print(f"The page shows it: {page}")


async def _publish(
    number: int,
    note: dict[str, Any],
    sender: Wire,
    receiver: Wire,
    relays: list[Wire],
) -> tuple[str, float, float]:
    """Publish through the endpoint.

    Return a line that tells about it, and milliseconds until OK and until arrival.
    """
    start = await sender.send("EVENT", note)
    answered, ok = await sender.arrival("OK", note["id"])
    if ok[2] is not True or ok[3].startswith("queued:"):
        raise MissingError(f"a relay's OK for note {number}; the answer was {ok[2:]}")
    received, event = await receiver.arrival("EVENT", note["id"])
    if event[2] != note:
        raise MissingError(f"note {number} as it was sent; what came is {event[2]}")
    on_relays = []
    for relay in relays:
        seen, _ = await relay.arrival("EVENT", note["id"])
        on_relays.append(f"{relay.name} {_milliseconds(start, seen):5.1f}")
    answer, back = _milliseconds(start, answered), _milliseconds(start, received)
    line = (
        f"  {number:3}  {note['id'][:8]}…  OK {answer:5.1f}  back {back:5.1f}"
        f"  on {'  '.join(on_relays)}"
    )
    return line, answer, back


async def _give(
    number: int, note: dict[str, Any], relay: Wire, receiver: Wire
) -> tuple[str, float]:
    """Publish on a relay.

    Return a line that tells about it, and milliseconds until arrival through the
    endpoint.
    """
    start = await relay.send("EVENT", note)
    received, _ = await receiver.arrival("EVENT", note["id"])
    _, ok = await relay.arrival("OK", note["id"])
    if ok[2] is not True:
        raise MissingError(f"OK of {relay.name} for note {number}; it was {ok[2:]}")
    took = _milliseconds(start, received)
    line = f"  {number:3}  {note['id'][:8]}…  from {relay.name}  here {took:5.1f}"
    return line, took


def _print_some(number: int, count: int, line: str) -> None:
    """Print the first few lines and the last one."""
    if number <= SHOWN or number == count:
        print(line)
    elif number == SHOWN + 1:
        print("    …")


async def _count(author: str, wire: Wire) -> str:
    """Request a COUNT of an author's notes; return what the endpoint answers."""
    await wire.send("COUNT", "count", {"authors": [author], "kinds": [KIND_TEXT_NOTE]})
    _, answer = await wire.arrival("COUNT", "count", "CLOSED")
    if answer[0] == "CLOSED":
        return str(answer[2])
    about = "about " if answer[2].get("approximate") else ""
    return f"{about}{answer[2]['count']}"


def _note(keys: nostr_sdk.Keys, content: str) -> dict[str, Any]:
    signed = nostr_sdk.EventBuilder.text_note(content).sign_with_keys(keys)
    note: dict[str, Any] = json.loads(signed.as_json())
    return note


def _report(what: str, took: list[float]) -> None:
    p99 = sorted(took)[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"  {what:46} {statistics.median(took):5.1f}   {p99:5.1f}")


def _milliseconds(start: float, end: float) -> float:
    return (end - start) * 1000


def _short(url: str) -> str:
    """Return a short name of a relay: its host, or its port on this machine."""
    parts = urlsplit(url)
    return f":{parts.port}" if parts.hostname == HOST else parts.netloc


if __name__ == "__main__":
    sys.exit(main())
