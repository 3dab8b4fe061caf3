"""The limits of a relay: announced ones (NIP-11) and learned ones.

Many relays announce nothing, or not what they enforce. A limit is learned when a relay
refuses or ignores something while it serves the rest. The smaller of an announced and a
learned limit counts.
"""

from __future__ import annotations

from typing import NamedTuple

MIN_MESSAGE_LENGTH = 4096  # bytes; below it no relay could serve anybody


class RelayLimits(NamedTuple):
    """Limits of one relay; None where nothing is known.

    `max_message_length` is in bytes, `max_limit` in events for each filter. With
    `first_limit` the `limit` of a REQ's first filter holds for all of them together,
    and a filter without `limit` is answered oldest first; it is the most to ask for.
    """

    max_message_length: int | None = None
    max_subscriptions: int | None = None
    max_filters: int | None = None
    max_limit: int | None = None
    first_limit: int | None = None


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
