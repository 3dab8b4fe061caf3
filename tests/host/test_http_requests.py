"""A8: pages and cursors of a query, and what one user may ask for."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient import http_requests
from nostrclient.http_requests import (
    RELAY_TOKENS,
    Caller,
    Cursor,
    Found,
    InvalidRequestError,
    Page,
    StoppedError,
    TooManyRequestsError,
    serve,
)
from nostrclient.models import OutboxEvent
from nostrclient.named_rules import check_named_url
from nostrclient.nostr import clock
from nostrclient.nostr.named_relays import NamedRelays
from nostrclient.nostr.publication import Publishers, plain_publishers
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.router import nostr_client
from tests.nostr.builders import KEY, signed


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    http_requests._callers.clear()


def found(number: int, at: int) -> Found:
    return Found.read(json.dumps({"id": f"{number:064x}", "created_at": at}))


@given(
    st.lists(st.integers(0, 9), max_size=60), st.integers(1, 8), st.integers(200, 2000)
)
def test_a8_pages_together_are_all_events_in_order(
    instants: list[int], limit: int, max_bytes: int
) -> None:
    events = [found(number, at) for number, at in enumerate(instants)]
    read: list[Found] = []
    after: Cursor | None = None
    while True:
        page = Page(limit, max_bytes, after)
        # As relays answer: up to the second of the cursor, as many as were asked for.
        until = 99 if after is None else after.created_at
        asked = limit + (after.same_second if after else 0)
        answer = sorted(event for event in events if -event.order[0] <= until)[:asked]
        for event in reversed(answer):
            page.add(event)
        assert len(page.texts) <= limit
        assert sum(len(text) + 1 for text in page.texts) <= max_bytes
        read += map(Found.read, page.texts)
        after = page.next_cursor(after)
        if after is None:
            break
        after = Cursor.decode(after.encode())
    assert read == sorted(events)


def test_a8_event_above_the_size_of_an_answer_is_omitted_by_name() -> None:
    page = Page(5, 200, None)
    page.add(found(1, 1))
    page.add(Found.read(json.dumps({"id": "large", "created_at": 2, "x": 300 * "x"})))
    assert page.omitted == ["large"]
    assert len(page.texts) == 1
    alone = Page(1, 200, None)
    alone.add(Found.read(json.dumps({"id": "large", "created_at": 2, "x": 300 * "x"})))
    assert alone.texts == []
    assert alone.next_cursor(None) == Cursor(2, "large", 1), "the next page is reached"


@pytest.mark.parametrize("text", ["", "x", "é", "W10=", "[1]", "WzEsMiwzXQ=="])
def test_a8_cursor_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Cursor.decode(text)


async def nothing(_: Caller) -> None:
    """Do nothing."""


@pytest.fixture
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1000.0)


@pytest.mark.usefixtures("standing_clock")
async def test_f2_rate_is_each_user_s_own() -> None:
    for _ in range(DEFAULTS.public.burst_messages):
        await serve("a", 0, nothing)
    with pytest.raises(TooManyRequestsError, match="slow down"):
        await serve("a", 0, nothing)
    await serve("b", 0, nothing)


@pytest.mark.usefixtures("standing_clock")
async def test_f2_large_request_costs_more_of_the_rate() -> None:
    large = DEFAULTS.http_request_bytes
    for _ in range(DEFAULTS.public.burst_messages // 5):
        await serve("a", large, nothing)
    with pytest.raises(TooManyRequestsError):
        await serve("a", large, nothing)


async def test_f2_requests_at_a_time_are_bounded_and_stopped() -> None:
    async def wait(_: Caller) -> None:
        await asyncio.sleep(60)

    count = DEFAULTS.public.connections_per_address
    running = [asyncio.create_task(serve("a", 0, wait)) for _ in range(count)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequestsError, match="at a time"):
        await serve("a", 0, wait)
    await http_requests.stop()
    ended: list[Any] = await asyncio.gather(*running, return_exceptions=True)
    assert [type(item) for item in ended] == count * [StoppedError]


async def test_f2_cancelled_request_frees_its_place() -> None:
    async def wait(_: Caller) -> None:
        await asyncio.sleep(60)

    for _ in range(2 * DEFAULTS.public.connections_per_address):
        task = asyncio.create_task(serve("a", 0, wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await serve("a", 0, nothing)


async def test_d8_callers_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_requests, "MAX_CALLERS", 10)
    for number in range(100):
        await serve(str(number), 0, nothing)
    assert list(http_requests._callers) == [str(number) for number in range(90, 100)]


async def test_h4_query_reads_no_private_messages_over_a_reader_key_s_link() -> None:
    pool = nostr_client.relay_manager.message_pool
    pubkey = KEY.public_key.hex()
    running = asyncio.create_task(
        http_requests.query("a", [{"kinds": [4], "#p": [pubkey]}], 10, None)
    )
    deadline = clock.now() + 10
    while not pool._feeds and clock.now() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    [feed] = pool._feeds.values()
    assert not feed.may_read_as(pubkey)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not pool._feeds


# --- What the outbox knows after a restart, and of whose events

A, B, C = (f"wss://{name}.example" for name in "abc")
OURS = "wss://configured.example"
PUBLISHERS: Publishers = {
    "user alice": frozenset((A,)),
    "user bob": frozenset((B, C)),
    "user carol": None,
    "": None,
}
SEEN = {"alice": {A}, "bob": {B, C}, "carol": {OURS}, "": None, "eve": None}


@pytest.fixture
def configured() -> Iterator[None]:
    nostr_client.relay_manager.add_relay(OURS)
    yield
    nostr_client.relay_manager.remove_relays()
    outbox = nostr_client.relay_manager.publisher.outbox
    for event_id in list(outbox.publications):
        outbox.release(event_id)


async def seen_by(name: str, event_id: str) -> set[str] | None:
    """Return the relays that a user sees of an event; None where it is unknown."""
    answer = await serve(
        name, 0, lambda caller: http_requests.published(name, caller, event_id)
    )
    if answer is None:
        return None
    assert answer.accepted
    assert answer.state == "queued"
    return set(answer.relays)


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.usefixtures("configured")
async def test_a8_restored_event_shows_each_user_its_own_relays_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = signed(f"restored for {name}")
    nostr_client.relay_manager.publisher.restore(
        event,
        is_public=True,
        age_seconds=60,
        accepted=False,
        owed=[],
        publishers=PUBLISHERS,
    )

    async def no_row(_: str) -> None:
        return None

    monkeypatch.setattr(http_requests, "get_outbox_event", no_row)
    assert await seen_by(name, event.id) == SEEN[name]


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.usefixtures("configured")
async def test_a8_other_instance_s_event_shows_each_user_its_own_relays_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = signed(f"stored for {name}")
    row = OutboxEvent(
        id=event.id,
        event=event.text,
        published_at=0,
        accepted=False,
        is_public=True,
        owed=json.dumps([A, B, C, OURS]),
        publishers=json.dumps(plain_publishers(PUBLISHERS)),
    )

    async def read(_: str) -> OutboxEvent:
        return row

    monkeypatch.setattr(http_requests, "get_outbox_event", read)
    assert await seen_by(name, event.id) == SEEN[name]
    row.publishers = None  # stored by an earlier version
    assert await seen_by(name, event.id) is None


async def test_a8_receipt_is_not_waited_for_while_the_database_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    quick = replace(DEFAULTS, answer_seconds=0.05)
    monkeypatch.setattr(http_requests, "_settings", lambda: quick)
    monkeypatch.setattr(http_requests, "get_outbox_event", hang)
    with pytest.raises(StoppedError):
        await seen_by("alice", 64 * "a")


@pytest.mark.parametrize(
    "relays",
    [
        ["ws://127.0.0.1:1"],
        ["ws://[::1]:1"],
        ["ws://localhost"],
        ["http://relay.example"],
        ["wss://user:password@relay.example"],
        [f"wss://{number}.example" for number in range(6)],
        ["wss://relay.example", "ws://10.0.0.1"],
    ],
)
async def test_h10_relays_that_rules_exclude_cannot_be_named(
    relays: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: NamedRelays = nostr_client.relay_manager.named
    monkeypatch.setattr(pool, "check", check_named_url)
    event = json.loads(signed().text)
    for work in (
        lambda caller: http_requests.publish("eve", caller, event, None, relays),
        lambda _: http_requests.query("eve", [{}], 10, None, relays),
    ):
        with pytest.raises(InvalidRequestError):
            await serve("eve", 0, work, len(relays))


@pytest.mark.usefixtures("standing_clock")
async def test_f2_named_relays_cost_more_of_the_rate() -> None:
    for _ in range(DEFAULTS.public.burst_messages // (1 + 5 * RELAY_TOKENS)):
        await serve("user", 0, nothing, relays=5)
    with pytest.raises(TooManyRequestsError, match="slow down"):
        await serve("user", 0, nothing, relays=5)
