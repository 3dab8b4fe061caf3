"""H: relays that guard private messages give them to their owner, and nobody else."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from nostrclient.nostr.identity_link import SEVERAL
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.relay_record import RelayStatus
from tests.e2e.clients import Author, Message, wait_until

from .bench import FAST, Bench, BenchClient, NostrEvent, order
from .conftest import NewBench, NewOddRelay
from .odd_relay import OddRelay
from .profiles import profile

ANY_COUNT = {"count": 1}
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
    "ids to the shop": lambda shop, customer, ids: {
        "ids": ids,
        "#p": [customer.pubkey, shop.pubkey],
    },
    "ids from the shop": lambda shop, customer, ids: {
        "ids": ids,
        "authors": [shop.pubkey],
    },
}
"""Filters of clients that ask for a shop's private messages, in other ways than a shop:
of the key, its correspondent, and events' ids."""

READABLE = {
    "direct messages and notes": "to",
    "no kinds": "to",
    "authors, no kinds": "from",
    "a conversation": "to and from",
    "ids to the shop": "to",
    "ids from the shop": "from",
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
    wait_until(lambda: link_count(bench, guarding.url) == 2, "each has a link")


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


def test_i5_keys_are_lacking_that_private_clients_need_for_private_messages(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    shop, friend, unknown = Author(), Author(), Author()
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client, stranger = bench.client(), bench.client("stranger", public=True)
    conversation = {"kinds": [4], "authors": [friend.pubkey], "#p": [merchant.pubkey]}
    client.req("served", *shop_filters(merchant), conversation)
    client.req("notes", {"authors": [friend.pubkey]}, {"kinds": [1]})
    stranger.req("stranger's", *shop_filters(unknown))
    client.req("withheld", *shop_filters(shop))
    links = bench.manager.links
    wait_until(lambda: links.lacking_keys == {shop.pubkey}, "the shop's is lacking")
    time.sleep(0.3)
    assert links.lacking_keys == {shop.pubkey}
    bench.manager.add_identity(key_of(shop))
    assert links.lacking_keys == set()


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


def test_h3_req_of_several_parts_is_carried_whole_by_one_link(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    # The relay takes so few filters that those for restricted kinds need several REQs.
    guarding.habits.announced_limits = ("max_filters",)
    guarding.habits.max_filters = guarding.habits.announced_max_filters = 1
    stored = [
        order(Author(), merchant),
        letter(merchant, Author(), "sent"),
        wrap(merchant),
    ]
    guarding.put(*stored)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    wanted = {"kinds": [1059], "#p": [merchant.pubkey]}
    client.subscribe("shop", *shop_filters(merchant), wanted)
    client.assert_exactly("shop", stored)
    live = [order(Author(), merchant), letter(merchant, Author(), "b"), wrap(merchant)]
    guarding.put(*live)
    client.assert_exactly("shop", stored + live)


@pytest.mark.parametrize("informs", [True, False])
def test_timeline_7_order_arrives_after_nostrclient_was_stopped_and_started(
    bench: Bench, guarding: OddRelay, merchant: Author, *, informs: bool
) -> None:
    guarding.habits.information = informs  # or only AUTH says that it guards messages
    stored = order(Author(), merchant)
    guarding.put(stored)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    bench.client("first").subscribe("a", {"kinds": [4], "#p": [merchant.pubkey]})
    bench.manager.stop()
    bench.manager.start()
    bench.wait_connected(guarding.url)
    shop = bench.client("shop")
    shop.subscribe("b", *shop_filters(merchant))
    shop.wait_events([stored])
    live = order(Author(), merchant)
    guarding.put(live)
    shop.wait_events([live])


@pytest.fixture
def several_keys(new_odd_relay: NewOddRelay) -> OddRelay:
    """Return a relay that serves several keys on one connection, as NIP-42 says."""
    relay = new_odd_relay()
    relay.habits = profile("strfry", max_keys=None)
    return relay


def merchants_with_orders(
    bench: Bench, relay: OddRelay, number: int = 2
) -> tuple[list[Author], list[NostrEvent]]:
    merchants = [Author() for _ in range(number)]
    placed = [order(Author(), merchant) for merchant in merchants]
    relay.put(*placed)
    for merchant in merchants:
        bench.manager.add_identity(key_of(merchant))
    return merchants, placed


def places(bench: Bench, relay: OddRelay) -> list[str]:
    return [link.place for link in bench.manager.links.links_of(relay.url)]


def test_h3_relay_that_takes_several_keys_serves_them_on_one_connection(
    new_bench: NewBench, several_keys: OddRelay
) -> None:
    relay = several_keys
    bench = new_bench(replace(FAST, link_idle_seconds=0.5))
    merchants, placed = merchants_with_orders(bench, relay, 3)
    bench.start_connected(relay.url)
    client = bench.client()
    for number, merchant in enumerate(merchants):
        client.subscribe(str(number), *shop_filters(merchant))
    client.wait_events(placed)
    wait_until(lambda: places(bench, relay) == [SEVERAL], "one link is left")
    live = [order(Author(), merchant) for merchant in merchants]
    relay.put(*live)
    client.wait_events(live)
    relay.disconnect()
    missed = [order(Author(), merchant) for merchant in merchants]
    relay.put(*missed)
    client.wait_events(missed)
    late, later = Author(), order(Author(), merchants[0])
    first = order(Author(), late)
    relay.put(first)
    bench.manager.add_identity(key_of(late))
    client.subscribe("late", *shop_filters(late))
    client.wait_events([first])
    bench.manager.remove_identity(merchants[1].pubkey)
    gone = order(Author(), merchants[1])
    relay.put(later, gone)
    client.wait_events([later])
    time.sleep(0.3)
    assert gone["id"] not in client.arrivals
    assert places(bench, relay) == [SEVERAL]
    for number in range(3):
        events = [placed[number], live[number], missed[number]]
        client.assert_exactly(str(number), events + [later] * (number == 0))


@pytest.mark.parametrize("further_key", ["refused", "ignored", "replaces"])
def test_h3_relay_that_takes_one_key_keeps_a_link_for_each(
    bench: Bench,
    several_keys: OddRelay,
    further_key: Literal["refused", "ignored", "replaces"],
) -> None:
    relay = several_keys
    relay.habits.max_keys = 1
    relay.habits.further_key = further_key
    merchants, placed = merchants_with_orders(bench, relay)
    bench.start_connected(relay.url)
    client = bench.client()
    for number, merchant in enumerate(merchants):
        client.subscribe(str(number), *shop_filters(merchant))
    client.wait_events(placed)
    links = bench.manager.links
    wait_until(lambda: links.takes_several(relay.url) is False, "that is known")
    wait_until(lambda: SEVERAL not in places(bench, relay), "the trial's link is gone")
    live = [order(Author(), merchant) for merchant in merchants]
    relay.put(*live)
    client.wait_events(live)
    assert sorted(places(bench, relay)) == sorted(item.pubkey for item in merchants)
    for number in range(2):
        client.assert_exactly(str(number), [placed[number], live[number]])


def test_h3_relay_that_no_longer_takes_several_keys_gets_a_link_for_each(
    bench: Bench, several_keys: OddRelay
) -> None:
    relay = several_keys
    merchants, placed = merchants_with_orders(bench, relay)
    bench.start_connected(relay.url)
    client = bench.client()
    for number, merchant in enumerate(merchants):
        client.subscribe(str(number), *shop_filters(merchant))
    client.wait_events(placed)
    links = bench.manager.links
    wait_until(lambda: links.takes_several(relay.url) is True, "that is known")
    relay.habits.max_keys = 1
    relay.disconnect()
    missed = [order(Author(), merchant) for merchant in merchants]
    relay.put(*missed)
    client.wait_events(missed)
    wait_until(lambda: SEVERAL not in places(bench, relay), "the keys are apart")
    live = [order(Author(), merchant) for merchant in merchants]
    relay.put(*live)
    client.wait_events(live)


def test_h4_public_owner_of_one_key_gets_nothing_of_the_others_on_one_connection(
    bench: Bench, several_keys: OddRelay
) -> None:
    relay = several_keys
    (mine, theirs), placed = merchants_with_orders(bench, relay)
    bench.start_connected(relay.url)
    shop, owner = bench.client("shop"), bench.client("owner", public=True)
    stranger = bench.client("stranger", public=True)
    wanted = {"kinds": [4], "#p": [mine.pubkey, theirs.pubkey]}
    shop.subscribe("both", wanted)
    links = bench.manager.links
    wait_until(lambda: links.takes_several(relay.url) is True, "that is known")
    owner.challenge("wss://us.example/relay")
    owner.authenticate(mine)
    owner.req("both", wanted)
    stranger.req("both", wanted)
    owner.wait_events(placed[:1])
    live = [order(Author(), mine), order(Author(), theirs)]
    relay.put(*live)
    shop.wait_events(live)
    owner.wait_events(live[:1])
    time.sleep(0.3)
    assert set(owner.arrivals) == {placed[0]["id"], live[0]["id"]}
    assert stranger.arrivals == {}


def test_h6_relay_that_challenges_on_demand_is_waited_for_once(
    bench: Bench, guarding: OddRelay, merchant: Author
) -> None:
    at_once = guarding.habits.challenges_at_once
    stored = order(Author(), merchant)
    guarding.put(stored)
    bench.manager.set_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    client.subscribe("shop", {"kinds": [4], "#p": [merchant.pubkey]})
    relay = bench.manager.relays[guarding.url]
    assert relay.challenges_at_once is True  # as far as the first connection shows
    for _ in range(2):
        missed = order(Author(), merchant)
        guarding.disconnect()
        guarding.put(missed)
        client.wait_events([missed])
        assert relay.challenges_at_once is at_once


def test_timeline_7_links_return_with_the_main_connection_after_an_outage(
    new_bench: NewBench, guarding: OddRelay, merchant: Author
) -> None:
    settings = replace(FAST, reconnect_seconds=60.0, reconnect_max_seconds=60.0)
    bench = new_bench(settings)
    stored, missed = order(Author(), merchant), order(Author(), merchant)
    guarding.put(stored)
    bench.manager.add_identity(key_of(merchant))
    bench.start_connected(guarding.url)
    client = bench.client()
    client.subscribe("shop", *shop_filters(merchant))
    client.wait_events([stored])
    relay = bench.manager.relays[guarding.url]
    (link,) = bench.manager.links.links_of(guarding.url)
    guarding.disconnect()
    waiting = RelayStatus.WAITING
    wait_until(
        lambda: relay.status is waiting and link.record.status is waiting, "both wait"
    )
    guarding.put(missed)
    relay.retry_now()
    client.wait_events([missed])


def test_h3_key_without_room_for_its_link_gets_one_when_another_is_closed(
    new_bench: NewBench, guarding: OddRelay
) -> None:
    settings = replace(FAST, max_links_per_relay=1, link_idle_seconds=0.3)
    bench = new_bench(settings)
    merchants, placed = merchants_with_orders(bench, guarding)
    bench.start_connected(guarding.url)
    first, second = bench.client("first"), bench.client("second")
    first.subscribe("shop", *shop_filters(merchants[0]))
    first.wait_events(placed[:1])
    second.subscribe("shop", *shop_filters(merchants[1]))
    assert second.arrivals == {}
    first.send("CLOSE", "shop")
    second.wait_events(placed[1:])


# strfry's own tests of restricted kinds, with nostrclient between relay and client


@pytest.fixture
def strfry(new_odd_relay: NewOddRelay) -> OddRelay:
    """Return a relay with strfry's defaults and a note and a direct message."""
    relay = new_odd_relay()
    relay.habits = profile("strfry")
    return relay


def answer_to(client: BenchClient, *message: object) -> Message:
    """Send a REQ or COUNT, and return what ends it."""
    start = len(client.received)
    client.send(*message)
    ends: list[Message] = []

    def has_come() -> bool:
        ends.extend(
            item
            for item in client.received[start:]
            if item[0] in ("COUNT", "CLOSED", "EOSE") and item[1] == message[1]
        )
        return bool(ends)

    client.wait(has_come, f"the answer to {message}")
    return ends[0]


@pytest.mark.parametrize("public", [True, False])
def test_h8_restricted_req_and_count_are_refused_without_a_key_and_others_are_not(
    bench: Bench, strfry: OddRelay, merchant: Author, *, public: bool
) -> None:
    strfry.put(order(Author(), merchant), merchant.event("note"))
    bench.start_connected(strfry.url)
    client = bench.client(public=public)
    closed = answer_to(client, "REQ", "r", {"kinds": [4]})
    assert closed[0] == "CLOSED"
    assert closed[2].startswith("auth-required:")
    assert answer_to(client, "COUNT", "c", {"kinds": [4]})[0] == "CLOSED"
    assert answer_to(client, "COUNT", "o", {"kinds": [1]}) == ["COUNT", "o", ANY_COUNT]


@pytest.mark.parametrize("filter_", [{"kinds": [1, 4]}, {}])
def test_h1_mixed_req_brings_stored_and_live_notes_and_no_message_without_a_key(
    bench: Bench, strfry: OddRelay, merchant: Author, filter_: dict[str, object]
) -> None:
    note, live = merchant.event("stored"), merchant.event("live")
    strfry.put(note, order(Author(), merchant))
    bench.start_connected(strfry.url)
    client = bench.client()
    assert answer_to(client, "REQ", "mixed", filter_) == ["EOSE", "mixed"]
    strfry.put(order(Author(), merchant), live)
    client.assert_exactly("mixed", [note, live])


def test_h4_service_key_reads_and_counts_its_own_messages_only(
    bench: Bench, strfry: OddRelay
) -> None:
    service, other = Author(), Author()
    mine, theirs = letter(other, service, "mine"), letter(other, Author(), "theirs")
    strfry.put(mine, theirs)
    bench.manager.set_identity(key_of(service))
    bench.start_connected(strfry.url)
    client, stranger = bench.client("owner"), bench.client("stranger", public=True)
    for reader in (client, stranger):
        reader.req("all", {"kinds": [4]})
        reader.req("anything", {})
        reader.req("ids", {"ids": [mine["id"], theirs["id"]]})
    client.wait_events([mine])
    scoped = {"kinds": [4], "#p": [service.pubkey]}
    assert answer_to(client, "COUNT", "c", {"kinds": [4]})[0] == "CLOSED"
    assert answer_to(client, "COUNT", "d", scoped) == ["COUNT", "d", ANY_COUNT]
    assert answer_to(stranger, "COUNT", "d", scoped)[0] == "CLOSED"
    assert set(client.arrivals) == {mine["id"]}
    assert stranger.arrivals == {}


def test_h4_relay_that_lets_any_known_key_read_everything_serves_private_clients(
    bench: Bench, strfry: OddRelay, merchant: Author
) -> None:
    strfry.habits.involved_only = False
    mine, theirs = order(Author(), merchant), order(Author(), Author())
    strfry.put(mine, theirs)
    bench.manager.set_identity(key_of(merchant))
    bench.start_connected(strfry.url)
    client, stranger = bench.client("owner"), bench.client("stranger", public=True)
    for reader in (client, stranger):
        reader.req("all", {"kinds": [4]})
    client.wait_events([mine, theirs])
    assert answer_to(client, "COUNT", "c", {"kinds": [4]}) == [
        "COUNT",
        "c",
        {"count": 2},
    ]
    time.sleep(0.3)
    assert stranger.arrivals == {}
