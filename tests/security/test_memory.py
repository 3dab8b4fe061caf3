"""Rule D8: what is counted is what it takes, whatever shape it has."""

import itertools
import json
import sys
import tracemalloc
from typing import Any

import pytest

from nostrclient.nostr.delivery import Delivered
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.in_process import EventMessage, InProcessQueues
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.message_pool import VerifiedCache
from nostrclient.nostr.session import Command, Session, Subscribe
from nostrclient.nostr.settings import Settings

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
        cache.verify(text)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 8 * MIB


FILTERS: dict[str, str] = {
    "many values": '{"#t":[' + ",".join(f'"{n:x}"' for n in range(30_000)) + "]}",
    "authors": '{"authors":[' + ",".join(f'"{n:064x}"' for n in range(3_600)) + "]}",
    "one long value": '{"search":"' + "x" * 250_000 + '"}',
}


@pytest.mark.parametrize("kind", FILTERS)
def test_d8_the_filters_of_one_client_are_bounded(kind: str) -> None:
    """Fifty subscriptions of 250 KiB each would take up to 250 MiB, for one client."""
    numbers = itertools.count()
    settings = Settings()
    session = Session(settings.public, settings, lambda: f"up{next(numbers)}", 0.0)
    tracemalloc.start()
    answers: list[str | Command] = []
    text = ""
    for number in range(50):
        text = f'["REQ","s{number}",{FILTERS[kind]}]'
        answers += session.receive(text, number * 60.0, 0.0)
    del text
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 3 * settings.public.open_filters_bytes
    refused = [answer for answer in answers if isinstance(answer, str)]
    assert refused
    assert all("too much together" in answer for answer in refused)
    assert session.subscription_count == 50 - len(refused) >= 1

    # What is closed makes room.
    session.receive('["CLOSE","s0"]', 9000.0, 0.0)
    (again,) = session.receive(f'["REQ","t",{FILTERS[kind]}]', 9000.0, 0.0)
    assert isinstance(again, Subscribe)


def test_d8_unread_events_of_extensions_are_bounded_in_bytes() -> None:
    """Another extension opened a subscription and never looks; a relay sends a lot."""
    from nostrclient.router import NostrRouter
    from nostrclient.tasks import keep_event

    text = "x" * MIB
    tracemalloc.start()
    for number in range(200):
        keep_event(EventMessage(text + str(number), "id", "deaf", "wss://a"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = NostrRouter.received_subscription_events.pop("deaf")
    assert used < 100 * MIB
    assert kept[-1].event.endswith("x199")
    assert 40 < len(kept) < 90


def test_d8_the_queue_of_this_process_is_bounded_in_bytes() -> None:
    queues = InProcessQueues()
    queues.subscription_ids["up"] = "deaf"
    event = SignedEvent.parse(json.dumps(signed()))
    for number in range(200):
        large = event._replace(text="x" * MIB + str(number))
        queues.put(Delivered("up", large, "wss://a"))
    assert 40 < len(queues.events) < 90
    assert queues.events[-1].event.endswith("x199")
