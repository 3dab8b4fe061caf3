"""Announced and learned limits: the smaller one counts, and learning only shrinks."""

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.limits import (
    MIN_MESSAGE_LENGTH,
    EventLimits,
    Limits,
    RelayLimits,
)
from nostrclient.nostr.message import is_final, prefix

from .builders import NOW, made, signed


def test_e9_smaller_of_an_announced_and_a_learned_limit_counts() -> None:
    limits = Limits().announce(RelayLimits(max_subscriptions=20, max_filters=10))
    assert limits.effective == RelayLimits(max_subscriptions=20, max_filters=10)
    limits = limits.learn(subscriptions=12, filters=50, message_length=100_000)
    assert limits.effective == RelayLimits(100_000, 12, 10, None)


def test_e9_learned_limits_only_shrink_and_are_forgotten_together() -> None:
    limits = Limits().learn(subscriptions=12).learn(subscriptions=30)
    assert limits.effective.max_subscriptions == 12
    assert limits.learn(subscriptions=8).effective.max_subscriptions == 8
    assert limits.forget_learned() == Limits()


def test_e9_absurdly_short_messages_are_not_believed() -> None:
    assert Limits().learn(message_length=1).learned.max_message_length == (
        MIN_MESSAGE_LENGTH
    )


ANY = EventLimits()
WALL = float(NOW)


@pytest.mark.parametrize(
    ("limits", "event", "prefix_of_refusal"),
    [
        (ANY, made(0), None),
        (EventLimits(created_at_lower_limit=1000), made(NOW - 1000), None),
        (EventLimits(created_at_lower_limit=1000), made(NOW - 1050), None),
        (EventLimits(created_at_lower_limit=1000), made(NOW - 1100), "invalid"),
        (EventLimits(created_at_upper_limit=900), made(NOW + 950), None),
        (EventLimits(created_at_upper_limit=900), made(NOW + 1000), "invalid"),
        (EventLimits(max_event_tags=2), made(tags=[["t", "a"]] * 2), None),
        (EventLimits(max_event_tags=2), made(tags=[["t", "a"]] * 3), "invalid"),
        (EventLimits(max_content_length=100), signed("ü" * 100), None),
        (EventLimits(max_content_length=100), signed("x" * 101), "invalid"),
        (EventLimits(min_pow_difficulty=8), made(event_id="00" + "8" * 62), None),
        (EventLimits(min_pow_difficulty=8), made(event_id="01" + "0" * 62), "pow"),
    ],
)
def test_e9_event_that_a_relay_must_refuse_is_known_by_what_it_announces(
    limits: EventLimits, event: SignedEvent, prefix_of_refusal: str | None
) -> None:
    reason = limits.refusal(event, WALL)
    assert (None if reason is None else prefix(reason)) == prefix_of_refusal
    if reason is not None:
        assert is_final(reason)
