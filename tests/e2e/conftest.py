"""One real LNbits with this checkout in it, and three real relays, for all tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author, Client, handshake_status, wait_until

RELAYS = 3
QUICK = {"reconnect_max_seconds": 4}
"""Other numbers than the defaults: tests do not wait a minute for a relay."""

EVERYBODY: dict[str, Any] = {
    "auth_to_read": False,
    "auth_to_publish": False,
    "allow_pubkeys": [],
    "deny_pubkeys": [],
    "allow_kinds": [],
    "deny_kinds": [],
    "allow_addresses": [],
    "deny_addresses": [],
}
"""Rules for guests of the public endpoint: none."""

PROBE = Path(__file__).parent / "probe"

Connect = Callable[..., Client]


@dataclass(frozen=True)
class FreshInstall:
    """What was seen before anybody had opened the admin page."""

    public_status: int
    private_status: int
    config_after_put: dict[str, Any]
    config: dict[str, Any]
    relays: list[dict[str, Any]]


@pytest.fixture(scope="session")
def _lnbits_and_fresh_install(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LnbitsServer, FreshInstall]]:
    server = LnbitsServer(
        tmp_path_factory.mktemp("lnbits"),
        other_extensions=[PROBE],
        environment={"LNBITS_RATE_LIMIT_NO": "1000000"},
    )
    with server:
        fresh = FreshInstall(
            public_status=handshake_status(server.public_url),
            private_status=handshake_status(server.private_url()),
            config_after_put=server.api("PUT", "/config", {"public_ws": True}),
            config=server.api("GET", "/config"),
            relays=server.api("GET", "/relays"),
        )
        server.api("PUT", "/config", {"settings": QUICK})
        server.deactivate()
        server.activate()  # settings take effect when nostrclient starts
        yield server, fresh


@pytest.fixture(scope="session")
def fresh_install(
    _lnbits_and_fresh_install: tuple[LnbitsServer, FreshInstall],
) -> FreshInstall:
    """What a new installation did before it was configured."""
    return _lnbits_and_fresh_install[1]


@pytest.fixture(scope="session")
def _configured(
    _lnbits_and_fresh_install: tuple[LnbitsServer, FreshInstall],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LnbitsServer, list[LocalRelay]]]:
    server, _ = _lnbits_and_fresh_install
    folder = tmp_path_factory.mktemp("relays")
    relays = [
        LocalRelay(folder=folder / str(number), log=folder / f"{number}.log")
        for number in range(RELAYS)
    ]
    for relay in relays:
        relay.start()
        server.api("POST", "/relay", {"url": relay.url})
    yield server, relays
    for relay in relays:
        relay.stop()


@pytest.fixture
def lnbits(_configured: tuple[LnbitsServer, list[LocalRelay]]) -> LnbitsServer:
    """The server, with both endpoints open and all relays up.

    A test that disables the extension enables it again: for LNbits that is no harmless
    thing to do twice, it imports the whole extension anew.
    """
    server, relays = _configured
    for relay in relays:
        relay.start()
    endpoints = {"private_ws": True, "public_ws": True}
    server.api("PUT", "/config", endpoints | {"guests": EVERYBODY})
    wait_until(
        lambda: connected_urls(server) >= {relay.url for relay in relays},
        "all relays are connected",
        seconds=70,
    )
    return server


@pytest.fixture
def relays(
    lnbits: LnbitsServer, _configured: tuple[LnbitsServer, list[LocalRelay]]
) -> list[LocalRelay]:
    """The three relays, connected. A test may stop, freeze and thaw them."""
    return _configured[1]


@pytest.fixture
def extra_relay(lnbits: LnbitsServer, tmp_path: Path) -> Iterator[LocalRelay]:
    """A running relay that nostrclient does not know; removed again afterwards."""
    with LocalRelay(folder=tmp_path / "events", log=tmp_path / "relay.log") as relay:
        yield relay
        if any(known["url"] == relay.url for known in lnbits.api("GET", "/relays")):
            lnbits.api("DELETE", "/relay", {"url": relay.url})


@pytest.fixture
def connect(lnbits: LnbitsServer) -> Iterator[Connect]:
    """Opens clients, by default of the public endpoint, and closes them at the end."""
    opened: list[Client] = []

    def open_client(url: str | None = None, name: str = "client") -> Client:
        client = Client(url or lnbits.public_url, name)
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def author() -> Author:
    """Somebody new, whose events no other test sees."""
    return Author()


def connected_urls(server: LnbitsServer) -> set[str]:
    """Ask which relays are connected."""
    return {
        relay["url"] for relay in server.api("GET", "/relays") if relay["connected"]
    }


def running(server: LnbitsServer) -> dict[str, list[str]]:
    """List the threads and tasks of the server that are inside nostrclient."""
    answer = server.http.get("/probe/running/nostrclient").raise_for_status()
    inside: dict[str, list[str]] = answer.json()
    return inside
