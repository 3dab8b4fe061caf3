"""The outbox: what waits for which relay, and what is said about it."""

from collections import deque
from dataclasses import dataclass, replace

import pytest
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
from nostrclient.nostr.moment import Moment
from nostrclient.nostr.outbox import (
    MAX_FOLLOWED,
    Delete,
    Effect,
    Log,
    Notify,
    Outbox,
    OutgoingEvent,
    Save,
)
from nostrclient.nostr.outbox_relay import PublishTarget
from nostrclient.nostr.publication import (
    MAX_PUBLISHERS,
    parse_publishers,
    plain_publishers,
)
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS, Settings

from .builders import ALICE, BOB, NOW, Inbox, made

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


# --- C2 and C3: everybody is asked, one answer is given


def test_c2_an_event_goes_to_every_asked_relay_and_to_no_other() -> None:
    desk = Desk(A, B)
    desk.connect(C)
    event = made()
    desk.publish(event)
    assert desk.take(A) == desk.take(B) == [event]
    assert desk.take(C) == desk.take("wss://unknown") == []
    assert desk.take(A) == []


def test_d1b_an_event_is_sent_with_its_latest_publisher() -> None:
    desk = Desk(A, B, C)
    event = made()
    desk.publish(event)
    latest = desk.publish(event)
    assert desk.outgoing(A) == [(event, latest, False)]
    in_process = Inbox()
    desk.carry_out(desk.outbox.publish(event, None, desk.now, client=in_process))
    assert desk.outgoing(B) == [(event, in_process, False)]
    del in_process
    assert desk.outgoing(C) == [(event, None, False)], "it is kept alive"


def test_c2_a_sent_but_unanswered_copy_is_sent_again_after_a_reconnect() -> None:
    desk = Desk(A, B)
    event = made()
    desk.publish(event)
    for _ in range(3):
        assert desk.take(A) == [event]
        desk.disconnect(A)
        assert desk.take(A) == []
        desk.wait(1000)
        desk.connect(A)
    desk.answer(A, event)
    desk.disconnect(A)
    desk.connect(A)
    assert desk.take(A) == []


def test_c2_a_copy_stays_owed_to_each_relay_until_that_one_answers() -> None:
    desk = Desk(A, B)
    event = made()
    desk.publish(event)
    desk.answer(A, event)
    assert desk.outbox.pending_copies()[A] == 0
    assert desk.outbox.pending_copies()[B] == 1
    desk.answer(B, event)
    assert desk.outbox.publications == {}
    desk.wait(10)
    assert desk.outbox.deadline() is None


def test_c3_true_as_soon_as_any_relay_accepts() -> None:
    desk = Desk(A, B, C)
    event = made()
    inbox = desk.publish(event)
    desk.answer(A, event, False, "blocked: no")
    assert inbox.items == []
    desk.answer(B, event, True, "saved")
    assert verdict(inbox) == (True, "saved")
    desk.answer(C, event, False, "invalid: no")
    desk.wait(100)
    assert verdict(inbox) == (True, "saved")
    assert desk.reports == []


def test_c3_false_with_the_most_telling_reason_once_all_refused_for_good() -> None:
    desk = Desk(A, B, C)
    event = made()
    inbox = desk.publish(event)
    desk.answer(A, event, False, "pow: 20 bits")
    desk.answer(B, event, False, "blocked: no")
    assert inbox.items == []
    desk.answer(C, event, False, "blocked: no")
    assert verdict(inbox) == (False, "blocked: no")
    for url in (A, B, C):
        desk.disconnect(url)
        desk.connect(url)
        assert desk.take(url) == []
    assert desk.outbox.undeliverable_count == 0


def test_c3_queued_after_two_seconds_without_an_answer() -> None:
    desk = Desk(A)
    inbox = desk.publish(made())
    desk.wait(1.99)
    assert inbox.items == []
    desk.wait(0.01)
    assert said(inbox) == (True, "queued")


def test_c3_queued_at_once_when_no_writable_relay_is_connected() -> None:
    assert said(Desk().publish(made())) == (True, "queued")
    desk = Desk()
    desk.add(A)
    desk.connect(B)
    assert said(desk.publish(made())) == (True, "queued")


def test_c3_queued_at_once_when_the_last_relay_is_lost() -> None:
    desk = Desk(A, B)
    event = made()
    inbox = desk.publish(event)
    desk.disconnect(A)
    assert inbox.items == []
    desk.remove(B)
    assert said(inbox) == (True, "queued")
    assert desk.waiting == [event]


def test_c3_a_refusal_by_all_after_queued_is_undeliverable_and_shown() -> None:
    desk = Desk(A)
    event = made()
    inbox = desk.publish(event)
    desk.wait(2)
    desk.answer(A, event, False, "blocked: no")
    assert said(inbox) == (True, "queued")
    ((lost, reason, _),) = desk.outbox.undeliverable
    assert (lost, reason) == (event, "blocked: no")
    assert desk.outbox.undeliverable_count == 1
    assert any(report.warning and report.event == event for report in desk.reports)
    assert desk.waiting == []


def test_c3_a_relay_that_is_down_is_asked_too() -> None:
    desk = Desk(A)
    desk.add(B)
    event = made()
    inbox = desk.publish(event)
    desk.answer(A, event, False, "blocked: no")
    assert inbox.items == []
    desk.wait(2)
    assert said(inbox) == (True, "queued")
    desk.connect(B)
    assert desk.accept_all(B) == [event]
    assert desk.waiting == []


def test_c3_a_relay_that_was_removed_is_not_waited_for() -> None:
    desk = Desk(A, B)
    event = made()
    inbox = desk.publish(event)
    desk.remove(B)
    desk.answer(A, event, False, "blocked: no")
    assert verdict(inbox) == (False, "blocked: no")


def test_c3_what_was_accepted_is_not_queued_when_the_last_relay_is_lost() -> None:
    desk = Desk(A, B, durable=True)
    event = made()
    inbox = desk.publish(event)
    desk.answer(A, event)
    for url in (A, B):
        desk.disconnect(url)
    assert verdict(inbox) == (True, "")
    assert (desk.waiting, list(desk.ledger)) == ([], [])


def test_c3_each_publication_has_its_own_two_seconds() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.wait(1)
    desk.answer(A, event, False, "blocked: no")
    inbox = desk.publish(event)
    desk.wait(1.9)
    assert inbox.items == []
    desk.wait(0.1)
    assert said(inbox) == (True, "queued")


