"""One upstream subscription on one relay: what it is asked, and when it is answered."""

from typing import Any

from nostrclient.nostr.relay_subscription import (
    RelaySubscription,
    RelaySubscriptionState,
    Request,
    RequestQueue,
)
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, filters, made

START = 1000.0


def ask_for(**members: list[dict[str, Any]]) -> RelaySubscription:
    """Give a subscription with these members, by name their filters."""
    ask = RelaySubscription("wire", DEFAULTS)
    for name, wanted in members.items():
        ask.members[name] = Request(name, filters(*wanted), NOW, lambda _: False)
    return ask


def texts(
    ask: RelaySubscription, seconds_later: float = 0
) -> tuple[list[Any], list[Any]]:
    live, gap = ask.filters(START + seconds_later, NOW + seconds_later)
    return [item.json for item in live], [item.json for item in gap]


def test_e4_until_its_first_eose_it_is_asked_as_the_client_asked() -> None:
    ask = ask_for(a=[{"kinds": [1], "limit": 9}], b=[{"since": 5}])
    expected: tuple[list[Any], list[Any]] = (
        [{"kinds": [1], "limit": 9}, {"since": 5}],
        [],
    )
    assert texts(ask) == expected
    assert texts(ask, 1000) == expected


def test_e4_after_it_live_filters_and_windows_and_only_for_who_was_answered() -> None:
    ask = ask_for(a=[{"kinds": [1], "limit": 9}])
    assert list(ask.complete(START, NOW)) == ["a"]
    ask.members["b"] = Request("b", filters({"kinds": [7]}), NOW, lambda _: False)
    assert texts(ask, 600) == (
        [{"kinds": [1], "limit": 1}, {"kinds": [7]}],
        [{"kinds": [1], "since": NOW - 300}],
    )
    assert list(ask.complete(START + 600, NOW + 600)) == ["b"]
    assert list(ask.complete(START + 700, NOW + 700)) == []


def test_e4_live_events_confirm_it_and_stored_ones_do_not() -> None:
    ask = ask_for(a=[{"kinds": [1]}])
    ask.state = RelaySubscriptionState.SENT
    ask.event(made(), START + 50, NOW + 50)
    assert ask.confirmation is None
    ask.complete(START + 60, NOW + 60)
    ask.event(made(), START + 100, NOW + 100)
    assert texts(ask, 200)[1] == [{"kinds": [1], "since": NOW + 100 - 300}]
    assert ask.heard_at == START + 100


def test_e5_a_refresh_spares_the_two_days_where_1059_is_not_named() -> None:
    ask = ask_for(a=[{"#t": ["x"]}])
    ask.complete(START, NOW)
    assert len(texts(ask)[1]) == 2
    ask.refreshing = True
    assert len(texts(ask)[1]) == 1


def test_e4_only_what_is_asked_for_whole_is_completed() -> None:
    ask = ask_for(a=[{"kinds": [1]}, {"limit": 500, "since": 5}])
    live, gap = ask.filters(START, NOW)
    assert ask.to_complete(live, gap, 10) is None
    ask = ask_for(a=[{"kinds": [1], "since": 5}])
    live, gap = ask.filters(START, NOW)
    assert ask.to_complete(live, gap, 10) is not None
    ask.complete(START, NOW)
    live, gap = ask.filters(START, NOW)
    assert ask.to_complete(live, gap, 10) is not None


def test_e4_a_page_is_only_told_of_what_comes_on_its_own_wire() -> None:
    ask = ask_for(a=[{"since": NOW}])
    ask.state = RelaySubscriptionState.SENT
    fetch = ask.fetch = ask.to_complete(*ask.filters(START, NOW), 10)
    assert fetch is not None
    for number in range(10):
        ask.event(made(NOW + 100 + number), START, NOW)
    assert fetch.next_page() is not None
    ask.page_wire, ask.heard_on = "wire-1", "wire"
    for _ in range(20):
        ask.event(made(NOW + 1), START, NOW)
    assert fetch.next_page() is None


def test_b2_ids_of_parts_are_unique_and_short_enough() -> None:
    ask = RelaySubscription("f" * 32, DEFAULTS)
    parts = [ask.extra_wire_id() for _ in range(1000)]
    assert len({*parts, ask.wire_id}) == 1001
    assert max(map(len, parts)) <= 64


def test_f2_private_ones_come_first_and_each_keeps_its_place() -> None:
    queue = RequestQueue()
    asks = {name: RelaySubscription(name, DEFAULTS) for name in "abcd"}
    for name, ask in asks.items():
        ask.members[name] = Request(name, (), NOW, lambda _: False, name in "ac")
    for ask in (*asks.values(), asks["a"]):
        queue.add(ask)
    assert len(queue) == 4
    make_public(asks["b"])  # its private members have left
    make_public(asks["c"], False)  # a private one has joined
    for name in ("b", "c"):
        queue.add(asks[name])
    assert len(queue) == 4
    queue.discard(asks["a"])
    assert [ask in queue for ask in asks.values()] == [False, True, True, True]
    assert [queue.pop() for _ in range(3)] == [asks[name] for name in ("d", "c", "b")]
    assert len(queue) == 0
    for ask in asks.values():
        queue.add(ask)
    queue.clear()
    assert len(queue) == 0


def make_public(ask: RelaySubscription, is_public: bool = True) -> None:
    for name, request in ask.members.items():
        ask.members[name] = request._replace(is_public=is_public)
