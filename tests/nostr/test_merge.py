"""The newest events of several relays: what one relay with all of them would send."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import merge as merge_sorted
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.filter import Filter, matches_any
from nostrclient.nostr.merge import RANK_BYTES, HeldBytes, Merge, rank
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import ALICE, BOB, NOW, filters, made

A, B, C = "wss://a", "wss://b", "wss://c"
START = 1000.0
LONG_AGO = NOW - 30 * 24 * 60 * 60
SILENCE = DEFAULTS.merge_silence_seconds


def hex_id(number: int) -> str:
    return f"{number:064x}"


class Bench:
    """A merge, the relays it waits for, and what it delivered."""

    def __init__(
        self,
        *wanted: dict[str, Any],
        pending: Sequence[str] = (A, B),
        settings: Settings = DEFAULTS,
    ) -> None:
        self.held = HeldBytes(settings.merge_bytes)
        self.filters = filters(*wanted)
        self.merge = Merge(self.filters, NOW, self.held, settings)
        self.pending = list(pending)
        self.now = START
        self.seen: set[str] = set()
        self.delivered: list[SignedEvent] = []

    def send(self, relay_url: str, *events: SignedEvent, shared: bool = False) -> None:
        """Have a relay send events, as far as they match."""
        for event in events:
            if not matches_any(self.filters, event):
                continue
            add = self.merge.copy if event.id in self.seen else self.merge.event
            self.seen.add(event.id)
            add(relay_url, event, self.now, shared=shared)
        self.take()

    def eose(self, relay_url: str) -> None:
        self.pending.remove(relay_url)
        self.take()

    def take(self) -> None:
        self.delivered += self.merge.take(self.now, self.pending)

    def wait(self, seconds: float) -> None:
        """Let time pass as a session does, which comes when the merge says so."""
        until = self.now + seconds
        while True:
            at = self.merge.deadline(self.now, self.pending)
            if at is None or at > until:
                break
            self.now = at
            self.take()
        self.now = until

    def dates(self) -> list[int]:
        return [event.created_at - LONG_AGO for event in self.delivered]


def at(*dates: int, kind: int = 1, pubkey: str = ALICE) -> list[SignedEvent]:
    """Give events with these dates, far in the past."""
    return [made(LONG_AGO + date, kind, pubkey) for date in dates]


# --- D9: order and limit


def test_d9_events_wait_until_no_relay_can_send_a_newer_one() -> None:
    bench = Bench({"limit": 4})
    bench.send(A, *at(9, 7, 5))
    assert bench.dates() == []
    bench.send(B, *at(8))
    assert bench.dates() == [9]
    bench.send(B, *at(6))
    assert bench.dates() == [9, 8, 7]
    bench.send(A, *at(1))
    bench.eose(B)
    assert bench.dates() == [9, 8, 7, 6]


def test_d9_a_relay_that_sent_n_events_is_not_waited_for() -> None:
    bench = Bench({"limit": 2})
    bench.send(A, *at(3, 2))
    bench.send(B, *at(9, 8))
    assert bench.dates() == [9, 8]


def test_d9_a_copy_moves_the_watermark_of_the_relay_that_sent_it() -> None:
    bench = Bench({"limit": 9})
    events = at(9, 8, 7)
    bench.send(A, *events)
    assert bench.dates() == []
    bench.send(B, *events)
    assert bench.dates() == [9, 8]  # of the third date another event may come


def test_d9_equal_dates_come_by_the_lower_id() -> None:
    bench = Bench({"limit": 3})
    one, two, three, four = (
        made(LONG_AGO, event_id=hex_id(number)) for number in range(4)
    )
    bench.send(A, three, two)
    bench.eose(A)
    assert bench.delivered == []
    bench.send(B, four, one)
    bench.eose(B)
    assert bench.delivered == [one, two, three]


def test_d9_each_filter_has_a_limit_of_its_own() -> None:
    bench = Bench({"authors": [ALICE], "limit": 1}, {"kinds": [7], "limit": 2})
    both = at(5, kind=7)
    bench.send(A, *at(9), *both, *at(4, 3, kind=7, pubkey=BOB))
    bench.send(B, *at(8), *at(2, kind=7, pubkey=BOB))
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [9, 5, 4]


def test_d9_event_of_a_filter_without_limit_is_delivered_at_once() -> None:
    bench = Bench({"authors": [ALICE]}, {"kinds": [1], "limit": 1})
    bench.send(A, *at(1, 2))
    assert bench.dates() == [1, 2]
    bench.send(A, *at(1, pubkey=BOB))
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [1, 2]  # the newest one was delivered for the other


def test_d9_an_event_of_several_filters_says_nothing_of_one_answer() -> None:
    bench = Bench({"authors": [ALICE], "limit": 5}, {"kinds": [7], "limit": 5})
    bench.send(A, *at(9, kind=7, pubkey=BOB))
    bench.send(B, *at(1, kind=7))  # sent for the first filter; the second may follow
    assert bench.dates() == []
    bench.send(B, *at(10, kind=7, pubkey=BOB))
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [10, 9, 1]


def test_d9_a_shared_wire_moves_no_watermark() -> None:
    bench = Bench({"limit": 5})
    bench.send(A, *at(9))
    bench.send(B, *at(1), shared=True)  # it was sent for another client
    assert bench.dates() == []
    bench.send(B, *at(10), shared=True)
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [10, 9, 1]


def test_d9_a_relay_out_of_order_is_waited_for_until_its_eose() -> None:
    bench = Bench({"limit": 9})
    bench.send(B, *at(1, 3))
    bench.send(A, *at(6, 5))
    assert bench.dates() == []
    bench.send(B, *at(9))
    bench.eose(B)
    assert bench.dates() == [9, 6]


# --- D9: silence


def test_d9_a_silent_relay_holds_nobody_up_after_300_ms() -> None:
    bench = Bench({"limit": 4}, pending=(A, B, C))
    bench.wait(1)  # the fastest took that long
    bench.send(A, *at(9, 8))
    bench.eose(A)
    bench.wait(0.1)
    bench.send(B, *at(7, 6))
    bench.wait(0.199)
    assert bench.dates() == []
    bench.wait(0.001)
    assert bench.dates() == [9, 8, 7]
    bench.wait(0.099)
    assert bench.dates() == [9, 8, 7]  # B was heard 100 ms later
    bench.wait(0.001)
    assert bench.dates() == [9, 8, 7, 6]


def test_d9_a_late_event_is_delivered_where_it_belongs_to_the_newest() -> None:
    bench = Bench({"limit": 2})
    bench.send(A, *at(9, 7))
    bench.eose(A)
    bench.wait(SILENCE)
    assert bench.dates() == [9, 7]
    bench.send(B, *at(8, 6))
    bench.eose(B)
    assert bench.dates() == [9, 7, 8]


def test_d9_after_the_eose_a_late_event_is_held_against_the_newest_then() -> None:
    bench = Bench({"kinds": [1], "limit": 2}, {"kinds": [7], "limit": 5})
    bench.send(A, *at(9, 7), *at(5, kind=7))
    assert [e.created_at - LONG_AGO for e in bench.merge.settle().before_eose] == [
        9,
        7,
        5,
    ]
    (eight, six), (three,) = at(8, 6), at(3, kind=7)
    assert bench.merge.admits(eight)
    assert not bench.merge.admits(six)
    assert bench.merge.admits(three)  # there were fewer than five of these
    assert bench.held.total == 0


# --- D9: replaceable events


@pytest.mark.parametrize("kind", [0, 10002, 30023])
def test_d9_only_the_newest_version_is_delivered(kind: int) -> None:
    bench = Bench({"kinds": [kind], "limit": 2})
    bench.send(A, *at(5, kind=kind), *at(4, kind=kind, pubkey=BOB))
    bench.send(B, *at(9, kind=kind), *at(3, kind=kind, pubkey=BOB))
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [9, 4]


def test_d9_limit_1_of_a_profile_gives_the_newest_one_alone() -> None:
    bench = Bench({"kinds": [0], "authors": [ALICE], "limit": 1})
    bench.send(A, *at(5, kind=0))
    bench.send(B, *at(9, kind=0))
    assert bench.dates() == [9]


def test_d9_an_older_version_is_not_delivered_after_the_newer_one() -> None:
    bench = Bench({"kinds": [0], "limit": 5}, pending=(B,))
    bench.send(A, *at(9, kind=0))
    bench.wait(SILENCE)
    bench.send(B, *at(5, kind=0))
    bench.eose(B)
    assert bench.dates() == [9]


# --- D9, E8: what may be live is never dropped


def test_d9_live_events_beyond_the_limit_are_delivered_after_the_eose() -> None:
    bench = Bench({"limit": 1})
    recent = [made(NOW + seconds) for seconds in (2, 1, 0)]
    bench.send(A, *recent, *at(1))
    settled = bench.merge.settle()
    assert settled.before_eose == [recent[0]]
    assert settled.after_eose == recent[1:]
    assert bench.merge.admits(made(NOW - 1))


def test_d9_gift_wraps_dated_back_are_delivered_after_the_eose() -> None:
    bench = Bench({"limit": 1})
    wrap, note = made(NOW - 40 * 3600, kind=1059), made(NOW - 40 * 3600)
    bench.send(A, made(NOW), wrap, note)
    assert bench.merge.settle().after_eose == [wrap]
    assert bench.merge.admits(wrap)
    assert not bench.merge.admits(note)


def test_d9_limit_holds_for_ephemeral_events_that_a_relay_stored() -> None:
    bench = Bench({"limit": 1})
    stored = [made(NOW - 100 - number, kind=23194) for number in range(5)]
    bench.send(A, *stored)
    settled = bench.merge.settle()
    assert [*settled.before_eose, *settled.after_eose] == stored[:1]


def test_d9_ephemeral_events_are_live_and_never_wait() -> None:
    bench = Bench({"limit": 1})
    first, second = made(NOW, kind=20001), made(NOW - 1, kind=20001)
    bench.send(A, first, second)
    assert bench.delivered == [first, second]
    assert bench.merge.admits(second)


def test_d9_limit_0_stores_nothing_and_lets_all_pass() -> None:
    assert not Merge.merges(filters({"limit": 0}, {}))
    assert Merge.merges(filters({}, {"limit": 1}))
    bench = Bench({"kinds": [1], "limit": 0}, {"kinds": [2], "limit": 1})
    bench.send(A, *at(5, 6))
    assert bench.dates() == [5, 6]


# --- D9: answers that a relay cuts


def test_d9_nothing_older_than_a_cut_answer_is_delivered() -> None:
    bench = Bench({"limit": 50})
    bench.send(A, *at(*range(100, 80, -1)))
    bench.send(B, *at(*range(95, 75, -5), 30, 20, 10))
    bench.merge.cut(A, 20)
    bench.eose(A)
    bench.merge.cut(B, 20)  # it sent fewer than that: all it holds
    bench.eose(B)
    assert len(bench.delivered) == 23
    assert min(bench.dates()) == 81
    assert bench.held.total > 0
    bench.merge.close()
    assert bench.held.total == 0


def test_d9_a_relay_that_says_more_is_believed() -> None:
    bench = Bench({"limit": 9})
    bench.send(A, *at(9, 8))
    bench.send(B, *at(9, 7, 3))
    bench.merge.cut(A, None)
    bench.eose(A)
    bench.eose(B)
    assert bench.dates() == [9, 9, 8]


def test_d9_an_answer_of_n_events_is_not_cut() -> None:
    bench = Bench({"limit": 2})
    bench.send(A, *at(9, 8))
    bench.merge.cut(A, None)
    bench.eose(A)
    bench.send(B, *at(8, 7))
    bench.eose(B)
    assert bench.dates() == [9, 8]


# --- D8: memory


def test_d8_a_merge_that_holds_too_much_delivers_as_events_come() -> None:
    settings = replace(DEFAULTS, merge_bytes=20_000)
    bench = Bench({"limit": 10**6}, settings=settings)
    events = at(*range(1000, 0, -1))
    for event in events:
        bench.send(A, event)
        assert bench.held.total <= 20_000
    assert len(bench.delivered) == 1000
    assert bench.dates() == sorted(bench.dates(), reverse=True)
    assert bench.merge.settle() == ([], [])
    assert bench.held.total == 0


def test_d8_all_merges_of_a_client_share_one_bound() -> None:
    held = HeldBytes(10 * (RANK_BYTES + len(made().text)))
    merges = [Merge(filters({"limit": 100}), NOW, held, DEFAULTS) for _ in range(5)]
    for date in range(100, 0, -1):
        for merge in merges:
            (event,) = at(date)
            merge.event(A, event, START)
            assert held.total <= held.max_bytes
    for merge in merges:
        merge.close()
    assert held.total == 0


def test_d8_dropped_and_replaced_events_take_no_memory() -> None:
    bench = Bench({"kinds": [1, 0], "limit": 3})
    for date in range(100):
        bench.send(A, *at(date), *at(date, kind=0))
    three = 3 * (RANK_BYTES + len(made().text))
    assert bench.held.total <= three + RANK_BYTES + 50
    bench.merge.close()
    assert bench.held.total == 0


# --- D9: the model: one relay that holds what all of them hold

dates = st.integers(0, 12)


@pytest.mark.parametrize("kind", [1, 0])
def test_d8_a_relay_that_sends_oldest_first_costs_no_memory_per_event(
    kind: int,
) -> None:
    bench = Bench({"limit": 5})
    bench.send(A, *at(*range(500), kind=kind))
    (newest,) = bench.merge._lists.values()
    assert len(newest._waiting) <= 5
    assert bench.held.total < 10_000


class Answer(NamedTuple):
    """What a relay sends, each with the time since the last, and when its EOSE."""

    events: list[SignedEvent]
    gaps: list[float]
    shared: bool


def one_version(events: Iterable[SignedEvent]) -> list[SignedEvent]:
    """Give what a relay keeps of some events, in the order in which it sends them."""
    kept: dict[str, SignedEvent] = {}
    for event in sorted(events, key=rank, reverse=True):
        kept.setdefault(event.address or event.id, event)
    return list(kept.values())


def newest(events: Sequence[SignedEvent], filter_: Filter) -> list[SignedEvent]:
    found = [event for event in events if filter_.matches(event)]
    return found[: filter_.limit]


def answer(
    events: Sequence[SignedEvent], wanted: Sequence[Filter], *, by_filter: bool
) -> list[SignedEvent]:
    """Give what one relay sends: each filter's newest, one after another or as one."""
    parts = [newest(events, filter_) for filter_ in wanted]
    if by_filter:
        return list(dict.fromkeys(event for part in parts for event in part))
    together = merge_sorted(*parts, key=rank, reverse=True)
    return list(dict.fromkeys(together))


