"""One client's protocol: `limit` over several relays, and hints of completeness."""

import json
from collections import deque
from random import Random
from typing import Any

import pytest

from nostrclient.nostr.delivery import (
    Closed,
    Copied,
    Delivered,
    Eose,
    RelayChanged,
)
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message_pool import Feed, MessagePool
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW, Reader, StoringRelay, filters, made
from .session_client import START, A, B, Client, asked

# --- D9: one relay that holds everything


def notes(*dates: int) -> list[SignedEvent]:
    return [made(NOW - 10**6 + date) for date in dates]


def test_d9_events_of_a_limited_req_come_newest_first() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 3})
    client.deliver(asked(upstream_id, A, B))
    nine, eight, seven, six = notes(9, 8, 7, 6)
    assert client.deliver(Delivered(upstream_id, nine, A)) == ([], [])
    texts, _ = client.deliver(
        Delivered(upstream_id, seven, A),
        Delivered(upstream_id, eight, B),
        Delivered(upstream_id, six, B),
    )
    assert texts == [["EVENT", "a", json.loads(e.text)] for e in (nine, eight)]
    texts, _ = client.deliver(Eose(upstream_id, A), Eose(upstream_id, B))
    assert texts == [
        ["EVENT", "a", json.loads(seven.text)],
        ["EOSE", "a"],
    ]
    assert client.session.held_bytes == 0


def test_d9_a_copy_releases_what_waits_for_its_relay() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 3})
    client.deliver(asked(upstream_id, A, B))
    nine, eight = notes(9, 8)
    client.deliver(Delivered(upstream_id, nine, A), Delivered(upstream_id, eight, A))
    assert client.deliver(Copied(upstream_id, nine, B, False)) == ([], [])
    texts, _ = client.deliver(Copied(upstream_id, eight, B, False))
    assert texts == [["EVENT", "a", json.loads(nine.text)]]


def test_d9_a_silent_relay_costs_300_ms() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 3})
    client.deliver(asked(upstream_id, A, B))
    client.now += 0.5
    (nine,) = notes(9)
    client.deliver(Delivered(upstream_id, nine, A), Eose(upstream_id, A))
    due = client.session.deadline(client.now)
    assert due is not None
    assert due == pytest.approx(START + 0.8)
    assert client.tick() == []
    client.now = due
    assert client.tick() == [["EVENT", "a", json.loads(nine.text)]]
    assert client.session.deadline(client.now) == pytest.approx(START + 4)


def test_d9_held_events_precede_an_eose_that_is_due() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 3})
    client.deliver(asked(upstream_id, A, B))
    client.now += 3.9
    nine, eight = notes(9, 8)
    client.deliver(Delivered(upstream_id, nine, A), Delivered(upstream_id, eight, B))
    client.now = START + 15
    assert [text[0] for text in client.tick()] == ["EVENT", "EVENT", "EOSE"]


def test_d9_held_events_precede_a_closed() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 3})
    client.deliver(asked(upstream_id, A, B))
    texts, _ = client.deliver(
        Delivered(upstream_id, notes(9)[0], A),
        Closed(upstream_id, A, "blocked: x"),
        Closed(upstream_id, B, "blocked: x"),
    )
    assert [text[0] for text in texts] == ["EVENT", "CLOSED"]
    assert client.session.held_bytes == 0


def test_d9_live_events_of_a_relay_that_answered_do_not_wait() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 1})
    client.deliver(asked(upstream_id, A, B))
    client.deliver(Delivered(upstream_id, notes(9)[0], A), Eose(upstream_id, A))
    live = made(NOW - 10**6)  # dated back
    texts, _ = client.deliver(Delivered(upstream_id, live, A))
    assert texts == [["EVENT", "a", json.loads(live.text)]]
    texts, _ = client.deliver(Eose(upstream_id, B))
    assert [text[0] for text in texts] == ["EVENT", "EOSE"]
    texts, _ = client.deliver(Delivered(upstream_id, made(NOW - 10**6), B))
    assert [text[0] for text in texts] == ["EVENT"]


