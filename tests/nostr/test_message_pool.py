"""The inbound crossing: each event once, in order, in bounded room."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.delivery import (
    Asked,
    Delivered,
    Delivery,
    Eose,
    Notice,
    RelayChanged,
)
from nostrclient.nostr.errors import InvalidEvent
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message_pool import (
    EVENT_OVERHEAD_BYTES,
    ITEM_BYTES,
    Budget,
    Feed,
    InProcessQueues,
    Mailbox,
    MessagePool,
    SeenIds,
    VerifiedCache,
)
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import NOW, Inbox, filters, made, signed

A, B = "wss://a", "wss://b"
SIZE = ITEM_BYTES + len(made().text)


class Reader:
    """A client's mailbox, and how often it was woken."""

    def __init__(self, max_bytes: int = 100 * SIZE, budget: Budget | None = None):
        self.wakes = 0
        self.budget = budget or Budget(10**9)
        self.mailbox = Mailbox(self.wake, max_bytes, self.budget)

    def wake(self) -> None:
        self.wakes += 1

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.mailbox.put(Delivered("up", made(), A))


def pool_with(
    *wanted: dict[str, Any], settings: Settings = DEFAULTS
) -> tuple[MessagePool, Inbox]:
    pool, inbox = MessagePool(settings), Inbox()
    pool.open(Feed("up", filters(*wanted), inbox))
    return pool, inbox


def overflowed(reader: Reader) -> bool:
    return reader.mailbox.overflowed


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


def test_d3_what_did_not_match_does_not_count_as_seen() -> None:
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
        assert seen.add(f"{number:032x}" * 2) == (number not in model)
        if number not in model:
            model.append(number)
        if len(seen) > most:
            assert seen.forget_oldest(1) == 1
            del model[0]
        assert len(seen) == len(model)
        known = [n for n in range(31) if f"{n:032x}" * 2 in seen]
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
        return made()._replace(text=text)

    monkeypatch.setattr(SignedEvent, "parse", parse)
    cache = VerifiedCache(10 * (100 + EVENT_OVERHEAD_BYTES))
    texts = [f"{number:0100}" for number in range(50)]
    for text in (*texts, *texts[-10:]):
        cache.verify(text)
    assert checked == texts
    cache.verify(texts[39])
    assert checked == [*texts, texts[39]]


# --- B7: the mailbox


def test_one_wake_per_burst() -> None:
    reader = Reader()
    for _ in range(5):
        reader.mailbox.put_later(Eose("up", A))
    assert reader.wakes == 0
    reader.mailbox.flush()
    reader.put(5)
    assert reader.wakes == 1
    assert len(reader.mailbox.take_all()) == 10
    reader.mailbox.flush()
    assert reader.wakes == 1
    reader.put()
    assert reader.wakes == 2


def test_d4_everything_travels_in_one_order() -> None:
    reader = Reader()
    items: list[Delivery] = [
        Asked("up", frozenset((A,)), {}, 1),
        Delivered("up", made(), A),
        Eose("up", A),
        RelayChanged(A, True, True),
        Delivered("up", made(), A),
    ]
    for item in items:
        reader.mailbox.put_later(item)
    assert reader.mailbox.take_all() == items


def test_b7_what_overflows_loses_nothing_in_silence() -> None:
    reader = Reader(max_bytes=10 * SIZE)
    reader.put(10)
    assert not overflowed(reader)
    reader.put()
    assert overflowed(reader)
    assert reader.wakes == 2
    assert reader.mailbox.take_all() == []
    reader.put(100)
    assert reader.mailbox.take_all() == []
    reader.mailbox.close()
    assert reader.budget.used_bytes == 0


def test_b7_what_was_taken_counts_until_it_is_sent() -> None:
    reader = Reader(max_bytes=10 * SIZE)
    reader.put(6)
    assert len(reader.mailbox.take_all()) == 6
    reader.put(4)
    assert not overflowed(reader)
    reader.put()
    assert overflowed(reader)


def test_b7_a_client_that_keeps_up_never_overflows() -> None:
    reader = Reader(max_bytes=10 * SIZE)
    for _ in range(100):
        reader.put(5)
        assert len(reader.mailbox.take_all()) == 5
    reader.mailbox.take_all()
    assert reader.budget.used_bytes == reader.mailbox.waiting_bytes == 0


