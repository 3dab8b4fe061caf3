"""E11: SOCKS5 as RFC 1928 and RFC 1929 have it, byte by byte, and who needs it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.socks import (
    NO_PROXY,
    Proxy,
    ProxyMode,
    ProxyPolicy,
    RelayRoute,
    SocksError,
    connect,
    parse_proxy_url,
)

PROXY = Proxy("127.0.0.1", 9050)
NAMED = Proxy("127.0.0.1", 9050, "me", "pw")


def talk(proxy: Proxy, host: str, *replies: bytes) -> list[bytes]:
    """Return what is sent to a proxy that gives these replies, in any pieces."""
    steps = connect(proxy, host, 443)
    stream = b"".join(replies)
    sent = []
    try:
        exchange = next(steps)
        while True:
            if exchange.send:
                sent.append(exchange.send)
            assert len(stream) >= exchange.receive, "it waits for more"
            reply, stream = stream[: exchange.receive], stream[exchange.receive :]
            exchange = steps.send(reply)
    except StopIteration:
        assert stream == b"", "the relay's own bytes were not touched"
    return sent


OPENED = b"\x05\0\0\x01\x7f\0\0\x01\x1f\x90"


def test_e11_name_is_left_to_the_proxy() -> None:
    assert talk(PROXY, "relay.onion", b"\x05\0", OPENED) == [
        b"\x05\x01\0",
        b"\x05\x01\0\x03\x0brelay.onion\x01\xbb",
    ]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", b"\x01\xc0\0\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + 11 * b"\0" + b"\x01"),
    ],
)
def test_e11_address_is_sent_as_an_address(host: str, address: bytes) -> None:
    sent = talk(PROXY, host, b"\x05\0", OPENED)
    assert sent[1] == b"\x05\x01\0" + address + b"\x01\xbb"


def test_e11_credentials_are_sent_where_the_proxy_asks_for_them() -> None:
    assert talk(NAMED, "a", b"\x05\x02", b"\x01\0", OPENED) == [
        b"\x05\x02\0\x02",
        b"\x01\x02me\x02pw",
        b"\x05\x01\0\x03\x01a\x01\xbb",
    ]
    assert len(talk(NAMED, "a", b"\x05\0", OPENED)) == 2


@pytest.mark.parametrize(
    "bound", [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x03\x03abc", b"\x03\0"]
)
def test_e11_proxy_s_own_address_is_read_to_its_end(bound: bytes) -> None:
    talk(PROXY, "a", b"\x05\0", b"\x05\0\0" + bound + b"\0\0")


@pytest.mark.parametrize(
    ("proxy", "replies", "words"),
    [
        (PROXY, [b"\x04\0"], "does not speak SOCKS5"),
        (PROXY, [b"HT"], "does not speak SOCKS5"),
        (PROXY, [b"\x05\xff"], "asks for a user name"),
        (PROXY, [b"\x05\x02"], "asks for a user name"),
        (NAMED, [b"\x05\xff"], "none of our credentials"),
        (NAMED, [b"\x05\x01"], "none of our credentials"),
        (NAMED, [b"\x05\x02", b"\x01\x01"], "refused the user name"),
        (PROXY, [b"\x05\0", b"\x05\x02\0\x01"], "its rules"),
        (PROXY, [b"\x05\0", b"\x05\x05\0\x01"], "connection refused"),
        (PROXY, [b"\x05\0", b"\x05\xf0\0\x01"], "onion service"),
        (PROXY, [b"\x05\0", b"\x05\x63\0\x01"], "code 99"),
        (PROXY, [b"\x05\0", b"\x04\0\0\x01"], "does not speak SOCKS5"),
        (PROXY, [b"\x05\0", b"\x05\0\0\x02"], "unknown type of address"),
    ],
)
def test_e11_refusal_of_the_proxy_is_told_in_words(
    proxy: Proxy, replies: list[bytes], words: str
) -> None:
    with pytest.raises(SocksError, match=words):
        talk(proxy, "a", *replies)


def test_e11_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(SocksError, match="too long"):
        talk(PROXY, 256 * "a")


@given(st.binary(min_size=300, max_size=300))
def test_e11_no_reply_raises_anything_else(replies: bytes) -> None:
    steps = connect(NAMED, "relay.example", 443)
    try:
        exchange = next(steps)
        while True:
            reply, replies = replies[: exchange.receive], replies[exchange.receive :]
            exchange = steps.send(reply)
    except (StopIteration, SocksError):
        pass


ONION = "abcdefghijklmnop.onion"


@pytest.mark.parametrize(
    ("host", "mode", "route", "through"),
    [
        (ONION, ProxyMode.ONION, RelayRoute.DEFAULT, True),
        (ONION.upper() + ".", ProxyMode.ONION, RelayRoute.DEFAULT, True),
        (ONION, ProxyMode.ONION, RelayRoute.DIRECT, True),  # it cannot be otherwise
        ("a.example", ProxyMode.ONION, RelayRoute.DEFAULT, False),
        ("a.example", ProxyMode.ONION, RelayRoute.PROXY, True),
        ("a.example", ProxyMode.ALL, RelayRoute.DEFAULT, True),
        ("a.example", ProxyMode.ALL, RelayRoute.DIRECT, False),
        ("notonion", ProxyMode.ONION, RelayRoute.DEFAULT, False),
    ],
)
def test_e11_relay_goes_through_the_proxy_as_the_operator_says(
    host: str, mode: ProxyMode, route: RelayRoute, through: bool
) -> None:
    policy = ProxyPolicy(PROXY, mode)
    assert (policy.choose(host, "wss://it", route) is not None) is through


def test_e11_relay_that_needs_a_proxy_is_refused_where_none_is_set() -> None:
    with pytest.raises(SocksError, match=r"an \.onion relay needs a SOCKS5 proxy"):
        NO_PROXY.choose(ONION, "wss://it")
    with pytest.raises(SocksError, match="this relay needs"):
        NO_PROXY.choose("a.example", "wss://it", RelayRoute.PROXY)
    assert ProxyPolicy(None, ProxyMode.ALL).choose("a.example", "wss://it") is None


def test_e11_each_relay_has_credentials_of_its_own() -> None:
    policy = ProxyPolicy(PROXY, ProxyMode.ALL)
    first, again, other = (
        policy.choose("x", stream) for stream in ("wss://a", "wss://a", "wss://b")
    )
    assert first is not None
    assert first == again != other
    assert first.username
    assert first.password
    own = ProxyPolicy(NAMED, ProxyMode.ALL).choose("x", "wss://a")
    assert own == NAMED


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("socks5://127.0.0.1:9050", PROXY),
        ("socks5h://127.0.0.1:9050/", PROXY),
        ("socks5://tor", Proxy("tor", 1080)),
        ("socks5://[::1]:9", Proxy("::1", 9)),
        ("socks5://me:pw@127.0.0.1:9050", NAMED),
        ("socks5://a%40b:c%3Ad@h", Proxy("h", 1080, "a@b", "c:d")),
    ],
)
def test_e11_proxy_s_url_is_read(url: str, proxy: Proxy) -> None:
    assert parse_proxy_url(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9050",
        "http://127.0.0.1:9050",
        "socks4://h",
        "socks5://",
        "socks5://h:99999",
        "socks5://h:x",
        "socks5://h:0",
        "socks5://h/path",
        "socks5://h?a",
        "socks5://:pw@h",
        "socks5://[::1",
        f"socks5://{256 * 'a'}@h",
    ],
)
def test_e11_url_of_no_socks5_proxy_is_refused(url: str) -> None:
    with pytest.raises(InvalidMessage):
        parse_proxy_url(url)


def test_e11_policies_are_compared_relay_by_relay() -> None:
    onion = ProxyPolicy(PROXY, ProxyMode.ONION)
    every = ProxyPolicy(PROXY, ProxyMode.ALL)
    default = RelayRoute.DEFAULT
    assert onion.is_same_for("wss://a.example", default, NO_PROXY)
    assert not every.is_same_for("wss://a.example", default, onion)
    assert every.is_same_for("wss://a.example", RelayRoute.DIRECT, NO_PROXY)
    assert every.is_same_for("wss://a.onion", default, onion)
    assert not onion.is_same_for("wss://a.onion", default, NO_PROXY)
    assert NO_PROXY.is_same_for("wss://a.onion", default, ProxyPolicy())
