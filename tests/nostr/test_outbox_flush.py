"""How a relay that comes back receives what waited; publishing again (C6, C7)."""

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.outbox_relay import PublishTarget

from .builders import ALICE, BOB, NOW, made
from .outbox_desk import A, B, Desk, E, said, verdict, with_backlog

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


def test_c6_new_events_do_not_slow_down_waiting_ones() -> None:
    desk, waited = with_backlog(50)
    assert desk.take(A) == waited[:20]
    meanwhile = [made(pubkey=BOB) for _ in range(20)]
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


def test_c6_new_event_goes_at_once_but_not_past_its_author_s_older_ones() -> None:
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
