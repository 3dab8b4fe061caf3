"""One relay's side: what it is asked, and again when events may have passed by."""

import json
from dataclasses import replace
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.relay_session import ClosedForGood, RelayLimits
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS

from .builders import ALICE, BOB, NOW, StoringRelay, made
from .links import UNPACED, Link


def reqs(texts: list[str]) -> list[list[Any]]:
    """Give the REQs among texts, each without its verb."""
    return [message[1:] for message in map(json.loads, texts) if message[0] == "REQ"]


def closes(texts: list[str]) -> list[str]:
    return [message[1] for message in map(json.loads, texts) if message[0] == "CLOSE"]


def suspected(link: Link) -> bool:
    return link.session.suspect is not None


def opened(*wanted: dict[str, Any], relay: StoringRelay | None = None) -> Link:
    """Give a link with one subscription that had its first EOSE."""
    link = Link(relay)
    link.subscribe("a", *(wanted or ({},)))
    link.connect()
    link.settle()
    assert link.finished["a"] == 1
    return link


# --- subscriptions come and go


def test_d1_a_subscription_is_sent_when_connected_and_later_when_not() -> None:
    link = Link()
    link.subscribe("a", {"kinds": [1]})
    assert link.flush() == []
    link.connect()
    link.subscribe("b", {"kinds": [2]}, {"search": "x"})
    assert reqs(link.flush()) == [
        ["a", {"kinds": [1]}],
        ["b", {"kinds": [2]}, {"search": "x"}],
    ]


def test_f2_private_clients_do_not_queue_behind_thousands_of_public_ones() -> None:
    link = Link(settings=DEFAULTS)
    for number in range(5000):
        link.subscribe(f"public{number}", {"kinds": [number]}, is_public=True)
    link.subscribe("private", {"kinds": [1]})
    link.connect()
    sent = [req[0] for req in reqs(link.flush())]
    assert sent[0] == "private"
    assert len(sent) == DEFAULTS.burst_requests
    link.subscribe("another", {"kinds": [2]})
    link.wait(1)
    link.session.tick(link.now, link.wall)
    assert reqs(link.flush())[0][0] == "another"


def test_b5_a_count_that_a_relay_does_not_take_is_not_sent_to_it() -> None:
    link = opened()
    link.session.set_limits(RelayLimits(max_message_length=5000, max_filters=2))
    assert not link.session.count("c", [{"#t": ["x" * 5000]}], link.now)
    assert not link.session.count("c", [{}, {}, {}], link.now)
    assert link.flush() == []
    assert link.session.count("c", [{"#t": ["x" * 4000]}, {}], link.now)
    assert json.loads(link.flush()[0])[:2] == ["COUNT", "c"]


def test_b5_counts_reach_a_relay_at_a_pace_of_their_own() -> None:
    link = opened()
    sent = [link.session.count("c", [{}], link.now) for _ in range(1000)]
    assert sum(sent) == DEFAULTS.burst_counts
    link.wait(1)
    sent = [link.session.count("c", [{}], link.now) for _ in range(1000)]
    assert sum(sent) == DEFAULTS.counts_per_second
    link.flush()
    link.subscribe("s", {"kinds": [1]})
    link.session.tick(link.now, link.wall)
    assert reqs(link.flush()) != []


def test_b4_a_closed_subscription_is_closed_on_the_relay_and_forgotten() -> None:
    link = opened()
    link.unsubscribe("a")
    assert closes(link.flush()) == ["a"]
    assert link.relay.open == {}
    assert link.session.subscription_count == 0
    assert link.session.find_subscription("a") is None
    link.lose()
    link.connect()
    assert link.flush() == []
    assert link.session.deadline(link.now) is None


def test_b4_what_was_never_sent_needs_no_close() -> None:
    link = Link()
    link.connect()
    link.subscribe("a", {})
    link.unsubscribe("a")
    assert link.flush() == []


def test_b4_nothing_is_said_to_a_relay_that_is_gone() -> None:
    link = opened()
    link.lose()
    link.subscribe("b", {})
    link.unsubscribe("a")
    link.wait(1000)
    assert link.flush() == []
    assert link.session.deadline(link.now) is None


def test_e6_each_connection_begins_with_a_full_burst() -> None:
    link = Link(settings=DEFAULTS)
    for number in range(2 * DEFAULTS.burst_requests):
        link.subscribe(f"s{number}", {"kinds": [number]})
    for _ in range(3):
        link.connect()
        assert len(reqs(link.flush())) == DEFAULTS.burst_requests
        link.lose()


