"""The six timelines that the rules were worked out on, with time compressed."""

import itertools
import time
from dataclasses import replace

import pytest

from tests.e2e.clients import Author, wait_until

from .bench import (
    FAST,
    Bench,
    NostrEvent,
    RealRelay,
    measured,
    order,
    orders,
    orders_filter,
    spread,
)
from .conftest import NewBench, NewOddRelay, NewRelay
from .habits import EventRate
from .odd_relay import OddRelay

EXPIRY_SECONDS = 4.0
"""Seven days, compressed."""

NUMBERS = itertools.count()

# Each event is followed by the end of the connection, but is not its reason.
SHORT_LIVED = replace(
    FAST, outbox_expiry_seconds=EXPIRY_SECONDS, poison_seconds=0.01, resend_seconds=30
)


def events(number: int, author: Author | None = None) -> list[NostrEvent]:
    author = author or Author()
    return [author.event(f"event {next(NUMBERS)}") for _ in range(number)]


# --- 1: five relays, E dead for a year


def test_timeline_1_copies_owed_to_a_dead_relay_wait_apart(
    bench: Bench, new_odd_relay: NewOddRelay, relay: RealRelay
) -> None:
    living = [new_odd_relay() for _ in range(4)]
    relay.proxy.refuse()
    bench.start(relay.url)
    bench.start(*(one.url for one in living))
    bench.wait_connected(*(one.url for one in living))
    client = bench.client()
    sent = events(150)
    for event in sent:
        client.send("EVENT", event)
    for event in sent:
        accepted, reason = client.answer(event)
        assert accepted, reason
        assert not reason.startswith("queued:")
    assert bench.manager.publisher.waiting_events() == []

    # The hundred is all there still, for events that nobody has taken.
    for one in living:
        one.habits.sends_ok = False
    queued = events(100)
    for event in queued:
        client.send("EVENT", event)
    for event in queued:
        accepted, reason = client.answer(event)
        assert accepted, reason
        assert reason.startswith("queued:")

    # Of what was accepted elsewhere, the newest 100 are kept for E.
    most = FAST.owed_copies_per_relay
    wait_until(
        lambda: bench.manager.publisher.relay_numbers()[relay.url] == (most + 100, 50),
        "the oldest copies are dropped and counted",
    )
    relay.proxy.resume()
    wait_until(
        lambda: relay.has(*sent[-most:], *queued), "E has what it is owed", 30, 0.2
    )
    assert not relay.has(sent[0])


def test_timeline_1_refused_by_the_living_it_waits_for_the_dead(
    new_bench: NewBench, new_odd_relay: NewOddRelay, relay: RealRelay
) -> None:
    bench = new_bench(SHORT_LIVED)
    living = [new_odd_relay() for _ in range(4)]
    for one in living:
        one.habits.refuses_events = "blocked: not you"
    relay.proxy.refuse()
    bench.start(relay.url)
    bench.start(*(one.url for one in living))
    bench.wait_connected(*(one.url for one in living))
    client = bench.client()
    delivered, expired = events(2)

    began = time.monotonic()
    accepted, reason = client.publish(delivered)
    assert time.monotonic() - began >= SHORT_LIVED.answer_seconds * 0.9
    assert accepted, reason
    assert reason.startswith("queued:")
    (waiting,) = bench.manager.publisher.waiting_events()
    assert list(waiting.copies) == [relay.url]
    assert len(waiting.refusals) == 4
    relay.proxy.resume()
    wait_until(lambda: relay.has(delivered), "E has it")

    relay.proxy.refuse()
    bench.wait_disconnected(relay.url)
    assert client.publish(expired)[1].startswith("queued:")
    wait_until(
        lambda: bench.manager.publisher.undeliverable_count == 1,
        "it is undeliverable",
        20,
    )
    (given_up,) = bench.manager.publisher.outbox.undeliverable
    assert given_up.event.id == expired["id"]
    assert given_up.reason == "blocked: not you"


# --- 2: one relay, which never sends OK


