"""Rule E9: what a relay says of itself is believed where it is sane."""

import json
from typing import Any

import pytest

from nostrclient.nostr.information import parse_information
from nostrclient.nostr.limits import EventLimits
from nostrclient.nostr.relay_session import RelayLimits


def _limits(**limitation: Any) -> RelayLimits:
    found = parse_information(json.dumps({"limitation": limitation}).encode())
    assert found is not None
    return found.limits


def test_e9_all_limits() -> None:
    assert _limits(
        max_message_length=65536, max_subscriptions=20, max_filters=10, max_limit=500
    ) == RelayLimits(65536, 20, 10, 500)


def test_e9_limits_of_events_and_of_filters_without_limit() -> None:
    text = json.dumps(
        {
            "limitation": {
                "created_at_lower_limit": 94_608_000,
                "created_at_upper_limit": 0,
                "max_event_tags": 2000,
                "max_content_length": "long",
                "min_pow_difficulty": 20,
                "default_limit": 100,
            }
        }
    )
    found = parse_information(text.encode())
    assert found is not None
    assert found.event_limits == EventLimits(94_608_000, None, 2000, None, 20)
    assert found.limits.default_limit == 100


def test_e9_one_limit_holds_for_all_filters_of_a_req_on_nostream() -> None:
    document = {"software": "git+https://github.com/Cameri/nostream.git"}
    found = parse_information(json.dumps(document).encode())
    assert found is not None
    assert found.limits.first_limit == 500
    document["limitation"] = {"max_limit": 5000}  # type: ignore[assignment]  # any JSON
    found = parse_information(json.dumps(document).encode())
    assert found is not None
    assert found.limits.first_limit == 5000
    assert _limits(max_limit=5000).first_limit is None


@pytest.mark.parametrize("supported", [True, False, None])
def test_d10_a_relay_that_says_so_does_not_search_whatever_it_lists(
    supported: bool | None,
) -> None:
    document = {
        "supported_nips": [1, 50],
        "limitation": {"search_supported": supported},
    }
    found = parse_information(json.dumps(document).encode())
    assert found is not None
    assert (50 in found.supported_nips) == (supported is not False)


@pytest.mark.parametrize("absurd", [0, -1, 10**12, True, "20", 1.5, None, [], {}])
def test_e9_absurd_values_are_ignored(absurd: object) -> None:
    limits = _limits(
        max_message_length=absurd,
        max_subscriptions=absurd,
        max_filters=absurd,
        max_limit=absurd,
    )
    assert limits == RelayLimits()


def test_e9_a_relay_that_takes_no_event_is_not_believed() -> None:
    assert _limits(max_message_length=100) == RelayLimits()


@pytest.mark.parametrize(
    "document", [b"", b"\xff", b"null", b"[" * 100_000, b'"x"', b"{"]
)
def test_e9_no_document(document: bytes) -> None:
    assert parse_information(document) is None


def test_f4_texts_are_bounded_and_other_types_are_none() -> None:
    found = parse_information(
        json.dumps({"name": "x" * 5000, "icon": 5, "supported_nips": "no"}).encode()
    )
    assert found is not None
    assert len(found.name) == 200
    assert found.icon == ""
    assert found.supported_nips == frozenset()


def test_f4_an_icon_is_an_image_on_the_web_or_none() -> None:
    for icon, shown in (
        ("https://relay.example/icon.png", "https://relay.example/icon.png"),
        ("javascript:alert(1)", ""),
        ("data:image/svg+xml,<svg/>", ""),
        ("https://relay.example/" + 1000 * "x", ""),
        ("https://relay.example/\n", ""),
    ):
        found = parse_information(json.dumps({"icon": icon}).encode())
        assert found is not None
        assert found.icon == shown


def test_announced_limits_are_kept_unchanged_and_bounded() -> None:
    limitation = {
        "max_limit": -5,
        "auth_required": True,
        "fee": 0.5,
        "text": "a" * 5000,
        "absurd": 10**400,
        "nested": {"a": 1},
        "none": None,
    }
    document = {"limitation": limitation, "description": "two\nlines \ud800"}
    found = parse_information(json.dumps(document).encode())
    assert found is not None
    assert dict(found.limitation) == {
        "max_limit": -5,
        "auth_required": True,
        "fee": 0.5,
        "text": "a" * 200,
    }
    assert found.description == "two lines \N{REPLACEMENT CHARACTER}"
    many = {"limitation": {str(number): number for number in range(1000)}}
    found = parse_information(json.dumps(many).encode())
    assert found is not None
    assert len(found.limitation) == 40
