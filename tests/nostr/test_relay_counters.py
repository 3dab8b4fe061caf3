"""What is counted of a relay's answers, and what is taken for none."""

import pytest

from nostrclient.nostr.message import encode
from nostrclient.nostr.relay_counters import (
    MAX_PENDING,
    OTHER,
    AuthState,
    RelayCounters,
    Service,
)

WALL = 1_790_000_000


@pytest.fixture
def counters() -> RelayCounters:
    found = RelayCounters(patience=15)
    found.opened(0)
    return found


def answer(counters: RelayCounters, accepted: bool, message: str, at: float) -> None:
    counters.event_answered("e", accepted, message, at, WALL + at)


def test_i2_accepted_and_duplicate_events_are_counted_as_accepted(
    counters: RelayCounters,
) -> None:
    counters.event_sent("e", 1)
    assert counters.waiting_events == 1
    answer(counters, True, "", 1.5)
    answer(counters, False, "duplicate: have it", 2)
    assert counters.accepted == 2
    assert not counters.refused
    assert counters.waiting_events == 0
    assert counters.figures.answer.total == 0.5


def test_i2_refused_events_are_counted_by_prefix_with_the_last_words(
    counters: RelayCounters,
) -> None:
    answer(counters, False, "blocked: kind 4", 1)
    answer(counters, False, "blocked: kind 1059", 2)
    answer(counters, False, "sorry", 3)
    answer(counters, False, "made-up: words", 4)
    assert counters.refused == {"blocked": 2, OTHER: 2}
    latest = counters.last_refusals["blocked"]
    assert latest.message == "blocked: kind 1059"
    assert latest.at == WALL + 2
    assert counters.last_refusals[OTHER].message == "made-up: words"


def services(counters: RelayCounters) -> tuple[Service, Service]:
    return counters.publishing, counters.receiving


def test_i1_relay_that_refuses_events_serves_again_once_it_accepts_one(
    counters: RelayCounters,
) -> None:
    assert services(counters) == (Service.UNKNOWN, Service.UNKNOWN)
    answer(counters, False, "invalid: this event", 1)  # others may be fine
    assert services(counters)[0] is Service.UNKNOWN
    answer(counters, False, "blocked: you", 1)
    assert services(counters) == (Service.REFUSED, Service.UNKNOWN)
    answer(counters, True, "", 2)
    assert services(counters) == (Service.WORKS, Service.UNKNOWN)


def test_i1_relay_that_answers_no_event_does_not_serve(
    counters: RelayCounters,
) -> None:
    answer(counters, True, "", 1)
    counters.event_sent("silent", 2)
    counters.tick(16)
    assert services(counters)[0] is Service.WORKS
    counters.tick(17)
    assert services(counters)[0] is Service.UNANSWERED
    counters.event_sent("other", 18)
    counters.event_answered("other", True, "", 19, WALL)  # it lost one, no more
    counters.tick(40)
    assert services(counters)[0] is Service.WORKS


def test_i1_relay_that_serves_one_request_may_close_others(
    counters: RelayCounters,
) -> None:
    counters.sent(encode("REQ", "a", {}), 1)
    counters.request_closed("a", "auth-required: who are you", WALL)
    assert services(counters)[1] is Service.REFUSED
    counters.sent(encode("REQ", "b", {}), 2)
    counters.request_finished("b", 3)
    counters.request_closed("c", "error: too many", WALL)
    counters.sent(encode("REQ", "d", {}), 4)
    counters.tick(30)
    assert services(counters)[1] is Service.WORKS
    counters.lost(31)
    counters.opened(32)
    assert services(counters)[1] is Service.UNKNOWN
    counters.sent(encode("REQ", "e", {}), 33)
    counters.tick(60)
    assert services(counters)[1] is Service.UNANSWERED


def test_i2_requests_are_counted_by_their_answer(counters: RelayCounters) -> None:
    for name in ("a", "b", "c", "d"):
        counters.sent(encode("REQ", name, {"kinds": [1]}), 1)
    counters.sent(encode("COUNT", "n", {}), 1)
    assert counters.waiting_requests == 4
    counters.request_finished("a", 3)
    counters.request_finished("a", 4)  # of a refresh nobody sent
    counters.request_closed("b", "rate-limited: slow down", WALL + 1)
    counters.sent(encode("CLOSE", "c"), 5)
    assert (counters.finished, counters.unanswered) == (1, 0)
    assert counters.closed == {"rate-limited": 1}
    assert counters.figures.stored.total == 2
    counters.tick(15.9)
    assert counters.unanswered == 0
    counters.tick(16)
    assert counters.unanswered == 1
    assert counters.waiting_requests == 0


def test_i2_a_new_connection_begins_without_pending_answers(
    counters: RelayCounters,
) -> None:
    counters.sent(encode("REQ", "a", {}), 1)
    counters.event_sent("e", 1)
    counters.authenticating(AuthState.REFUSED, "restricted: no")
    counters.lost(10)
    assert (counters.waiting_events, counters.waiting_requests) == (0, 0)
    counters.tick(50)
    counters.opened(100)
    assert counters.auth is AuthState.NOT_ASKED
    assert not counters.auth_message
    counters.tick(130)
    assert counters.up_seconds == 40
    assert counters.unanswered == 0


def test_i2_pending_answers_are_bounded(counters: RelayCounters) -> None:
    for number in range(MAX_PENDING + 5):
        counters.event_sent(f"{number}", number)
    assert counters.waiting_events == MAX_PENDING
