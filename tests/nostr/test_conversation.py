"""Conversations without a connection: what is made of what a relay says, by hand."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.connection import (
    Connection,
    ConnectionLostError,
)
from nostrclient.nostr.conversation import (
    EVENTS_AT_ONCE,
    MAX_REFUSED,
    MESSAGES_A_TURN,
    Burst,
    Conversation,
    TooMuchGarbageError,
)
from nostrclient.nostr.delivery import (
    Closed,
    Counted,
    Delivered,
    Eose,
    Progress,
    PublishResult,
)
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.figures import Recovery
from nostrclient.nostr.information import RelayInformation, parse_information
from nostrclient.nostr.limits import EventLimits
from nostrclient.nostr.mailbox import Budget, Mailbox
from nostrclient.nostr.relay import Relay
from nostrclient.nostr.relay_counters import AuthState
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayStatus
from nostrclient.nostr.relay_session import RelayLimits, RelaySession
from nostrclient.nostr.relay_subscription import Request
from nostrclient.nostr.settings import DEFAULTS

from .builders import KEY, NOW, Inbox, filters, made, signed

URL = "ws://127.0.0.1:1"


@pytest.fixture
def manager() -> RelayManager:
    return RelayManager()


@pytest.fixture
def relay(manager: RelayManager) -> Relay:
    return connected(manager)


def connected(manager: RelayManager) -> Relay:
    relay = manager.add_relay(URL)
    relay.status = RelayStatus.CONNECTED
    manager.reports.relay_connected(relay)
    return relay


def begun(manager: RelayManager, relay: Relay, frames: list[bytes]) -> Conversation:
    """Begin a conversation over a connection on which these frames have arrived."""
    session = RelaySession(DEFAULTS, lambda: "id")
    connection = cast(Connection, SimpleNamespace(receive=lambda: frames))
    return Conversation(relay, session, manager.reports, DEFAULTS, connection)


def burst() -> Burst:
    return Burst(clock.now(), NOW, set())


def test_reader_is_woken_soon_at_first_and_less_often_in_a_long_burst(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    wakes: list[float] = []
    woken: list[int] = []

    def wake() -> None:
        wakes.append(now[0])
        woken.append(len(mailbox.take_all()))

    mailbox = Mailbox(wake, DEFAULTS.mailbox_bytes, Budget(DEFAULTS.mailbox_bytes))
    manager.subscribe("up", filters({}), mailbox)
    woken.clear()  # by the news that it was asked
    wakes.clear()

    def message(_: bytes, burst: Any) -> None:
        now[0] += DEFAULTS.wake_seconds / MESSAGES_A_TURN * 1.01
        pool = manager.message_pool
        pool.deliver(["up"], made(), URL, burst.touched)

    monkeypatch.setattr(clock, "now", lambda: now[0])
    turns = 20  # each takes as long as the first wait
    conversation = begun(manager, relay, turns * MESSAGES_A_TURN * [b""])
    monkeypatch.setattr(conversation, "handle_message", message)
    began = now[0]
    conversation._read()
    # Waits of 1, 2, 4, 8 and at most 8 times the first; at the end without waiting.
    waits = [1, 2, 4, 8, 5]
    assert woken == [turns * MESSAGES_A_TURN for turns in waits]
    assert wakes[0] - began == pytest.approx(DEFAULTS.wake_seconds, rel=0.02)
    assert DEFAULTS.wake_seconds_most == 8 * DEFAULTS.wake_seconds


def test_d6_waiting_count_learns_that_the_relay_is_gone(
    manager: RelayManager,
) -> None:
    for leave in ("lost", "removed"):
        relay = connected(manager)
        relay.information = parse_information(b'{"supported_nips":[45]}')
        inbox = Inbox()
        manager.count("up", filters({}), inbox)
        assert inbox.items == []
        if leave == "lost":
            manager.reports.relay_disconnected(relay)
        else:
            manager.remove_relay(URL)
        assert inbox.items == [Counted("up", None)]


# --- what a relay says


def asking(
    manager: RelayManager, relay: Relay, inbox: Inbox, **wanted: Any
) -> Conversation:
    """Begin a conversation in which "up" was asked for."""
    manager.subscribe("up", filters(wanted), inbox)
    inbox.items.clear()  # that it was asked
    conversation = begun(manager, relay, [])
    conversation._session.subscribe(manager._requests["up"])
    conversation._session.open(clock.now(), NOW)
    conversation._session.output.clear()
    return conversation


def event_message(
    event: SignedEvent, upstream_id: str = "up", space: str = ""
) -> bytes:
    return f'["EVENT",{space}"{upstream_id}",{event.text}]'.encode()


def test_d3_events_are_delivered_once_and_counted(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox, kinds=[1])
    conversation.handle_message(b'["EOSE","up"]', burst())
    inbox.items.clear()
    events = [signed(f"{number}") for number in range(3)]
    for event, space in zip(events, ("", "", " "), strict=True):
        conversation.handle_message(event_message(event, space=space), burst())
    assert inbox.items == [Delivered("up", event, URL) for event in events]
    conversation.handle_message(event_message(events[0]), burst())
    conversation.handle_message(event_message(signed(kind=7)), burst())
    conversation.handle_message(event_message(signed(), "another"), burst())
    assert len(inbox.items) == 3
    assert relay.counters.received_events == 6
    assert relay.counters.duplicate_events == 2
    assert relay.counters.unasked_events == 1
    assert relay.counters.invalid_messages == 0


def test_d3_event_with_more_elements_than_nip_01_knows_is_delivered(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox, kinds=[1])
    events = [signed(f"{number}") for number in range(2)]
    for event in events:
        text = event_message(event)[:-1] + b', {"seen":1}, "more"]'
        conversation.handle_message(text, burst())
    found = [item for item in inbox.items if isinstance(item, Delivered)]
    assert found == [Delivered("up", event, URL) for event in events]
    assert relay.counters.received_events == 2
    assert relay.counters.invalid_messages == 0


def test_i3_event_found_only_by_asking_again_counts_as_recovered(
    manager: RelayManager, relay: Relay
) -> None:
    def found(created_at: int) -> None:
        event = signed(f"made at {created_at}", created_at=created_at)
        conversation.handle_message(event_message(event), burst())

    def recovered() -> int:
        return figures.recovered[Recovery.RECONNECT]

    figures = manager.message_pool.figures
    conversation = asking(manager, relay, Inbox(), kinds=[1])
    session = conversation._session
    found(NOW - 10)  # the first answer, as the client asked
    conversation.handle_message(b'["EOSE","up"]', burst())
    found(NOW - 9)  # live, whatever its date says
    assert recovered() == 0
    session.lose()
    session.open(clock.now(), NOW)
    found(NOW - 8)
    assert recovered() == 1
    found(NOW + 60)  # new, and only the answer is not complete yet
    conversation.handle_message(b'["EOSE","up"]', burst())
    found(NOW - 7)
    assert recovered() == 1


def test_i2_answers_of_the_relay_are_counted(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox, kinds=[1])
    counters = relay.counters
    counters.sent('["REQ","up",{}]', clock.now())
    conversation.handle_message(b'["EOSE","up"]', burst())
    conversation.handle_message(b'["CLOSED","up","error: shutting down"]', burst())
    conversation.handle_message(b'["OK","e","",""]', burst())  # no answer at all
    conversation.handle_message(ok("a", True, ""), burst())
    conversation.handle_message(ok("b", False, "pow: 20 bits"), burst())
    conversation.handle_message(b'["AUTH","challenge"]', burst())
    assert (counters.finished, counters.accepted) == (1, 1)
    assert dict(counters.refused) == {"pow": 1}
    assert dict(counters.closed) == {"error": 1}
    assert counters.auth is AuthState.NO_KEY


def test_d3_invalid_or_expired_events_are_not_delivered(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox)
    conversation.handle_message(
        event_message(signed()).replace(b"hello", b"HELLO"), burst()
    )
    assert relay.counters.invalid_messages == 1
    for expiration in (NOW - 1, NOW + 1000):
        expiring = signed(tags=[["expiration", f"{expiration}"]])
        conversation.handle_message(event_message(expiring), burst())
    assert inbox.items == [Delivered("up", expiring, URL)]


def test_f3_a_few_bad_messages_among_many_good_ones_are_borne(
    manager: RelayManager, relay: Relay
) -> None:
    conversation = asking(manager, relay, Inbox(), kinds=[1])
    good = event_message(signed())
    for data in (good, b'["NOTICE","x"]', event_message(signed(), "another")):
        for _ in range(DEFAULTS.garbage_messages):
            conversation.handle_message(data, burst())
            conversation.handle_message(data, burst())
            conversation.handle_message(b"garbage", burst())
    assert relay.counters.invalid_messages == 3 * DEFAULTS.garbage_messages


def test_d4_known_stored_events_show_that_a_relay_is_busy(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox, kinds=[1])
    data, now = event_message(signed()), clock.now()
    for after in (0, 1, 1.1, 1.2, 1.3):
        conversation.handle_message(data, Burst(now + after, NOW, set()))
    assert [type(item) for item in inbox.items] == [Delivered, Progress, Progress]
    conversation.handle_message(b'["EOSE","up"]', burst())
    conversation.handle_message(data, Burst(now + 9, NOW, set()))
    assert inbox.items[3:] == [Eose("up", URL)]


def test_d5_d6_d7_what_else_it_says_reaches_whom_it_concerns(
    manager: RelayManager, relay: Relay
) -> None:
    inbox = Inbox()
    conversation = asking(manager, relay, inbox)
    relay.information = parse_information(b'{"supported_nips":[45]}')
    for name in ("counted", "refused"):
        manager.count(name, filters({}), inbox)
    conversation.handle_message(b'["COUNT","counted",{"count":5}]', burst())
    conversation.handle_message(b'["CLOSED","refused","error: busy"]', burst())
    conversation.handle_message(b'["CLOSED","up","blocked: \\n"]', burst())
    conversation.handle_message(b'["NOTICE","hello"]', burst())
    assert inbox.items == [
        Counted("counted", 5),
        Counted("refused", None),
        Closed("up", URL, "blocked: \ufffd"),
    ]
    assert relay.notice_list == ["hello"]
    assert manager.message_pool.get_notice().content == "hello"


def test_f3_a_message_too_large_is_not_looked_into(
    manager: RelayManager, relay: Relay
) -> None:
    conversation = asking(manager, relay, Inbox())
    spaces = " " * DEFAULTS.relay_message_bytes
    conversation.handle_message(
        event_message(signed(), space=spaces)[:-1] + b"]", burst()
    )
    assert relay.counters.received_events == relay.counters.invalid_messages == 0
    assert len(relay.error_list) == 1
    assert conversation._session.output == []  # nobody knows whose it was
    conversation.handle_message(event_message(signed(spaces)), burst())
    assert json.loads(conversation._session.output[0]) == ["CLOSE", "up"]


def test_f3_garbage_ends_the_conversation(manager: RelayManager, relay: Relay) -> None:
    conversation = begun(manager, relay, [b"garbage"] * 100)
    with pytest.raises(TooMuchGarbageError):
        conversation._read()
    assert relay.counters.invalid_messages == DEFAULTS.garbage_messages + 1
    assert not manager.message_pool.parse_lock.locked()


def test_f5_req_refused_for_want_of_a_key_is_answered_after_auth(
    manager: RelayManager, relay: Relay
) -> None:
    manager.identity = KEY
    for accepted in (True, False):
        conversation = begun(manager, relay, [])
        inbox, event = Inbox(), signed(f"accepted: {accepted}")
        manager.publisher.publish(event, inbox)
        manager.reports.take_events(relay, 10)

        conversation.handle_message(ok(event.id, False, "auth-required: who?"), burst())
        assert inbox.items == [], "it may end otherwise"

        conversation.handle_message(b'["AUTH","challenge"]', burst())
        [text] = conversation._session.output
        verb, answer = json.loads(text)
        assert (verb, answer["kind"]) == ("AUTH", 22242)
        assert answer["tags"] == [["relay", URL], ["challenge", "challenge"]]
        assert relay.asks_who_we_are

        conversation.handle_message(
            ok(answer["id"], accepted, "restricted: no"), burst()
        )
        if accepted:
            assert inbox.items == []
            assert [
                item.event for item in manager.reports.take_events(relay, 10)[0]
            ] == [event], "sent again"
            conversation.handle_message(ok(event.id, True, ""), burst())
            assert inbox.items == [PublishResult(event.id, True, "")]
            another = signed("another")
            manager.publisher.publish(another, inbox)
            manager.reports.take_events(relay, 10)
            conversation.handle_message(
                ok(another.id, False, "auth-required: not you"), burst()
            )
            assert inbox.items[1:] == [
                PublishResult(another.id, False, "auth-required: not you")
            ]
        else:
            assert inbox.items == [
                PublishResult(event.id, False, "auth-required: who?")
            ]
            assert relay.error_list == ["AUTH refused: restricted: no"]


def test_f5_nobody_is_refused_at_once(manager: RelayManager, relay: Relay) -> None:
    conversation = begun(manager, relay, [])
    inbox, event = Inbox(), signed()
    manager.publisher.publish(event, inbox)
    manager.reports.take_events(relay, 10)
    conversation.handle_message(b'["AUTH","challenge"]', burst())
    assert conversation._session.output == []
    conversation.handle_message(ok(event.id, False, "auth-required: who?"), burst())
    assert inbox.items == [PublishResult(event.id, False, "auth-required: who?")]


def test_f5_a_flood_of_refusals_for_want_of_auth_is_bounded(
    manager: RelayManager, relay: Relay
) -> None:
    manager.identity = KEY
    conversation = begun(manager, relay, [])
    for number in range(3 * MAX_REFUSED):
        conversation.handle_message(
            ok(f"{number:064x}", False, "auth-required: who?"), burst()
        )
    assert len(conversation._refused_unauthenticated) == MAX_REFUSED


def ok(event_id: str, accepted: bool, text: str) -> bytes:
    return json.dumps(["OK", event_id, accepted, text]).encode()


# --- a whole conversation, in a time of our own


class Scripted:
    """A connection whose waits take no time; it ends after so many seconds.

    `pongs`: how long after a ping its answer comes, None for never. `answers`: each
    REQ gets EOSE.
    """

    is_nostrclient = False

    def __init__(
        self, seconds: float, pongs: float | None = 0.01, *, answers: bool = False
    ) -> None:
        self.now = 1000.0
        self.answers = answers
        self.ends = self.now + seconds
        self.pongs = pongs
        self.ping_sent_at: float | None = None
        self.round_trip_seconds: float | None = None
        self.unsent_bytes = 0
        self.sent: list[str] = []
        self.pings: list[float] = []
        self.waits = 0
        self.arriving: list[bytes] = []

    def receive(self) -> list[bytes]:
        arrived, self.arriving = self.arriving, []
        return arrived

    def check_open(self) -> None:
        if self.now >= self.ends:
            raise ConnectionLostError("it ended")

    def send(self, text: str) -> None:
        self.sent.append(text)
        parsed = json.loads(text)
        if self.answers and parsed[0] == "REQ":
            self.arriving.append(json.dumps(["EOSE", parsed[1]]).encode())

    def send_ping(self) -> None:
        self.ping_sent_at = self.now
        self.pings.append(self.now - 1000)

    def flush(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        if self.arriving:
            self.ping_sent_at = None  # anything that arrives proves that it lives
            return True
        until = min(self.now + max(0.0, seconds), self.ends)
        if self.ping_sent_at is not None and self.pongs is not None:
            answered = self.ping_sent_at + self.pongs
            if answered <= until:
                until, self.ping_sent_at = answered, None
                self.round_trip_seconds = self.pongs
        self.now = until
        return False


def held(
    manager: RelayManager,
    relay: Relay,
    connection: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    limits: RelayLimits | None = None,
    arriving: Sequence[Request] = (),
) -> str:
    """Hold a conversation to its end; return why it ended.

    The REQs that are `arriving` are in the relay's inbox when the conversation begins.
    """
    monkeypatch.setattr(clock, "now", lambda: connection.now)
    relay.status = RelayStatus.CONNECTING
    session = RelaySession(DEFAULTS, lambda: "id")
    session.set_limits(limits or RelayLimits())
    if "up" in manager._requests:
        session.subscribe(manager._requests["up"])
    conversation = Conversation(
        relay, session, manager.reports, DEFAULTS, cast(Connection, connection)
    )
    inbox = list(arriving)
    with pytest.raises(ConnectionLostError) as ended:
        conversation.run(lambda: session.subscribe(inbox.pop()) if inbox else None)
    return str(ended.value)


def test_e3_a_ping_every_twenty_seconds(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Scripted(65)
    assert held(manager, relay, connection, monkeypatch) == "it ended"
    assert connection.pings == pytest.approx([0, 20, 40, 60])
    assert relay.round_trips == [0.01]
    assert connection.waits < 20


def test_e3_no_pong_within_ten_seconds_ends_it(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Scripted(65, pongs=None)
    ended = held(manager, relay, connection, monkeypatch)
    assert ended == "no answer to a ping"
    assert connection.now == pytest.approx(1010, abs=0.1)
    slow = Scripted(65, pongs=9.9)
    assert held(manager, relay, slow, monkeypatch) == "it ended"


def test_e3_relay_that_answers_reqs_and_no_pings_is_not_replaced(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Scripted(65, pongs=None, answers=True)
    assert held(manager, relay, connection, monkeypatch) == "it ended"
    assert connection.pings == pytest.approx([0, 20, 40, 60])
    probes = [text for text in connection.sent if text.startswith('["REQ"')]
    assert len(probes) == 3  # one for each ping; the last one is not due yet


@pytest.mark.parametrize("is_public", [False, True])
def test_f2_event_stands_in_the_lanes_of_its_endpoint(
    manager: RelayManager, relay: Relay, is_public: bool
) -> None:
    manager.publish(signed(), Inbox(), is_public=is_public)
    conversation = begun(manager, relay, [])
    for outgoing in manager.reports.take_events(relay, 10)[0]:
        conversation.publish(outgoing, clock.now())
    egress = conversation._session._egress
    assert (len(egress._private), len(egress._public)) == (not is_public, is_public)


def test_d1b_event_leaves_after_the_req_that_is_still_in_the_inbox(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Inbox()
    manager.publisher.publish(signed(), client)
    wanted = filters({"kinds": [1]})
    request = Request("up", wanted, NOW, lambda _: False, client=client)
    connection = Scripted(1)
    held(manager, relay, connection, monkeypatch, arriving=[request])
    assert [json.loads(text)[0] for text in connection.sent] == ["REQ", "EVENT"]


def test_c2_published_event_is_sent_and_reported_as_sent(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.subscribe("up", filters({"kinds": [1]}), Inbox())
    event, long = signed(), signed("x" * 1000)
    inbox = Inbox()
    for published in (event, long):
        manager.publisher.publish(published, inbox)
    connection = Scripted(1)
    limits = RelayLimits(max_message_length=len(event.text) + 100)
    held(manager, relay, connection, monkeypatch, limits)
    assert [json.loads(text)[:2] for text in connection.sent] == [
        ["REQ", "up"],
        ["EVENT", json.loads(event.text)],
    ]
    assert relay.counters.sent_events == 1
    (verdict,) = inbox.items
    assert isinstance(verdict, PublishResult)
    assert (verdict.event_id, verdict.accepted) == (long.id, False)
    assert verdict.message.startswith("invalid: the relay takes up to")


def test_e9_event_that_the_relay_must_refuse_is_not_sent_to_it(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.information = RelayInformation(event_limits=EventLimits(max_event_tags=1))
    inbox = Inbox()
    manager.publisher.publish(signed(tags=[["t", "a"], ["t", "b"]]), inbox)
    connection = Scripted(1)
    held(manager, relay, connection, monkeypatch)
    assert connection.sent == []
    (verdict,) = inbox.items
    assert isinstance(verdict, PublishResult)
    assert not verdict.accepted
    assert verdict.message == "invalid: the relay takes up to 1 tags"


@pytest.mark.parametrize("why", ["read only", "it does not read"])
def test_c6_where_nothing_is_to_be_sent_now_it_is_kept(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    event = signed()
    manager.publisher.publish(event, Inbox())
    connection = Scripted(1)
    if why == "read only":
        relay.use = relay.use._replace(write=False)
    else:
        connection.unsent_bytes = DEFAULTS.relay_buffer_bytes + 1
    held(manager, relay, connection, monkeypatch)
    assert connection.sent == []
    assert [item.event for item in manager.reports.take_events(relay, 10)[0]] == [event]


def test_c6_many_are_sent_without_a_pause(
    manager: RelayManager, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3 * EVENTS_AT_ONCE):
        manager.publisher.publish(made(pubkey=f"{number:064x}"), None)
    connection = Scripted(0.001)
    held(manager, relay, connection, monkeypatch)
    assert relay.counters.sent_events == DEFAULTS.flush_unanswered_events
