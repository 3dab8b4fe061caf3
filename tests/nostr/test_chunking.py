"""How filters become REQs that a relay takes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.chunking import (
    chunk,
    encode_req,
    fits,
    split_restricted,
    split_to_fit,
)
from nostrclient.nostr.limits import RelayLimits

from .builders import filters, made

RESTRICTED = frozenset((4, 1059))


def test_e9_limit_of_a_filter_never_exceeds_the_relays() -> None:
    wanted = filters({"limit": 500}, {"limit": 5}, {})
    text = encode_req("a", wanted, RelayLimits(max_limit=100))
    assert json.loads(text) == ["REQ", "a", {"limit": 100}, {"limit": 5}, {}]


def test_e9_one_limit_for_all_filters_cuts_none_of_them() -> None:
    limits = RelayLimits(max_limit=5000, max_filters=3, first_limit=5000)
    wanted = filters({"kinds": [1], "limit": 1}, {"kinds": [7]}, {"#t": ["a"]})
    assert [len(group) for group in chunk(wanted, limits)] == [2, 1]
    assert fits(wanted[:2], limits)
    assert not fits(wanted, limits)
    assert json.loads(encode_req("a", wanted[:2], limits))[2:] == [
        {"ids": ["0" * 64], "kinds": [1], "limit": 5000},
        {"kinds": [1], "limit": 1},
        {"kinds": [7], "limit": 5000},
    ]
    assert json.loads(encode_req("a", wanted[1:2], limits))[2:] == [
        {"kinds": [7], "limit": 5000}
    ]


def test_e9_filters_are_chunked_by_number_and_length() -> None:
    wanted = filters(*({"kinds": [kind]} for kind in range(7)))
    chunks = chunk(wanted, RelayLimits(max_filters=3))
    assert [len(group) for group in chunks] == [3, 3, 1]
    assert chunk(wanted, RelayLimits()) == [list(wanted)]
    long = filters(*({"#t": ["x" * 900, str(number)]} for number in range(8)))
    limits = RelayLimits(max_message_length=4096)
    chunks = chunk(long, limits)
    assert len(chunks) > 1
    assert all(fits(group, limits) for group in chunks)
    assert [item for group in chunks for item in group] == list(long)


def test_e9_filter_that_is_too_long_is_split_or_left_out() -> None:
    limits = RelayLimits(max_message_length=4096)
    (authors,) = filters({"authors": [f"{number:064x}" for number in range(200)]})
    parts = split_to_fit([authors], limits)
    assert len(parts) > 1
    assert frozenset().union(*(part.authors or () for part in parts)) == authors.authors
    assert split_to_fit(filters({"search": "x" * 5000}), limits) == []


def test_h1_mixed_kinds_are_split_and_others_stay_whole() -> None:
    open_, restricted = split_restricted(
        filters({"kinds": [1, 4, 30017]}, {"kinds": [0]}, {"kinds": [1059]}), RESTRICTED
    )
    assert [item.json for item in open_] == [{"kinds": [1, 30017]}, {"kinds": [0]}]
    assert [item.json for item in restricted] == [{"kinds": [4]}, {"kinds": [1059]}]


def test_h1_filter_without_kinds_goes_out_whole_and_once_more_restricted() -> None:
    wanted = filters({"#p": ["ab" * 32]})
    open_, restricted = split_restricted(wanted, RESTRICTED)
    assert open_ == list(wanted)
    ids = filters({"ids": ["cd" * 32]}, {"ids": ["cd" * 32], "#p": ["ab" * 32]})
    assert [item.ids is not None for item in split_restricted(ids, RESTRICTED)[1]] == [
        True
    ], "nobody's key is named by ids alone"
    assert [item.json for item in restricted] == [
        {"#p": ["ab" * 32], "kinds": [4, 1059]}
    ]


@given(
    st.none() | st.lists(st.sampled_from([0, 1, 4, 1059, 30017]), min_size=1),
    st.sampled_from([0, 1, 4, 1059, 30017]),
)
def test_h1_split_filters_match_what_the_whole_one_matches(
    kinds: list[int] | None, kind: int
) -> None:
    wanted = filters({} if kinds is None else {"kinds": kinds})
    open_, restricted = split_restricted(wanted, RESTRICTED)
    event = made(kind=kind)
    assert any(item.matches(event) for item in [*open_, *restricted]) == (
        wanted[0].matches(event)
    )
    assert not any(item.matches(made(kind=1)) for item in restricted)
