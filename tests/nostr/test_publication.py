"""One event on its way: who owes an answer, what replaces what."""

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.publication import Copy, Publication

from .builders import ALICE, BOB, NOW, made

A, B = "wss://a", "wss://b"
LOW, HIGH = "0" * 64, "f" * 64


def publication(event: SignedEvent, *urls: str) -> Publication:
    copies = {url: Copy() for url in urls}
    return Publication(event, 1, False, 0.0, 100.0, copies)


def replaces(one: SignedEvent, other: SignedEvent) -> bool:
    return publication(one).replaces(other)


def test_c2_an_acceptance_settles_a_copy_and_the_event() -> None:
    item = publication(made(), A, B)
    assert item.answer(A, True, "", 5)
    assert item.accepted
    assert list(item.copies) == [B]


def test_c_false_with_duplicate_is_an_acceptance() -> None:
    item = publication(made(), A)
    assert item.answer(A, False, "duplicate: have it", 5)
    assert item.accepted


@pytest.mark.parametrize(
    "prefix", ["pow", "blocked", "restricted", "invalid", "mute", "auth-required"]
)
def test_c_a_final_refusal_settles_a_copy_at_once(prefix: str) -> None:
    item = publication(made(), A)
    assert item.answer(A, False, f"{prefix}: no", 5)
    assert not item.accepted
    assert item.copies == {}
    assert item.refusal == f"{prefix}: no"


@pytest.mark.parametrize("message", ["rate-limited: slow", "error: disk", "", "what?"])
def test_c_a_transient_refusal_is_final_the_fifth_time(message: str) -> None:
    item = publication(made(), A)
    assert [item.answer(A, False, message, 5) for _ in range(5)] == [False] * 4 + [True]
    assert item.copies == {}


def test_c_what_nobody_is_owed_is_no_answer() -> None:
    item = publication(made(), A)
    assert not item.answer(B, True, "", 5)
    assert not item.accepted


def test_c3_the_refusal_that_says_most_is_passed_on() -> None:
    item = publication(made(), A, B)
    item.answer(A, False, "", 1)
    item.answer(B, False, "pow: 20 bits", 1)
    assert item.refusal == "pow: 20 bits"
    item = publication(made(), A)
    item.answer(A, False, "just no", 1)
    assert item.refusal == "error: just no"


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
