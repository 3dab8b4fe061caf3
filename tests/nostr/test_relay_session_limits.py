"""A relay's own limits: parts, shared subscriptions and messages too large (E9, F3)."""

import json
from dataclasses import replace

import pytest

from nostrclient.nostr.relay_session import RelayLimits

from .builders import NOW, StoringRelay, made
from .links import UNPACED, Link
from .relay_requests import closes, reqs

# --- E9: the relay's own limits


def test_e9_max_limit_is_respected() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_limit=100))
    link.subscribe("a", {"limit": 500}, {"limit": 5}, {})
    link.connect()
    assert reqs(link.flush()) == [["a", {"limit": 100}, {"limit": 5}, {}]]


def test_e9_max_filters_is_respected_by_live_filters_windows_and_pages() -> None:
    relay = StoringRelay(most=20)
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_filters=2))
    link.subscribe("a", *({"kinds": [kind]} for kind in (1, 2, 1059)))
    link.connect()
    link.settle()
    link.lose()
    missed = [made(NOW + number, kind) for number in range(50) for kind in (1, 2, 1059)]
    for event in missed:
        relay.store(event)
    link.wait(100)
    link.connect()
    link.settle()
    assert all(len(req) <= 3 for req in reqs(link.sent))
    assert sorted(link.delivered["a"]) == sorted(event.id for event in missed)
    live = [made(NOW, kind) for kind in (1, 2, 1059)]
    link.publish(live)
    assert link.delivered["a"][-3:] == [event.id for event in live]
    assert len(relay.open) == 2


NOSTREAM = RelayLimits(
    max_subscriptions=10, max_filters=10, max_limit=5000, first_limit=5000
)


def test_e4_replay_on_a_relay_with_one_limit_for_all_filters_loses_nothing() -> None:
    relay = StoringRelay(most=5000, nostream=True)
    link = Link(relay)
    link.session.set_limits(NOSTREAM)
    link.subscribe("a", {"kinds": [1]}, {"kinds": [7]})
    link.connect()
    link.settle()
    link.lose()
    missed = [made(NOW + number, kind) for number in range(600) for kind in (1, 7)]
    for event in missed:
        relay.store(event)
    link.wait(100)
    link.connect()
    link.settle()
    assert sorted(link.delivered["a"]) == sorted(event.id for event in missed)


def test_e9_reqs_that_share_are_each_answered_on_a_relay_with_one_limit() -> None:
    stored = [made(NOW - number, number % 40 + 1) for number in range(400)]
    link = Link(StoringRelay(stored, most=5000, nostream=True))
    link.session.set_limits(NOSTREAM)
    for kind in range(1, 41):
        link.subscribe(f"{kind}", {"kinds": [kind], "limit": 3})
    link.connect()
    link.settle()
    assert [len(link.delivered[f"{kind}"]) for kind in range(1, 41)] == [3] * 40


def test_e9_what_was_asked_before_the_one_limit_was_known_is_asked_anew() -> None:
    stored = [made(NOW - number, kind) for number in range(20) for kind in (1, 7)]
    link = Link(StoringRelay(stored, most=5000, nostream=True))
    link.subscribe("a", {"kinds": [1], "limit": 1}, {"kinds": [7], "limit": 20})
    link.subscribe("single", {"kinds": [1], "limit": 5})
    link.connect()
    link.settle()
    assert len(link.delivered["a"]) == 1
    link.session.set_limits(NOSTREAM)
    link.sent.clear()
    link.settle()
    assert len(link.delivered["a"]) == 21
    assert len(reqs(link.sent)) == 1, "what was not cut is not asked again"


@pytest.mark.parametrize("gone_by", ["client", "CLOSED", "too large"])
def test_e9_gap_that_waits_for_room_is_not_sent_once_its_subscription_ended(
    gone_by: str,
) -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=3, max_filters=2))
    link.subscribe("a", {"kinds": [1, 1059]}, {"kinds": [7, 1059]})
    link.connect()
    link.settle()
    link.lose()
    link.wait(100)
    link.connect()
    first = reqs(link.flush())
    assert len(first) == 2, "one live, one gap; the others wait"
    match gone_by:
        case "client":
            link.unsubscribe("a")
        case "CLOSED":
            del link.relay.open[first[0][0]]
            link.session.closed(first[0][0], "rate-limited: wait", link.now)
        case "too large":
            link.session.back_off(first[1][0], link.now)
    assert [wire for wire, *_ in reqs(link.flush())] == []
    assert link.relay.open == {}
    link.answer()  # what the relay sent before our CLOSE


