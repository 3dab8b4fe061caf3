"""Who shares a wire where a relay allows few subscriptions."""

from dataclasses import replace

from nostrclient.nostr.limits import RelayLimits
from nostrclient.nostr.relay_subscription import (
    Part,
    RelaySubscription,
    RelaySubscriptionState,
    Request,
)
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.nostr.sharing import (
    allowed_live_wires,
    allowed_temporary_wires,
    find_share,
)

from .builders import NOW, filters


def part(*, size: int = 1, is_public: bool = False) -> Part:
    wanted = filters(*({"kinds": [kind]} for kind in range(size)))
    return Part(Request("r", wanted, NOW, lambda _: False, is_public), wanted)


def share(*parts: Part) -> RelaySubscription:
    subscription = RelaySubscription("s", DEFAULTS)
    for item in parts:
        subscription.add(item)
    return subscription


def test_e9_places_are_reckoned_in_wires_with_room_for_pages_and_a_probe() -> None:
    for allowed, live, temporary in ((1, 1, 1), (3, 1, 1), (20, 18, 1)):
        limits = RelayLimits(max_subscriptions=allowed)
        assert allowed_live_wires(limits) == live
        assert allowed_temporary_wires(limits) == temporary
    assert allowed_live_wires(RelayLimits()) is None
    assert allowed_temporary_wires(RelayLimits()) is None


def test_e9_private_and_public_clients_never_share() -> None:
    private, public = share(part()), share(part(is_public=True))
    both = [private, public]
    assert find_share(part(), both, RelayLimits(), DEFAULTS) is private
    found = find_share(part(is_public=True), both, RelayLimits(), DEFAULTS)
    assert found is public
    assert find_share(part(), [public], RelayLimits(), DEFAULTS) is None


def test_e9_smallest_share_with_room_is_joined() -> None:
    large, small = share(part(size=5)), share(part(size=2))
    limits = RelayLimits(max_filters=6)
    assert find_share(part(), [large, small], limits, DEFAULTS) is small
    assert find_share(part(size=5), [large, small], limits, DEFAULTS) is None
    settings = replace(DEFAULTS, max_shared_filters=3)
    assert find_share(part(size=2), [small], RelayLimits(), settings) is None


def test_e9_refused_polled_and_outcast_subscriptions_are_not_joined() -> None:
    closed, polled, outcast = (share(part()) for _ in range(3))
    closed.move(RelaySubscriptionState.CLOSED)
    polled.is_polled = True
    outcast.outcast = True
    found = find_share(part(), [closed, polled, outcast], RelayLimits(), DEFAULTS)
    assert found is None