def test_c3_what_is_being_retried_wakes_nobody_before_its_time() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.take(A)
    desk.answer(A, event, False, "error: busy")
    assert desk.next_at(A) == desk.now + DEFAULTS.publish_retry_seconds
    desk.wait(5)
    assert desk.take(A) == [event]
    assert desk.next_at(A) == desk.now + DEFAULTS.resend_seconds
    desk.answer(A, event)
    assert desk.next_at(A) is None


def test_c2b_an_event_is_retried_until_it_expires_after_transient_refusals() -> None:
    desk = Desk(A)
    event = made()
    inbox = desk.publish(event)
    waits: list[float] = []
    for _ in range(14):
        since = desk.now
        while not desk.take(A):
            again = desk.outbox.relays[A].next_at
            assert again is not None
            desk.wait(again - desk.now)
        waits.append(desk.now - since)
        desk.answer(A, event, False, "error: busy")
    assert waits[:11] == [0, *(5 * 2**number for number in range(10))]
    assert waits[11:] == [3600] * 3
    assert said(inbox) == (True, "queued")
    assert desk.waiting == [event]
    desk.wait(7 * DAY_SECONDS)
    ((_, reason, _),) = desk.outbox.undeliverable
    assert reason == "error: busy", "what the relay said last"


def test_c6_a_reconnection_retries_at_once_and_does_not_lengthen_the_backoff() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    for _ in range(20):
        assert desk.take(A) == [event]
        desk.answer(A, event, False, "error: busy")
        assert desk.take(A) == []
        desk.disconnect(A)
        desk.connect(A)
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "error: busy")
    assert desk.next_at(A) == desk.now + DEFAULTS.publish_retry_seconds


def test_c2_an_unanswered_copy_is_sent_again_on_a_living_connection() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    sent_at: list[float] = []
    while len(sent_at) < 8:
        if desk.take(A):
            sent_at.append(desk.now - START)
        again = desk.outbox.relays[A].next_at
        assert again is not None
        desk.wait(again - desk.now)
    assert sent_at == [0, 30, 90, 210, 450, 930, 1530, 2130]
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "duplicate: have it")
    assert desk.next_at(A) is None
    assert desk.waiting == []


def test_c2_a_copy_that_is_sent_again_holds_up_nobody() -> None:
    desk = Desk(A)
    silent = [made() for _ in range(100)]
    for event in silent:
        desk.publish(event)
    assert desk.take(A) == silent
    desk.wait(30)
    assert len(desk.take(A)) == DEFAULTS.flush_unanswered_events
    event = made()
    desk.publish(event)
    assert event in desk.take(A)


@pytest.mark.parametrize("accepted", [True, False])
def test_c_an_event_that_a_relay_only_queued_goes_on_waiting(accepted: bool) -> None:
    desk = Desk(A)
    event = made()
    inbox = desk.publish(event)
    desk.take(A)
    desk.answer(A, event, accepted, "queued: no relay has it yet")
    assert inbox.items == []
    desk.wait(2)
    assert said(inbox) == (True, "queued")
    assert desk.waiting == [event]
    desk.wait(28)
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "blocked: no")
    ((_, reason, _),) = desk.outbox.undeliverable
    assert reason == "blocked: no"


def test_c3_a_relay_that_is_switched_off_for_now_has_not_refused() -> None:
    desk = Desk(A, B)
    event = made()
    inbox = desk.publish(event)
    desk.switch_off(B)
    desk.answer(A, event, False, "blocked: no")
    assert inbox.items == []
    desk.wait(2)
    assert said(inbox) == (True, "queued")
    desk.add(B)
    desk.connect(B)
    assert desk.accept_all(B) == [event]
    assert desk.waiting == []


def test_i2_the_refusals_of_waiting_events_are_known_with_their_words() -> None:
    desk = Desk(A, B, C)
    event = made()
    desk.publish(event)
    for url in (A, B, C):
        desk.take(url)
    desk.answer(A, event, False, "error: busy")
    desk.answer(B, event, False, "blocked: no")
    desk.wait(2)
    (waiting,) = desk.outbox.waiting()
    assert waiting.messages == {A: "error: busy", B: "blocked: no"}
    assert waiting.copies.keys() == {A, C}
    assert waiting.refusal == "blocked: no"


def test_f5_unanswered_events_are_sent_again_after_authentication() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    assert desk.take(A) == [event]
    desk.connect(A)
    assert desk.take(A) == [event]


def test_c3_a_relay_may_still_accept_after_a_transient_refusal() -> None:
    desk = Desk(A)
    event = made()
    inbox = desk.publish(event)
    desk.take(A)
    desk.answer(A, event, False, "error: busy")
    assert inbox.items == []
    desk.answer(A, event)
    assert verdict(inbox) == (True, "")
    desk.wait(100)
    assert desk.take(A) == []


def test_the_operator_can_have_an_event_tried_again_at_once() -> None:
    desk = Desk(A, B)
    desk.add(C)
    event, other = made(), made()
    for published in (event, other):
        desk.publish(published)
    for url in (A, B):
        assert desk.take(url) == [event, other]
    desk.answer(A, event, False, "error: busy")
    desk.answer(A, other, False, "error: busy")
    assert desk.take(A) == []
    desk.outbox.retry([event.id])
    assert desk.take(A) == [event]  # refused for now
    assert desk.take(B) == [event]  # not answered
    assert desk.take(C) == []
    desk.connect(C)
    assert desk.take(C) == [event, other]  # each once
    desk.answer(B, event)
    desk.outbox.retry([event.id])
    assert desk.take(B) == []  # it has answered
    desk.outbox.retry(["f" * 64])  # of no event


def test_c3_answers_for_what_nobody_published_are_no_matter() -> None:
    desk = Desk(A)
    desk.answer(A, made())
    desk.answer("wss://unknown", made(), False, "blocked: no")
    assert desk.outbox.publications == {}
    event = made()
    inbox = desk.publish(event)
    desk.answer("wss://unknown", event)
    assert inbox.items == []


# --- C4: the deque is bounded


def test_c4_a_hundred_events_may_wait_and_no_more() -> None:
    desk = Desk()
    for _ in range(100):
        assert said(desk.publish(made())) == (True, "queued")
    event = made()
    assert said(desk.publish(event)) == (False, "error")
    assert len(desk.waiting) == 100
    desk.add(A)
    desk.connect(A)
    assert event not in desk.accept_all(A)


