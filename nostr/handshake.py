"""The head of the HTTP response that answers a WebSocket handshake.

Only 101 is left to the WebSocket library. Any other response is read as leniently as
possible, because the status matters most: HTTP/1.0, any number of headers and
any body, which is never read.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD_BYTES = 64 * 1024
MAX_SHOWN_CHARACTERS = 200
MAX_DIGITS = 9
SWITCHING_PROTOCOLS = 101
_REDIRECTS = (301, 302, 303, 307, 308)

_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")


class HandshakeError(Exception):
    """The response is not one of HTTP; the text says why."""


class ResponseHead(NamedTuple):
    """The head of a response, as far as it has arrived.

    `end` is where the body begins, None while the head is incomplete.
    """

    status: int
    headers: dict[str, str]
    end: int | None

    @property
    def failure(self) -> str:
        """Why this is no WebSocket, in words."""
        try:
            phrase = f" {HTTPStatus(self.status).phrase}"
        except ValueError:
            phrase = ""
        text = f"HTTP {self.status}{phrase} instead of a WebSocket"
        location = self.headers.get("location")
        if self.status in _REDIRECTS and location:
            text += f", the relay points to {location[:MAX_SHOWN_CHARACTERS]}"
        retry = self.retry_after_seconds
        if retry is not None:
            text += f", retry after {retry} s"
        return text

    @property
    def retry_after_seconds(self) -> int | None:
        """The pause that the relay asks for; None for none and for a date."""
        text = self.headers.get("retry-after", "")
        is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
        return int(text) if is_number else None


def read_head(data: bytes) -> ResponseHead | None:
    """Return what has arrived of the head; None before the status line is complete.

    Raises `HandshakeError` where it is not HTTP or too long.
    """
    found = _STATUS_LINE.match(data)
    if found is None:
        begins = data[: len(_BEGINNING)]
        if begins != _BEGINNING[: len(begins)] or b"\n" in data:
            shown = data[:MAX_SHOWN_CHARACTERS].split(b"\n")[0].rstrip()
            raise HandshakeError(f"no HTTP: {shown.decode(errors='replace')}")
        if len(data) > MAX_HEAD_BYTES:
            raise HandshakeError("the HTTP status line is too long")
        return None
    end = _END.search(data, found.end() - 2)
    if end is None and len(data) > MAX_HEAD_BYTES:
        raise HandshakeError(
            f"HTTP {int(found[1])} with more than {MAX_HEAD_BYTES} bytes of headers"
        )
    lines = data[found.end() : len(data) if end is None else end.start()]
    headers: dict[str, str] = {}
    for line in lines.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            shown_name = name.decode(errors="replace").strip().lower()
            headers.setdefault(shown_name, value.decode(errors="replace").strip())
    return ResponseHead(int(found[1]), headers, None if end is None else end.end())
