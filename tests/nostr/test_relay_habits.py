"""Relays as they are: silence, NOTICE, other words and limits that nobody announced."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.relay_session import ALIVE_SECONDS, RelayLimits
from nostrclient.nostr.settings import DEFAULTS

from .builders import ALICE, BOB, NOW, Answer, StoringRelay, made
from .links import UNPACED, Link


def reqs(texts: Iterable[str]) -> list[list[Any]]:
    """Return the REQs among texts, each without its verb."""
    return [message[1:] for message in map(json.loads, texts) if message[0] == "REQ"]


class CappedRelay(StoringRelay):
    """A relay that serves so many subscriptions, and ignores or refuses any other."""

    def __init__(self, cap: int, events: Iterable[SignedEvent] = ()) -> None:
        super().__init__(events)
        self.cap = cap
        self.refused: list[str] = []

    def receive(self, texts: Iterable[str]) -> list[Answer]:
        answers: list[Answer] = []
        for text in texts:
            verb, wire_id, *_ = json.loads(text)
            is_new = verb == "REQ" and wire_id not in self.open
            if is_new and len(self.open) >= self.cap:
                self.refused.append(wire_id)
            else:
                answers += super().receive([text])
        return answers


def live_for(link: Link) -> None:
    """Publish an event for each subscription and see that it arrives."""
    wanted = {name: request.filters[0] for name, request in link.requests.items()}
    events = {name: made(NOW, min(item.kinds or ())) for name, item in wanted.items()}
    link.publish(events.values())
    missed = [
        name for name, event in events.items() if event.id not in link.delivered[name]
    ]
    assert missed == []


def run(link: Link, seconds: float, step: float = 1.0) -> None:
    """Let time pass while both sides talk."""
    for _ in range(int(seconds / step)):
        link.settle()
        assert link.session.suspect is None
        link.wait(step)
    link.settle()


def test_timeline_9_33_subscriptions_are_served_by_a_relay_of_32() -> None:
    link = Link(CappedRelay(32))
    for number in range(33):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    run(link, DEFAULTS.refresh_answer_seconds + DEFAULTS.probe_seconds + 5)
    assert link.session.learned_limits.max_subscriptions == 32
    live_for(link)
    run(link, 2 * DEFAULTS.refresh_seconds, step=5)
    live_for(link)


@pytest.mark.parametrize(
    "text", ["ERROR: too many concurrent REQs", "Too many subscriptions"]
)
def test_e9_limit_that_a_notice_speaks_of_is_learned_in_seconds(text: str) -> None:
    relay = CappedRelay(20)
    link = Link(relay)
    for number in range(40):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    assert len(relay.refused) == 20
    for _ in relay.refused:
        link.session.notice(text, link.now)
    run(link, DEFAULTS.notice_patience_seconds + 2)
    assert link.session.learned_limits.max_subscriptions == 20
    live_for(link)
    assert sum(link.finished.values()) == 40


def test_e9_limit_is_learned_where_the_relay_sends_eose_and_a_notice() -> None:
    relay = StoringRelay()
    link = Link(relay)
    for number in range(25):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    for number in range(20, 25):  # stored events and EOSE came, live events will not
        relay.open.pop(f"s{number}")
        link.session.notice("ERROR: too many concurrent REQs", link.now)
    run(link, DEFAULTS.notice_patience_seconds + 2)
    assert link.session.learned_limits.max_subscriptions == 20
    live_for(link)


def test_d4b_limit_gets_the_window_where_the_relay_is_reached_just_after_the_req() -> (
    None
):
    link = Link()
    link.subscribe("a", {"kinds": [1], "limit": 2})
    link.wait(0.1)
    link.connect()
    (req,) = reqs(link.flush())
    assert req[1:] == [
        {"kinds": [1], "limit": 2},
        {"kinds": [1], "since": NOW - 300},
    ]


def test_h6_auth_that_fails_for_now_closes_nothing_for_good() -> None:
    link = Link()
    link.session.can_authenticate = True
    link.subscribe("a", {"kinds": [1]})
    link.connect()
    link.flush()
    link.answers.clear()
    link.session.closed("a", "auth-required: who?", link.now)
    assert link.session.cannot_authenticate(link.now, for_now=True) is None
    link.wait(DEFAULTS.subscription_retry_seconds)
    assert len(reqs(link.flush())) == 1


def test_e9_limit_that_closed_speaks_of_is_learned_at_once() -> None:
    relay = CappedRelay(20)
    link = Link(relay)
    for number in range(30):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    while relay.refused:
        text = "error: too many concurrent REQs"
        link.session.closed(relay.refused.pop(), text, link.now)
    link.settle()
    assert link.session.learned_limits.max_subscriptions == 20
    live_for(link)


def test_e9_notice_of_other_things_changes_nothing() -> None:
    link = Link()
    link.subscribe("a", {"kinds": [1]})
    link.connect()
    link.flush()
    link.session.notice("Welcome! Please read our terms.", link.now)
    link.wait(DEFAULTS.notice_patience_seconds + 1)
    assert link.flush() == []
    link.settle()
    assert link.finished["a"] == 1


class PickyRelay(StoringRelay):
    """A relay that refuses a REQ with an unknown filter key."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def receive(self, texts: Iterable[str]) -> list[Answer]:
        answers: list[Answer] = []
        for text in texts:
            verb, wire_id, *wanted = json.loads(text)
            if verb == "REQ" and any("search" in item for item in wanted):
                self.open.pop(wire_id, None)
                self.refused.append(wire_id)
            else:
                answers += super().receive([text])
        return answers