def test_c4_public_clients_together_hold_at_most_half() -> None:
    desk = Desk()
    told = [said(desk.publish(made(), is_public=True))[0] for _ in range(60)]
    assert told == [True] * 50 + [False] * 10
    told = [said(desk.publish(made()))[0] for _ in range(60)]
    assert told == [True] * 50 + [False] * 10
    assert len(desk.waiting) == 100


def test_c4_private_clients_may_hold_more_than_half() -> None:
    desk = Desk()
    for _ in range(80):
        desk.publish(made())
    told = [said(desk.publish(made(), is_public=True))[0] for _ in range(30)]
    assert told == [True] * 20 + [False] * 10


def test_c4_when_full_connected_relays_are_still_tried() -> None:
    desk = Desk()
    for _ in range(100):
        desk.publish(made())
    desk.add(A)
    desk.connect(A)
    event, refused, ignored = made(), made(), made()
    inboxes = [desk.publish(item) for item in (event, refused, ignored)]
    desk.answer(A, event, True, "saved")
    desk.answer(A, refused, False, "blocked: no")
    assert verdict(inboxes[0]) == (True, "saved")
    assert verdict(inboxes[1]) == (False, "blocked: no")
    desk.wait(2)
    assert said(inboxes[2]) == (False, "error")
    assert len(desk.waiting) == 100
    assert ignored not in desk.accept_all(A)


def test_timeline_3_answering_and_accepted_events_do_not_count() -> None:
    desk = Desk(A, B)
    products = [made(kind=30_018, tags=[["d", str(number)]]) for number in range(200)]
    inboxes = [desk.publish(event) for event in products]
    assert desk.accept_all(A) == products
    assert [said(inbox) for inbox in inboxes] == [(True, "")] * 200


@pytest.mark.parametrize("kind", [0, 10_002, 30_023])
def test_c4_a_newer_version_replaces_the_waiting_one(kind: int) -> None:
    desk = Desk()
    old, new = made(NOW, kind), made(NOW + 1, kind)
    assert said(desk.publish(old)) == (True, "queued")
    assert said(desk.publish(new)) == (True, "queued")
    assert desk.waiting == [new]
    assert any(
        report.event == old and "superseded" in report.text for report in desk.reports
    )
    desk.add(A)
    desk.connect(A)
    assert desk.accept_all(A) == [new]


def test_c4_an_older_version_than_the_waiting_one_is_refused_as_by_a_relay() -> None:
    desk = Desk()
    old, new = made(NOW, 0), made(NOW + 1, 0)
    desk.publish(new)
    assert said(desk.publish(old))[0] is False
    assert desk.waiting == [new]


def test_c4_a_deletion_removes_what_waits_and_waits_itself() -> None:
    desk = Desk()
    note, other = made(), made()
    desk.publish(note)
    desk.publish(other)
    deletion = made(kind=5, tags=[["e", note.id]])
    assert said(desk.publish(deletion)) == (True, "queued")
    assert desk.waiting == [other, deletion]
    assert said(desk.publish(note))[0] is False


def test_c4_a_request_to_vanish_removes_its_author_s_older_waiting_events() -> None:
    desk = Desk()
    note, profile, later = made(NOW - 1), made(NOW - 1, 0), made(NOW + 1)
    theirs = made(NOW - 1, pubkey=BOB)
    for event in (note, profile, later, theirs):
        desk.publish(event)
    vanish = made(NOW, 62, tags=[["relay", "ALL_RELAYS"]])
    assert said(desk.publish(vanish)) == (True, "queued")
    assert desk.waiting == [later, theirs, vanish]
    assert said(desk.publish(note))[0] is False
    assert said(desk.publish(made(NOW, 62, tags=[["relay", A]]))) == (True, "queued")
    assert later in desk.waiting


def test_c4_a_waiting_event_ends_when_it_expires() -> None:
    desk = Desk()
    desk.add(A)
    event, other = made()._replace(expiration=NOW + 60), made()
    for item in (event, other):
        assert said(desk.publish(item)) == (True, "queued")
    desk.wait(59)
    assert desk.waiting == [event, other]
    desk.now += 2
    desk.connect(A)
    assert desk.take(A) == [other], "an expired event is not sent"
    desk.wait(4)
    assert desk.waiting == [other]
    ((lost, reason, _),) = desk.outbox.undeliverable
    assert (lost, prefix(reason)) == (event, "invalid")


def test_c4_events_that_a_relay_takes_at_its_own_rate_have_room_of_their_own() -> None:
    desk = Desk(A)
    events = [made() for _ in range(250)]
    inboxes = [desk.publish(event) for event in events]
    assert desk.take(A, 300) == events
    for event in events[:24]:
        desk.answer(A, event)
    for event in events[24:]:
        desk.answer(A, event, False, "rate-limited: slow down")
    desk.wait(2)
    assert {said(inbox) for inbox in inboxes[24:]} == {(True, "queued")}
    assert len(desk.waiting) == 226
    desk.disconnect(A)
    assert len(desk.waiting) == 226
    assert said(desk.publish(made())) == (False, "error"), "now they wait for any relay"


def test_c4_public_clients_hold_half_of_that_room_at_most() -> None:
    desk = Desk(A, settings=replace(DEFAULTS, outbox_paced_events=20))
    events = [made() for _ in range(30)]
    inboxes = [desk.publish(event, is_public=True) for event in events]
    desk.take(A)
    for event in events:
        desk.answer(A, event, False, "rate-limited: slow down")
    desk.wait(2)
    told = [said(inbox)[0] for inbox in inboxes]
    assert told == [True] * 10 + [False] * 20


def test_c4_copies_that_a_connected_relay_takes_at_its_own_rate_are_kept() -> None:
    desk = Desk(A, B)
    events = [made() for _ in range(250)]
    for event in events:
        desk.publish(event)
    for url in (A, B):
        desk.take(url, 300)
    for event in events:
        desk.answer(A, event)
        desk.answer(B, event, False, "rate-limited: slow down")
    desk.wait(60)
    assert desk.outbox.pending_copies()[B] == 250
    desk.disconnect(B)
    desk.wait(60)
    assert desk.outbox.pending_copies()[B] == DEFAULTS.owed_copies_per_relay


