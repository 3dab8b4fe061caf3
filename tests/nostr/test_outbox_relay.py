"""One relay's queue: its order, its pace, and a model of relays that limit the rate."""

from collections import defaultdict, deque
from itertools import count

import pytest

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.moment import Moment
from nostrclient.nostr.outbox_relay import OutboxRelay, PublishTarget
from nostrclient.nostr.publication import OkMeaning, Publication, read_ok
from nostrclient.nostr.publish_rate import RateState
from nostrclient.nostr.settings import DEFAULTS

from .builders import ALICE, BOB, NOW, made

URL = "wss://a"
RATE_LIMITED = (False, "rate-limited: slow down")
ROUND_TRIP = 0.1


class LimitedRelay:
    """A relay that accepts so many events in so many seconds, as nostream does.

    Refused events count as well while they are in the window. It answers with OK, with
    a NOTICE, or (`notice` is None) not at all.
    """

    def __init__(
        self,
        *limits: tuple[float, int],
        per_author: bool = True,
        notice: bool | None = False,
    ) -> None:
        self.limits = limits
        self.per_author = per_author
        self.notice = notice
        self.hits: dict[tuple[str, float], deque[float]] = defaultdict(deque)
        self.stored: dict[str, float] = {}
        self.received = 0

    def receive(self, event: SignedEvent, now: float) -> tuple[bool, str] | str | None:
        self.received += 1
        author = event.pubkey if self.per_author else ""
        for seconds, most in self.limits:
            hits = self.hits[author, seconds]
            while hits and hits[0] <= now - seconds:
                hits.popleft()
            hits.append(now)
            if len(hits) > most:
                if self.notice is None:
                    return None
                return "NOTICE" if self.notice else RATE_LIMITED
        self.stored.setdefault(event.id, now)
        return True, ""


class DecayingRelay(LimitedRelay):
    """A relay that counts what it was sent with a half-life, as newer nostreams do.

    Refused events count as well, so a steady stream may have seven tenths of the rate.
    After a window of silence all is forgotten.
    """

    def __init__(self, *limits: tuple[float, int], per_author: bool = True) -> None:
        super().__init__(*limits, per_author=per_author)
        self._known: dict[tuple[str, float], tuple[float, float]] = {}

    def receive(self, event: SignedEvent, now: float) -> tuple[bool, str] | str | None:
        self.received += 1
        author = event.pubkey if self.per_author else ""
        for seconds, most in self.limits:
            hits, at = self._known.get((author, seconds), (0.0, now))
            if now - at >= seconds:
                hits = 0.0
            hits = hits * 2 ** -((now - at) / seconds) + 1
            self._known[author, seconds] = hits, now
            if hits > most:
                return RATE_LIMITED
        self.stored.setdefault(event.id, now)
        return True, ""


class Publishing:
    """Clients that publish to one relay, with time compressed."""

    def __init__(self, relay: LimitedRelay) -> None:
        self.relay = relay
        self.target = OutboxRelay(URL, DEFAULTS)
        self.target.target = PublishTarget.ASKED
        self.target.connected = True
        self.publications: dict[str, Publication] = {}
        self._plan: deque[tuple[float, SignedEvent, str, bool]] = deque()
        self._answers: deque[tuple[float, str, tuple[bool, str] | str]] = deque()
        self._sequence = count(1)

    def publish(
        self,
        number: int,
        at: float = 0.0,
        pubkey: str = ALICE,
        client: str = "shop",
        *,
        is_public: bool = False,
    ) -> list[SignedEvent]:
        """Plan events of one client; later ones come last."""
        events = [made(kind=30_018, pubkey=pubkey) for _ in range(number)]
        self._plan.extend((at, event, client, is_public) for event in events)
        return events

    def run(self, until: float) -> None:
        now = 0.0
        while now <= until:
            self._turn(now)
            due = [until + 1]
            due += [self._plan[0][0]] if self._plan else []
            due += [self._answers[0][0]] if self._answers else []
            due += [] if self.target.next_at is None else [self.target.next_at]
            now = max(min(due), now + 1e-3)

    def _turn(self, now: float) -> None:
        while self._plan and self._plan[0][0] <= now:
            _, event, client, is_public = self._plan.popleft()
            sequence = next(self._sequence)
            item = Publication(event, sequence, is_public, now, 1e9, turn=client)
            self.publications[event.id] = item
            self.target.add(item)
        while self._answers and self._answers[0][0] <= now:
            _, event_id, answer = self._answers.popleft()
            self._answer(event_id, answer, now)
        if self.target.next_at is not None and self.target.next_at <= now:
            for item in self.target.take(Moment(now, NOW), 100):
                reply = self.relay.receive(item.event, now)
                if reply is not None:
                    self._answers.append((now + ROUND_TRIP, item.event.id, reply))

    def _answer(
        self, event_id: str, answer: tuple[bool, str] | str, now: float
    ) -> None:
        item = self.publications[event_id]
        copy = item.copies.get(URL)
        if isinstance(answer, str):
            self.target.noticed(now)
        elif copy is None:
            pass
        elif read_ok(*answer) is OkMeaning.ACCEPTED:
            self.target.accepted(copy, now)
            self.target.discard(item)
        else:
            self.target.rate_limited(copy, answer[1], now)

    def delays(self, events: list[SignedEvent]) -> list[float]:
        """Return how long each event took; fails where one is not there."""
        stored = self.relay.stored
        return [
            stored[event.id] - self.publications[event.id].published_at
            for event in events
        ]


