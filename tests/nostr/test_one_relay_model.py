"""A model: any relays and answers give a client what one relay would (D9, D2, D4)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.delivery import Closed
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.filter import Filter
from nostrclient.nostr.merge import rank
from nostrclient.nostr.message_pool import Feed, MessagePool
from nostrclient.nostr.settings import DEFAULTS

from .builders import ALICE, BOB, NOW, Reader, filters, made
from .session_client import Client, asked

CAROL = "c" * 64
LONG_AGO = NOW - 30 * 24 * 60 * 60
PATIENCE = DEFAULTS.eose_max_seconds + 1


class RelayPlan(NamedTuple):
    """What a relay holds, and how its answer ends."""

    held: list[SignedEvent]
    ending: str  # "EOSE", "CLOSED", or "late": the rest comes after the client's EOSE
    in_time: int  # so many events of a late or closed answer come before that
    shared: bool


@st.composite
def event_pools(draw: st.DrawFn, kinds: Sequence[int]) -> list[SignedEvent]:
    """Draw events, of which many have the same date."""
    entries = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.sampled_from(kinds),
                st.sampled_from([ALICE, BOB, CAROL]),
                st.sampled_from(["x", "y"]),
            ),
            max_size=25,
        )
    )
    ids = draw(st.permutations(range(len(entries))))
    return [
        made(LONG_AGO + date, kind, author, (("t", tag),), 2 * f"{number:032x}")
        for (date, kind, author, tag), number in zip(entries, ids, strict=True)
    ]


@st.composite
def wanted_filters(draw: st.DrawFn, most: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(draw(st.integers(1, most))):
        wanted: dict[str, Any] = {"limit": draw(st.integers(1, 6))}
        if draw(st.booleans()):
            wanted["kinds"] = draw(
                st.lists(st.sampled_from([1, 7, 0]), min_size=1, max_size=2)
            )
        if draw(st.booleans()):
            keys = st.sampled_from([ALICE, BOB, CAROL])
            wanted["authors"] = draw(st.lists(keys, min_size=1, max_size=2))
        if draw(st.booleans()):
            wanted["#t"] = [draw(st.sampled_from(["x", "y"]))]
        if draw(st.booleans()):
            wanted["until"] = LONG_AGO + draw(st.integers(0, 2))
        found.append(wanted)
    return found


@st.composite
def plans(
    draw: st.DrawFn, pool: Sequence[SignedEvent], endings: Sequence[str]
) -> list[RelayPlan]:
    return [
        RelayPlan(
            newest_versions([event for event in pool if draw(st.booleans())]),
            draw(st.sampled_from(endings)),
            draw(st.integers(0, 10)),
            draw(st.sampled_from([False, False, False, True])),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]


def newest_versions(events: Sequence[SignedEvent]) -> list[SignedEvent]:
    kept: dict[str, SignedEvent] = {}
    for event in sorted(set(events), key=rank, reverse=True):
        kept.setdefault(event.address or event.id, event)
    return list(kept.values())


def answer(
    events: Sequence[SignedEvent], wanted: Sequence[Filter]
) -> list[SignedEvent]:
    """Return what one relay sends: the newest of each filter, each event once."""
    parts = [
        event
        for filter_ in wanted
        for event in [e for e in events if filter_.matches(e)][: filter_.limit]
    ]
    return sorted(set(parts), key=rank, reverse=True)


class Play:
    """One REQ, and the relays that answer it as planned."""

    def __init__(
        self, data: st.DataObject, wanted: list[dict[str, Any]], relays: list[RelayPlan]
    ) -> None:
        self.filters = filters(*wanted)
        self.client = Client()
        self.pool = MessagePool(DEFAULTS)
        self.reader = Reader(10**9)
        self.texts: list[Any] = []
        self.sent: list[SignedEvent] = []
        self.upstream_id = self.client.req("a", *wanted)
        self.pool.open(Feed(self.upstream_id, self.filters, self.reader.mailbox))
        self.urls = [f"wss://{number}" for number in range(len(relays))]
        self.reader.mailbox.put(asked(self.upstream_id, *self.urls))
        self.late: list[tuple[str, RelayPlan, list[SignedEvent]]] = []
        queues = [self._messages(*pair) for pair in zip(self.urls, relays, strict=True)]
        while queues:
            queue = queues[data.draw(st.integers(0, len(queues) - 1))]
            self._send(*queue.pop(0))
            queues = [queue for queue in queues if queue]
            if data.draw(st.booleans()):
                self.take()
        self.take()
        self.before = list(self.sent)

    def _messages(self, url: str, plan: RelayPlan) -> list[tuple[Any, ...]]:
        events = answer(plan.held, self.filters)
        if plan.ending == "EOSE":
            return [*((url, plan, event) for event in events), (url, plan, "EOSE")]
        rest = events[plan.in_time :]
        messages = [(url, plan, event) for event in events[: plan.in_time]]
        if plan.ending == "CLOSED":
            return [*messages, (url, plan, "CLOSED")]
        self.late.append((url, plan, rest))
        return [*messages, (url, plan, None)]

    def _send(self, url: str, plan: RelayPlan, what: SignedEvent | str | None) -> None:
        if isinstance(what, SignedEvent):
            self.sent.append(what)
            self.pool.deliver([self.upstream_id], what, url, set(), shared=plan.shared)
        elif what == "EOSE":
            self.pool.finish(self.upstream_id, url)
        elif what == "CLOSED":
            closed = Closed(self.upstream_id, url, "blocked: no")
            self.reader.mailbox.put(closed)

    def take(self) -> None:
        self.texts += self.client.deliver(*self.reader.mailbox.take_all())[0]

    def be_late(self) -> None:
        """Let time pass until the EOSE is due; then the late relays go on."""
        self.client.now += PATIENCE
        self.texts += self.client.tick()
        for url, plan, rest in self.late:
            for event in rest:
                self._send(url, plan, event)
            self._send(url, plan, "EOSE")
            self.take()

    def delivered(self) -> list[str]:
        return [text[2]["id"] for text in self.texts if text[0] == "EVENT"]

    def delivered_before_the_end(self) -> list[str]:
        end = next(n for n, text in enumerate(self.texts) if text[0] != "EVENT")
        return [text[2]["id"] for text in self.texts[:end]]

    def expected(self, sent: Sequence[SignedEvent]) -> list[str]:
        return [event.id for event in answer(newest_versions(sent), self.filters)]


@settings(max_examples=300)
@given(st.data())
def test_d9_one_filter_gets_what_one_relay_would_send_in_its_order(
    data: st.DataObject,
) -> None:
    pool = data.draw(event_pools([1, 7, 0]))
    relays = data.draw(plans(pool, ["EOSE", "EOSE", "CLOSED"]))
    play = Play(data, data.draw(wanted_filters(1)), relays)
    assert play.delivered() == play.expected(play.sent)
    end = [text[0] for text in play.texts if text[0] != "EVENT"]
    refused = all(plan.ending == "CLOSED" for plan in relays)
    assert end == ["CLOSED" if refused else "EOSE"]
    assert play.client.session.held_bytes == 0


@given(st.data())
def test_d9_each_filter_gets_its_newest_once_whatever_relays_do(
    data: st.DataObject,
) -> None:
    pool = data.draw(event_pools([1, 7]))
    relays = data.draw(plans(pool, ["EOSE", "CLOSED", "late"]))
    play = Play(data, data.draw(wanted_filters(3)), relays)
    play.be_late()
    delivered = play.delivered()
    assert len(set(delivered)) == len(delivered)
    assert set(play.expected(play.before)) <= set(play.delivered_before_the_end())
    if all(plan.ending == "CLOSED" for plan in relays):
        return
    assert [text[0] for text in play.texts].count("EOSE") == 1
    assert set(play.expected(play.sent)) <= set(delivered)
    if not play.late:
        assert set(delivered) == set(play.expected(play.sent))
    assert play.client.session.held_bytes == 0


@given(st.data(), st.integers(1, 5))
def test_timeline_12_paging_by_until_loses_only_what_one_relay_would(
    data: st.DataObject, limit: int
) -> None:
    # The second of a page's last event is asked for again, as clients do that know of
    # equal dates; more of one second than a page holds cannot be paged anywhere.
    pool = data.draw(event_pools([1]))
    relays = data.draw(plans(pool, ["EOSE"]))
    union = newest_versions([event for plan in relays for event in plan.held])

    def page_through(one_relay: bool) -> list[str]:
        found: dict[str, None] = {}
        until = NOW
        while True:
            wanted = {"limit": limit, "until": until}
            if one_relay:
                page = [event.id for event in answer(union, filters(wanted))]
            else:
                page = Play(data, [wanted], relays).delivered()
            new = [item for item in page if item not in found]
            if not new:
                return list(found)
            found.update(dict.fromkeys(new))
            dates = {event.id: event.created_at for event in union}
            until = dates[page[-1]]

    assert page_through(one_relay=False) == page_through(one_relay=True)
