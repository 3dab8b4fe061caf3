"""The endpoint does what relays are commonly tested for, over several real relays.

The questions are those that relay-tester puts to a relay, here put to the public
endpoint. docs/compatibility.md names those that it answers with no.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from dev.lnbits_server import LnbitsServer
from nostrclient.nostr.event import Event
from nostrclient.nostr.key import PrivateKey

from .clients import Author, Client, wait_until
from .conftest import Connect

NostrEvent = dict[str, Any]

DAY = 86_400
NOTE, CONTACTS, DELETION, ARTICLE, DRAFT = 1, 3, 5, 30023, 30024
EPHEMERAL, CLIENT_AUTH = 25000, 22242


@pytest.fixture
def client(connect: Connect) -> Client:
    """A client of the public endpoint."""
    return connect()


@pytest.fixture
def stranger() -> Author:
    """Somebody who is not the author."""
    return Author()


def stored(client: Client, *filters: dict[str, Any]) -> list[NostrEvent]:
    """Return the stored events that match."""
    name = f"s{time.monotonic_ns()}"
    found = client.subscribe(name, *filters)
    client.send("CLOSE", name)
    return found


def ids(events: list[NostrEvent]) -> set[str]:
    return {event["id"] for event in events}


def accept(client: Client, *events: NostrEvent) -> None:
    for event in events:
        accepted, reason = client.publish(event)
        assert accepted, reason
        assert not reason.startswith("queued:"), reason


def gone(client: Client, event: NostrEvent) -> bool:
    return not stored(client, {"ids": [event["id"]]})


def wait_gone(client: Client, event: NostrEvent) -> None:
    """Wait until every relay has carried out what one of them accepted."""
    wait_until(lambda: gone(client, event), "it is gone", pause=0.2)


def with_content(author: Author, content: str, as_json: str) -> tuple[str, str]:
    """Return the id of a note with this content, and its text as written by hand."""
    key = PrivateKey.from_nsec(author.nsec)
    event = Event(content=content, created_at=int(time.time()), kind=NOTE)
    key.sign_event(event)
    head = json.dumps(
        {
            "id": event.id,
            "pubkey": event.public_key,
            "created_at": event.created_at,
            "kind": event.kind,
            "tags": [],
            "sig": event.signature,
        }
    )
    return event.id, f'{head[:-1]}, "content": {as_json}}}'


# --- The document (NIP-11)


def document(lnbits: LnbitsServer) -> dict[str, Any]:
    url = lnbits.public_url.replace("ws", "http", 1)
    answer = httpx.get(url, headers={"Accept": "application/nostr+json"})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_a5_document_claims_what_is_served_and_nothing_else(
    lnbits: LnbitsServer, client: Client, author: Author
) -> None:
    accept(client, author.event("counted"))
    client.send("COUNT", "a", {"authors": [author.pubkey]})
    assert client.expect("COUNT", "a")[2] == {"count": 1}
    claimed = set(document(lnbits)["supported_nips"])
    assert claimed >= {1, 11, 40, 45}
    assert not claimed & {26, 29, 50, 77, 94, 96}
    # Keys that are held make AUTH useful; other tests may have left some.
    keys = lnbits.api("GET", "/identities")
    has_key = bool(keys) or bool(lnbits.api("GET", "/identity")["npub"])
    assert (42 in claimed) == has_key
    with demanding_auth(lnbits):
        assert 42 in document(lnbits)["supported_nips"]


# --- AUTH (NIP-42), where the operator demands it


@contextmanager
def demanding_auth(lnbits: LnbitsServer) -> Iterator[None]:
    lnbits.api("PUT", "/config", {"guests": {"auth_to_publish": True}})
    try:
        yield
    finally:
        lnbits.api("PUT", "/config", {"guests": {"auth_to_publish": False}})


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [
        ("", True),
        ("kind", False),
        ("relay", False),
        ("challenge", False),
        ("time", False),
    ],
)
def test_h5_auth_event_is_verified(
    lnbits: LnbitsServer, connect: Connect, author: Author, fault: str, accepted: bool
) -> None:
    with demanding_auth(lnbits):
        client = connect()
        wait_until(lambda: client.count("AUTH") == 1, "a challenge at once")
        url, challenge = lnbits.public_url, client.received[0][1]
        event = author.event(
            kind=CLIENT_AUTH + (fault == "kind"),
            created_at=int(time.time()) - DAY * (fault == "time"),
            tags=[
                ["relay", "wss://else.where" if fault == "relay" else url],
                ["challenge", "other" if fault == "challenge" else challenge],
            ],
        )
        client.send("AUTH", event)
        assert client.expect("OK", event["id"])[2] is accepted
        assert client.publish(author.event("mine"))[0] is accepted


# --- EOSE


def test_d4_eose_comes_where_nothing_is_stored(client: Client, author: Author) -> None:
    assert not stored(client, {"authors": [author.pubkey], "kinds": [1], "limit": 10})


def test_d4_subscription_stays_open_after_eose(client: Client, author: Author) -> None:
    filter_ = {"authors": [author.pubkey], "kinds": [1], "limit": 10}
    assert not client.subscribe("a", filter_ | {"until": 1_700_000_000})
    assert not client.subscribe("b", filter_)
    client.expect_nothing()
    note = author.event("after EOSE")
    client.send("EVENT", note)
    assert client.expect("EVENT", "b")[2] == note


# --- What anybody may publish


@pytest.mark.parametrize("kind", [NOTE, 10002, 10050, 23195, 0, CONTACTS])
def test_c3_event_of_a_stranger_is_accepted(
    client: Client, author: Author, kind: int
) -> None:
    accept(client, author.event(kind=kind, tags=[["test"]]))


@pytest.mark.parametrize("field", ["sig", "id", "content"])
def test_c1_event_that_does_not_verify_is_refused(
    client: Client, author: Author, field: str
) -> None:
    event = author.event("a note")
    value = event[field]
    event[field] = value[:-1] + ("0" if value[-1] != "0" else "1")
    accepted, reason = client.publish(event)
    assert not accepted
    assert reason.startswith("invalid:")
    assert gone(client, event)


# --- How it is written


@pytest.mark.parametrize(
    ("content", "as_json"),
    [
        ('\n"\\\r\t\b\f', r'"\n\"\\\r\t\b\f"'),
        ("\x01\x07\x0b\x0e\x16/", r'"\u0001\u0007\u000b\u000e\u0016\/"'),
        ("\ufdd1\U0010fff2", '"\ufdd1\U0010fff2"'),
        ("a\x00b", r'"a\u0000b"'),
    ],
    ids=["escapes of NIP-01", "other escapes", "non-characters", "null"],
)
def test_c1_content_is_accepted_however_json_writes_it(
    client: Client, author: Author, content: str, as_json: str
) -> None:
    event_id, text = with_content(author, content, as_json)
    client.send_text(f'["EVENT",{text}]')
    _, _, accepted, reason = client.expect("OK", event_id)
    assert accepted, reason
    found = stored(client, {"ids": [event_id]})
    assert [event["content"] for event in found] == [content]


def test_b1_control_characters_outside_json_are_answered(
    client: Client, author: Author
) -> None:
    # A relay that took them would not be read by others: it is no JSON (RFC 8259).
    _, text = with_content(author, "a\nb", '"a\nb"')
    client.send_text(f'["EVENT",{text}]')
    assert client.receive()[0] == "NOTICE"
    accept(client, author.event("the connection lives"))


# --- created_at

NOW = int(time.time())
DATES = {
    "a week ago": NOW - 7 * DAY,
    "a month ago": NOW - 28 * DAY,
    "a year ago": NOW - 365 * DAY,
    "before Nostr": 1_420_070_461,
    "before 2000": 915_148_861,
    "1970": 0,
    "in a year": NOW + 365 * DAY,
    "more than 31 bits": 2**31 + 1,
    "more than 32 bits": 2**32 + 1,
}


@pytest.mark.parametrize("date", DATES)
def test_c3_event_is_accepted_whatever_its_date(
    client: Client, author: Author, date: str
) -> None:
    event = author.event(date, created_at=DATES[date])
    accept(client, event)
    assert stored(client, {"ids": [event["id"]]}) == [event]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"created_at": -200}, "created_at"),
        ({"created_at": 2**63 - 1}, "created_at"),
        ({"created_at": 1e9}, "created_at"),
        ({"tags": [[], []]}, "tag"),
        ({"kind": 65_536}, "kind"),
    ],
    ids=str,
)
def test_c1_shape_that_not_every_relay_takes_is_refused_in_words(
    client: Client, author: Author, change: dict[str, Any], reason: str
) -> None:
    accepted, message = client.publish(author.event("a note") | change)
    assert not accepted
    assert message.startswith("invalid: ")
    assert reason in message  # and not that the id is wrong, which it is as well


# --- What is found


@pytest.fixture
def shelf(client: Client, author: Author) -> list[NostrEvent]:
    """Twelve events of an author, oldest first, one a second."""
    events = [
        author.event(
            f"{number}",
            kind=(NOTE, 7)[number % 2],
            created_at=NOW - 1000 + number,
            tags=[
                ["t", f"{author.pubkey}{number % 3}"],
                ["k", f"{author.pubkey}{number % 4}"],
            ],
        )
        for number in range(12)
    ]
    accept(client, *events)
    return events


def found_numbers(client: Client, filter_: dict[str, Any]) -> list[int]:
    return [int(event["content"]) for event in stored(client, filter_)]


def test_d9_events_come_newest_first_where_limited(
    client: Client, author: Author, shelf: list[NostrEvent]
) -> None:
    wanted = {"authors": [author.pubkey]}
    assert found_numbers(client, wanted | {"limit": 100}) == list(range(11, -1, -1))
    assert found_numbers(client, wanted | {"limit": 4}) == [11, 10, 9, 8]


def test_d3_events_are_found_by_each_field(
    client: Client, author: Author, shelf: list[NostrEvent]
) -> None:
    me, number = author.pubkey, [f"{author.pubkey}{n}" for n in range(4)]
    questions: list[tuple[dict[str, Any], set[int]]] = [
        ({"ids": [shelf[3]["id"], shelf[5]["id"]]}, {3, 5}),
        ({"authors": [me], "kinds": [7]}, {1, 3, 5, 7, 9, 11}),
        ({"authors": [me], "#t": [number[0]]}, {0, 3, 6, 9}),
        ({"kinds": [NOTE], "#t": [number[1]]}, {4, 10}),
        ({"#t": [number[2]]}, {2, 5, 8, 11}),
        ({"#t": [number[0], number[1]]}, {0, 1, 3, 4, 6, 7, 9, 10}),
        ({"#t": [number[0]], "#k": [number[0]]}, {0}),
        ({"authors": [me]}, set(range(12))),
        ({"authors": [me], "since": NOW - 998, "until": NOW - 995}, {2, 3, 4, 5}),
        ({"authors": [me], "limit": 0}, set()),
    ]
    for filter_, expected in questions:
        assert set(found_numbers(client, filter_)) == expected, filter_


def test_d3_events_are_found_by_nothing_but_kinds(
    client: Client, author: Author
) -> None:
    event = author.event("scraped", kind=NOTE, created_at=NOW + 10)
    accept(client, event)
    assert event in stored(client, {"kinds": [NOTE], "since": NOW + 5})
    assert event in stored(client, {"since": NOW + 5})


def test_b5_prefix_of_an_author_is_refused_in_words(
    client: Client, author: Author
) -> None:
    client.send("REQ", "a", {"authors": [author.pubkey[:32]]})
    assert client.expect("CLOSED", "a")[2].startswith("invalid:")


def test_b5_negative_date_and_large_kind_in_a_filter_are_refused_in_words(
    client: Client,
) -> None:
    for number, filter_ in enumerate(({"since": -1}, {"kinds": [65_536]})):
        client.send("REQ", f"{number}", filter_)
        assert client.expect("CLOSED", f"{number}")[2].startswith("invalid:")


# --- Ephemeral events


def test_d1_ephemeral_event_reaches_who_subscribed_and_is_not_stored(
    client: Client, connect: Connect, author: Author
) -> None:
    wanted = {"kinds": [EPHEMERAL], "authors": [author.pubkey]}
    assert not client.subscribe("a", wanted)
    other = connect(name="other")
    event = author.event("now or never", kind=EPHEMERAL, tags=[["test"]])
    accept(other, event)
    assert client.expect("EVENT", "a")[2] == event
    assert not stored(other, wanted)


# --- Replaceable and addressable events


def version(author: Author, kind: int, age: int, d: str = "d") -> NostrEvent:
    return author.event(
        f"{age}", kind=kind, created_at=NOW - age, tags=[["d", d]] * (kind >= 30000)
    )


@pytest.mark.parametrize("kind", [0, CONTACTS, 10_002, ARTICLE])
def test_d9_only_the_newest_version_is_stored(
    client: Client, author: Author, kind: int
) -> None:
    old, new = version(author, kind, 100), version(author, kind, 50)
    accept(client, old, new)
    wanted = {"kinds": [kind], "authors": [author.pubkey]}
    if kind == ARTICLE:
        wanted["#d"] = ["d"]
    wait_until(lambda: stored(client, wanted) == [new], "the newest alone", pause=0.2)
    assert stored(client, wanted | {"limit": 5}) == [new]
    # An older one that comes later changes nothing.
    client.publish(version(author, kind, 80))
    assert stored(client, wanted) == [new]


# --- Deletions (NIP-09): what relays deleted does not come back through us


def deletion(author: Author, *targets: str, age: int = 0) -> NostrEvent:
    tags = [["a" if ":" in target else "e", target] for target in targets]
    return author.event(kind=DELETION, created_at=NOW - age, tags=tags)


def address(author: Author, kind: int = ARTICLE, d: str = "d") -> str:
    return f"{kind}:{author.pubkey}:{d}"


def test_c4_deletion_by_id_removes_the_event_and_keeps_it_away(
    client: Client, author: Author
) -> None:
    note = author.event("wrong", created_at=NOW - 100)
    accept(client, note, deletion(author, note["id"]))
    wait_gone(client, note)
    client.publish(note)
    assert gone(client, note)


def test_c4_deletion_by_address_removes_older_versions_alone(
    client: Client, author: Author
) -> None:
    old, new = version(author, ARTICLE, 100), version(author, ARTICLE, 20)
    accept(client, old, deletion(author, address(author), age=50))
    wait_gone(client, old)
    client.publish(old)
    assert gone(client, old)
    accept(client, new)
    assert stored(client, {"ids": [new["id"]]}) == [new]


def test_c4_deletion_by_address_is_bound_to_kind_and_name(
    client: Client, author: Author
) -> None:
    wrong = version(author, ARTICLE, 100)
    others = [version(author, ARTICLE, 100, "e"), version(author, DRAFT, 100)]
    accept(client, wrong, *others, deletion(author, address(author), age=50))
    wait_gone(client, wrong)
    assert ids(stored(client, {"authors": [author.pubkey]})) >= ids(others)


def test_c4_nobody_deletes_what_others_published(
    client: Client, author: Author, stranger: Author
) -> None:
    note, article = author.event("mine"), version(author, ARTICLE, 100)
    accept(client, note, article)
    client.publish(deletion(stranger, note["id"]))
    client.publish(deletion(stranger, address(author)))
    assert ids(stored(client, {"authors": [author.pubkey]})) == ids([note, article])


# --- What else makes a good relay


def test_c3_private_message_is_accepted_from_anybody(
    client: Client, author: Author, stranger: Author
) -> None:
    for kind in (4, 1059):
        event = stranger.event("sealed", kind=kind, tags=[["p", author.pubkey]])
        accept(client, event)
        assert ids(stored(client, {"#p": [author.pubkey], "kinds": [kind]})) == {
            event["id"]
        }


def test_f2_contact_list_of_5000_is_accepted(client: Client, author: Author) -> None:
    tags = [["p", f"{number:064x}"] for number in range(5000)]
    contacts = author.event(kind=CONTACTS, tags=tags)
    accept(client, contacts)
    assert stored(client, {"ids": [contacts["id"]]}) == [contacts]


def test_d3_fields_keep_their_order_and_unknown_ones_stay_away(
    client: Client, connect: Connect, author: Author
) -> None:
    other = connect(name="other")
    assert not other.subscribe("a", {"authors": [author.pubkey]})
    note = author.event("a note")
    client.send("EVENT", note | {"x": 1})
    came = other.expect("EVENT", "a")[2]
    assert {key: came[key] for key in note} == note


def test_f2_connections_follow_each_other_at_once(connect: Connect) -> None:
    for number in range(20):
        client = connect(name=f"{number}")
        assert client.open
        client.close()


def test_a4_idle_connection_without_subscription_stays(
    client: Client, author: Author
) -> None:
    client.expect_nothing(seconds=3)
    accept(client, author.event("still here"))


def test_f2_fifty_subscriptions_are_served_and_the_next_refused_in_words(
    client: Client, author: Author
) -> None:
    names = [f"{number}" for number in range(50)]
    for name in names:
        assert not client.subscribe(name, {"authors": [author.pubkey]})
    client.send("REQ", "one more", {"authors": [author.pubkey]})
    assert client.expect("CLOSED", "one more")[2].startswith("error:")
    note = author.event("for all of them")
    client.send("EVENT", note)
    for name in names:
        wait_until(lambda: client.all_events(name) == [note["id"]], name)  # noqa: B023
