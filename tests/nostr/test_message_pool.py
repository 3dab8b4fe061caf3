"""The inbound crossing: each event once, in order, in bounded room."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.delivery import (
    Delivered,
    Delivery,
)
from nostrclient.nostr.errors import InvalidEvent
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.mailbox import Mailbox
from nostrclient.nostr.message_pool import (
    EVENT_OVERHEAD_BYTES,
    Feed,
    MessagePool,
    SeenIds,
    VerifiedCache,
)
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import NOW, Inbox, Reader, filters, made, signed

A, B = "wss://a", "wss://b"


def pool_with(
    *wanted: dict[str, Any], settings: Settings = DEFAULTS
) -> tuple[MessagePool, Inbox]:
    pool, inbox = MessagePool(settings), Inbox()
    pool.open(Feed("up", filters(*wanted), inbox))
    return pool, inbox


def ids(items: list[Delivery]) -> list[str]:
    return [item.event.id for item in items if isinstance(item, Delivered)]


# --- D2, D3: who is given what


def test_d2_an_event_is_delivered_once_however_many_relays_send_it() -> None:
    pool, inbox = pool_with({})
    event = made()
    assert pool.deliver(["up"], event, A, set())
    assert not pool.deliver(["up"], event, B, set())
    assert inbox.items == [Delivered("up", event, A)]


def test_d2_each_subscription_has_a_memory_of_its_own() -> None:
    pool, inbox = pool_with({})
    other = Inbox()
    pool.open(Feed("other", filters({}), other))
    event = made()
    pool.deliver(["up"], event, A, set())
    assert pool.deliver(["up", "other"], event, B, set())
    assert len(inbox.items) == len(other.items) == 1


def test_d3_only_what_matches_the_client_s_own_filters_is_delivered() -> None:
    pool, inbox = pool_with({"kinds": [1], "since": NOW}, {"kinds": [7]})
    pool.deliver(["up"], made(NOW - 1), A, set())
    pool.deliver(["up"], made(kind=2), A, set())
    assert inbox.items == []
    pool.deliver(["up"], made(NOW), A, set())
    pool.deliver(["up"], made(0, kind=7), A, set())
    assert len(inbox.items) == 2


def test_d3_event_that_did_not_match_does_not_count_as_seen() -> None:
    pool, _ = pool_with({"kinds": [1]})
    pool.deliver(["up"], made(kind=2), A, set())
    assert pool.seen_total == 0


def test_b4_nothing_is_delivered_to_what_was_closed_and_nothing_is_left() -> None:
    pool, inbox = pool_with({})
    pool.deliver(["up"], made(), A, set())
    assert pool.close("up") is not None
    assert not pool.deliver(["up", "unknown"], made(), A, set())
    assert len(inbox.items) == 1
    assert pool.feed_count == pool.seen_total == 0
    assert pool.close("up") is None


def test_d2_the_memory_of_a_subscription_reaches_back_100_000_events() -> None:
    settings = replace(DEFAULTS, seen_ids_per_subscription=1000)
    pool, inbox = pool_with({}, settings=settings)
    events = [made() for _ in range(1500)]
    for event in events:
        pool.deliver(["up"], event, A, set())
    assert pool.seen_total == 1000
    assert not any(pool.deliver(["up"], event, B, set()) for event in events[500:])
    assert len(inbox.items) == 1500


def test_d8_the_memory_of_all_subscriptions_is_bounded() -> None:
    settings = replace(DEFAULTS, seen_ids_total=1000)
    pool = MessagePool(settings)
    small, large = Feed("small", filters({}), Inbox()), Feed("l", filters({}), Inbox())
    pool.open(small)
    pool.open(large)
    kept = [made() for _ in range(100)]
    for event in kept:
        pool.deliver(["small"], event, A, set())
    for _ in range(5000):
        pool.deliver(["l"], made(), A, set())
        assert pool.seen_total <= 1000
    assert pool.seen_total == len(small.seen) + len(large.seen)
    assert all(small.delivered(event.id) for event in kept)  # the large one pays


def test_d2_public_clients_never_make_a_private_one_forget() -> None:
    pool = MessagePool(replace(DEFAULTS, seen_ids_total=1000, public_share=0.5))
    private = Feed("private", filters({"kinds": [1]}), Inbox())
    pool.open(private)
    for _ in range(450):
        pool.deliver(["private"], made(kind=1), A, set())
    public = [
        Feed(f"public{n}", filters({}), Inbox(), is_public=True) for n in range(50)
    ]
    for feed in public:
        pool.open(feed)
    for _ in range(100):
        pool.deliver([feed.upstream_id for feed in public], made(kind=2), A, set())
    assert len(private.seen) == 450
    assert 400 < sum(len(feed.seen) for feed in public) <= 500
    assert pool.seen_total == 450 + sum(len(feed.seen) for feed in public)
    for feed in [*public, private]:
        pool.close(feed.upstream_id)
    assert pool.seen_total == 0


def test_d2_threads_that_bring_the_same_events_deliver_each_once_and_in_order() -> None:
    pool = MessagePool(DEFAULTS)
    readers = [Reader(10**9) for _ in range(2)]
    for number, reader in enumerate(readers):
        pool.open(Feed(f"up{number}", filters({}), reader.mailbox))
    events = [made() for _ in range(2000)]

    def bring(url: str) -> None:
        touched: set[Mailbox] = set()
        for event in events:
            pool.deliver(["up0", "up1"], event, url, touched)
        for mailbox in touched:
            mailbox.flush()

    threads = [threading.Thread(target=bring, args=(f"{A}{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reader in readers:
        assert ids(reader.mailbox.take_all()) == [event.id for event in events]
        assert reader.wakes >= 1
    assert pool.seen_total == 4000


@given(st.lists(st.integers(0, 30), max_size=100), st.integers(1, 10))
def test_d2_seen_ids_are_a_set_that_forgets_its_oldest(
    numbers: list[int], most: int
) -> None:
    seen = SeenIds()
    model: list[int] = []
    for number in numbers:
        key = SeenIds.key(f"{number:032x}" * 2)
        assert seen.add(key) == (number not in model)
        if number not in model:
            model.append(number)
        if len(seen) > most:
            assert seen.forget_oldest(1) == 1
            del model[0]
        assert len(seen) == len(model)
        known = [n for n in range(31) if SeenIds.key(f"{n:032x}" * 2) in seen]
        assert known == sorted(model)
    assert seen.forget_oldest(1000) == len(model)
    assert seen.forget_oldest(1) == len(seen) == 0


def test_d3_a_copy_is_recognised_by_its_exact_text_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = VerifiedCache(10**6)
    event = signed()
    first = cache.verify(event.text)
    assert first == event
    checked: list[str] = []

    def parse(text: str) -> SignedEvent:
        checked.append(text)
        return event

    monkeypatch.setattr(SignedEvent, "parse", parse)
    assert cache.verify(event.text) is first
    assert checked == []
    other = event.text.replace(": ", ":  ", 1)
    cache.verify(other)
    assert checked == [other]


def test_d3_a_bad_copy_hides_nothing() -> None:
    cache = VerifiedCache(10**6)
    event = signed()
    forged = event.text.replace("hello", "hallo")
    for _ in range(2):
        with pytest.raises(InvalidEvent):
            cache.verify(forged)
    assert cache.verify(event.text) == event


def test_d8_verified_copies_are_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []

    def parse(text: str) -> SignedEvent:
        checked.append(text)
        return made()._replace(text=text, memory_bytes=len(text))

    monkeypatch.setattr(SignedEvent, "parse", parse)
    cache = VerifiedCache(10 * (100 + EVENT_OVERHEAD_BYTES))
    texts = [f"{number:0100}" for number in range(50)]
    for text in (*texts, *texts[-10:]):
        cache.verify(text)
    assert checked == texts
    cache.verify(texts[39])
    assert checked == [*texts, texts[39]]