@st.composite
def stored_events(draw: st.DrawFn) -> list[SignedEvent]:
    kinds = st.sampled_from([1, 1, 7, 0, 30023])
    entries = draw(
        st.lists(st.tuples(dates, kinds, st.sampled_from([ALICE, BOB])), max_size=25)
    )
    ids = draw(st.permutations(range(len(entries))))
    return [
        made(LONG_AGO + date, kind, pubkey, event_id=hex_id(number))
        for (date, kind, pubkey), number in zip(entries, ids, strict=True)
    ]


@st.composite
def some_filters(draw: st.DrawFn, count: int) -> list[dict[str, Any]]:
    def one() -> dict[str, Any]:
        wanted: dict[str, Any] = {"limit": draw(st.integers(1, 6))}
        if draw(st.booleans()):
            some = st.sampled_from([1, 7, 0, 30023])
            wanted["kinds"] = draw(st.lists(some, min_size=1, max_size=3))
        if draw(st.booleans()):
            wanted["authors"] = [draw(st.sampled_from([ALICE, BOB]))]
        return wanted

    return [one() for _ in range(draw(st.integers(1, count)))]


@st.composite
def scenes(
    draw: st.DrawFn, max_gap: float, filter_count: int
) -> tuple[list[dict[str, Any]], list[list[SignedEvent]], list[Answer]]:
    """Draw filters, what each of some relays holds, and how each answers."""
    wanted = draw(some_filters(filter_count))
    pool = draw(stored_events())
    holdings = [
        one_version(event for event in pool if draw(st.booleans()))
        for _ in range(draw(st.integers(1, 4)))
    ]
    parsed = filters(*wanted)
    answers = []
    for events in holdings:
        sent = answer(events, parsed, by_filter=draw(st.booleans()))
        gap = st.floats(0, max_gap, exclude_max=True)
        gaps = draw(st.lists(gap, min_size=len(sent) + 1, max_size=len(sent) + 1))
        answers.append(Answer(sent, gaps, draw(st.booleans())))
    return wanted, holdings, answers


