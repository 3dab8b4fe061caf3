"""H5: who may do what on the public endpoint."""

import json
from typing import Any, NamedTuple

import pytest

from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import AUTH_KIND, Event
from nostrclient.nostr.guests import (
    OPEN_TO_ALL,
    GuestRules,
    parse_kinds,
    parse_networks,
)
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.session import Publish, Subscribe, Unsubscribe

from .builders import KEY, NOW, OTHER_KEY, signed
from .session_client import Client

URL = "wss://endpoint.example/nostrclient/api/v1/relay"
LISTED, OTHER = KEY, OTHER_KEY
DENIED = PrivateKey.from_hex("03" * 32)
THROWN_AWAY = PrivateKey.from_hex("04" * 32)


def hex_of(key: PrivateKey) -> str:
    return key.public_key.hex()


class Case(NamedTuple):
    """A client that authenticated as some keys, and what it may do."""

    rules: dict[str, Any]
    auth: tuple[PrivateKey, ...]
    author: PrivateKey
    kind: int
    read: str  # prefix of the refusal; empty: it may
    publish: str


READ: dict[str, Any] = {"auth_to_read": True}
WRITE: dict[str, Any] = {"auth_to_publish": True}
LIST: dict[str, Any] = {"allowed_keys": frozenset((hex_of(LISTED),))}
DENY: dict[str, Any] = {"denied_keys": frozenset((hex_of(DENIED),))}
KINDS: dict[str, Any] = {"allowed_kinds": parse_kinds(["1", "30000-39999"])}
NO_DMS: dict[str, Any] = {"denied_kinds": parse_kinds(["4", "1059"])}
AUTH, STOP, NOT_LISTED = "auth-required", "blocked", "restricted"

TABLE = [
    # Without rules everybody may do everything.
    Case({}, (), OTHER, 1, "", ""),
    Case({}, (), THROWN_AWAY, 1059, "", ""),
    Case({}, (OTHER,), OTHER, 1, "", ""),
    # AUTH is needed to read.
    Case(READ, (), OTHER, 1, AUTH, ""),
    Case(READ, (OTHER,), OTHER, 1, "", ""),
    Case(READ | LIST, (), LISTED, 1, AUTH, ""),
    Case(READ | LIST, (LISTED,), LISTED, 1, "", ""),
    Case(READ | LIST, (OTHER,), OTHER, 1, NOT_LISTED, NOT_LISTED),
    Case(READ | LIST, (OTHER, LISTED), OTHER, 1, "", ""),
    # AUTH is needed to publish.
    Case(WRITE, (), OTHER, 1, "", AUTH),
    Case(WRITE, (OTHER,), OTHER, 1, "", ""),
    Case(WRITE, (OTHER,), THROWN_AWAY, 1059, "", ""),
    Case(WRITE | LIST, (), LISTED, 1, "", AUTH),
    Case(WRITE | LIST, (LISTED,), LISTED, 1, "", ""),
    Case(WRITE | LIST, (LISTED,), THROWN_AWAY, 1059, "", ""),
    Case(WRITE | LIST, (OTHER,), OTHER, 1, "", NOT_LISTED),
    Case(WRITE | LIST, (OTHER,), LISTED, 1, "", NOT_LISTED),
    # Both.
    Case(READ | WRITE, (), OTHER, 1, AUTH, AUTH),
    Case(READ | WRITE, (OTHER,), OTHER, 1, "", ""),
    # A list of authors, without AUTH.
    Case(LIST, (), LISTED, 1, "", ""),
    Case(LIST, (), OTHER, 1, "", NOT_LISTED),
    Case(LIST, (), THROWN_AWAY, 1059, "", NOT_LISTED),
    Case(LIST, (LISTED,), THROWN_AWAY, 1059, "", ""),
    # Denied keys, as author and by AUTH, also beside a good key.
    Case(DENY, (), OTHER, 1, "", ""),
    Case(DENY, (), DENIED, 1, "", STOP),
    Case(DENY, (DENIED,), OTHER, 1, STOP, STOP),
    Case(DENY | READ, (OTHER, DENIED), OTHER, 1, STOP, STOP),
    Case(DENY | LIST | WRITE, (LISTED,), DENIED, 1, "", STOP),
    # Kinds.
    Case(KINDS, (), OTHER, 1, "", ""),
    Case(KINDS, (), OTHER, 30017, "", ""),
    Case(KINDS, (), OTHER, 40000, "", STOP),
    Case(KINDS, (), OTHER, 4, "", STOP),
    Case(NO_DMS, (), OTHER, 1059, "", STOP),
    Case(NO_DMS, (), OTHER, 1, "", ""),
    Case(KINDS | {"denied_kinds": parse_kinds(["30017"])}, (), OTHER, 30017, "", STOP),
]


def authenticate(client: Client, *keys: PrivateKey) -> None:
    challenge = json.loads(client.session.challenge([URL]))[1]
    for key in keys:
        tags = [["relay", URL], ["challenge", challenge]]
        event = Event("", None, NOW, AUTH_KIND, tags)
        key.sign_event(event)
        replies, _ = client.send("AUTH", event.to_dict())
        assert replies[0][2] is True