def test_b3_subscribing_again_under_the_same_id_replaces() -> None:
    link = opened({"kinds": [1]})
    link.subscribe("a", {"kinds": [2]})
    assert closes(link.sent) == []
    link.settle()
    assert link.finished["a"] == 2
    (open_filters,) = link.relay.open.values()
    assert [filter_.json for filter_ in open_filters] == [{"kinds": [2]}]


def test_b4_pages_and_parts_are_closed_with_their_subscription() -> None:
    relay = StoringRelay((made(NOW - number) for number in range(100)), most=20)
    link = Link(relay)
    link.subscribe("a", {"since": NOW - 1000})
    link.connect()
    link.flush()
    link.answer()
    link.flush()
    assert len(link.relay.open) == 2
    link.unsubscribe("a")
    link.flush()
    assert link.relay.open == {}


# --- D4: the first EOSE


def test_d4_the_first_eose_counts_and_those_of_replays_do_not() -> None:
    link = opened()
    for _ in range(3):
        link.lose()
        link.wait(100)
        link.connect()
        link.settle()
    assert link.finished["a"] == 1


def test_d4_a_connection_lost_before_the_eose_leaves_it_owed() -> None:
    link = Link()
    link.subscribe("a", {"limit": 5})
    link.connect()
    link.flush()
    link.lose()
    link.connect()
    assert reqs(link.flush()) == [["a", {"limit": 5}]]
    link.settle()
    assert link.finished["a"] == 1


def test_d4_the_eose_waits_for_all_pages() -> None:
    relay = StoringRelay((made(NOW - number) for number in range(50)), most=20)
    link = Link(relay)
    link.subscribe("a", {"since": NOW - 1000})
    link.connect()
    while link.flush() or link.answers:
        assert link.finished["a"] == 0 or not link.answers
        link.answer()
    assert link.finished["a"] == 1
    assert len(link.delivered["a"]) == 50


def test_e9_the_eose_waits_for_all_parts_of_a_req() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_filters=2))
    link.subscribe("a", {"kinds": [1]}, {"kinds": [2]}, {"kinds": [3]})
    link.connect()
    assert [len(parts) for parts in reqs(link.flush())] == [3, 2]
    link.answer()
    assert link.finished["a"] == 0
    link.answer()
    assert link.finished["a"] == 1


# --- D5: the relay closes


def test_d5_a_final_closed_is_final_and_not_asked_again() -> None:
    link = opened()
    closed = link.session.closed("a", "restricted: members only", link.now)
    assert closed == ClosedForGood(("a",), "restricted: members only")
    for _ in range(10):
        link.wait(100)
        assert link.flush() == []
    link.lose()
    link.connect()
    assert link.flush() == []


@pytest.mark.parametrize("reason", ["error: busy", "rate-limited: slow", "", "what"])
def test_d5_a_transient_closed_is_retried_with_backoff(reason: str) -> None:
    link = opened()
    waits = []
    for _ in range(8):
        assert link.session.closed("a", reason, link.now) is None
        closed_at = link.now
        while not reqs(link.flush()):
            due = link.session.deadline(link.now)
            assert due is not None
            assert due > link.now
            link.wait(due - link.now)
        waits.append(link.now - closed_at)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_d5_each_is_retried_in_its_own_time() -> None:
    link = Link()
    for name in ("a", "b", "c"):
        link.subscribe(name, {})
    link.connect()
    link.settle()
    waits = {"a": [5, 10, 20, 40], "b": [5, 10, 20], "c": [5, 10]}
    for name, seconds in waits.items():
        for wait in seconds:
            link.session.closed(name, "error: busy", link.now)
            assert [after for after, _ in link.sleep(wait)] == [wait]
        link.eose(name)
    for name in waits:
        link.session.closed(name, "error: busy", link.now)
        link.wait(1)
    for after, name in ((20 - 1, "c"), (40 - 21, "b"), (80 - 41, "a")):
        sent = [(at, json.loads(text)[1]) for at, text in link.sleep(after)]
        assert sent == [(after, name)]
        link.eose(name)


def test_d5_a_minute_of_good_service_ends_the_backoff() -> None:
    link = opened()
    for _ in range(3):
        link.session.closed("a", "error: busy", link.now)
        link.wait(30)
        link.flush()
    link.settle()
    link.wait(DEFAULTS.reconnect_forget_seconds)
    link.session.closed("a", "error: busy", link.now)
    link.wait(5)
    assert reqs(link.flush())