REFUSALS = [
    "ERROR: bad req: unrecognised filter item: search",
    "unsupported: search",
    "error: no",
    "no",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_timeline_10_refused_filter_silences_nobody_who_shares(text: str) -> None:
    relay = PickyRelay()
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_subscriptions=5))
    link.connect()
    for number in range(10):
        link.subscribe(f"s{number}", {"kinds": [number]})
    for number in range(3):
        link.subscribe(f"bad{number}", {"search": "a", "kinds": [99]}, is_public=True)
    closed: list[str] = []
    for _ in range(60):
        link.settle()
        while relay.refused:
            found = link.session.closed(relay.refused.pop(0), text, link.now)
            closed += found.upstream_ids if found is not None else ()
        link.wait(1)
    names = [f"s{number}" for number in range(10)]
    events = {name: made(NOW, number) for number, name in enumerate(names)}
    link.publish(events.values())
    for name, event in events.items():
        assert event.id in link.delivered[name], name
    if "unrecognised" in text or "unsupported" in text:
        assert sorted(closed) == ["bad0", "bad1", "bad2"]
    else:
        assert closed == []
    link.lose()
    link.connect()
    for _ in range(30):
        link.settle()
        while relay.refused:
            link.session.closed(relay.refused.pop(0), text, link.now)
        link.wait(1)
    live = {name: made(NOW + 1, number) for number, name in enumerate(names)}
    link.publish(live.values())
    assert all(live[name].id in link.delivered[name] for name in names)


def test_e9_shared_req_that_is_ignored_is_split_until_the_culprit_stands_alone() -> (
    None
):
    relay = PickyRelay()
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_subscriptions=3))
    for number in range(8):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.settle()
    link.subscribe("bad", {"search": "a", "kinds": [99]})
    for _ in range(300):
        link.settle()
        assert link.session.suspect is None
        link.wait(1)
        if link.now % 10 < 1:  # the relay answers others meanwhile
            link.session.received(link.now)
    events = {number: made(NOW, number) for number in range(8)}
    link.publish(events.values())
    for number, event in events.items():
        assert event.id in link.delivered[f"s{number}"]


def test_e9_private_clients_get_a_place_that_public_ones_have_taken() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_subscriptions=5))
    link.connect()
    for number in range(9):
        link.subscribe(f"public{number}", {"kinds": [number]}, is_public=True)
    link.settle()
    link.subscribe("private", {"kinds": [20]})
    link.settle()
    assert len(link.relay.open) <= 3
    live_for(link)
    wires = [wanted for wanted in link.relay.open.values() if len(wanted) == 1]
    assert any(item.kinds == frozenset((20,)) for (item,) in wires)


def test_e9_no_more_wires_are_open_than_the_relay_allows_pages_included() -> None:
    history = [made(NOW - number, kind) for number in range(60) for kind in range(4)]
    relay = StoringRelay(history, most=20)
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_subscriptions=6, max_filters=2))
    for number in range(4):
        link.subscribe(f"s{number}", {"kinds": [number], "since": NOW - 1000})
    link.connect()
    most = 0
    for _ in range(1000):
        link.flush()
        most = max(most, len(relay.open))
        if not link.answer():
            break
    assert most <= 6
    assert all(len(link.delivered[f"s{number}"]) == 60 for number in range(4))


def test_e9_subscriptions_without_any_room_are_polled() -> None:
    relay = StoringRelay()
    link = Link(relay)
    link.session.set_limits(RelayLimits(max_subscriptions=3, max_filters=2))
    for number in range(6):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    run(link, 5)
    assert sum(link.finished.values()) == 6
    for number in range(6):
        relay.store(made(NOW + 1, number))
    run(link, DEFAULTS.poll_seconds + 10)
    assert [len(link.delivered[f"s{n}"]) for n in range(2, 6)] == [1] * 4
    assert len(relay.open) <= 3


