"""What pages are told: who may listen, what has changed, one look for all of them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from lnbits.settings import settings

from nostrclient import live
from nostrclient.live import State, changes

ADMIN = "the admin's account"


@pytest.fixture(autouse=True)
def _no_tickets_are_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "lnbits_admin_users", [ADMIN])
    yield
    asyncio.run(live.stop())


# --- tickets


def test_a_ticket_is_good_for_thirty_seconds() -> None:
    early, late = live.issue_ticket(ADMIN, 1000.0), live.issue_ticket(ADMIN, 1000.0)
    assert live.redeem_ticket(early, 1029.9)
    assert not live.redeem_ticket(late, 1030.0)


def test_a_ticket_is_good_once_and_a_guess_never() -> None:
    ticket = live.issue_ticket(ADMIN, 1000.0)
    assert not live.redeem_ticket(ticket[:-1], 1000.0)
    assert live.redeem_ticket(ticket, 1000.0)
    assert not live.redeem_ticket(ticket, 1000.0)
    assert not live.redeem_ticket("", 1000.0)


def test_used_tickets_are_forgotten_once_they_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_redeemed", {})
    for number in range(5):
        ticket = live.issue_ticket(ADMIN, 1000.0 + number)
        assert live.redeem_ticket(ticket, 1000.0 + number) == ADMIN
    assert len(live._redeemed) == 5
    last = live.issue_ticket(ADMIN, 1031.5)
    assert live.redeem_ticket(last, 1031.5) == ADMIN
    assert len(live._redeemed) == 4


def test_j1_ticket_is_good_at_another_lnbits_with_the_same_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticket = live.issue_ticket(ADMIN, 1000.0)
    monkeypatch.setattr(settings, "auth_secret_key", "another one")
    assert live.redeem_ticket(ticket, 1000.0) is None
    monkeypatch.undo()
    monkeypatch.setattr(settings, "lnbits_admin_users", [ADMIN])
    monkeypatch.setattr(live, "_redeemed", {})  # as another process has it
    assert live.redeem_ticket(ticket, 1000.0) == ADMIN


def test_a_ticket_that_was_changed_is_refused() -> None:
    ticket = live.issue_ticket("somebody", 1000.0)
    forged = ticket.replace("somebody", ADMIN)
    for text in (forged, "~", "~~~", f"{ADMIN}~9999999999999~x~", "a"):
        assert live.redeem_ticket(text, 1000.0) is None


def test_a_ticket_of_an_account_that_is_no_admin_any_more_is_refused() -> None:
    ticket = live.issue_ticket(ADMIN, 1000.0)
    settings.lnbits_admin_users = []
    assert live.redeem_ticket(ticket, 1001.0) is None


class OpenPage:
    """A page's WebSocket that stays open."""

    _receive = None

    def __init__(self) -> None:
        self.closed: list[int] = []

    async def accept(self) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def send_json(self, _: object) -> None:
        pass

    async def close(self, code: int, _: str = "") -> None:
        self.closed.append(code)


async def test_push_ends_when_its_account_is_no_admin_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "ADMIN_CHECK_SECONDS", 0.01)
    page = OpenPage()
    listener = live.Listener(page, ADMIN)  # type: ignore[arg-type]
    running = asyncio.create_task(listener.run())
    await asyncio.sleep(0.05)
    assert not running.done()
    settings.lnbits_admin_users = []
    await asyncio.wait_for(running, 5)
    assert page.closed == [1001]


# --- changes


def relay(url: str, connected: bool = True, retry_in: float | None = None) -> Any:
    return {
        "url": url,
        "connected": connected,
        "status": {"connections": 1, "retry_in_seconds": retry_in},
    }


def state(*relays: Any, clients: int = 0, waiting: int = 0) -> State:
    return State(
        relays={item["url"]: item for item in relays},
        outbox={"count": waiting, "undeliverable": 0},
        clients=[{"id": str(number)} for number in range(clients)],
        status={"clients": clients, "outbox_waiting": waiting},
    )


