"""What crosses from threads to the event loop is immutable and tells itself apart."""

from typing import get_args

import pytest

from nostrclient.nostr.delivery import Closed, Delivery, Eose

KINDS = get_args(Delivery)


@pytest.mark.parametrize("kind", KINDS)
def test_every_delivery_is_an_immutable_value(kind: type) -> None:
    assert issubclass(kind, tuple)
    assert kind.__doc__


def test_a_delivery_is_known_by_its_type() -> None:
    assert len(set(KINDS)) == len(KINDS) == 11
    assert not isinstance(Closed("up", "wss://a", ""), Eose)
    with pytest.raises(AttributeError):
        Eose("up", "wss://a").upstream_id = "other"  # type: ignore[misc]  # on purpose
