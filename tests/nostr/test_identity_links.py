"""The filters that go over a reader key's link, and the keys that relays want."""

from dataclasses import replace

from nostrclient.nostr.filter import parse_filter
from nostrclient.nostr.identity_links import IdentityLinks, narrow_to_key
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayRecord
from nostrclient.nostr.relay_subscription import Request
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW

SHOP, CUSTOMER, OTHER = ("a" * 64, "b" * 64, "c" * 64)


def narrowed(*filters: dict[str, object]) -> list[dict[str, object]]:
    parsed = [found for item in filters if (found := parse_filter(item)) is not None]
    return [item.replaced() for item in narrow_to_key(parsed, SHOP)]


def test_h3_filters_that_name_no_key_are_left_out() -> None:
    shop = {"kinds": [4], "#p": [SHOP, OTHER], "limit": 5}
    assert narrowed({"kinds": [4]}, {"#p": [OTHER]}, {"ids": [SHOP]}, shop) == [
        {"kinds": [4], "#p": [SHOP], "limit": 5}
    ]


def test_h3_author_is_narrowed_and_recipients_stay() -> None:
    sent = {"kinds": [4], "authors": [OTHER, SHOP], "#p": [CUSTOMER]}
    assert narrowed(sent) == [{"kinds": [4], "authors": [SHOP], "#p": [CUSTOMER]}]


def test_h3_filter_of_a_conversation_brings_both_directions() -> None:
    both = [SHOP, CUSTOMER]
    assert narrowed({"kinds": [4], "authors": both, "#p": both}) == [
        {"kinds": [4], "authors": both, "#p": [SHOP]},
        {"kinds": [4], "authors": [SHOP], "#p": both},
    ]


def links_with(*keys: PrivateKey, most: int = 3) -> IdentityLinks:
    manager = RelayManager(replace(DEFAULTS, max_wanted_keys=most))
    for key in keys:
        manager.links.add_key(key)
    return manager.links


def wants(links: IdentityLinks, *pubkeys: str) -> None:
    relay = RelayRecord("wss://relay.example", DEFAULTS)
    for pubkey in pubkeys:
        parsed = parse_filter({"kinds": [4], "#p": [pubkey]})
        assert parsed is not None
        # Its subscription is closed already, so that no link opens.
        request = Request("gone", (parsed,), float(NOW), lambda event_id: False)
        links.open(relay, [request])


def test_h8_of_too_many_wanted_keys_the_oldest_is_forgotten() -> None:
    links = links_with()
    wants(links, SHOP, CUSTOMER, OTHER, SHOP, "d" * 64)
    assert list(links.wanted_keys("wss://relay.example")) == [OTHER, SHOP, "d" * 64]


def test_h8_keys_of_strangers_push_out_no_key_that_is_held() -> None:
    key = PrivateKey()
    links = links_with(key)
    wants(links, key.public_key.hex(), *(f"{number:064x}" for number in range(1, 200)))
    wanted = links.wanted_keys("wss://relay.example")
    assert len(wanted) == 3
    assert wanted[key.public_key.hex()] is True


def test_h8_wanted_keys_are_forgotten_with_their_relay() -> None:
    links = links_with()
    wants(links, SHOP)
    links.close_relay("wss://relay.example")
    assert links.wanted_keys("wss://relay.example") == {}
