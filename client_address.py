"""The address of a WebSocket client, also behind a reverse proxy, and LNbits' lists.

uvicorn takes the first entry of X-Forwarded-For, which the client writes itself where
the proxy appends to the header, as nginx does with `$proxy_add_x_forwarded_for`. The
last entry is the one that the nearest proxy wrote. It counts if that proxy is near: on
this machine or in a private network. LNbits' lists of blocked and allowed addresses are
HTTP middleware, which WebSockets pass by.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from fastapi import WebSocket
from lnbits.settings import settings as lnbits_settings

from .client_writer import server_side

MAX_ADDRESS_CHARACTERS = 64
"""More than an IPv6 address with brackets and port has."""


def client_address(websocket: WebSocket) -> str:
    """Return the client's address, or "" if it is not known."""
    peer = getattr(server_side(websocket), "client", None)
    if not isinstance(peer, tuple):  # another server, or a Unix socket
        peer = websocket.client
    near = parse_address(str(peer[0])) if peer else None
    if near is not None and not (near.is_loopback or near.is_private):
        return str(near)
    forwarded = ",".join(websocket.headers.getlist("x-forwarded-for"))
    found = parse_address(forwarded.rpartition(",")[2]) or near
    return str(found) if found else ""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without a port; None if it is not one."""
    text = text.strip()
    if len(text) > MAX_ADDRESS_CHARACTERS:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def is_blocked(address: str) -> bool:
    """Return whether LNbits' lists block an address."""
    blocked: list[str] = lnbits_settings.lnbits_blocked_ips
    allowed: list[str] = lnbits_settings.lnbits_allowed_ips
    return address in blocked and address not in allowed
