"""The filters that go over a reader key's link."""

from nostrclient.nostr.filter import parse_filter
from nostrclient.nostr.identity_links import narrow_to_key

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