def test_c4_a_version_that_is_refused_removes_nothing() -> None:
    # Fifty events of public clients wait, among them no version of this one: the
    # private client's version must not go for one that cannot wait itself.
    desk = Desk()
    for _ in range(50):
        desk.publish(made(), is_public=True)
    old, new = made(NOW, 0), made(NOW + 1, 0)
    assert said(desk.publish(old)) == (True, "queued")
    assert said(desk.publish(new, is_public=True)) == (False, "error")
    assert old in desk.waiting
    desk.add(A)
    desk.connect(A)
    accepted = desk.accept_all(A)
    assert old in accepted
    assert new not in accepted


def test_c4_what_a_relay_has_taken_is_not_refused_for_a_newer_version() -> None:
    desk = Desk(A, durable=True)
    desk.add(B)
    old, new = made(NOW, 0), made(NOW + 1, 0)
    desk.publish(old)
    desk.wait(2.0)
    desk.write_all()
    desk.publish(new)
    desk.wait(2.0)  # it is waiting, but not in the database yet
    desk.take(A)
    desk.answer(A, old)
    # The old one is kept for B, in the database as well.
    assert said(desk.publish(old)) == (True, "duplicate")
    assert desk.stored == {old.id}


def test_c4_when_full_a_newer_version_may_take_the_place_of_the_older_one() -> None:
    desk = Desk()
    old, new = made(NOW, 0), made(NOW + 1, 0)
    desk.publish(old)
    for _ in range(99):
        desk.publish(made())
    assert said(desk.publish(new)) == (True, "queued")
    assert len(desk.waiting) == 100
    assert old not in desk.waiting


def test_c4_a_newer_version_that_was_accepted_removes_the_waiting_one() -> None:
    desk = Desk()
    old, new = made(NOW, 0), made(NOW + 1, 0)
    desk.publish(old)
    desk.add(A)
    desk.connect(A)
    desk.publish(new)
    desk.answer(A, new)
    assert desk.waiting == []
    assert old not in desk.take(A)


def test_c4_a_newer_version_replaces_the_copies_that_a_dead_relay_is_owed() -> None:
    desk = Desk(A)
    desk.add(B)
    old, new = made(NOW, kind=0), made(NOW + 1, kind=0)
    for event in (old, new):
        desk.publish(event)
        desk.answer(A, event)
    desk.connect(B)
    assert desk.take(B) == [new]


def test_c4_an_older_version_than_one_that_a_relay_has_is_the_relays_to_judge() -> None:
    desk = Desk(A)
    desk.add(B)
    new, old = made(NOW, kind=0), made(NOW - 1, kind=0)
    desk.publish(new)
    desk.take(A)
    desk.answer(A, new)
    inbox = desk.publish(old)
    assert desk.take(A) == [old]
    desk.answer(A, old, False, "invalid: have a newer one")
    assert inbox.items == [], "the other one was not asked yet"


def test_c4_a_waiting_event_ends_as_undeliverable_after_seven_days() -> None:
    desk = Desk()
    event = made()
    desk.publish(event)
    desk.wait(7 * DAY_SECONDS - 1)
    assert desk.waiting == [event]
    desk.wait(1)
    assert desk.waiting == []
    assert [lost.event for lost in desk.outbox.undeliverable] == [event]
    desk.add(A)
    desk.connect(A)
    assert desk.take(A) == []
    assert desk.outbox.publications == {}


def test_c4_copies_for_a_dead_relay_are_kept_apart_the_newest_hundred() -> None:
    desk = Desk(A)
    desk.add(E)
    events = [made() for _ in range(150)]
    for event in events:
        desk.publish(event)
        desk.answer(A, event)
        desk.wait(0.01)
    desk.wait(10)
    assert desk.waiting == []
    assert desk.outbox.pending_copies()[E] == 100
    assert desk.outbox.relays[E].dropped == 50
    assert len(desk.outbox.publications) == 100
    desk.connect(E)
    assert desk.accept_all(E) == events[50:]
    assert desk.outbox.publications == {}


def test_c4_what_was_only_just_published_does_not_count_among_those_kept_apart() -> (
    None
):
    desk = Desk(A, B)
    first = made()
    desk.publish(first)
    desk.answer(A, first)
    desk.wait(4)
    for _ in range(150):
        event = made()
        desk.publish(event)
        desk.answer(A, event)
    desk.wait(1)
    assert desk.outbox.pending_copies()[B] == 151
    desk.wait(10)
    assert desk.outbox.pending_copies()[B] == 100
    assert desk.outbox.relays[B].dropped == 51


@pytest.mark.parametrize("days", [1, 30])
def test_c4_what_waits_already_goes_by_a_new_expiry(days: int) -> None:
    desk = Desk()
    event = made()
    desk.publish(event)
    desk.wait(60)
    desk.outbox.configure(replace(DEFAULTS, outbox_expiry_seconds=days * DAY_SECONDS))
    desk.wait(days * DAY_SECONDS - 61)
    assert desk.waiting == [event]
    desk.wait(1)
    assert desk.waiting == []


def test_c4_what_was_kept_apart_for_seven_days_is_dropped_and_counted() -> None:
    desk = Desk(A)
    desk.add(E)
    event = made()
    desk.publish(event)
    desk.answer(A, event)
    desk.wait(7 * DAY_SECONDS + 10)
    assert desk.outbox.publications == {}
    assert desk.outbox.relays[E].dropped == 1
    assert desk.outbox.undeliverable_count == 0


def test_c4_time_alone_is_enough_to_find_what_is_too_old() -> None:
    desk = Desk()
    desk.publish(made())
    due = desk.outbox.deadline()
    assert due is not None
    assert START < due <= START + 5


def test_d8_the_list_of_undeliverable_events_is_bounded() -> None:
    desk = Desk()
    for _ in range(3):
        for _ in range(100):
            desk.publish(made())
        desk.wait(7 * DAY_SECONDS)
    assert desk.outbox.undeliverable_count == 300
    assert len(desk.outbox.undeliverable) == DEFAULTS.undeliverable_kept


def test_what_nobody_is_told_of_does_not_vanish_in_silence_either() -> None:
    desk = Desk()
    for _ in range(100):
        desk.publish(made())
    event = made()
    desk.carry_out(desk.outbox.publish(event, None, desk.now))
    assert [report.warning for report in desk.reports if report.event == event] == [
        True
    ]


