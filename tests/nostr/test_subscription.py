"""One REQ: whose EOSE is waited for, how long, and who closed it."""

import pytest

from nostrclient.nostr.merge import HeldBytes
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.nostr.subscription import Subscription

from .builders import NOW, filters

FOREVER = float("inf")
START = 1000.0
A, B, C = "wss://a", "wss://b", "wss://c"


def opened(*pending_eose: str, asked: tuple[str, ...] = ()) -> Subscription:
    subscription = Subscription(
        "s", "up", filters({}), START, DEFAULTS, arrived=NOW, held=HeldBytes(0)
    )
    subscription.asked({*pending_eose, *asked}, dict.fromkeys(pending_eose, FOREVER))
    return subscription


def due_at(subscription: Subscription, now: float = START) -> float:
    """Give the instant at which the EOSE is sent if nothing more happens."""
    while not subscription.due(now):
        later = subscription.deadline(now)
        assert later > now
        now = later
    return now


def test_d4_the_last_eose_that_was_owed_is_the_one() -> None:
    subscription = opened(A, B, asked=(C,))
    assert not subscription.eose(A)
    assert subscription.eose(B)


def test_d4_a_relay_that_is_down_for_longer_delays_nobody() -> None:
    assert opened(A, asked=(B, C)).eose(A)


def test_d4_a_closed_for_good_is_as_good_as_an_eose() -> None:
    subscription = opened(A, B)
    assert subscription.closed(A, "blocked: no") is None
    assert subscription.eose(B)


def test_d4_without_any_answer_the_wait_ends_after_four_seconds() -> None:
    assert due_at(opened(A, B)) == START + 4


def test_d4_with_no_relay_up_it_ends_after_four_seconds_and_not_at_once() -> None:
    assert due_at(opened(asked=(A,))) == START + 4
    assert due_at(opened()) == START + 4


def test_d4_a_first_attempt_that_fails_is_waited_for_no_longer() -> None:
    subscription = opened(A, B)
    subscription.eose(A)
    assert not subscription.has_all
    subscription.relay_changed(B, True, False)
    assert subscription.has_all


def test_d4_first_attempts_that_all_fail_do_not_bring_it_forward() -> None:
    subscription = opened(A, B)
    subscription.relay_changed(A, True, False)
    subscription.relay_changed(B, True, False)
    assert not subscription.has_all
    assert due_at(subscription) == START + 4


def test_d4_a_busy_relay_is_waited_for_until_it_is_quiet_for_a_second() -> None:
    subscription = opened(A, B)
    subscription.received(A, START + 3.5)
    assert due_at(subscription) == START + 4.5
    subscription.received(A, START + 4.4)
    assert due_at(subscription, START + 4.4) == START + 5.4
    assert subscription.deadline(START + 5) == START + 5.4


def test_d4_relay_that_went_quiet_early_does_not_prolong_the_wait() -> None:
    subscription = opened(A, B)
    subscription.received(A, START + 2.9)
    assert due_at(subscription) == START + 4


def test_d4_a_relay_whose_eose_came_does_not_prolong_it() -> None:
    subscription = opened(A, B)
    subscription.received(A, START + 3.9)
    subscription.eose(A)
    assert due_at(subscription) == START + 4


def test_d4_the_wait_ends_after_fifteen_seconds_whoever_is_busy() -> None:
    subscription = opened(A)
    now = START
    for tenth in range(1, 200):
        now = START + tenth / 10
        if subscription.due(now):
            break
        subscription.received(A, now)
    assert now == START + 15


def test_d4_a_relay_lost_lately_is_waited_for_until_its_30_seconds_are_over() -> None:
    subscription = opened(A)
    subscription.asked({B}, {B: START + 2})  # lost 28 seconds ago
    assert not subscription.eose(A)
    assert due_at(subscription) == START + 2


def test_d4_lost_relays_alone_do_not_bring_eose_forward() -> None:
    subscription = opened()
    subscription.asked({B}, {B: START + 2})
    assert due_at(subscription) == START + 4


@pytest.mark.parametrize("looks", [0, 1, 5])
def test_d4_to_ask_for_the_deadline_changes_nothing(looks: int) -> None:
    subscription = opened(A)
    subscription.asked({B}, {B: START + 2})
    subscription.eose(A)
    for _ in range(looks):
        subscription.deadline(START + 3)
    assert subscription.due(START + 3)


def test_d4_once_settled_nothing_is_due_ever_again() -> None:
    subscription = opened(A)
    assert subscription.eose(A)
    subscription.settled = True
    subscription.relay_changed(B, True, True)
    assert not subscription.eose(A)
    assert not subscription.eose(B)
    assert not subscription.due(START + 1000)


def test_timeline_4_relay_that_connects_within_four_seconds_is_waited_for() -> None:
    subscription = opened(A)
    subscription.relay_changed(A, True, True)
    subscription.received(A, START + 3.9)  # it connected
    assert not subscription.due(START + 4)
    subscription.received(A, START + 4.8)
    assert due_at(subscription, START + 4.8) == START + 5.8


def test_d4_a_relay_that_answered_owes_nothing_after_a_reconnect() -> None:
    subscription = opened(A, B)
    subscription.eose(A)
    subscription.relay_changed(A, True, True)
    assert subscription.eose(B)


def test_d4_a_relay_that_is_removed_is_not_waited_for() -> None:
    subscription = opened(A, B)
    subscription.eose(A)
    subscription.relay_changed(B, False, False)
    assert subscription.has_all


def test_d4_the_eose_of_a_removed_relay_is_not_the_one() -> None:
    subscription = opened(A, B)
    subscription.relay_changed(B, False, False)
    assert not subscription.eose(B)
    assert not subscription.has_all
    assert subscription.eose(A)


def test_d4_a_relay_that_was_removed_and_comes_back_owes_again() -> None:
    subscription = opened(A, B)
    subscription.eose(A)
    subscription.relay_changed(A, False, False)
    subscription.relay_changed(A, True, True)
    assert not subscription.eose(B)
    assert subscription.eose(A)


def test_d5_the_client_hears_closed_when_every_asked_relay_closed_it() -> None:
    subscription = opened(A, asked=(B, C))
    assert subscription.closed(A, "error: strange") is None
    assert subscription.closed(B, "restricted: members only") is None
    assert subscription.closed(C, "error: strange") == "restricted: members only"


def test_d5_a_relay_that_joined_has_to_close_it_too() -> None:
    subscription = opened(A)
    subscription.relay_changed(B, True, False)
    assert subscription.closed(A, "blocked: no") is None
    assert subscription.closed(B, "blocked: no") == "blocked: no"


def test_d1_late_closed_of_a_removed_relay_closes_nothing() -> None:
    subscription = opened(A)
    subscription.relay_changed(A, False, False)
    assert subscription.closed(A, "blocked: no") is None
    subscription = opened(A, B)
    assert subscription.closed(A, "blocked: no") is None
    subscription.relay_changed(B, False, False)
    assert subscription.closed(B, "blocked: no") is None
    subscription.relay_changed(C, True, True)
    assert subscription.eose(C)
