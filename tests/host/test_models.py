"""What REST speaks of says of itself what its fields mean and which may be null."""

from collections.abc import Iterator

import pytest

from nostrclient import models
from nostrclient.models import ApiModel
from nostrclient.nostr.key import PublicKey

STORED = {"StoredConfig"}
"""Spoken of by no interface."""


def spoken_of(model: type[ApiModel] = ApiModel) -> Iterator[type[ApiModel]]:
    for found in model.__subclasses__():
        if found.__name__ not in STORED:
            yield found
        yield from spoken_of(found)


MODELS = {model.__name__: model for model in spoken_of()}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_field_says_what_it_means(name: str) -> None:
    properties = MODELS[name].schema()["properties"]
    assert properties
    for field, about in properties.items():
        assert about.keys() & {"description", "example", "enum"}, f"{name}.{field}"


def test_nullable_fields_are_described_as_nullable() -> None:
    about = models.RelayUpdate.schema()["properties"]
    assert about["active"] == {
        "title": "Active",
        "description": "Switch it on or off",
        "anyOf": [{"type": "boolean"}, {"type": "null"}],
    }
    assert about["url"]["type"] == "string"
    status = models.Relay.schema()["properties"]["status"]
    assert {"type": "null"} in status["anyOf"]


def test_a6_example_keys_belong_together() -> None:
    """What /docs offers to try must be valid."""
    assert PublicKey.from_hex(models.PUBLIC_KEY).bech32() == models.NPUB
