"""Single habits of real relays, and what a client must not notice of them.

The names of the relays that have a habit stand in `habits.py`.
"""

import itertools
import json
import time
from dataclasses import replace
from hashlib import sha256

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
from .profiles import profile

NUMBERS = itertools.count()

UNHURRIED = replace(FAST, refresh_seconds=60.0)
"""Nothing comes by a refresh only: in real time that would be minutes late."""

QUICK_AUTH = replace(UNHURRIED, relay_auths_per_second=50.0)


def notes(number: int, **more: object) -> list[NostrEvent]:
    author = Author()
    return [
        author.event(f"note {next(NUMBERS)}", **more)  # type: ignore[arg-type]  # passed on
        for _ in range(number)
    ]


def open_kinds(relay: OddRelay) -> set[int]:
    """Return the kinds that a relay has subscriptions for."""
    return {
        kind
        for filters in relay.subscriptions
        for filter_ in filters
        for kind in filter_.get("kinds", ())
    }


def stored_before_eose(client: BenchClient, subscription_id: str) -> list[str]:
    """Return the ids of what was delivered before the one EOSE."""
    client.wait_eose(subscription_id)
    received = list(client.received)
    end = received.index(["EOSE", subscription_id])
    return [
        message[2]["id"]
        for message in received[:end]
        if message[:2] == ["EVENT", subscription_id]
    ]


# --- F3: what a relay is punished for


def odd_event(key: PrivateKey, number: int) -> NostrEvent:
    """Sign an event that relays store and nostrclient takes for malformed."""
    event = {
        "pubkey": key.public_key.hex(),
        "created_at": int(time.time()) - number,
        "kind": 70_000,
        "tags": [],
        "content": str(number),
    }
    body = [0, *(event[name] for name in ("pubkey", "created_at", "kind"))]
    text = json.dumps([*body, event["tags"], event["content"]], separators=(",", ":"))
    event["id"] = sha256(text.encode()).hexdigest()
    event["sig"] = key.sign_message_hash(bytes.fromhex(str(event["id"])))
    return event


