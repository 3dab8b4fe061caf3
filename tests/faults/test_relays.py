"""Each kind of relay, with all its habits at once, through the same scenarios."""

import itertools
import time
from dataclasses import replace

import pytest

from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import Author, wait_until

from .bench import (
    FAST,
    Bench,
    BenchClient,
    NostrEvent,
    measured,
    order,
    orders,
    orders_filter,
)
from .conftest import NewBench, NewOddRelay
from .habits import Habits
from .odd_relay import OddRelay
from .profiles import PROFILES, profile

# The identity is checked by relays that guard direct messages; its link comes first.
SETTINGS = replace(FAST, relay_auths_per_second=50.0)

NUMBERS = itertools.count()

THREE_SECOND_MINUTES = replace(
    SETTINGS,
    resend_seconds=1.5,
    resend_max_seconds=30.0,
    publish_rate_pause_seconds=0.05,
    publish_rate_max_pause_seconds=15.0,
    publish_retry_max_seconds=180.0,
    refresh_seconds=60.0,
    refresh_answer_seconds=1.5,
)
"""What depends on a relay's rates is twenty times as fast, as its minutes are."""

ALL = sorted(PROFILES)


def compressed(name: str) -> Habits:
    """Return a profile whose slow habits are as fast as the bench's clock."""
    habits = profile(name)
    habits.closes_after_eose_seconds = min(habits.closes_after_eose_seconds, 1.0)
    return habits


@pytest.fixture(params=ALL)
def relay(request: pytest.FixtureRequest, new_odd_relay: NewOddRelay) -> OddRelay:
    """A relay of each kind."""
    return new_odd_relay(compressed(request.param))


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    """A bench with compressed time that answers AUTH quickly."""
    return new_bench(SETTINGS)


def shop_filters(merchant: Author) -> list[dict[str, object]]:
    """Return filters as a shop sends them in one REQ: orders, answers, products."""
    return [
        {"kinds": [4], "#p": [merchant.pubkey]},
        {"kinds": [4], "authors": [merchant.pubkey]},
        {"kinds": [1059], "#p": [merchant.pubkey]},
        {"kinds": [0, 5], "authors": [merchant.pubkey]},
        {"kinds": [30017, 30018], "authors": [merchant.pubkey]},
    ]


def products(number: int, shop: Author) -> list[NostrEvent]:
    return [
        shop.event("{}", kind=30018, tags=[["d", f"product-{next(NUMBERS)}"]])
        for _ in range(number)
    ]


# --- E8: what reaches the relay is delivered, whatever happens


def test_e8_orders_arrive_from_any_relay_before_during_and_after_an_outage(
    bench: Bench, relay: OddRelay, merchant: Author
) -> None:
    bench.manager.set_identity(PrivateKey.from_nsec(merchant.nsec))
    before, live, missed, after = (order(Author(), merchant, str(n)) for n in range(4))
    relay.put(before)
    bench.start_connected(relay.url)
    shop = bench.client("shop")
    assert shop.subscribe("orders", orders_filter(merchant)) == [before]
    relay.put(live)
    shop.wait_events([live])
    relay.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(missed)
    relay.resume()
    shop.wait_events([missed])
    relay.put(after)
    shop.assert_exactly("orders", [before, live, missed, after])
    assert shop.count("EOSE") == 1
    assert shop.count("CLOSED") == 0


def test_e8_notes_arrive_from_any_relay_before_during_and_after_an_outage(
    bench: Bench, relay: OddRelay
) -> None:
    before, live, missed, after = (Author().event(str(n)) for n in range(4))
    relay.put(before)
    bench.start_connected(relay.url)
    client = bench.client()
    assert client.subscribe("notes", {"kinds": [1]}) == [before]
    relay.put(live)
    client.wait_events([live])
    relay.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(missed)
    relay.resume()
    client.wait_events([missed])
    relay.put(after)
    client.assert_exactly("notes", [before, live, missed, after])
    assert client.count("EOSE") == 1


def test_e8_many_events_arrive_from_any_relay_after_an_outage(
    bench: Bench, relay: OddRelay
) -> None:
    bench.start_connected(relay.url)
    client = bench.client()
    client.subscribe("a", {"kinds": [1], "limit": 1}, {"kinds": [7], "#t": ["x"]})
    wait_until(lambda: bench.manager.relays[relay.url].is_informed, "it is known")
    client.wait_eose("a")
    relay.refuse()
    bench.wait_disconnected(relay.url)
    missed = [Author().event(str(number)) for number in range(30)]
    missed += [Author().event(str(n), kind=7, tags=[["t", "x"]]) for n in range(30)]
    relay.put(*missed)
    relay.resume()
    client.assert_exactly("a", missed)


