"""H: relays that guard private messages give them to their owner, and nobody else."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import Author, wait_until

from .bench import FAST, Bench, BenchClient, NostrEvent, order
from .conftest import NewBench, NewOddRelay
from .odd_relay import OddRelay
from .profiles import profile

GUARDING = ["strfry", "nostr_rs_relay"]
OLD = 3600

Form = Callable[[Author, Author, list[str]], dict[str, object]]
FORMS: dict[str, Form] = {
    "direct messages and notes": lambda shop, customer, ids: {
        "kinds": [1, 4],
        "#p": [shop.pubkey, customer.pubkey],
    },
    "no kinds": lambda shop, customer, ids: {"#p": [shop.pubkey, customer.pubkey]},
    "authors, no kinds": lambda shop, customer, ids: {
        "authors": [customer.pubkey, shop.pubkey]
    },
    "a conversation": lambda shop, customer, ids: {
        "kinds": [4],
        "authors": [shop.pubkey, customer.pubkey],
        "#p": [shop.pubkey, customer.pubkey],
    },
}
"""Filters of clients that ask for a shop's private messages, in other ways than a shop:
of the key, its correspondent, and events' ids."""

READABLE = {
    "direct messages and notes": "to",
    "no kinds": "to",
    "authors, no kinds": "from",
    "a conversation": "to and from",
}
"""Messages to or from the shop: those that the filter names the shop's key for."""


def shop_filters(merchant: Author) -> list[dict[str, object]]:
    """Return what nostrmarket asks for in one REQ."""
    return [
        {"kinds": [4], "#p": [merchant.pubkey]},
        {"kinds": [4], "authors": [merchant.pubkey]},
        {"kinds": [30017], "authors": [merchant.pubkey]},
        {"kinds": [30018], "authors": [merchant.pubkey]},
        {"kinds": [0], "authors": [merchant.pubkey]},
    ]


def wrap(recipient: Author) -> NostrEvent:
    return Author().event("sealed", kind=1059, tags=[["p", recipient.pubkey]])


def key_of(author: Author) -> PrivateKey:
    return PrivateKey.from_nsec(author.nsec)


def link_count(bench: Bench, url: str) -> int:
    return len(bench.manager.links.links_of(url))


@pytest.fixture(params=GUARDING)
def guarding(request: pytest.FixtureRequest, new_odd_relay: NewOddRelay) -> OddRelay:
    """Return a relay that gives direct messages to authenticated people only."""
    relay = new_odd_relay()
    relay.habits = profile(request.param)
    return relay


