"""H10: gift wraps go to the relays of their recipient's list (kind 10050)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from nostrclient.nostr.delivery import (
    Closed,
    Consumer,
    Delivered,
    Eose,
    SubscriptionOpened,
)
from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.filter import Filter
from nostrclient.nostr.gift_wraps import (
    MAX_HELD,
    MAX_LISTS,
    MAX_LOOKUPS,
    GiftWraps,
    Held,
)
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import ALICE, BOB, NOW, Inbox, made

ON = replace(DEFAULTS, gift_wrap_relays=3)
A, B = "wss://a", "wss://b"
INBOX = frozenset(("wss://inbox.example", "wss://second.example"))


class Relays:
    """Two relays, as the lookups use them."""

    def __init__(self) -> None:
        self.open: dict[str, tuple[tuple[Filter, ...], Consumer]] = {}
        self.closed: list[str] = []
        self.pending: Sequence[str] = (A, B)

    def subscribe(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        *,
        is_public: bool,
    ) -> None:
        self.open[upstream_id] = filters, consumer
        pending = dict.fromkeys(self.pending, float("inf"))
        opened = SubscriptionOpened(upstream_id, frozenset((A, B)), pending, 2)
        consumer.put(opened)

    def unsubscribe(self, upstream_id: str) -> None:
        del self.open[upstream_id]
        self.closed.append(upstream_id)

    def check_named(self, urls: Sequence[str]) -> frozenset[str]:
        if any("private" in url or not url.startswith("wss://") for url in urls):
            raise InvalidMessage("not allowed")
        return frozenset(urls)


class Bench:
    def __init__(self, settings: Settings = ON) -> None:
        self.relays = Relays()
        self.changes = 0
        numbers = count()
        self.wraps = GiftWraps(
            self.relays, settings, lambda: f"{next(numbers)}", self.changed
        )

    def changed(self) -> None:
        self.changes += 1

    def hold(self, pubkey: str = ALICE, now: float = 0, public: bool = False) -> bool:
        event = made(kind=1059, tags=[["p", pubkey]])
        held = Held(event, Inbox(), None, public, None, "", now)
        return self.wraps.hold(pubkey, held, now)

    def listed(self, *urls: str, created_at: int = NOW, pubkey: str = ALICE) -> None:
        """Have relay A answer with this list."""
        tags = [["relay", url] for url in urls]
        event = made(created_at, 10050, pubkey, tags)
        for name, (_, consumer) in self.relays.open.items():
            consumer.put(Delivered(name, event, A))

    def answer(self, *urls: str) -> None:
        for url in urls or (A, B):
            for name, (_, consumer) in self.relays.open.items():
                consumer.put(Eose(name, url))

    def ready(self, now: float = 0) -> list[frozenset[str]]:
        return [relays for _, relays in self.wraps.tick(now)]


def test_h10_gift_wrap_waits_for_all_relays_and_goes_to_the_list() -> None:
    bench = Bench()
    assert bench.hold()
    [(filters, _)] = bench.relays.open.values()
    assert filters[0].json == {"kinds": [10050], "authors": [ALICE], "limit": 1}
    bench.listed(*INBOX)
    bench.answer(A)
    assert bench.ready() == []
    assert bench.wraps.deadline() == ON.gift_wrap_lookup_seconds
    changes = bench.changes
    bench.answer(B)
    assert bench.changes == changes + 1
    assert bench.ready() == [INBOX]
    assert not bench.relays.open
    assert bench.wraps.deadline() is None
    assert bench.wraps.known_relays(ALICE, 1) == INBOX


def test_h10_newest_list_counts_and_no_other_author_s() -> None:
    bench = Bench()
    bench.hold()
    bench.listed(*INBOX)
    bench.listed("wss://older.example", created_at=NOW - 1)
    bench.answer()
    assert bench.ready() == [INBOX]


def test_h10_gift_wrap_goes_to_the_configured_relays_without_a_list() -> None:
    bench = Bench()
    bench.hold()
    bench.answer()
    assert bench.ready() == [frozenset()]
    assert bench.wraps.known_relays(ALICE, 1) == frozenset()
    assert bench.wraps.known_relays(ALICE, 61) is None, "it is looked up again soon"


def test_h10_gift_wrap_waits_no_longer_than_the_setting_says() -> None:
    bench = Bench()
    bench.hold()
    assert bench.ready(0.9) == []
    assert bench.ready(1.0) == [frozenset()]


def test_h10_list_is_read_again_after_its_time() -> None:
    bench = Bench()
    bench.hold()
    bench.listed(*INBOX)
    bench.answer()
    bench.ready()
    assert bench.wraps.known_relays(ALICE, 3599) == INBOX
    assert bench.wraps.known_relays(ALICE, 3601) is None


def test_h10_one_lookup_serves_all_gift_wraps_for_a_recipient() -> None:
    bench = Bench()
    for _ in range(3):
        assert bench.hold()
    assert len(bench.relays.open) == 1
    bench.listed(*INBOX)
    bench.answer()
    assert bench.ready() == 3 * [INBOX]


def test_h10_relays_that_may_not_be_named_are_left_out_of_a_list() -> None:
    bench = Bench()
    bench.hold()
    bench.listed("wss://private", "x", *(f"wss://{n}.example" for n in range(9)))
    bench.answer()
    assert bench.ready() == [frozenset(f"wss://{n}.example" for n in range(3))]
    bench.hold(BOB)
    bench.listed("wss://private", pubkey=BOB)
    bench.answer()
    assert bench.ready() == [frozenset()], "as without a list"


def test_h10_relay_that_closes_or_is_not_asked_is_not_waited_for() -> None:
    bench = Bench()
    bench.hold()
    for name, (_, consumer) in bench.relays.open.items():
        consumer.put(Closed(name, A, "error: no"))
        consumer.put(Closed(name, B, "error: no"))
    assert bench.ready() == [frozenset()]
    bench.relays.pending = ()
    bench.hold(BOB)
    assert bench.ready() == [frozenset()]


def test_d8_lookups_and_lists_are_bounded() -> None:
    bench = Bench()
    keys = [f"{number:064x}" for number in range(MAX_LISTS + MAX_LOOKUPS)]
    held = [bench.hold(key, public=True) for key in keys[:MAX_LOOKUPS]]
    assert held.count(True) == MAX_LOOKUPS // 2, "public clients cause half of them"
    held = [bench.hold(key) for key in keys[MAX_LOOKUPS : 2 * MAX_LOOKUPS]]
    assert held.count(True) == MAX_LOOKUPS // 2
    more = [bench.hold(keys[0]) for _ in range(MAX_HELD + 1)]
    assert more.count(True) == MAX_HELD - MAX_LOOKUPS
    bench.ready(1)
    for key in keys:
        bench.hold(key)
        bench.ready(float("inf"))
    assert len(bench.wraps._lists) == MAX_LISTS


@pytest.mark.parametrize(
    ("settings", "event", "expected"),
    [
        (ON, made(kind=1059, tags=[["p", ALICE]]), ALICE),
        (ON, made(kind=1059, tags=[["p", ALICE], ["p", ALICE]]), ALICE),
        (ON, made(kind=1059, tags=[["p", ALICE], ["p", BOB]]), None),
        (ON, made(kind=1059), None),
        (ON, made(kind=1059, tags=[["p", ""]]), None),
        (ON, made(kind=1059, tags=[["p", "A1" * 32]]), None),
        (ON, made(kind=4, tags=[["p", ALICE]]), None),
        (DEFAULTS, made(kind=1059, tags=[["p", ALICE]]), None),
    ],
)
def test_h10_only_a_gift_wrap_for_one_recipient_is_looked_up(
    settings: Settings, event: SignedEvent, expected: str | None
) -> None:
    assert Bench(settings).wraps.recipient(event) == expected
