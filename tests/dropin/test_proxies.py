"""Rule A4b: who a client is behind real proxies, with the documented lines."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import websocket

from dev.lnbits_server import LnbitsServer
from dev.ports import HOST
from dev.reverse_proxy import Caddy, Nginx, ReverseProxy, find_nginx
from tests.e2e.clients import wait_until

BLOCKED = "127.0.0.66"
SOMEBODY = "127.0.0.7"
FORGED = "127.0.0.99"
PATH = "/nostrclient/api/v1/relay"

NewProxy = Callable[[Path, int], ReverseProxy]


def nginx(folder: Path, port: int) -> ReverseProxy:
    return Nginx(folder, [port])


def nginx_for_lnbits(folder: Path, port: int) -> ReverseProxy:
    return Nginx(folder, [port], forwarded="$remote_addr")


needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="there is no nginx")
needs_caddy = pytest.mark.skipif(not shutil.which("caddy"), reason="there is no Caddy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LnbitsServer]:
    environment = {"LNBITS_BLOCKED_IPS": f'["{BLOCKED}"]'}
    folder = tmp_path_factory.mktemp("lnbits")
    with LnbitsServer(folder, environment=environment) as server:
        server.api("PUT", "/config", {"public_ws": True})
        yield server


@pytest.fixture
def proxy(
    request: pytest.FixtureRequest, server: LnbitsServer, tmp_path: Path
) -> Iterator[ReverseProxy]:
    new: NewProxy = request.param
    with new(tmp_path / "proxy", server.port) as proxy:
        yield proxy


def connect(port: int, address: str, forwarded: str = "") -> websocket.WebSocket:
    """Open the public endpoint from one of this machine's own addresses."""
    header = [f"X-Forwarded-For: {forwarded}"] if forwarded else []
    connection = socket.create_connection((HOST, port), source_address=(address, 0))
    return websocket.create_connection(
        f"ws://{HOST}:{port}{PATH}", socket=connection, header=header, timeout=15.0
    )


def status(port: int, address: str, forwarded: str = "") -> int:
    """Return the status of a handshake: 101 where it opened."""
    try:
        connect(port, address, forwarded).close()
    except websocket.WebSocketBadStatusException as refused:
        return int(refused.status_code)
    return 101


@pytest.mark.parametrize(
    ("proxy", "http_status"),
    [
        pytest.param(nginx, 200, marks=needs_nginx, id="nginx"),
        pytest.param(nginx_for_lnbits, 403, marks=needs_nginx, id="nginx for LNbits"),
        pytest.param(Caddy, 403, marks=needs_caddy, id="Caddy"),
    ],
    indirect=["proxy"],
)
def test_a4b_address_is_the_client_s_own_behind_a_real_proxy(
    server: LnbitsServer, proxy: ReverseProxy, http_status: int
) -> None:
    wait_until(lambda: server.api("GET", "/clients") == [], "nobody is left")
    for forwarded in ("", FORGED, f"{FORGED}, {BLOCKED}"):
        client = connect(proxy.port, SOMEBODY, forwarded)
        found = [item["address"] for item in server.api("GET", "/clients")]
        client.close()
        assert found == [SOMEBODY]
        wait_until(lambda: server.api("GET", "/clients") == [], "it has gone")
        assert status(proxy.port, BLOCKED, forwarded) == 403

    # LNbits' own lists for HTTP take the first entry, as the document says.
    transport = httpx.HTTPTransport(local_address=BLOCKED)
    with httpx.Client(transport=transport) as blocked:
        forged = {"X-Forwarded-For": SOMEBODY}
        answer = blocked.get(f"{proxy.url}{PATH}", headers=forged)
    assert answer.status_code == http_status


def test_a4b_blocked_address_is_refused_without_a_proxy(server: LnbitsServer) -> None:
    assert status(server.port, BLOCKED) == 403
    assert status(server.port, SOMEBODY) == 101
