"""Relays that other people wrote, as programs of their own, behind a proxy."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.child_program import ChildProgram
from dev.paths import CHECKOUT
from dev.ports import HOST, free_port, wait_until_open
from dev.proxy import LoopThread, Proxy
from tests.e2e.clients import Author, wait_until

from .bench import (
    Bench,
    NostrEvent,
    fetch,
    measured,
    order,
    orders,
    orders_filter,
    put,
)

PYTHON_RELAY = CHECKOUT / ".build" / "relay" / "bin" / "nostr-relay"
CORE = CHECKOUT / "node_modules" / "@nostr-relay" / "core"

CONFIGURATION = """\
storage:
  sqlalchemy.url: sqlite+aiosqlite:///{folder}/events.sqlite3
  validators:
    - nostr_relay.validators.is_not_too_large
    - nostr_relay.validators.is_signed
gunicorn:
  bind: {host}:{port}
  workers: 1
purple:
  host: {host}
  port: {port}
  workers: 1
"""


class RelayProgram:
    """A relay's program; all its clients see is the proxy in front of it."""

    def __init__(self, command: list[str], port: int, log: Path, loop: LoopThread):
        self._direct_url = f"ws://{HOST}:{port}"
        self._program = ChildProgram(command, log=log)
        wait_until_open(port, lambda: self._program.running)
        self.proxy = Proxy(port, loop)
        self.url = self.proxy.url

    def put(self, *events: NostrEvent) -> None:
        """Publish events there, past nostrclient."""
        put(self._direct_url, *events)

    def has(self, *events: NostrEvent) -> bool:
        """Return whether it stores all of these events."""
        ids = [event["id"] for event in events]
        return len(fetch(self._direct_url, {"ids": ids})) == len(ids)

    def close(self) -> None:
        """End it."""
        self.proxy.close()
        self._program.stop()


def python_command(port: int, folder: Path) -> list[str]:
    if not PYTHON_RELAY.exists():
        pytest.skip("nostr-relay is not installed; make test installs it")
    configuration = folder / "relay.yaml"
    configuration.write_text(CONFIGURATION.format(folder=folder, host=HOST, port=port))
    return [str(PYTHON_RELAY), "--config", str(configuration), "serve"]


def node_command(port: int, folder: Path) -> list[str]:
    node = shutil.which("node")
    if not node or not CORE.exists():
        pytest.skip("@nostr-relay/core is not installed; make test installs it")
    return [node, str(Path(__file__).with_name("nostr_relay_core.mjs")), str(port)]


COMMANDS = {"nostr-relay": python_command, "@nostr-relay/core": node_command}


@pytest.fixture(params=sorted(COMMANDS))
def program(
    request: pytest.FixtureRequest, tmp_path: Path, loop_thread: LoopThread
) -> Iterator[RelayProgram]:
    """Each of the relays."""
    port = free_port()
    command = COMMANDS[request.param](port, tmp_path)
    relay = RelayProgram(command, port, tmp_path / "relay.log", loop_thread)
    yield relay
    relay.close()


def test_c2_event_that_is_published_reaches_the_relay_also_after_an_outage(
    bench: Bench, program: RelayProgram
) -> None:
    bench.start_connected(program.url)
    client = bench.client()
    first, second = (Author().event(text) for text in ("first", "second"))
    accepted, reason = client.publish(first)
    assert accepted, reason
    wait_until(lambda: program.has(first), "the relay has it")
    program.proxy.refuse()
    bench.wait_disconnected(program.url)
    accepted, reason = client.publish(second)
    assert accepted
    assert reason.startswith("queued:")
    program.proxy.resume()
    wait_until(lambda: program.has(first, second), "the relay has both")


def test_e8_orders_before_during_and_after_an_outage_are_delivered_once(
    bench: Bench, program: RelayProgram, merchant: Author
) -> None:
    before, live, missed, after = orders(4, merchant)
    program.put(before)
    bench.start_connected(program.url)
    shop = bench.client("shop")
    assert shop.subscribe("orders", orders_filter(merchant)) == [before]
    # One relay opens a subscription a moment after it has sent EOSE.
    time.sleep(0.2)
    program.put(live)
    shop.wait_events([live])
    program.proxy.refuse()
    bench.wait_disconnected(program.url)
    program.put(missed)
    reachable = time.monotonic()
    program.proxy.resume()
    shop.wait_events([missed])
    measured("an outage of a real relay", f"{time.monotonic() - reachable:.3f} s")
    time.sleep(0.2)
    program.put(after)
    shop.assert_exactly("orders", [before, live, missed, after])
    assert shop.count("EOSE") == 1


def test_e9_shops_beside_a_search_of_a_stranger_get_their_orders(
    bench: Bench, program: RelayProgram
) -> None:
    bench.start_connected(program.url)
    merchants = [Author() for _ in range(5)]
    shop, stranger = bench.client("shop"), bench.client("stranger", public=True)
    for number, merchant in enumerate(merchants):
        shop.subscribe(f"{number}", orders_filter(merchant))
    stranger.req("search", {"search": "a", "limit": 1})
    time.sleep(0.5)
    placed = [order(Author(), merchant) for merchant in merchants]
    program.put(*placed)
    shop.wait_events(placed)
    assert bench.manager.relays[program.url].connections == 1
