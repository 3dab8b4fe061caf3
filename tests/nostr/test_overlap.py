"""Overlap windows: what is asked for after a time in which events may pass by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.filter import Filter
from nostrclient.nostr.overlap import (
    Confirmation,
    can_bring_news,
    gap_filters,
    live_filters,
)
from nostrclient.nostr.settings import DAY_SECONDS, DEFAULTS

from .builders import NOW, filters, made

START = NOW - 300
WIDE = NOW - 300 - 2 * DAY_SECONDS


def gap(
    *wanted: dict[str, Any],
    confirmed: float = NOW,
    arrived: float = NOW - 1000,
    refresh: bool = False,
) -> list[dict[str, Any]]:
    found = gap_filters(
        filters(*wanted), confirmed, arrived, DEFAULTS, unnamed_gift_wraps=not refresh
    )
    return [filter_.json for filter_ in found]


def test_e4_the_live_stream_stays_as_wide_as_the_client_asked() -> None:
    wanted = filters(
        {"kinds": [1], "since": 5},
        {"limit": 500, "search": "x"},
        {"limit": 0},
        {"until": NOW + 9},
    )
    assert [filter_.json for filter_ in live_filters(wanted)] == [
        {"kinds": [1], "since": 5, "limit": 1},
        {"limit": 1, "search": "x"},
        {"limit": 1},
        {"until": NOW + 9, "limit": 1},
    ]


def test_e4_the_window_starts_300_s_before_the_last_confirmation() -> None:
    assert gap({"kinds": [1]}) == [{"kinds": [1], "since": START}]
    assert gap({"kinds": [1], "limit": 10}) == [{"kinds": [1], "since": START}]
    assert gap({"kinds": [1], "since": 7}) == [{"kinds": [1], "since": START}]


def test_e4_window_never_starts_before_the_client_s_own_since() -> None:
    for since in (START + 1, NOW + 1000):
        assert gap({"kinds": [1], "since": since}) == [{"kinds": [1], "since": since}]
        assert gap({"kinds": [1059], "since": since}) == [
            {"kinds": [1059], "since": since}
        ]
    assert gap({"kinds": [1059], "since": WIDE + 5}) == [
        {"kinds": [1059], "since": WIDE + 5}
    ]


def test_e4_limit_of_0_reaches_back_to_the_req_less_the_overlap() -> None:
    wanted = {"kinds": [1], "limit": 0}
    assert gap(wanted, arrived=NOW + 200) == [{"kinds": [1], "since": NOW - 100}]
    assert gap(wanted, arrived=NOW - 1000) == [{"kinds": [1], "since": START}]
    wrapped = {"kinds": [1059], "limit": 0}
    assert gap(wrapped, arrived=NOW - 1000) == [{"kinds": [1059], "since": NOW - 1300}]


def test_e4_gift_wraps_get_a_filter_of_their_own_two_days_back() -> None:
    assert gap({"kinds": [1059], "#p": ["0" * 64]}) == [
        {"kinds": [1059], "#p": ["0" * 64], "since": WIDE}
    ]
    assert gap({"kinds": [4, 1059], "limit": 3}) == [
        {"kinds": [4, 1059], "since": START},
        {"kinds": [1059], "since": WIDE},
    ]
    assert gap({"#p": ["0" * 64]}) == [
        {"#p": ["0" * 64], "since": START},
        {"#p": ["0" * 64], "kinds": [1059], "since": WIDE},
    ]
    assert gap({"kinds": [1058, 1060]}) == [{"kinds": [1058, 1060], "since": START}]


def test_e5_a_refresh_asks_for_the_two_days_only_where_1059_is_named() -> None:
    assert gap({"#t": ["a"]}, refresh=True) == [{"#t": ["a"], "since": START}]
    assert gap({"kinds": [1059]}, refresh=True) == [{"kinds": [1059], "since": WIDE}]
    assert len(gap({"kinds": [1, 1059]}, refresh=True)) == 2


def test_e4_a_window_that_lies_behind_until_is_not_asked_for() -> None:
    assert gap({"kinds": [1], "until": START - 1}) == []
    assert gap({"kinds": [1], "until": START}) == [
        {"kinds": [1], "until": START, "since": START}
    ]
    assert gap({"until": START - 1}) == [
        {"until": START - 1, "kinds": [1059], "since": WIDE}
    ]
    assert gap({"until": WIDE - 1}) == []
    assert gap({"until": WIDE}) == [{"until": WIDE, "kinds": [1059], "since": WIDE}]


@pytest.mark.parametrize("step", [-86_400.0, -1.0, 0.0, 1.0, 86_400.0])
def test_e4_a_stepping_clock_opens_no_gap(step: float) -> None:
    confirmation = Confirmation(wall=NOW, now=50.0)
    # 600 seconds later the wall clock was put forward or back by `step`.
    at = confirmation.at(wall=NOW + 600 + step, now=650.0)
    assert at == min(NOW, NOW + step)


def test_e4_only_what_can_match_something_new_is_asked_again() -> None:
    one, two = "1" * 64, "2" * 64

    def news(*wanted: dict[str, Any], delivered: tuple[str, ...] = ()) -> bool:
        return can_bring_news(filters(*wanted), NOW, delivered.__contains__)

    assert news({})
    assert news({"until": NOW})
    assert not news({"until": NOW - 1})
    assert news({"until": NOW - 1}, {"kinds": [1]})
    assert news({"ids": [one, two]}, delivered=(one,))
    assert not news({"ids": [one, two]}, delivered=(one, two))
    assert not news({"ids": [one]}, {"until": 5}, delivered=(one,))


some_filters = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "kinds": st.lists(st.sampled_from([1, 4, 1059]), min_size=1, max_size=3),
            "since": st.integers(WIDE - 100, NOW + 100),
            "until": st.integers(WIDE - 100, NOW + 1000),
            "limit": st.integers(1, 5),
            "#t": st.just(["x"]),
        },
    ),
    min_size=1,
    max_size=3,
)


def matched(found: list[Filter], kind: int, created_at: int, tagged: bool) -> bool:
    event = made(created_at, kind, tags=[["t", "x"]] if tagged else [])
    return any(filter_.matches(event) for filter_ in found)


@given(
    some_filters,
    st.sampled_from([1, 4, 1059]),
    st.integers(0, 2 * DAY_SECONDS + 300),
    st.booleans(),
)
def test_e4_everything_of_the_window_is_asked_for_and_nothing_the_client_did_not(
    wanted: list[dict[str, Any]], kind: int, age: int, tagged: bool
) -> None:
    client = list(filters(*wanted))
    found = gap_filters(client, NOW, NOW - 9, DEFAULTS, unnamed_gift_wraps=True)
    created_at = NOW - age
    asked = matched(client, kind, created_at, tagged)
    in_window = kind == 1059 or age <= 300
    if asked and in_window:
        assert matched(found, kind, created_at, tagged)
    if not asked:
        assert not matched(found, kind, created_at, tagged)
