"""Chooses the parts of REQs that share a wire on a relay with few subscriptions.

Private and public clients never share. A shared REQ holds at most
`max_shared_filters` filters, and no more than the relay takes. Parts for which there is
no room at all are polled: sent on a temporary wire from time to time.
"""

from __future__ import annotations

from collections.abc import Iterable

from .chunking import fits
from .limits import RelayLimits
from .relay_subscription import Part, RelaySubscription, RelaySubscriptionState
from .settings import Settings

SPARE_SUBSCRIPTIONS = 2  # of those a relay allows: one for gaps and pages, one to probe


def allowed_live_wires(limits: RelayLimits) -> int | None:
    """Return how many live wires may be open; None: as many as there are."""
    if limits.max_subscriptions is None:
        return None
    return max(1, limits.max_subscriptions - SPARE_SUBSCRIPTIONS)


def allowed_temporary_wires(limits: RelayLimits) -> int | None:
    """Return how many gaps, pages and polls may be open; None: as many as there are."""
    live = allowed_live_wires(limits)
    if live is None or limits.max_subscriptions is None:
        return None
    return max(1, limits.max_subscriptions - live - 1)


def takes_a_place(subscription: RelaySubscription) -> bool:
    """Return whether a subscription has, or is about to have, a live wire."""
    return (
        subscription.state is not RelaySubscriptionState.CLOSED
        and not subscription.is_polled
        and not subscription.outcast
    )


def find_share(
    part: Part,
    subscriptions: Iterable[RelaySubscription],
    limits: RelayLimits,
    settings: Settings,
) -> RelaySubscription | None:
    """Return the subscription that a part joins; None where none has room for it.

    It is the first one with the fewest filters.
    """
    found: RelaySubscription | None = None
    # Each part that is placed looks at all of them: the cheapest question comes first.
    fewer_than = settings.max_shared_filters - len(part.filters) + 1
    for subscription in subscriptions:
        if (
            subscription.filter_count >= fewer_than
            or not takes_a_place(subscription)
            or subscription.is_public != part.request.is_public
        ):
            continue
        if has_room(subscription, part, limits, settings):
            found = subscription
            fewer_than = found.filter_count
            if fewer_than <= 1:
                break  # none has fewer
    return found


def has_room(
    subscription: RelaySubscription, part: Part, limits: RelayLimits, settings: Settings
) -> bool:
    """Return whether a part fits into a subscription's REQ beside the others."""
    together = [
        filter_ for other in (*subscription.parts, part) for filter_ in other.filters
    ]
    if len(together) > settings.max_shared_filters:
        return False
    return fits(together, limits)
