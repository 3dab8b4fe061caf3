"""What a relay is asked again, and when its silence counts."""

from nostrclient.nostr.heartbeat import Heartbeat
from nostrclient.nostr.relay_subscription import (
    Part,
    RelaySubscription,
    RelaySubscriptionState,
    Request,
)
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW

START = 10_000.0


def live(name: str, received_at: float) -> RelaySubscription:
    subscription = RelaySubscription(name, DEFAULTS)
    subscription.add(Part(Request(name, (), NOW, lambda _: False), ()))
    subscription.move(RelaySubscriptionState.SENT)
    subscription.move(RelaySubscriptionState.LIVE)
    subscription.received_at = received_at
    return subscription


def test_e5_silent_subscriptions_are_queued_and_others_are_not() -> None:
    heartbeat = Heartbeat(DEFAULTS)
    silent, active = live("a", START - DEFAULTS.refresh_seconds), live("b", START - 1)
    assert heartbeat.overdue([silent, active], START) == []
    assert heartbeat.take_refreshes(START) == [silent]
    assert heartbeat.take_refreshes(START) == []


def test_e3b_every_due_time_is_met() -> None:
    heartbeat = Heartbeat(DEFAULTS)
    waiting = live("a", START)
    waiting.due = START + 7
    assert heartbeat.overdue([waiting], START) == []
    assert heartbeat.deadline(START, any_open=True) == START + 7
    assert heartbeat.overdue([waiting], START + 7) == [waiting]
    waiting.due = START + 9
    heartbeat.watch(START + 9)
    assert heartbeat.deadline(START + 7, any_open=True) == START + 9


def test_e9_subscriptions_without_a_place_are_polled() -> None:
    heartbeat = Heartbeat(DEFAULTS)
    polled = live("a", START)
    polled.is_polled, polled.sent_at = True, START
    heartbeat.overdue([polled], START)
    assert heartbeat.deadline(START, any_open=True) == START + DEFAULTS.poll_seconds
    heartbeat.overdue([polled], START + DEFAULTS.poll_seconds)
    assert heartbeat.take_refreshes(START + DEFAULTS.poll_seconds) == [polled]


def test_e5_probe_is_unanswered_after_its_time_and_lost_with_the_connection() -> None:
    heartbeat = Heartbeat(DEFAULTS)
    heartbeat.probe("p", START, decides=True)
    assert not heartbeat.is_unanswered(START + DEFAULTS.probe_seconds - 0.1)
    assert heartbeat.is_unanswered(START + DEFAULTS.probe_seconds)
    assert heartbeat.deadline(START, any_open=False) == START + DEFAULTS.probe_seconds
    heartbeat.lose()
    assert not heartbeat.is_unanswered(START + 1000)
    assert heartbeat.deadline(START, any_open=False) is None