class Scene(Bench):
    """A bench of as many relays as a scene has."""

    def __init__(self, wanted: list[dict[str, Any]], relays: int) -> None:
        self.pending_urls = [f"wss://{number}" for number in range(relays)]
        super().__init__(*wanted, pending=self.pending_urls)


def play(bench: Scene, answers: Sequence[Answer], settle_after: float) -> None:
    """Have relays answer at their times; the EOSE comes after some seconds."""
    steps: list[tuple[float, int, SignedEvent | None]] = []
    for number, sent in enumerate(answers):
        moment = START
        for gap, event in zip(sent.gaps, [*sent.events, None], strict=True):
            moment += gap
            steps.append((moment, number, event))
    settle_at = START + settle_after
    settled = False
    for moment, number, event in sorted(steps, key=lambda step: step[:2]):
        if moment > settle_at and not settled:
            bench.wait(settle_at - bench.now)
            bench.delivered += bench.merge.settle().before_eose
            settled = True
        bench.wait(moment - bench.now)
        url = bench.pending_urls[number]
        if event is None:
            if not settled:
                bench.eose(url)
        elif not settled:
            bench.send(url, event, shared=answers[number].shared)
        elif event.id not in bench.seen and bench.merge.admits(event):
            bench.seen.add(event.id)
            bench.delivered.append(event)
    if not settled:
        bench.delivered += bench.merge.settle().before_eose