def test_d5_backoff_grows_where_closed_follows_each_eose() -> None:
    link = opened()
    sent_at: list[float] = []
    for _ in range(6):
        link.session.closed("a", "error: idle subscription", link.now)
        began = link.now
        while not reqs(link.flush()):
            link.wait(1)
        sent_at.append(link.now - began)
        link.settle()
    assert sent_at == [5, 10, 20, 40, 80, 160]


def test_d5_what_is_not_ours_or_no_longer_open_is_no_matter() -> None:
    link = opened()
    assert link.session.closed("x", "blocked: no", link.now) is None
    link.unsubscribe("a")
    assert link.session.closed("a", "blocked: no", link.now) is None
    assert list(link.session.eose("a", link.now, link.wall)) == []


def paging() -> tuple[Link, str]:
    """Give a link whose relay was just asked for a page, and its wire id."""
    relay = StoringRelay((made(NOW - number) for number in range(50)), most=20)
    link = Link(relay)
    link.subscribe("a", {"since": NOW - 1000})
    link.connect()
    link.flush()
    link.answer()
    (page,) = reqs(link.flush())
    link.answers.clear()
    return link, page[0]


def test_d5_a_refused_page_does_not_end_the_subscription() -> None:
    link, page = paging()
    reason = "blocked: too many subscriptions"
    assert link.session.closed(page, reason, link.now) is None
    link.wait(10)
    link.settle()
    assert len(link.delivered["a"]) == 50


def test_d5_a_refused_page_leaves_the_subscription_open() -> None:
    link, page = paging()
    del link.relay.open[page]
    link.session.closed(page, "error: too many subscriptions", link.now)
    link.flush()
    live = made(NOW, kind=20001)  # ephemeral: not to be fetched later
    link.publish([live])
    assert link.delivered["a"][-1] == live.id


def test_d5_closed_for_good_while_a_refresh_is_due_stays_closed() -> None:
    link = Link(settings=replace(UNPACED, refreshes_per_second=0.01, burst_refreshes=1))
    for name in ("a", "b"):
        link.subscribe(name, {})
    link.connect()
    link.settle()
    link.wait(330)
    assert [req[0] for req in reqs(link.flush())] == ["a"]  # b has to wait its turn
    assert link.session.closed("b", "blocked: no", link.now) is not None
    link.answers.clear()
    link.wait(100)
    assert [req[0] for req in reqs(link.flush())] == ["probe1"]


def test_f5_auth_required_is_asked_again_once_authenticated_and_once_only() -> None:
    link = Link()
    link.session.can_authenticate = True
    link.subscribe("a", {})
    link.connect()
    link.flush()
    assert link.session.closed("a", "auth-required: who?", link.now) is None
    link.wait(DEFAULTS.auth_seconds - 1)
    assert link.flush() == []
    link.session.authenticated(link.now, link.wall)
    assert [req[0] for req in reqs(link.flush())] == ["a"]
    closed = link.session.closed("a", "auth-required: not you", link.now)
    assert closed == ClosedForGood(("a",), "auth-required: not you")


def test_f5_what_was_asked_before_auth_and_refused_after_it_is_asked_once_more() -> (
    None
):
    link = Link()
    link.session.can_authenticate = True
    for name in ("a", "b"):
        link.subscribe(name, {})
    link.connect()
    link.flush()
    link.session.closed("a", "auth-required: who?", link.now)
    link.session.authenticated(link.now, link.wall)
    assert link.session.closed("b", "auth-required: who?", link.now) is None
    assert sorted(req[0] for req in reqs(link.flush())) == [
        "a",
        "b-1",
    ]
    for name in ("a", "b-1"):
        assert link.session.closed(name, "auth-required: not you", link.now)


def test_f5_auth_refused_closes_what_waits_for_it_and_what_comes_later() -> None:
    link = Link()
    link.session.can_authenticate = True
    for name in ("a", "b", "c"):
        link.subscribe(name, {})
    link.connect()
    link.flush()
    for name in ("a", "b"):
        assert link.session.closed(name, "auth-required: who?", link.now) is None
    closed = link.session.cannot_authenticate()
    assert closed is not None
    assert closed.upstream_ids == ("a", "b")
    assert closed.message.startswith("auth-required:")
    assert link.session.cannot_authenticate() is None
    late = link.session.closed("c", "auth-required: who?", link.now)
    assert late == ClosedForGood(("c",), "auth-required: who?")
    assert link.sleep(1000) == []