def test_d9_stored_events_after_the_eose_are_held_against_the_limit() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 2})
    client.deliver(asked(upstream_id, A, also=(B,)))
    for event in notes(9, 7):
        client.deliver(Delivered(upstream_id, event, A))
    client.deliver(Eose(upstream_id, A))
    client.deliver(RelayChanged(B, True, True))
    eight, six = notes(8, 6)
    texts, _ = client.deliver(
        Delivered(upstream_id, eight, B), Delivered(upstream_id, six, B)
    )
    assert texts == [["EVENT", "a", json.loads(eight.text)]]


def test_b4_nothing_that_is_held_follows_a_close() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 9})
    client.deliver(asked(upstream_id, A))
    client.deliver(*(Delivered(upstream_id, e, A) for e in notes(9, 8, 7)))
    client.send("CLOSE", "a")
    assert client.session.held_bytes == 0
    client.now += 20
    assert client.tick() == []
    upstream_id = client.req("a", {"limit": 9})
    client.deliver(asked(upstream_id, A))
    client.deliver(*(Delivered(upstream_id, e, A) for e in notes(9, 8, 7)))
    output = client.session.deliver([Eose(upstream_id, A)], client.now)
    assert '"EVENT"' in str(next(output))
    client.send("CLOSE", "a")  # in the middle of a burst
    assert list(output) == []


def test_d9_a_client_that_pages_backwards_gets_all_of_two_relays() -> None:
    # Timeline 12.
    pool = MessagePool(DEFAULTS)
    stored = notes(*range(800))
    random = Random(1)
    random.shuffle(stored)
    relays = {A: StoringRelay(stored[:400]), B: StoringRelay(stored[300:])}
    client = Client()
    reader = Reader(10**9)
    until, received = NOW, []
    for _ in range(100):
        upstream_id = client.req("a", {"kinds": [1], "limit": 50, "until": until})
        wanted = filters({"kinds": [1], "limit": 50, "until": until})
        pool.open(Feed(upstream_id, wanted, reader.mailbox))
        reader.mailbox.put(asked(upstream_id, A, B))
        queues = {url: deque(relay.query(wanted)) for url, relay in relays.items()}
        texts: list[Any] = []
        while queues:
            url = random.choice(sorted(queues))
            if queues[url]:
                pool.deliver([upstream_id], queues[url].popleft(), url, set())
            else:
                del queues[url]
                pool.finish(upstream_id, url)
            if random.random() < 0.2:
                texts += client.deliver(*reader.mailbox.take_all())[0]
        texts += client.deliver(*reader.mailbox.take_all())[0]
        assert texts.pop()[0] == "EOSE"
        page = [text[2]["created_at"] for text in texts]
        assert page == sorted(page, reverse=True)
        assert len(page) <= 50
        received += [text[2]["id"] for text in texts]
        if not page:
            break
        until = page[-1] - 1
    assert received == [
        event.id for event in sorted(stored, key=lambda e: -e.created_at)
    ]


# --- D10: hints of completeness (NIP-67)


def test_d10_eose_says_finish_where_all_relays_said_so() -> None:
    client = Client()
    for limit in ({}, {"limit": 5}):
        upstream_id = client.req("a", limit)
        client.deliver(asked(upstream_id, A, B))
        client.deliver(*(Delivered(upstream_id, event, A) for event in notes(9, 8)))
        texts, _ = client.deliver(
            Eose(upstream_id, A, True), Eose(upstream_id, B, True)
        )
        assert texts[-1] == ["EOSE", "a", ["finish"]]


@pytest.mark.parametrize("complete", [None, False])
def test_d10_eose_says_no_finish_where_a_relay_did_not(complete: bool | None) -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id, A, B))
    texts, _ = client.deliver(
        Eose(upstream_id, A, True), Eose(upstream_id, B, complete)
    )
    assert texts == [["EOSE", "a"] if complete is None else ["EOSE", "a", ["more"]]]