def test_everything_is_told_at_first() -> None:
    assert changes(None, state(relay("ws://a"), relay("ws://b"), clients=1)) == {
        "relays": [relay("ws://a"), relay("ws://b")],
        "outbox": {"count": 0, "undeliverable": 0},
        "clients": [{"id": "0"}],
        "status": {"clients": 1, "outbox_waiting": 0},
    }


def test_nothing_is_told_where_nothing_has_changed() -> None:
    before = state(relay("ws://a"), {**relay("ws://b"), "status": None}, clients=1)
    after = state(relay("ws://a"), {**relay("ws://b"), "status": None}, clients=1)
    assert changes(before, after) == {}


def test_a_countdown_that_goes_on_is_no_change() -> None:
    before = state(relay("ws://a", False, 9.0), relay("ws://b", False, 9.0))
    after = state(relay("ws://a", False, 8.5), relay("ws://b", True))
    assert changes(before, after) == {"relays": [relay("ws://b", True)]}


def test_only_what_has_changed_is_told() -> None:
    before = state(relay("ws://a"), relay("ws://b"))
    assert changes(before, state(relay("ws://a"), relay("ws://b"), clients=1)) == {
        "clients": [{"id": "0"}],
        "status": {"clients": 1, "outbox_waiting": 0},
    }
    assert changes(before, state(relay("ws://a"), relay("ws://b"), waiting=2)) == {
        "outbox": {"count": 2, "undeliverable": 0},
        "status": {"clients": 0, "outbox_waiting": 2},
    }


def test_relays_that_come_and_go_are_told() -> None:
    before = state(relay("ws://a"), relay("ws://b"))
    after = state(relay("ws://a"), relay("ws://c"))
    assert changes(before, after) == {
        "relays": [relay("ws://c")],
        "removed": ["ws://b"],
    }


# --- one look for all


class Looks:
    """Counts how often it is looked; a look takes a moment, or fails."""

    def __init__(self) -> None:
        self.count = 0
        self.failing = False

    async def __call__(self) -> State:
        self.count += 1
        await asyncio.sleep(0)
        if self.failing:
            raise OSError("the database is gone")
        return state(clients=self.count)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    monkeypatch.setattr(live, "PERIOD_SECONDS", 0.01)
    return Looks()


async def test_all_who_ask_share_one_look_a_period(looks: Looks) -> None:
    snapshots = live.Snapshots(looks)

    async def listen() -> list[State]:
        told: list[State] = []
        while len(told) < 4:
            told.append(await snapshots.other_than(told[-1] if told else None))
        return told

    told = await asyncio.gather(*(listen() for _ in range(20)))
    assert looks.count == 4
    assert all(mine == told[0] for mine in told)
    assert [len(seen.clients) for seen in told[0]] == [1, 2, 3, 4]


async def test_a_newcomer_is_told_at_once_what_is_known(looks: Looks) -> None:
    snapshots = live.Snapshots(looks)
    first = await snapshots.other_than(None)
    assert await snapshots.other_than(None) is first
    assert looks.count == 1


async def test_no_snapshot_is_made_or_kept_while_nobody_asks(
    looks: Looks,
) -> None:
    snapshots = live.Snapshots(looks)
    first = await snapshots.other_than(None)
    asking = asyncio.create_task(snapshots.other_than(first))
    await asyncio.sleep(0)
    asking.cancel()
    await snapshots.forget()
    assert asyncio.all_tasks() <= {asyncio.current_task(), asking}
    await asyncio.sleep(0.03)
    assert looks.count == 1
    assert await snapshots.other_than(None) is not first
    assert looks.count == 2


async def test_failing_snapshot_fails_for_all_who_wait_and_the_next_is_a_new_one(
    looks: Looks,
) -> None:
    snapshots = live.Snapshots(looks)
    looks.failing = True
    asking = [snapshots.other_than(None) for _ in range(3)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError, OSError]
    assert looks.count == 1
    looks.failing = False
    assert len((await snapshots.other_than(None)).clients) == 2
