"""One subscription id on one connection to a relay: a wire.

Theory of operation. Every REQ that leaves has a wire of its own. A wire is SENT until
the relay answers it, OPEN while it stays for live events, and CLOSING after our CLOSE:
events may still be on their way, and ephemeral ones will not come again. Only the
relay's own words about a wire (EVENT, EOSE, CLOSED) change it. An EOSE for a CLOSING
wire changes nothing, so it never passes for the answer to a later REQ.

    SENT --EOSE--> OPEN (a live wire) or ENDED (a gap, a page, a probe)
    SENT, OPEN --our CLOSE--> CLOSING --answer to what replaced it--> ENDED
    SENT, OPEN --CLOSED--> ENDED
"""

from __future__ import annotations

from enum import Enum, auto


class WirePurpose(Enum):
    """The purpose of a wire."""

    LIVE = auto()  # the client's filters; stays open
    GAP = auto()  # a window that did not fit into the live REQ; ends with its EOSE
    PAGE = auto()  # the next part of an answer that was cut; ends with its EOSE


class WireState(Enum):
    """The state of a wire."""

    SENT = auto()
    OPEN = auto()
    CLOSING = auto()
    ENDED = auto()


_MOVES: dict[WireState, frozenset[WireState]] = {
    WireState.SENT: frozenset((WireState.OPEN, WireState.CLOSING, WireState.ENDED)),
    WireState.OPEN: frozenset((WireState.SENT, WireState.CLOSING, WireState.ENDED)),
    WireState.CLOSING: frozenset((WireState.ENDED,)),
    WireState.ENDED: frozenset(),
}


class Wire:
    """One subscription id that a relay was sent on the present connection.

    `body` is the text of its latest REQ: some relays ignore an identical one.
    `filter_count` is how many filters of clients it holds.
    """

    __slots__ = ("body", "filter_count", "purpose", "state", "wire_id")

    def __init__(self, wire_id: str, purpose: WirePurpose, body: str) -> None:
        self.wire_id = wire_id
        self.purpose = purpose
        self.body = body
        self.filter_count = 0
        self.state = WireState.SENT

    @property
    def is_temporary(self) -> bool:
        """Whether the wire ends with its EOSE."""
        return self.purpose is not WirePurpose.LIVE

    def move(self, state: WireState) -> None:
        """Enter a state. Raises `AssertionError` for an illegal move."""
        if state not in _MOVES[self.state]:
            raise AssertionError(f"a {self.state} wire does not become {state}")
        self.state = state
