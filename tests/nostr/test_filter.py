"""Filters: what is malformed goes nowhere, what matches is what NIP-01 says."""

import json
from collections.abc import Iterator
from typing import Any

import nostr_sdk
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import Event, SignedEvent
from nostrclient.nostr.filter import matches_any, parse_filter, parse_filters
from nostrclient.nostr.key import PrivateKey

from .builders import ALICE, BOB, NOW, filters, made

HEX = "0f" * 32


def nested(depth: int) -> object:
    """Give lists in lists."""
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "kinds",
        {"ids": None},
        {"ids": HEX},
        {"ids": [1]},
        {"ids": ["0f"]},
        {"ids": [HEX.upper()]},
        {"ids": [HEX + "0"]},
        {"ids": [HEX[:-1] + "g"]},
        {"ids": ["٣" * 64]},
        {"ids": [HEX, None]},
        {"authors": ["npub1xyz"]},
        {"authors": {HEX: 1}},
        {"#e": ["abc"]},
        {"#p": [HEX.upper()]},
        {"#t": ["nostr", 1]},
        {"#t": "nostr"},
        {"#t": None},
        {"#t": ["\ud800"]},
        {"#1": ["a real relay drops the connection that brings it this"]},
        {"search": 5},
        {"search": "\udfff"},
        {"unknown": float("inf")},
        {"unknown": 10**400},
        {"unknown": [{"deep": "\ud800"}]},
        {"\ud800": 1},
        {"unknown": nested(200)},
        {"kinds": 1},
        {"kinds": ["1"]},
        {"kinds": [1.0]},
        {"kinds": [True]},
        {"kinds": [-1]},
        {"kinds": [65536]},
        {"since": -1},
        {"since": "1"},
        {"since": 1.5},
        {"since": True},
        {"since": None},
        {"until": 10**30},
        {"until": [1]},
        {"limit": -1},
        {"limit": False},
        {"limit": 1e3},
        {"kinds": [], "limit": -1},
        {"kinds": [], "ids": ["x"]},
    ],
)
def test_b5_a_malformed_filter_is_refused(value: object) -> None:
    with pytest.raises(InvalidMessage):
        parse_filter(value)
    with pytest.raises(InvalidMessage):
        parse_filters([{}, value])


@pytest.mark.parametrize("key", ["ids", "authors", "kinds", "#e", "#p", "#t", "#x"])
def test_b5_a_filter_with_an_empty_list_is_left_out(key: str) -> None:
    assert parse_filter({key: [], "limit": 5}) is None
    assert [item.json for item in parse_filters([{key: []}, {"kinds": [1]}])] == [
        {"kinds": [1]}
    ]
    assert parse_filters([{key: []}]) == ()


def test_b5_no_filter_at_all_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        parse_filters([])


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"search": "bitcoin"},
        {"search": ""},
        {"#x": ["anything"]},
        {"#emoji": ["no tag filter of NIP-01"]},
        {"#": [1, None]},
        {"&t": ["a", "b"]},
        {"future": {"nested": [1, -2.5, True, None, "Grüße"]}},
        {"future": nested(10)},
        {"limit": 0, "since": 0, "until": 0, "kinds": [0, 65535]},
        {"#t": ["", "Grüße"], "ids": [HEX, HEX]},
    ],
)
def test_b5_unknown_filter_key_passes_through(value: dict[str, Any]) -> None:
    parsed = parse_filter(value)
    assert parsed is not None
    assert parsed.json == value


def test_d3_since_and_until_are_inclusive() -> None:
    (filter_,) = filters({"since": NOW, "until": NOW + 1})
    matching = [at for at in range(NOW - 2, NOW + 4) if filter_.matches(made(at))]
    assert matching == [NOW, NOW + 1]


def test_d3_all_fields_of_a_filter_and_any_filter_of_a_req_must_match() -> None:
    (filter_,) = filters({"kinds": [1], "authors": [ALICE], "#t": ["a"], "#p": [HEX]})
    tags = [["t", "a"], ["p", HEX]]
    assert filter_.matches(made(tags=tags))
    assert not filter_.matches(made(tags=tags, kind=2))
    assert not filter_.matches(made(tags=tags, pubkey=BOB))
    assert not filter_.matches(made(tags=tags[:1]))
    assert not filter_.matches(made(tags=[["t"], ["p", HEX]]))
    assert not filter_.matches(made(tags=[["t", "b", "a"], ["p", HEX]]))
    assert matches_any(filters({"kinds": [7]}, {"kinds": [2]}), made(kind=2))
    assert not matches_any(filters({"kinds": [7]}, {"kinds": [2]}), made(kind=1))


def test_d3_the_limit_plays_no_part_in_matching() -> None:
    (filter_,) = filters({"limit": 0})
    assert filter_.matches(made())


