"""A fast path for WebSocket text messages (RFC 6455, section 5.2).

Nearly all frames from relays are unfragmented text frames. These are extracted here, at
a sixth of the protocol's cost. All other frames go to the protocol, which enforces the
rules: control frames, fragments and invalid frames.
"""

from __future__ import annotations

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State

_WHOLE_TEXT = 0x81  # FIN and the opcode of text, no reserved bit


class FrameCutter:
    """Splits the bytes of an open connection into text messages and other frames.

    The protocol gets only whole frames. After an invalid frame it gets everything.
    """

    def __init__(self, protocol: Protocol, max_bytes: int) -> None:
        self._protocol = protocol
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._needed = 0
        self._in_fragments = False

    @property
    def is_mid_message(self) -> bool:
        """Whether a message has arrived in part."""
        return bool(self._rest) or self._in_fragments

    def feed(self, data: bytes) -> list[bytes | Frame]:
        """Split received bytes; return text messages, as bytes, and other frames."""
        if not data:
            return []
        if not self._is_open():
            return self._hand_over(data, [])
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        received: list[bytes | Frame] = []
        at, end, needed = 0, len(data), 2
        while at + 2 <= end:
            start = at + 2
            stop = start + data[at + 1]
            if stop >= start + 126:
                start, stop = self._measure(data, at)
            if stop > end:
                needed = stop - at
                break
            if start and data[at] == _WHOLE_TEXT and not self._in_fragments:
                received.append(data[start:stop])
            else:
                self._hand_over(data[at:stop], received)
                if not self._is_open():
                    return self._hand_over(data[stop:], received)
            at = stop
        self._rest += data[at:]
        self._needed = needed
        return received

    def _measure(self, data: bytes, at: int) -> tuple[int, int]:
        """Return the start and end of the payload of a frame of 126 bytes or more.

        If the head is incomplete, both are its end. For an invalid frame the start is 0
        and the end that of all received bytes.
        """
        size = data[at + 1]
        if size > 127:  # masked, which only clients do
            return 0, len(data)
        start = at + (4 if size == 126 else 10)
        if start > len(data):
            return start, start
        size = int.from_bytes(data[at + 2 : start], "big")
        if size > self._max_bytes:
            return 0, len(data)
        return start, start + size

    def _is_open(self) -> bool:
        return self._protocol.state is State.OPEN

    def _hand_over(
        self, data: bytes, received: list[bytes | Frame]
    ) -> list[bytes | Frame]:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                received.append(frame)
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    self._in_fragments = not frame.fin
        return received
