"""The rate at which clients may speak and relays are spoken to."""

from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.pace import TokenBucket
from nostrclient.nostr.settings import DEFAULTS


def test_f2_a_public_client_has_a_burst_of_100_and_20_a_second_after_it() -> None:
    limits = DEFAULTS.public
    bucket = TokenBucket(limits.messages_per_second, limits.burst_messages, 1000.0)
    assert [bucket.take(1000.0) for _ in range(101)] == [True] * 100 + [False]
    assert [bucket.take(1001.0) for _ in range(21)] == [True] * 20 + [False]


def test_f2_saved_tokens_never_exceed_the_burst() -> None:
    bucket = TokenBucket(20, 100, 0.0)
    assert sum(bucket.take(1e9) for _ in range(200)) == 100


def test_a_token_is_there_when_it_was_said_to_be() -> None:
    bucket = TokenBucket(2, 1, 0.0)
    assert bucket.next_at(0.0) == 0.0
    assert bucket.take(0.0)
    at = bucket.next_at(0.0)
    assert at == 0.5
    assert not bucket.take(0.4)
    assert bucket.take(at)


def test_several_are_there_later_than_one() -> None:
    bucket = TokenBucket(2, 10, 0)
    assert bucket.take(0, 10)
    assert bucket.next_at(0) == 0.5
    assert bucket.next_at(0, 4) == 2
    assert bucket.next_at(0, 1000) == 5
    assert not bucket.take(1.9, 4)
    assert bucket.take(2, 4)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_f2_no_pattern_of_asking_gets_more_than_the_rate(steps: list[float]) -> None:
    now = 5.0
    bucket = TokenBucket(3, 7, now)
    taken = 0
    for step in steps:
        taken += bucket.take(now)
        assert taken <= 7 + 3 * (now - 5.0) + 1e-6
        now += step


def test_a_clock_that_went_back_gives_nothing_away() -> None:
    bucket = TokenBucket(1, 1, 100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
