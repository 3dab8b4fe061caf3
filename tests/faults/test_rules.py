"""Single rules against relays that break and relays with odd habits."""

import asyncio
import random
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from dev.ports import HOST, free_port
from dev.proxy import LoopThread
from nostrclient.nostr.information_request import request_information
from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import Author, wait_until

from .bench import (
    FAST,
    SECONDS,
    Bench,
    RealRelay,
    measured,
    order,
    orders,
    orders_filter,
)
from .conftest import NewBench, NewOddRelay, NewRelay
from .odd_relay import OddRelay, forged

# --- B4, D2, D3: what is delivered


def test_b4_nothing_comes_after_close_from_a_relay_that_ignores_it(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits.ignores_close = True
    odd_relay.habits.sends_unasked = 3
    bench.start_connected(odd_relay.url)
    client = bench.client()
    first, second = orders(2, merchant)
    client.subscribe("orders", orders_filter(merchant))
    odd_relay.put(first)
    client.wait_events([first])
    client.send("CLOSE", "orders")
    wait_until(lambda: odd_relay.count("CLOSE") == 1, "CLOSE reaches the relay")
    odd_relay.put(second)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.counters.unasked_events >= 1, "it is dropped and counted")
    client.subscribe("other", {"kinds": [1]})
    client.assert_exactly("orders", [first])
    assert relay.connections == 1


def test_d2_several_relays_and_reconnects_deliver_each_event_once(
    bench: Bench, new_relay: NewRelay, merchant: Author
) -> None:
    chance = random.Random(7)
    relays = [new_relay() for _ in range(3)]
    bench.start_connected(*(relay.url for relay in relays))
    clients = [bench.client(f"client {number}") for number in range(2)]
    for client in clients:
        client.subscribe("orders", orders_filter(merchant))
    placed = orders(60, merchant)
    for event in placed:
        for relay in chance.sample(relays, chance.randint(1, 3)):
            relay.put(event)
        if chance.random() < 0.3:
            getattr(chance.choice(relays).proxy, chance.choice(["reset", "cut"]))()
    for client in clients:
        client.assert_exactly("orders", placed)
        assert client.count("EOSE") == 1
    connections = [bench.manager.relays[relay.url].connections for relay in relays]
    assert sum(connections) > 3


@pytest.mark.parametrize("stored", [True, False])
def test_d3_a_forged_copy_does_not_hide_the_true_one(
    bench: Bench, odd_relay: OddRelay, merchant: Author, stored: bool
) -> None:
    odd_relay.habits.forges_first = True
    placed = orders(8, merchant)  # more than 10 forgeries would be garbage (F3)
    if stored:
        odd_relay.put(*placed)
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.subscribe("orders", orders_filter(merchant))
    if not stored:
        odd_relay.put(*placed)
    client.assert_exactly("orders", placed)
    contents = {
        message[2]["content"] for message in client.received if message[0] == "EVENT"
    }
    assert contents == {event["content"] for event in placed}


