"""Rule A4b: whose connection it is, behind a proxy or not, and who is blocked."""

from types import SimpleNamespace
from typing import Any

import pytest
from lnbits.settings import settings
from starlette.datastructures import Headers

from nostrclient import views_endpoints
from nostrclient.client_address import client_address, is_blocked, parse_address
from nostrclient.configuration import Configuration, Part
from nostrclient.models import Config


class Protocol:
    """The server's side of a connection."""

    def __init__(self, peer: tuple[str, int] | None) -> None:
        self.client = peer

    async def receive(self) -> None:
        pass


def connection(peer: str | None, *forwarded: str) -> Any:
    """A WebSocket as uvicorn shows it, which believes the header's first entry."""
    protocol = Protocol((peer, 1) if peer else None)
    first = forwarded[0].split(",")[0].strip() if forwarded else peer
    return SimpleNamespace(
        _receive=protocol.receive,
        client=SimpleNamespace(host=first) if not peer else (first, 0),
        headers=Headers(
            raw=[(b"x-forwarded-for", value.encode()) for value in forwarded]
        ),
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("9.9.9.9", ["10.9.8.7"], "9.9.9.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["8.8.8.8"], "8.8.8.8"),
        ("127.0.0.1", ["10.9.8.7, 8.8.8.8"], "8.8.8.8"),
        ("172.18.0.2", ["10.9.8.7", "8.8.8.8"], "8.8.8.8"),
        ("::1", ["1.2.3.4,2001:db8::7"], "2001:db8::7"),
        ("127.0.0.1", ["8.8.8.8:4711"], "8.8.8.8"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["::ffff:8.8.8.8"], "8.8.8.8"),
        ("127.0.0.1", ["8.8.8.8, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["8" * 7500], "127.0.0.1"),
    ],
)
def test_a4b_address_is_the_last_entry_that_a_near_proxy_wrote(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert client_address(connection(peer, *forwarded)) == address


def test_a4b_text_that_is_no_address_is_none() -> None:
    for text in ("", "unknown", "_hidden", "1.2.3", "x" * 100, "<b>"):
        assert parse_address(text) is None


async def test_a4b_blocked_address_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configuration = Configuration()
    configuration.config = Config(public_ws=True)
    configuration.set_loaded(Part.SETTINGS, True)
    monkeypatch.setattr(views_endpoints, "configuration", configuration)
    monkeypatch.setattr(settings, "lnbits_blocked_ips", ["8.8.8.8", "9.9.9.9"])
    monkeypatch.setattr(settings, "lnbits_allowed_ips", ["9.9.9.9"])
    refusal = await views_endpoints._refusal("relay", True, "8.8.8.8")
    assert refusal == "the address is blocked"
    for address in ("9.9.9.9", "7.7.7.7", ""):
        assert not is_blocked(address)
        assert await views_endpoints._refusal("relay", True, address) is None