MINUTES = 60.0
PER_MINUTE = (60.0, 24)


@pytest.mark.parametrize("notice", [False, True])
@pytest.mark.parametrize("per_author", [True, False])
def test_timeline_8_sixty_products_are_there_in_under_four_minutes(
    per_author: bool, notice: bool
) -> None:
    relay = LimitedRelay(PER_MINUTE, per_author=per_author, notice=notice)
    publishing = Publishing(relay)
    products = publishing.publish(60)
    publishing.run(4 * MINUTES)
    assert max(publishing.delays(products)) < 4 * MINUTES
    assert relay.received < 60 + 60, "each is sent to be refused once at most"


@pytest.mark.parametrize("notice", [False, True])
@pytest.mark.parametrize("per_author", [True, False])
def test_c2b_two_hundred_products_are_there_in_about_nine_minutes(
    per_author: bool, notice: bool
) -> None:
    relay = LimitedRelay(PER_MINUTE, per_author=per_author, notice=notice)
    publishing = Publishing(relay)
    products = publishing.publish(200)
    publishing.run(10 * MINUTES)
    assert max(publishing.delays(products)) < 9.5 * MINUTES
    assert relay.received < 2 * 200 + 20


def test_timeline_8_other_clients_are_not_delayed_by_one_client_s_products() -> None:
    relay = LimitedRelay(PER_MINUTE)
    publishing = Publishing(relay)
    products = publishing.publish(200)
    others: list[SignedEvent] = []
    for number in range(10):
        at = 5.0 + 37 * number
        others += publishing.publish(1, at, BOB, "wallet")
    publishing.run(10 * MINUTES)
    assert max(publishing.delays(others)) < 2 * 60 / 24 + 1
    assert max(publishing.delays(products)) < 9.5 * MINUTES


def test_timeline_8_clients_take_turns_where_the_limit_holds_for_all() -> None:
    relay = LimitedRelay(PER_MINUTE, per_author=False)
    publishing = Publishing(relay)
    publishing.publish(200)
    others: list[SignedEvent] = []
    for number in range(10):
        at = 90.0 + 37 * number
        others += publishing.publish(1, at, BOB, "wallet")
    publishing.run(12 * MINUTES)
    delays = sorted(publishing.delays(others))
    assert delays[5] < 2 * 60 / 24 + 1
    assert delays[-1] < 60, "no longer than the relay's own window"


def test_timeline_8_private_and_public_clients_alternate() -> None:
    relay = LimitedRelay(PER_MINUTE, per_author=False)
    publishing = Publishing(relay)
    for number in range(50):
        publishing.publish(4, 0, f"{number:064x}", f"public {number}", is_public=True)
    orders = publishing.publish(20, 70.0, BOB, "shop")
    publishing.run(20 * MINUTES)
    assert max(publishing.delays(orders)) < 2.5 * MINUTES


def test_c2b_an_hourly_limit_is_used_up_and_waited_for() -> None:
    relay = LimitedRelay(PER_MINUTE, (3600.0, 720))
    publishing = Publishing(relay)
    products = publishing.publish(1000)
    publishing.run(100 * MINUTES)
    assert max(publishing.delays(products)) < 80 * MINUTES
    relay = LimitedRelay((3600.0, 720))
    publishing = Publishing(relay)
    products = publishing.publish(1000)
    publishing.run(120 * MINUTES)
    assert max(publishing.delays(products)) < 100 * MINUTES