def prefix(text: str) -> str:
    return text.partition(":")[0]


@pytest.mark.parametrize("case", TABLE)
def test_h5_client_may_do_what_the_rules_say(case: Case) -> None:
    client = Client()
    client.session.set_guests(GuestRules(**case.rules))
    authenticate(client, *case.auth)

    event = signed(kind=case.kind, key=case.author)
    replies, commands = client.publish(event.text)
    if case.publish:
        [[name, event_id, accepted, message]] = replies
        assert (name, event_id, accepted) == ("OK", event.id, False)
        assert prefix(message) == case.publish
        assert commands == []
    else:
        assert replies == []
        assert commands == [Publish(event)]

    for verb in ("REQ", "COUNT"):
        replies, commands = client.send(verb, "a", {"kinds": [1]})
        if case.read:
            [[name, subscription_id, message]] = replies
            assert (name, subscription_id) == ("CLOSED", "a")
            assert prefix(message) == case.read
            assert commands == []
        else:
            assert replies == []
            assert len(commands) == 1


@pytest.mark.parametrize("case", TABLE)
def test_h5_user_over_http_is_known_by_the_login(case: Case) -> None:
    rules = GuestRules(**case.rules).for_users()
    event = signed(kind=case.kind, key=case.author)
    refusal = rules.publish_refusal(event, frozenset())
    denied = hex_of(case.author) in rules.denied_keys
    refused_kind = case.publish == STOP and not {DENIED} & set(case.auth)
    assert (refusal is not None) == (denied or refused_kind)
    assert rules.read_refusal(frozenset()) is None


def test_h5_changed_rules_close_what_a_client_may_not_read_any_more() -> None:
    client = Client()
    client.session.set_guests(OPEN_TO_ALL)
    upstream_id = client.req("a")
    replies, commands = client.sort(client.session.set_guests(GuestRules(**READ)))
    assert [reply[:2] for reply in replies] == [["CLOSED", "a"]]
    assert prefix(replies[0][2]) == AUTH
    assert commands == [Unsubscribe(upstream_id)]
    authenticate(client, OTHER)
    assert client.sort(client.session.set_guests(GuestRules(**READ))) == ([], [])
    _, commands = client.send("REQ", "a", {})
    assert isinstance(commands[0], Subscribe)


def test_h5_auth_as_a_denied_key_closes_what_was_open() -> None:
    client = Client()
    client.session.set_guests(GuestRules(**DENY))
    upstream_id = client.req("a")
    challenge = json.loads(client.session.challenge([URL]))[1]
    event = Event("", None, NOW, AUTH_KIND, [["relay", URL], ["challenge", challenge]])
    DENIED.sign_event(event)
    replies, commands = client.send("AUTH", event.to_dict())
    assert replies[1][:2] == ["CLOSED", "a"]
    assert Unsubscribe(upstream_id) in commands


@pytest.mark.parametrize(
    ("allow", "deny", "address", "admitted"),
    [
        ([], [], "192.0.2.7", True),
        ([], [], "not an address", True),
        (["192.0.2.0/24"], [], "192.0.2.7", True),
        (["192.0.2.0/24"], [], "::ffff:192.0.2.7", True),
        (["192.0.2.0/24"], [], "192.0.3.7", False),
        (["192.0.2.0/24"], [], "2001:db8::1", False),
        (["192.0.2.0/24"], [], "not an address", False),
        ([], ["192.0.2.7"], "192.0.2.7", False),
        ([], ["192.0.2.7"], "::ffff:192.0.2.7", False),
        ([], ["192.0.2.7"], "192.0.2.8", True),
        (["192.0.2.0/24"], ["192.0.2.7"], "192.0.2.7", False),
        ([], ["2001:db8::/32"], "2001:db8::1", False),
        ([], ["2001:db8::/32"], "fe80::1%eth0", True),
    ],
)
def test_h5_addresses_are_admitted_by_the_lists(
    allow: list[str], deny: list[str], address: str, admitted: bool
) -> None:
    rules = GuestRules(
        allowed_networks=parse_networks(allow), denied_networks=parse_networks(deny)
    )
    assert rules.admits(address) is admitted


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "5-2", "65536", "1.5", "²"])
def test_h5_wrong_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage, match="is not a kind"):
        parse_kinds([text])


@pytest.mark.parametrize("text", ["", "x", "192.0.2.256", "192.0.2.0/33", "host"])
def test_h5_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessage, match="is not an address"):
        parse_networks([text])


def test_a5_information_says_what_is_restricted() -> None:
    restricting = [WRITE, LIST, DENY, KINDS, NO_DMS]
    assert all(GuestRules(**rules).restricts_writes for rules in restricting)
    assert not GuestRules(**READ).restricts_writes
    assert [GuestRules(**rules).needs_auth for rules in ({}, READ, WRITE, LIST)] == [
        False,
        True,
        True,
        False,
    ]
