"""To a client it is one relay: what relays hold together, in one relay's order."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from websockets.sync.client import connect

from nostrclient.nostr.message import RelayNegotiation, parse_relay_message
from nostrclient.nostr.negentropy import Negentropy
from nostrclient.nostr.settings import DEFAULTS
from tests.e2e.clients import Author, wait_until

from .bench import FAST, Bench, BenchClient, NostrEvent, RealRelay, measured
from .conftest import NewBench, NewOddRelay, NewRelay
from .odd_relay import OddRelay

DATE = 1_700_000_000


def notes(author: Author, dates: range) -> list[NostrEvent]:
    return [
        author.event(f"note {date}", created_at=DATE + date, kind=1) for date in dates
    ]


def page_backwards(
    client: BenchClient, filter_: dict[str, Any], limit: int
) -> list[NostrEvent]:
    """Fetch page by page as client libraries do, until a page brings nothing new."""
    found: dict[str, NostrEvent] = {}
    until = DATE + 10**6
    for number in range(200):
        asked = filter_ | {"limit": limit, "until": until}
        page = client.subscribe(f"page {number}", asked)
        client.send("CLOSE", f"page {number}")
        assert len(page) <= limit
        dates = [event["created_at"] for event in page]
        assert dates == sorted(dates, reverse=True)
        new = [event for event in page if event["id"] not in found]
        if not new:
            break
        found.update((event["id"], event) for event in new)
        until = dates[-1]
    return list(found.values())


@pytest.mark.parametrize("interleaved", [True, False])
def test_timeline_12_paging_backwards_gives_all_of_two_relays(
    new_bench: NewBench, new_relay: NewRelay, interleaved: bool
) -> None:
    bench = new_bench(replace(FAST, merge_silence_seconds=2.0, eose_seconds=4.0))
    author = Author()
    stored = notes(author, range(800))
    first, second = new_relay(), new_relay()
    half = stored[::2] if interleaved else stored[:400]
    first.put(*half)
    second.put(*(event for event in stored if event not in half))
    bench.start_connected(first.url, second.url)
    client = bench.client()
    found = page_backwards(client, {"authors": [author.pubkey]}, 50)
    assert [event["id"] for event in found] == [
        event["id"] for event in reversed(stored)
    ]
    measured(
        "800 of two relays, paged by 50, "
        + ("interleaved" if interleaved else "one after the other"),
        f"{len(found)} of 800",
    )


def test_d9_several_filters_each_get_their_newest_of_all_relays(
    new_bench: NewBench, new_relay: NewRelay
) -> None:
    bench = new_bench(replace(FAST, merge_silence_seconds=2.0, eose_seconds=4.0))
    alice, bob = Author(), Author()
    relays: list[RealRelay] = [new_relay() for _ in range(3)]
    for number, relay in enumerate(relays):
        relay.put(*notes(alice, range(number, 60, 3)), *notes(bob, range(90, 96)))
    bench.start_connected(*(relay.url for relay in relays))
    found = bench.client().subscribe(
        "a",
        {"authors": [alice.pubkey], "limit": 10},
        {"authors": [bob.pubkey], "limit": 2},
    )
    for author, dates in ((alice, range(59, 49, -1)), (bob, (95, 94))):
        assert [
            event["created_at"] - DATE
            for event in found
            if event["pubkey"] == author.pubkey
        ] == list(dates)


def test_d9_a_silent_relay_delays_the_first_event_by_300_ms(
    new_bench: NewBench, new_relay: NewRelay, new_odd_relay: NewOddRelay
) -> None:
    bench = new_bench(DEFAULTS)
    author = Author()
    relays = [new_relay() for _ in range(4)]
    for number, relay in enumerate(relays):
        relay.put(*notes(author, range(number, 40, 4)))
    silent = new_odd_relay()
    bench.start_connected(*(relay.url for relay in relays), silent.url)
    silent.habits.sends_eose = False
    client = bench.client()
    delays = []
    for number in range(10):
        begun = time.monotonic()
        client.arrivals.clear()
        client.req(str(number), {"authors": [author.pubkey], "limit": 20})
        client.wait(lambda: len(client.arrivals) == 20, "the newest of all")
        delays.append(min(client.arrivals.values()) - begun)
    dates = [m[2]["created_at"] - DATE for m in client.received if m[0] == "EVENT"]
    assert dates == 10 * list(range(39, 19, -1))
    first = sorted(delays)[len(delays) // 2]
    measured(
        "limit 20, four relays and a silent one", f"first event after {first:.3f} s"
    )
    assert 0.25 < first < 3


@pytest.mark.parametrize("profile", ["strfry", None])
def test_d9_paging_past_the_caps_of_relays_gives_all_they_hold(
    new_bench: NewBench, new_odd_relay: NewOddRelay, profile: str | None
) -> None:
    # A client that asks for more than relays send at once goes on from the oldest.
    bench = new_bench(
        replace(FAST, merge_silence_seconds=2.0, eose_seconds=4.0, assumed_max_limit=50)
    )
    author = Author()
    stored = notes(author, range(300))
    first, second = new_odd_relay(profile), new_odd_relay()
    for relay in (first, second):
        relay.habits.max_stored = 50
    first.put(*stored[:100], *stored[200::2])
    second.put(*stored[100:200], *stored[201::2])
    bench.start_connected(first.url, second.url)
    found = page_backwards(bench.client(), {"authors": [author.pubkey]}, 1000)
    assert len(found) == 300


def test_d6_a_relay_without_information_is_asked_to_count_once(
    new_bench: NewBench, new_odd_relay: NewOddRelay
) -> None:
    bench = new_bench()
    able, unable = new_odd_relay(), new_odd_relay()
    able.habits.counts = True
    able.put(*notes(Author(), range(7)))
    bench.start_connected(able.url, unable.url)
    assert not bench.manager.can_count
    client = bench.client()
    for number in range(3):
        client.send("COUNT", f"c{number}", {"kinds": [1]})
        client.wait(lambda: client.count("COUNT") == number + 1, "COUNT")  # noqa: B023
    assert [m[2] for m in client.received if m[0] == "COUNT"] == [{"count": 7}] * 3
    assert (able.count("COUNT"), unable.count("COUNT")) == (3, 1)
    assert bench.manager.can_count


SEARCH = {"kinds": [1], "search": "nostr", "limit": 5}


def searching(new_odd_relay: NewOddRelay, can_search: bool) -> OddRelay:
    """Start a relay that announces whether it searches (NIP-50)."""
    relay = new_odd_relay()
    relay.habits.information = True
    relay.habits.supported_nips = (1, 11, 50) if can_search else (1, 11)
    relay.put(*notes(Author(), range(3)))
    return relay


def test_d10_search_goes_to_relays_that_list_it_and_to_no_other(
    bench: Bench, new_odd_relay: NewOddRelay
) -> None:
    able, unable = searching(new_odd_relay, True), searching(new_odd_relay, False)
    silent = new_odd_relay()  # without a NIP-11 document
    bench.start_connected(able.url, unable.url, silent.url)
    client = bench.client()
    assert len(client.subscribe("a", SEARCH)) == 3
    (other,) = notes(Author(), range(1))
    for relay in (able, unable, silent):
        relay.put(other)
    client.wait_events([other])
    assert [relay.count("REQ") for relay in (unable, silent)] == [0, 0]
    client.subscribe("mixed", SEARCH, {"kinds": [7]})
    assert unable.subscriptions == [[{"kinds": [7]}]]


def test_d10_search_is_unsupported_where_no_relay_lists_it(
    bench: Bench, new_odd_relay: NewOddRelay
) -> None:
    relays = [searching(new_odd_relay, False), new_odd_relay()]
    bench.start(*(relay.url for relay in relays))
    client = bench.client()
    client.req("early", SEARCH)  # before any document came
    client.wait(lambda: client.count("CLOSED", "early") == 1, "CLOSED")
    client.req("late", SEARCH)
    client.wait(lambda: client.count("CLOSED", "late") == 1, "CLOSED")
    for message in client.received:
        if message[0] == "CLOSED":
            assert message[2].startswith("unsupported:")
    client.subscribe("plain", {"kinds": [1]})
    assert [len(relay.subscriptions) for relay in relays] == [1, 1]


def test_d10_a_search_before_the_document_came_is_asked_once_it_has(
    bench: Bench, new_odd_relay: NewOddRelay
) -> None:
    relay = searching(new_odd_relay, True)
    client = bench.client()
    bench.start(relay.url)
    client.req("early", SEARCH)
    client.wait(lambda: len(client.arrivals) == 3, "what was found")
    client.wait_eose("early")
    relay.disconnect()
    client.wait(lambda: relay.count("REQ") >= 2, "asked again after a reconnection")
    assert client.count("CLOSED") == 0


def test_d10_an_authentication_event_from_a_relay_is_dropped(
    bench: Bench, odd_relay: OddRelay
) -> None:
    author = Author()
    event = author.event("", kind=22242, created_at=DATE)
    odd_relay.put(event, *notes(author, range(1)))
    bench.start_connected(odd_relay.url)
    found = bench.client().subscribe("a", {"authors": [author.pubkey]})
    assert [event["kind"] for event in found] == [1]


def during_an_outage(bench: Bench, relay: RealRelay, *events: NostrEvent) -> None:
    """Have a relay get events while it cannot be reached."""
    relay.proxy.refuse()
    relay.proxy.reset()
    bench.wait_disconnected(relay.url)
    relay.put(*events)
    relay.proxy.resume()
    bench.wait_connected(relay.url)


def test_e7b_event_dated_back_a_year_arrives_from_a_real_relay_after_an_outage(
    bench: Bench, relay: RealRelay, merchant: Author
) -> None:
    stored = notes(merchant, range(60))
    relay.put(*stored)
    bench.start_connected(relay.url)
    bench.inform(relay.url, 1, 77)
    client = bench.client()
    client.subscribe("a", {"authors": [merchant.pubkey]})
    old = merchant.event("dated back", created_at=DATE - 365 * 86_400, kind=1)
    during_an_outage(bench, relay, old)
    client.assert_exactly("a", [*stored, old])
    late = merchant.event("another", created_at=DATE - 400 * 86_400, kind=1)
    during_an_outage(bench, relay, late)
    client.assert_exactly("a", [*stored, old, late])


@pytest.mark.parametrize("negentropy", ["serves", "refuses", "silent", None])
def test_e7b_what_reached_a_relay_in_an_outage_arrives_whatever_it_says_to_neg_open(
    new_bench: NewBench,
    odd_relay: OddRelay,
    merchant: Author,
    negentropy: str | None,
) -> None:
    odd_relay.habits.information = True
    odd_relay.habits.supported_nips = (1, 11, 77)
    odd_relay.habits.negentropy = negentropy
    bench = new_bench(replace(FAST, reconcile_answer_seconds=1.0))
    bench.start_connected(odd_relay.url)
    wait_until(lambda: bench.manager.relays[odd_relay.url].is_informed, "it is known")
    client = bench.client()
    stored = [merchant.event(f"{number}") for number in range(5)]
    odd_relay.put(*stored)
    client.subscribe("a", {"authors": [merchant.pubkey]})
    odd_relay.refuse()
    bench.wait_disconnected(odd_relay.url)
    missed = [merchant.event(f"missed {number}") for number in range(3)]
    odd_relay.put(*missed)
    expected = [*stored, *missed]
    if negentropy == "serves":
        expected.append(merchant.event("dated back", created_at=DATE))
        odd_relay.put(expected[-1])
    odd_relay.resume()
    client.assert_exactly("a", expected)
    assert any(message[0] == "NEG-OPEN" for message in odd_relay.received)


@pytest.mark.parametrize("missing", [0, 1, 400])
def test_e7b_negentropy_finds_what_a_real_relay_has_more(
    relay: RealRelay, missing: int
) -> None:
    author = Author()
    stored = notes(author, range(2000))
    relay.put(*stored)
    known = stored[missing:]
    own = author.event("only here", created_at=DATE + 77)
    mine = Negentropy(
        (event["created_at"], bytes.fromhex(event["id"])) for event in [*known, own]
    )
    message: bytes | None = mine.initiate()
    verb: list[Any] = ["NEG-OPEN", "n", {"authors": [author.pubkey]}]
    rounds = size = 0
    with connect(relay.url, compression=None) as connection:
        while message is not None:
            connection.send(json.dumps([*verb, message.hex()]))
            text = connection.recv(timeout=20)
            assert isinstance(text, str)
            answer = parse_relay_message(text)
            assert isinstance(answer, RelayNegotiation), answer
            size += len(message) + len(answer.payload)
            rounds += 1
            message = mine.reconcile(answer.payload)
            verb = ["NEG-MSG", "n"]
    ids = {event["id"] for event in stored[:missing]}
    assert {found.hex() for found in mine.need} == ids
    assert {found.hex() for found in mine.have} == {own["id"]}
    measured(
        f"negentropy, 2,000 events, {missing} missing", f"{rounds} rounds, {size} bytes"
    )