def test_h1_shop_with_five_filters_in_one_req_gets_its_orders_and_products(
    bench: Bench, relay: OddRelay, merchant: Author
) -> None:
    """Timeline 7: restricted kinds and others in one REQ, the shop's key held."""
    bench.manager.set_identity(PrivateKey.from_nsec(merchant.nsec))
    old_order, live_order, missed_order = orders(3, merchant)
    product, missed_product = products(2, merchant)
    relay.put(old_order, product)
    bench.start_connected(relay.url)
    shop = bench.client("shop")
    stored = shop.subscribe("shop", *shop_filters(merchant))
    assert sorted(event["id"] for event in stored) == sorted(
        (old_order["id"], product["id"])
    )
    relay.put(live_order)
    shop.wait_events([live_order])
    relay.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(missed_order, missed_product)
    relay.resume()
    shop.assert_exactly(
        "shop", [old_order, product, live_order, missed_order, missed_product]
    )
    assert shop.count("EOSE") == 1


def test_e4_subscription_with_limit_0_gets_what_comes_during_an_outage(
    bench: Bench, relay: OddRelay, merchant: Author
) -> None:
    bench.start_connected(relay.url)
    service = bench.client("wallet service")
    service.req("requests", {"kinds": [30018], "#d": ["x"], "limit": 0})
    service.wait_eose("requests")
    live, missed, after = (
        Author().event(str(n), kind=30018, tags=[["d", "x"]]) for n in range(3)
    )
    relay.put(live)
    service.wait_events([live])
    relay.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(missed)
    relay.resume()
    service.wait_events([missed])
    relay.put(after)
    service.assert_exactly("requests", [live, missed, after])


def test_d1_ephemeral_request_is_delivered_and_answered(
    bench: Bench, relay: OddRelay
) -> None:
    bench.start_connected(relay.url)
    wallet, app = bench.client("wallet"), bench.client("app")
    wallet.subscribe("requests", {"kinds": [23194]})
    request = Author().event("pay", kind=23194)
    app.req("answers", {"kinds": [23195], "#e": [request["id"]]})
    accepted, reason = app.publish(request)
    assert accepted, reason
    wallet.wait_events([request])
    answer = Author().event("paid", kind=23195, tags=[["e", request["id"]]])
    accepted, reason = wallet.publish(answer)
    assert accepted, reason
    app.assert_exactly("answers", [answer])


# --- C2: what is published reaches the relay


def test_c2_events_reach_any_relay_before_during_and_after_an_outage(
    bench: Bench, relay: OddRelay
) -> None:
    bench.start_connected(relay.url)
    client = bench.client()
    first, second, third = (Author().event(str(n)) for n in range(3))
    assert client.publish(first) == (True, "")
    relay.refuse()
    bench.wait_disconnected(relay.url)
    accepted, reason = client.publish(second)
    assert accepted
    assert reason.startswith("queued:")
    relay.resume()
    wait_until(lambda: relay.has(second), "what was queued is there")
    accepted, reason = client.publish(third)
    assert accepted, reason
    assert relay.has(first, second, third)
    assert set(relay.event_ids().values()) == {1}
    wait_until(
        lambda: not bench.manager.publisher.outbox.publications, "nothing is owed"
    )


# --- E9: one client's subscriptions and filters, and everybody's


def subscribe_each(client: BenchClient, kinds: range) -> None:
    """Open a subscription for each kind and wait for every EOSE."""
    for kind in kinds:
        client.req(f"kind {kind}", {"kinds": [kind]})
    for kind in kinds:
        client.wait_eose(f"kind {kind}")


def test_e9_more_subscriptions_than_a_relay_takes_all_get_their_events(
    new_bench: NewBench, relay: OddRelay
) -> None:
    """Timeline 9 on every kind of relay: caps of 10, 20, 32, 50 and 200."""
    # Nothing here may come by a refresh only: in real time that is minutes late.
    bench = new_bench(replace(SETTINGS, refresh_seconds=60.0))
    cap = relay.habits.max_subscriptions or 40
    kinds = range(5000, 5000 + cap + 5)
    relay.habits.max_messages_per_minute = None  # another rule, see C2
    bench.start_connected(relay.url)
    client = bench.client()
    began = time.monotonic()
    subscribe_each(client, kinds)
    placed = {kind: Author().event("x", kind=kind) for kind in kinds}
    relay.put(*placed.values())
    client.wait_events(placed.values())
    measured(
        f"{len(kinds)} subscriptions on a relay that takes {cap}",
        f"all served after {time.monotonic() - began:.3f} s",
    )
    for kind, event in placed.items():
        client.assert_exactly(f"kind {kind}", [event], quiet=0.0)
    assert relay.connections == 1
    again = {kind: Author().event("y", kind=kind) for kind in kinds}
    relay.refuse()
    bench.wait_disconnected(relay.url)
    relay.put(*again.values())
    relay.resume()
    client.wait_events(again.values())
    for kind in kinds:
        client.assert_exactly(f"kind {kind}", [placed[kind], again[kind]], quiet=0.0)


