"""The limits of a relay: announced ones (NIP-11) and learned ones.

Many relays announce nothing, or not what they enforce. A limit is learned when a relay
refuses or ignores something while it serves the rest. The smaller of an announced and a
learned limit counts.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from .event import SignedEvent

MIN_MESSAGE_LENGTH = 4096  # bytes; below it no relay could serve anybody
CLOCK_SECONDS = 60  # by which a relay's clock and ours may differ
_ID_BITS = 256


class RelayLimits(NamedTuple):
    """Limits of one relay; None where nothing is known.

    `max_message_length` is in bytes, `max_limit` in events for each filter. With
    `first_limit` the `limit` of a REQ's first filter holds for all of them together,
    and a filter without `limit` is answered oldest first; it is the most to ask for.
    `default_limit` holds for a filter without `limit`.
    """

    max_message_length: int | None = None
    max_subscriptions: int | None = None
    max_filters: int | None = None
    max_limit: int | None = None
    first_limit: int | None = None
    default_limit: int | None = None


class EventLimits(NamedTuple):
    """What a relay announces of the events that it takes (NIP-11); None: nothing.

    `created_at_lower_limit` and `created_at_upper_limit` are seconds before and after
    the present.
    """

    created_at_lower_limit: int | None = None
    created_at_upper_limit: int | None = None
    max_event_tags: int | None = None
    max_content_length: int | None = None
    min_pow_difficulty: int | None = None

    def refusal(self, event: SignedEvent, wall: float) -> str | None:
        """Return why the relay must refuse an event, as an OK message, or None.

        `wall` is in Unix seconds. An event at the very limit is left to the relay.
        """
        oldest, newest = self.created_at_lower_limit, self.created_at_upper_limit
        age = wall - event.created_at
        if oldest is not None and age > oldest + CLOCK_SECONDS:
            return f"invalid: the relay takes no events older than {oldest} s"
        if newest is not None and -age > newest + CLOCK_SECONDS:
            return f"invalid: the relay takes no events of more than {newest} s ahead"
        most = self.max_event_tags
        if most is not None and len(event.tags) > most:
            return f"invalid: the relay takes up to {most} tags"
        longest = self.max_content_length
        if (
            longest is not None
            and len(event.text) > longest
            and len(json.loads(event.text)["content"]) > longest
        ):
            return f"invalid: the relay takes up to {longest} characters of content"
        least = self.min_pow_difficulty
        if least is not None and _difficulty(event.id) < least:
            return f"pow: the relay wants {least} bits of work"
        return None


def _difficulty(event_id: str) -> int:
    """Return an event's proof of work: the leading zero bits of its id (NIP-13)."""
    return _ID_BITS - int(event_id, 16).bit_length()


class Limits(NamedTuple):
    """The announced and the learned limits of one relay, and what follows from both."""

    announced: RelayLimits = RelayLimits()
    learned: RelayLimits = RelayLimits()

    @property
    def effective(self) -> RelayLimits:
        """The smaller of each announced and learned limit."""
        pairs = zip(self.announced, self.learned, strict=True)
        return RelayLimits(*(_smaller(one, other) for one, other in pairs))

    def announce(self, announced: RelayLimits) -> Limits:
        """Return these limits with what the relay announces now."""
        return self._replace(announced=announced)

    def learn(
        self,
        *,
        message_length: int | None = None,
        subscriptions: int | None = None,
        filters: int | None = None,
    ) -> Limits:
        """Return these limits with what was learned; a learned limit only shrinks."""
        known = self.learned
        if message_length is not None:
            message_length = max(MIN_MESSAGE_LENGTH, message_length)
        return self._replace(
            learned=known._replace(
                max_message_length=_smaller(known.max_message_length, message_length),
                max_subscriptions=_smaller(known.max_subscriptions, subscriptions),
                max_filters=_smaller(known.max_filters, filters),
            )
        )

    def forget_learned(self) -> Limits:
        """Return the announced limits alone: relays change."""
        return self._replace(learned=RelayLimits())


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