def expected(
    holdings: Sequence[Sequence[SignedEvent]], wanted: Sequence[Filter]
) -> list[SignedEvent]:
    union = one_version({event for events in holdings for event in events})
    return answer(union, wanted, by_filter=False)


@given(scenes(max_gap=0.99 * SILENCE, filter_count=1))
def test_d9_relays_in_time_give_what_one_relay_with_all_would_give(
    scene: tuple[list[dict[str, Any]], list[list[SignedEvent]], list[Answer]],
) -> None:
    wanted, holdings, answers = scene
    bench = Scene(wanted, len(answers))
    play(bench, answers, settle_after=1e6)
    assert bench.delivered == expected(holdings, bench.filters)
    assert bench.held.total == 0


@given(scenes(max_gap=0.99 * SILENCE, filter_count=3))
def test_d9_relays_in_time_give_each_filter_its_newest(
    scene: tuple[list[dict[str, Any]], list[list[SignedEvent]], list[Answer]],
) -> None:
    wanted, holdings, answers = scene
    bench = Scene(wanted, len(answers))
    play(bench, answers, settle_after=1e6)
    assert len(set(bench.delivered)) == len(bench.delivered)
    assert set(bench.delivered) == set(expected(holdings, bench.filters))


@given(scenes(max_gap=3 * SILENCE, filter_count=3), st.floats(0, 3))
def test_d9_late_relays_cost_no_event_that_belongs_to_the_newest(
    scene: tuple[list[dict[str, Any]], list[list[SignedEvent]], list[Answer]],
    settle_after: float,
) -> None:
    wanted, holdings, answers = scene
    bench = Scene(wanted, len(answers))
    play(bench, answers, settle_after)
    assert len(set(bench.delivered)) == len(bench.delivered)
    assert set(expected(holdings, bench.filters)) <= set(bench.delivered)
    assert bench.held.total == 0
