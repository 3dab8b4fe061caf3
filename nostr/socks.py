"""A SOCKS5 client without a socket (RFC 1928, RFC 1929), and which relay needs one.

`connect` is a generator: it yields an `Exchange`, what to send and how many bytes to
read, and is sent those bytes. The proxy resolves the relay's name: nothing here, and
nothing before it, asks the system's resolver for the name.

    greeting -> method -> (user name and password -> status) -> CONNECT -> reply
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from .errors import InvalidMessage

DEFAULT_PORT = 1080
MAX_TEXT_BYTES = 255  # of a name, a user name or a password: their length is one byte
ONION = ".onion"

_VERSION = 5
_AUTH_VERSION = 1
_NO_AUTH, _PASSWORD, _NO_METHOD = 0, 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4

_REPLIES = {
    1: "general failure",
    2: "its rules do not allow this connection",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "it does not know CONNECT",
    8: "it does not know this type of address",
    # Tor's own, about onion services (ExtendedErrors)
    0xF0: "no descriptor of the onion service was found",
    0xF1: "the descriptor of the onion service is invalid",
    0xF2: "the introduction to the onion service failed",
    0xF3: "the rendezvous with the onion service failed",
    0xF4: "the onion service asks for a client authorization",
    0xF5: "the client authorization for the onion service is wrong",
    0xF6: "the onion address is invalid",
    0xF7: "the introduction to the onion service timed out",
}


class SocksError(Exception):
    """The proxy does not speak SOCKS5, or refused; the text says why."""


class ProxyMode(Enum):
    """The relays that the proxy is for, unless a relay says otherwise."""

    ONION = "onion"
    ALL = "all"


class RelayRoute(Enum):
    """The way to one relay."""

    DEFAULT = "default"  # as the proxy's mode says
    DIRECT = "direct"
    PROXY = "proxy"

    @classmethod
    def parse(cls, text: str | None) -> RelayRoute:
        """Return the route that was stored; the default one for any other text."""
        try:
            return cls(text)
        except ValueError:
            return cls.DEFAULT


class Exchange(NamedTuple):
    """Bytes to send, and how many to read then."""

    send: bytes
    receive: int


@dataclass(frozen=True)
class Proxy:
    """A SOCKS5 proxy and the credentials for one connection."""

    host: str
    port: int
    username: str = ""
    password: str = ""

    def isolated(self, stream: str) -> Proxy:
        """Return this proxy with credentials of `stream`'s own, if it has none.

        Tor uses one circuit for connections of equal credentials only, so relays
        cannot recognise one client by its exit.
        """
        if self.username:
            return self
        digest = hashlib.sha256(stream.encode()).hexdigest()[:32]
        return Proxy(self.host, self.port, "nostrclient", digest)


@dataclass(frozen=True)
class ProxyPolicy:
    """The choice of a proxy for each relay."""

    proxy: Proxy | None = None
    mode: ProxyMode = ProxyMode.ONION

    def choose(
        self, host: str, stream: str, route: RelayRoute = RelayRoute.DEFAULT
    ) -> Proxy | None:
        """Return the proxy to reach `host` through; None for a direct connection.

        Raises `SocksError` where a proxy is needed and none is set.
        """
        is_onion = host.lower().rstrip(".").endswith(ONION)
        wanted = (
            is_onion
            or route is RelayRoute.PROXY
            or (
                route is RelayRoute.DEFAULT
                and self.proxy is not None
                and self.mode is ProxyMode.ALL
            )
        )
        if not wanted:
            return None
        if self.proxy is None:
            kind = "an .onion relay" if is_onion else "this relay"
            raise SocksError(f"{kind} needs a SOCKS5 proxy, and none is set")
        return self.proxy.isolated(stream)

    def is_same_for(self, url: str, route: RelayRoute, other: ProxyPolicy) -> bool:
        """Return whether both policies have the same way to a relay."""
        host = urlsplit(url).hostname or ""

        def way(policy: ProxyPolicy) -> Proxy | str | None:
            try:
                return policy.choose(host, url, route)
            except SocksError as error:
                return str(error)

        return way(self) == way(other)


NO_PROXY = ProxyPolicy()


def parse_proxy_url(url: str) -> Proxy:
    """Return the proxy of a URL such as `socks5://user:password@127.0.0.1:9050`.

    Raises `InvalidMessage` (a `ValueError`) with a reason.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidMessage(f"the proxy's URL is invalid: {error}") from error
    if parts.scheme not in ("socks5", "socks5h"):
        raise InvalidMessage("the proxy's URL must begin with socks5://")
    if not parts.hostname or port == 0:
        raise InvalidMessage("the proxy's URL names no host or no port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidMessage("the proxy's URL must end after the port")
    username = unquote(parts.username or "")
    password = unquote(parts.password or "")
    for text in (username, password):
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise InvalidMessage("the proxy's user name or password is too long")
    if password and not username:
        raise InvalidMessage("the proxy's URL has a password and no user name")
    return Proxy(
        parts.hostname, DEFAULT_PORT if port is None else port, username, password
    )


def connect(proxy: Proxy, host: str, port: int) -> Generator[Exchange, bytes, None]:
    """Ask the proxy for a connection to `host`. Raises `SocksError`."""
    address = _address(host)
    methods = bytes([_NO_AUTH, _PASSWORD] if proxy.username else [_NO_AUTH])
    version, method = yield Exchange(bytes([_VERSION, len(methods)]) + methods, 2)
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS5")
    if method == _NO_METHOD or method not in methods:
        raise SocksError(
            "it accepts none of our credentials"
            if proxy.username
            else "it asks for a user name and a password"
        )
    if method == _PASSWORD:
        request = (
            bytes([_AUTH_VERSION])
            + _counted(proxy.username)
            + _counted(proxy.password or "-")  # an empty one is not allowed
        )
        _, status = yield Exchange(request, 2)
        if status:
            raise SocksError("it refused the user name and password")
    request = bytes([_VERSION, _CONNECT, 0]) + address + port.to_bytes(2, "big")
    version, reply, _, kind = yield Exchange(request, 4)
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS5")
    if reply:
        raise SocksError(_REPLIES.get(reply, f"it refused with code {reply}"))
    # The address that the proxy connects from is read to the end, and is of no use.
    if kind == _NAME:
        (length,) = yield Exchange(b"", 1)
    elif kind in (_IPV4, _IPV6):
        length = 4 if kind == _IPV4 else 16
    else:
        raise SocksError("it answered with an unknown type of address")
    yield Exchange(b"", length + 2)


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes([_NAME]) + _counted(host)
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _counted(text: str) -> bytes:
    data = text.encode()
    if len(data) > MAX_TEXT_BYTES:
        raise SocksError("the relay's name is too long for SOCKS5")
    return bytes([len(data)]) + data
