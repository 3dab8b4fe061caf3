"""What the outbox vouches for is stored first, and restored after a restart (C5)."""

from nostrclient.nostr.message import prefix
from nostrclient.nostr.outbox import (
    Save,
)
from nostrclient.nostr.settings import DAY_SECONDS

from .builders import NOW, made
from .outbox_desk import A, B, Desk, E, restored, said, verdict

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


def test_c5_an_ephemeral_copy_that_a_relay_is_still_owed_is_not_stored() -> None:
    desk = Desk(A, B, durable=True)
    event = made(kind=20_000)
    desk.publish(event)
    desk.answer(A, event)
    desk.wait(3)
    assert list(desk.ledger) == []


def test_c5_restored_events_are_sent_before_newer_ones() -> None:
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


def test_c5_event_published_again_before_it_was_restored_is_one_event() -> None:
    desk = Desk(A, durable=True)
    event = made()
    desk.publish(event)
    restored(desk, event)
    assert desk.take(A) == [event]
    desk.stored.add(event.id)
    desk.answer(A, event)
    desk.write_all()
    assert desk.stored == set()