def test_f5_auth_refused_where_nothing_waits_for_it_closes_nothing() -> None:
    assert opened().session.cannot_authenticate() is None


def test_f5_each_connection_has_its_own_chance_to_authenticate() -> None:
    link = Link()
    link.session.can_authenticate = True
    link.subscribe("a", {})
    for _ in range(3):
        link.connect()
        assert [req[0] for req in reqs(link.flush())] == ["a"]
        assert link.session.closed("a", "auth-required: who?", link.now) is None
        link.lose()


def test_f5_without_a_key_auth_required_is_final() -> None:
    link = opened()
    assert link.session.closed("a", "auth-required: who?", link.now) is not None


def test_f5_relay_that_refuses_everything_after_auth_is_asked_little() -> None:
    link = Link()
    link.session.can_authenticate = True
    for number in range(17):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.session.try_out(link.now)
    link.connect()
    link.session.authenticated(link.now, link.wall)
    for _ in range(80):
        for wire_id, *_ in reqs(link.flush()):
            link.session.closed(wire_id, "auth-required: who?", link.now)
        link.wait(0.1)
    assert 1 < len(reqs(link.sent)) <= 8


def test_f5_first_answer_lets_all_others_out() -> None:
    link = Link()
    for number in range(17):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.session.try_out(link.now)
    link.connect()
    assert len(reqs(link.flush())) == 2
    link.answer()
    assert len(reqs(link.flush())) == 15


# --- E4: replay


def test_e4_a_replay_is_one_req_of_live_filters_and_windows() -> None:
    link = opened({"kinds": [1]}, {"kinds": [1059], "since": 5})
    confirmed = int(link.wall)
    link.lose()
    link.wait(600)
    link.connect()
    assert reqs(link.flush()) == [
        [
            "a",
            {"kinds": [1], "limit": 1},
            {"kinds": [1059], "since": 5, "limit": 1},
            {"kinds": [1], "since": confirmed - 300},
            {"kinds": [1059], "since": confirmed - 300 - 2 * DAY_SECONDS},
        ]
    ]


def test_e4_every_live_event_moves_the_confirmation_stored_ones_do_not() -> None:
    link = opened({"kinds": [1]})
    link.wait(1000)
    link.publish([made(int(link.wall))])
    confirmed = int(link.wall)
    link.lose()
    link.wait(50)
    link.connect()
    expected = [
        ["a", {"kinds": [1], "limit": 1}, {"kinds": [1], "since": confirmed - 300}]
    ]
    assert reqs(link.flush()) == expected
    link.event("a", made(int(link.wall)))  # stored events of the unfinished replay
    link.lose()
    link.wait(1000)
    link.connect()
    assert reqs(link.flush()) == expected


@pytest.mark.parametrize("step", [-86_400, 86_400])
def test_e4_a_stepping_clock_opens_no_gap(step: float) -> None:
    link = opened({"kinds": [1]})
    before = link.wall
    link.lose()
    link.wait(600)
    link.wall += step
    link.connect()
    ((_, _, window),) = reqs(link.flush())
    assert window["since"] == int(min(before, before + step)) - 300


def test_e4_what_can_match_nothing_new_is_not_replayed() -> None:
    known = made(NOW - 5)
    relay = StoringRelay([known])
    link = Link(relay)
    link.subscribe("past", {"until": NOW - 1})
    link.subscribe("one", {"ids": [known.id]})
    link.subscribe("two", {"ids": [known.id, "f" * 64]})
    link.connect()
    link.settle()
    link.lose()
    link.wait(10)
    link.connect()
    assert [req[0] for req in reqs(link.flush())] == ["two"]
    assert link.session.subscription_count == 3


