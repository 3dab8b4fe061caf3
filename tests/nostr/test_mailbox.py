"""A consumer's mailbox: one wake per burst, one order, in bounded room."""

from dataclasses import replace

from nostrclient.nostr.delivery import (
    Delivered,
    Delivery,
    Eose,
    RelayChanged,
    Reply,
    SubscriptionOpened,
)
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.mailbox import ITEM_BYTES, Budget
from nostrclient.nostr.message_pool import MessagePool
from nostrclient.nostr.settings import DEFAULTS

from .builders import ITEM_SIZE as SIZE
from .builders import Reader, made

A = "wss://a"


def overflowed(reader: Reader) -> bool:
    return reader.mailbox.overflowed


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
        SubscriptionOpened("up", frozenset((A,)), {}, 1),
        Delivered("up", made(), A),
        Eose("up", A),
        RelayChanged(A, True, True),
        Delivered("up", made(), A),
    ]
    for item in items:
        reader.mailbox.put_later(item)
    assert reader.mailbox.take_all() == items


def test_b7_overflowing_mailbox_loses_nothing_in_silence() -> None:
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


def test_b7_taken_items_count_until_they_are_sent() -> None:
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
    event = SignedEvent("0" * 64, "0" * 64, 0, 1, [], None, text, len(text))
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


def test_b7_public_clients_share_half_of_what_all_share() -> None:
    pool = MessagePool(replace(DEFAULTS, mailboxes_total_bytes=200))
    assert (pool.budget.total_bytes, pool.public_budget.total_bytes) == (100, 100)
    pool.configure(replace(DEFAULTS, mailboxes_total_bytes=400, public_share=0.25))
    assert (pool.budget.total_bytes, pool.public_budget.total_bytes) == (300, 100)


def test_b7_answers_that_nobody_reads_count_as_well() -> None:
    reader = Reader(max_bytes=10_000)
    for _ in range(9):
        reader.mailbox.put(Reply("x" * 1000))
    assert overflowed(reader)


def test_b7_only_client_that_used_the_whole_budget_is_closed() -> None:
    reader = Reader(100 * SIZE, Budget(10 * SIZE))
    reader.put(11)
    assert overflowed(reader)
    assert reader.mailbox.take_all() == []


def test_b7_client_with_many_taken_unsent_items_is_closed_too() -> None:
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
    reader.mailbox.flush()
    assert reader.budget.used_bytes == 0
    assert reader.mailbox.take_all() == []
    assert reader.wakes == wakes
    reader.mailbox.close()
    assert reader.budget.used_bytes == 0
