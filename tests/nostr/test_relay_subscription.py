"""One upstream subscription on one relay: what it is asked, and when it is answered."""

from typing import Any

from nostrclient.nostr.relay_subscription import (
    Part,
    RelaySubscription,
    RelaySubscriptionState,
    Request,
    RequestQueue,
)
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, filters, made

START = 1000.0


def subscription_for(**members: list[dict[str, Any]]) -> RelaySubscription:
    """Return a subscription that serves these REQs, by name their filters."""
    subscription = RelaySubscription("wire", DEFAULTS)
    for name, wanted in members.items():
        subscription.add(part_of(name, *wanted))
    subscription.move(RelaySubscriptionState.SENT)
    return subscription


def part_of(name: str, *wanted: dict[str, Any], is_public: bool = False) -> Part:
    request = Request(name, filters(*wanted), NOW, lambda _: False, is_public)
    return Part(request, request.filters)


def complete(subscription: RelaySubscription, seconds_later: float = 0) -> list[str]:
    """Complete an answer; return the REQs for which it was the first one."""
    if subscription.state is RelaySubscriptionState.LIVE:
        subscription.move(RelaySubscriptionState.SENT)
    new = subscription.complete(START + seconds_later, NOW + seconds_later)
    return [part.request.upstream_id for part in new]


def texts(
    subscription: RelaySubscription, seconds_later: float = 0
) -> tuple[list[Any], list[Any]]:
    live, gap = subscription.filters(START + seconds_later, NOW + seconds_later)
    return [item.json for item in live], [item.json for item in gap]


def test_e4_until_its_first_eose_it_is_asked_as_the_client_asked() -> None:
    subscription = subscription_for(a=[{"kinds": [1], "limit": 9}], b=[{"since": 5}])
    live = [{"kinds": [1], "limit": 9}, {"since": 5}]
    assert texts(subscription) == (live, [])


def test_d4b_limit_gets_the_window_since_the_req_on_a_late_relay() -> None:
    subscription = subscription_for(a=[{"kinds": [1], "limit": 9}, {"since": 5}])
    live = [{"kinds": [1], "limit": 9}, {"since": 5}]
    assert texts(subscription, 1000) == (live, [{"kinds": [1], "since": NOW - 300}])


def test_e4_limit_0_is_asked_for_one_event_and_a_window_from_the_first_req_on() -> None:
    subscription = subscription_for(a=[{"kinds": [1], "limit": 0}])
    window = {"kinds": [1], "since": NOW - 300}
    assert texts(subscription) == ([{"kinds": [1], "limit": 1}], [window])


def test_e4_limit_0_keeps_stored_events_from_before_the_req_back() -> None:
    subscription = subscription_for(a=[{"limit": 0}], b=[{"limit": 5}])
    before, after = made(NOW - 1), made(NOW)
    assert subscription.live_only
    assert subscription.history_of(before, 300) == {"a"}
    assert subscription.history_of(after, 300) == set()
    complete(subscription)
    assert subscription.history_of(before, 300) == set(), "live"
    subscription.move(RelaySubscriptionState.SENT)
    assert subscription.history_of(before, 300) == set(), "published late"
    assert subscription.history_of(made(NOW - 301), 300) == {"a"}


def test_e4_after_it_live_filters_and_windows_and_only_for_who_was_answered() -> None:
    subscription = subscription_for(a=[{"kinds": [1], "limit": 9}])
    assert complete(subscription) == ["a"]
    subscription.add(part_of("b", {"kinds": [7]}))
    assert texts(subscription, 600) == (
        [{"kinds": [1], "limit": 1}, {"kinds": [7]}],
        [{"kinds": [1], "since": NOW - 300}],
    )
    assert complete(subscription, 600) == ["b"]
    assert complete(subscription, 700) == []


def test_e4_live_events_confirm_it_and_stored_ones_do_not() -> None:
    subscription = subscription_for(a=[{"kinds": [1]}])
    subscription.event(made(), START + 50, NOW + 50)
    assert subscription.confirmation is None
    complete(subscription, 60)
    subscription.event(made(), START + 100, NOW + 100)
    assert texts(subscription, 200)[1] == [{"kinds": [1], "since": NOW + 100 - 300}]
    assert subscription.received_at == START + 100


def test_e5_a_refresh_spares_the_two_days_where_1059_is_not_named() -> None:
    subscription = subscription_for(a=[{"#t": ["x"]}])
    complete(subscription)
    assert len(texts(subscription)[1]) == 2
    subscription.refreshing = True
    assert len(texts(subscription)[1]) == 1


def test_e4_only_what_is_asked_for_whole_is_completed() -> None:
    subscription = subscription_for(a=[{"kinds": [1]}, {"limit": 500, "since": 5}])
    live, gap = subscription.filters(START, NOW)
    assert subscription.to_complete(live, gap, 10) is None
    subscription = subscription_for(a=[{"kinds": [1], "since": 5}])
    live, gap = subscription.filters(START, NOW)
    assert subscription.to_complete(live, gap, 10) is not None
    complete(subscription)
    live, gap = subscription.filters(START, NOW)
    assert subscription.to_complete(live, gap, 10) is not None


def test_e4_a_page_is_only_told_of_what_comes_on_its_own_wire() -> None:
    subscription = subscription_for(a=[{"since": NOW}])
    fetch = subscription.fetch = subscription.to_complete(
        *subscription.filters(START, NOW), 10
    )
    assert fetch is not None
    for number in range(10):
        subscription.event(made(NOW + 100 + number), START, NOW)
    assert fetch.next_page() is not None
    subscription.page_wire, subscription.received_on = "wire-1", "wire"
    for _ in range(20):
        subscription.event(made(NOW + 1), START, NOW)
    assert fetch.next_page() is None


def test_b2_ids_of_parts_are_unique_and_short_enough() -> None:
    subscription = RelaySubscription("f" * 32, DEFAULTS)
    parts = [subscription.extra_wire_id() for _ in range(1000)]
    assert len({*parts, subscription.key}) == 1001
    assert max(map(len, parts)) <= 64


def test_f2_private_ones_come_first_and_each_keeps_its_place() -> None:
    queue = RequestQueue()
    subscriptions = {name: RelaySubscription(name, DEFAULTS) for name in "abcd"}
    for name, subscription in subscriptions.items():
        subscription.add(part_of(name, {}, is_public=name in "ac"))
    for subscription in (*subscriptions.values(), subscriptions["a"]):
        queue.add(subscription)
    assert len(queue) == 4
    make_public(subscriptions["b"])  # its private members have left
    make_public(subscriptions["c"], False)  # a private one has joined
    for name in ("b", "c"):
        queue.add(subscriptions[name])
    assert len(queue) == 4
    queue.discard(subscriptions["a"])
    assert [subscription in queue for subscription in subscriptions.values()] == [
        False,
        True,
        True,
        True,
    ]
    assert [queue.pop() for _ in range(3)] == [
        subscriptions[name] for name in ("d", "c", "b")
    ]
    assert len(queue) == 0
    for subscription in subscriptions.values():
        queue.add(subscription)
    queue.clear()
    assert len(queue) == 0


def make_public(subscription: RelaySubscription, is_public: bool = True) -> None:
    for part in subscription.parts:
        part.request = part.request._replace(is_public=is_public)
