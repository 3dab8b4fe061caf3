"""The test relay's habits, each seen by a plain WebSocket client.

A habit that were not there would let every test that leans on it pass in vain.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import httpx
import nostr_sdk
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.clients import Author, wait_until

from .habits import EventRate, Habits
from .odd_relay import NostrEvent, OddRelay
from .profiles import PROFILES, profile

SECONDS = 10.0
QUIET_SECONDS = 0.15

Message = list[Any]


class PlainClient:
    """A WebSocket client that knows nothing of nostrclient."""

    def __init__(self, relay: OddRelay, **options: Any) -> None:
        self.url = relay.url
        self._socket: ClientConnection = connect(
            relay.url, compression=None, max_size=None, **options
        )

    def send(self, *message: object) -> None:
        self._socket.send(json.dumps(message))

    def receive(self) -> Message:
        message: Message = json.loads(self._socket.recv(timeout=SECONDS))
        return message

    def ask(self, *message: object) -> Message:
        """Send a message and return the next answer."""
        self.send(*message)
        return self.receive()

    def query(self, subscription_id: str, *filters: object) -> list[Message]:
        """Send a REQ and return everything up to EOSE, CLOSED or NOTICE."""
        self.send("REQ", subscription_id, *filters)
        messages = [self.receive()]
        while messages[-1][0] not in ("EOSE", "CLOSED", "NOTICE"):
            messages.append(self.receive())
        return messages

    def published(self, event: NostrEvent) -> tuple[bool, str]:
        """Publish an event and return what its OK says."""
        verb, event_id, accepted, reason = self.ask("EVENT", event)
        assert (verb, event_id) == ("OK", event["id"])
        return accepted, reason

    def is_quiet(self) -> bool:
        """Return whether nothing comes for a moment."""
        try:
            self._socket.recv(timeout=QUIET_SECONDS)
        except TimeoutError:
            return True
        return False

    def close_code(self) -> int | None:
        """Wait for the end and return the code of the closing frame, if any came."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                self._socket.recv(timeout=SECONDS)
            except ConnectionClosed as ended:
                return None if ended.rcvd is None else ended.rcvd.code
        raise AssertionError("the connection has not ended")

    def authenticate(
        self, keys: nostr_sdk.Keys, challenge: str, url: str | None = None
    ) -> Message:
        """Answer a challenge and return the OK."""
        return self.ask("AUTH", auth_event(keys, challenge, url or self.url))

    def close(self) -> None:
        self._socket.close()


def auth_event(keys: nostr_sdk.Keys, challenge: str, url: str) -> NostrEvent:
    builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(22242), "").tags(
        [
            nostr_sdk.Tag.parse(["relay", url]),
            nostr_sdk.Tag.parse(["challenge", challenge]),
        ]
    )
    event: NostrEvent = json.loads(builder.sign_with_keys(keys).as_json())
    return event


NewClient = Callable[..., PlainClient]