# --- C5: what is vouched for is stored first


def test_c5_queued_is_said_once_it_is_stored() -> None:
    desk = Desk(durable=True)
    event = made()
    inbox = desk.publish(event)
    assert inbox.items == []
    assert list(desk.ledger) == [Save(event.id)]
    desk.write()
    assert said(inbox) == (True, "queued")


def test_c5_false_where_it_cannot_be_stored_and_it_is_never_sent() -> None:
    desk = Desk(durable=True)
    event = made()
    inbox = desk.publish(event)
    desk.write(succeeds=False)
    desk.write_all()
    assert said(inbox) == (False, "error")
    assert desk.outbox.undeliverable_count == 0, "nobody relied on it"
    desk.add(A)
    desk.connect(A)
    assert desk.take(A) == []


def test_c4_a_version_that_could_not_be_stored_replaces_nothing() -> None:
    desk = Desk(durable=True)
    old, new = made(NOW, 0), made(NOW + 1, 0)
    desk.publish(old)
    desk.write_all()
    inbox = desk.publish(new)
    desk.write(succeeds=False)
    desk.write_all()
    assert said(inbox) == (False, "error")
    assert desk.waiting == [old]
    assert desk.stored == {old.id}


def test_c4_a_version_replaced_while_it_was_being_stored_is_not_vouched_for() -> None:
    desk = Desk(durable=True)
    old, new = made(NOW, 0), made(NOW + 1, 0)
    inboxes = [desk.publish(old), desk.publish(new)]
    save_old, save_new = desk.ledger
    desk.ledger.clear()
    desk.ledger.extend([save_new, save_old])
    desk.write_all()
    assert [said(inbox)[0] for inbox in inboxes] == [False, True]
    assert desk.waiting == [new]


def test_c5_false_is_said_once_it_is_deleted() -> None:
    desk = Desk(A, durable=True)
    event = made()
    inbox = desk.publish(event)
    desk.wait(2)
    desk.answer(A, event, False, "blocked: no")
    assert inbox.items == []
    desk.write_all()
    assert said(inbox) == (False, "blocked")
    assert desk.stored == set()
    assert desk.outbox.undeliverable_count == 0


def test_c5_an_earlier_publication_s_row_vouches_for_no_later_one() -> None:
    desk = Desk(A, durable=True)
    event = made()
    desk.publish(event)
    desk.wait(2)  # its `Save` is on its way to the database
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "blocked: no")
    again = desk.publish(event)
    desk.write_all()  # stored for the first publication, then deleted
    assert again.items == []
    assert desk.stored == set()
    desk.wait(2)
    desk.write_all()
    assert verdict(again)[1].startswith("queued:")
    assert desk.stored == {event.id}


def test_c5_true_does_not_wait_for_the_database() -> None:
    desk = Desk(A, durable=True)
    event = made()
    inbox = desk.publish(event)
    desk.wait(2)
    desk.answer(A, event)
    assert verdict(inbox) == (True, "")
    desk.write_all()
    assert verdict(inbox) == (True, "")
    assert desk.stored == set()


def test_c5_copies_still_owed_after_two_seconds_are_stored_too() -> None:
    desk = Desk(A, durable=True)
    desk.add(E)
    event = made()
    desk.publish(event)
    desk.answer(A, event)
    desk.wait(1.9)
    assert not desk.ledger
    desk.wait(0.1)
    desk.write_all()
    assert desk.stored == {event.id}
    desk.connect(E)
    desk.accept_all(E)
    desk.write_all()
    assert desk.stored == set()


def test_c5_ephemeral_events_wait_in_memory_for_a_minute_and_say_so() -> None:
    desk = Desk(durable=True)
    inbox = desk.publish(made(kind=20_001))
    accepted, message = verdict(inbox)
    assert accepted
    assert prefix(message) == "queued"
    assert "memory" in message
    assert "60 s" in message
    assert not desk.ledger
    desk.wait(59)
    assert len(desk.waiting) == 1
    desk.wait(1)
    assert desk.waiting == []
    assert desk.outbox.undeliverable_count == 1


def restored(desk: Desk, *events: SignedEvent, age: float = 10) -> None:
    for event in events:
        desk.outbox.restore(
            event, desk.now, is_public=False, age_seconds=age, accepted=False, owed=()
        )


def test_c5_an_ephemeral_copy_that_a_relay_is_still_owed_is_not_stored() -> None:
    desk = Desk(A, B, durable=True)
    event = made(kind=20_000)
    desk.publish(event)
    desk.answer(A, event)
    desk.wait(3)
    assert list(desk.ledger) == []


def test_c5_what_an_earlier_run_vouched_for_is_sent_before_what_came_since() -> None:
    desk = Desk()
    new = made()
    desk.publish(new)
    old = [made() for _ in range(3)]
    restored(desk, *old)
    assert sorted(desk.waiting) == sorted([*old, new])
    desk.add(A)
    desk.connect(A)
    assert desk.accept_all(A) == [*old, new]
    assert desk.outbox.publications == {}


def test_c5_a_restored_event_keeps_its_age() -> None:
    desk = Desk()
    event = made()
    restored(desk, event, age=7 * DAY_SECONDS - 5)
    desk.wait(4)
    assert desk.waiting == [event]
    desk.wait(1)
    assert desk.waiting == []
    assert desk.outbox.undeliverable_count == 1


def test_c5_a_restored_copy_goes_to_the_relay_it_is_owed_to_and_to_no_other() -> None:
    desk = Desk(A)
    event = made()
    desk.outbox.restore(
        event, desk.now, is_public=False, age_seconds=1, accepted=True, owed=[E]
    )
    assert desk.waiting == []
    desk.add(E)
    desk.add(B)
    for url in (B, E):
        desk.connect(url)
    assert desk.take(A) == desk.take(B) == []
    assert desk.accept_all(E) == [event]
    desk.write_all()
    assert desk.outbox.publications == {}


def test_c5_what_is_published_again_before_it_was_restored_is_one_event() -> None:
    desk = Desk(A, durable=True)
    event = made()
    desk.publish(event)
    restored(desk, event)
    assert desk.take(A) == [event]
    desk.stored.add(event.id)
    desk.answer(A, event)
    desk.write_all()
    assert desk.stored == set()


# --- C6: flushing


