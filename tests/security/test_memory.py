"""Rule D8: what is counted is what it takes, whatever shape it has."""

import json
import sys
import tracemalloc
from typing import Any

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.message_pool import VerifiedCache

from .relays import signed

MIB = 2**20
SHAPES: dict[str, dict[str, Any]] = {
    "text": {"content": "x" * 100_000},
    "one character from far away": {"content": "x" * 100_000 + "\U0001f600"},
    "many tags": {"content": "", "tags": [["a"]] * 20_000},
    "many tags of two letters": {"content": "", "tags": [["aa"]] * 20_000},
    "one tag of many values": {"content": "", "tags": [["aa"] * 50_000]},
    "contacts": {
        "content": "",
        "kind": 3,
        "tags": [["p", f"{number:064x}"] for number in range(1500)],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_d8_an_event_counts_for_what_it_takes(shape: str) -> None:
    event = signed(**SHAPES[shape])
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    tracemalloc.start()
    parsed = SignedEvent.parse(text)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    used += sys.getsizeof(text)  # it was there before
    assert parsed.memory_bytes * 1.5 > used, f"{used / parsed.memory_bytes:.1f}"
    assert parsed.memory_bytes < used * 3


def test_d8_the_cache_of_verified_events_keeps_its_bound() -> None:
    """A hostile relay sends events that take twenty times the room of their text."""
    key = PrivateKey()
    texts = [
        json.dumps(signed(f"{number}", key=key, tags=[["aa"]] * 5_000))
        for number in range(60)
    ]
    cache = VerifiedCache(4 * MIB)
    tracemalloc.start()
    for text in texts:
        cache.verify(text, wait=True)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 8 * MIB
