"""How fast a relay is sent REQs."""

import random
import statistics

from nostrclient.nostr.pace import BURST_MESSAGES, BURST_SECONDS
from nostrclient.nostr.request_pace import (
    CEILING_SECONDS,
    MIN_FACTOR,
    RECOVERY_SECONDS,
    SAME_COMPLAINT_SECONDS,
    SHORT_SECONDS,
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
    pace.complain(START + SAME_COMPLAINT_SECONDS)
    assert pace.factor == 0.25


def end_amid_bursts(pace: RequestPace, count: int, now: float = START) -> float:
    """End so many connections while REQs are leaving; return the last end."""
    for _ in range(count):
        now += 10
        pace.open(now)
        for number in range(BURST_MESSAGES + 1):
            pace.spend(now + number * 0.1)
        now += BURST_MESSAGES * 0.1
        pace.ended(now)
    return now


def test_d1c_connection_that_ends_amid_a_burst_halves_the_pace() -> None:
    pace = opened()
    end_amid_bursts(pace, 3)
    assert pace.factor == 1 / 8


def test_d1c_few_messages_before_an_end_are_no_burst() -> None:
    pace = opened()
    for _ in range(BURST_MESSAGES):
        pace.take(START)
    pace.ended(START)
    assert pace.factor == 1


def test_d1c_connections_that_end_soon_without_a_burst_clear_the_pace() -> None:
    pace = opened()
    now = end_amid_bursts(pace, 5)
    pace.open(now + 1)
    pace.ended(now + 1 + SHORT_SECONDS)
    assert pace.factor == 1 / 32, "it may have been idle for too long"
    pace.open(now + 100)
    for _ in range(100):
        pace.take(now + 100)
    pace.ended(now + 100 + BURST_SECONDS)
    assert pace.factor == 1


def test_d1c_words_of_the_relay_outlast_connections_that_end_soon() -> None:
    pace = opened()
    pace.complain(START)
    now = end_amid_bursts(pace, 3)
    pace.open(now + 1)
    pace.ended(now + 3)
    assert pace.factor == 0.5


def test_d1c_network_that_cuts_at_random_does_not_slow_requests_down() -> None:
    pace = opened()
    chance = random.Random(7)
    now, factors = START, []
    for _ in range(500):
        now += 1
        pace.open(now)
        for _ in range(20):
            pace.take(now)
        now += chance.uniform(0, 6)
        pace.ended(now)
        factors.append(pace.factor)
    assert statistics.median(factors) == 1
    assert sum(factor < 1 / 8 for factor in factors) < 10


def test_d1c_pace_that_failed_is_not_tried_again_for_an_hour() -> None:
    pace = opened()
    now = end_amid_bursts(pace, 4)
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
    now = end_amid_bursts(pace, 100)
    assert pace.factor == MIN_FACTOR
    assert pace.per_second > 0
    pace.open(now)
    assert taken(pace, now + 10) == 1