def test_timeline_7_order_arrives_at_start_after_a_restart_and_after_an_outage(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    stored = order(Author(), merchant, created_at=int(time.time()) - OLD)
    product = merchant.event("product", kind=30018, tags=[["d", "1"]])
    guarding.put(stored, product)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    client.subscribe("shop", *shop_filters(merchant))
    client.wait_events([stored, product])
    live = order(Author(), merchant)
    began = time.monotonic()
    guarding.put(live)
    client.wait_events([live])
    assert time.monotonic() - began < 5
    missed = order(Author(), merchant)
    guarding.disconnect()
    guarding.put(missed)
    client.wait_events([missed])
    client.assert_exactly("shop", [stored, product, live, missed])


def test_h2_key_that_is_added_later_brings_what_was_withheld(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    stored = order(Author(), merchant)
    product = merchant.event("product", kind=30018, tags=[["d", "1"]])
    guarding.put(stored, product)
    bench.start_connected(guarding.url)
    client = bench.client()
    client.subscribe("shop", *shop_filters(merchant))
    client.wait_events([product])
    time.sleep(0.3)
    assert stored["id"] not in client.arrivals
    bench.manager.add_identity(key_of(merchant))
    client.wait_events([stored])
    bench.manager.remove_identity(merchant.pubkey)
    assert link_count(bench, guarding.url) == 0
    guarding.put(order(Author(), merchant))
    time.sleep(0.3)
    client.assert_exactly("shop", [stored, product])


def test_h3_two_merchants_on_a_relay_of_one_key_per_connection_are_both_served(
    bench: Bench, guarding: OddRelay
) -> None:
    merchants = [Author(), Author()]
    placed = [order(Author(), merchant) for merchant in merchants]
    guarding.put(*placed)
    for merchant in merchants:
        bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    filters = [item for merchant in merchants for item in shop_filters(merchant)]
    client.subscribe("shops", *filters)
    client.assert_exactly("shops", placed)
    assert link_count(bench, guarding.url) == 2


def test_h4_stranger_on_the_public_endpoint_gets_nothing_of_it(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    stored, sealed = order(Author(), merchant), wrap(merchant)
    note = merchant.event("hello")
    guarding.put(stored, sealed, note)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    asked = {"kinds": [4, 1059], "#p": [merchant.pubkey]}
    for client in (shop, stranger):
        client.req("mine", asked)
        client.req("all", {"#p": [merchant.pubkey]}, {"kinds": [1]})
        client.req("ids", {"ids": [stored["id"], sealed["id"]]})
    shop.wait_events([stored, sealed, note])
    stranger.wait_events([note])
    live = wrap(merchant)
    guarding.put(live)
    shop.wait_events([live])
    time.sleep(0.5)
    assert set(stranger.arrivals) == {note["id"]}


def test_h3_idle_link_is_closed_and_opened_again_on_demand(
    new_bench: NewBench, guarding: OddRelay, merchant: Author
) -> None:
    bench = new_bench(replace(FAST, link_idle_seconds=0.5))
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    first, second = order(Author(), merchant), order(Author(), merchant)
    guarding.put(first)
    client.subscribe("a", *shop_filters(merchant))
    client.wait_events([first])
    assert link_count(bench, guarding.url) == 1
    client.send("CLOSE", "a")
    wait_until(lambda: link_count(bench, guarding.url) == 0, "the link is closed")
    guarding.put(second)
    client.subscribe("b", *shop_filters(merchant))
    client.wait_events([second])


def test_h7_event_that_only_its_author_may_publish_goes_over_the_authors_link(
    bench: Bench, new_odd_relay: NewOddRelay, merchant: Author
) -> None:
    relay = new_odd_relay()
    relay.habits.demands_auth = True
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(relay.url)
    client = bench.client()
    mine, theirs = merchant.event("mine"), Author().event("theirs")
    assert client.publish(mine)[0]
    wait_until(lambda: relay.has(mine), "it is on the relay")
    accepted, text = client.publish(theirs)
    assert not accepted
    assert text.startswith("auth-required:")
    assert bench.manager.publisher.waiting_count == 0


def test_h8_relay_names_the_keys_it_wants(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    other = Author()
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    client.subscribe("m", *shop_filters(merchant))
    client.subscribe("o", *shop_filters(other))
    links = bench.manager.links
    wait_until(
        lambda: links.wanted_keys(guarding.url)
        == {merchant.pubkey: True, other.pubkey: False},
        "both are named",
    )


def test_h5_public_client_that_authenticates_as_the_merchant_gets_its_messages(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    stored = order(Author(), merchant)
    guarding.put(stored)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client("owner", public=True)
    client.challenge("wss://us.example/relay")
    wanted = {"kinds": [4], "#p": [merchant.pubkey]}
    client.req("mine", wanted)
    time.sleep(0.3)
    assert client.arrivals == {}
    client.authenticate(merchant)
    if client.count("CLOSED", "mine"):  # then clients ask again (NIP-42)
        client.req("mine", wanted)
    client.wait_events([stored])
    live = order(Author(), merchant)
    guarding.put(live)
    client.wait_events([live])


def received(client: BenchClient) -> list[list[object]]:
    return [message[:2] for message in list(client.received)]


def letter(author: Author, recipient: Author, text: str) -> NostrEvent:
    return author.event(text, kind=4, tags=[["p", recipient.pubkey]])


@pytest.mark.parametrize("form", FORMS)
def test_h3_every_form_of_filter_brings_stored_live_and_missed_messages_to_the_owner(
    bench: Bench, guarding: OddRelay, merchant: Author, form: str
) -> None:
    customer = Author()
    ways = []
    if "to" in READABLE[form].split():
        ways.append((customer, merchant))
    if "from" in READABLE[form].split():
        ways.append((merchant, customer))
    stored, live, missed = (
        [letter(a, b, f"{when} {number}") for number, (a, b) in enumerate(ways)]
        for when in ("stored", "live", "missed")
    )
    private = stored + live + missed
    filter_ = FORMS[form](merchant, customer, [event["id"] for event in private])
    bench.manager.add_identity(key_of(merchant))
    guarding.put(*stored)
    bench.start_connected(guarding.url)
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    shop.subscribe("form", filter_)
    stranger.req("form", filter_)
    shop.wait_events(stored)
    guarding.put(*live)
    shop.wait_events(live)
    guarding.disconnect()
    guarding.put(*missed)
    shop.wait_events(missed)
    shop.assert_exactly("form", private)
    assert stranger.arrivals == {}


@pytest.mark.parametrize("form", ["direct messages and notes", "no kinds"])
def test_h1_notes_beside_private_messages_reach_everybody_once(
    bench: Bench, guarding: OddRelay, merchant: Author, form: str
) -> None:
    customer = Author()
    note, live_note = (
        customer.event(text, tags=[["p", merchant.pubkey]]) for text in ("a", "b")
    )
    private = letter(customer, merchant, "stored")
    guarding.put(note, private)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    filter_ = FORMS[form](merchant, customer, [])
    shop.subscribe("form", filter_)
    stranger.subscribe("form", filter_)
    guarding.put(live_note)
    shop.assert_exactly("form", [note, live_note, private])
    stranger.assert_exactly("form", [note, live_note])


def test_h3_filter_that_names_no_key_brings_no_private_message_and_ends_in_time(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    customer, other = Author(), Author()
    private = letter(customer, merchant, "private")
    guarding.put(private)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    shop = bench.client()
    for number, filter_ in enumerate(
        (
            {"ids": [private["id"]]},
            {"kinds": [4], "authors": [customer.pubkey]},
            {"kinds": [1, 4], "#p": [other.pubkey]},
            {"kinds": [4], "since": 0},
        )
    ):
        shop.req(str(number), filter_)
        ends = [["EOSE", str(number)], ["CLOSED", str(number)]]
        wait_until(
            lambda ends=ends: any(end in received(shop) for end in ends),  # type: ignore[misc]
            "it is answered",
        )
    assert shop.arrivals == {}
    assert link_count(bench, guarding.url) == 0
