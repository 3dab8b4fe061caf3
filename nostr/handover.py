"""The state that one generation of this code passes to the next in a process.

After an upgrade at run time both generations are loaded, and their classes are
different objects. So the state crosses as plain data: dictionaries, lists, texts and
numbers. Versions add fields and never change one; a field that the other generation
does not know is left out, one that it lacks has its default here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from .log import logger

HANDOVER_VERSION = 2


class RelayState(NamedTuple):
    """A relay and what it is used for; `extension`: by that one alone."""

    url: str
    active: bool = True
    read: bool = True
    write: bool = True
    extension: str | None = None
    route: str = "default"


class SubscriptionState(NamedTuple):
    """A subscription opened in this process; `seen` are keys of delivered events."""

    id: str
    filters: list[Any]
    seen: Sequence[int] = ()
    extension: str | None = None


class EventState(NamedTuple):
    """A pending event; `owed` are the relays that have not answered for good.

    `publishers` are who asked for it, with the relays that they named; None: a client
    that named none.
    """

    text: str
    is_public: bool = False
    age_seconds: float = 0.0
    accepted: bool = False
    owed: Sequence[str] = ()
    extension: str | None = None
    publishers: Mapping[str, Sequence[str] | None] | None = None


class Handover(NamedTuple):
    """The state of a generation that is in no database."""

    relays: list[RelayState]
    subscriptions: list[SubscriptionState]
    events: list[EventState]

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {
            "version": HANDOVER_VERSION,
            "relays": [item._asdict() for item in self.relays],
            "subscriptions": [item._asdict() for item in self.subscriptions],
            "events": [item._asdict() for item in self.events],
        }

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Handover:
        """Return the state from plain data of this version or any other."""
        return cls(
            list(_items(state, "relays", RelayState)),
            list(_items(state, "subscriptions", SubscriptionState)),
            list(_items(state, "events", EventState)),
        )


Item = TypeVar("Item", RelayState, SubscriptionState, EventState)


def _items(
    state: Mapping[str, Any], name: str, item_type: type[Item]
) -> Iterator[Item]:
    for plain in state.get(name, ()):
        known = {key: plain[key] for key in item_type._fields if key in plain}
        try:
            yield item_type(**known)
        except TypeError as error:  # it lacks what makes it one
            logger.warning(f"handover: one of the {name} is left out: {error}")
