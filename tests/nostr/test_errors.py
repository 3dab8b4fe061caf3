"""What is wrong with input is a ValueError with one readable line."""

import pytest

from nostrclient.nostr.errors import (
    InvalidEvent,
    InvalidKey,
    InvalidMessage,
    NostrError,
)


@pytest.mark.parametrize("error", [InvalidEvent, InvalidKey, InvalidMessage])
def test_who_knows_nothing_of_this_package_can_catch_its_errors(
    error: type[NostrError],
) -> None:
    assert issubclass(error, NostrError)
    assert issubclass(error, ValueError)
    assert str(error("a reason")) == "a reason"
