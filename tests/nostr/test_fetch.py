"""Completing cut answers: whatever a relay cuts off, pages bring."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.fetch import Fetch
from nostrclient.nostr.filter import Filter

from .builders import ALICE, BOB, NOW, StoringRelay, filters, made


def fetch_all(
    relay: StoringRelay,
    wanted: tuple[Filter, ...],
    others: tuple[Filter, ...] = (),
    page_events: int = 10,
    pages: int = 1000,
) -> tuple[set[str], int]:
    """Give the ids that came, and the number of pages it took."""
    fetch = Fetch(wanted, others, page_events, pages)
    answer = relay.query((*wanted, *others))
    received: set[str] = set()
    asked = 0
    while True:
        for event in answer:
            fetch.event(event)
            received.add(event.id)
        page = fetch.next_page()
        if page is None:
            return received, asked
        asked += 1
        answer = relay.query([page])


def test_e4_a_short_answer_is_complete() -> None:
    relay = StoringRelay(made(NOW + number) for number in range(9))
    assert fetch_all(relay, filters({"since": NOW})) == (
        {event.id for event in relay.events},
        0,
    )


def test_e4_an_answer_that_looks_cut_is_asked_on() -> None:
    relay = StoringRelay((made(NOW + number) for number in range(1200)), most=500)
    received, pages = fetch_all(relay, filters({"since": NOW}))
    assert len(received) == 1200
    assert pages <= 10


def test_e4_a_cut_through_a_second_loses_nothing_of_it() -> None:
    relay = StoringRelay((made(NOW + number // 40) for number in range(400)), most=50)
    received, _ = fetch_all(relay, filters({"since": NOW}))
    assert len(received) == 400


def test_e4_pages_end_at_the_window_and_not_before() -> None:
    relay = StoringRelay((made(NOW + number) for number in range(-50, 50)), most=10)
    received, _ = fetch_all(relay, filters({"since": NOW}))
    assert received == {event.id for event in relay.events if event.created_at >= NOW}


def test_e4_one_filter_s_old_events_do_not_hide_what_another_still_lacks() -> None:
    # Few notes of anybody, long ago; a lot by Alice since. The note by Alice among the
    # old ones must not pass for the end of what was answered to her filter.
    old = [made(NOW + number, kind=1, pubkey=ALICE) for number in range(3)]
    new = [made(NOW + 1000 + number, kind=7, pubkey=ALICE) for number in range(100)]
    relay = StoringRelay([*old, *new], most=20)
    wanted = filters({"kinds": [1], "since": NOW}, {"authors": [ALICE], "since": NOW})
    received, _ = fetch_all(relay, wanted)
    assert len(received) == 103


def test_e4_events_of_other_filters_hide_no_missing_events() -> None:
    old = [made(NOW + number, kind=1, pubkey=ALICE) for number in range(10)]
    new = [made(NOW + 1000 + number, kind=7, pubkey=ALICE) for number in range(100)]
    relay = StoringRelay([*old, *new], most=20)
    received, _ = fetch_all(
        relay, filters({"authors": [ALICE], "since": NOW}), filters({"kinds": [1]})
    )
    assert len(received) == 110


@pytest.mark.parametrize("in_a_second", [1, 40, 250])
def test_e4_an_answer_that_is_cut_at_its_newest_end_is_completed(
    in_a_second: int,
) -> None:
    stored = [made(NOW + number // in_a_second) for number in range(1200)]
    relay = StoringRelay(stored, nostream=True)
    received, pages = fetch_all(relay, filters({"since": NOW}))
    assert len(received) == 1200
    assert pages <= 10


def test_e4_a_relay_that_always_has_more_is_not_believed_for_ever() -> None:
    relay = StoringRelay((made(NOW + number) for number in range(1000)), most=10)
    _, pages = fetch_all(relay, filters({"since": NOW}), pages=7)
    assert pages == 7


def test_e4_a_relay_that_knows_no_until_is_asked_a_few_times_and_no_more() -> None:
    fetch = Fetch(filters({"since": NOW}), (), 10, 1000)
    answer = [made(NOW + number) for number in range(100, 120)]
    asked = 0
    while True:
        for event in answer:
            fetch.event(event)
        if fetch.next_page() is None:
            break
        asked += 1
    assert asked <= 3, "it answers oldest first: once more, with a limit"


def test_e4_more_events_in_one_second_than_an_answer_holds_end_too() -> None:
    events = [made(NOW + 5) for _ in range(50)] + [made(NOW) for _ in range(3)]
    received, pages = fetch_all(StoringRelay(events, 20), filters({"since": NOW}))
    assert {event.id for event in events[-3:]} <= received
    assert pages <= 5


def test_e8_crowded_second_is_fetched_in_parts_where_the_filter_has_lists() -> None:
    authors = [f"{number:02x}" * 32 for number in range(8)]
    crowd = [made(NOW + 5, kind, author) for author in authors for kind in range(20)]
    older = [made(NOW + 1, 1, authors[0]) for _ in range(5)]
    relay = StoringRelay([*crowd, *older], 50)
    wanted = filters({"since": NOW, "authors": authors, "kinds": list(range(20))})
    received, pages = fetch_all(relay, wanted)
    assert received == {event.id for event in relay.events}
    assert pages < 60


def test_e8_crowded_second_that_cannot_be_split_is_reported() -> None:
    relay = StoringRelay((made(NOW + 5) for _ in range(60)), 20)
    fetch = Fetch(filters({"since": NOW}), (), 10, 1000)
    page: Filter | None = filters({"since": NOW})[0]
    while page is not None:
        for event in relay.query([page]):
            fetch.event(event)
        page = fetch.next_page()
    assert fetch.skipped_second == NOW + 5


def test_e4_complete_answer_is_not_fetched_twice() -> None:
    for count in (100, 490):
        relay = StoringRelay(made(NOW + number) for number in range(count))
        fetch = Fetch(filters({"since": NOW}), (), 10, 1000)
        page: Filter | None = filters({"since": NOW})[0]
        sent = requests = 0
        while page is not None:
            requests += 1
            for event in relay.query([page]):
                fetch.event(event)
                sent += 1
            page = fetch.next_page()
        assert requests == 2
        assert sent <= count + 5


def test_e4_live_events_dated_back_do_not_end_a_page_early() -> None:
    relay = StoringRelay((made(NOW + 100 + number) for number in range(100)), most=20)
    fetch = Fetch(filters({"since": NOW}), (), 10, 1000)
    page: Filter | None = filters({"since": NOW})[0]
    received: set[str] = set()
    while page is not None:
        for event in relay.query([page]):
            fetch.event(event)
            received.add(event.id)
        fetch.event(made(NOW + 1))
        page = fetch.next_page()
    assert len(received) == 100


a_filter = st.fixed_dictionaries(
    {"since": st.integers(NOW, NOW + 10)},
    optional={
        "kinds": st.lists(st.integers(1, 3), min_size=1, max_size=2),
        "authors": st.lists(st.sampled_from([ALICE, BOB]), min_size=1, max_size=1),
        "until": st.integers(NOW + 10, NOW + 40),
    },
)


@st.composite
def histories(draw: st.DrawFn, most: int) -> list[SignedEvent]:
    """Events of which fewer than `most` share a second."""
    return [
        made(NOW + second, kind, pubkey)
        for second in range(40)
        for kind, pubkey in draw(
            st.lists(
                st.tuples(st.integers(1, 3), st.sampled_from([ALICE, BOB])),
                max_size=most - 1,
            )
        )
    ]


@given(
    st.data(),
    st.integers(4, 8),
    st.lists(a_filter, min_size=1, max_size=3),
    st.lists(a_filter, max_size=1),
)
@settings(max_examples=60, deadline=None)
def test_e4_everything_is_retrieved_however_a_relay_cuts_its_answers(
    data: st.DataObject,
    most: int,
    wanted: list[dict[str, Any]],
    others: list[dict[str, Any]],
) -> None:
    relay = StoringRelay(data.draw(histories(most)), most)
    parsed = filters(*wanted)
    expected = {
        event.id
        for event in relay.events
        if any(filter_.matches(event) for filter_ in parsed)
    }
    live = tuple(
        filter_ for value in others for filter_ in filters(value | {"limit": 1})
    )
    received, _ = fetch_all(relay, parsed, live, page_events=4)
    assert expected <= received