def test_timeline_5_1200_events_missed_in_ten_minutes_arrive_in_pages() -> None:
    link = opened({"kinds": [1]})
    link.lose()
    missed = [made(NOW + number // 2) for number in range(1200)]
    for event in missed:
        link.relay.store(event)
    link.wait(600)
    link.connect()
    link.settle()
    assert sorted(link.delivered["a"]) == sorted(event.id for event in missed)
    assert len(reqs(link.sent)) <= 12
    old = made(NOW - 100_000)
    link.publish([old])
    assert link.delivered["a"][-1] == old.id


def test_e4_gift_wraps_dated_back_arrive_while_pages_are_fetched() -> None:
    link = opened({"kinds": [1059]}, relay=StoringRelay(most=20))
    link.lose()
    missed = [made(NOW - 300 - number * 60, kind=1059) for number in range(500)]
    for event in missed:
        link.relay.store(event)
    link.wait(600)
    link.connect()
    live = [made(NOW - 2 * DAY_SECONDS + number, kind=1059) for number in range(100)]
    arriving = iter(live)
    while link.flush() or link.answers:
        link.answer()
        link.publish(islice(arriving, 1))
    link.publish(arriving)
    assert sorted(link.delivered["a"]) == sorted(e.id for e in [*missed, *live])


# --- E5: refresh


def test_e5_what_nothing_confirmed_for_five_minutes_is_asked_again() -> None:
    link = opened({"kinds": [1]})
    confirmed = int(link.wall)
    link.wait(290)
    assert link.flush() == []
    link.wait(20)
    assert reqs(link.flush()) == [
        ["a", {"kinds": [1], "limit": 1}, {"kinds": [1], "since": confirmed - 300}]
    ]
    link.settle()
    assert link.finished["a"] == 1
    link.wait(290)
    assert link.flush() == []


def test_e5_an_event_is_as_good_as_a_refresh() -> None:
    link = opened({"kinds": [1]})
    for _ in range(10):
        link.wait(200)
        link.publish([made(int(link.wall))])
        assert link.flush() == []


def test_e5_a_subscription_the_relay_dropped_is_served_again() -> None:
    link = opened({"kinds": [1]})
    link.relay.open.clear()
    missed = made(NOW + 100)
    link.wait(100)
    link.publish([missed])
    assert link.delivered["a"] == []
    link.wait(210)
    link.settle()
    assert link.delivered["a"] == [missed.id]
    live = made(NOW)
    link.publish([live])
    assert link.delivered["a"] == [missed.id, live.id]


def test_e5_no_answer_to_a_refresh_nor_to_a_probe_condemns_the_connection() -> None:
    link = opened()
    link.wait(310)
    assert len(reqs(link.flush())) == 1
    link.wait(29)
    assert link.flush() == []
    assert link.session.deadline(link.now) == link.now + 1
    link.wait(1)
    assert [req[0] for req in reqs(link.flush())] == ["probe1"]
    link.wait(9)
    link.flush()
    assert not suspected(link)
    link.wait(1)
    link.flush()
    assert suspected(link)
    link.lose()
    link.connect()
    assert not suspected(link)


def test_e5_a_relay_that_answers_nothing_is_condemned_in_time() -> None:
    link = Link()
    for name in ("a", "b"):
        link.subscribe(name, {"kinds": [1]})
    link.connect()
    link.settle()
    link.wait(310)
    link.flush()  # both are asked again
    sent = link.sleep(100)
    assert [(after, json.loads(text)[1]) for after, text in sent] == [(30, "probe1")]
    assert suspected(link)


def test_e5_it_is_told_from_a_busy_one_when_the_probe_is_due() -> None:
    link = opened()
    link.wait(310)
    link.flush()
    assert link.sleep(39) != []
    assert not suspected(link)
    link.sleep(1)
    assert suspected(link)


def test_e5_an_answer_that_comes_while_a_probe_is_out_is_believed() -> None:
    link = opened({"kinds": [1]})
    link.wait(310)
    link.flush()
    link.wait(30)
    assert [req[0] for req in reqs(link.flush())] == ["probe1"]
    link.answer()  # late, but the subscription is served
    link.answer()
    assert link.session.subscription_count == 1
    link.flush()
    assert link.sleep(250) == [], "it does not back off"


def test_e5_who_is_refused_for_good_when_asked_again_is_not_doubted() -> None:
    link = opened()
    link.wait(310)
    assert reqs(link.flush()) != []
    assert link.session.closed("a", "blocked: no", link.now) is not None
    assert link.sleep(1000) == []


def test_e5_gift_wraps_that_nobody_named_are_fetched_on_reconnection_only() -> None:
    link = opened({})
    confirmed = int(link.wall)
    link.wait(310)
    live, gap = {"limit": 1}, {"since": confirmed - 300}
    assert reqs(link.flush()) == [["a", live, gap]]
    link.lose()
    link.connect()
    wraps = {"kinds": [1059], "since": confirmed - 300 - 2 * DAY_SECONDS}
    assert reqs(link.flush()) == [["a", live, gap, wraps]]


@pytest.mark.parametrize("answer", ["EOSE", "CLOSED"])
def test_e5_a_probe_that_is_answered_only_delays_the_subscription(answer: str) -> None:
    link = Link()
    link.subscribe("a", {"kinds": [1]})
    link.subscribe("b", {"kinds": [2]})
    link.connect()
    link.settle()
    link.wait(310)
    link.flush()
    link.wait(1)
    link.flush()
    link.answers = [item for item in link.answers if item.wire_id == "b"]
    link.answer()
    link.wait(36)
    # A relay at its limit would ignore the probe: one that it serves is refreshed, too.
    assert [req[0] for req in reqs(link.flush())] == ["probe1", "b"]
    link.answers = [item for item in link.answers if item.wire_id == "probe1"]
    if answer == "EOSE":
        link.answer()
    else:
        assert link.session.closed("probe1", "error: no", link.now) is None
    assert closes(link.flush()) == ["probe1"]
    link.wait(4)
    assert link.flush() == []
    link.wait(2)
    # Not under the old id, whose EOSE may still come.
    assert [(req[0], req[1]["kinds"]) for req in reqs(link.flush())] == [("a-1", [1])]
    assert not suspected(link)


def test_e5_a_page_is_an_answer_to_a_refresh() -> None:
    relay = StoringRelay(most=20)
    link = opened({"kinds": [1]}, relay=relay)
    link.relay.open.clear()
    for number in range(100):
        relay.store(made(NOW + number))
    link.wait(310)
    for _ in range(16):  # slow, but it answers
        link.flush()
        link.wait(20)
        link.answer()
    assert not any("probe" in text for text in link.sent)
    assert len(link.delivered["a"]) == 100


def test_e5_refreshes_are_paced_at_two_a_second() -> None:
    link = Link()
    for number in range(100):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    link.wait(310)
    sent = []
    for _ in range(160):
        if asked := len(reqs(link.flush())):
            sent.append(asked)
        while link.answer():
            pass
        link.wait(0.125)
    assert sum(sent) == 40
    # Twenty at a time: so many relays wake up for it, so many times.
    assert sent == [20, 20]


def test_e5_the_thread_of_a_relay_sleeps_until_the_next_are_due() -> None:
    link = Link()
    for number in range(100):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    link.wait(310)
    wakes = 0
    until = link.now + 50
    while (due := link.session.deadline(link.now)) is not None and due < until:
        link.wait(max(0.0, due - link.now))
        link.flush()
        while link.answer():
            pass
        wakes += 1
    assert wakes <= 10, "five for a hundred subscriptions, some to look for more"


def test_e6_a_new_relay_is_sent_all_subscriptions_whole_and_paced() -> None:
    link = Link(settings=DEFAULTS)
    for number in range(500):
        link.subscribe(f"s{number}", {"kinds": [number], "limit": 7})
    link.connect()
    first = reqs(link.flush())
    assert len(first) == DEFAULTS.burst_requests
    assert first[0] == ["s0", {"kinds": [0], "limit": 7}]
    due = link.session.deadline(link.now)
    assert due is not None
    assert due - link.now <= 1 / DEFAULTS.requests_per_second + 1e-9
    sent = len(first)
    for _ in range(100):
        link.wait(0.1)
        sent += len(reqs(link.flush()))
    assert sent == 500


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


def test_e9_who_leaves_while_a_refusal_is_looked_into_holds_up_nobody() -> None:
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


def test_e9_who_joins_a_shared_subscription_gets_its_whole_history() -> None:
    history = [made(NOW - 5000 + number, number % 3) for number in range(30)]
    link = Link(StoringRelay(history))
    link.session.set_limits(RelayLimits(max_subscriptions=3))
    for number in range(3):
        link.subscribe(f"s{number}", {"kinds": [number], "limit": 10})
        if number == 0:
            link.connect()
        link.settle()
    assert all(len(given) == 10 for given in link.delivered.values())


def test_d4_the_eose_of_a_req_that_was_replaced_is_not_that_of_its_successor() -> None:
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


def test_d4_nor_is_it_that_of_the_one_after_its_successor() -> None:
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


def test_e9_what_is_on_its_way_while_somebody_joins_arrives() -> None:
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


def test_e9_what_is_on_its_way_while_parts_are_refreshed_arrives() -> None:
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


def test_b4_who_leaves_a_shared_subscription_leaves_nothing_on_the_relay() -> None:
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


# --- whatever happens in whatever order

a_filter = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.lists(st.sampled_from([1, 2, 1059]), min_size=1, max_size=2),
        "authors": st.lists(st.sampled_from([ALICE, BOB]), min_size=1, max_size=1),
        "since": st.integers(NOW - 500, NOW + 50),
        "limit": st.integers(0, 3),
    },
)
some_limits = st.tuples(
    st.none() | st.integers(1, 5), st.none() | st.integers(1, 4)
).map(lambda most: RelayLimits(max_subscriptions=most[0], max_filters=most[1]))


