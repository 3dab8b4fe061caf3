"""Backoff: numbers in, numbers out."""

from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.backoff import ceiling, delay


def test_e2_the_wait_doubles_up_to_a_minute() -> None:
    waits = [ceiling(attempt, 1, 60) for attempt in range(1, 10)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_e2_jitter_is_full_and_no_number_of_attempts_is_too_large(
    attempt: int, jitter: float
) -> None:
    wait = delay(attempt, 1, 60, jitter)
    assert 0 <= wait <= 60
    assert wait == ceiling(attempt, 1, 60) * jitter


def test_the_zeroth_attempt_waits_like_the_first() -> None:
    assert ceiling(0, 5, 300) == ceiling(1, 5, 300) == 5