@pytest.fixture
def connected() -> Iterator[NewClient]:
    """Makes clients of a relay and closes them at the end."""
    clients: list[PlainClient] = []

    def make(relay: OddRelay, **options: Any) -> PlainClient:
        clients.append(PlainClient(relay, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def notes(number: int, author: Author | None = None, **more: Any) -> list[NostrEvent]:
    author = author or Author()
    return [author.event(f"note {n}", **more) for n in range(number)]


def ids(messages: list[Message]) -> list[str]:
    return [message[2]["id"] for message in messages if message[0] == "EVENT"]


# --- Without habits


def test_honest_relay_stores_and_serves_what_it_is_sent(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client, other = connected(odd_relay), connected(odd_relay)
    now = int(time.time())
    author = Author()
    first, second, third = (
        author.event(str(n), created_at=now - 10 + n) for n in range(3)
    )
    assert client.published(second) == (True, "")
    assert client.published(first) == (True, "")
    assert client.published(first) == (True, "duplicate: have this event")
    answer = other.query("a", {"authors": [author.pubkey]})
    assert ids(answer) == [second["id"], first["id"]]
    assert answer[-1] == ["EOSE", "a"]
    assert ids(other.query("b", {"kinds": [1], "limit": 1})) == [second["id"]]
    other.send("CLOSE", "b")
    assert client.published(third) == (True, "")
    assert other.receive() == ["EVENT", "a", third]
    assert other.is_quiet()


def test_honest_relay_does_not_store_ephemeral_events(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client = connected(odd_relay)
    (event,) = notes(1, kind=20_001)
    client.query("a", {"kinds": [20_001]})
    assert client.ask("EVENT", event) == ["EVENT", "a", event]
    assert client.receive()[0] == "OK"
    assert odd_relay.events == []


def test_honest_relay_serves_no_information_document(odd_relay: OddRelay) -> None:
    url = odd_relay.url.replace("ws://", "http://")
    assert httpx.get(url).status_code == 404


# --- Connections


def test_pongs_off_leaves_pings_unanswered(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client = connected(odd_relay, ping_interval=None)
    assert client._socket.ping().wait(SECONDS)
    odd_relay.habits.pongs = False
    pong = client._socket.ping()
    assert client.query("a", {})[-1] == ["EOSE", "a"]
    assert not pong.wait(QUIET_SECONDS)


def test_max_connections_per_second_and_minute_end_one_too_many(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.minute_seconds = 60.0
    odd_relay.habits.max_connections_per_second = 3
    for _ in range(3):
        assert connected(odd_relay).query("a", {})
    assert connected(odd_relay).close_code() is None
    odd_relay.habits = Habits(max_connections_per_minute=2, minute_seconds=1.0)
    for _ in range(2):
        assert connected(odd_relay).query("a", {})
    assert connected(odd_relay).close_code() is None
    time.sleep(1.1)
    assert connected(odd_relay).query("a", {})


def test_max_message_bytes_ends_the_connection_or_is_a_notice(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.max_message_bytes = 1000
    client = connected(odd_relay)
    (event,) = notes(1)
    assert client.published(event)[0]
    client.send("EVENT", Author().event("x" * 1000))
    assert client.close_code() is None
    odd_relay.habits.max_message_notice = True
    client = connected(odd_relay)
    assert client.ask("EVENT", Author().event("x" * 1000))[0] == "NOTICE"
    assert client.query("a", {})[-1][0] == "EOSE"


def test_hangs_up_at_ends_the_connection_at_that_text(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.hangs_up_at = '"search"'
    client = connected(odd_relay)
    assert client.query("a", {"kinds": [1]})[-1][0] == "EOSE"
    client.send("REQ", "b", {"search": "x"})
    assert client.close_code() == 1008


def test_max_burst_messages_ends_the_connection(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.max_burst_messages = 30
    client = connected(odd_relay)
    for number in range(31):
        client.send("CLOSE", str(number))
    assert client.close_code() == 1008


def test_handshake_answer_is_a_status_without_an_end(odd_relay: OddRelay) -> None:
    odd_relay.habits.handshake_answer = "502 Bad Gateway"
    with pytest.raises((InvalidStatus, TimeoutError)):
        connect(odd_relay.url, open_timeout=0.3)
    assert odd_relay.connections == 0


# --- NIP-11


def test_information_announces_the_limits_it_is_told_to(odd_relay: OddRelay) -> None:
    url = odd_relay.url.replace("ws://", "http://")
    odd_relay.habits = replace(
        Habits(),
        information=True,
        announced_limits=("max_subscriptions", "max_filters", "search_supported"),
        max_subscriptions=32,
        max_filters=10,
        supported_nips=(1, 42),
        instance_id="somebody",
        software="a relay",
        search_supported=False,
    )
    assert httpx.get(url).json() == {
        "name": "odd relay",
        "software": "a relay",
        "supported_nips": [1, 42],
        "limitation": {
            "max_subscriptions": 32,
            "max_filters": 10,
            "search_supported": False,
        },
        "nostrclient_instance": "somebody",
    }
    odd_relay.habits.announced_max_filters = 2500
    assert httpx.get(url).json()["limitation"]["max_filters"] == 2500


# --- NIP-42


def test_demands_auth_serves_nobody_before_it(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.demands_auth = True
    client = connected(odd_relay)
    verb, challenge = client.receive()
    assert verb == "AUTH"
    (event,) = notes(1)
    assert client.published(event)[1].startswith("auth-required:")
    assert client.query("a", {})[-1][2].startswith("auth-required:")
    assert client.authenticate(nostr_sdk.Keys.generate(), challenge)[2] is True
    assert client.published(event) == (True, "")
    assert client.query("a", {})[-1] == ["EOSE", "a"]


def test_ignores_before_auth_answers_nothing_before_it(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(ignores_before_auth=True, challenges_at_once=True)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    client.send("REQ", "a", {})
    client.send("EVENT", notes(1)[0])
    assert client.is_quiet()
    assert client.authenticate(nostr_sdk.Keys.generate(), challenge)[2] is True
    assert client.query("b", {})[-1] == ["EOSE", "b"]


def test_restricted_kinds_are_for_their_author_and_recipient(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = profile("strfry")
    keys = nostr_sdk.Keys.generate()
    pubkey = keys.public_key().to_hex()
    sender = Author()
    stored, foreign, live = (
        sender.event(f"dm {n}", kind=4, tags=[["p", who]])
        for n, who in enumerate((pubkey, Author().pubkey, pubkey))
    )
    (note,) = notes(1, sender)
    odd_relay.put(stored, foreign, note)
    client = connected(odd_relay)
    restricted = {"kinds": [4, 1059]}

    client.send("REQ", "pure", restricted)
    verb, challenge = client.receive()
    assert verb == "AUTH"
    closed = "ERROR: auth-required: requested filter requires authentication"
    assert client.receive() == ["CLOSED", "pure", closed]
    assert client.ask("REQ", "pure", restricted) == ["CLOSED", "pure", closed]
    mixed = client.query("mixed", {"kinds": [1, 4]})
    assert ids(mixed) == [note["id"]]
    odd_relay.put(live)
    assert client.is_quiet()

    assert client.authenticate(keys, challenge)[2] is True
    assert sorted(ids(client.query("pure", restricted))) == sorted(
        (stored["id"], live["id"])
    )
    reply = Author().event("live", kind=1059, tags=[["p", pubkey]])
    odd_relay.put(reply, Author().event("other", kind=1059, tags=[["p", "0" * 64]]))
    assert client.receive() == ["EVENT", "pure", reply]
    assert client.is_quiet()


def test_says_auth_required_off_withholds_without_a_word(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = profile("nostr_rs_relay")
    keys = nostr_sdk.Keys.generate()
    stored = Author().event("dm", kind=4, tags=[["p", keys.public_key().to_hex()]])
    odd_relay.put(stored)
    client = connected(odd_relay)
    verb, challenge = client.receive()
    assert verb == "AUTH"
    assert client.query("a", {"kinds": [4]}) == [["EOSE", "a"]]
    assert client.authenticate(keys, challenge)[2] is True
    client.send("REQ", "a", {"kinds": [4]})  # identical: ignored
    assert client.is_quiet()
    assert ids(client.query("b", {"kinds": [4]})) == [stored["id"]]


def test_max_keys_refuses_a_second_auth(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(challenges_at_once=True, max_keys=1)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    first, second = nostr_sdk.Keys.generate(), nostr_sdk.Keys.generate()
    assert client.authenticate(first, challenge)[2] is True
    refused = client.authenticate(second, challenge)
    assert refused[2:] == [False, "error: already authenticated"]
    odd_relay.habits.max_keys = None
    assert client.authenticate(second, challenge)[2] is True


def test_service_url_is_what_auth_has_to_name(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(challenges_at_once=True)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    keys = nostr_sdk.Keys.generate()
    other = "wss://relay.example"
    assert client.authenticate(keys, challenge, other)[2] is False
    odd_relay.habits.service_url = "wss://Relay.example/"
    assert client.authenticate(keys, challenge)[2] is False
    assert client.authenticate(keys, challenge, other)[2] is True
    odd_relay.habits.service_url = ""
    refused = client.authenticate(keys, challenge, other)
    assert "serviceUrl" in refused[3]


def test_failing_auths_fail_once_and_pass_later(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(challenges_at_once=True, failing_auths=1)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    keys = nostr_sdk.Keys.generate()
    refused = client.authenticate(keys, challenge)
    assert refused[2:] == [False, "error: could not connect to the database"]
    assert client.authenticate(keys, challenge)[2] is True


def test_second_challenge_counts_as_the_first_one_does(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(challenges_at_once=True, second_challenge_seconds=0.05)
    client = connected(odd_relay)
    first, second = client.receive(), client.receive()
    assert first[0] == second[0] == "AUTH"
    assert first[1] != second[1]
    for challenge in (first[1], second[1]):
        answer = client.authenticate(nostr_sdk.Keys.generate(), challenge)
        assert answer[2] is True


def test_renews_challenge_makes_only_the_newest_one_valid(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(demands_auth=True, renews_challenge=True)
    client = connected(odd_relay)
    first = client.receive()[1]
    second = client.ask("REQ", "a", {})[1]
    assert client.receive()[0] == "CLOSED"
    keys = nostr_sdk.Keys.generate()
    assert client.authenticate(keys, first)[2] is False
    assert client.authenticate(keys, second)[2] is True


def test_auth_ok_off_and_delay_leave_an_auth_without_answer(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(demands_auth=True, auth_ok=False, auth_delay_seconds=0.05)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    client.send("AUTH", auth_event(nostr_sdk.Keys.generate(), challenge, client.url))
    assert client.query("a", {})[-1][0] == "CLOSED"
    assert client.is_quiet()
    assert client.query("a", {})[-1][0] == "EOSE"


def test_refuses_late_what_was_sent_before_auth(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(demands_auth=True, refuses_late=True)
    client = connected(odd_relay)
    challenge = client.receive()[1]
    (event,) = notes(1)
    client.send("EVENT", event)
    assert client.is_quiet()
    assert client.authenticate(nostr_sdk.Keys.generate(), challenge)[2] is True
    verb, event_id, accepted, reason = client.receive()
    assert (verb, event_id, accepted) == ("OK", event["id"], False)
    assert reason.startswith("auth-required:")
    assert client.published(event) == (True, "")


# --- REQ


def test_identical_req_is_ignored_and_a_changed_one_is_not(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.ignores_identical_req = True
    client = connected(odd_relay)
    assert client.query("a", {"kinds": [1]})[-1][0] == "EOSE"
    client.send("REQ", "a", {"kinds": [1]})
    assert client.is_quiet()
    assert client.query("a", {"kinds": [2]})[-1][0] == "EOSE"
    assert client.query("b", {"kinds": [2]})[-1][0] == "EOSE"


def test_adds_reqs_keeps_the_filters_of_the_replaced_one(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.adds_reqs = True
    client = connected(odd_relay)
    client.query("a", {"kinds": [1]})
    client.query("a", {"kinds": [2]})
    (event,) = notes(1)
    odd_relay.put(event)
    assert client.receive() == ["EVENT", "a", event]


@pytest.mark.parametrize("key", ["search", "#title", "#E"])
@pytest.mark.parametrize("name", ["strfry", "strfry_2025", "nostream_2"])
def test_unknown_filter_keys_refuse_the_whole_req(
    odd_relay: OddRelay, connected: NewClient, name: str, key: str
) -> None:
    odd_relay.habits = profile(name)
    client = connected(odd_relay)
    value = "x" if key == "search" else ["x"]
    answer = client.query("a", {"kinds": [1]}, {key: value})[-1]
    prefix = profile(name).error_prefix
    reason = f"{prefix}bad req: unrecognised filter item: {key}"
    if key.startswith("#"):
        reason = f"{prefix}bad req: error parsing {key}: unindexed tag filter"
    if key == "#E" and name != "nostream_2":
        assert answer == ["EOSE", "a"]
    elif name == "strfry":
        assert answer == ["CLOSED", "a", reason]
    else:
        assert answer == ["NOTICE", reason]
    assert client.query("b", {"#d": ["x"], "kinds": [1]})[-1] == ["EOSE", "b"]


@pytest.mark.parametrize(
    ("name", "cap", "stored", "words"),
    [
        ("strfry", 200, True, "ERROR: too many concurrent REQs"),
        ("strfry_2025", 20, True, "ERROR: too many concurrent REQs"),
        ("nostream", 10, False, "too many concurrent REQs"),
        ("nostr_rs_relay", 32, False, "too many concurrent REQs"),
    ],
)
def test_one_subscription_too_many_gets_nothing_live(
    odd_relay: OddRelay,
    connected: NewClient,
    name: str,
    cap: int,
    stored: bool,
    words: str,
) -> None:
    odd_relay.habits = replace(profile(name), challenges_at_once=False)
    client = connected(odd_relay)
    (event,) = notes(1)
    odd_relay.put(event)
    for number in range(cap):
        answer = client.query(f"s{number}", {"kinds": [number + 5]})
        assert answer == [["EOSE", f"s{number}"]]
    client.send("REQ", "one too many", {"kinds": [1]})
    if stored:
        assert client.receive() == ["EVENT", "one too many", event]
        assert client.receive() == ["EOSE", "one too many"]
    assert client.receive() == ["NOTICE", words]
    odd_relay.put(*notes(1))
    assert client.is_quiet()
    client.send("CLOSE", "s0")
    assert client.query("again", {"kinds": [1]})[-1] == ["EOSE", "again"]


@pytest.mark.parametrize("too_many", ["closed", "silence"])
def test_one_subscription_too_many_is_closed_or_ignored(
    odd_relay: OddRelay, connected: NewClient, too_many: str
) -> None:
    odd_relay.habits = Habits(
        max_subscriptions=1,
        too_many=too_many,  # type: ignore[arg-type]  # it is one of the two
    )
    client = connected(odd_relay)
    client.query("a", {})
    client.send("REQ", "b", {})
    if too_many == "closed":
        assert client.receive()[:2] == ["CLOSED", "b"]
    else:
        assert client.is_quiet()
    assert client.query("a", {"kinds": [1]})[-1] == ["EOSE", "a"]  # not one more


@pytest.mark.parametrize(
    ("name", "cap"), [("strfry", 200), ("nostream", 10), ("nostrclient", 10)]
)
def test_max_filters_refuses_a_req_of_more(
    odd_relay: OddRelay, connected: NewClient, name: str, cap: int
) -> None:
    odd_relay.habits = profile(name)
    client = connected(odd_relay)
    filters = [{"kinds": [kind]} for kind in range(cap + 1)]
    assert client.query("a", *filters[:cap])[-1][0] == "EOSE"
    assert client.query("b", *filters)[-1][0] in ("CLOSED", "NOTICE")


def test_max_filter_values_refuses_a_filter_of_more(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.max_filter_values = 3
    client = connected(odd_relay)
    authors = [f"{n:064x}" for n in range(4)]
    assert client.query("a", {"authors": authors[:3]})[-1][0] == "EOSE"
    assert client.query("a", {"authors": authors})[-1][0] == "CLOSED"


def test_max_filter_tags_refuses_a_filter_of_more(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = profile("strfry")
    client = connected(odd_relay)
    tags = {f"#{name}": ["x"] for name in "abcd"}
    assert client.query("a", dict(list(tags.items())[:3]))[-1][0] == "EOSE"
    refusal = client.query("b", tags)[-1]
    assert refusal == ["CLOSED", "b", "ERROR: bad req: too many tags in filter"]


def test_strfry_compares_restricted_kinds_with_nobody_unknown(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = profile("strfry")
    client = connected(odd_relay)
    client.send("NEG-OPEN", "a", {"kinds": [1]}, "6100000200")
    assert client.receive() == ["NEG-MSG", "a", "6100000200"]
    client.send("NEG-OPEN", "b", {"kinds": [4]}, "6100000200")
    assert client.receive()[0] == "AUTH"
    refusal = client.receive()
    assert refusal[:2] == ["NEG-ERR", "b"]
    assert refusal[2].startswith("auth-required:")


def test_max_stored_cuts_each_filter_without_a_word(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.max_stored = 5
    now = int(time.time())
    author = Author()
    stored = [
        author.event(str(n), created_at=now - n, kind=1 + n % 2) for n in range(20)
    ]
    odd_relay.put(*stored)
    client = connected(odd_relay)
    answer = client.query("a", {"kinds": [1], "limit": 100}, {"kinds": [2]})
    assert ids(answer) == [event["id"] for event in stored[:10]]


def test_ignores_limit_answers_everything(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.ignores_limit = True
    odd_relay.put(*notes(3))
    assert len(ids(connected(odd_relay).query("a", {"limit": 0}))) == 3


def test_limit_0_gets_no_eose_or_is_ignored(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.eose_for_limit_0 = False
    client = connected(odd_relay)
    client.send("REQ", "a", {"kinds": [1], "limit": 0})
    assert client.is_quiet()
    event, later = notes(2)
    odd_relay.put(event)
    assert client.receive() == ["EVENT", "a", event]
    mixed = client.query("b", {"kinds": [1], "limit": 0}, {"kinds": [2]})
    assert mixed == [["EOSE", "b"]]

    odd_relay.habits = Habits(serves_limit_0=False)
    client = connected(odd_relay)
    client.send("REQ", "a", {"kinds": [1], "limit": 0})
    odd_relay.put(later)
    assert client.is_quiet()


def test_closes_after_eose_follows_each_answer(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = replace(profile("khatru"), closes_after_eose_seconds=0.05)
    client = connected(odd_relay)
    assert client.query("a", {})[-1] == ["EOSE", "a"]
    assert client.receive() == ["CLOSED", "a", "error: shutting down idle subscription"]
    odd_relay.put(*notes(1))
    assert client.is_quiet()


def test_closes_subscriptions_refuses_by_closed_or_by_notice(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(
        closes_subscriptions="blocked: no", error_prefix="ERROR: "
    )
    client = connected(odd_relay)
    assert client.query("a", {}) == [["CLOSED", "a", "ERROR: blocked: no"]]
    odd_relay.habits.notice_for_closed = True
    assert client.query("a", {}) == [["NOTICE", "ERROR: blocked: no"]]


def test_eose_and_events_come_late_or_never(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.put(*notes(2))
    odd_relay.habits = Habits(event_pause_seconds=0.1, eose_delay_seconds=0.1)
    client = connected(odd_relay)
    began = time.monotonic()
    client.query("a", {})
    assert time.monotonic() - began >= 0.3
    odd_relay.habits = Habits(sends_eose=False)
    for _ in range(2):
        client.send("REQ", "b", {"kinds": [1]})
        assert client.receive()[0] == "EVENT"
        assert client.receive()[0] == "EVENT"
        assert client.is_quiet()


def test_subscriptions_are_dropped_all_or_some(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client = connected(odd_relay)
    client.query("a", {"kinds": [1]})
    client.query("b", {"kinds": [2]})
    odd_relay.drop_subscriptions(lambda filters: filters == [{"kinds": [1]}])
    assert odd_relay.subscriptions == [[{"kinds": [2]}]]
    odd_relay.put(*notes(1))
    assert client.is_quiet()
    odd_relay.habits.serves_live = False
    client.query("c", {"kinds": [3]})
    wait_until(lambda: odd_relay.subscriptions == [[{"kinds": [2]}]], "c is dropped")
    odd_relay.put(*notes(1, kind=2))
    assert client.is_quiet()


def test_ignores_close_sends_unasked_and_forges_first(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(ignores_close=True, sends_unasked=1, forges_first=True)
    stored, live = notes(2)
    odd_relay.put(stored)
    client = connected(odd_relay)
    forged, true, unasked, eose = client.query("a", {})
    assert forged[2]["id"] == true[2]["id"] == stored["id"]
    assert forged[2]["content"] != stored["content"]
    assert true == ["EVENT", "a", stored]
    assert unasked == ["EVENT", "nobody-opened-this", stored]
    assert eose == ["EOSE", "a"]
    client.send("CLOSE", "a")
    wait_until(lambda: odd_relay.count("CLOSE") == 1, "CLOSE is there")
    odd_relay.put(live)
    assert client.receive()[2]["id"] == live["id"]


# --- EVENT


def test_refuses_events_by_ok_or_by_notice_or_not_at_all(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client = connected(odd_relay)
    first, second, third = notes(3)
    odd_relay.habits.refuses_events = "blocked: no"
    assert client.published(first) == (False, "blocked: no")
    odd_relay.habits.notice_for_ok = True
    assert client.ask("EVENT", second) == ["NOTICE", "blocked: no"]
    odd_relay.habits = Habits(sends_ok=False)
    client.send("EVENT", third)
    assert client.is_quiet()
    assert odd_relay.events == [third]


def test_queues_events_says_so_and_stores_nothing(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.queues_events = True
    accepted, reason = connected(odd_relay).published(notes(1)[0])
    assert accepted
    assert reason.startswith("queued:")
    assert odd_relay.events == []


def test_event_rates_refuse_one_author_until_the_window_is_over(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = profile("nostream_2", minute_seconds=1.0)
    client = connected(odd_relay)
    shop = Author()
    products = [shop.event("{}", kind=30018, tags=[["d", str(n)]]) for n in range(26)]
    for product in products[:24]:
        assert client.published(product) == (True, "")
    refused = (False, "rate-limited: slow down")
    assert client.published(products[24]) == refused
    (note,) = notes(1, shop)
    assert client.published(note)[0]  # another kind has a rate of its own
    (foreign,) = notes(1, kind=30018)
    assert client.published(foreign)[0]  # and so has another author
    time.sleep(1.1)
    assert client.published(products[24])[0]
    hour = EventRate(2, minutes=60)
    odd_relay.habits = Habits(event_rates=(hour,), minute_seconds=0.01)
    assert [client.published(item)[0] for item in notes(3, shop)] == [
        True,
        True,
        False,
    ]


def test_rates_decay_allow_a_steady_stream_less_than_a_burst(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(
        event_rates=(EventRate(3),), minute_seconds=1.0, rates_decay=True
    )
    client = connected(odd_relay)
    author = Author()
    assert [client.published(item)[0] for item in notes(4, author)] == [
        True,
        True,
        True,
        False,
    ]
    time.sleep(0.5)  # of four, 2.8 are remembered
    assert not client.published(author.event("too early"))[0]
    time.sleep(1.0)
    assert client.published(author.event("after a minute of silence"))[0]


def test_one_limit_is_that_of_the_first_filter_and_without_it_the_oldest_count(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(one_limit=True, oldest_stored=2)
    stored = [Author().event(str(n), created_at=1000 + n) for n in range(4)]
    odd_relay.put(*stored)
    client = connected(odd_relay)

    def found(*filters: dict[str, Any]) -> list[int]:
        answer = client.query("a", *filters)[:-1]
        return [int(message[2]["content"]) for message in answer]

    assert found({"limit": 1}, {}) == [3]
    assert found({}, {"limit": 1}) == [0, 1]
    assert found({"limit": 4}, {}) == [3, 2, 1, 0]
    assert found({"limit": 9, "kinds": [9]}, {"limit": 3}) == [3, 2, 1]
    assert found({}) == [0, 1]


@pytest.mark.parametrize("counted", [True, False])
def test_refused_count_keeps_who_insists_out(
    odd_relay: OddRelay, connected: NewClient, counted: bool
) -> None:
    odd_relay.habits = Habits(
        event_rates=(EventRate(1),), minute_seconds=0.6, refused_count=counted
    )
    client = connected(odd_relay)
    author = Author()
    began = time.monotonic()
    taken = 0
    while time.monotonic() - began < 1.5:
        taken += client.published(author.event(str(time.monotonic())))[0]
        time.sleep(0.05)
    assert taken == 1 if counted else taken > 1


def test_max_messages_per_minute_drops_all_kinds_with_a_notice(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits = Habits(max_messages_per_minute=3, minute_seconds=1.0)
    client = connected(odd_relay)
    for number in range(3):
        assert client.query(str(number), {"kinds": [1]})[-1][0] == "EOSE"
    (event,) = notes(1)
    assert client.ask("EVENT", event) == ["NOTICE", "rate limited"]
    assert client.ask("REQ", "more", {}) == ["NOTICE", "rate limited"]
    assert client.is_quiet()
    assert (odd_relay.dropped, odd_relay.events) == (2, [])
    time.sleep(1.1)
    for number in range(3):
        client.send("CLOSE", str(number))  # these count as well
    assert client.ask("EVENT", event) == ["NOTICE", "rate limited"]


def test_odd_timestamps_are_refused(odd_relay: OddRelay, connected: NewClient) -> None:
    odd_relay.habits = profile("strfry")
    client = connected(odd_relay)
    now = int(time.time())
    year = 365 * 24 * 3600
    for created_at, kind, accepted in (
        (now + 600, 1, True),
        (now + 1200, 1, False),
        (now - 2 * year, 1, True),
        (now - 4 * year, 1, False),
        (now - 30, 20_001, True),
        (now - 90, 20_001, False),
    ):
        event = Author().event("x", kind=kind, created_at=created_at)
        found, reason = client.published(event)
        assert found is accepted, (created_at - now, kind)
        assert accepted or reason.startswith("invalid:")


def test_odd_events_are_stored_unless_told_otherwise(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    # The test relay checks no signature: this one need not have any.
    (event,) = notes(1)
    odd = [event | {"kind": 70_000, "id": "a" * 64}, event | {"tags": [[]]}]
    client = connected(odd_relay)
    assert all(client.published(item)[0] for item in odd)
    assert ids(client.query("a", {"kinds": [70_000]})) == ["a" * 64]
    odd_relay.habits.stores_odd_events = False
    assert not any(client.published(item)[0] for item in odd)


def test_mutes_unheard_ephemeral_events(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    odd_relay.habits.mutes_unheard = True
    client, listener = connected(odd_relay), connected(odd_relay)
    first, second = notes(2, kind=20_001)
    accepted, reason = client.published(first)
    assert not accepted
    assert reason.startswith("mute:")
    listener.query("a", {"kinds": [20_001]})
    assert client.published(second)[0]


def test_counts_answers_count_and_without_it_is_a_notice(
    odd_relay: OddRelay, connected: NewClient
) -> None:
    client = connected(odd_relay)
    odd_relay.put(*notes(3))
    assert client.ask("COUNT", "c", {"kinds": [1]})[0] == "NOTICE"
    odd_relay.habits.counts = True
    assert client.ask("COUNT", "c", {"kinds": [1]}) == ["COUNT", "c", {"count": 3}]


# --- Profiles


def test_profiles_do_not_change_with_the_relays_they_are_given_to() -> None:
    habits = profile("strfry")
    habits.max_subscriptions = 1
    assert PROFILES["strfry"].max_subscriptions == 200
    assert profile("strfry").max_subscriptions == 200


def test_profiles_together_have_every_habit_of_a_real_relay() -> None:
    """A switch whose sentence names a relay stands in a profile."""
    honest = Habits()
    taken = {
        item.name
        for habits in PROFILES.values()
        for item in fields(Habits)
        if getattr(habits, item.name) != getattr(honest, item.name)
    }
    from_real_relays = {
        "adds_reqs",
        "announced_max_filters",
        "challenges_at_once",
        "closes_after_eose",
        "eose_for_limit_0",
        "error_prefix",
        "event_rates",
        "ignores_identical_req",
        "instance_id",
        "max_age_seconds",
        "max_ahead_seconds",
        "max_connections_per_second",
        "max_ephemeral_age_seconds",
        "max_filter_tags",
        "max_filter_values",
        "max_filters",
        "max_keys",
        "max_message_bytes",
        "max_message_notice",
        "max_messages_per_minute",
        "max_stored",
        "max_subscriptions",
        "mutes_unheard",
        "notice_for_closed",
        "oldest_stored",
        "one_limit",
        "rates_decay",
        "search_supported",
        "refuses_late",
        "refuses_unknown_keys",
        "refuses_upper_case_tags",
        "restricted_kinds",
        "says_auth_required",
        "stored_above_cap",
    }
    assert from_real_relays <= taken
