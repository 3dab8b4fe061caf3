"""One relay's side: what it is asked, and how answers and refusals end."""

import json
from dataclasses import replace

import pytest

from nostrclient.nostr.relay_session import ClosedForGood, RelayLimits
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, StoringRelay, made
from .links import UNPACED, Link
from .relay_requests import closes, opened, reqs

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


def test_b4_req_that_was_never_sent_needs_no_close() -> None:
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
    closed = link.session.closed("a", "blocked: spam", link.now)
    assert closed == ClosedForGood(("a",), "blocked: spam")
    for _ in range(10):
        link.wait(100)
        assert link.flush() == []
    link.lose()
    link.connect()
    assert link.flush() == []


def test_d5_who_was_restricted_is_asked_for_once_on_each_connection() -> None:
    link = opened()
    closed = link.session.closed("a", "restricted: members only", link.now)
    assert closed == ClosedForGood(("a",), "restricted: members only")
    for _ in range(3):
        link.wait(100)
        assert link.flush() == []
        link.lose()
        link.connect()
        (req,) = reqs(link.flush())
        link.session.closed(req[0], "restricted: members only", link.now)


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


def test_d5_answers_for_unknown_and_closed_subscriptions_are_ignored() -> None:
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


def test_f5_req_sent_before_auth_and_refused_after_it_is_sent_once_more() -> None:
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


def test_f5_late_auth_required_for_what_is_retried_waits_for_auth() -> None:
    link = Link()
    link.session.can_authenticate = True
    link.subscribe("a", {})
    link.connect()
    link.flush()
    link.session.closed("a", "error: busy", link.now)
    link.wait(DEFAULTS.subscription_retry_seconds * 2)
    link.flush()
    link.session.notice("rate limited", link.now)
    link.sleep(DEFAULTS.notice_patience_seconds + 1)  # it is retried later
    (wire_id,) = list(link.relay.open)[-1:]
    link.session.closed(wire_id, "auth-required: who are you", link.now)
    link.session.authenticated(link.now, link.wall)
    link.settle()
    assert link.finished["a"] == 1


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
