"""One spelling for each relay URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.relay_url import normalize_relay_url


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("wss://relay.example", "wss://relay.example"),
        ("wss://relay.example/", "wss://relay.example"),
        ("WSS://Relay.EXAMPLE", "wss://relay.example"),
        ("wss://relay.example:443/", "wss://relay.example"),
        ("ws://relay.example:80", "ws://relay.example"),
        ("ws://relay.example:443", "ws://relay.example:443"),
        ("wss://relay.example:80", "wss://relay.example:80"),
        ("ws://localhost:7777/", "ws://localhost:7777"),
        ("  wss://relay.example\n", "wss://relay.example"),
        ("wss://relay.example/Path/", "wss://relay.example/Path"),
        ("wss://relay.example/p?A=B", "wss://relay.example/p?A=B"),
        ("wss://relay.example:", "wss://relay.example"),
        ("ws://[::1]:7777/", "ws://[::1]:7777"),
        ("ws://[2001:DB8::1]:80/", "ws://[2001:db8::1]"),
        ("wss://Bücher.example/", "wss://xn--bcher-kva.example"),
        ("wss://xn--bcher-kva.example", "wss://xn--bcher-kva.example"),
    ],
)
def test_f1_a_relay_has_one_spelling(url: str, normalized: str) -> None:
    assert normalize_relay_url(url) == normalized
    assert normalize_relay_url(normalized) == normalized


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "ws://"),
        ("relay.example", "ws://"),
        ("https://relay.example", "ws://"),
        ("//relay.example", "ws://"),
        ("wss://", "no host"),
        ("wss:///path", "no host"),
        ("wss://:7777", "no host"),
        ("wss:relay.example", "no host"),
        ("wss://user:secret@relay.example", "credentials"),
        ("wss://user@relay.example", "credentials"),
        ("wss://@relay.example", "credentials"),
        ("wss://relay.example/#part", "fragment"),
        ("wss://relay.example/#", "fragment"),
        ("wss://relay.example:0", "port"),
        ("wss://relay.example:99999", "not valid"),
        ("wss://relay.example:port", "not valid"),
        ("wss://[::1", "not valid"),
        ("wss://relay .example", "spaces"),
        ("wss://relay.example/\r\nHost: other", "spaces"),
        ("wss://relay.example\\@other.example", "backslash"),
        ("wss://relay.example/" + "a" * 2048, "longer"),
        ("wss://relay..bücher.example", "no valid name"),
        ("wss://relay.example/\ud800", "relay URL"),
        ("wss://relay\udfff.example", "relay URL"),
    ],
)
def test_f1_invalid_relay_url_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        normalize_relay_url(url)


@given(st.text())
def test_f1_whatever_is_typed_is_refused_or_has_one_spelling(text: str) -> None:
    for url in (text, f"wss://{text}", f"ws://relay.example{text}"):
        try:
            normalized = normalize_relay_url(url)
        except InvalidMessage:
            continue
        assert normalize_relay_url(normalized) == normalized
        assert normalized.encode()
