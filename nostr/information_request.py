"""Fetching a relay's NIP-11 document, in a thread of its own, best effort.

The request goes the same way as the relay's WebSocket: the same proxy, certificates and
order of addresses. Environment variables such as `HTTP_PROXY` have no say in it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import h11
from websockets.exceptions import InvalidURI
from websockets.headers import build_host
from websockets.uri import WebSocketURI, parse_uri

from . import clock
from .connection import ConnectionLostError
from .dial import Link, Steps, Target, Timing, dial
from .information import USER_AGENT, RelayInformation, parse_information
from .settings import Settings
from .socks import RelayRoute, SocksError

_OK = 200


def request_information(
    relay_url: str,
    settings: Settings,
    answer: Callable[[RelayInformation | None], None],
    route: RelayRoute = RelayRoute.DEFAULT,
    *,
    public_only: bool = False,
) -> None:
    """Fetch the document and hand it to `answer`, from another thread.

    It is None if there is no document, if it takes longer than `information_seconds`
    or is larger than `information_bytes`. With `public_only` no private address is
    connected to.
    """
    seconds = settings.information_seconds

    def run() -> None:
        answer(_fetch(relay_url, settings, seconds, route, public_only=public_only))

    _start(relay_url, run)


async def fetch_information(
    relay_url: str,
    settings: Settings,
    seconds: float | None = None,
    route: RelayRoute = RelayRoute.DEFAULT,
) -> RelayInformation | None:
    """Fetch the document; return None where there is none within `seconds`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[RelayInformation | None] = loop.create_future()
    limit = seconds or settings.information_seconds

    def finish(information: RelayInformation | None) -> None:
        if not future.done():
            future.set_result(information)

    def run() -> None:
        information = _fetch(relay_url, settings, limit, route)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, information)

    _start(relay_url, run)
    # The thread keeps to the limit, but not while the system's resolver hangs.
    with suppress(asyncio.TimeoutError):
        return await asyncio.wait_for(future, limit)
    return None


def _start(relay_url: str, run: Callable[[], None]) -> None:
    name = f"nostrclient information {relay_url}"
    threading.Thread(target=run, name=name, daemon=True).start()


def _fetch(
    relay_url: str,
    settings: Settings,
    seconds: float,
    route: RelayRoute,
    *,
    public_only: bool = False,
) -> RelayInformation | None:
    timing = Timing(clock.now() + seconds, settings.connect_address_seconds)
    try:
        uri = parse_uri(relay_url)
        data = dial(
            Target(uri.host, uri.port, uri.secure, public_only),
            settings.proxy.choose(uri.host, relay_url, route),
            lambda link: _get(link, uri, settings.information_bytes),
            timing,
        )
    except (InvalidURI, SocksError, ConnectionLostError):
        return None
    return None if data is None else parse_information(data)


def _get(link: Link, uri: WebSocketURI, max_bytes: int) -> Steps[bytes | None]:
    """Return the document; None where there is none or it is too large."""
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="GET",
        target=uri.resource_name,
        headers=[
            ("Host", build_host(uri.host, uri.port, uri.secure)),
            ("User-Agent", USER_AGENT),
            ("Accept", "application/nostr+json"),
            # Compressed, a few bytes could become many before they are counted.
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ],
    )
    document = b""
    try:
        yield from link.send(http.send(request) + http.send(h11.EndOfMessage()))
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data((yield from link.receive()))
            elif isinstance(event, h11.Response) and event.status_code != _OK:
                break
            elif isinstance(event, h11.Data):
                document += event.data
                if len(document) > max_bytes:
                    break
            elif isinstance(event, h11.EndOfMessage):
                return document
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                break
    except h11.ProtocolError as error:
        raise ConnectionLostError(f"HTTP: {error}") from error
    finally:
        link.socket.close()
    return None
