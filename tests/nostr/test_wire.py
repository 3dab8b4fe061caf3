"""One subscription id on one connection."""

import pytest

from nostrclient.nostr.wire import Wire, WirePurpose, WireState


def test_e3b_wire_lives_through_its_states_once() -> None:
    wire = Wire("a", WirePurpose.LIVE, "")
    assert wire.state is WireState.SENT
    for state in (WireState.OPEN, WireState.SENT, WireState.CLOSING, WireState.ENDED):
        wire.move(state)
    with pytest.raises(AssertionError):
        wire.move(WireState.OPEN)


def test_e3b_closing_wire_is_not_opened_by_a_late_eose() -> None:
    wire = Wire("a", WirePurpose.LIVE, "")
    wire.move(WireState.CLOSING)
    with pytest.raises(AssertionError):
        wire.move(WireState.OPEN)


def test_e9_gaps_and_pages_are_temporary() -> None:
    temporary = [
        purpose for purpose in WirePurpose if Wire("a", purpose, "").is_temporary
    ]
    assert temporary == [WirePurpose.GAP, WirePurpose.PAGE]
