"""Rules G1 to G4: nostrclient as other extensions in the same process use it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dev.local_relay import LocalRelay
from dev.paths import CHECKOUT

CUSTOM_PATH = "nostrclient"
DEFAULT_PATH = "lnbits.extensions.nostrclient"


@pytest.fixture(scope="module", params=[CUSTOM_PATH, DEFAULT_PATH])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What a consumer saw that imports nostrclient under this name."""
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "data").mkdir()
    (folder / "extensions").mkdir()
    (folder / "extensions" / "nostrclient").symlink_to(CHECKOUT)
    with LocalRelay(log=folder / "relay.log") as relay:
        finished = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.interface.consumer",
                request.param,
                relay.url,
                str(folder),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            cwd=CHECKOUT,
            env={
                **os.environ,
                "LNBITS_DATA_FOLDER": str(folder / "data"),
                "PYTHONPATH": os.pathsep.join(
                    (str(CHECKOUT / ".build" / "ext"), str(CHECKOUT))
                ),
            },
        )
        assert finished.returncode == 0, finished.stderr[-4000:]
        result = json.loads(finished.stdout.splitlines()[-1])
        result["relay_url"] = relay.url
        yield result


def test_g1_g2_events_appear_once_and_in_order(seen: dict[str, Any]) -> None:
    assert seen["seen_first"] == seen["first"]


def test_g2_items_carry_what_consumers_read(seen: dict[str, Any]) -> None:
    assert seen["attributes"] == ["mine", seen["relay_url"], "from the loop 0"]


def test_g1_callable_from_any_thread(seen: dict[str, Any]) -> None:
    assert seen["problems"] == []
    assert seen["seen_thread"] == [seen["thread"]]


def test_g1_f7_relays_and_subscriptions_survive_disable_and_enable(
    seen: dict[str, Any],
) -> None:
    assert seen["alive"] == []
    assert seen["relays_while_stopped"] == [seen["relay_url"]]
    assert seen["seen_after"] == [seen["while_stopped"]]


def test_g1_adding_an_id_again_replaces_it(seen: dict[str, Any]) -> None:
    published = {*seen["first"], seen["thread"], seen["while_stopped"]}
    assert seen["seen_again"] == sorted(published)
    assert seen["again"] == len(published)


def test_g1_g2_imported_objects_work_after_a_reload(
    seen: dict[str, Any],
) -> None:
    for published_between, published_after, *received in seen["renewed"]:
        assert sorted(received) == sorted([published_between, published_after])


def test_f7_an_import_afresh_leaves_nothing_of_the_old_running(
    seen: dict[str, Any],
) -> None:
    assert len(seen["threads"]) == 1


def test_g3_subscribe_calls_back_until_close(seen: dict[str, Any]) -> None:
    assert seen["callback"] == [seen["last"]]


def test_g4_the_pool_can_be_polled(seen: dict[str, Any]) -> None:
    polled, published = seen["polled"]
    assert polled == published


def test_g1_a_removed_relay_is_gone(seen: dict[str, Any]) -> None:
    assert seen["relays_left"] == []


def test_g2_unread_events_are_bounded() -> None:
    """The oldest go first, and the queues of the pool are bounded as well."""
    from nostrclient.nostr.in_process import EventMessage, InProcessQueues
    from nostrclient.nostr.settings import DEFAULTS
    from nostrclient.router import NostrRouter
    from nostrclient.tasks import keep_event

    queues = InProcessQueues(
        DEFAULTS.with_changes({"in_process_events": 2, "in_process_notices": 3})
    )
    assert (queues.events.maxlen, queues.notices.maxlen) == (2, 3)
    most = DEFAULTS.in_process_events
    try:
        for number in range(most + 5):
            keep_event(EventMessage("{}", str(number), "bounded", "ws://x"))
        kept = NostrRouter.received_subscription_events["bounded"]
        assert len(kept) == most
        assert kept[0].event_id == "5"
    finally:
        del NostrRouter.received_subscription_events["bounded"]


@pytest.mark.parametrize("turns", range(6))
def test_f7_clock_ends_whenever_it_is_cancelled(turns: int) -> None:
    """Also in the moment in which its wait ends, with more to be done later."""
    from nostrclient.nostr import clock
    from nostrclient.router import nostr_client
    from nostrclient.tasks import keep_time

    async def cancelled_after_a_wake() -> bool:
        task = asyncio.create_task(keep_time())
        await asyncio.sleep(0.05)
        assert manager.on_change is not None
        manager.on_change()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=1)
        if not ended:
            task.cancel()
        return bool(ended)

    manager = nostr_client.relay_manager
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manager, "step", lambda: clock.now() + 60)
        assert asyncio.run(cancelled_after_a_wake())


def test_f7_database_write_is_completed_when_cancelled() -> None:
    """A task cancelled within a transaction would leave SQLite locked for good."""
    from nostrclient import crud

    written: list[str] = []

    class SlowDatabase:
        async def fetchall(self, *_: object, **__: object) -> list[object]:
            written.append("begun")
            await asyncio.sleep(0.05)
            written.append("done")
            return []

    async def cancelled_meanwhile() -> None:
        task = asyncio.create_task(crud.get_relays())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert written == ["begun", "done"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crud, "db", SlowDatabase())
        asyncio.run(cancelled_meanwhile())
