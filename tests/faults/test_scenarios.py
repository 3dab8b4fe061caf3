"""Whatever breaks between a customer and a merchant, the order arrives, once."""

import time
from dataclasses import replace

from tests.e2e.clients import Author, wait_until

from .bench import (
    FAST,
    Bench,
    RealRelay,
    measured,
    order,
    orders,
    orders_filter,
    spread,
)
from .conftest import NewBench, NewRelay
from .odd_relay import OddRelay

HOUR = 3600


def test_e7_e8_an_order_published_while_nostrclient_starts_arrives(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    relay.proxy.freeze()  # connecting takes a while
    bench.start(relay.url)
    consumer = bench.client()
    consumer.req("orders", orders_filter(merchant, since=int(time.time())))
    placed = orders(3, merchant)
    relay.put(placed[0])
    relay.proxy.resume()
    relay.put(placed[1])
    bench.wait_connected()
    at = relay.put(placed[2])
    consumer.assert_exactly("orders", placed)
    late = max(consumer.arrivals.values()) - at
    measured("order placed while nostrclient starts", f"{max(0, late):.3f} s")


def test_e8_an_order_placed_while_the_link_to_the_relay_is_down_arrives(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    placed = []
    delays = []
    for outage in (0.2, 1.0, 3.0):
        relay.proxy.refuse()
        bench.wait_disconnected(relay.url)
        placed.append(order(Author(), merchant))
        relay.put(placed[-1])
        time.sleep(outage)
        reachable = time.monotonic()
        relay.proxy.resume()
        consumer.wait_events(placed)
        delays.append(max(consumer.arrivals.values()) - reachable)
    consumer.assert_exactly("orders", placed)
    assert consumer.count("EOSE") == 1
    measured("order while the link to the relay is down", spread(delays))


def test_e4_an_outage_longer_than_the_window_loses_nothing(
    new_bench: NewBench, relay: RealRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, overlap_seconds=1.0))
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    relay.proxy.refuse()
    bench.wait_disconnected(relay.url)
    first = order(Author(), merchant, "at once")
    relay.put(first)
    time.sleep(4)
    relay.proxy.resume()
    consumer.assert_exactly("orders", [first])


def test_e8_an_order_placed_while_the_consumer_is_away_arrives(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    first, second, third = orders(3, merchant)
    consumer = bench.client("before")
    consumer.subscribe("orders", orders_filter(merchant))
    relay.put(first)
    consumer.wait_events([first])
    consumer.close()
    relay.put(second)
    back = bench.client("after")
    began = time.monotonic()
    stored = back.subscribe(
        "orders", orders_filter(merchant, since=first["created_at"])
    )
    assert second in stored
    measured(
        "order while the consumer was away (after its REQ)",
        f"{back.arrivals[second['id']] - began:.3f} s",
    )
    relay.put(third)
    back.wait_events([third])
    assert set(back.ids("orders").values()) == {1}
    wait_until(
        lambda: bench.manager.subscription_count == 1, "the first one is forgotten"
    )


def test_d2_a_hundred_orders_at_once_arrive_once_each(
    bench: Bench, new_relay: NewRelay, merchant: Author
) -> None:
    relays = [new_relay() for _ in range(3)]
    bench.start_connected(*(relay.url for relay in relays))
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    placed = orders(100, merchant)
    began = time.monotonic()
    for relay in relays:
        relay.put(*placed)
    consumer.wait_events(placed)
    took = max(consumer.arrivals.values()) - began
    consumer.assert_exactly("orders", placed)
    measured("100 orders at once, on 3 relays", f"all after {took:.3f} s")


def test_d4_e3_two_seconds_of_latency_lose_and_repeat_nothing(
    new_bench: NewBench, relay: RealRelay, merchant: Author
) -> None:
    # An answer takes four seconds: what doubts a relay sooner is not compressed.
    bench = new_bench(
        replace(
            FAST,
            pong_seconds=8.0,
            connect_seconds=10.0,
            refresh_seconds=60.0,
            refresh_answer_seconds=10.0,
            probe_seconds=10.0,
        )
    )
    relay.proxy.delay(2.0)
    stored = order(Author(), merchant, "stored")
    relay.put(stored)
    bench.start(relay.url)
    consumer = bench.client()
    consumer.req("orders", orders_filter(merchant))
    consumer.wait_events([stored])
    live = order(Author(), merchant, "live")
    at = relay.put(live)
    consumer.wait_events([live])
    delay = consumer.arrivals[live["id"]] - at
    answer = consumer.publish(Author().event("mine"))
    assert answer[0] is True
    assert answer[1].startswith("queued:")  # half a second passed without an answer
    consumer.assert_exactly("orders", [stored, live])
    assert consumer.count("EOSE") == 1
    assert bench.manager.relays[relay.url].connections == 1
    measured("order with 2 s added latency", f"{delay:.3f} s")


def test_e5_an_order_arrives_though_the_relay_dropped_the_subscription(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    bench.start_connected(odd_relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    odd_relay.drop_subscriptions()
    placed = orders(5, merchant)
    at = time.monotonic()
    odd_relay.put(*placed)
    consumer.wait_events(placed)
    consumer.assert_exactly("orders", placed)
    assert odd_relay.connections == 1
    later = order(Author(), merchant, "later")
    odd_relay.put(later)
    consumer.wait_events([later])
    measured(
        f"relay silently dropped it, refresh every {FAST.refresh_seconds:.0f} s",
        f"{consumer.arrivals[placed[-1]['id']] - at:.3f} s",
    )


def test_c4_of_30_products_published_twice_while_all_is_down_30_arrive(
    bench: Bench, new_relay: NewRelay
) -> None:
    relays = [new_relay() for _ in range(2)]
    for relay in relays:
        relay.proxy.refuse()
    bench.start(*(relay.url for relay in relays))
    shop = Author()
    client = bench.client("shop")
    now = int(time.time())
    rounds = [
        [
            shop.event(
                f"product {number}, version {version}",
                kind=30018,
                tags=[["d", f"product-{number}"]],
                created_at=now - 10 + version,
            )
            for number in range(30)
        ]
        for version in (1, 2)
    ]
    for product in [*rounds[0], *rounds[1]]:
        accepted, reason = client.publish(product)
        assert accepted, reason
        assert reason.startswith("queued:")
    waiting = [item.event.id for item in bench.manager.publisher.waiting_events()]
    assert waiting == [product["id"] for product in rounds[1]]

    reachable = time.monotonic()
    for relay in relays:
        relay.proxy.resume()
    wait_until(lambda: all(relay.has(*rounds[1]) for relay in relays), "30 arrive")
    took = time.monotonic() - reachable
    for relay in relays:
        assert len(relay.fetch({"authors": [shop.pubkey]})) == 30
    wait_until(
        lambda: not bench.manager.publisher.outbox.publications, "nothing is owed"
    )
    measured("30 products twice, all relays down: 30 arrive", f"{took:.3f} s")


def test_e4_a_gift_wrap_dated_47_hours_back_arrives_after_an_outage(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    wraps = [
        Author().event(
            "wrapped",
            kind=1059,
            tags=[["p", merchant.pubkey]],
            created_at=int(time.time()) - 47 * HOUR,
        )
        for _ in range(3)
    ]
    named = bench.client("named")
    named.subscribe("wraps", {"kinds": [1059], "#p": [merchant.pubkey]})
    unnamed = bench.client("unnamed")
    unnamed.subscribe("all", {"#p": [merchant.pubkey]})
    relay.put(wraps[0])  # live
    named.wait_events(wraps[:1])
    relay.proxy.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(wraps[1])
    reachable = time.monotonic()
    relay.proxy.resume()
    named.wait_events(wraps[:2])
    measured(
        "gift wrap dated 47 h back, during an outage",
        f"{named.arrivals[wraps[1]['id']] - reachable:.3f} s",
    )
    relay.put(wraps[2])  # live, after the replay
    named.assert_exactly("wraps", wraps)
    unnamed.assert_exactly("all", wraps)


def test_e3_a_half_open_connection_is_found_out_and_replaced(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    relay.proxy.freeze()
    frozen = time.monotonic()
    placed = order(Author(), merchant)
    relay.put(placed)
    mine = order(Author(), merchant, "published into the frozen connection")
    accepted, reason = consumer.publish(mine)
    assert accepted, reason
    assert reason.startswith("queued:")
    bench.wait_disconnected(relay.url)
    noticed = time.monotonic() - frozen
    patience = FAST.ping_seconds + FAST.pong_seconds
    assert noticed < patience * 3
    relay.proxy.reset()
    thawed = time.monotonic()
    relay.proxy.resume()
    consumer.assert_exactly("orders", [placed, mine])
    assert relay.has(mine)
    measured(
        f"half-open connection (ping + pong {patience:.0f} s)",
        f"noticed after {noticed:.3f} s, order "
        f"{consumer.arrivals[placed['id']] - thawed:.3f} s after thaw",
    )


def test_c2_an_event_cut_off_on_its_way_is_published_again(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    sent = orders(50, merchant)
    for number, event in enumerate(sent):
        if number % 10 == 5:
            relay.proxy.cut()
        consumer.send("EVENT", event)
        time.sleep(0.01)
    for event in sent:
        accepted, reason = consumer.answer(event)
        assert accepted, reason
    wait_until(lambda: relay.has(*sent), "all are on the relay")
    consumer.assert_exactly("orders", sent)
    assert bench.manager.relays[relay.url].connections > 1


def test_e8_a_throttled_relay_delivers_everything(
    new_bench: NewBench, relay: RealRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, pong_seconds=8.0))
    bench.start_connected(relay.url)
    consumer = bench.client()
    consumer.subscribe("orders", orders_filter(merchant))
    relay.proxy.throttle(30_000)
    placed = orders(100, merchant)
    relay.put(*placed)
    consumer.assert_exactly("orders", placed)
