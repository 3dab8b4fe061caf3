"""The outbox and relays named with an event, or of one extension (H9, H10)."""

from dataclasses import replace

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.outbox import (
    Save,
)
from nostrclient.nostr.outbox_relay import PublishTarget
from nostrclient.nostr.publication import (
    MAX_PUBLISHERS,
    parse_publishers,
    plain_publishers,
)
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, Inbox, made
from .outbox_desk import A, B, C, Desk, said, verdict

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