class CountedTags(list[list[str]]):
    """Tags that count how often somebody goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[list[str]]:
        self.walks += 1
        return super().__iter__()


def test_b7_thousands_of_tags_are_walked_once_for_all_filters() -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".replace("e", "")
    letters = letters.replace("p", "")
    tags = CountedTags([["a"]] * 10_000 + [[letter, "x"] for letter in letters])
    event = made(tags=tags)
    wanted = {f"#{letter}": ["x"] for letter in letters}
    some = parse_filters([{**wanted, "#e": ["0" * 64]}] * 10)
    assert not matches_any(some, event)
    assert tags.walks == 1
    assert matches_any([*some, *parse_filters([wanted])], event)


def test_d3_few_tags_and_many_are_matched_alike() -> None:
    (wanted,) = parse_filters([{"#t": ["a", "b"], "#x": ["c"]}])
    for rest in ([["y", "z"]], [["y", "z"]] * 1000):
        assert wanted.matches(made(tags=[*rest, ["t", "b"], ["x", "c", "d"]]))
        for tags in ([["t", "b"]], [["t"], ["x", "c"]], [["t", "c"], ["x", "a"]]):
            assert not wanted.matches(made(tags=[*rest, *tags]))


def test_a_changed_filter_leaves_the_client_s_own_alone() -> None:
    (filter_,) = filters({"kinds": [1], "limit": 5, "search": "x"})
    changed = filter_.replaced(since=7, limit=None, until=None)
    assert changed == {"kinds": [1], "search": "x", "since": 7}
    assert filter_.json == {"kinds": [1], "limit": 5, "search": "x"}


def test_e9_halves_together_match_what_the_whole_does() -> None:
    (whole,) = filters({"kinds": [1, 2, 3], "#t": ["a", "b"], "limit": 5, "since": 7})
    assert [half.json for half in whole.halves()] == [
        {"kinds": [1], "#t": ["a", "b"], "limit": 5, "since": 7},
        {"kinds": [2, 3], "#t": ["a", "b"], "limit": 5, "since": 7},
    ]
    (single,) = filters({"kinds": [1], "#t": ["a"], "search": "x", "future": [1, 2]})
    assert single.halves() == []


# --- as others read NIP-01

KEYS = [PrivateKey.from_hex(f"{number:064x}") for number in (1, 2, 3)]
AUTHORS = [key.public_key.hex() for key in KEYS]
names = st.sampled_from(["e", "p", "t", "d", "x", "E", "title"])
values = st.sampled_from([*AUTHORS, "0" * 64, "a", "A", "", "nostr"])
tag_lists = st.lists(
    st.one_of(
        st.tuples(names, values).map(list),
        st.tuples(names, values, values).map(list),
        names.map(lambda name: [name]),
    ),
    max_size=4,
)


@st.composite
def events(draw: st.DrawFn) -> SignedEvent:
    event = Event(
        "",
        None,
        draw(st.integers(NOW - 3, NOW + 3)),
        draw(st.sampled_from([0, 1, 4, 1059, 30023])),
        draw(tag_lists),
    )
    draw(st.sampled_from(KEYS)).sign_event(event)
    return SignedEvent.parse(json.dumps(event.to_dict()))


a_filter = st.fixed_dictionaries(
    {},
    optional={
        "authors": st.lists(st.sampled_from(AUTHORS), min_size=1, max_size=2),
        "kinds": st.lists(
            st.sampled_from([0, 1, 4, 1059, 30023]), min_size=1, max_size=3
        ),
        "since": st.integers(NOW - 3, NOW + 3),
        "until": st.integers(NOW - 3, NOW + 3),
        "limit": st.integers(1, 3),
        "#e": st.lists(st.sampled_from([*AUTHORS, "0" * 64]), min_size=1, max_size=2),
        "#p": st.lists(st.sampled_from([*AUTHORS, "0" * 64]), min_size=1, max_size=2),
        "#t": st.lists(values, min_size=1, max_size=3),
        "#d": st.lists(values, min_size=1, max_size=3),
        "#E": st.lists(values, min_size=1, max_size=3),
    },
)


@given(events(), a_filter, st.booleans())
@settings(max_examples=500, deadline=None)
def test_d3_events_match_as_nostr_sdk_says(
    event: SignedEvent, value: dict[str, Any], with_id: bool
) -> None:
    if with_id:
        value = value | {"ids": [event.id, "0" * 64]}
    theirs = nostr_sdk.Filter.from_json(json.dumps(value))
    parsed = parse_filter(value)
    assert parsed is not None
    expected = theirs.match_event(nostr_sdk.Event.from_json(event.text))
    assert parsed.matches(event) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["ids", "authors", "kinds", "since", "until", "limit", "#e"])
        | st.text(max_size=3),
        json_values,
        max_size=4,
    )
)
@example({"limit": 2**53 + 1})
def test_b5_whatever_a_client_sends_is_refused_or_fit_for_a_relay(
    value: dict[str, Any],
) -> None:
    try:
        parsed = parse_filter(value)
    except InvalidMessage:
        return
    if parsed is None:
        return
    for key in ("since", "until", "limit"):
        assert type(value.get(key, 0)) is int
        assert value.get(key, 0) >= 0
    for key in ("ids", "authors", "#e", "#p"):
        for item in value.get(key, []):
            assert item == bytes.fromhex(item).hex()
            assert len(item) == 64
    assert all(type(kind) is int for kind in value.get("kinds", []))
    parsed.matches(made())


@given(
    a_filter,
    st.fixed_dictionaries(
        {},
        optional={
            key: st.none() | st.integers(0, 2**40)
            for key in ("since", "until", "limit")
        },
    ),
)
def test_a_changed_filter_is_what_its_json_says(
    value: dict[str, Any], changes: dict[str, int | None]
) -> None:
    filter_ = parse_filter(value)
    assert filter_ is not None
    changed = filter_.changed(**changes)
    assert parse_filter(changed.json) == changed
    assert {key: changed.json.get(key) for key in changes} == changes
    wraps = changed.only_kind(1059)
    assert parse_filter(wraps.json) == wraps
    assert wraps.json["kinds"] == [1059]