def test_c6_each_author_s_events_in_the_order_they_were_published() -> None:
    desk = Desk(A)
    events = [made(NOW - number, pubkey=ALICE) for number in range(5)]
    events += [made(NOW - number, pubkey=BOB) for number in range(5)]
    desk.disconnect(A)
    for event in events:
        desk.publish(event)
    desk.connect(A)
    assert desk.take(A) == events


def test_c6_ephemeral_events_go_first() -> None:
    desk = Desk()
    desk.add(A)
    regular = [made() for _ in range(30)]
    ephemeral = [made(kind=20_001) for _ in range(3)]
    for event in (*regular, *ephemeral):
        desk.publish(event)
    desk.connect(A)
    assert desk.take(A) == [*ephemeral, *regular[:17]]


def test_c6_an_ephemeral_event_does_not_wait_behind_its_author_s_backlog() -> None:
    desk, _ = with_backlog(40)
    assert len(desk.take(A)) == 20
    ephemeral, regular = made(kind=20_001), made()
    desk.publish(regular)
    desk.publish(ephemeral)
    assert desk.take(A) == [ephemeral]


def test_c6_as_many_follow_as_the_relay_answers() -> None:
    desk, events = with_backlog(50)
    first = desk.take(A)
    assert first == events[:20]
    assert desk.take(A) == []
    for event in first[:7]:
        desk.answer(A, event)
    assert desk.take(A) == events[20:27]


def test_c6_what_is_published_meanwhile_does_not_slow_down_what_waited() -> None:
    desk, waited = with_backlog(50)
    assert desk.take(A) == waited[:20]
    meanwhile = [made(pubkey=BOB) for _ in range(30)]
    for event in meanwhile:
        desk.publish(event)
    assert desk.take(A) == meanwhile
    for event in waited[:20]:
        desk.answer(A, event)
    assert desk.take(A) == waited[20:40]


def test_c6_a_relay_that_answers_nothing_is_not_waited_for_for_ever() -> None:
    desk, events = with_backlog(50)
    sent = list(desk.take(A))
    while len(sent) < len(events):
        again = desk.next_at(A)
        assert again is not None
        assert again > desk.now
        desk.wait(again - desk.now)
        sent += desk.take(A)
    assert sent == events


def test_c6_one_refusing_event_never_holds_up_the_others() -> None:
    desk, events = with_backlog(50)
    accepted: list[SignedEvent] = []
    while batch := desk.take(A):
        for event in batch:
            if event is events[0]:
                desk.answer(A, event, False, "error: not today")
            else:
                desk.answer(A, event)
                accepted.append(event)
    assert accepted == events[1:]
    assert desk.waiting == events[:1]
    desk.wait(5)
    assert desk.take(A) == events[:1]


def test_c6_what_is_published_during_a_flush_goes_at_once_but_not_past_its_author() -> (
    None
):
    desk = Desk()
    desk.add(A)
    backlog = [made(pubkey=ALICE) for _ in range(30)]
    for event in backlog:
        desk.publish(event)
    desk.connect(A)
    desk.take(A)
    mine, other = made(pubkey=ALICE), made(pubkey=BOB)
    desk.publish(mine)
    desk.publish(other)
    assert desk.take(A) == [other]
    for event in backlog[:20]:
        desk.answer(A, event)
    assert desk.take(A) == [*backlog[20:], mine]


def test_c6_a_removed_relay_that_comes_back_is_still_owed() -> None:
    desk = Desk(A, E)
    event = made()
    desk.publish(event)
    desk.answer(A, event)
    desk.remove(E)
    missed = made()
    desk.publish(missed)
    desk.answer(A, missed)
    desk.wait(1000)
    assert desk.take(E) == []
    desk.add(E)
    desk.connect(E)
    assert desk.take(E) == [event]


def test_c6_a_relay_added_later_receives_what_nobody_has_accepted_yet() -> None:
    desk = Desk(A)
    waits, accepted = made(), made()
    desk.publish(waits)
    desk.publish(accepted)
    desk.answer(A, accepted)
    desk.wait(2)
    desk.add(B)
    desk.connect(B)
    assert desk.accept_all(B) == [waits]
    assert desk.waiting == []


def test_c6_a_relay_that_refused_for_good_is_not_asked_again_when_re_added() -> None:
    desk = Desk(A, B)
    event = made()
    desk.publish(event)
    desk.take(A)
    desk.answer(A, event, False, "blocked: no")
    desk.remove(A)
    desk.add(A)
    desk.connect(A)
    assert desk.take(A) == []


def test_c6_a_relay_that_is_read_only_now_is_sent_nothing_more() -> None:
    desk = Desk(A, B)
    event = made()
    desk.publish(event)
    desk.outbox.set_publish_target(A, PublishTarget.NONE)
    assert desk.take(A) == []
    desk.add(A)
    assert desk.take(A) == [event]


# --- C7: publishing again


def test_c7_while_it_is_pending_it_is_one_event() -> None:
    desk = Desk(A)
    event = made()
    inboxes = [desk.publish(event) for _ in range(3)]
    assert desk.take(A) == [event]
    desk.answer(A, event)
    assert [verdict(inbox) for inbox in inboxes] == [(True, "")] * 3


def test_c7_while_it_waits_it_is_one_event() -> None:
    desk = Desk()
    event = made()
    inboxes = [desk.publish(event) for _ in range(3)]
    assert [said(inbox) for inbox in inboxes] == [(True, "queued")] * 3
    assert desk.waiting == [event]


def test_c7_while_it_is_being_stored_nobody_is_told_too_early() -> None:
    desk = Desk(durable=True)
    event = made()
    inboxes = [desk.publish(event) for _ in range(3)]
    assert all(inbox.items == [] for inbox in inboxes)
    desk.write()
    assert [said(inbox) for inbox in inboxes] == [(True, "queued")] * 3


def test_c7_at_once_after_it_was_accepted_it_is_still_one_event() -> None:
    desk = Desk(A, B)
    event = made()
    desk.publish(event)
    assert desk.take(A) == desk.take(B) == [event]
    desk.answer(A, event)
    desk.wait(1)
    assert said(desk.publish(event)) == (True, "duplicate")
    assert desk.take(A) == desk.take(B) == []


def test_c7_later_it_is_a_new_publication() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.accept_all(A)
    inbox = desk.publish(event)
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "duplicate: have it")
    assert said(inbox) == (True, "duplicate")