def test_e9_no_req_is_longer_than_max_message_length() -> None:
    authors = [f"{number:064x}" for number in range(300)]
    relay = StoringRelay([made(NOW, pubkey=author) for author in authors])
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_message_length=5000))
    link.subscribe("a", {"authors": authors, "kinds": [1]}, *[{"kinds": [7]}] * 20)
    link.connect()
    link.settle()
    assert max(map(len, link.sent)) <= 5000
    assert len(link.delivered["a"]) == 300
    assert link.finished["a"] == 1


def test_e9_a_filter_no_relay_message_can_hold_is_not_sent() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_message_length=5000))
    link.subscribe("a", {"search": "x" * 6000}, {"kinds": [1]})
    link.connect()
    assert [req[1:] for req in reqs(link.flush())] == [[{"kinds": [1]}]]


def test_e9_above_max_subscriptions_they_share_and_none_starves() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=5))
    for number in range(30):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    assert len(link.relay.open) <= 3
    link.publish(made(NOW, kind) for kind in range(30))
    for number in range(30):
        assert len(link.delivered[f"s{number}"]) == 1
        assert link.finished[f"s{number}"] == 1


def test_e9_limits_that_become_known_later_are_gone_by() -> None:
    link = Link()
    for number in range(30):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    link.session.set_limits(RelayLimits(max_subscriptions=5))
    link.settle()
    assert len(link.relay.open) <= 3
    link.publish(made(NOW, kind) for kind in range(30))
    assert all(len(given) == 1 for given in link.delivered.values())


def refusing(link: Link, word: str) -> list[str]:
    """Have the relay refuse each REQ with this word; gives who is closed for good."""
    closed: list[str] = []
    for _ in range(1000):
        texts = link.flush()
        refused = [req[0] for req in reqs(texts) if word in json.dumps(req[1:])]
        link.answers = [item for item in link.answers if item.wire_id not in refused]
        for wire_id in refused:
            link.relay.open.pop(wire_id, None)
            found = link.session.closed(wire_id, f"unsupported: {word}", link.now)
            closed += found.upstream_ids if found is not None else ()
        if not link.answer() and not texts:
            return closed
    raise AssertionError("they talk for ever")


@pytest.mark.parametrize("most", [3, 5])
def test_e9_a_filter_that_is_refused_closes_none_of_those_that_share(most: int) -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=most))
    for number in range(20):
        link.subscribe(f"s{number}", {"kinds": [number]})
        if number in (0, 7, 19):
            link.subscribe(f"bad{number}", {"search": "x"})
    link.connect()
    assert sorted(refusing(link, "search")) == ["bad0", "bad19", "bad7"]
    assert sum(link.finished.values()) == len(link.finished) == 20
    assert len(link.relay.open) <= most - 2
    link.publish([made(kind=number) for number in range(20)])
    assert all(len(link.delivered[f"s{number}"]) == 1 for number in range(20))
    link.lose()
    link.connect()
    assert refusing(link, "search") == []
    link.subscribe("later", {"kinds": [3]})
    link.subscribe("bad", {"search": "y"})
    assert refusing(link, "search") == ["bad"]
    for name in list(link.requests):
        link.unsubscribe(name)
    link.flush()
    assert link.relay.open == {}
    assert link.session.subscription_count == 0


def test_e9_close_during_the_search_for_a_refused_filter_holds_up_nobody() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=3))
    for name in ("a", "b"):
        link.subscribe(name, {"kinds": [1]})
    link.connect()
    (req,) = reqs(link.flush())
    link.answers.clear()
    link.relay.open.clear()
    assert link.session.closed(req[0], "blocked: too broad", link.now) is None
    link.unsubscribe("a")
    link.settle()
    assert link.finished == {"b": 1}


def test_e9_filter_that_joins_a_shared_req_gets_its_whole_history() -> None:
    history = [made(NOW - 5000 + number, number % 3) for number in range(30)]
    link = Link(StoringRelay(history))
    link.session.set_limits(RelayLimits(max_subscriptions=3))
    for number in range(3):
        link.subscribe(f"s{number}", {"kinds": [number], "limit": 10})
        if number == 0:
            link.connect()
        link.settle()
    assert all(len(given) == 10 for given in link.delivered.values())


def test_d4_eose_of_a_replaced_req_is_not_that_of_its_successor() -> None:
    # Both are on their way: the relay answers the first REQ, then the second one.
    link = Link(StoringRelay([made(NOW, kind) for kind in (1, 2)]))
    link.session.set_limits(RelayLimits(max_subscriptions=1))
    link.connect()
    link.subscribe("a", {"kinds": [1]})
    link.flush()
    link.subscribe("b", {"kinds": [2]})
    link.flush()
    link.answer()
    assert link.finished["b"] == 0
    link.settle()
    assert link.finished == {"a": 1, "b": 1}
    assert len(link.delivered["b"]) == 1


