"""WebSocket frames for the benchmark, at minimal cost (RFC 6455).

Fragments and extensions are not supported. The handshake is that of `websockets`.
"""

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256

import coincurve

TEXT = 0x81
CLOSE = 0x88
PING = 0x89
PONG = 0x8A

AUTHORS = 50
CONTENT_CHARACTERS = 280


def frame(payload: bytes, *, kind: int = TEXT, masked: bool = False) -> bytes:
    """Build a frame. Its mask is zero, which is legal and needs no computation."""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((kind, bit | size))
    elif size < 65536:
        head = bytes((kind, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((kind, bit | 127)) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


class FrameReader:
    """Extracts unmasked frames from data that arrives in arbitrary pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Return the opcode and payload of each frame that is complete now."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            start, size = at + 2, data[at + 1]
            if size == 126:
                start, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
            elif size == 127:
                start, size = at + 10, int.from_bytes(data[at + 2 : at + 10], "big")
            if start + size > end or start > end:
                break
            yield data[at], data[start : start + size]
            at = start + size
        self._rest = data[at:]


class SignedEvents:
    """New events, and the frames that carry them."""

    def __init__(self, count: int, characters: int = CONTENT_CHARACTERS) -> None:
        """Sign events with contents of this length; 0: without tags, too."""
        self._characters = characters
        keys = [coincurve.PrivateKey() for _ in range(min(AUTHORS, count))]
        names = [
            coincurve.PublicKeyXOnly.from_secret(key.secret).format().hex()
            for key in keys
        ]
        now = int(time.time())
        self.ids: list[str] = []
        self.texts: list[bytes] = []
        self._templates: dict[int, list[bytes]] = {}
        for number in range(count):
            which = number % len(keys)
            self._sign(keys[which], names[which], now - number % 3600)

    def _sign(self, key: coincurve.PrivateKey, author: str, created_at: int) -> None:
        content = os.urandom(self._characters // 2).hex()
        tags = [["p", os.urandom(32).hex()], ["t", "bench"]] if content else []
        serialized = [0, author, created_at, 1, tags, content]
        digest = sha256(json.dumps(serialized, separators=(",", ":")).encode()).digest()
        event = {
            "id": digest.hex(),
            "pubkey": author,
            "created_at": created_at,
            "kind": 1,
            "tags": tags,
            "content": content,
            "sig": key.sign_schnorr(digest, b"\0" * 32).hex(),
        }
        self.ids.append(digest.hex())
        self.texts.append(json.dumps(event, separators=(",", ":")).encode())

    def frames(self, subscription_id: bytes, first: int, end: int) -> bytes:
        """Return the concatenated frames of some events for a subscription."""
        length = len(subscription_id)
        if length < 8:
            raise ValueError("the gap for so short an id could be mistaken")
        gap = b"\xff" * length
        template = self._templates.get(length)
        if template is None:
            template = self._templates[length] = [
                frame(b'["EVENT","' + gap + b'",' + text + b"]") for text in self.texts
            ]
        return b"".join(template[first:end]).replace(gap, subscription_id)
