"""Importing the relays of a person's lists."""

from typing import Any

import nostr_sdk
import pytest

from tests.programs import needs_node

from .modules import evaluate

pytestmark = needs_node


def public_key(text: str) -> str | None:
    script = "return (await load('npub')).publicKey(text)"
    found: str | None = evaluate(script, text=text)
    return found


def test_i6_npub_is_read_as_other_software_writes_it() -> None:
    for _ in range(3):
        key = nostr_sdk.Keys.generate().public_key()
        assert public_key(f" {key.to_bech32()} ") == key.to_hex()
        assert public_key(key.to_hex().upper()) == key.to_hex()


@pytest.mark.parametrize("change", ["mistyped", "short", "nsec", "empty"])
def test_i6_text_that_is_no_public_key_is_refused(change: str) -> None:
    keys = nostr_sdk.Keys.generate()
    npub = keys.public_key().to_bech32()
    other = "q" if npub[20] != "q" else "p"
    texts = {
        "mistyped": f"{npub[:20]}{other}{npub[21:]}",
        "short": npub[:-1],
        "nsec": keys.secret_key().to_bech32(),
        "empty": "",
    }
    assert public_key(texts[change]) is None


def test_i6_newest_list_of_each_kind_names_the_relays() -> None:
    def event(kind: int, created_at: int, *tags: list[str]) -> dict[str, Any]:
        return {"kind": kind, "created_at": created_at, "tags": list(tags)}

    events = [
        event(10002, 5, ["r", "wss://old.example"]),
        event(
            10002,
            9,
            ["r", "wss://both.example/"],
            ["r", "wss://in.example", "read"],
            ["r", "https://no.relay"],
            ["r"],
            ["p", "wss://not.this"],
        ),
        event(10050, 7, ["relay", "wss://both.example"], ["relay", "wss://dm.example"]),
        event(1, 99, ["r", "wss://note.example"]),
    ]
    script = "return (await load('import-relays')).listedRelays(events)"
    assert evaluate(script, events=events) == [
        {"url": "wss://both.example", "uses": ["read", "write", "messages"]},
        {"url": "wss://in.example", "uses": ["read"]},
        {"url": "wss://dm.example", "uses": ["messages"]},
    ]
