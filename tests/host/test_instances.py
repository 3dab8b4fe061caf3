"""Rules J2 and J3: an instance's lease and its events, without a database."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest
from lnbits.settings import settings as lnbits_settings

from nostrclient import instances as module
from nostrclient import outbox_store as store_module
from nostrclient.instances import Instances, Sharing
from nostrclient.nostr import clock
from tests.host.test_outbox_store import QUICK, Bench
from tests.nostr.builders import signed

LEASED = replace(QUICK, lease_seconds=30, lease_renew_seconds=10)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An outbox on a database that several instances share."""
    bench = Bench()
    bench.manager.settings = LEASED
    bench.store.instance = "me"
    for name in (module, store_module):
        monkeypatch.setattr(name, "nostr_client", bench.client)
    monkeypatch.setattr(store_module, "write_outbox", bench.table.write)
    monkeypatch.setattr(store_module, "get_outbox", bench.table.read)
    monkeypatch.setattr(module, "get_outbox", bench.table.read)
    monkeypatch.setattr(module, "get_outbox_owners", bench.table.read)
    monkeypatch.setattr(module, "outbox_store", bench.store)
    monkeypatch.setattr(module, "is_shareable", lambda: True)
    return bench


async def test_j2_released_event_leaves_memory_but_not_the_database(
    bench: Bench,
) -> None:
    event, _ = bench.publish()
    await bench.store.write()
    assert bench.store.written_ids() == {event.id}
    bench.store.release_stored()
    assert bench.manager.publisher.publication(event.id) is None
    await bench.store.write()
    assert [row.instance for row in bench.table.rows.values()] == ["me"]
    await bench.store.restore("me")
    assert bench.manager.publisher.publication(event.id) is not None


async def test_j2_event_without_a_row_is_not_released(bench: Bench) -> None:
    bench.table.failures = [OSError("gone")]
    event, _ = bench.publish()
    await bench.store.write()
    bench.store.release_stored()
    assert bench.manager.publisher.publication(event.id) is not None


async def test_j2_event_that_another_instance_deleted_is_dropped(bench: Bench) -> None:
    event, _ = bench.publish()
    kept, _ = bench.publish(signed("kept"))
    await bench.store.write()
    del bench.table.rows[event.id]
    other = bench.table.rows[kept.id].copy(
        update={"id": "other", "instance": "somebody"}
    )
    bench.table.rows["other"] = other
    instance = Instances()
    instance._id = "me"
    await instance._look_at_outbox()
    assert instance.others_waiting == {"other"}
    assert bench.manager.publisher.publication(event.id) is None
    assert bench.manager.publisher.publication(kept.id) is not None


async def test_j2_event_that_another_instance_took_is_left_to_it(
    bench: Bench,
) -> None:
    event, _ = bench.publish()
    await bench.store.write()
    taken = bench.table.rows[event.id].copy(update={"instance": "somebody"})
    bench.table.rows[event.id] = taken
    instance = Instances()
    instance._id = "me"
    await instance._look_at_outbox()
    assert bench.manager.publisher.publication(event.id) is None
    await bench.store.write()
    assert bench.table.rows == {event.id: taken}


async def test_j2_instance_that_had_no_database_lets_others_renew_before_it_claims(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, claims = [1000.0], []
    phase = {"works": True, "end": 0.0}

    async def renew(_: str, __: float) -> list[str]:
        if not phase["works"]:
            raise OSError("gone")
        return ["other"]

    async def claim(_: str, __: float) -> int:
        claims.append(now[0])
        return 0

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= phase["end"]:
            raise asyncio.CancelledError

    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(module, "renew_lease", renew)
    monkeypatch.setattr(module, "claim_events", claim)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    instances = Instances()
    for works, end in ((True, 1025), (False, 1060), (True, 1100)):
        phase.update(works=works, end=end)
        with pytest.raises(asyncio.CancelledError):
            await instances._keep_lease("me")
    assert claims[:3] == [1000, 1010, 1020]
    assert claims[3] >= 1069
    assert len(claims) >= 5


async def test_j2_lease_that_was_renewed_late_is_over_before_others_may_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = Instances()
    renewed = clock.now()
    for seconds, over in ((0, False), (20, False), (26, True), (30, True)):
        monkeypatch.setattr(clock, "now", lambda at=renewed + seconds: at)
        assert instances._is_over() is over


async def test_j2_own_events_are_taken_back_after_a_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def renew(_: str, __: float) -> list[str]:
        return ["other"]

    async def claim(_: str, __: float) -> int:
        return 0

    monkeypatch.setattr(module, "renew_lease", renew)
    monkeypatch.setattr(module, "claim_events", claim)
    event, _ = bench.publish()
    await bench.store.write()
    bench.store.release_stored()
    instances = Instances()
    instances.state = Sharing.CUT_OFF
    await instances._renew("me")
    assert instances.state is Sharing.SHARED
    assert bench.manager.publisher.publication(event.id) is not None


def test_j3_second_process_of_one_lnbits_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnbits_settings, "lnbits_data_folder", str(tmp_path))
    monkeypatch.setattr(module, "process", {})
    name = tmp_path / module.LOCK
    program = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        second = Instances()
        second.check_process()
        assert second.is_second
        monkeypatch.setattr(module, "is_shareable", lambda: False)
        assert second.refuses
        assert second.id is None
        other.kill()
    # It serves as soon as the other one has ended.
    second.check_process()
    assert [second.is_second, second.refuses] == [False, False]


def test_j2_id_is_the_same_after_a_restart_but_not_for_a_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnbits_settings, "lnbits_data_folder", str(tmp_path))
    monkeypatch.setattr(module, "is_shareable", lambda: True)
    found = []
    for name, port in (("one", 5000), ("two", 5001)):
        process: dict[str, TextIO] = {}
        monkeypatch.setattr(module, "process", process)
        monkeypatch.setattr(module, "gethostname", lambda name=name: name)
        monkeypatch.setattr(lnbits_settings, "port", port)
        first = Instances()
        first.check_process()
        found.append(first.id)
        monkeypatch.setattr(module, "process", {})
        second = Instances()
        second.check_process()
        found.append(second.id)
        process["process_lock"].close()  # as its death does
    assert found[0] == found[2] is not None
    assert len({found[0], found[1], found[3]}) == 3


def test_j2_id_without_a_data_folder_is_that_of_host_and_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnbits_settings, "lnbits_data_folder", str(tmp_path / "none"))
    monkeypatch.setattr(module, "is_shareable", lambda: True)
    monkeypatch.setattr(module, "process", {})
    ids = set()
    for port in (5000, 5001, 5000):
        monkeypatch.setattr(lnbits_settings, "port", port)
        instance = Instances()
        instance.check_process()
        ids.add(instance.id)
    assert len(ids) == 2
