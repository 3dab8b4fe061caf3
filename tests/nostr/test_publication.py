"""One event on its way: who owes an answer, what replaces what."""

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.publication import (
    Copy,
    CopyState,
    OkMeaning,
    Publication,
    PublicationState,
    read_ok,
)

from .builders import ALICE, BOB, NOW, made

A, B = "wss://a", "wss://b"
LOW, HIGH = "0" * 64, "f" * 64


def publication(event: SignedEvent, *urls: str) -> Publication:
    item = Publication(event, 1, False, 0.0, 100.0)
    for url in urls:
        item.copies[url] = Copy(item)
    return item


def replaces(one: SignedEvent, other: SignedEvent) -> bool:
    return publication(one).replaces(other)


@pytest.mark.parametrize(
    ("accepted", "message", "meaning"),
    [
        (True, "", OkMeaning.ACCEPTED),
        (True, "blocked: but taken", OkMeaning.ACCEPTED),
        (False, "duplicate: have it", OkMeaning.ACCEPTED),
        (True, "queued: no relay has it yet", OkMeaning.QUEUED),
        (False, "queued: odd", OkMeaning.QUEUED),
        (False, "rate-limited: slow", OkMeaning.RATE_LIMITED),
        (False, "ERROR: rate-limited: slow", OkMeaning.RATE_LIMITED),
        (False, "error: disk", OkMeaning.REFUSED_FOR_NOW),
        (False, "ERROR: bad event", OkMeaning.REFUSED_FOR_NOW),
        (False, "", OkMeaning.REFUSED_FOR_NOW),
        (False, "what?", OkMeaning.REFUSED_FOR_NOW),
        (False, "pow: 20 bits", OkMeaning.REFUSED),
        (False, "blocked: no", OkMeaning.REFUSED),
        (False, "restricted: no", OkMeaning.REFUSED),
        (False, "invalid: no", OkMeaning.REFUSED),
        (False, "mute: no", OkMeaning.REFUSED),
        (False, "replaced: have newer event", OkMeaning.REFUSED),
        (False, "deleted: by its author", OkMeaning.REFUSED),
        (False, "ERROR: auth-required: who are you", OkMeaning.REFUSED),
    ],
)
def test_c_an_ok_means_what_its_prefix_says(
    accepted: bool, message: str, meaning: OkMeaning
) -> None:
    assert read_ok(accepted, message) is meaning


def test_c3_the_refusal_that_says_most_is_passed_on() -> None:
    item = publication(made(), A, B)
    item.copies[A].message = "error: busy"
    assert item.refusal == "error: busy"
    item.refusals[B] = "pow: 20 bits"
    assert item.refusal == "pow: 20 bits"
    assert item.messages == {A: "error: busy", B: "pow: 20 bits"}
    item = publication(made())
    item.refusals[A] = "just no"
    assert item.refusal == "error: just no"


def test_c3_only_certain_moves_make_sense() -> None:
    item = publication(made(), A)
    for state in (
        PublicationState.STORING,
        PublicationState.QUEUED,
        PublicationState.ACCEPTED,
        PublicationState.OVER,
    ):
        item.move(state)
        assert item.waiting is (
            state in (PublicationState.STORING, PublicationState.QUEUED)
        )
        assert item.accepted is (state is PublicationState.ACCEPTED)
    with pytest.raises(AssertionError):
        item.move(PublicationState.QUEUED)
    copy = Copy(item)
    copy.move(CopyState.SENT, due=30.0)
    copy.move(CopyState.REFUSED, due=40.0)
    with pytest.raises(AssertionError):
        copy.move(CopyState.SENT)


@pytest.mark.parametrize("kind", [0, 3, 10_002, 30_023])
def test_c4_a_newer_version_replaces_an_older_one(kind: int) -> None:
    tags = [["d", "x"]]
    old, new = made(NOW, kind, tags=tags), made(NOW + 1, kind, tags=tags)
    assert replaces(new, old)
    assert not replaces(old, new)
    assert not replaces(new, new)
    assert not replaces(new, made(NOW, kind, BOB, tags))
    assert not replaces(new, made(NOW, kind + 1, tags=tags))


def test_c4_of_equal_times_the_lower_id_stays() -> None:
    low, high = made(kind=0, event_id=LOW), made(kind=0, event_id=HIGH)
    assert replaces(low, high)
    assert not replaces(high, low)


def test_c4_the_d_tag_tells_addressable_events_apart() -> None:
    one, other = made(kind=30_000, tags=[["d", "1"]]), made(
        NOW + 1, 30_000, tags=[["d", "2"]]
    )
    assert not replaces(other, one)
    assert replaces(made(NOW + 1, 30_000), made(kind=30_000, tags=[["d", ""]]))


@pytest.mark.parametrize("kind", [1, 4, 7, 1059, 9735, 20_001])
def test_c4_regular_and_ephemeral_events_replace_nothing(kind: int) -> None:
    assert not replaces(made(NOW + 1, kind), made(NOW, kind))


def test_c4_a_deletion_removes_its_author_s_targets() -> None:
    note = made()
    deletion = made(kind=5, tags=[["e"], ["e", note.id]])
    assert replaces(deletion, note)
    assert not replaces(note, deletion)
    assert not replaces(deletion, made())
    assert not replaces(made(kind=5, pubkey=BOB, tags=[["e", note.id]]), note)


def test_c4_a_deletion_by_address_removes_versions_up_to_its_own_time() -> None:
    address = f"30023:{ALICE}:x"
    deletion = made(NOW, 5, tags=[["a", address]])
    tags = [["d", "x"]]
    assert replaces(deletion, made(NOW - 1, 30_023, tags=tags))
    assert replaces(deletion, made(NOW, 30_023, tags=tags))
    assert not replaces(deletion, made(NOW + 1, 30_023, tags=tags))
    assert not replaces(deletion, made(NOW - 1, 30_023, tags=[["d", "y"]]))
    theirs = made(NOW - 1, 30_023, BOB, tags)
    assert not replaces(made(NOW, 5, tags=[["a", f"30023:{BOB}:x"]]), theirs)


def test_c4_a_deletion_deletes_no_deletion() -> None:
    first = made(kind=5)
    assert not replaces(made(NOW + 1, 5, tags=[["e", first.id]]), first)


def test_c4_a_request_to_vanish_removes_its_author_s_older_events() -> None:
    vanish = made(NOW, 62, tags=[["relay", "ALL_RELAYS"]])
    assert replaces(vanish, made(NOW - 1))
    assert replaces(vanish, made(NOW, 30_023, tags=[["d", "x"]]))
    assert replaces(vanish, made(NOW - 1, 5))
    assert not replaces(vanish, made(NOW + 1))
    assert not replaces(vanish, made(NOW - 1, 1, BOB))
    assert not replaces(vanish, made(NOW - 1, 62, tags=[["relay", "ALL_RELAYS"]]))
    assert not replaces(made(NOW, 5, tags=[["e", vanish.id]]), vanish)
    one_relay = made(NOW, 62, tags=[["relay", "wss://a"]])
    assert not replaces(one_relay, made(NOW - 1))
