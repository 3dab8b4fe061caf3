"""Reconciliation (NIP-77): what reached a relay during an outage, whatever its date."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.filter import TagValues, first_match, parse_filters
from nostrclient.nostr.known_events import KnownBudget, KnownEvents
from nostrclient.nostr.negentropy import MIN_FRAME_BYTES, Item, Negentropy
from nostrclient.nostr.reconcile import (
    FRAME_BYTES,
    MAX_LOST,
    MAX_REFUSALS,
    MAX_ROUNDS,
    Reconciler,
    Reconciliation,
    Target,
    frame_bytes,
)
from nostrclient.nostr.relay_session import RelayLimits
from nostrclient.nostr.settings import DAY_SECONDS

from .builders import ALICE, BOB, NOW, Answer, StoringRelay, filters, made
from .links import Link


class ReconcilingRelay(StoringRelay):
    """A relay with NIP-77; `refuses` gives what it says to a NEG-OPEN instead."""

    def __init__(self, events: Iterable[SignedEvent] = (), most: int = 500) -> None:
        super().__init__(events, most)
        self.refuses: Callable[[str], list[str] | None] = lambda wire_id: None
        self.sides: dict[str, Negentropy] = {}
        self.replies: list[list[str]] = []
        self.bytes_sent = 0

    def receive(self, texts: Iterable[str]) -> list[Answer]:
        others: list[str] = []
        for text in texts:
            verb, wire_id, *rest = json.loads(text)
            if verb == "NEG-CLOSE":
                self.sides.pop(wire_id, None)
            elif verb in ("NEG-OPEN", "NEG-MSG"):
                self._negotiate(verb, wire_id, rest)
            else:
                others.append(text)
        answers = super().receive(others)
        self.bytes_sent += sum(len(item.text) for one in answers for item in one.events)
        return answers

    def _negotiate(self, verb: str, wire_id: str, rest: list[Any]) -> None:
        refusal = self.refuses(wire_id)
        if refusal is not None:
            self.replies += [refusal] if refusal else []
            return
        if verb == "NEG-OPEN":
            (wanted,) = parse_filters([rest[0]])
            items = [
                (event.created_at, bytes.fromhex(event.id))
                for event in self.events
                if wanted.matches(event)
            ]
            self.sides[wire_id] = Negentropy(items)
        payload = self.sides[wire_id].respond(bytes.fromhex(rest[-1])).hex()
        self.bytes_sent += len(payload)
        self.replies.append(["NEG-MSG", wire_id, payload])


class ReconcilingLink(Link):
    """A link to such a relay, whose subscriptions remember what they were given."""

    def __init__(self, relay: ReconcilingRelay, most: int = 5000) -> None:
        super().__init__(relay)
        self.reconciling = relay
        self.session.set_reconciles(True)
        self.most = most
        self.known: dict[str, KnownEvents] = {}

    def subscribe(
        self, upstream_id: str, *wanted: dict[str, Any], is_public: bool = False
    ) -> None:
        super().subscribe(upstream_id, *wanted, is_public=is_public)
        known = self.known[upstream_id] = KnownEvents(KnownBudget(10**6), self.most)
        own = self.requests[upstream_id].filters
        request = self.requests[upstream_id]._replace(
            known=lambda wanted: known.items(
                next(at for at, filter_ in enumerate(own) if filter_ is wanted)
            )
        )
        self.requests[upstream_id] = request
        self.session.subscribe(request)

    def event(self, wire_id: str, event: SignedEvent) -> None:
        before = {name: len(given) for name, given in self.delivered.items()}
        super().event(wire_id, event)
        for name, delivered in self.delivered.items():
            if len(delivered) > before[name]:
                number = first_match(
                    self.requests[name].filters, event, TagValues(event)
                )
                assert number is not None
                self.known[name].add(event.created_at, event.id, number)

    def answer(self) -> bool:
        if super().answer():
            return True
        if not self.reconciling.replies:
            return False
        verb, wire_id, *rest = self.reconciling.replies.pop(0)
        if verb == "NEG-MSG":
            payload = bytes.fromhex(rest[0])
            self.session.negotiated(wire_id, payload, self.now, self.wall)
        elif verb == "NEG-ERR":
            self.session.negotiation_refused(wire_id, self.now)
        else:
            self.session.notice(rest[0], self.now)
        for upstream_id in self.session.finished:
            self.finished[upstream_id] += 1
        self.session.finished.clear()
        return True

    def outage(self, missed: Iterable[SignedEvent], seconds: float = 600) -> None:
        """Have events reach the relay during an outage, and connect again."""
        self.lose()
        self.reconciling.sides.clear()
        self.reconciling.replies.clear()
        for event in missed:
            self.relay.store(event)
        self.wait(seconds)
        self.connect()
        self.settle()

    def asked(self, verb: str) -> list[list[Any]]:
        return [message for message in map(json.loads, self.sent) if message[0] == verb]


def opened(
    *wanted: dict[str, Any], held: Iterable[SignedEvent] = (), most: int = 500
) -> ReconcilingLink:
    link = ReconcilingLink(ReconcilingRelay(held, most))
    link.subscribe("a", *(wanted or ({},)))
    link.connect()
    link.settle()
    assert link.finished["a"] == 1
    assert link.asked("NEG-OPEN") == []
    return link


def some(count: int, since: int = NOW - 10_000, kind: int = 1) -> list[SignedEvent]:
    return [made(since + number, kind) for number in range(count)]


def test_e7b_event_dated_back_during_an_outage_arrives() -> None:
    link = opened({"kinds": [1]}, held=some(50))
    old = made(NOW - 365 * DAY_SECONDS)
    link.outage([old])
    assert link.delivered["a"].count(old.id) == 1
    assert len(link.delivered["a"]) == 51
    assert link.finished["a"] == 1


def test_e7b_without_nip77_event_dated_back_is_not_found() -> None:
    link = opened({"kinds": [1]}, held=some(50))
    link.session.set_reconciles(False)
    old = made(NOW - 365 * DAY_SECONDS)
    link.outage([old])
    assert old.id not in link.delivered["a"]


def test_e7b_nothing_is_sent_twice_where_nothing_was_missed() -> None:
    link = opened({"kinds": [1059]}, held=some(400, kind=1059))
    link.reconciling.bytes_sent = 0
    link.outage([])
    reconciled = link.reconciling.bytes_sent
    link.session.set_reconciles(False)
    link.reconciling.bytes_sent = 0
    link.outage([])
    windows = link.reconciling.bytes_sent
    assert reconciled < windows / 20
    assert len(link.delivered["a"]) == 400


def test_e7b_comparison_begins_after_the_eose_of_the_live_req() -> None:
    link = opened({"kinds": [1]}, held=some(5))
    link.lose()
    link.connect()
    assert [json.loads(text)[0] for text in link.flush()] == ["REQ"]
    link.answer()
    assert [json.loads(text)[0] for text in link.flush()] == ["NEG-OPEN"]


def test_e7b_each_filter_of_a_req_is_compared_and_each_event_comes_once() -> None:
    link = opened({"kinds": [1]}, {"kinds": [2]}, {"authors": [BOB]}, held=some(20))
    missed = [
        made(NOW - 90_000, 1),
        made(NOW - 90_001, 2),
        made(NOW - 90_002, 7, BOB),
        made(NOW - 90_003, 1, BOB),
        made(NOW - 90_004, 7, ALICE),
    ]
    link.outage(missed)
    assert len(link.asked("NEG-OPEN")) == 3
    found = [event.id for event in missed[:-1]]
    assert sorted(link.delivered["a"][20:]) == sorted(found)


def test_e7b_history_that_a_limit_left_out_is_not_fetched() -> None:
    link = opened({"kinds": [1], "limit": 5}, held=some(50))
    assert len(link.delivered["a"]) == 5
    missed = made(NOW - 100)
    link.outage([missed])
    assert link.delivered["a"][5:] == [missed.id]


def test_e7b_history_that_the_relay_left_out_is_not_fetched() -> None:
    link = ReconcilingLink(ReconcilingRelay(some(300), 120))
    link.session.set_limits(RelayLimits(max_limit=120))
    link.subscribe("a", {"kinds": [1]})
    link.connect()
    link.settle()
    assert len(link.delivered["a"]) == 120
    missed = made(NOW - 100)
    link.outage([missed])
    assert link.delivered["a"][120:] == [missed.id]


@pytest.mark.parametrize(
    "refusal",
    [
        ["NEG-ERR", "", "blocked: too many results"],
        ["NOTICE", "", "ERROR: bad msg: negentropy disabled"],
        ["NEG-MSG", "", "62"],
        ["NEG-MSG", "", "61ff"],
        [],
    ],
)
def test_e7b_windows_are_fetched_where_the_relay_refuses(refusal: list[str]) -> None:
    link = opened({"kinds": [1]}, held=some(50))
    link.reconciling.refuses = lambda wire_id: (
        refusal and [refusal[0], wire_id, *refusal[2:]]
    )
    newest, older = made(NOW - 100), made(NOW - 150)
    link.outage([older, newest])
    if not refusal:
        assert older.id not in link.delivered["a"]
        link.sleep(6)
        link.settle()
    assert link.delivered["a"][50:] == [newest.id, older.id]
    assert len(link.asked("NEG-OPEN")) == 1
    # It serves on: a live event arrives.
    live = made(NOW + 700)
    link.publish([live])
    assert link.delivered["a"][52:] == [live.id]


def test_e7b_silent_relay_is_not_asked_again_on_this_connection() -> None:
    link = opened({"kinds": [1]}, held=some(5))
    link.reconciling.refuses = lambda wire_id: []
    link.outage([])
    link.sleep(6)
    link.settle()
    assert len(link.asked("NEG-OPEN")) == 1
    link.sleep(400)  # it is refreshed meanwhile
    link.settle()
    assert len(link.asked("NEG-OPEN")) == 1


def test_e7b_relay_that_ends_connections_at_it_is_asked_no_more() -> None:
    link = opened({"kinds": [1]}, held=some(5))
    for _ in range(MAX_LOST + 3):
        link.session.lose(link.now, ended_by_relay=True)
        link.reconciling.open.clear()
        link.answers.clear()
        link.connect()
        link.flush()
        link.answer()
        link.flush()
    assert len(link.asked("NEG-OPEN")) == MAX_LOST


def test_e7b_few_comparisons_are_under_way_at_once() -> None:
    link = ReconcilingLink(ReconcilingRelay(some(30)))
    for number in range(40):
        link.subscribe(f"s{number}", {"kinds": [1, 100 + number]})
    link.connect()
    link.settle()
    missed = made(NOW - 90_000)
    link.lose()
    link.relay.store(missed)
    link.connect()
    most = 0
    for _ in range(10_000):
        link.flush()
        most = max(most, len(link.reconciling.sides))
        if not link.answer() and not link.session.output:
            break
    assert most == 4
    assert all(given.count(missed.id) == 1 for given in link.delivered.values())
    assert not link.reconciling.sides, "all were closed"


def many(count: int) -> ReconcilingLink:
    """Return a link with more subscriptions than are compared at once, reconnected."""
    link = ReconcilingLink(ReconcilingRelay(some(30)))
    for number in range(count):
        link.subscribe(f"s{number}", {"kinds": [1, 100 + number]})
    link.connect()
    link.settle()
    link.lose()
    return link


@pytest.mark.parametrize("negentropy", ["silent", "NOTICE", "nonsense"])
def test_e7b_who_waits_for_room_gets_its_windows_where_the_relay_gives_up(
    negentropy: str,
) -> None:
    link = many(12)
    answers = {
        "silent": [],
        "NOTICE": ["NOTICE", "", "negentropy disabled"],
        "nonsense": ["NEG-MSG", "", "61ff"],
    }
    link.reconciling.refuses = lambda wire_id: answers[negentropy]
    missed = [made(NOW - 150), made(NOW - 100)]
    for event in missed:
        link.relay.store(event)
    link.connect()
    link.settle()
    link.sleep(6)
    link.settle()
    for delivered in link.delivered.values():
        assert {event.id for event in missed} <= set(delivered)


def test_e7b_room_that_a_closed_subscription_leaves_is_used() -> None:
    link = many(12)
    missed = made(NOW - 90_000)
    link.relay.store(missed)
    link.connect()
    while Link.flush(link) or link.answers:
        if link.answers:
            Link.answer(link)
    assert len(link.reconciling.sides) == 4
    compared = {wire_id.partition("-")[0] for wire_id in link.reconciling.sides}
    link.reconciling.replies.clear()
    for name in compared:
        link.unsubscribe(name)
    link.settle()
    others = link.delivered.keys() - compared
    assert len(others) == 8
    assert all(link.delivered[name].count(missed.id) == 1 for name in others)


def test_e7b_subscription_sent_anew_while_it_waits_for_room_is_compared_once() -> None:
    link = ReconcilingLink(ReconcilingRelay(some(30)))
    link.session.set_limits(RelayLimits(max_subscriptions=10))
    for number in range(16):
        link.subscribe(f"s{number}", {"kinds": [1, 100 + number]})
    link.connect()
    link.settle()
    missed = made(NOW - 90_000)
    link.lose()
    link.relay.store(missed)
    link.connect()
    while Link.flush(link) or link.answers:
        if link.answers:
            Link.answer(link)
    assert len(link.reconciling.sides) == 4
    for number in range(8):  # one of each shared REQ, which is sent without it
        link.unsubscribe(f"s{number}")
    link.settle()
    for number in range(8, 16):
        assert link.delivered[f"s{number}"].count(missed.id) == 1
    assert not link.reconciling.sides


def test_e7b_close_in_the_middle_ends_the_comparison() -> None:
    link = opened({"kinds": [1]}, held=some(5))
    link.lose()
    link.connect()
    link.flush()
    link.answer()
    link.flush()
    assert len(link.reconciling.sides) == 1
    link.unsubscribe("a")
    link.settle()
    assert not link.reconciling.sides
    assert not link.reconciling.open


def test_e7b_refresh_finds_an_event_that_the_relay_kept_for_itself() -> None:
    link = opened({"kinds": [1]}, held=some(5))
    lost = made(NOW - 90_000)
    link.relay.events.append(lost)  # it was stored, and sent to nobody
    for _ in range(8):
        link.sleep(50)
        link.settle()
    assert link.delivered["a"].count(lost.id) == 1


def test_e7b_what_was_forgotten_is_left_to_the_windows() -> None:
    link = ReconcilingLink(ReconcilingRelay(), most=20)
    link.subscribe("a", {"kinds": [1]})
    link.connect()
    link.settle()
    link.publish(some(50, NOW - 50))
    missed = [made(NOW - 45), made(NOW - 5)]
    link.outage(missed)
    assert sorted(link.delivered["a"][50:]) == sorted(event.id for event in missed)


dates = st.integers(NOW - 5 * DAY_SECONDS, NOW + 50)
batches = st.lists(st.tuples(dates, st.sampled_from([1, 2, 1059])), max_size=12)


@given(
    held=batches,
    first=batches,
    second=batches,
    kinds=st.lists(
        st.lists(st.sampled_from([1, 2, 1059]), min_size=1, max_size=2, unique=True),
        min_size=1,
        max_size=3,
    ),
    most=st.integers(2, 40),
)
@settings(max_examples=100, deadline=None)
def test_e7b_everything_dated_from_the_floor_on_is_delivered_once(
    held: list[tuple[int, int]],
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    kinds: list[list[int]],
    most: int,
) -> None:
    link = ReconcilingLink(ReconcilingRelay([made(*item) for item in held]), most)
    link.subscribe("a", *({"kinds": item} for item in kinds))
    link.connect()
    link.settle()
    widest = NOW - 2 * DAY_SECONDS - 400  # windows are used where it was forgotten
    for batch in (first, second):
        floor = link.known["a"].floor
        missed = [made(*item) for item in batch]
        link.outage(missed)
        wanted = {kind for item in kinds for kind in item}
        for event in missed:
            if event.kind in wanted and event.created_at >= floor and floor < widest:
                assert event.id in link.delivered["a"]
    assert len(link.delivered["a"]) == len(set(link.delivered["a"]))
    assert link.finished["a"] == 1


# --- the parts


def target(items: Iterable[Item], *delivered: str) -> Target:
    (wanted,) = filters({"kinds": [1], "limit": 3})
    return Target(wanted, list(items), lambda event_id: event_id in delivered)


def item(number: int) -> Item:
    return NOW + number, number.to_bytes(32, "big")


def exchange(work: Reconciliation, relay: Negentropy) -> None:
    text: str | None = work.open("n")
    while text is not None:
        payload = json.loads(text)[-1]
        text = work.answer(relay.respond(bytes.fromhex(payload)))


def test_e7b_missing_events_are_asked_for_by_id_within_the_client_s_filter() -> None:
    delivered = item(3)[1].hex()
    work = Reconciliation([target([item(1)], delivered)], [], 100)
    exchange(work, Negentropy(map(item, range(1, 8))))
    fetched = [filter_.json for filter_ in work.fetch(2)]
    ids = [item(number)[1].hex() for number in (2, 4, 5, 6, 7)]
    assert fetched == [
        {"kinds": [1], "ids": ids[at : at + 2]} for at in range(0, len(ids), 2)
    ]


def test_e7b_relay_with_too_much_more_is_not_believed() -> None:
    work = Reconciliation([target([])], [], 10)
    with pytest.raises(InvalidMessage):
        exchange(work, Negentropy(map(item, range(11))))


def test_e7b_relay_that_never_ends_is_left() -> None:
    work = Reconciliation([target(map(item, range(100)))], [], 1000)
    work.open("n")
    differs = bytes([0x61, 0, 0, 1]) + bytes(16)
    for _ in range(MAX_ROUNDS - 1):
        assert work.answer(differs) is not None
    with pytest.raises(InvalidMessage):
        work.answer(differs)


def test_e7b_messages_fit_the_relay_s_limit() -> None:
    (wanted,) = filters({"kinds": [1]})
    assert frame_bytes(None, wanted) == FRAME_BYTES
    assert frame_bytes(8192, wanted) is None
    room = frame_bytes(16_384, wanted)
    assert room is not None
    assert room >= MIN_FRAME_BYTES
    assert 2 * room + len(json.dumps(wanted.json)) < 16_384


def test_e7b_refusals_in_a_row_end_it_for_the_connection() -> None:
    reconciler = Reconciler(4)
    assert not reconciler.is_used
    reconciler.list(True)
    used: list[bool] = []
    for _ in range(MAX_REFUSALS):
        used.append(reconciler.is_used)
        reconciler.refused()
    used.append(reconciler.is_used)
    reconciler.lose(ended_by_relay=False)
    assert [*used, reconciler.is_used] == [True] * MAX_REFUSALS + [False, True]
