"""Filters (NIP-01): validate them once, then match events against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import InvalidMessage
from .event import SignedEvent

MAX_KIND = 65535
MAX_INTEGER = 2**53
FEW_TAGS = 16  # up to here a loop is faster than building an index
MAX_DEPTH = 16  # of the value of an unknown key

_HEX_DIGITS = frozenset("0123456789abcdef")
_HEX_LISTS = ("ids", "authors")
_INTEGERS = ("since", "until", "limit")


class TagValues:
    """The values of an event's tags, indexed by name on first use.

    Without the index, an event with tens of thousands of tags and a few filters that
    name every letter would occupy a relay's thread for minutes.
    """

    def __init__(self, event: SignedEvent) -> None:
        self._tags = event.tags
        self._by_name: dict[str, set[str]] | None = None

    def hold(self, name: str, values: frozenset[str]) -> bool:
        """Return whether a tag of this name has one of these values."""
        if len(self._tags) <= FEW_TAGS:
            return any(
                len(tag) > 1 and tag[0] == name and tag[1] in values
                for tag in self._tags
            )
        if self._by_name is None:
            self._by_name = self._walk()
        return not values.isdisjoint(self._by_name.get(name, ()))

    def _walk(self) -> dict[str, set[str]]:
        by_name: dict[str, set[str]] = {}
        for tag in self._tags:
            if len(tag) > 1:
                by_name.setdefault(tag[0], set()).add(tag[1])
        return by_name


class Filter(NamedTuple):
    """One validated filter of a REQ.

    `json` is the filter as the client wrote it, and is what relays are sent. It
    includes unknown keys, such as `search` (NIP-50). Events are matched against the
    other fields; None means that the filter does not have this key.
    """

    json: dict[str, Any]
    ids: frozenset[str] | None
    authors: frozenset[str] | None
    kinds: frozenset[int] | None
    since: int | None
    until: int | None
    limit: int | None
    tags: tuple[tuple[str, frozenset[str]], ...]

    @property
    def is_search(self) -> bool:
        """Whether only a relay that searches can serve it (NIP-50)."""
        return "search" in self.json

    def matches(self, event: SignedEvent, tags: TagValues | None = None) -> bool:
        """Return whether the event matches (NIP-01); `limit` plays no part.

        `tags` may be shared between filters that are matched against one event.
        """
        if self.kinds is not None and event.kind not in self.kinds:
            return False
        if self.authors is not None and event.pubkey not in self.authors:
            return False
        if self.ids is not None and event.id not in self.ids:
            return False
        if self.since is not None and event.created_at < self.since:
            return False
        if self.until is not None and event.created_at > self.until:
            return False
        if not self.tags:
            return True
        tags = tags or TagValues(event)
        return all(tags.hold(name, values) for name, values in self.tags)

    def replaced(self, **changes: Any) -> dict[str, Any]:
        """Return the filter's JSON with some keys changed; None removes a key."""
        changed = dict(self.json)
        for key, value in changes.items():
            if value is None:
                changed.pop(key, None)
            else:
                changed[key] = value
        return changed

    def changed(self, **changes: int | None) -> Filter:
        """Return the filter with another `since`, `until` or `limit`; None removes it.

        The numbers are not validated, so pass only numbers of our own.
        """
        json = self.replaced(**changes)
        return self._replace(
            json=json,
            since=json.get("since"),
            until=json.get("until"),
            limit=json.get("limit"),
        )

    def only_kind(self, kind: int) -> Filter:
        """Return the filter restricted to one kind."""
        return self.only_kinds(frozenset((kind,)))

    def only_kinds(self, kinds: frozenset[int]) -> Filter:
        """Return the filter restricted to these kinds."""
        return self._replace(json=self.replaced(kinds=sorted(kinds)), kinds=kinds)

    def only_ids(self, ids: Sequence[str]) -> Filter:
        """Return the filter restricted to these ids, without a `limit`."""
        json = self.replaced(ids=list(ids), limit=None)
        return self._replace(json=json, ids=frozenset(ids), limit=None)

    def halves(self) -> list[Filter]:
        """Return two filters that together match the same events, or an empty list.

        The longest list of the filter is cut in two. `limit` then holds for each half.
        """
        keys = ["ids", "authors", "kinds", *(f"#{name}" for name, _ in self.tags)]
        sizes = [(len(self.json.get(key, ())), key) for key in keys]
        size, key = max(sizes)
        if size < 2:
            return []
        values = self.json[key]
        parts = values[: size // 2], values[size // 2 :]
        found = (parse_filter(self.replaced(**{key: part})) for part in parts)
        return [filter_ for filter_ in found if filter_ is not None]


def parse_filter(value: object) -> Filter | None:
    """Validate one filter of a REQ or COUNT (NIP-01).

    Return None for a filter with an empty list, because it matches nothing. Raises
    `InvalidMessage` for a filter that a relay may refuse.
    """
    if not isinstance(value, dict):
        raise InvalidMessage("a filter must be a JSON object")
    empty = False
    tags: list[tuple[str, frozenset[str]]] = []
    for key, item in value.items():
        if key in _HEX_LISTS:
            _check_hex_list(key, item)
        elif key == "kinds":
            _check_kinds(item)
        elif key in _INTEGERS:
            _check_integer(key, item)
            continue
        elif key.startswith("#"):
            if len(key) != 2:
                _check_unknown(key, item)
                continue  # not a tag filter of NIP-01; relays decide what it means
            _check_tag_list(key, item)
            tags.append((key[1], frozenset(item)))
        else:
            _check_unknown(key, item)
            continue
        empty = empty or not item
    if empty:
        return None
    return Filter(
        json=value,
        ids=_as_set(value, "ids"),
        authors=_as_set(value, "authors"),
        kinds=_as_set(value, "kinds"),
        since=value.get("since"),
        until=value.get("until"),
        limit=value.get("limit"),
        tags=tuple(tags),
    )


def parse_filters(values: Sequence[object]) -> tuple[Filter, ...]:
    """Validate the filters of a REQ or COUNT and drop those that match nothing.

    Raises `InvalidMessage` if there is no filter or an invalid one.
    """
    if not values:
        raise InvalidMessage("at least one filter is needed")
    parsed = (parse_filter(value) for value in values)
    return tuple(filter_ for filter_ in parsed if filter_ is not None)


def first_match(
    filters: Sequence[Filter], event: SignedEvent, tags: TagValues
) -> int | None:
    """Return the place of the first filter that matches the event; None: none does."""
    for number, filter_ in enumerate(filters):
        if filter_.matches(event, tags):
            return number
    return None


def matches_any(
    filters: Sequence[Filter], event: SignedEvent, tags: TagValues | None = None
) -> bool:
    """Return whether any filter matches the event; `tags` as in `Filter.matches`."""
    tags = tags or TagValues(event)
    for filter_ in filters:  # noqa: SIM110  # `any` takes twice as long
        if filter_.matches(event, tags):
            return True
    return False


def _as_set(value: dict[str, Any], key: str) -> frozenset[Any] | None:
    return frozenset(value[key]) if key in value else None


def _check_hex_list(key: str, item: object) -> None:
    _check_strings(key, item)
    for text in item:  # type: ignore[attr-defined]  # a list, just checked
        if len(text) != 64 or not _HEX_DIGITS.issuperset(text):
            raise InvalidMessage(f"'{key}' must hold 64 lower-case hex digits each")


def _check_tag_list(key: str, item: object) -> None:
    if not (key[1].isascii() and key[1].isalpha()):
        raise InvalidMessage("a tag filter must name a letter")
    _check_strings(key, item)
    if key in ("#e", "#p"):
        _check_hex_list(key, item)


def _check_strings(key: str, item: object) -> None:
    if not isinstance(item, list) or not all(isinstance(text, str) for text in item):
        raise InvalidMessage(f"'{key}' must be a list of strings")
    if not _is_unicode("".join(item)):
        raise InvalidMessage(f"'{key}' holds half a surrogate pair")


def _check_kinds(item: object) -> None:
    if not isinstance(item, list) or not all(
        type(kind) is int and 0 <= kind <= MAX_KIND for kind in item
    ):
        raise InvalidMessage(f"'kinds' must be a list of integers from 0 to {MAX_KIND}")


def _check_integer(key: str, item: object) -> None:
    if type(item) is not int or not 0 <= item <= MAX_INTEGER:
        raise InvalidMessage(f"'{key}' must be a non-negative integer")


def _check_unknown(key: str, item: object) -> None:
    """Check that every JSON parser reads the value alike; relays drop us otherwise."""
    if key == "search" and not isinstance(item, str):
        raise InvalidMessage("'search' must be a string")
    if not _is_unicode(key) or not _is_plain(item, MAX_DEPTH):
        raise InvalidMessage("a filter holds what not every JSON reader takes")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can express
        return False
    return True


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _is_unicode(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, dict):
        return depth > 0 and all(
            _is_unicode(key) and _is_plain(item, depth - 1)
            for key, item in value.items()
        )
    return value is None
