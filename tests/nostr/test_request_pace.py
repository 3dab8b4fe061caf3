"""How fast a relay is sent REQs."""

from nostrclient.nostr.request_pace import (
    CEILING_SECONDS,
    MIN_FACTOR,
    RECOVERY_SECONDS,
    RequestPace,
)
from nostrclient.nostr.settings import DEFAULTS

START = 1000.0


def taken(pace: RequestPace, now: float, limit: int = 10_000) -> int:
    count = 0
    while count < limit and pace.take(now):
        count += 1
    return count


def opened() -> RequestPace:
    pace = RequestPace(DEFAULTS)
    pace.open(START)
    return pace


def test_d1c_silent_relay_gets_a_burst_and_then_the_setting_per_second() -> None:
    pace = opened()
    assert taken(pace, START) == DEFAULTS.burst_requests
    assert taken(pace, START + 1) == DEFAULTS.requests_per_second
    assert pace.next_at(START + 1) > START + 1


def test_d1c_answers_let_the_next_requests_out_at_once() -> None:
    pace = opened()
    taken(pace, START)
    for _ in range(1000):
        pace.answer()
        assert pace.take(START)
    assert not pace.take(START)


def test_d1c_complaint_halves_the_pace_and_answers_no_longer_speed_it_up() -> None:
    pace = opened()
    pace.complain(START)
    assert pace.factor == 0.5
    pace.answer()
    assert not pace.take(START), "what is due waits for its second"
    assert taken(pace, START + 1) == DEFAULTS.requests_per_second / 2


def test_d1c_complaints_about_one_burst_count_once() -> None:
    pace = opened()
    for _ in range(50):
        pace.complain(START)
    assert pace.factor == 0.5
    pace.complain(START, ended=True)
    assert pace.factor == 0.25


def test_d1c_pace_that_failed_is_not_tried_again_for_an_hour() -> None:
    pace = opened()
    for number in range(4):
        pace.complain(START + number, ended=True)
    now = START + 3
    assert pace.factor == 1 / 16
    pace.take(now + CEILING_SECONDS - 1)
    assert pace.factor == 1 / 16
    factors: list[float] = []
    for _ in range(5):
        now += CEILING_SECONDS if not factors else RECOVERY_SECONDS
        pace.take(now)
        factors.append(pace.factor)
    assert factors == [1 / 8, 1 / 4, 1 / 2, 1, 1]


def test_d1c_pace_never_stops_altogether() -> None:
    pace = opened()
    for number in range(100):
        pace.complain(START + 10 * number, ended=True)
    assert pace.factor == MIN_FACTOR
    assert pace.per_second > 0
    assert taken(pace, START + 2000) == 1
