"""AUTH from a client."""

import pytest

from nostrclient.nostr.client_auth import MAX_KEYS, ClientAuth
from nostrclient.nostr.event import AUTH_KIND, SignedEvent
from nostrclient.nostr.key import PrivateKey

from .builders import KEY, NOW, OTHER_KEY, signed

URL = "wss://shop.example/nostrclient/api/v1/relay"


def auth() -> ClientAuth:
    return ClientAuth("the challenge", [URL, "ws://127.0.0.1:5000/x"], 600)


def answer(
    relay: str = URL,
    challenge: str = "the challenge",
    kind: int = AUTH_KIND,
    created_at: int = NOW,
    key: PrivateKey = KEY,
) -> SignedEvent:
    tags = [["relay", relay], ["challenge", challenge]]
    return signed("", kind, tags, created_at, key)


@pytest.mark.parametrize(
    "relay",
    [
        URL,
        f"{URL}/",
        "ws://SHOP.example/nostrclient/api/v1/relay",
        "ws://127.0.0.1:5000/x",
    ],
)
def test_h5_client_is_believed_however_it_reached_the_endpoint(
    relay: str,
) -> None:
    found = auth()
    assert found.refusal(answer(relay), NOW) is None
    assert found.keys == {KEY.public_key.hex()}


@pytest.mark.parametrize(
    ("event", "word"),
    [
        (answer(challenge="another"), "challenge"),
        (answer(relay="wss://relay.example/nostrclient/api/v1/relay"), "relay"),
        (answer(relay="wss://shop.example/other"), "relay"),
        (answer(relay="wss://shop.example:8443/nostrclient/api/v1/relay"), "relay"),
        (answer(relay="http://["), "relay"),
        (answer(kind=1), "kind"),
        (answer(created_at=NOW - 601), "date"),
        (answer(created_at=NOW + 601), "date"),
    ],
)
def test_h5_client_is_not_believed_where_anything_is_wrong(
    event: SignedEvent, word: str
) -> None:
    found = auth()
    refusal = found.refusal(event, NOW)
    assert refusal is not None
    assert refusal.startswith("invalid:")
    assert word in refusal
    assert not found.keys


def test_h5_connection_may_have_several_keys_but_not_any_number() -> None:
    found = auth()
    for key in (KEY, OTHER_KEY, KEY):
        assert found.refusal(answer(key=key), NOW) is None
    assert len(found.keys) == 2
    for _ in range(MAX_KEYS - 2):
        assert found.refusal(answer(key=PrivateKey()), NOW) is None
    refusal = found.refusal(answer(key=PrivateKey()), NOW)
    assert refusal is not None
    assert refusal.startswith("restricted:")
