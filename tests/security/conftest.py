"""A real LNbits of its own, which hostile clients and relays may wear out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.e2e.clients import wait_until
from tests.e2e.conftest import connected_urls

from .watch import Table


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LnbitsServer]:
    server = LnbitsServer(
        tmp_path_factory.mktemp("hostile"),
        environment={"LNBITS_RATE_LIMIT_NO": "1000000"},
    )
    with server:
        yield server


@pytest.fixture(scope="session")
def _relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRelay]:
    log = tmp_path_factory.mktemp("relay") / "relay.log"
    with LocalRelay(log=log) as relay:
        yield relay


@pytest.fixture
def lnbits(_server: LnbitsServer, _relay: LocalRelay) -> LnbitsServer:
    """The server with both endpoints open and exactly one, real, relay."""
    _server.api("PUT", "/config", {"private_ws": True, "public_ws": True})
    known = {relay["url"] for relay in _server.api("GET", "/relays")}
    for url in known - {_relay.url}:
        _server.api("DELETE", "/relay", {"url": url})
    if _relay.url not in known:
        _server.api("POST", "/relay", {"url": _relay.url})
    wait_until(lambda: connected_urls(_server) == {_relay.url}, "it is connected")
    return _server


@pytest.fixture(scope="session")
def table() -> Table:
    """The table of attacks, written to the file that ATTACK_TABLE names, if any."""
    path = os.environ.get("ATTACK_TABLE")
    return Table(Path(path) if path else None)
