"""Turns filters into REQs that a relay accepts: split, chunked, encoded (NIP-01)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import message
from .filter import Filter
from .limits import RelayLimits

WIRE_ID_CHARACTERS = 64
NO_ID = "0" * 64  # the id of no event
GROWTH_CHARACTERS = 24  # of a filter that is sent again with a `since` or a `limit`


def encode_req(wire_id: str, filters: Sequence[Filter], limits: RelayLimits) -> str:
    """Return the text of a REQ; no `limit` in it exceeds the relay's.

    Where the first `limit` holds for all filters, the first filter matches nothing and
    has the largest one. It names the kinds of the next one: where all filters are of
    restricted kinds, the relay asks for AUTH.
    """
    bodies = [_body(filter_, limits) for filter_ in filters]
    if limits.first_limit is not None and len(filters) > 1:
        first: dict[str, Any] = {"ids": [NO_ID], "limit": limits.first_limit}
        if filters[0].kinds is not None:
            first["kinds"] = sorted(filters[0].kinds)
        bodies.insert(0, first)
    return message.encode("REQ", wire_id, *bodies)


def _body(filter_: Filter, limits: RelayLimits) -> dict[str, Any]:
    if filter_.limit is None:
        if limits.first_limit is None:
            return filter_.json
        return filter_.replaced(limit=limits.first_limit)  # newest first
    if limits.max_limit is None or filter_.limit <= limits.max_limit:
        return filter_.json
    return filter_.replaced(limit=limits.max_limit)


def _max_filters(limits: RelayLimits) -> int | None:
    if limits.max_filters is None or limits.first_limit is None:
        return limits.max_filters
    return max(1, limits.max_filters - 1)


def split_to_fit(filters: Sequence[Filter], limits: RelayLimits) -> list[Filter]:
    """Return filters that match the same and each fit one message of the relay.

    A filter that is too long and has no list to split is left out.
    """
    if limits.max_message_length is None:
        return list(filters)
    found: list[Filter] = []
    remaining = list(reversed(filters))
    while remaining:
        filter_ = remaining.pop()
        if _fits([filter_], limits):
            found.append(filter_)
        else:
            remaining += reversed(filter_.halves())
    return found


def chunk(filters: Sequence[Filter], limits: RelayLimits) -> list[list[Filter]]:
    """Return the filters in as few groups as the relay's limits for one REQ allow."""
    max_filters = _max_filters(limits) or len(filters)
    chunks: list[list[Filter]] = []
    for filter_ in filters:
        if chunks and len(chunks[-1]) < max_filters:
            larger = [*chunks[-1], filter_]
            if limits.max_message_length is None or _fits(larger, limits):
                chunks[-1] = larger
                continue
        chunks.append([filter_])
    return chunks


def fits(filters: Sequence[Filter], limits: RelayLimits) -> bool:
    """Return whether one REQ of the relay takes all of these filters."""
    max_filters = _max_filters(limits)
    if max_filters is not None and len(filters) > max_filters:
        return False
    return limits.max_message_length is None or _fits(filters, limits)


def _fits(filters: Sequence[Filter], limits: RelayLimits) -> bool:
    text = encode_req("x" * WIRE_ID_CHARACTERS, filters, limits)
    room = len(filters) * GROWTH_CHARACTERS
    return len(text) + room <= (limits.max_message_length or 0)


def split_restricted(
    filters: Sequence[Filter], restricted_kinds: frozenset[int]
) -> tuple[list[Filter], list[Filter]]:
    """Return the filters without, and those with, kinds that a relay may withhold.

    A filter of several kinds is split. One without kinds goes out as it is, and once
    more with the restricted kinds: a relay that leaves events out of a mixed answer has
    to say `auth-required` to the second one.
    """
    open_filters: list[Filter] = []
    restricted: list[Filter] = []
    for filter_ in filters:
        if filter_.kinds is None:
            open_filters.append(filter_)
            names_keys = filter_.authors or any(name == "p" for name, _ in filter_.tags)
            if filter_.ids is None or names_keys:
                restricted.append(filter_.only_kinds(restricted_kinds))
            continue
        named = filter_.kinds & restricted_kinds
        others = filter_.kinds - restricted_kinds
        if others:
            open_filters.append(filter_.only_kinds(others) if named else filter_)
        if named:
            restricted.append(filter_.only_kinds(named) if others else filter_)
    return open_filters, restricted