@pytest.mark.parametrize("durable", [False, True])
def test_c7_later_it_is_a_new_one_also_where_a_dead_relay_is_still_owed_a_copy(
    durable: bool,
) -> None:
    desk = Desk(A, durable=durable)
    desk.add(E)
    event = made()
    desk.publish(event)
    desk.accept_all(A)
    desk.wait(3600)
    desk.write_all()
    inbox = desk.publish(event)
    assert desk.accept_all(A) == [event]
    assert verdict(inbox) == (True, "")
    desk.connect(E)
    assert desk.accept_all(E) == [event]
    desk.write_all()
    assert desk.outbox.publications == {}
    assert desk.stored == set()


def test_c7_after_a_refusal_it_may_be_tried_again() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.take(A)
    desk.answer(A, event, False, "error: busy")
    desk.answer(A, event, False, "blocked: no")
    inbox = desk.publish(event)
    assert desk.take(A) == [event]
    desk.answer(A, event)
    assert verdict(inbox) == (True, "")


# --- worked timelines


def test_timeline_1_five_relays_one_of_them_dead_for_a_year() -> None:
    desk = Desk(A, B, C, D)
    desk.add(E)
    for _ in range(300):
        event = made()
        inbox = desk.publish(event)
        for url in (A, B, C, D):
            assert desk.take(url) == [event]
            desk.answer(url, event)
        assert verdict(inbox) == (True, "")
        desk.wait(1)
    assert desk.waiting == []
    assert desk.outbox.pending_copies()[E] <= 105
    refused = made()
    inbox = desk.publish(refused)
    for url in (A, B, C, D):
        desk.answer(url, refused, False, "blocked: no")
    assert inbox.items == []
    desk.wait(2)
    assert said(inbox) == (True, "queued")
    assert desk.waiting == [refused]
    desk.wait(7 * DAY_SECONDS)
    assert desk.waiting == []
    assert [lost.event for lost in desk.outbox.undeliverable] == [refused]


def test_timeline_2_one_relay_which_never_sends_ok() -> None:
    desk = Desk(A)
    events = [made() for _ in range(100)]
    for event in events:
        inbox = desk.publish(event)
        assert event in desk.take(A)
        desk.wait(2)
        assert said(inbox) == (True, "queued")
    desk.disconnect(A)
    desk.connect(A)
    again: list[SignedEvent] = []
    while len(again) < 100:
        again += desk.take(A)
        desk.wait(1)
    assert again == events
    event = made()
    inbox = desk.publish(event)
    assert event in desk.take(A)
    desk.answer(A, event)
    assert verdict(inbox) == (True, "")
    desk.wait(7 * DAY_SECONDS)
    assert desk.outbox.undeliverable_count == 100
    assert desk.outbox.publications == {}


# --- for the operator


def test_a_followed_event_s_answers_are_known_relay_by_relay() -> None:
    desk = Desk(A, B, C, D)
    event, other = made(), made()
    desk.outbox.follow(event.id)
    assert desk.outbox.answers(event.id) == {}
    for published in (event, other):
        desk.publish(published)
        for url in (A, B, C, D):
            desk.take(url)
    desk.now += 0.25
    desk.answer(A, event, True, "")
    desk.now += 0.25
    desk.answer(B, event, False, "blocked: no")
    desk.answer(C, event, False, "error: later")
    desk.answer(D, event, False, "duplicate: had it")
    desk.answer(A, other)
    assert desk.outbox.answers(event.id) == {
        A: (True, "", 0.25),
        B: (False, "blocked: no", 0.5),
        C: (False, "error: later", 0.5),
        D: (True, "duplicate: had it", 0.5),
    }
    desk.answer(C, event, True, "")
    assert event.id not in desk.outbox.publications
    answers = desk.outbox.answers(event.id)
    assert answers is not None
    assert answers[C] == (True, "", 0.5)
    assert desk.outbox.answers(other.id) is None


def test_only_the_latest_events_are_followed() -> None:
    outbox = Desk(A).outbox
    for number in range(MAX_FOLLOWED + 1):
        outbox.follow(f"{number}")
    assert outbox.answers("0") is None
    assert outbox.answers("1") == outbox.answers(f"{MAX_FOLLOWED}") == {}


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


# --- H10: relays that are named with an event

NAMED = "wss://named"
OTHER = "wss://other"


def publish_named(
    desk: Desk, event: SignedEvent, *urls: str, publisher: str = "user 1"
) -> Inbox:
    inbox = Inbox()
    desk.carry_out(
        desk.outbox.publish(
            event,
            inbox,
            desk.now,
            is_public=True,
            publisher=publisher,
            named=frozenset(urls),
        )
    )
    return inbox


def test_h10_named_event_goes_to_the_named_relays_only() -> None:
    desk = Desk(A, B)
    event = made()
    inbox = publish_named(desk, event, NAMED, A)
    assert desk.outbox.named_relays() == [NAMED]
    desk.connect(NAMED)
    assert desk.take(NAMED) == desk.take(A) == [event]
    assert desk.take(B) == []
    desk.answer(NAMED, event)
    assert verdict(inbox) == (True, "")
    desk.add(C)
    desk.connect(C)
    assert desk.take(C) == [], "a relay added later is not named"


def test_h10_named_relay_gets_no_event_that_does_not_name_it() -> None:
    desk = Desk(A)
    desk.add(B)
    owed = made()
    desk.publish(owed)
    desk.answer(A, owed)
    desk.outbox.set_publish_target(B, PublishTarget.NAMED)
    event = made()
    publish_named(desk, event, B)
    desk.connect(B)
    assert desk.take(B) == [event], "the copy for the removed relay stays"
    desk.add(B)
    assert owed in desk.take(B), "it is sent once the relay is configured again"


def test_h10_event_waits_for_the_first_attempt_to_connect() -> None:
    desk = Desk(A)
    first, second, third = made(), made(), made()
    inbox = publish_named(desk, first, NAMED)
    assert inbox.items == []
    desk.disconnect(NAMED)
    assert said(inbox) == (True, "queued")
    assert said(publish_named(desk, second, NAMED)) == (True, "queued")
    desk.connect(NAMED)
    assert desk.accept_all(NAMED) == [first, second]
    assert desk.waiting == []
    inbox = publish_named(desk, third, OTHER)
    desk.wait(2)
    assert said(inbox) == (True, "queued")