def test_f3_relay_is_not_punished_for_odd_events_that_a_client_asks_for(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    key = PrivateKey()
    stored = [odd_event(key, number) for number in range(60)]
    odd_relay.put(*stored)
    bench.start_connected(odd_relay.url)
    shop = bench.client("shop")
    shop.subscribe("orders", orders_filter(merchant))
    stranger = bench.client("stranger", public=True)
    stranger.subscribe("odd", {"ids": [event["id"] for event in stored]})
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    shop.assert_exactly("orders", [placed])
    relay = bench.manager.relays[odd_relay.url]
    assert (relay.connected, relay.connections) == (True, 1)
    assert stranger.count("EVENT") == 0


# --- F5, D5, H6: AUTH


@pytest.fixture
def auth_bench(new_bench: NewBench, merchant: Author) -> Bench:
    """A bench with the merchant's key as its identity."""
    bench = new_bench(QUICK_AUTH)
    bench.manager.set_identity(PrivateKey.from_nsec(merchant.nsec))
    return bench


@pytest.mark.parametrize("auth_delay_seconds", [0.0, 0.3])
def test_h6_req_withheld_before_auth_is_sent_anew(
    auth_bench: Bench,
    odd_relay: OddRelay,
    merchant: Author,
    auth_delay_seconds: float,
) -> None:
    odd_relay.habits = Habits(
        restricted_kinds=frozenset((4,)),
        says_auth_required=False,
        challenges_at_once=True,
        ignores_identical_req=True,
        auth_delay_seconds=auth_delay_seconds,
    )
    old = [
        order(Author(), merchant, created_at=int(time.time()) - 3600 - n)
        for n in range(3)
    ]
    odd_relay.put(*old)
    shop = auth_bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    auth_bench.start_connected(odd_relay.url)
    stored = stored_before_eose(shop, "orders")
    assert sorted(stored) == sorted(event["id"] for event in old)
    shop.assert_exactly("orders", old)


def test_h6_req_ignored_before_auth_is_sent_anew(
    auth_bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits = Habits(
        ignores_before_auth=True, challenges_at_once=True, auth_delay_seconds=0.3
    )
    (old,) = orders(1, merchant)
    odd_relay.put(old)
    shop = auth_bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    began = time.monotonic()
    auth_bench.start_connected(odd_relay.url)
    shop.wait_events([old])
    measured("asked anew after AUTH", f"{time.monotonic() - began:.3f} s")
    live = order(Author(), merchant, "live")
    odd_relay.put(live)
    shop.assert_exactly("orders", [old, live])


@pytest.mark.parametrize("prefix", ["", "ERROR: ", "error: "])
def test_d5_auth_required_is_understood_behind_another_prefix(
    new_bench: NewBench, odd_relay: OddRelay, merchant: Author, prefix: str
) -> None:
    bench = new_bench(replace(QUICK_AUTH, subscription_retry_seconds=2.0))
    bench.manager.set_identity(PrivateKey.from_nsec(merchant.nsec))
    odd_relay.habits = Habits(restricted_kinds=frozenset((4,)), error_prefix=prefix)
    (old,) = orders(1, merchant)
    odd_relay.put(old)
    bench.start_connected(odd_relay.url)
    shop = bench.client("shop")
    assert shop.subscribe("orders", orders_filter(merchant)) == [old]
    assert odd_relay.count("REQ") == 2


@pytest.mark.parametrize("prefix", ["", "ERROR: ", "error: "])
def test_d5_auth_required_without_a_key_is_closed_behind_another_prefix(
    bench: Bench, odd_relay: OddRelay, merchant: Author, prefix: str
) -> None:
    odd_relay.habits = Habits(restricted_kinds=frozenset((4,)), error_prefix=prefix)
    bench.start_connected(odd_relay.url)
    shop = bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    shop.wait(lambda: shop.count("CLOSED", "orders") == 1, "CLOSED")
    time.sleep(0.5)
    assert odd_relay.count("REQ") == 1
    (closed,) = (message for message in shop.received if message[0] == "CLOSED")
    assert closed[2].startswith("auth-required:")


def test_c2_refusal_that_crosses_auth_is_not_final(
    auth_bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits = Habits(
        demands_auth=True, refuses_late=True, auth_delay_seconds=0.3
    )
    client = auth_bench.client()
    (event,) = notes(1)
    auth_bench.start_connected(odd_relay.url)
    client.send("EVENT", event)
    accepted, reason = client.answer(event)
    assert accepted, reason
    wait_until(lambda: odd_relay.has(event), "the relay has it")
    assert auth_bench.manager.publisher.undeliverable_count == 0


def test_h6_auth_that_failed_for_now_beside_a_good_relay_is_tried_again_later(
    auth_bench: Bench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    good, failing = new_odd_relay(), new_odd_relay()
    failing.habits = Habits(demands_auth=True, failing_auths=1)
    (old,) = orders(1, merchant)
    failing.put(old)
    auth_bench.start_connected(good.url, failing.url)
    shop = auth_bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    wait_until(lambda: failing.count("AUTH") == 1, "AUTH failed")
    shop.wait_eose("orders")
    failing.habits.failing_auths = 0
    failing.disconnect()
    shop.assert_exactly("orders", [old])
    assert shop.count("CLOSED") == 0


def test_h6_second_challenge_refused_as_unneeded_closes_nothing(
    auth_bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits = Habits(
        demands_auth=True,
        max_keys=1,
        second_challenge_seconds=0.1,
        auth_delay_seconds=0.3,
    )
    (old,) = orders(1, merchant)
    odd_relay.put(old)
    shop = auth_bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    auth_bench.start_connected(odd_relay.url)
    wait_until(lambda: odd_relay.count("AUTH") >= 1, "AUTH")
    shop.assert_exactly("orders", [old], quiet=1.0)
    assert shop.count("CLOSED") == 0


def test_h6_newest_of_many_challenges_is_answered(
    auth_bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits = Habits(demands_auth=True, renews_challenge=True)
    client = auth_bench.client()
    for number in range(13):
        client.req(f"kind {number}", {"kinds": [number]})
    auth_bench.start_connected(odd_relay.url)
    wait_until(lambda: len(odd_relay.subscriptions) == 13, "all 13 are open")
    assert client.count("CLOSED") == 0


# --- D4b, E4: what comes between a REQ and its relay


def test_e4_limit_0_gets_its_window_and_eose_from_a_relay_that_sends_none(
    new_bench: NewBench, odd_relay: OddRelay, merchant: Author
) -> None:
    bench = new_bench(replace(UNHURRIED, eose_seconds=4.0))
    odd_relay.habits.eose_for_limit_0 = False
    bench.start_connected(odd_relay.url)
    shop = bench.client("shop")
    began = time.monotonic()
    assert shop.subscribe("orders", orders_filter(merchant, limit=0)) == []
    assert time.monotonic() - began < 3.0
    odd_relay.refuse()
    bench.wait_disconnected(odd_relay.url)
    placed = orders(5, merchant)
    odd_relay.put(*placed)
    odd_relay.resume()
    shop.wait_events(placed, 5.0)
    shop.assert_exactly("orders", placed)


# --- F5, D4: a restart of one relay


def test_f5_new_identity_loses_nothing_and_hurries_no_eose(
    new_bench: NewBench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    bench = new_bench(replace(UNHURRIED, eose_seconds=4.0))
    bench.manager.set_identity(PrivateKey())
    quick, slow = new_odd_relay(), new_odd_relay()
    quick.habits.challenges_at_once = slow.habits.challenges_at_once = True
    bench.start_connected(quick.url, slow.url)
    shop = bench.client("shop")
    shop.subscribe("live only", orders_filter(merchant, limit=0))
    slow.habits.eose_delay_seconds = 1.5
    old, between = orders(2, merchant)
    slow.put(old)
    shop.wait_events([old])
    wallet = bench.client("wallet")
    wallet.req("requests", orders_filter(merchant))
    time.sleep(0.3)
    bench.manager.set_identity(PrivateKey())
    slow.put(between)
    wallet.wait_eose("requests")
    shop.wait_events([between], 5.0)
    shop.assert_exactly("live only", [old, between])
    stored = stored_before_eose(wallet, "requests")
    assert sorted(stored) == sorted((old["id"], between["id"]))


def test_e6_relay_that_is_read_again_loses_nothing_and_hurries_no_eose(
    new_bench: NewBench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    bench = new_bench(replace(UNHURRIED, eose_seconds=4.0))
    relay = new_odd_relay()
    bench.start_connected(relay.url)
    shop = bench.client("shop")
    shop.subscribe("live only", orders_filter(merchant, limit=0))
    bench.manager.update_relay(relay.url, read=False)
    missed, live = orders(2, merchant)
    relay.put(missed)
    bench.manager.update_relay(relay.url, read=True)
    shop.wait_events([missed], 5.0)
    relay.put(live)
    shop.assert_exactly("live only", [missed, live])
    assert shop.count("EOSE") == 1


# --- D5: CLOSED after EOSE


def test_d5_subscription_closed_after_each_eose_backs_off(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(
        replace(
            UNHURRIED,
            subscription_retry_seconds=0.1,
            subscription_retry_max_seconds=10.0,
        )
    )
    odd_relay.habits.closes_after_eose = "error: too many open subscriptions"
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.subscribe("a", {"kinds": [1]})
    time.sleep(3.0)
    # Doubling from 0.1 s: five or six, with the jitter some more. Without: 30.
    assert odd_relay.count("REQ") <= 10
    assert client.count("CLOSED") == 0


# --- E3b, E5: silence


def test_e3b_first_req_that_is_dropped_is_asked_again_soon(
    new_bench: NewBench, odd_relay: OddRelay, merchant: Author
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits = Habits(max_messages_per_minute=1, minute_seconds=1.0)
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.req("first", {"kinds": [1]})
    client.req("second", orders_filter(merchant))
    wait_until(lambda: odd_relay.dropped >= 1, "the second is dropped")
    odd_relay.habits.max_messages_per_minute = None
    wait_until(lambda: len(odd_relay.subscriptions) == 2, "both are open", 8.0)
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    client.assert_exactly("second", [placed])
    assert odd_relay.connections == 1


def test_e3b_part_that_a_relay_dropped_is_missed_beside_a_busy_one(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits = Habits(
        information=True, announced_limits=("max_filters",), max_filters=1
    )
    bench.start_connected(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.information is not None, "its limits are known")
    client = bench.client()
    client.subscribe("both", {"kinds": [1]}, orders_filter(merchant))
    odd_relay.drop_subscriptions(lambda filters: filters[0]["kinds"] == [4])
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    deadline = time.monotonic() + 3 * FAST.refresh_seconds
    sent = []
    while placed["id"] not in client.arrivals and time.monotonic() < deadline:
        sent += notes(1)
        odd_relay.put(sent[-1])
        time.sleep(0.1)
    assert placed["id"] in client.arrivals
    client.assert_exactly("both", [placed, *sent])


# --- E9: limits that nobody announces


@pytest.mark.parametrize("too_many", ["notice", "silence", "closed"])
@pytest.mark.parametrize("stored", [0, 20])
def test_timeline_9_33_subscriptions_live_on_a_relay_that_takes_32(
    new_bench: NewBench, odd_relay: OddRelay, too_many: str, stored: int
) -> None:
    """Timeline 9; with stored events a page needs a REQ of its own as well."""
    bench = new_bench(replace(UNHURRIED, refresh_seconds=4.0))
    odd_relay.habits = Habits(
        max_subscriptions=32,
        too_many=too_many,  # type: ignore[arg-type]  # it is one of the three
    )
    odd_relay.put(*notes(stored, kind=5000))
    bench.start_connected(odd_relay.url)
    client = bench.client()
    kinds = range(5000, 5033)
    since = int(time.time()) - 1000
    for kind in kinds:
        client.req(f"kind {kind}", {"kinds": [kind], "since": since})
    for kind in kinds:
        client.wait_eose(f"kind {kind}")
    wait_until(lambda: open_kinds(odd_relay) >= set(kinds), "all are open", 10.0)
    time.sleep(1.0)
    assert open_kinds(odd_relay) >= set(kinds)
    placed = [Author().event("x", kind=kind) for kind in kinds]
    odd_relay.put(*placed)
    client.wait_events(placed, 5.0)
    assert odd_relay.connections == 1


def test_e9_large_filters_keep_to_the_subscriptions_a_relay_takes(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits = Habits(
        information=True,
        announced_limits=("max_subscriptions", "max_message_length"),
        max_subscriptions=20,
        max_message_bytes=131_072,
    )
    bench.start_connected(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.information is not None, "its limits are known")
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    for number in range(10):
        shop.req(f"{number}", {"kinds": [4], "#p": [f"{number:064x}"]})
    for number in range(15):
        many = [f"{number * 10**6 + item:064x}" for item in range(3700)]
        stranger.req(f"{number}", {"ids": many})
    time.sleep(2.0)
    assert max(map(len, [odd_relay.subscriptions])) <= 20
    assert [item for item in odd_relay.refused if "too many" in item[1]] == []
    assert odd_relay.connections == 1


@pytest.mark.parametrize("notice", [False, True])
def test_e9_shared_req_with_more_filters_than_a_relay_takes_starves_nobody(
    new_bench: NewBench, odd_relay: OddRelay, notice: bool
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits = Habits(
        information=True,
        announced_limits=("max_subscriptions",),
        max_subscriptions=10,
        max_filters=60,
        notice_for_closed=notice,
    )
    bench.start_connected(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.information is not None, "its limits are known")
    merchants = [Author() for _ in range(20)]
    shop = bench.client("shop")
    for number, merchant in enumerate(merchants):
        shop.subscribe(f"{number}", orders_filter(merchant))
    stranger = bench.client("stranger", public=True)
    for number in range(50):
        stranger.req(
            f"{number}",
            *({"kinds": [1], "authors": [f"{number}{n}".zfill(64)]} for n in range(10)),
        )
    time.sleep(1.0)
    placed = [order(Author(), merchant) for merchant in merchants]
    odd_relay.put(*placed)
    shop.wait_events(placed, 10.0)
    assert odd_relay.connections == 1


def test_e9_more_filters_than_a_relay_takes_though_it_announces_more(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    """nostream announces 2500 filters, which are values, and takes 10."""
    bench = new_bench(UNHURRIED)
    odd_relay.habits = replace(
        profile("nostream_2"), max_messages_per_minute=None, event_rates=()
    )
    bench.start_connected(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.information is not None, "its limits are known")
    client = bench.client()
    kinds = range(5000, 5060)
    for kind in kinds:
        client.req(f"kind {kind}", {"kinds": [kind]})
    wait_until(lambda: open_kinds(odd_relay) >= set(kinds), "all are open")
    placed = [Author().event("x", kind=kind) for kind in kinds]
    odd_relay.put(*placed)
    client.wait_events(placed, 5.0)
    assert odd_relay.connections == 1


# --- E10: messages that end the connection


def test_e10_req_that_ends_the_connection_is_given_up(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits.hangs_up_at = '"search"'
    bench.start_connected(odd_relay.url)
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    shop.subscribe("orders", orders_filter(merchant))
    stranger.req("search", {"search": "x"})
    stranger.wait(lambda: stranger.count("CLOSED", "search") == 1, "CLOSED", 10.0)
    time.sleep(1.0)  # the connection it ended is replaced
    bench.wait_connected()
    time.sleep(2.0)
    assert odd_relay.connections <= 4, "what was given up ends no more of them"
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    shop.assert_exactly("orders", [placed])


def test_e3b_relay_that_ends_a_burst_serves_all_after_a_reconnect(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits.max_burst_messages = 30
    bench.start_connected(odd_relay.url)
    client = bench.client()
    kinds = range(5000, 5050)
    for kind in kinds:
        client.req(f"kind {kind}", {"kinds": [kind]})
        time.sleep(0.04)
    wait_until(lambda: len(odd_relay.subscriptions) == 50, "all are open", 20.0)
    odd_relay.disconnect()
    time.sleep(0.2)
    wait_until(lambda: len(odd_relay.subscriptions) == 50, "all are open again", 20.0)
    placed = [Author().event("x", kind=kind) for kind in kinds]
    odd_relay.put(*placed)
    client.wait_events(placed, 5.0)


# --- D4: no early EOSE


def test_d4_relay_that_has_not_been_asked_yet_is_waited_for(
    new_bench: NewBench, odd_relay: OddRelay, merchant: Author
) -> None:
    """As 500 subscriptions at start at 50 a second: the last REQ leaves late."""
    bench = new_bench(
        replace(
            FAST, requests_per_second=20.0, burst_requests=10, eose_max_seconds=15.0
        )
    )
    (old,) = orders(1, merchant)
    odd_relay.put(old)
    service = bench.client("services")
    for number in range(60):
        service.req(f"kind {number}", {"kinds": [5000 + number]})
    wallet = bench.client("wallet")
    wallet.req("requests", orders_filter(merchant))
    bench.start_connected(odd_relay.url)
    assert stored_before_eose(wallet, "requests") == [old["id"]]


def test_d4_closed_for_now_is_an_answer(
    new_bench: NewBench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    """A relay that says `rate-limited:` does not cost everybody the deadline."""
    bench = new_bench(replace(UNHURRIED, eose_seconds=6.0, eose_max_seconds=10.0))
    good, limited = new_odd_relay(), new_odd_relay()
    limited.habits.closes_subscriptions = "rate-limited: slow down"
    bench.start_connected(good.url, limited.url)
    client = bench.client()
    began = time.monotonic()
    client.subscribe("orders", orders_filter(merchant))
    assert time.monotonic() - began < 4.0
    assert client.count("CLOSED") == 0


# --- E4: pages


def test_e4_relay_that_refuses_pages_keeps_its_answer_and_is_not_asked_for_ever(
    bench: Bench, odd_relay: OddRelay
) -> None:
    """A relay with one REQ at a time: the page is one too many."""
    odd_relay.habits = Habits(max_subscriptions=1, too_many="closed", max_stored=50)
    now = int(time.time())
    author = Author()
    odd_relay.put(*(author.event(str(n), created_at=now - n) for n in range(40)))
    bench.start_connected(odd_relay.url)
    client = bench.client()
    began = time.monotonic()
    stored = client.subscribe("notes", {"kinds": [1], "since": now - 1000})
    assert len(stored) == 40
    measured("EOSE where pages are refused", f"{time.monotonic() - began:.3f} s")
    time.sleep(3.0)
    assert odd_relay.count("REQ") <= 8


@pytest.mark.parametrize("number", [9, 100, 490])
def test_e4_complete_answer_is_not_fetched_twice(
    new_bench: NewBench, odd_relay: OddRelay, number: int
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits.max_stored = 500
    now = int(time.time())
    author = Author()
    odd_relay.put(*(author.event(str(n), created_at=now - n) for n in range(number)))
    bench.start_connected(odd_relay.url)
    client = bench.client()
    stored = client.subscribe("notes", {"kinds": [1], "since": now - 10_000})
    assert len(stored) == number
    wait_until(lambda: odd_relay.sent_events >= number, "all were sent")
    time.sleep(0.3)
    assert odd_relay.sent_events <= number * 1.2 + 2
    assert odd_relay.count("REQ") <= 3


def test_e4_small_cap_that_nobody_announces_is_noticed(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.habits.max_stored = 20
    now = int(time.time())
    author = Author()
    sent = [author.event(str(n), created_at=now - n) for n in range(130)]
    odd_relay.put(*sent)
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.req("notes", {"kinds": [1], "since": now - 10_000})
    client.wait_events(sent, 10.0)
    client.assert_exactly("notes", sent)


# --- E3: pongs


def test_e3_missing_pong_on_a_busy_connection_is_no_death(
    bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits.pongs = False
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.subscribe("notes", {"kinds": [1]})
    sent = []
    deadline = time.monotonic() + 2 * (FAST.ping_seconds + FAST.pong_seconds)
    while time.monotonic() < deadline:
        sent += notes(1)
        odd_relay.put(sent[-1])
        time.sleep(0.1)
    client.assert_exactly("notes", sent)
    assert odd_relay.connections == 1


def test_e3_missing_pong_on_a_silent_connection_is_no_death(
    bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits.pongs = False
    bench.start_connected(odd_relay.url)
    client = bench.client()
    client.subscribe("notes", {"kinds": [1], "limit": 0})
    time.sleep(4 * (FAST.ping_seconds + FAST.pong_seconds))
    event = notes(1)
    odd_relay.put(event[0])
    client.wait_events(event, 5.0)
    assert odd_relay.connections == 1


# --- E2: handshakes


def test_e2_status_without_a_length_is_said_within_the_connect_timeout(
    bench: Bench, odd_relay: OddRelay
) -> None:
    odd_relay.habits.handshake_answer = "502 Bad Gateway"
    began = time.monotonic()
    bench.start(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: bool(relay.error_list), "an error is there")
    took = time.monotonic() - began
    assert "502" in str(relay.error_list[0])
    assert took < FAST.connect_seconds


def test_c2_copy_dropped_on_a_living_connection_is_sent_again(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    bench = new_bench(replace(FAST, resend_seconds=1.0, resend_max_seconds=4.0))
    odd_relay.habits = Habits(max_messages_per_minute=1, minute_seconds=1.0)
    bench.start_connected(odd_relay.url)
    client = bench.client()
    first, second = notes(2)
    assert client.publish(first)[0]
    accepted, reason = client.publish(second)
    assert accepted
    assert reason.startswith("queued:")
    assert odd_relay.dropped == 1
    wait_until(lambda: odd_relay.has(second), "it is sent again", 15.0)
    assert odd_relay.connections == 1


# --- C: `queued:` from a relay


def test_c_queued_from_another_nostrclient_is_not_acceptance(
    bench: Bench, new_odd_relay: NewOddRelay
) -> None:
    peer, real = new_odd_relay(), new_odd_relay()
    peer.habits.queues_events = True
    real.refuse()
    bench.start(real.url)
    bench.start(peer.url)
    bench.wait_connected(peer.url)
    client = bench.client()
    (event,) = notes(1)
    accepted, reason = client.publish(event)
    assert accepted
    assert reason.startswith("queued:")
    assert [item.event.id for item in bench.manager.publisher.waiting_events()] == [
        event["id"]
    ]
    real.resume()
    wait_until(lambda: real.has(event), "the real relay has it")


def test_e10_event_that_ends_the_connection_holds_up_no_other(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits.max_message_bytes = 100_000
    bench.start_connected(odd_relay.url)
    client, other = bench.client(), bench.client("other")
    other.subscribe("orders", orders_filter(merchant))
    large = Author().event("x" * 150_000, kind=30023, tags=[["d", "large"]])
    client.send("EVENT", large)
    wait_until(lambda: odd_relay.connections >= 2, "it has ended the connection")
    small = notes(5)
    for event in small:
        other.send("EVENT", event)
    wait_until(lambda: odd_relay.has(*small), "the small ones are there", 10.0)
    # It is refused, or, where the client was told `queued:` before, undeliverable.
    refused = not client.answer(large)[0]
    wait_until(
        lambda: refused or bench.manager.publisher.undeliverable_count == 1,
        "it is given up",
    )
    bench.wait_connected()
    time.sleep(2.0)
    assert odd_relay.connections <= 4, "what was given up ends no more of them"
    placed = order(Author(), merchant)
    odd_relay.put(placed)
    other.assert_exactly("orders", [placed])


# --- D1b: order


def test_timeline_13_answer_finds_the_subscription_that_was_sent_before_the_request(
    new_bench: NewBench, odd_relay: OddRelay
) -> None:
    """Timeline 13: five other clients have just opened 45 subscriptions each."""
    bench = new_bench(
        replace(
            UNHURRIED,
            answer_seconds=2.0,
            eose_seconds=4.0,
            eose_max_seconds=15.0,
            refresh_answer_seconds=15.0,
        )
    )
    wallet = Author()

    def answers(event: NostrEvent) -> list[NostrEvent]:
        if event["kind"] != 23194:
            return []
        return [wallet.event("paid", kind=23195, tags=[["e", event["id"]]])]

    odd_relay.answers = answers
    bench.start_connected(odd_relay.url)
    for number in range(5):
        other = bench.client(f"other {number}", public=True)
        for item in range(45):
            other.req(f"{item}", {"kinds": [5000 + number * 45 + item]})
    app = bench.client("app")
    requests = notes(200, kind=23194)
    for request in requests:
        app.req(request["id"], {"kinds": [23195], "#e": [request["id"]]})
        app.send("EVENT", request)
    app.wait(lambda: app.count("EVENT") == 200, "200 answers have come")


def test_h6_auth_that_failed_for_now_is_tried_on_the_next_connection(
    auth_bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits = Habits(demands_auth=True, failing_auths=1)
    (old,) = orders(1, merchant)
    odd_relay.put(old)
    shop = auth_bench.client("shop")
    shop.req("orders", orders_filter(merchant))
    auth_bench.start_connected(odd_relay.url)
    wait_until(lambda: odd_relay.count("AUTH") == 1, "AUTH failed")
    time.sleep(0.3)
    odd_relay.habits.failing_auths = 0
    odd_relay.disconnect()
    shop.assert_exactly("orders", [old])
    assert shop.count("CLOSED") == 0


# --- D4b, E4: what comes between a REQ and its relay


@pytest.mark.parametrize("limit", [0, 2])
def test_d4b_relay_that_comes_late_is_asked_for_all_since_the_req(
    new_bench: NewBench, odd_relay: OddRelay, merchant: Author, limit: int
) -> None:
    bench = new_bench(UNHURRIED)
    odd_relay.refuse()
    bench.start(odd_relay.url)
    shop = bench.client("shop")
    shop.req("orders", orders_filter(merchant, limit=limit))
    placed = orders(6, merchant)
    odd_relay.put(*placed)
    time.sleep(0.5)
    odd_relay.resume()
    bench.wait_connected()
    shop.wait_events(placed, 5.0)
    shop.assert_exactly("orders", placed)


# --- D4: no early EOSE


def test_d4_stored_events_of_another_member_of_a_shared_req_are_progress(
    bench: Bench, odd_relay: OddRelay, merchant: Author
) -> None:
    odd_relay.habits = Habits(
        information=True, announced_limits=("max_subscriptions",), max_subscriptions=3
    )
    bench.start_connected(odd_relay.url)
    relay = bench.manager.relays[odd_relay.url]
    wait_until(lambda: relay.information is not None, "its limits are known")
    author = Author()
    now = int(time.time())
    # Newest first: the wallet's request is the last of all.
    (old,) = orders(1, merchant, created_at=now - 1000)
    odd_relay.put(old, *(author.event(str(n), created_at=now - n) for n in range(12)))
    reader, wallet = bench.client("reader"), bench.client("wallet")
    for kind in range(5000, 5004):
        reader.subscribe(f"kind {kind}", {"kinds": [kind]})
    odd_relay.habits.event_pause_seconds = 0.2
    reader.req("notes", {"authors": [author.pubkey]})
    wallet.req("requests", orders_filter(merchant))
    assert stored_before_eose(wallet, "requests") == [old["id"]]


def test_e9_filter_of_too_many_tags_teaches_nothing_about_the_number_of_filters(
    bench: Bench, new_odd_relay: NewOddRelay
) -> None:
    relay = new_odd_relay("strfry")
    bench.start_connected(relay.url)
    client = bench.client()
    tags = {f"#{name}": ["x"] for name in "abcd"}
    client.req("four", {"kinds": [1]}, {"kinds": [7]}, tags)
    client.wait(lambda: client.count("CLOSED", "four") == 1, "it is refused")
    assert bench.manager.relays[relay.url].learned_limits.max_filters is None
    stored = notes(1)
    relay.put(*stored)
    assert client.subscribe("two", {"kinds": [1]}, {"kinds": [7]}) == stored
    assert len(relay.subscriptions) == 1  # both filters in one REQ