def test_e8_live_events_dated_back_do_not_pass_for_the_end_of_a_cut_answer() -> None:
    """Two gift wraps of two days ago arrive amid the answer to a page, which is cut."""
    for missed_each in product(range(3), repeat=3):
        link = Link(StoringRelay(most=4), replace(UNPACED, page_events=4))
        link.subscribe("all", {})
        link.subscribe("wraps", {"kinds": [1059]})
        link.connect()
        link.settle()
        link.lose()
        missed = [
            made(NOW + 22 + second, 1059, ALICE)
            for second, count in enumerate(missed_each)
            for _ in range(count)
        ]
        for event in missed:
            link.relay.store(event)
        link.wait(30)
        link.connect()
        live = [made(NOW - 2 * DAY_SECONDS + 1000 * n, 1059, ALICE) for n in range(3)]
        arriving = iter(live)
        while link.flush() or link.answers:
            link.publish(islice(arriving, 1))
            link.answer()
        link.publish(arriving)
        everything = {event.id for event in [*missed, *live]}
        for name in ("all", "wraps"):
            assert everything - set(link.delivered[name]) == set()


@given(
    data=st.data(),
    clients=st.lists(
        st.lists(a_filter, min_size=1, max_size=2), min_size=1, max_size=3
    ),
    limits=some_limits,
    most=st.integers(4, 8),
)
@settings(max_examples=100, deadline=None)
def test_e8_whatever_arrives_during_an_outage_is_delivered_after_it(
    data: st.DataObject,
    clients: list[list[dict[str, Any]]],
    limits: RelayLimits,
    most: int,
) -> None:
    link = Link(StoringRelay(most=most), replace(UNPACED, page_events=4))
    link.session.set_limits(limits)
    names = [f"s{number}" for number in range(len(clients))]
    for name, wanted in zip(names, clients, strict=True):
        link.subscribe(name, *wanted)
    link.connect()
    link.settle()
    assert link.finished == dict.fromkeys(names, 1)
    link.lose()
    missed = [
        made(NOW - 5 + second, kind, pubkey)
        for second in range(30)
        for kind, pubkey in data.draw(
            st.lists(
                st.tuples(st.sampled_from([1, 2, 1059]), st.sampled_from([ALICE, BOB])),
                max_size=most - 2,
            )
        )
    ]
    for event in missed:
        link.relay.store(event)
    link.wait(30)
    link.connect()
    # Gift wraps of two days ago arrive while the gap is being fetched, once a second.
    live = [
        made(NOW - 2 * DAY_SECONDS + 1000 * second, 1059, ALICE)
        for second in range(data.draw(st.integers(0, 6)))
    ]
    arriving = iter(live)
    while link.flush() or link.answers:
        link.publish(islice(arriving, 1))
        link.answer()
    link.publish(arriving)
    for name in names:
        expected = [
            event.id
            for event in [*missed, *live]
            if wanted_by(link, name, event) and not before_the_req(link, name, event)
        ]
        assert sorted(set(expected) - set(link.delivered[name])) == []
    assert link.finished == dict.fromkeys(names, 1)
    assert all(len(req) - 1 <= (limits.max_filters or 99) for req in reqs(link.sent))


def wanted_by(link: Link, name: str, event: SignedEvent) -> bool:
    return any(filter_.matches(event) for filter_ in link.requests[name].filters)


def before_the_req(link: Link, name: str, event: SignedEvent) -> bool:
    """Whether only a filter with `limit: 0` wants it and it is dated before the REQ."""
    request = link.requests[name]
    return event.created_at < request.arrived and not any(
        filter_.matches(event) and filter_.limit != 0 for filter_ in request.filters
    )