@pytest.mark.parametrize(
    ("seconds", "most", "at_most_minutes"),
    [(1.0, 10, 1.5), (5.0, 5, 6.5), (60.0, 6, 38), (60.0, 60, 5), (60.0, 240, 2)],
)
def test_c2b_other_limits_are_learned_as_well(
    seconds: float, most: int, at_most_minutes: float
) -> None:
    publishing = Publishing(LimitedRelay((seconds, most)))
    products = publishing.publish(200)
    publishing.run(60 * MINUTES)
    assert max(publishing.delays(products)) < at_most_minutes * MINUTES


def test_c2_events_that_are_dropped_without_a_word_arrive_as_well() -> None:
    publishing = Publishing(LimitedRelay(PER_MINUTE, notice=None))
    products = publishing.publish(60)
    publishing.run(60 * MINUTES)
    assert max(publishing.delays(products)) < 20 * MINUTES


def test_c6_each_author_s_events_keep_their_order_at_a_pace() -> None:
    relay = LimitedRelay(PER_MINUTE, per_author=False)
    publishing = Publishing(relay)
    publishing.publish(40)
    mine = publishing.publish(3, 20.0, BOB, "one client")
    mine += publishing.publish(3, 21.0, BOB, "another client")
    publishing.run(10 * MINUTES)
    stored = [event_id for event_id in relay.stored if event_id in {e.id for e in mine}]
    assert stored == [event.id for event in mine]


@pytest.mark.parametrize("round_trip", [0.001, 0.1, 1.0])
def test_c2b_a_relay_without_limits_is_sent_everything_within_half_a_second(
    monkeypatch: pytest.MonkeyPatch, round_trip: float
) -> None:
    monkeypatch.setattr("tests.nostr.test_outbox_relay.ROUND_TRIP", round_trip)
    relay = LimitedRelay()
    publishing = Publishing(relay)
    products = publishing.publish(1000)
    others = [publishing.publish(1, 0.0, f"{n:064x}", "wallet")[0] for n in range(9)]
    publishing.run(1)
    assert max(publishing.delays(products)) <= min(0.51, 50 * round_trip + 0.1)
    assert max(publishing.delays(others)) == 0, "only the author of many events waits"
    assert relay.received == 1000 + 9


def test_c2b_events_beyond_a_limit_are_held_back_once_one_is_refused() -> None:
    relay = LimitedRelay(PER_MINUTE)
    publishing = Publishing(relay)
    publishing.publish(1000)
    publishing.run(1)
    assert relay.received <= 24 + DEFAULTS.flush_unanswered_events


@pytest.mark.parametrize("per_author", [True, False])
def test_timeline_8_sixty_products_reach_a_relay_whose_memory_decays(
    per_author: bool,
) -> None:
    relay = DecayingRelay(PER_MINUTE, (3600.0, 720), per_author=per_author)
    publishing = Publishing(relay)
    products = publishing.publish(60)
    publishing.run(4 * MINUTES)
    assert max(publishing.delays(products)) < 4 * MINUTES
    assert relay.received < 60 + 30


def test_c2b_two_hundred_products_reach_a_relay_whose_memory_decays() -> None:
    relay = DecayingRelay(PER_MINUTE, (3600.0, 720))
    publishing = Publishing(relay)
    products = publishing.publish(200)
    publishing.run(15 * MINUTES)
    # 24 at once and 16.6 a minute would be 10.6 minutes.
    assert max(publishing.delays(products)) < 14 * MINUTES


def test_c2b_events_that_have_not_left_yet_are_no_sign_of_a_rate() -> None:
    target = OutboxRelay(URL, DEFAULTS)
    target.target, target.connected = PublishTarget.ASKED, True
    items = [Publication(made(), number, False, 0.0, 1e9) for number in range(5)]
    for item in items:
        target.add(item)
    assert target.take(Moment(0.0, NOW), 10) == items
    waiting = {item.event.id for item in items[:4]}
    target.accepted(items[4].copies[URL], 20.0)
    target.discard(items[4])
    later = Moment(DEFAULTS.resend_seconds, NOW)
    assert target.take(later, 10, waiting) == []
    assert target.rate.state is RateState.UNLIMITED
    again = Moment(2 * DEFAULTS.resend_seconds, NOW)
    assert target.take(again, 10) == items[:4], "they left, and had no answer"


def test_c2b_an_expired_event_is_not_sent() -> None:
    target = OutboxRelay(URL, DEFAULTS)
    target.target, target.connected = PublishTarget.ASKED, True
    event = made()._replace(expiration=NOW + 10)
    target.add(Publication(event, 1, False, 0.0, 1e9))
    assert target.take(Moment(0.0, NOW + 11), 10) == []
    assert [item.event for item in target.take(Moment(0.0, NOW), 10)] == [event]
