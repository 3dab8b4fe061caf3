"""What people might send: any JSON, and messages that are almost right."""

import json
from typing import Any

from hypothesis import strategies as st

from nostrclient.nostr.event import Event
from nostrclient.nostr.key import PrivateKey

Json = Any

# Also halves of surrogate pairs, which JSON can spell and UTF-8 cannot.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**400, 2**53, 2**53 + 1, 2**63, 2**64, 65535, 65536]),
    st.floats(),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)


def _children(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)
    )


values = st.recursive(scalars, _children, max_leaves=12)

hex_ids = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
subscription_ids = st.one_of(
    st.sampled_from(["s", "t", "", "x" * 64, "x" * 65, '"', "\\", "\u2028", "\ud800"]),
    texts,
)

_KEYS = [PrivateKey.from_hex(f"{number:064x}") for number in (1, 2)]
tags = st.lists(
    st.lists(st.sampled_from(["e", "p", "a", "t", "d", "-", "x", ""]), min_size=1),
    max_size=3,
)


@st.composite
def signed_events(draw: st.DrawFn) -> dict[str, Any]:
    """Give events that hold."""
    event = Event(
        draw(st.text(max_size=10)),
        created_at=draw(st.integers(0, 2**40)),
        kind=draw(st.sampled_from([0, 1, 3, 5, 1059, 20000, 22242, 30000, 65535])),
        tags=draw(tags),
    )
    draw(st.sampled_from(_KEYS)).sign_event(event)
    return dict(event.to_dict())


@st.composite
def broken_events(draw: st.DrawFn) -> dict[str, Any]:
    """Give events of which something is missing or wrong."""
    event = draw(signed_events())
    for key in draw(st.lists(st.sampled_from(sorted(event)), max_size=2)):
        if draw(st.booleans()):
            event.pop(key, None)
        else:
            event[key] = draw(st.one_of(values, hex_ids))
    if draw(st.booleans()):
        event[draw(texts)] = draw(values)
    return event


events = st.one_of(signed_events(), broken_events())

_FILTER_KEYS = {
    "ids": st.lists(hex_ids, max_size=3),
    "authors": st.lists(hex_ids, max_size=3),
    "kinds": st.lists(st.integers(-1, 65536), max_size=3),
    "since": numbers,
    "until": numbers,
    "limit": numbers,
    "#e": st.lists(hex_ids, max_size=3),
    "#t": st.lists(texts, max_size=3),
    "#d": values,
    "#x": values,
    "#1": values,
    "#tt": values,
    "#": values,
    "search": st.one_of(texts, values),
}


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    """Give filters, many of them good ones."""
    keys = draw(st.lists(st.sampled_from(sorted(_FILTER_KEYS)), max_size=4))
    found = {key: draw(_FILTER_KEYS[key]) for key in keys}
    if draw(st.integers(0, 5)) == 0:
        found[draw(texts)] = draw(values)
    if found and draw(st.integers(0, 5)) == 0:
        found[draw(st.sampled_from(sorted(found)))] = draw(values)
    return found


verbs = st.sampled_from(
    ["EVENT", "REQ", "COUNT", "CLOSE", "AUTH", "OK", "EOSE", "CLOSED", "NOTICE", "NEG"]
)


def as_text(value: Json) -> str:
    """Spell JSON; what no JSON number can say becomes one that is too large."""
    return json.dumps(value).replace("Infinity", "1e999")


def spelled(messages: st.SearchStrategy[Json]) -> st.SearchStrategy[str]:
    """Spell messages as somebody might."""
    return st.tuples(messages, st.sampled_from(["", " ", "\n", "\u00a0"])).map(
        lambda pair: pair[1] + as_text(pair[0])
    )


client_messages = st.one_of(
    st.tuples(st.just("EVENT"), events),
    st.tuples(st.just("REQ"), subscription_ids, filters()),
    st.tuples(st.just("REQ"), subscription_ids, filters(), filters()),
    st.tuples(st.just("COUNT"), subscription_ids, filters()),
    st.tuples(st.just("CLOSE"), subscription_ids),
    st.tuples(st.just("AUTH"), events),
    st.tuples(verbs, values, values),
    st.lists(values, max_size=3),
    values,
)
client_texts = st.one_of(spelled(client_messages), st.text(max_size=30))


def relay_messages(
    upstream_ids: st.SearchStrategy[str],
) -> st.SearchStrategy[Json]:
    """Give what a relay might say about these subscriptions."""
    return st.one_of(
        st.tuples(st.just("EVENT"), upstream_ids, events),
        st.tuples(st.just("EOSE"), upstream_ids),
        st.tuples(st.just("CLOSED"), upstream_ids, texts),
        st.tuples(st.just("CLOSED"), upstream_ids, st.just("auth-required: please")),
        st.tuples(
            st.just("COUNT"), upstream_ids, st.fixed_dictionaries({"count": values})
        ),
        st.tuples(st.just("OK"), hex_ids, st.booleans(), texts),
        st.tuples(st.just("NOTICE"), texts),
        st.tuples(st.just("AUTH"), texts),
        st.tuples(verbs, values, values, values),
        st.lists(values, max_size=3),
        values,
    )
