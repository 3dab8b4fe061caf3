"""When a relay sends so much garbage that it is left alone for a while."""

from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.garbage import GarbageMeter
from nostrclient.nostr.settings import DEFAULTS


def test_f3_ten_bad_messages_in_a_minute_are_borne_and_eleven_are_not() -> None:
    meter = GarbageMeter(DEFAULTS)
    assert not any(meter.bad(float(second)) for second in range(10))
    assert meter.bad(10.0)


def test_f3_bad_messages_that_come_slowly_are_borne() -> None:
    meter = GarbageMeter(DEFAULTS)
    assert not any(meter.bad(second * 6.1) for second in range(500))


def test_f3_bad_messages_among_more_good_ones_are_borne() -> None:
    meter = GarbageMeter(DEFAULTS)
    for second in range(500):
        meter.good()
        assert not meter.bad(second * 0.01)


def test_f3_a_good_past_does_not_excuse_for_long() -> None:
    meter = GarbageMeter(DEFAULTS)
    for _ in range(1000):
        meter.good()
    verdicts = [meter.bad(number * 0.1) for number in range(51)]
    assert verdicts == [False] * 50 + [True]


def test_timeline_6_events_that_are_good_but_unasked_for_penalise_nobody() -> None:
    meter = GarbageMeter(DEFAULTS)
    for _ in range(5000):
        meter.good()
    assert not meter.bad(1.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=300))
def test_f3_relay_is_left_above_ten_invalid_in_a_minute_and_half_of_the_last_100(
    messages: list[tuple[bool, float]],
) -> None:
    meter = GarbageMeter(DEFAULTS)
    now = 0.0
    history: list[tuple[bool, float]] = []
    for is_bad, step in messages:
        now += step
        history.append((is_bad, now))
        if not is_bad:
            meter.good()
            continue
        recent = sum(bad and now - at <= 60 for bad, at in history)
        last = [bad for bad, _ in history[-100:]]
        assert meter.bad(now) == (recent > 10 and sum(last) * 2 > len(last))