def test_d10_eose_says_no_finish_where_a_relay_is_down() -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id, A, also=(B,)))
    assert client.deliver(Eose(upstream_id, A, True))[0] == [["EOSE", "a"]]


def test_d10_eose_says_more_where_the_limit_left_something_out() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 1})
    client.deliver(asked(upstream_id, A, B))
    nine, eight = notes(9, 8)
    texts, _ = client.deliver(
        Delivered(upstream_id, nine, A),
        Delivered(upstream_id, eight, B),
        Eose(upstream_id, A, True),
        Eose(upstream_id, B, True),
    )
    assert texts[-1] == ["EOSE", "a", ["more"]]


def test_d9_nothing_beyond_a_cut_answer_precedes_the_eose() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 1000})
    texts, _ = client.deliver(
        asked(upstream_id, A, B),
        *(Delivered(upstream_id, e, A) for e in notes(*range(99, 79, -1))),
        *(Delivered(upstream_id, e, B) for e in notes(90, 70, 50)),
        Eose(upstream_id, A, None, 20),
        Eose(upstream_id, B, None, 500),
    )
    assert len(texts) == 22
    assert texts[-1] == ["EOSE", "a"]


# --- relays that are lost and come back


def test_d9_a_relay_that_begins_again_is_waited_for_to_its_end() -> None:
    client = Client()
    upstream_id = client.req("a", {"limit": 4})
    client.deliver(asked(upstream_id, A, B))
    nine, eight, seven, six, five = notes(9, 8, 7, 6, 5)
    client.deliver(
        Delivered(upstream_id, nine, A),
        Delivered(upstream_id, eight, A),
        RelayChanged(A, True, True),
        Copied(upstream_id, nine, A, False),
        Copied(upstream_id, eight, A, False),
    )
    # Four messages of A, but two events: those of B may not be the next ones.
    texts, _ = client.deliver(
        Delivered(upstream_id, six, B), Delivered(upstream_id, five, B)
    )
    assert [text[2]["id"] for text in texts] == [nine.id]
    texts, _ = client.deliver(
        Delivered(upstream_id, seven, A), Eose(upstream_id, A), Eose(upstream_id, B)
    )
    assert [text[2]["id"] for text in texts[:-1]] == [eight.id, seven.id, six.id]


def test_d5_a_relay_that_serves_what_it_refused_keeps_the_subscription_open() -> None:
    client = Client()
    upstream_id = client.req("a", {"kinds": [1]})
    client.deliver(asked(upstream_id, A, B))
    client.deliver(
        Closed(upstream_id, A, "auth-required: who are you?"), Eose(upstream_id, B)
    )
    client.deliver(Eose(upstream_id, A))  # we have authenticated meanwhile
    assert client.deliver(Closed(upstream_id, B, "blocked: no")) == ([], [])
    live = notes(1)[0]
    texts, _ = client.deliver(Delivered(upstream_id, live, A))
    assert texts == [["EVENT", "a", json.loads(live.text)]]


@pytest.mark.parametrize(
    ("refusal", "is_open"),
    [("restricted: pay first", True), ("blocked: go away", False)],
)
def test_d5_what_a_relay_refused_for_its_connection_is_open_on_the_next(
    refusal: str, is_open: bool
) -> None:
    client = Client()
    upstream_id = client.req("a", {"kinds": [1]})
    client.deliver(asked(upstream_id, A, B))
    client.deliver(Eose(upstream_id, A), Eose(upstream_id, B))
    client.deliver(Closed(upstream_id, A, refusal))
    client.deliver(RelayChanged(A, True, True))  # it is asked again, or not
    texts, _ = client.deliver(Closed(upstream_id, B, "blocked: no"))
    assert (texts == []) is is_open