@pytest.mark.parametrize("name", ["strfry", "strfry_2025", "nostream"])
def test_timeline_10_public_search_silences_no_shop_and_is_closed(
    bench: Bench, new_odd_relay: NewOddRelay, name: str
) -> None:
    """Timeline 10, on relays with few subscriptions."""
    habits = compressed(name)
    habits.max_subscriptions = 10
    habits.max_messages_per_minute = None
    habits.restricted_kinds = frozenset()  # the shops' keys are not the matter here
    relay = new_odd_relay(habits)
    bench.start_connected(relay.url)
    merchants = [Author() for _ in range(10)]
    shops = [bench.client(f"shop {number}") for number in range(10)]
    for shop, merchant in zip(shops, merchants, strict=True):
        shop.subscribe("orders", orders_filter(merchant))
    stranger = bench.client("stranger", public=True)
    for number in range(20):
        stranger.req(f"search {number}", {"search": "a"})
    time.sleep(0.5)
    placed = [order(Author(), merchant) for merchant in merchants]
    began = time.monotonic()
    relay.put(*placed)
    for shop, event in zip(shops, placed, strict=True):
        shop.assert_exactly("orders", [event], quiet=0.0)
    measured(
        f"ten orders beside 20 searches on {name}",
        f"all after {time.monotonic() - began:.3f} s",
    )
    stranger.wait(lambda: stranger.count("CLOSED") == 20, "every search is closed")
    assert all(shop.count("CLOSED") == 0 for shop in shops)
    assert bench.manager.relays[relay.url].connections == 1
    stranger.close()
    later = [order(Author(), merchant, "later") for merchant in merchants]
    relay.put(*later)
    for shop, first, second in zip(shops, placed, later, strict=True):
        shop.assert_exactly("orders", [first, second], quiet=0.0)


# --- C2b: rates


def test_timeline_8_60_products_at_once_reach_a_relay_that_takes_24_a_minute(
    new_bench: NewBench, new_odd_relay: NewOddRelay
) -> None:
    """Timeline 8, a minute being three seconds."""
    bench = new_bench(THREE_SECOND_MINUTES)
    habits = compressed("nostream")
    habits.minute_seconds = 3.0
    relay = new_odd_relay(habits)
    bench.start_connected(relay.url)
    shop, other = bench.client("shop"), bench.client("other")
    placed = products(60, Author())
    began = time.monotonic()
    for product in placed:
        shop.send("EVENT", product)
    (note,) = [Author().event("another client's")]
    assert other.publish(note)[0]
    wait_until(lambda: relay.has(note), "the other's event is there", 5.0)
    foreign = time.monotonic() - began
    for product in placed:
        accepted, reason = shop.answer(product)
        assert accepted, reason
    wait_until(lambda: relay.has(*placed), "all products are there", 12.0 + 8.0)
    took = time.monotonic() - began
    assert bench.manager.publisher.undeliverable_count == 0
    wait_until(
        lambda: not bench.manager.publisher.outbox.publications, "nothing is owed"
    )
    measured(
        "60 products, 24 a minute (of 3 s)",
        f"all after {took / 3:.2f} minutes, {len(relay.refused)} refusals, "
        f"another's event after {foreign:.3f} s",
    )


def test_c2_what_a_relay_drops_for_its_rate_is_sent_again(
    new_bench: NewBench, new_odd_relay: NewOddRelay
) -> None:
    """240 messages a minute: above it no OK, no EOSE, a NOTICE only."""
    bench = new_bench(THREE_SECOND_MINUTES)
    relay = new_odd_relay(Habits(max_messages_per_minute=60, minute_seconds=3.0))
    bench.start_connected(relay.url)
    client = bench.client()
    sent = [Author().event(str(n)) for n in range(100)]
    for event in sent:
        client.send("EVENT", event)
    for event in sent:
        accepted, reason = client.answer(event)
        assert accepted, reason
    wait_until(lambda: relay.has(*sent), "all are there", 25.0)
    assert bench.manager.publisher.undeliverable_count == 0
    assert relay.connections == 1


def test_e3b_reqs_a_relay_drops_for_its_rate_are_sent_again(
    new_bench: NewBench, new_odd_relay: NewOddRelay
) -> None:
    bench = new_bench(THREE_SECOND_MINUTES)
    relay = new_odd_relay(Habits(max_messages_per_minute=60, minute_seconds=3.0))
    bench.start_connected(relay.url)
    client = bench.client()
    kinds = range(5000, 5060)
    for kind in kinds:
        client.req(f"kind {kind}", {"kinds": [kind]})
    wait_until(lambda: len(relay.subscriptions) == len(kinds), "all are open", 20.0)
    placed = [Author().event("x", kind=kind) for kind in kinds]
    relay.put(*placed)
    client.wait_events(placed)
    assert relay.connections == 1
