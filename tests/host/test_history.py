"""A week of history: rows from counters, bars and incidents from rows, in SQLite."""

from typing import Any

import pytest

from nostrclient import crud, history
from nostrclient.migrations import m007_history
from nostrclient.models import HistoryRow
from nostrclient.nostr.relay_record import RelayRecord, RelayStatus
from nostrclient.nostr.settings import DEFAULTS

URL = "wss://one.example"
SLOT = 1_790_000_100
LENGTH = 300


def row(number: int, **changed: Any) -> HistoryRow:
    usual: dict[str, Any] = {
        "slot": SLOT + number * LENGTH,
        "relay": URL,
        "seconds": LENGTH,
        "up": LENGTH,
        "latency_ms": 40,
        "received": 10,
        "accepted": 2,
        "refused": 1,
        "closed": 0,
        "reason": "",
    }
    return HistoryRow(**{**usual, **changed})


@pytest.fixture
def relay() -> RelayRecord:
    found = RelayRecord(URL, DEFAULTS)
    found.move(RelayStatus.CONNECTING)
    found.move(RelayStatus.CONNECTED)
    found.connections = 1
    return found


def test_i4_row_holds_what_changed_in_its_slot(relay: RelayRecord) -> None:
    recorder = history.Recorder()
    relay.counters.received_events = 5
    assert recorder.sample([relay], SLOT + 3, LENGTH) == []
    relay.counters.received_events = 12
    relay.counters.accepted += 3
    relay.counters.refused["blocked"] += 2
    relay.measured(0.04)
    (found,) = recorder.sample([relay], SLOT + LENGTH, LENGTH)
    assert found == row(0, seconds=297, up=297, received=7, accepted=3, refused=2)


def test_i4_relay_that_was_down_in_a_slot_has_less_uptime_and_a_reason(
    relay: RelayRecord,
) -> None:
    recorder = history.Recorder()
    recorder.sample([relay], SLOT, LENGTH)
    relay.counters.up_seconds += 100
    relay.failed("connection refused")
    relay.move(RelayStatus.WAITING)
    (found,) = recorder.sample([relay], SLOT + LENGTH, LENGTH)
    assert (found.up, found.reason, found.latency_ms) == (
        100,
        "connection refused",
        None,
    )


def test_i4_relay_that_was_added_again_does_not_count_backwards(
    relay: RelayRecord,
) -> None:
    recorder = history.Recorder()
    relay.connections, relay.counters.received_events = 9, 1000
    recorder.sample([relay], SLOT, LENGTH)
    relay.connections, relay.counters.received_events = 1, 4
    (found,) = recorder.sample([relay], SLOT + LENGTH, LENGTH)
    assert found.received == 4


def test_i4_sleeping_machine_writes_no_history(relay: RelayRecord) -> None:
    recorder = history.Recorder()
    recorder.sample([relay], SLOT, LENGTH)
    assert recorder.sample([relay], SLOT + 10 * LENGTH, LENGTH) == []
    assert recorder.sample([relay], SLOT + 5 * LENGTH, LENGTH) == []  # set back
    assert len(recorder.sample([relay], SLOT + 6 * LENGTH, LENGTH)) == 1


def test_i4_incident_joins_the_slots_of_one_outage() -> None:
    rows = [
        row(0),
        row(1, up=100, reason="connection refused"),
        row(2, up=0, reason="connection refused"),
        row(3, up=250, reason="no answer to a ping"),
        row(4),
        row(9, up=299),
    ]
    newest, oldest = history.incidents(rows)
    assert (oldest.since, oldest.until) == (SLOT + LENGTH, SLOT + 4 * LENGTH)
    assert oldest.down_seconds == 200 + 300 + 50
    assert oldest.reason == "connection refused"
    assert (newest.since, newest.down_seconds, newest.reason) == (
        SLOT + 9 * LENGTH,
        1,
        "",
    )


def test_i4_points_are_sums_of_their_rows() -> None:
    rows = [row(number) for number in range(4)]
    rows[1] = row(1, up=0, latency_ms=None)
    first, *_ = history.points(rows, width=2 * LENGTH)
    assert first.at % (2 * LENGTH) == 0
    total = history.points(rows, width=100 * LENGTH)
    assert len(total) == 1
    assert total[0].uptime == 0.75
    assert (total[0].received, total[0].accepted, total[0].refused) == (40, 8, 4)
    assert total[0].latency_ms == 40


@pytest.fixture
async def stored() -> None:
    async with crud.db.connect() as conn:
        await conn.execute("DROP TABLE IF EXISTS nostrclient.history")
        await m007_history(conn)
        await m007_history(conn)  # again, as after a restored backup


@pytest.mark.usefixtures("stored")
async def test_i4_history_is_bounded_in_time_and_rows() -> None:
    await crud.write_history([row(number) for number in range(10)], 0, 1000)
    assert len(await crud.get_relay_history(URL, 0)) == 10
    await crud.write_history([row(10)], SLOT + 5 * LENGTH, 1000)
    assert [item.slot for item in await crud.get_relay_history(URL, 0)] == [
        SLOT + number * LENGTH for number in range(5, 11)
    ]
    await crud.write_history([row(11), row(11, relay="wss://two.example")], 0, 4)
    assert len(await crud.get_relay_history(URL, 0)) <= 4
    assert await crud.get_relay_history(URL, SLOT + 11 * LENGTH) == [row(11)]


@pytest.mark.usefixtures("stored")
async def test_i4_history_of_all_relays_is_summed_by_hour() -> None:
    other = "wss://two.example"
    rows = [row(number) for number in range(12)]
    rows += [row(number, relay=other, up=150, latency_ms=80) for number in range(12)]
    await crud.write_history(rows, 0, 1000)
    found = await history.of_all(SLOT + 12 * LENGTH)
    assert sum(point.received for point in found.points) == 240
    assert all(point.uptime == 0.75 for point in found.points)
    assert all(point.latency_ms == 60 for point in found.points)
    assert await crud.get_uptimes(0) == {URL: 1, other: 0.5}
    assert found.uptimes == []  # both were removed meanwhile
    of_one = await history.of_relay(other, SLOT + 12 * LENGTH)
    assert len(of_one.incidents) == 1
