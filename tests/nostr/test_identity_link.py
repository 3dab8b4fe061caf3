"""One link of a reader key, or of several: what it carries."""

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.filter import Filter
from nostrclient.nostr.identity_link import SEVERAL, IdentityLink
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.outbox import OutgoingEvent
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayRecord
from nostrclient.nostr.relay_subscription import Request
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, filters, signed

ONE, TWO = PrivateKey(), PrivateKey()


def link_of(*keys: PrivateKey, several: bool = False) -> IdentityLink:
    manager = RelayManager()
    relay = RelayRecord("wss://relay.example", DEFAULTS)
    return IdentityLink(
        relay, keys, manager.reports, manager.links, DEFAULTS, several=several
    )


def wanted(key: PrivateKey, kind: int = 4) -> tuple[Filter, ...]:
    return filters({"kinds": [kind], "#p": [key.public_key.hex()]})


def a_request(upstream_id: str = "a") -> Request:
    return Request(upstream_id, (), float(NOW), lambda event_id: False)


def carried(link: IdentityLink) -> dict[str, list[object]]:
    return {
        request.upstream_id: [item.json for item in request.filters]
        for request, _ in link.carried()
    }


def test_h3_parts_of_one_req_are_carried_together() -> None:
    link, pubkey = link_of(ONE), ONE.public_key.hex()
    assert link.subscribe(a_request(), {pubkey: wanted(ONE)})
    assert link.subscribe(a_request(), {pubkey: wanted(ONE, 1059)})
    assert not link.subscribe(a_request(), {pubkey: wanted(ONE)})
    both = [*wanted(ONE), *wanted(ONE, 1059)]
    assert carried(link) == {"a": [item.json for item in both]}
    link.unsubscribe("a")
    assert carried(link) == {}
    assert link.idle_since is not None


def test_h3_removed_key_takes_its_filters_with_it() -> None:
    link = link_of(ONE, TWO, several=True)
    one, two = ONE.public_key.hex(), TWO.public_key.hex()
    link.subscribe(a_request(), {one: wanted(ONE), two: wanted(TWO)})
    link.subscribe(a_request("b"), {two: wanted(TWO)})
    assert link.remove_key(two)
    assert link.pubkeys == [one]
    assert carried(link) == {"a": [item.json for item in wanted(ONE)]}
    assert link.idle_since is None
    assert not link.remove_key(one)
    assert carried(link) == {}


def test_h4_link_of_several_keys_has_the_name_of_none() -> None:
    assert link_of(ONE).link_key == ONE.public_key.hex()
    assert link_of(ONE, several=True).link_key == SEVERAL


def test_c2_unanswered_event_is_sent_again_on_the_same_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    link, event = link_of(ONE), signed()
    link.publish(OutgoingEvent(event, None))
    sent_at: list[float] = []
    while now[0] < 1300:
        events, again = link.take_events(link.record, 10)
        sent_at += [now[0] - 1000] * len(events)
        assert again is not None
        assert again > now[0]
        now[0] = again
    assert sent_at == [0, 30, 90, 210]
    link.relay_answered(link.record, event.id, True, "")
    assert link.take_events(link.record, 10) == ([], None)
