"""How a relay's rate is measured and kept."""

from dataclasses import replace

import pytest

from nostrclient.nostr.publish_rate import PublishRate, RateState
from nostrclient.nostr.settings import DEFAULTS

START = 1000.0


def limited(accepted: int = 24) -> PublishRate:
    """Return the rate of a relay that has just refused, after so many acceptances."""
    rate = PublishRate(DEFAULTS)
    for _ in range(accepted):
        rate.sent(START)
        rate.accepted(START, START)
    rate.sent(START)
    rate.refused(START, START)
    return rate


def trials(rate: PublishRate, until: float) -> float:
    """Send one event after each pause, all refused, and return when one is accepted."""
    while (at := rate.next_at()) < until:
        rate.sent(at)
        rate.refused(at, at)
    rate.sent(at)
    rate.accepted(at, at)
    return at


def test_c2b_a_relay_that_refuses_nothing_is_not_slowed_down() -> None:
    rate = PublishRate(DEFAULTS)
    for number in range(1000):
        assert rate.next_at() <= START
        rate.sent(START)
        rate.accepted(START, START)
        assert not rate.is_limited(START + number)


def test_c2b_pauses_double_up_to_a_tenth_of_the_time_that_passed() -> None:
    rate = limited()
    waits: list[float] = []
    instants: list[float] = []
    now = START
    for _ in range(80):
        instants.append(now - START)
        at = rate.next_at()
        waits.append(at - now)
        now = at
        rate.sent(now)
        assert rate.next_at() > now, "one trial at a time"
        rate.refused(now, now)
    longest = DEFAULTS.publish_rate_max_pause_seconds
    assert waits[:4] == [1, 2, 4, 8]
    for wait, passed in zip(waits[4:], instants[4:], strict=True):
        assert wait == pytest.approx(min(longest, max(11, passed / 10)))
    assert waits[-1] == longest


def test_c2b_a_trial_without_an_answer_counts_as_refused() -> None:
    rate = limited()
    rate.sent(START + 1)
    assert rate.next_at() == START + 3
    assert rate.state is RateState.PAUSED


def test_c2b_refusals_of_events_sent_before_the_pause_do_not_lengthen_it() -> None:
    rate = limited()
    for _ in range(100):
        rate.refused(START + 0.1, START)
    assert rate.next_at() == START + 1
    rate.accepted(START + 0.2, START)
    assert rate.state is RateState.PAUSED


def test_c2b_the_rate_is_what_was_accepted_by_the_time_it_took() -> None:
    rate = limited(24)
    trials(rate, START + 60)
    assert rate.state is RateState.PACED
    assert rate.per_second == pytest.approx(24 / 70)


def test_c2b_a_refusal_lowers_the_rate_to_what_the_relay_accepted() -> None:
    rate = limited(24)
    now = trials(rate, START + 60)
    rate.per_second = 1.0
    for _ in range(24):
        now += 1
        rate.sent(now)
        rate.accepted(now, now)
    rate.refused(now, now)
    # By then it had risen to 1.05 a second; 24 were accepted in the last minute.
    assert rate.per_second == pytest.approx(0.75 * 1.05, rel=0.01), "no less"
    assert rate.next_at() == pytest.approx(now + 2 / rate.per_second)


def test_c2b_the_rate_rises_fast_far_below_the_one_that_was_refused() -> None:
    rate = limited(24)
    now = trials(rate, START + 60)
    rate.per_second = 1.0
    rate.refused(now, now)
    now = trials(rate, now)
    lowered = rate.per_second
    for _ in range(5):
        rate.accepted(now, now)
    assert rate.per_second > lowered * 1.1


def test_c2b_the_rate_rises_slowly_near_the_one_that_was_refused() -> None:
    rate = limited(60)
    now = trials(rate, START + 1)
    assert rate.per_second == 60
    for _ in range(24):
        rate.accepted(now, now)
    assert 60 < rate.per_second < 66


def test_c2b_a_rate_is_forgotten_after_an_hour_without_refusals() -> None:
    rate = limited()
    now = trials(rate, START + 60)
    assert rate.is_limited(now + DEFAULTS.publish_rate_forget_seconds - 1)
    assert not rate.is_limited(now + DEFAULTS.publish_rate_forget_seconds)
    assert rate.next_at() == 0


def test_c2b_the_slowest_rate_is_one_event_for_each_longest_pause() -> None:
    rate = limited(0)
    rate.configure(replace(DEFAULTS, publish_rate_max_pause_seconds=100))
    now = trials(rate, START + 10_000)
    for _ in range(20):
        rate.refused(now, now)
        now = trials(rate, now)
    assert rate.per_second >= 1 / 100


def test_c2b_other_authors_are_tried_one_at_a_time_during_a_pause() -> None:
    rate = limited()
    assert rate.other_at() == START
    rate.other_sent(START)
    assert rate.other_at() is None, "it is not answered yet"
    rate.other_accepted()
    assert rate.other_at() == START + 1
    rate.other_sent(START + 1)
    rate.other_refused()
    assert rate.other_at() is None
    trials(rate, START + 60)
    assert rate.other_at() is None


def test_c2b_only_certain_moves_make_sense() -> None:
    rate = PublishRate(DEFAULTS)
    with pytest.raises(AssertionError):
        rate._move(RateState.PACED)
