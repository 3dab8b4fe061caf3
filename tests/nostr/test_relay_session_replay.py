"""What a relay is asked again, after an outage and to be sure (E4, E5, E8)."""

import json
from dataclasses import replace
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.relay_session import RelayLimits
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS

from .builders import ALICE, BOB, NOW, StoringRelay, made
from .links import UNPACED, Link
from .relay_requests import closes, opened, reqs, suspected

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


def test_e4_filters_that_match_nothing_new_are_not_replayed() -> None:
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


def test_e5_subscription_without_confirmation_for_five_minutes_is_asked_again() -> None:
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


def test_e5_relay_without_any_answer_is_suspected_when_the_probe_is_due() -> None:
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


def test_e5_final_refusal_of_a_refresh_casts_no_doubt_on_the_link() -> None:
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
def test_e8_events_of_an_outage_are_delivered_after_it(
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