def test_h10_refusal_of_all_named_relays_is_final() -> None:
    desk = Desk(A)
    event = made()
    inbox = publish_named(desk, event, NAMED, OTHER)
    for url in (NAMED, OTHER):
        desk.connect(url)
        assert desk.take(url) == [event]
        assert inbox.items == []
        desk.answer(url, event, False, "blocked: not here")
    assert verdict(inbox) == (False, "blocked: not here")
    desk.wait(10)
    for url in (NAMED, OTHER):
        desk.disconnect(url)
    assert desk.outbox.named_relays() == []
    assert NAMED not in desk.outbox.relays, "nothing stays of it"


def test_h10_publishing_again_adds_relays_and_replaces_none() -> None:
    desk = Desk(A)
    event = made()
    publish_named(desk, event, NAMED)
    desk.publish(event)
    assert desk.take(A) == [event]
    publish_named(desk, event, OTHER, publisher="user 2")
    desk.connect(NAMED)
    desk.connect(OTHER)
    assert desk.take(NAMED) == desk.take(OTHER) == [event]
    publication = desk.outbox.publications[event.id]
    assert publication.publishers == {
        "user 1": frozenset((NAMED,)),
        "user 2": frozenset((OTHER,)),
        "": None,
    }


def test_h10_added_relays_are_stored_with_an_event_that_is_stored() -> None:
    desk = Desk(durable=True)
    event = made()
    desk.publish(event)
    desk.write_all()
    publish_named(desk, event, NAMED)
    assert list(desk.ledger) == [Save(event.id)]


def test_h10_newer_version_elsewhere_replaces_nothing() -> None:
    desk = Desk()
    desk.add(A)
    older = made(kind=0, created_at=NOW)
    newer = made(kind=0, created_at=NOW + 1)
    desk.publish(older)
    publish_named(desk, newer, NAMED)
    desk.disconnect(NAMED)
    assert desk.waiting == [older, newer]
    assert said(desk.publish(made(kind=0, created_at=NOW - 1))) == (False, "invalid")
    desk.connect(NAMED)
    desk.accept_all(NAMED)
    assert desk.waiting == [older]


def test_h10_waiting_named_events_take_no_room_of_others_and_a_user_s_part() -> None:
    settings = replace(
        DEFAULTS, outbox_events=4, outbox_named_events=6, outbox_named_events_per_user=2
    )
    desk = Desk(settings=settings)
    publish_named(desk, made(), NAMED)
    desk.disconnect(NAMED)
    told = [said(publish_named(desk, made(), NAMED)) for _ in range(3)]
    assert told == [(True, "queued"), (False, "error"), (False, "error")]
    others = [
        said(publish_named(desk, made(), NAMED, publisher=f"user {number}"))
        for number in (2, 2, 3)
    ]
    assert others == [(True, "queued"), (False, "error"), (False, "error")]
    assert [said(desk.publish(made())) for _ in range(5)] == 4 * [(True, "queued")] + [
        (False, "error")
    ]


def test_h10_copies_for_dead_named_relays_are_bounded_all_together() -> None:
    desk = Desk(settings=replace(DEFAULTS, outbox_named_copies=3))
    for number in range(5):
        event = made()
        publish_named(desk, event, NAMED, f"wss://dead-{number}")
        desk.connect(NAMED)
        assert desk.accept_all(NAMED) == [event]
    desk.wait(20)
    dead = [f"wss://dead-{number}" for number in (2, 3, 4)]
    assert desk.outbox.named_relays() == dead, "the oldest are dropped"


def test_h10_restored_event_keeps_its_named_relays() -> None:
    desk = Desk(A)
    event, accepted = made(), made()
    for item, is_accepted in ((event, False), (accepted, True)):
        desk.outbox.restore(
            item,
            desk.now,
            is_public=True,
            age_seconds=5,
            accepted=is_accepted,
            owed=[NAMED],
            publishers={"user 1": frozenset((NAMED, OTHER))},
        )
    assert desk.take(A) == []
    desk.connect(NAMED)
    desk.connect(OTHER)
    assert desk.take(NAMED) == [event, accepted]
    assert desk.take(OTHER) == [event]


def test_h10_relay_that_is_configured_again_serves_everything() -> None:
    desk = Desk()
    event, other = made(), made()
    publish_named(desk, event, A)
    desk.add(A)
    desk.publish(other)
    assert desk.outbox.named_relays() == []
    desk.connect(A)
    assert desk.take(A) == [event, other]


def test_h10_relay_that_the_operator_only_reads_from_ends_a_named_event() -> None:
    desk = Desk()
    event = made()
    inbox = publish_named(desk, event, A, B)
    desk.connect(B)
    desk.take(B)
    desk.remove(A)
    desk.answer(B, event, False, "blocked: no")
    assert verdict(inbox) == (False, "blocked: no")


def test_h10_publishers_of_an_event_are_bounded() -> None:
    desk = Desk()
    event = made()
    told = [
        publish_named(desk, event, NAMED, publisher=f"user {number}")
        for number in range(MAX_PUBLISHERS + 1)
    ]
    assert said(told.pop()) == (False, "error")
    desk.connect(NAMED)
    desk.accept_all(NAMED)
    assert {verdict(inbox) for inbox in told} == {(True, "")}


def test_c3_event_that_was_held_back_is_answered_in_its_time() -> None:
    desk = Desk(A)
    desk.now += 1
    later = desk.publish(made())
    event, inbox = made(), Inbox()
    desk.carry_out(desk.outbox.publish(event, inbox, desk.now - 1))
    desk.wait(1)
    assert said(inbox) == (True, "queued")
    assert later.items == []


def test_h9_restored_event_of_an_extension_still_goes_to_that_extensions_relay() -> (
    None
):
    earlier = Desk()
    event = made()
    earlier.outbox.publish(event, None, earlier.now, extension="bunker")
    publishers = earlier.outbox.publications[event.id].publishers
    desk = Desk()
    desk.outbox.set_publish_target(A, PublishTarget.ASKED, "bunker")
    desk.outbox.set_publish_target(B, PublishTarget.ASKED, "other")
    desk.outbox.restore(
        event,
        desk.now,
        is_public=False,
        age_seconds=5,
        accepted=False,
        owed=[],
        publishers=parse_publishers(plain_publishers(publishers)),
    )
    desk.connect(A)
    desk.connect(B)
    assert desk.take(A) == [event]
    assert desk.take(B) == []
