"""Announced and learned limits: the smaller one counts, and learning only shrinks."""

from nostrclient.nostr.limits import MIN_MESSAGE_LENGTH, Limits, RelayLimits


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
