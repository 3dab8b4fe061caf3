"""What is wrong with input is a ValueError with one readable line."""

import pytest

from nostrclient.nostr.errors import (
    InvalidEvent,
    InvalidKey,
    InvalidMessage,
    NostrError,
)


@pytest.mark.parametrize("error", [InvalidEvent, InvalidKey, InvalidMessage])
def test_errors_can_be_caught_as_value_errors(
    error: type[NostrError],
) -> None:
    assert issubclass(error, NostrError)
    assert issubclass(error, ValueError)
    assert str(error("a reason")) == "a reason"