def test_b7_events_of_any_size_are_counted() -> None:
    reader = Reader(max_bytes=10_000)
    text = "x" * 9_700
    event = SignedEvent("0" * 64, "0" * 64, 0, 1, [], None, text)
    reader.mailbox.put(Delivered("up", event, A))
    assert not overflowed(reader)
    assert reader.mailbox.waiting_bytes == 9_700 + ITEM_BYTES
    reader.mailbox.put(Delivered("up", event, A))
    assert overflowed(reader)


def test_b7_all_together_are_bounded_and_the_slowest_pays() -> None:
    # Slow clients use up what all clients share; one that reads at once must not be
    # closed for it.
    budget = Budget(40 * SIZE)
    slow = [Reader(10 * SIZE, budget) for _ in range(4)]
    for number, reader in enumerate(slow):
        reader.put(9 + (number == 2))
    healthy = Reader(10 * SIZE, budget)
    for _ in range(100):
        healthy.put(3)
        assert len(healthy.mailbox.take_all()) == 3
        assert budget.used_bytes <= 40 * SIZE
    assert not overflowed(healthy)
    assert [overflowed(reader) for reader in slow] == [
        False,
        False,
        True,
        False,
    ]
    assert slow[2].wakes == 2  # it is told
    for reader in (*slow, healthy):
        reader.mailbox.close()
    assert budget.used_bytes == 0


def test_b7_public_clients_that_do_not_read_never_close_a_private_one() -> None:
    pool = MessagePool(replace(DEFAULTS, mailboxes_total_bytes=200 * SIZE))
    public = [Reader(100 * SIZE, pool.public_budget) for _ in range(10)]
    private = Reader(100 * SIZE, pool.budget)
    private.put(50)
    for reader in public:
        reader.put(30)
    private.put(50)
    assert not overflowed(private)
    assert any(map(overflowed, public))
    assert len(private.mailbox.take_all()) == 100
    assert pool.public_budget.used_bytes <= 100 * SIZE


def test_b7_who_took_a_lot_and_does_not_send_it_pays_too() -> None:
    budget = Budget(20 * SIZE)
    slow, healthy = Reader(20 * SIZE, budget), Reader(20 * SIZE, budget)
    slow.put(18)
    slow.mailbox.take_all()
    healthy.put(5)
    assert overflowed(slow)
    assert len(healthy.mailbox.take_all()) == 5
    slow.mailbox.take_all()
    slow.mailbox.close()
    healthy.mailbox.close()
    assert budget.used_bytes == 0


def test_b6_a_closed_mailbox_takes_nothing_and_holds_nothing() -> None:
    reader = Reader()
    reader.put(5)
    reader.mailbox.take_all()
    reader.put(5)
    reader.mailbox.close()
    assert reader.budget.used_bytes == 0
    wakes = reader.wakes
    reader.put(5)
    assert reader.mailbox.take_all() == []
    assert reader.wakes == wakes
    reader.mailbox.close()
    assert reader.budget.used_bytes == 0


# --- G: subscriptions opened in this process


def test_g2_events_and_eoses_appear_under_the_name_they_were_asked_by() -> None:
    pool = MessagePool(DEFAULTS)
    queues = pool.in_process
    woken: list[bool] = []
    queues.wake = lambda: woken.append(True)
    queues.subscription_ids["up"] = "mine"
    pool.open(Feed("up", filters({}), queues))
    event = made()
    pool.deliver(["up"], event, A, set())
    queues.put(Eose("up", A))
    queues.put(Eose("unknown", A))
    queues.put(Notice(A, "hello"))
    queues.put(RelayChanged(A, True, True))
    assert len(woken) == 3
    assert pool.has_events()
    message = pool.get_event()
    assert (message.event, message.event_id) == (event.text, event.id)
    assert (message.subscription_id, message.url) == ("mine", A)
    assert pool.has_eose_notices()
    assert pool.get_eose_notice().subscription_id == "mine"
    assert pool.has_notices()
    assert pool.get_notice().content == "hello"
    waits = (pool.has_events, pool.has_notices, pool.has_eose_notices)
    assert not any(has() for has in waits)


@pytest.mark.parametrize("get", ["get_event", "get_notice", "get_eose_notice"])
def test_g4_an_empty_queue_says_so(get: str) -> None:
    with pytest.raises(IndexError):
        getattr(MessagePool(DEFAULTS), get)()


def test_g2_the_oldest_are_dropped_first() -> None:
    queues = InProcessQueues(most=3)
    queues.subscription_ids["up"] = "mine"
    events = [made() for _ in range(5)]
    for event in events:
        queues.put(Delivered("up", event, A))
    assert [item.event_id for item in queues.events] == [e.id for e in events[2:]]