def test_d3_a_forged_copy_on_one_relay_the_true_one_later_on_another(
    bench: Bench, odd_relay: OddRelay, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(odd_relay.url, relay.url)
    client = bench.client()
    client.subscribe("orders", orders_filter(merchant))
    true = order(Author(), merchant)
    odd_relay.put(forged(true))
    rejected = bench.manager.relays[odd_relay.url]
    wait_until(lambda: rejected.counters.invalid_messages == 1, "the forgery has come")
    relay.put(true)
    client.assert_exactly("orders", [true])
    assert client.received[-1][2] == true


# --- D4: one EOSE, not early, not late


def test_d4_eose_waits_for_a_slow_relay_and_comes_once(
    bench: Bench, odd_relay: OddRelay, relay: RealRelay, merchant: Author
) -> None:
    placed = orders(2, merchant)
    odd_relay.put(placed[0])
    relay.put(placed[1])
    odd_relay.habits.event_pause_seconds = 0.4
    odd_relay.habits.eose_delay_seconds = 0.2
    bench.start_connected(odd_relay.url, relay.url)
    client = bench.client()
    stored = client.subscribe("orders", orders_filter(merchant))
    assert len(stored) == 2
    relay.proxy.reset()
    odd_relay.disconnect()
    wait_until(lambda: odd_relay.connections == 2, "both are back")
    bench.wait_connected()
    time.sleep(1.5)
    assert client.count("EOSE") == 1


def test_d4_a_relay_without_eose_is_waited_for_no_longer_than_the_deadline(
    bench: Bench, odd_relay: OddRelay, relay: RealRelay, merchant: Author
) -> None:
    odd_relay.habits.sends_eose = False
    bench.start_connected(odd_relay.url, relay.url)
    client = bench.client()
    began = time.monotonic()
    client.subscribe("orders", orders_filter(merchant))
    took = time.monotonic() - began
    assert took >= FAST.eose_seconds * 0.9
    measured("EOSE where one relay never sends it (4 s are 1 s)", f"{took:.3f} s")


def test_d4_while_stored_events_flow_eose_waits_longer_but_not_for_ever(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    placed = orders(60, merchant)
    odd_relay.put(*placed[:10])
    odd_relay.habits.event_pause_seconds = 0.15  # 1.5 s in all, with eose_seconds = 1
    bench.start_connected(odd_relay.url)
    client = bench.client()
    stored = client.subscribe("orders", orders_filter(merchant))
    assert len(stored) == 10
    odd_relay.put(*placed[10:])  # 9 s in all, with eose_max_seconds = 4
    began = time.monotonic()
    stored = client.subscribe("more", orders_filter(merchant))
    took = time.monotonic() - began
    assert 10 < len(stored) < 60
    assert took >= FAST.eose_max_seconds * 0.9
    client.wait(lambda: len(client.ids("more")) == 60, "the rest comes after it")
    assert client.count("EOSE") == 2


def test_d4_a_relay_that_is_down_delays_nobody(
    new_bench: NewBench, new_relay: NewRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, eose_seconds=10.0, eose_lost_relay_seconds=1.0))
    up, down, lost = (new_relay() for _ in range(3))
    down.proxy.refuse()
    bench.start(up.url, down.url, lost.url)
    bench.wait_connected(up.url, lost.url)
    lost.proxy.refuse()
    bench.wait_disconnected(lost.url)
    client = bench.client()
    began = time.monotonic()
    client.subscribe("just lost", orders_filter(merchant))
    waited = time.monotonic() - began
    assert waited < 5.0  # until it had been lost for a second
    time.sleep(1.0)
    began = time.monotonic()
    client.subscribe("long lost", orders_filter(merchant))
    assert time.monotonic() - began < 2.0
    measured(
        "EOSE with one relay down, one just lost / long lost",
        f"{waited:.3f} s / {time.monotonic() - began:.3f} s",
    )


# --- D5, F5: CLOSED and AUTH


def test_d5_closed_for_now_is_asked_again(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits.closes_subscriptions = "rate-limited: slow down"
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.req("orders", orders_filter(merchant))
    wait_until(lambda: odd_relay.count("REQ") >= 3, "it is asked again and again")
    odd_relay.habits.closes_subscriptions = None
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    client.assert_exactly("orders", [placed])
    assert client.count("CLOSED") == 0
    assert client.count("EOSE") == 1


def test_d5_closed_reaches_the_client_when_all_have_closed_for_good(
    bench: Bench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    first, second = new_odd_relay(), new_odd_relay()
    first.habits.closes_subscriptions = "blocked: not here"
    bench.start_connected(first.url, second.url)
    client = bench.client()
    client.subscribe("open", orders_filter(merchant))
    placed = order(Author(), merchant)
    second.put(placed)
    client.wait_events([placed])
    assert client.count("CLOSED") == 0
    second.habits.closes_subscriptions = "auth-required: friends only"
    client.req("closed", orders_filter(merchant))
    client.wait(lambda: client.count("CLOSED", "closed") == 1, "CLOSED")
    assert client.count("CLOSED") == 1


def test_d5_f5_a_relay_that_demands_auth_gets_it(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    bench.manager.identity = PrivateKey()
    odd_relay.habits.demands_auth = True
    stored = order(Author(), merchant)
    odd_relay.put(stored)
    bench.start_connected(odd_relay.url)
    client = bench.client()
    assert client.subscribe("orders", orders_filter(merchant)) == [stored]
    assert client.publish(Author().event("mine")) == (True, "")
    odd_relay.disconnect()
    wait_until(lambda: odd_relay.connections == 2, "it is connected again")
    live = order(Author(), merchant)
    odd_relay.put(live)
    client.assert_exactly("orders", [stored, live])
    assert client.count("CLOSED") == 0


def test_f5_without_a_key_auth_required_is_final(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits.demands_auth = True
    bench.start_connected(odd_relay.url)
    client = bench.client()
    accepted, reason = client.publish(Author().event("mine"))
    assert not accepted
    assert reason.startswith("auth-required:")
    client.req("orders", orders_filter(merchant))
    client.wait(lambda: client.count("CLOSED", "orders") == 1, "CLOSED")


# --- C2, C3: publishing


def test_c3_refused_by_all_for_good_is_answered_false_at_once(
    new_bench: NewBench, new_odd_relay: NewOddRelay
) -> None:
    bench = new_bench(replace(FAST, answer_seconds=10.0))
    relays = [new_odd_relay() for _ in range(3)]
    for relay in relays:
        relay.habits.refuses_events = "blocked: not you"
    relays[0].habits.refuses_events = "pow: 20 bits needed"
    bench.start_connected(*(relay.url for relay in relays))
    client = bench.client()
    began = time.monotonic()
    assert client.publish(Author().event("mine")) == (False, "blocked: not you")
    assert time.monotonic() - began < 5


def test_c2_rate_limited_is_tried_again_until_it_is_taken(
    bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits.refuses_events = "rate-limited: slow down"
    bench.start_connected(odd_relay.url)
    client = bench.client()
    event = Author().event("mine")
    client.send("EVENT", event)
    wait_until(lambda: odd_relay.event_ids()[event["id"]] >= 2, "it is tried again")
    odd_relay.habits.refuses_events = None
    accepted, reason = client.answer(event)
    assert accepted, reason
    wait_until(lambda: event in odd_relay.events, "the relay has it")


def test_c2b_rate_limited_is_never_final(bench: Bench, odd_relay: OddRelay) -> None:
    odd_relay.habits.refuses_events = "rate-limited: slow down"
    bench.start_connected(odd_relay.url)
    client = bench.client()
    event = Author().event("mine")
    accepted, reason = client.publish(event)
    assert accepted, reason
    assert reason.startswith("queued:")
    wait_until(lambda: odd_relay.event_ids()[event["id"]] >= 3, "it is tried again")
    assert bench.manager.publisher.undeliverable_count == 0
    odd_relay.habits.refuses_events = None
    wait_until(lambda: event in odd_relay.events, "the relay has it")


# --- E5: a relay that answers nothing any more


def test_e5_a_relay_that_answers_no_refresh_and_no_probe_is_replaced(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.subscribe("orders", orders_filter(merchant))
    odd_relay.habits.sends_eose = False
    odd_relay.habits.serves_live = False
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    began = time.monotonic()
    wait_until(lambda: odd_relay.connections >= 2, "the connection is replaced")
    measured(
        "relay answers neither refresh nor probe (3 + 1 + 1 s)",
        f"replaced after {time.monotonic() - began:.3f} s",
    )
    client.assert_exactly("orders", [placed])


# --- E1, F7: start and stop


def test_e1_adding_and_removing_a_hanging_relay_returns_at_once(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    relay.proxy.freeze()
    began = time.monotonic()
    for _ in range(20):
        bench.start(relay.url)
        bench.manager.remove_relay(relay.url)
    bench.start(relay.url)
    assert time.monotonic() - began < 2.0
    relay.proxy.resume()
    placed = order(Author(), merchant)
    relay.put(placed)
    client = bench.client()
    client.req("orders", orders_filter(merchant))
    client.assert_exactly("orders", [placed])


def relay_threads() -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("nostrclient ")
    ]


def test_f7_stop_ends_every_thread_whatever_the_relays_do(
    new_bench: NewBench, new_relay: NewRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, ping_seconds=60, pong_seconds=60))
    healthy, connecting, frozen, throttled, refused = (new_relay() for _ in range(5))
    connecting.proxy.freeze()
    refused.proxy.refuse()
    relays = (healthy, connecting, frozen, throttled, refused)
    bench.start(*(relay.url for relay in relays))
    bench.wait_connected(healthy.url, frozen.url, throttled.url)
    client = bench.client()
    client.req("orders", orders_filter(merchant))
    frozen.proxy.freeze()
    throttled.proxy.throttle(100)
    shop = Author()
    for _ in range(50):
        client.send("EVENT", shop.event("x" * 5000))
    assert len(relay_threads()) >= 5

    began = time.monotonic()
    bench.nostr_client.close()
    took = time.monotonic() - began
    assert took < 5.0
    wait_until(lambda: not relay_threads(), "no thread is left", 5.5)
    measured("stop while connecting, frozen, throttled", f"{took:.3f} s")

    for relay in relays:
        relay.proxy.reset()
        relay.proxy.resume()
    placed = orders(5, merchant)
    for relay, event in zip(relays, placed, strict=True):
        relay.put(event)
    bench.nostr_client.connect([])
    bench.wait_connected()
    client.assert_exactly("orders", placed)
    assert len([t for t in relay_threads() if t.name.endswith(healthy.url)]) == 1


def test_e9_f7_information_that_trickles_in_is_given_up_in_time(
    loop_thread: LoopThread,
) -> None:
    async def trickle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        with suppress(OSError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)

    port = free_port()
    server = loop_thread.run(asyncio.start_server(trickle, HOST, port))
    settings = replace(FAST, information_seconds=0.5)
    request_information(f"ws://{HOST}:{port}", settings, lambda found: None)
    assert relay_threads()
    wait_until(lambda: not relay_threads(), "the thread has ended", 5.0)
    loop_thread.call(server.close)


def test_d4_f7_after_a_restart_a_relay_that_connects_is_waited_for(
    new_bench: NewBench, new_relay: NewRelay, merchant: Author
) -> None:
    numbers = replace(
        FAST, eose_seconds=4.0, eose_max_seconds=15.0, eose_lost_relay_seconds=0.1
    )
    bench = new_bench(numbers)
    quick, slow = new_relay(), new_relay()
    placed = orders(2, merchant)
    quick.put(placed[0])
    slow.put(placed[1])
    bench.start_connected(quick.url, slow.url)
    bench.nostr_client.close()
    slow.proxy.freeze()
    time.sleep(numbers.eose_lost_relay_seconds)
    service = bench.client("wallet service")
    service.req("before", orders_filter(merchant))
    bench.nostr_client.connect([])
    service.req("requests", orders_filter(merchant))
    service.wait(lambda: len(service.ids("requests")) == 1, "the quick relay's event")
    time.sleep(1.0)
    assert service.count("EOSE") == 0
    slow.proxy.resume()
    for subscription_id in ("before", "requests"):
        service.wait_eose(subscription_id)
        assert len(service.ids(subscription_id)) == 2


def test_c3_f7_after_a_restart_no_relay_counts_as_connected(
    new_bench: NewBench, relay: RealRelay
) -> None:
    bench = new_bench(replace(FAST, answer_seconds=10.0))
    bench.start_connected(relay.url)
    client = bench.client()
    bench.nostr_client.close()
    relay.proxy.freeze()
    bench.nostr_client.connect([])
    began = time.monotonic()
    accepted, reason = client.publish(Author().event("mine"))
    assert time.monotonic() - began < 3.0
    assert accepted, reason
    assert reason.startswith("queued:")


def test_b4_nothing_is_left_on_a_relay_that_is_switched_off(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    client = bench.client()
    client.subscribe("orders", orders_filter(merchant))
    found = bench.manager.relays[relay.url]
    wait_until(lambda: found.num_subscriptions == 1, "it is open there")
    bench.manager.update_relay(relay.url, active=False)
    client.send("CLOSE", "orders")
    wait_until(lambda: found.num_subscriptions == 0, "nothing is left", SECONDS)
