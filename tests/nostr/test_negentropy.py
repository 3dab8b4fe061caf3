"""Negentropy: both sides end up knowing exactly what they lack."""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.negentropy import (
    ID_BYTES,
    MIN_FRAME_BYTES,
    Item,
    Negentropy,
    UnsupportedVersionError,
    encode_varint,
    fingerprint,
)

from .builders import NOW

MAX_ROUNDS = 1000


def event_id(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def items(numbers: Iterable[int]) -> list[Item]:
    """Return items of which two each have the same date."""
    return [(NOW + number // 2, event_id(number)) for number in numbers]


def reconcile(mine: Negentropy, theirs: Negentropy) -> tuple[int, int]:
    """Have both sides talk to the end; return how many bytes went each way."""
    message: bytes | None = mine.initiate()
    sent = received = 0
    for _ in range(MAX_ROUNDS):
        if message is None:
            return sent, received
        sent += len(message)
        answer = theirs.respond(message)
        received += len(answer)
        message = mine.reconcile(answer)
    raise AssertionError("they talk for ever")


# --- as the reference implementation writes it


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8100"), (1_700_000_000, "86aacfe200")],
)
def test_e7b_varints_have_the_most_significant_digit_first(
    number: int, encoded: str
) -> None:
    assert encode_varint(number).hex() == encoded


@pytest.mark.parametrize(
    ("count", "size", "digest"),
    # Facts: the sizes, and the hashes in hex, of the reference implementation's own
    # first messages for the same items.
    [
        (0, 5, "752e23c5d70d7ca9"),
        (1, 37, "20a2dbd46b7b9a92"),
        (31, 997, "c93ab430f9427fd9"),
        (32, 309, "9e14632caeef7658"),
        (1000, 313, "8a1e66012c4da44b"),
    ],
)
def test_e7b_first_message_is_that_of_the_reference(
    count: int, size: int, digest: str
) -> None:
    side = Negentropy(items(range(count)))
    message = side.initiate()
    if 0 < count < 32:
        # Of few items the reference sends the ids at once. Here a fingerprint goes
        # first, and the same ids are the answer to one that differs.
        assert len(message) < size
        message = side.respond(Negentropy(items((99, 98))).initiate())
    assert len(message) == size
    assert sha256(message.hex().encode()).hexdigest()[:16] == digest


def test_e7b_empty_set_is_one_empty_list_of_ids() -> None:
    assert Negentropy([]).initiate().hex() == "6100000200"


def test_e7b_fingerprint_does_not_depend_on_the_order() -> None:
    ids = [event_id(number) for number in range(50)]
    assert fingerprint(ids) == fingerprint(reversed(ids))
    assert fingerprint(ids) != fingerprint(ids[1:])
    # More than 2**256 in sum.
    assert fingerprint([b"\xff" * 32] * 2) != fingerprint([b"\xff" * 32])


# --- two sides


def test_e7b_equal_sets_cost_one_short_message_each_way() -> None:
    mine, theirs = (Negentropy(items(range(10_000))) for _ in range(2))
    sent, received = reconcile(mine, theirs)
    assert (sent, received) == (len(mine.initiate()), 1)
    assert sent < 400
    assert mine.need == mine.have == set()


@pytest.mark.parametrize("count", [0, 1, 2, 30, 31])
def test_e7b_few_equal_events_cost_no_list_of_their_ids(count: int) -> None:
    mine, theirs = (Negentropy(items(range(count))) for _ in range(2))
    sent, received = reconcile(mine, theirs)
    assert sent <= 20
    assert received <= 5


@pytest.mark.parametrize("count", [1, 2, 30, 31])
def test_e7b_what_few_events_lack_is_known_after_one_round(count: int) -> None:
    mine, theirs = Negentropy(items(range(1, count))), Negentropy(items(range(count)))
    assert mine.reconcile(theirs.respond(mine.initiate())) is None
    assert mine.need == {event_id(0)}


def test_e7b_a_backdated_event_is_found_among_many() -> None:
    mine = Negentropy(items(range(0, 20_000, 2)))
    theirs = Negentropy([*items(range(0, 20_000, 2)), (NOW + 37, event_id(-1))])
    sent, received = reconcile(mine, theirs)
    assert mine.need == {event_id(-1)}
    assert mine.have == set()
    assert sent + received < 5000


@given(
    st.sets(st.integers(0, 400)),
    st.sets(st.integers(0, 400)),
    st.sampled_from([None, MIN_FRAME_BYTES, 5000]),
    st.integers(1, 200),
)
def test_e7b_each_side_s_own_ids_are_found(
    a: set[int], b: set[int], frame_bytes: int | None, spread: int
) -> None:
    def some(numbers: set[int]) -> list[Item]:
        return [(NOW + number // spread, event_id(number)) for number in numbers]

    mine, theirs = Negentropy(some(a), frame_bytes), Negentropy(some(b), frame_bytes)
    reconcile(mine, theirs)
    assert mine.have == {event_id(number) for number in a - b}
    assert mine.need == {event_id(number) for number in b - a}


@pytest.mark.parametrize(("a", "b"), [(0, 3000), (3000, 0), (3000, 3000)])
def test_e7b_frames_are_bounded_on_both_sides(a: int, b: int) -> None:
    mine = Negentropy(items(range(a)), MIN_FRAME_BYTES)
    theirs = Negentropy(items(range(5000, 5000 + b)), MIN_FRAME_BYTES)
    message: bytes | None = mine.initiate()
    while message is not None:
        assert len(message) <= MIN_FRAME_BYTES
        answer = theirs.respond(message)
        assert len(answer) <= MIN_FRAME_BYTES
        message = mine.reconcile(answer)
    assert (len(mine.have), len(mine.need)) == (a, b)


def test_e7b_ids_that_share_a_prefix_are_told_apart() -> None:
    same = b"\x07" * (ID_BYTES - 1)
    several = [(NOW, same + bytes((last,))) for last in range(100)]
    mine, theirs = Negentropy(several[:60]), Negentropy(several[30:])
    reconcile(mine, theirs)
    assert mine.have == {item[1] for item in several[:30]}
    assert mine.need == {item[1] for item in several[60:]}


def test_e7b_the_same_item_twice_is_one() -> None:
    twice = Negentropy([*items(range(40)), *items(range(40))])
    assert twice.initiate() == Negentropy(items(range(40))).initiate()


# --- what a relay may send


def test_e7b_another_version_is_told_from_a_malformed_message() -> None:
    mine = Negentropy(items(range(10)))
    with pytest.raises(UnsupportedVersionError):
        mine.reconcile(b"\x62")
    with pytest.raises(UnsupportedVersionError):
        mine.reconcile(b"")
    assert mine.respond(b"\x62\x00\x00") == b"\x61"
    with pytest.raises(InvalidMessage):
        mine.respond(b"")


@pytest.mark.parametrize(
    "rest",
    [
        "00",  # a bound without its end
        "000003",  # an unknown mode
        "00000100",  # a short fingerprint
        "00000202" + "00" * 32,  # fewer ids than announced
        "0000028fffffffffffffff7f",  # very many ids
        "0021" + "00" * 33 + "00",  # a prefix longer than an id
        "ff" * 11 + "00",  # an endless number
        "05020102000105000000",  # ranges that overlap
    ],
)
def test_e7b_malformed_messages_are_refused(rest: str) -> None:
    for handle in (
        Negentropy(items(range(100))).reconcile,
        Negentropy(items(range(100))).respond,
    ):
        with pytest.raises(InvalidMessage):
            handle(bytes.fromhex("61" + rest))


@given(st.binary(max_size=200))
def test_e7b_no_message_raises_anything_else(rest: bytes) -> None:
    mine = Negentropy(items(range(100)), MIN_FRAME_BYTES)
    with suppress(InvalidMessage):
        answer = mine.reconcile(b"\x61" + rest)
        assert answer is None or len(answer) <= MIN_FRAME_BYTES
    with suppress(InvalidMessage):
        assert len(mine.respond(b"\x61" + rest)) <= MIN_FRAME_BYTES


def test_e7b_a_frame_cannot_be_too_small() -> None:
    with pytest.raises(ValueError, match="4096"):
        Negentropy([], MIN_FRAME_BYTES - 1)