def test_timeline_2_never_answered_it_is_sent_again_and_expires(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(SHORT_LIVED)
    odd_relay.habits.sends_ok = False
    bench.start_connected(odd_relay.url)
    client = bench.client()
    (event,) = events(1)
    accepted, reason = client.publish(event)
    assert accepted, reason
    assert reason.startswith("queued:")
    for times in (2, 3):
        odd_relay.disconnect()
        wait_until(
            lambda times=times: odd_relay.event_ids()[event["id"]] == times,  # type: ignore[misc]  # mypy infers no lambda with defaults
            "it is sent again",
        )
    wait_until(
        lambda: bench.manager.publisher.undeliverable_count == 1,
        "it is undeliverable",
        20,
    )
    connections = odd_relay.connections
    odd_relay.disconnect()
    wait_until(
        lambda: odd_relay.connections > connections, "the relay is connected again"
    )
    bench.wait_connected()
    time.sleep(0.3)
    assert odd_relay.event_ids()[event["id"]] == 3


def test_timeline_2_a_hundred_unanswered_do_not_stop_the_next(
    bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits.sends_ok = False
    bench.start_connected(odd_relay.url)
    client = bench.client()
    author = Author()
    unanswered = events(100, author)
    for event in unanswered:
        client.send("EVENT", event)
    for event in unanswered:
        assert client.answer(event)[1].startswith("queued:")

    # Full: tried all the same, and without an answer not vouched for.
    (refused,) = events(1, author)
    accepted, reason = client.publish(refused)
    assert not accepted
    assert reason.startswith("error:")
    assert odd_relay.event_ids()[refused["id"]] == 1

    odd_relay.habits.sends_ok = True
    for next_author in (author, Author()):
        (accepted_one,) = events(1, next_author)
        accepted, reason = client.publish(accepted_one)
        assert accepted, reason
        assert not reason.startswith("queued:")

    # Answered false: never sent later. Answered true: sent again, and taken.
    odd_relay.disconnect()
    wait_until(lambda: not bench.manager.publisher.outbox.publications, "all are taken")
    assert odd_relay.event_ids()[refused["id"]] == 1
    for event in unanswered:
        assert odd_relay.event_ids()[event["id"]] == 2


# --- 3: a shop publishes 200 products in a second


def test_timeline_3_two_hundred_products_at_once_are_all_accepted(
    bench: Bench, new_relay: NewRelay
) -> None:
    relays = [new_relay() for _ in range(2)]
    bench.start_connected(*(relay.url for relay in relays))
    shop = Author()
    products = [
        shop.event("{}", kind=30018, tags=[["d", f"product-{number}"]])
        for number in range(200)
    ]
    client = bench.client("shop")
    began = time.monotonic()
    for product in products:
        client.send("EVENT", product)
    for product in products:
        accepted, reason = client.answer(product)
        assert accepted, reason
        assert not reason.startswith("queued:")
    measured("200 products at once", f"all OK after {time.monotonic() - began:.3f} s")
    wait_until(
        lambda: all(relay.has(*products) for relay in relays), "all have everything"
    )


# --- 4: LNbits starts, and a wallet service asks while relays are connecting


def test_timeline_4_eose_comes_after_the_stored_events_of_all_that_connect(
    new_bench: NewBench, new_relay: NewRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, eose_seconds=4.0, eose_max_seconds=15.0))
    quick, slow, dead = (new_relay() for _ in range(3))
    placed = orders(2, merchant)
    quick.put(placed[0])
    slow.put(placed[1])
    slow.proxy.freeze()
    dead.proxy.refuse()
    bench.start(quick.url, slow.url, dead.url)
    service = bench.client("wallet service")
    service.req("requests", orders_filter(merchant))
    service.req("responses", orders_filter(merchant))
    service.wait_events(placed[:1])
    time.sleep(1.0)
    assert service.count("EOSE") == 0
    slow.proxy.resume()
    for subscription_id in ("requests", "responses"):
        service.wait_eose(subscription_id)
        verbs = [message[:2] for message in service.received]
        before = service.received[: verbs.index(["EOSE", subscription_id])]
        stored = [
            message[2]["id"]
            for message in before
            if message[:2] == ["EVENT", subscription_id]
        ]
        assert sorted(stored) == sorted(event["id"] for event in placed)
    time.sleep(0.5)
    assert service.count("EOSE") == 2


# --- 5: 1,200 events during an outage, of a relay that answers 500 at a time


def test_timeline_5_a_long_outage_is_fetched_in_pages(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    relay.proxy.refuse()
    bench.wait_disconnected(relay.url)
    customer = Author()
    first = int(time.time()) - 1
    placed = [
        order(customer, merchant, f"order {number}", created_at=first + number % 5)
        for number in range(1200)
    ]
    relay.put(*placed)
    assert len(relay.fetch(orders_filter(merchant))) == 500
    reachable = time.monotonic()
    relay.proxy.resume()
    consumer.wait_events(placed)
    took = max(consumer.arrivals.values()) - reachable
    measured("1,200 missed orders, 500 an answer", f"all after {took:.3f} s")
    late = order(Author(), merchant, "late", created_at=first - 86400)
    relay.put(late)
    consumer.assert_exactly("orders", [*placed, late])
    assert consumer.count("EOSE") == 1


# --- 6: CLOSE while 5,000 events are in flight


def test_timeline_6_close_in_full_flight_is_not_held_against_the_relay(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    author = Author()
    odd_relay.put(*events(5000, author))
    odd_relay.habits.ignores_close = True
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.req("everything", {"authors": [author.pubkey]})
    client.wait(lambda: client.count("EVENT") > 0, "the first event")
    client.send("CLOSE", "everything")
    came = client.count("EVENT")
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.counters.unasked_events > 1000, "the rest is dropped", 30)
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    stored = client.subscribe("orders", orders_filter(merchant))
    assert stored == [placed]
    assert client.count("EVENT", "everything") == came
    assert relay.connected
    assert relay.connections == 1
    assert relay.counters.invalid_messages == 0


# --- 8: a relay with a small rate

MINUTE = 3.0
"""A minute, compressed."""

PACED = replace(
    FAST,
    publish_rate_pause_seconds=MINUTE / 60,
    publish_rate_max_pause_seconds=5 * MINUTE,
    publish_rate_window_seconds=MINUTE,
    resend_seconds=MINUTE / 2,
)


@pytest.mark.parametrize("notice", [False, True])
def test_timeline_8_a_relay_that_takes_24_a_minute_gets_60_products(
    new_bench: NewBench, new_odd_relay: NewOddRelay, notice: bool
) -> None:
    relay = new_odd_relay()
    relay.habits.minute_seconds = MINUTE
    relay.habits.event_rates = (EventRate(24, (range(30_000, 40_000),)),)
    relay.habits.notice_for_ok = notice
    bench = new_bench(PACED)
    bench.start_connected(relay.url)
    shop, wallet, author, other = bench.client(), bench.client(), Author(), Author()
    products = [
        author.event("a product", kind=30_018, tags=[["d", f"{number}"]])
        for number in range(60)
    ]
    began = time.monotonic()
    for product in products:
        shop.send("EVENT", product)
    delays: list[float] = []
    for number in range(10):
        time.sleep(MINUTE / 10)
        event = other.event("else", kind=30_019, tags=[["d", f"{number}"]])
        published_at = time.monotonic()
        wallet.publish(event)
        while event not in relay.events:
            assert time.monotonic() < published_at + 10 * MINUTE
            time.sleep(0.005)
        delays.append(time.monotonic() - published_at)
    for product in products:
        accepted, reason = shop.answer(product)
        assert accepted, reason
    wait_until(lambda: relay.has(*products), "all are there", 10 * MINUTE)
    minutes = (time.monotonic() - began) / MINUTE
    measured(
        f"60 products at 24 a minute, {'NOTICE' if notice else 'OK'}",
        f"all there after {minutes:.1f} minutes, others after {spread(delays)}",
    )
    # Four where nothing else runs, as tests/nostr/test_outbox_relay.py shows; a minute
    # has three seconds here, which a busy machine makes longer.
    assert minutes < 10
    assert bench.manager.publisher.undeliverable_count == 0
    assert sorted(delays)[len(delays) // 2] < MINUTE
