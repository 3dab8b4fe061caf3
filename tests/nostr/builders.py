"""Events, filters and relays as these tests need them: no socket, no clock."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import count
from typing import Any, NamedTuple

from nostrclient.nostr.delivery import Delivered, Delivery
from nostrclient.nostr.event import Event, SignedEvent
from nostrclient.nostr.filter import Filter, parse_filters
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.mailbox import ITEM_BYTES, Budget, Mailbox

KEY = PrivateKey.from_hex("01" * 32)
OTHER_KEY = PrivateKey.from_hex("02" * 32)
ALICE = "a1" * 32
BOB = "b2" * 32
NOW = 1_700_000_000
"""A date of events, in Unix seconds."""

_numbers = count(1)


def signed(
    content: str = "hello",
    kind: int = 1,
    tags: list[list[str]] | None = None,
    created_at: int = NOW,
    key: PrivateKey = KEY,
) -> SignedEvent:
    """Give an event that holds."""
    event = Event(content, None, created_at, kind, tags if tags is not None else [])
    key.sign_event(event)
    return SignedEvent.parse(json.dumps(event.to_dict()))


def made(
    created_at: int = NOW,
    kind: int = 1,
    pubkey: str = ALICE,
    tags: Sequence[Sequence[str]] = (),
    event_id: str | None = None,
) -> SignedEvent:
    """Give an event nobody signed, for code that is past checking signatures."""
    if event_id is None:
        event_id = sha256(b"%d" % next(_numbers)).hexdigest()
    text = json.dumps({"id": event_id, "created_at": created_at, "kind": kind})
    size = len(text)
    return SignedEvent(event_id, pubkey, created_at, kind, tags, None, text, size)


def filters(*values: dict[str, Any]) -> tuple[Filter, ...]:
    """Give validated filters."""
    return parse_filters(values)


class Inbox:
    """A consumer that keeps what it is given."""

    def __init__(self) -> None:
        self.items: list[Delivery] = []

    def put(self, item: Delivery) -> None:
        self.items.append(item)


class Answer(NamedTuple):
    """What a relay says to one REQ before its EOSE."""

    wire_id: str
    events: list[SignedEvent]


class StoringRelay:
    """A relay that keeps events and answers at most `most` newest ones per filter.

    Nobody is told that something is missing. As `nostream`, it answers a filter without
    `limit` with the oldest, and what the first filter says of both holds for the whole
    answer.
    """

    def __init__(
        self,
        events: Iterable[SignedEvent] = (),
        most: int = 500,
        *,
        nostream: bool = False,
    ) -> None:
        self.events = list(events)
        self.most = most
        self.nostream = nostream
        self.open: dict[str, tuple[Filter, ...]] = {}

    def query(self, wanted: Iterable[Filter]) -> list[SignedEvent]:
        wanted = list(wanted)
        found: dict[str, SignedEvent] = {}
        for filter_ in wanted:
            matching = [event for event in self.events if filter_.matches(event)]
            found |= {event.id: event for event in self._cut(matching, filter_)}
        if self.nostream:
            return self._cut(found.values(), wanted[0])
        return sorted(found.values(), key=_newest_first)

    def _cut(self, events: Iterable[SignedEvent], by: Filter) -> list[SignedEvent]:
        ordered = sorted(events, key=_newest_first)
        if self.nostream and by.limit is None:
            ordered.reverse()
        most = self.most if by.limit is None else min(by.limit, self.most)
        return ordered[:most]

    def receive(self, texts: Iterable[str]) -> list[Answer]:
        """Take what it is sent; gives the answer to each REQ, in order."""
        answers: list[Answer] = []
        for text in texts:
            verb, wire_id, *rest = json.loads(text)
            if verb == "CLOSE":
                self.open.pop(wire_id, None)
            elif verb == "REQ":
                self.open[wire_id] = parse_filters(rest)
                answers.append(Answer(wire_id, self.query(self.open[wire_id])))
        return answers

    def store(self, event: SignedEvent) -> list[str]:
        """Take an event; gives the subscriptions it is sent to."""
        self.events.append(event)
        return [
            wire_id
            for wire_id, wanted in self.open.items()
            if any(filter_.matches(event) for filter_ in wanted)
        ]


def _newest_first(event: SignedEvent) -> tuple[int, str]:
    return -event.created_at, event.id


ITEM_SIZE = ITEM_BYTES + len(made().text)
"""What an event that was `made` takes of a mailbox's room."""


class Reader:
    """A client's mailbox, and how often it was woken."""

    def __init__(self, max_bytes: int = 100 * ITEM_SIZE, budget: Budget | None = None):
        self.wakes = 0
        self.budget = budget or Budget(10**9)
        self.mailbox = Mailbox(self.wake, max_bytes, self.budget)

    def wake(self) -> None:
        self.wakes += 1

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.mailbox.put(Delivered("up", made(), "wss://a"))