def test_e9_too_many_filters_in_a_req_are_learned_and_spread() -> None:
    link = Link()
    link.subscribe("a", *({"kinds": [kind]} for kind in range(8)))
    link.connect()
    for _ in range(10):
        texts = link.flush()
        for wire_id, *wanted in reqs(texts):
            if len(wanted) > 2:
                link.answers = [a for a in link.answers if a.wire_id != wire_id]
                link.relay.open.pop(wire_id, None)
                link.session.closed(wire_id, "error: too many filters", link.now)
        while link.answer():
            pass
    assert link.session.learned_limits.max_filters == 2
    assert link.finished["a"] == 1
    events = [made(NOW, kind) for kind in range(8)]
    link.publish(events)
    assert len(link.delivered["a"]) == 8


# --- one clock for each wire


def test_e3b_part_that_the_relay_dropped_is_missed_though_another_is_busy() -> None:
    link = Link()
    link.session.set_limits(RelayLimits(max_filters=1))
    link.subscribe("a", {"kinds": [1]}, {"kinds": [2]})
    link.connect()
    link.settle()
    dropped = next(
        name
        for name, wanted in link.relay.open.items()
        if wanted[0].kinds == frozenset((2,))
    )
    del link.relay.open[dropped]
    orders: list[SignedEvent] = []
    for minute in range(10):
        link.publish([made(int(link.wall), 1)])
        orders.append(made(int(link.wall), 2))
        link.publish(orders[-1:])
        run(link, 60, step=10)
        assert minute < 10
    assert {event.id for event in orders} <= set(link.delivered["a"])


def test_e3b_first_req_that_is_dropped_is_sent_again_after_its_due_time() -> None:
    link = Link()
    for name in ("a", "b"):
        link.subscribe(name, {"kinds": [1]})
    link.connect()
    link.flush()
    link.answers = [item for item in link.answers if item.wire_id == "b"]
    link.relay.open.pop("a")
    run(link, DEFAULTS.refresh_answer_seconds + DEFAULTS.probe_seconds + 10)
    assert link.finished == {"a": 1, "b": 1}


def test_d4_transient_closed_is_an_answer_and_the_subscription_is_retried() -> None:
    link = Link()
    link.subscribe("a", {"kinds": [1]})
    link.connect()
    link.flush()
    link.answers.clear()
    link.session.closed("a", "rate-limited: slow down", link.now)
    assert link.session.finished == ["a"]
    link.session.finished.clear()
    run(link, 10)
    assert not link.finished, "one EOSE"
    live_for(link)


def test_d4_relay_that_was_not_asked_yet_is_busy() -> None:
    slow = replace(DEFAULTS, requests_per_second=1, burst_requests=1)
    link = Link(settings=slow)
    for number in range(3):
        link.subscribe(f"s{number}", {"kinds": [number]})
    link.connect()
    link.flush()
    link.answers.clear()
    link.wait(0.6)
    link.flush()
    assert sorted(link.session.busy) == ["s1", "s2"]
    due = link.session.deadline(link.now)
    assert due is not None
    assert due <= link.now + 0.5


def test_f5_eose_waits_while_an_auth_is_under_way() -> None:
    history = made(NOW - 1000, kind=4)
    link = Link(StoringRelay())
    link.session.can_authenticate = True
    link.subscribe("a", {"kinds": [4]})
    link.connect()
    link.session.authentication_pending = True
    link.settle()
    assert link.finished["a"] == 0
    link.relay.store(history)  # what the relay left out becomes readable
    link.relay.open.clear()
    link.session.authenticated(link.now, link.wall)
    link.settle()
    assert link.finished["a"] == 1
    assert link.delivered["a"] == [history.id]
    assert [req[0] for req in reqs(link.sent)] == ["a", "a-1"], "a new id"


def test_h6_replay_after_auth_starts_where_an_authenticated_answer_ended() -> None:
    link = Link(StoringRelay())
    link.session.can_authenticate = True
    link.subscribe("a", {"kinds": [4]})
    link.connect()
    link.session.authenticated(link.now, link.wall)
    link.settle()
    confirmed = int(link.wall)
    link.lose()
    link.wait(600)
    link.connect()  # without AUTH the relay answers, and leaves orders out
    link.settle()
    link.wait(600)
    link.session.authenticated(link.now, link.wall)
    texts = link.flush()
    windows = [
        item["since"]
        for req in reqs(link.sent[-1:] + texts)
        for item in req[1:]
        if "since" in item
    ]
    assert set(windows) == {confirmed - 300}


def test_h1_restricted_kinds_are_sent_apart_once_the_relay_speaks_of_auth() -> None:
    link = Link()
    link.subscribe("a", {"kinds": [4, 30017], "authors": [ALICE]}, {"kinds": [0]})
    link.subscribe("b", {"kinds": [1]})
    link.connect()
    link.settle()
    link.session.split_restricted_kinds()
    link.settle()
    open_ = [
        sorted({tuple(sorted(f.kinds or ())) for f in wanted})
        for wanted in link.relay.open.values()
    ]
    assert sorted(open_) == [[(0,), (30017,)], [(1,)], [(4,)]]
    assert link.finished == {"a": 1, "b": 1}
    link.publish([made(NOW, 4, ALICE), made(NOW, 30017, ALICE), made(NOW, 4, BOB)])
    assert len(link.delivered["a"]) == 2


