"""An outbox with relays behind it, for tests; carries out its effects as they come."""

from collections import deque

from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message import prefix
from nostrclient.nostr.moment import Moment
from nostrclient.nostr.outbox import (
    Delete,
    Effect,
    Log,
    Notify,
    Outbox,
    OutgoingEvent,
    Save,
)
from nostrclient.nostr.outbox_relay import PublishTarget
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import NOW, Inbox, made

A, B, C, D, E = "wss://a", "wss://b", "wss://c", "wss://d", "wss://e"
START = 1000.0


class Desk:
    """An outbox with relays behind it; carries out its effects as they come.

    `stored` is the database: with `durable`, what the outbox says waits in `ledger`
    until `write` is called.
    """

    def __init__(
        self, *connected: str, settings: Settings = DEFAULTS, durable: bool = False
    ) -> None:
        self.outbox = Outbox(settings, durable=durable)
        self.now = START
        self.reports: list[Log] = []
        self.ledger: deque[Save | Delete] = deque()
        self.stored: set[str] = set()
        for url in connected:
            self.add(url)
            self.outbox.relay_connected(url)

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Notify):
                self.check(effect.verdict)
                effect.consumer.put(effect.verdict)
            elif isinstance(effect, Log):
                self.reports.append(effect)
            else:
                self.ledger.append(effect)

    def check(self, told: PublishResult) -> None:
        """What is said about a durable event is true of the database already (C5)."""
        if not told.accepted:
            ending = {item.event_id for item in self.ledger if isinstance(item, Delete)}
            assert told.event_id not in self.stored - ending
        elif self.outbox.durable and prefix(told.message) == "queued":
            assert told.event_id in self.stored or "memory" in told.message

    def write(self, succeeds: bool = True) -> None:
        """Do the oldest thing the database was asked to do."""
        entry = self.ledger.popleft()
        if isinstance(entry, Delete):
            self.stored.discard(entry.event_id)
            self.carry_out(list(entry.tell))
            return
        if succeeds:
            self.stored.add(entry.event_id)
        if any(later.event_id == entry.event_id for later in self.ledger):
            return  # as in `OutboxStore`: only the latest entry of an event counts
        self.carry_out(self.outbox.stored(entry.event_id, succeeds, self.now))

    def write_all(self) -> None:
        while self.ledger:
            self.write()

    # Relays

    def add(self, url: str) -> None:
        self.outbox.set_publish_target(url, PublishTarget.ASKED)

    def remove(self, url: str) -> None:
        self.outbox.set_publish_target(url, PublishTarget.NONE)
        self.disconnect(url)

    def switch_off(self, url: str) -> None:
        self.outbox.set_publish_target(url, PublishTarget.OFF)
        self.disconnect(url)

    def connect(self, url: str) -> None:
        self.outbox.relay_connected(url)

    def disconnect(self, url: str) -> None:
        self.carry_out(self.outbox.relay_disconnected(url, self.now))

    def take(self, url: str, most: int = 100) -> list[SignedEvent]:
        return [item.event for item in self.outgoing(url, most)]

    def outgoing(self, url: str, most: int = 100) -> list[OutgoingEvent]:
        return self.outbox.take(url, self.moment, most)

    def next_at(self, url: str) -> float | None:
        """Return when the relay's thread is to ask again."""
        assert self.take(url) == []
        return self.outbox.relays[url].next_at

    @property
    def moment(self) -> Moment:
        return Moment(self.now, NOW + self.now - START)

    def answer(
        self, url: str, event: SignedEvent, accepted: bool = True, text: str = ""
    ) -> None:
        self.carry_out(self.outbox.answered(url, event.id, accepted, text, self.now))

    def accept_all(self, url: str) -> list[SignedEvent]:
        """Have a relay take and accept whatever there is."""
        accepted: list[SignedEvent] = []
        while events := self.take(url):
            for event in events:
                self.answer(url, event)
            accepted += events
        return accepted

    # Clients

    def publish(self, event: SignedEvent, *, is_public: bool = False) -> Inbox:
        inbox = Inbox()
        self.carry_out(self.outbox.publish(event, inbox, self.now, is_public=is_public))
        return inbox

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        if seconds > 3600:  # not every five seconds of a week
            self.now = end - 10
        while (due := self.outbox.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.carry_out(self.outbox.tick(self.moment))
            later = self.outbox.deadline()
            assert later is None or later > self.now
        self.now = end
        self.carry_out(self.outbox.tick(self.moment))

    @property
    def waiting(self) -> list[SignedEvent]:
        return [publication.event for publication in self.outbox.waiting()]


def with_backlog(count: int) -> tuple[Desk, list[SignedEvent]]:
    """Give a desk whose relay has just connected, and what waited for it."""
    desk = Desk()
    desk.add(A)
    events = [made() for _ in range(count)]
    for event in events:
        desk.publish(event)
    desk.connect(A)
    return desk, events


def verdict(inbox: Inbox) -> tuple[bool, str]:
    """Give the one verdict there is."""
    (item,) = inbox.items
    assert isinstance(item, PublishResult)
    return item.accepted, item.message


def said(inbox: Inbox) -> tuple[bool, str]:
    """Give the one verdict there is, of its message the prefix only."""
    accepted, message = verdict(inbox)
    return accepted, prefix(message)


def restored(desk: Desk, *events: SignedEvent, age: float = 10) -> None:
    for event in events:
        desk.outbox.restore(
            event, desk.now, is_public=False, age_seconds=age, accepted=False, owed=()
        )