def test_d4_eose_of_a_replaced_req_is_not_that_of_the_second_successor() -> None:
    link = Link(StoringRelay([made(NOW, kind) for kind in (1, 2, 3)]))
    link.session.set_limits(RelayLimits(max_subscriptions=1))
    link.connect()
    for kind, name in enumerate("abc", 1):
        link.subscribe(name, {"kinds": [kind]})
        link.flush()
    link.answer()
    assert not link.finished
    link.settle()
    assert link.finished == {"a": 1, "b": 1, "c": 1}
    assert len(link.delivered["c"]) == 1


def test_e9_events_on_their_way_arrive_while_a_filter_joins_a_shared_req() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=1))
    link.connect()
    link.subscribe("a", {"kinds": [20001]})
    link.flush()
    link.subscribe("b", {"kinds": [2]})
    assert closes(link.flush()) == ["a"]
    on_its_way = made(kind=20001)  # ephemeral: it will not come again
    link.event("a", on_its_way)
    assert link.delivered["a"] == [on_its_way.id]
    link.settle()
    assert (
        link.session.find_subscription("a") is None
    )  # nothing can be on its way any more


def test_e9_events_on_their_way_arrive_while_parts_are_refreshed() -> None:
    relay = StoringRelay()
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_filters=1))
    link.subscribe("a", {"kinds": [20001]}, {"kinds": [20002]})
    link.connect()
    link.settle()
    first, second = relay.open
    link.wait(400)
    assert len(reqs(link.flush())) == 4
    on_their_way = [made(kind=20001), made(kind=20002)]
    link.event(first, on_their_way[0])
    link.event(second, on_their_way[1])
    assert link.delivered["a"] == [event.id for event in on_their_way]


def test_d8_a_relay_that_never_answers_is_not_listened_to_without_bound() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=1))
    link.connect()
    link.subscribe("a", {"kinds": [1]})
    names = ["a"]
    for _ in range(1000):
        link.subscribe("b", {"kinds": [2]})
        names += [req[0] for req in reqs(link.flush())]
    known = [name for name in names if link.session.find_subscription(name)]
    assert len(known) <= 101
    link.unsubscribe("a")
    link.unsubscribe("b")
    assert not any(map(link.session.find_subscription, names))


def test_b4_last_close_of_a_shared_req_closes_it_on_the_relay() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=1))
    link.subscribe("a", {"kinds": [1]})
    link.subscribe("b", {"kinds": [2]})
    link.connect()
    link.settle()
    link.unsubscribe("a")
    link.settle()
    assert link.finished["b"] == 1
    assert link.relay.store(made(kind=1)) == []
    assert len(link.relay.store(made(kind=2))) == 1


def test_f3_a_message_too_large_makes_only_its_subscription_back_off() -> None:
    link = Link()
    link.subscribe("a", {"kinds": [1]})
    link.subscribe("b", {"kinds": [2]})
    link.connect()
    link.settle()
    link.session.back_off("a", link.now)
    link.session.back_off("unknown", link.now)
    assert closes(link.flush()) == ["a"]
    link.wait(4)
    assert link.flush() == []
    link.wait(2)
    assert [req[0] for req in reqs(link.flush())] == ["a"]


def test_f3_one_that_backs_off_is_not_asked_again_before_its_time() -> None:
    slow = replace(UNPACED, refreshes_per_second=0.1, burst_refreshes=1)
    link = Link(settings=replace(slow, subscription_retry_seconds=100))
    for name in ("a", "b"):
        link.subscribe(name, {})
    link.connect()
    link.settle()
    link.wait(330)
    assert [req[0] for req in reqs(link.flush())] == ["a"]  # b has to wait its turn
    link.settle()
    link.session.back_off("b", link.now)
    assert closes(link.flush()) == ["b"]
    sent = [(after, json.loads(text)[:2]) for after, text in link.sleep(101)]
    assert sent == [(100, ["REQ", "b"])]


def test_e9_too_many_filters_in_a_shared_req_are_learned() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=4, max_filters=2500))
    for kind in range(24):
        link.subscribe(f"{kind}", {"kinds": [kind]})
    link.connect()
    first, other = reqs(link.flush())
    assert len(first) == len(other) == 1 + 12
    link.session.closed(first[0], "ERROR: bad req: arr too big", link.now)
    assert link.session.learned_limits.max_filters == 6
    assert all(len(req) <= 1 + 6 for req in reqs(link.flush()))
