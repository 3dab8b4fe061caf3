"""The outbox: what waits for which relay, and what is said about it."""

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.outbox import (
    MAX_FOLLOWED,
)
from nostrclient.nostr.outbox_relay import HOLD_SECONDS
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS

from .builders import Inbox, made
from .outbox_desk import START, A, B, C, D, Desk, E, said, verdict

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
    ((lost, reason, *_),) = desk.outbox.undeliverable
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


def test_c3_accepted_event_is_not_queued_when_the_last_relay_is_lost() -> None:
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


def test_c3_retried_event_wakes_no_thread_before_its_time() -> None:
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
    ((_, reason, *_),) = desk.outbox.undeliverable
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
    first = desk.take(A)
    desk.wait(HOLD_SECONDS)
    assert first + desk.take(A) == silent
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
    ((_, reason, *_),) = desk.outbox.undeliverable
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


@pytest.mark.parametrize("durable", [False, True])
def test_c4_undeliverable_event_is_sent_again_to_the_relays_it_was_for(
    durable: bool,
) -> None:
    desk = Desk(A, B, durable=durable)
    event = made()
    desk.publish(event)
    desk.wait(2)
    desk.write_all()
    for url in (A, B):
        assert desk.take(url) == [event]
        desk.answer(url, event, False, "blocked: no")
    desk.write_all()
    assert [item.event for item in desk.outbox.undeliverable] == [event]
    desk.carry_out(desk.outbox.send_again(event.id, desk.now))
    desk.write_all()
    assert not desk.outbox.undeliverable
    assert desk.waiting == [event]
    assert desk.stored == ({event.id} if durable else set())
    assert desk.take(A) == [event]
    desk.answer(A, event, True)
    assert desk.waiting == []


def test_c4_event_that_is_refused_once_more_is_undeliverable_once_more() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.wait(2)
    desk.take(A)
    desk.answer(A, event, False, "blocked: no")
    desk.carry_out(desk.outbox.send_again(event.id, desk.now))
    assert desk.take(A) == [event]
    desk.answer(A, event, False, "blocked: never")
    assert [item.reason for item in desk.outbox.undeliverable] == ["blocked: never"]
    assert desk.outbox.send_again("0" * 64, desk.now) == []


def test_c4_event_sent_again_to_a_full_outbox_stays_undeliverable() -> None:
    desk = Desk(A)
    event = made()
    desk.publish(event)
    desk.wait(2)
    desk.take(A)
    desk.answer(A, event, False, "blocked: no")
    desk.disconnect(A)
    for _ in range(100):
        desk.publish(made())
    desk.carry_out(desk.outbox.send_again(event.id, desk.now))
    assert [item.event for item in desk.outbox.undeliverable] == [event]
    assert len(desk.waiting) == 100


def test_c3_ok_for_an_unknown_event_is_ignored() -> None:
    desk = Desk(A)
    desk.answer(A, made())
    desk.answer("wss://unknown", made(), False, "blocked: no")
    assert desk.outbox.publications == {}
    event = made()
    inbox = desk.publish(event)
    desk.answer("wss://unknown", event)
    assert inbox.items == []


def test_c3_event_that_was_held_back_is_answered_in_its_time() -> None:
    desk = Desk(A)
    desk.now += 1
    later = desk.publish(made())
    event, inbox = made(), Inbox()
    desk.carry_out(desk.outbox.publish(event, inbox, desk.now - 1))
    desk.wait(1)
    assert said(inbox) == (True, "queued")
    assert later.items == []


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


def test_a8_an_event_that_is_published_again_keeps_the_answers_it_had() -> None:
    desk = Desk(A, B)
    event = made()
    desk.outbox.follow(event.id)
    desk.publish(event)
    for url in (A, B):
        desk.take(url)
    desk.answer(A, event, True, "")
    desk.outbox.follow(event.id)  # somebody else publishes it as well
    desk.answer(B, event, True, "")
    assert set(desk.outbox.answers(event.id) or ()) == {A, B}


def test_only_the_latest_events_are_followed() -> None:
    outbox = Desk(A).outbox
    for number in range(MAX_FOLLOWED + 1):
        outbox.follow(f"{number}")
    assert outbox.answers("0") is None
    assert outbox.answers("1") == outbox.answers(f"{MAX_FOLLOWED}") == {}