# --- messages that end the connection


def test_e10_req_that_ends_the_connection_is_given_up_and_others_go_on() -> None:
    link = Link()
    link.subscribe("good", {"kinds": [1]})
    link.connect()
    link.settle()
    link.subscribe("poison", {"kinds": [2]})
    connections = 1
    for _ in range(200):
        texts = link.flush()
        if any(req[0].startswith("poison") for req in reqs(texts)):
            link.relay.open.clear()
            link.answers.clear()
            link.session.lose(link.now, ended_by_relay=True)
            link.wait(1)
            link.connect()
            connections += 1
        while link.answer():
            pass
        link.wait(0.1)
    assert connections == 3
    (refused,) = link.session.refused
    assert refused.upstream_ids == ("poison",)
    live_for_good = made(NOW, 1)
    link.publish([live_for_good])
    assert live_for_good.id in link.delivered["good"]


def test_e10_event_that_ends_the_connection_is_given_up_and_others_go_out() -> None:
    link = Link(settings=UNPACED)
    link.connect()
    pending = {"poison": "[poison]", "note": "[note]"}
    connections, sent = 1, []
    for event_id, text in pending.items():
        link.session.publish(event_id, text, "client", link.now)
    for _ in range(100):
        link.session.tick(link.now, link.wall)
        texts = list(link.session.output)
        link.session.output.clear()
        sent += texts
        if "[poison]" in texts:
            link.session.lose(link.now, ended_by_relay=True)
            for event_id in link.session.given_up:
                pending.pop(event_id)
            link.wait(1)
            link.session.open(link.now, link.wall)
            connections += 1
            for event_id, text in pending.items():
                link.session.publish(event_id, text, "client", link.now)
        elif "[note]" in texts:
            link.session.event_answered("note")
            pending.pop("note", None)
        link.wait(0.1)
    assert link.session.given_up == ["poison"]
    assert connections == 3
    assert sent.count("[poison]") == 2
    assert pending == {}


INNOCENT = '["EVENT",{"id":"innocent"}]'


@pytest.fixture
def suspicious() -> Link:
    """A link on a new connection, which suspects an event, after a short silence."""
    link = Link(settings=UNPACED)
    link.connect()
    link.session.publish("innocent", INNOCENT, "client", link.now)
    link.session.tick(link.now, link.wall)
    link.session.output.clear()
    link.session.lose(link.now, ended_by_relay=True)
    link.connect()
    link.wait(ALIVE_SECONDS)
    link.session.publish("innocent", INNOCENT, "client", link.now)
    return link


def test_e10_event_is_not_given_up_because_a_link_hangs_and_is_lost(
    suspicious: Link,
) -> None:
    texts: list[str] = []
    for _ in range(10):  # the relay says nothing
        suspicious.session.tick(suspicious.now, suspicious.wall)
        texts += suspicious.session.output
        suspicious.session.output.clear()
        suspicious.wait(0.1)
    assert [json.loads(text)[0] for text in texts] == ["REQ"], "a probe"
    suspicious.session.lose(suspicious.now, ended_by_relay=True)
    assert suspicious.session.given_up == []
    suspicious.connect()
    suspicious.session.publish("innocent", INNOCENT, "client", suspicious.now)
    suspicious.session.tick(suspicious.now, suspicious.wall)
    assert suspicious.session.output == [INNOCENT]


def test_e10_suspected_event_leaves_once_the_relay_has_shown_that_it_is_alive(
    suspicious: Link,
) -> None:
    assert INNOCENT not in suspicious.flush()
    assert suspicious.answer(), "to the probe"
    suspicious.session.tick(suspicious.now, suspicious.wall)
    assert INNOCENT in suspicious.session.output


def test_e10_events_that_wait_to_be_sent_alone_are_known_as_unsent() -> None:
    link = Link()
    link.connect()
    for event_id in ("one", "other"):
        link.session.publish(event_id, f'["EVENT",{{"id":"{event_id}"}}]', "c", 1000.0)
    assert link.session.waiting_event_ids == {"one", "other"}
    link.flush()
    assert link.session.waiting_event_ids == set()
    link.session.lose(link.now, ended_by_relay=True)
    link.connect()
    link.session.publish("one", '["EVENT",{"id":"one"}]', "c", link.now)
    link.flush()
    assert link.session.waiting_event_ids == {"one"}
    link.sleep(1.0)
    assert link.session.waiting_event_ids == set()
