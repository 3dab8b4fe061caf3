"""Whatever happens to the outbox in whatever order, its promises hold."""

from dataclasses import dataclass, replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message import prefix
from nostrclient.nostr.settings import DEFAULTS

from .builders import ALICE, BOB, NOW, Inbox, made
from .outbox_desk import A, B, C, Desk, verdict

# --- whatever happens in whatever order

URLS = (A, B, C)
SMALL = replace(
    DEFAULTS,
    outbox_events=4,
    outbox_paced_events=2,
    owed_copies_per_relay=2,
    flush_unanswered_events=2,
    outbox_expiry_seconds=1000,
)
NOTE = made(pubkey=ALICE)
EVENTS = (
    NOTE,
    made(pubkey=ALICE),
    made(pubkey=BOB),
    made(pubkey=BOB),
    made(NOW, 0, ALICE),
    made(NOW + 1, 0, ALICE),
    made(NOW + 2, 0, ALICE),
    made(NOW + 3, 5, ALICE, [["e", NOTE.id], ["a", f"0:{ALICE}:"]]),
    made(kind=20_001, pubkey=ALICE),
    made(kind=20_001, pubkey=BOB),
)
REASONS = [
    "blocked: no",
    "rate-limited: slow",
    "error: busy",
    "",
    "duplicate: have it",
    "queued: later",
]


@dataclass
class Call:
    """One call of `publish`; `accepted`: a relay took the event since."""

    event: SignedEvent
    inbox: Inbox
    at: float
    accepted: bool = False

    @property
    def told(self) -> bool | None:
        for item in self.inbox.items:
            assert isinstance(item, PublishResult)
            return item.accepted
        return None


class OutboxMachine(RuleBasedStateMachine):
    """Clients that publish, relays that come and go, a database that may fail.

    One verdict for each call; what was told `true` is somewhere, what was told `false`
    is sent no more.
    """

    @initialize(durable=st.booleans())
    def begin(self, durable: bool) -> None:
        self.desk = Desk(settings=SMALL, durable=durable)
        self.calls: list[Call] = []
        self.sent: dict[str, dict[str, SignedEvent]] = {url: {} for url in URLS}

    def calls_of(self, event_id: str) -> list[Call]:
        return [call for call in self.calls if call.event.id == event_id]

    # Clients

    @rule(event=st.sampled_from(EVENTS), is_public=st.booleans())
    def publish(self, event: SignedEvent, is_public: bool) -> None:
        earlier = self.calls_of(event.id)
        inbox = self.desk.publish(event, is_public=is_public)
        call = Call(event, inbox, self.desk.now)
        if inbox.items and verdict(inbox) == (True, "duplicate: already published"):
            call.accepted = earlier[-1].accepted
        self.calls.append(call)

    # Relays

    @rule(url=st.sampled_from(URLS), asked=st.booleans())
    def ask(self, url: str, asked: bool) -> None:
        if asked:
            self.desk.add(url)
        else:
            self.desk.remove(url)
            self.sent[url].clear()

    @rule(url=st.sampled_from(URLS))
    def connect(self, url: str) -> None:
        self.sent[url].clear()
        self.desk.connect(url)

    @rule(url=st.sampled_from(URLS))
    def disconnect(self, url: str) -> None:
        self.sent[url].clear()
        self.desk.disconnect(url)

    @rule(url=st.sampled_from(URLS), most=st.integers(1, 4))
    def take(self, url: str, most: int) -> None:
        events = self.desk.take(url, most)
        assert len(events) <= most
        for event in events:
            relay = self.desk.outbox.relays[url]
            assert relay.can_ask
            assert self.calls_of(event.id)[-1].told is not False, "sent after `false`"
            self.sent[url][event.id] = event

    @precondition(lambda self: any(self.sent.values()))
    @rule(data=st.data(), accepted=st.booleans(), reason=st.sampled_from(REASONS))
    def answer(self, data: st.DataObject, accepted: bool, reason: str) -> None:
        url = data.draw(st.sampled_from([url for url in URLS if self.sent[url]]))
        event_id = data.draw(st.sampled_from(sorted(self.sent[url])))
        event = self.sent[url].pop(event_id)
        if prefix(reason) == "queued":
            accepted_there = False
        else:
            accepted_there = accepted or prefix(reason) == "duplicate"
        if accepted_there:
            for call in self.calls_of(event_id):
                call.accepted = True
        self.desk.answer(url, event, accepted, reason)

    # Time and the database

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 61.0, 1001.0]))
    def wait(self, seconds: float) -> None:
        self.desk.wait(seconds)

    @precondition(lambda self: self.desk.ledger)
    @rule(succeeds=st.booleans())
    def write(self, succeeds: bool) -> None:
        self.desk.write(succeeds)

    # What must hold at any time

    @invariant()
    def one_verdict_for_each_call(self) -> None:
        for call in self.calls:
            assert len(call.inbox.items) <= 1
            if not self.desk.ledger and self.desk.now >= call.at + 2:
                assert call.told is not None, "nobody answered"

    @invariant()
    def what_was_told_true_is_somewhere(self) -> None:
        outbox = self.desk.outbox
        shown = {lost.event.id for lost in outbox.undeliverable}
        shown |= {
            report.event.id
            for report in self.desk.reports
            if "superseded" in report.text
        }
        for call in self.calls:
            if call.told and not call.accepted:
                event_id = call.event.id
                assert event_id in outbox.publications or event_id in shown, "lost"

    @invariant()
    def the_deque_is_bounded(self) -> None:
        waiting = list(self.desk.outbox.waiting())
        # One that is being stored replaces another only once it is stored.
        waiting = [
            item
            for item in waiting
            if not any(other.replaces(item.event) for other in waiting)
        ]
        most = SMALL.outbox_events + SMALL.outbox_paced_events
        assert len(waiting) <= most
        assert sum(publication.is_public for publication in waiting) <= most / 2

    def teardown(self) -> None:
        """In the end every relay is back and takes everything; nothing is left over."""
        if not hasattr(self, "desk"):
            return
        for url in URLS:
            self.desk.add(url)
            self.desk.disconnect(url)
            self.desk.connect(url)
        for _ in range(300):
            for url in URLS:
                self.desk.accept_all(url)
            self.desk.write_all()
            self.desk.wait(2)
            if not self.desk.outbox.publications and not self.desk.ledger:
                break
        assert self.desk.outbox.publications == {}
        assert self.desk.stored == set()
        assert all(call.told is not None for call in self.calls)
        for relay in self.desk.outbox.relays.values():
            assert relay.copies == {}


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = hypothesis_settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
