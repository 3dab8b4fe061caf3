"""The outbox is bounded: in number, by newer versions, deletions and age (C4)."""

from dataclasses import replace

import pytest

from nostrclient.nostr.message import prefix
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS

from .builders import BOB, NOW, made
from .outbox_desk import START, A, B, Desk, E, said, verdict

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
    ((lost, reason, *_),) = desk.outbox.undeliverable
    assert (lost, prefix(reason)) == (event, "invalid")


def test_c4_events_that_a_relay_takes_at_its_own_rate_have_room_of_their_own() -> None:
    desk = Desk(A)
    events = [made() for _ in range(250)]
    inboxes = [desk.publish(event) for event in events]
    for event in events[:24]:
        assert event in desk.take(A, 1)
        desk.answer(A, event)
    for event in desk.take(A, 300):
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


def test_c4_accepted_event_is_not_refused_for_a_newer_version() -> None:
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


def test_c4_fresh_event_does_not_count_among_owed_copies() -> None:
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
def test_c4_changed_expiry_applies_to_waiting_events(days: int) -> None:
    desk = Desk()
    event = made()
    desk.publish(event)
    desk.wait(60)
    desk.outbox.configure(replace(DEFAULTS, outbox_expiry_seconds=days * DAY_SECONDS))
    desk.wait(days * DAY_SECONDS - 61)
    assert desk.waiting == [event]
    desk.wait(1)
    assert desk.waiting == []


def test_c4_owed_copy_is_dropped_and_counted_after_seven_days() -> None:
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


def test_event_refused_for_want_of_room_is_logged_where_nobody_is_told() -> None:
    desk = Desk()
    for _ in range(100):
        desk.publish(made())
    event = made()
    desk.carry_out(desk.outbox.publish(event, None, desk.now))
    assert [report.warning for report in desk.reports if report.event == event] == [
        True
    ]
