"""One client's protocol: every message gets its answer, and only one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nostrclient.nostr.delivery import (
    Closed,
    Counted,
    Delivered,
    Eose,
    Progress,
    PublishResult,
    RelayChanged,
)
from nostrclient.nostr.message import prefix
from nostrclient.nostr.session import (
    Authenticated,
    Command,
    Count,
    Publish,
    Subscribe,
    Unsubscribe,
)
from nostrclient.nostr.settings import DEFAULTS, KIB, PUBLIC_LIMITS

from .builders import KEY, NOW, OTHER_KEY, signed
from .session_client import EVENT, START, A, B, Client, asked

# --- B: what clients send


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        "[]",
        "[[]]",
        "null",
        '["WHAT","a"]',
        '["EVENT"]',
        '["EVENT",7]',
        '["EVENT",{"kind":1}]',
        '["REQ"]',
        '["REQ",{}]',
        '["CLOSE",null]',
        "[" * 5000,
    ],
)
def test_b1_message_without_an_id_is_answered_with_a_notice(text: str) -> None:
    client = Client()
    (reply,), commands = client.raw(text)
    assert reply[0] == "NOTICE"
    assert not commands
    assert client.send("REQ", "a", {})[1]  # the connection survives


DISPUTED = ['"a":1,"a":2', f'"a":{"9" * 5000}', '"a":{"b":1,"b":1}']


@pytest.mark.parametrize("disputed", DISPUTED, ids=range(len(DISPUTED)))
def test_b1_json_that_only_we_refuse_is_answered_by_its_id(disputed: str) -> None:
    answers: dict[str, list[object]] = {
        f'["EVENT",{{"id":"x",{disputed}}}]': ["OK", "x", False],
        f'["AUTH",{{{disputed},"id":"x"}}]': ["OK", "x", False],
        f'["REQ","a",{{{disputed}}}]': ["CLOSED", "a"],
        f'["COUNT","a",{{{disputed}}}]': ["CLOSED", "a"],
        f'["CLOSE","a",{{{disputed}}}]': ["NOTICE"],
        f'["EVENT",{{"id":7,{disputed}}}]': ["NOTICE"],
        f'["EVENT",{{"id":"x","b":NaN,{disputed}}}]': ["NOTICE"],
        f'["EVENT",{{"id":"x",{disputed}}}': ["NOTICE"],
    }
    for text, expected in answers.items():
        client = Client()
        client.req("a")
        (reply,), commands = client.raw(text)
        assert reply[: len(expected)] == expected
        assert prefix(reply[-1]) == "invalid"
        assert [type(item) for item in commands] == (
            [Unsubscribe] if text.startswith('["REQ"') else []
        )


def test_b1_a_binary_frame_is_answered_with_a_notice() -> None:
    (reply,), commands = Client.sort(Client().session.receive_binary())
    assert reply[0] == "NOTICE"
    assert not commands


@pytest.mark.parametrize(
    "event",
    [
        {"id": "x"},
        {"id": ""},
        {"id": "0" * 64},
        {"id": EVENT.id, "kind": "1"},
        json.loads(EVENT.text) | {"content": "another"},
        json.loads(EVENT.text) | {"sig": "0" * 128},
        json.loads(EVENT.text) | {"content": "\ud800"},
    ],
)
def test_b1_every_event_with_a_string_id_gets_one_ok(event: dict[str, Any]) -> None:
    (reply,), commands = Client().send("EVENT", event)
    assert reply[:3] == ["OK", event["id"], False]
    assert prefix(reply[3]) == "invalid"
    assert not commands


@pytest.mark.parametrize("verb", ["REQ", "COUNT"])
@pytest.mark.parametrize(
    "rest",
    [
        [],
        [None],
        [[]],
        [{"kinds": "1"}],
        [{}, {"ids": ["short"]}],
        [{"since": -1}],
        [{}] * 11,
    ],
)
def test_b1_a_refused_req_or_count_gets_closed(verb: str, rest: list[Any]) -> None:
    (reply,), commands = Client().send(verb, "a", *rest)
    assert reply[:2] == ["CLOSED", "a"]
    assert prefix(reply[2]) in ("invalid", "error")
    assert not commands


@pytest.mark.parametrize("subscription_id", ["", "a" * 65, "☃" * 65])
def test_b2_a_subscription_id_has_1_to_64_characters(subscription_id: str) -> None:
    (reply,), _ = Client().send("REQ", subscription_id, {})
    assert reply[:2] == ["CLOSED", subscription_id]
    assert prefix(reply[2]) == "invalid"


@pytest.mark.parametrize("subscription_id", ["a", "☃" * 64, '"]\\', "\n\x00", "\ud800"])
def test_b2_any_characters_will_do_and_come_back_as_they_were(
    subscription_id: str,
) -> None:
    client = Client()
    upstream_id = client.req(subscription_id)
    replies, _ = client.deliver(
        asked(upstream_id, A), Delivered(upstream_id, EVENT, A), Eose(upstream_id, A)
    )
    assert replies == [
        ["EVENT", subscription_id, json.loads(EVENT.text)],
        ["EOSE", subscription_id],
    ]


def test_b2_two_clients_with_the_same_id_never_mix() -> None:
    one, two = Client(), Client()
    two.req("other")
    first, second = one.req("a"), two.req("a")
    assert first != second
    assert two.deliver(Delivered(first, EVENT, A), Eose(first, A))[0] == []


def test_b3_a_req_with_an_open_id_replaces_it() -> None:
    client = Client()
    old = client.req("a", {"kinds": [1]})
    _, commands = client.send("REQ", "a", {"kinds": [2]})
    assert commands[0] == Unsubscribe(old)
    assert isinstance(commands[1], Subscribe)
    new = commands[1].upstream_id
    assert new != old
    replies, _ = client.deliver(
        Delivered(old, EVENT, A), Eose(old, A), Closed(old, A, "blocked: x")
    )
    assert replies == []
    assert client.session.upstream_ids == [new]


def test_b3_replacing_is_possible_at_the_limit_of_subscriptions() -> None:
    client = Client()
    for number in range(50):
        client.req(f"s{number}")
    (reply,), commands = client.send("REQ", "one more", {})
    assert reply[:2] == ["CLOSED", "one more"]
    assert prefix(reply[2]) == "error"
    assert not commands
    assert client.session.subscription_count == 50
    client.req("s7", {"kinds": [1]})
    assert client.session.subscription_count == 50


def test_b3_a_refused_req_ends_what_was_open_under_its_id() -> None:
    client = Client()
    upstream_id = client.req("a")
    (reply,), commands = client.send("REQ", "a", {"kinds": 1})
    assert reply[0] == "CLOSED"
    assert commands == [Unsubscribe(upstream_id)]


def test_b4_nothing_comes_after_close_and_nothing_is_left() -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id, A))
    replies, commands = client.send("CLOSE", "a")
    assert replies == []
    assert commands == [Unsubscribe(upstream_id)]
    late = (
        Delivered(upstream_id, EVENT, A),
        Progress(upstream_id, A),
        Eose(upstream_id, A),
        Closed(upstream_id, A, "blocked: no"),
        RelayChanged(A, False, False),
    )
    assert client.deliver(*late) == ([], [])
    client.now += 100
    assert client.tick() == []
    assert client.session.upstream_ids == []
    assert client.session.subscription_count == 0
    assert client.session.deadline(client.now) is None
    assert client.send("CLOSE", "a") == ([], [])


def test_b4_subscription_closed_during_a_burst_gets_no_more_events() -> None:
    client = Client()
    upstream_id = client.req("a")
    events = [Delivered(upstream_id, EVENT, A)] * 3
    burst = client.session.deliver([*events, Eose(upstream_id, A)], client.now)
    next(burst)
    client.send("CLOSE", "a")
    assert list(burst) == []


@pytest.mark.parametrize("by_time", [True, False])
def test_b3_no_eose_of_an_old_req_follows_the_one_that_replaced_it(
    by_time: bool,
) -> None:
    # Both end their wait at once; while the first EOSE is being sent the client
    # replaces the other subscription: its EOSE would pass for the new one's.
    client = Client()
    for subscription_id in ("a", "b"):
        upstream_id = client.req(subscription_id)
        client.deliver(asked(upstream_id, A, B), Eose(upstream_id, A))
    output: Iterator[str | Command]
    if by_time:
        client.now += 4
        output = client.session.tick(client.now)
    else:
        changed = RelayChanged(B, False, False)
        output = client.session.deliver([changed], client.now)
    assert next(output) == '["EOSE","a"]'
    client.req("b", {"kinds": [7]})
    assert list(output) == []


def test_b4_close_is_never_rate_limited() -> None:
    client = Client(DEFAULTS.public)
    upstream_id = client.req("a")
    while client.send("REQ", "x")[0][0][2] != "rate-limited: slow down":
        pass
    assert client.send("CLOSE", "a")[1] == [Unsubscribe(upstream_id)]


def test_b5_filters_that_match_nothing_are_left_out() -> None:
    _, commands = Client().send("REQ", "a", {"authors": []}, {"kinds": [1]})
    assert isinstance(commands[0], Subscribe)
    assert [item.json for item in commands[0].filters] == [{"kinds": [1]}]


def test_b5_with_no_filter_left_there_is_an_eose_and_an_open_subscription() -> None:
    client = Client()
    old = client.req("a")
    replies, commands = client.send("REQ", "a", {"ids": []}, {"kinds": []})
    assert replies == [["EOSE", "a"]]
    assert commands == [Unsubscribe(old)]
    assert client.session.subscription_count == 1
    client.now += 100
    assert client.tick() == []
    assert client.send("CLOSE", "a") == ([], [])
    assert client.session.subscription_count == 0


# --- C: publishing


def test_c1_a_good_event_goes_to_the_relays_and_its_ok_comes_with_the_verdict() -> None:
    client = Client()
    replies, commands = client.publish(EVENT.text)
    assert replies == []
    assert commands == [Publish(EVENT)]
    verdict = PublishResult(EVENT.id, True, "stored")
    assert client.deliver(verdict)[0] == [["OK", EVENT.id, True, "stored"]]
    assert client.deliver(verdict)[0] == []


@pytest.mark.parametrize(
    ("kind", "tags", "expected"),
    [
        (1, [["expiration", str(NOW - 1)]], "invalid"),
        (1, [["expiration", str(NOW)]], "invalid"),
        (1, [["-"]], "blocked"),
        (1, [["t", "x"], ["-", "more"]], "blocked"),
        (22242, [], "invalid"),
    ],
)
def test_c1_protected_and_auth_events_are_not_forwarded(
    kind: int, tags: list[list[str]], expected: str
) -> None:
    event = signed(kind=kind, tags=tags)
    (reply,), commands = Client().publish(event.text)
    assert reply[:3] == ["OK", event.id, False]
    assert prefix(reply[3]) == expected
    assert not commands


@pytest.mark.parametrize(
    ("kind", "content", "is_forwarded"),
    [
        (6, json.dumps({"tags": [["-"]]}), False),
        (16, json.dumps({"tags": [["t", "a"], ["-"]]}), False),
        (16, json.dumps({"tags": [["t", "-"]]}), True),
        (1, json.dumps({"tags": [["-"]]}), True),
        (6, "", True),
        (6, "[]", True),
        (6, '{"tags": [[]]}', True),
        (6, "[" * 100_000, True),
    ],
)
def test_c1_repost_of_a_protected_event_is_not_forwarded(
    kind: int, content: str, is_forwarded: bool
) -> None:
    event = signed(content, kind=kind)
    replies, commands = Client().publish(event.text)
    if is_forwarded:
        assert commands == [Publish(event)]
        return
    assert not commands
    assert [reply[:3] for reply in replies] == [["OK", event.id, False]]
    assert prefix(replies[0][3]) == "blocked"


def test_f2_public_client_may_publish_a_contact_list_of_370_kb() -> None:
    event = signed(kind=3, tags=[["p", f"{number:064x}"] for number in range(5100)])
    assert 365_000 < len(event.text) < 512 * KIB
    client = Client(PUBLIC_LIMITS)
    assert client.publish(event.text) == ([], [Publish(event)])


def test_c1_an_event_that_expires_later_is_forwarded() -> None:
    event = signed(tags=[["expiration", str(NOW + 1)]])
    assert Client().publish(event.text) == ([], [Publish(event)])


def test_c7_each_of_two_equal_events_gets_its_own_ok() -> None:
    client = Client()
    client.publish(EVENT.text)
    client.publish(EVENT.text)
    verdict = PublishResult(EVENT.id, True, "")
    replies, _ = client.deliver(verdict, verdict, verdict)
    assert replies == [["OK", EVENT.id, True, ""]] * 2


def test_c3_a_verdict_on_its_way_does_not_answer_for_a_later_publication() -> None:
    # The first was refused, which the client does not know yet, when the second goes
    # out: were both told `false`, the second would be sent all the same.
    client = Client()
    client.publish(EVENT.text)
    refused = PublishResult(EVENT.id, False, "blocked: no")
    client.publish(EVENT.text)
    assert client.deliver(refused)[0] == [["OK", EVENT.id, False, "blocked: no"]]
    accepted = PublishResult(EVENT.id, True, "")
    assert client.deliver(accepted)[0] == [["OK", EVENT.id, True, ""]]


# --- D: subscribing


def test_d1_a_notice_says_once_that_no_relay_is_connected() -> None:
    client = Client()
    (notice,), commands = client.deliver(asked(client.req("a"), also=(A,)))
    assert notice[0] == "NOTICE"
    assert not commands
    assert client.deliver(asked(client.req("b")))[0] == []
    assert client.session.subscription_count == 2


def test_d1_subscription_waits_for_a_relay_that_is_added_later() -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id))
    client.now += 4
    assert client.tick() == [["EOSE", "a"]]
    client.now += 86_400
    replies, _ = client.deliver(
        RelayChanged(A, True, True),
        Delivered(upstream_id, EVENT, A),
        Eose(upstream_id, A),
    )
    assert replies == [["EVENT", "a", json.loads(EVENT.text)]]


def test_d4_stored_events_precede_the_eose() -> None:
    client = Client()
    upstream_id = client.req("a")
    replies, _ = client.deliver(
        asked(upstream_id, A, B),
        Delivered(upstream_id, EVENT, A),
        Eose(upstream_id, A),
        Delivered(upstream_id, EVENT, B),
        Eose(upstream_id, B),
        Delivered(upstream_id, EVENT, B),
        Eose(upstream_id, B),
    )
    assert [reply[0] for reply in replies] == ["EVENT", "EVENT", "EOSE", "EVENT"]


@pytest.mark.parametrize("known", [True, False])
def test_d4_stored_events_show_that_a_relay_is_busy(known: bool) -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id, A))
    client.now = START + 3.9
    event = Progress(upstream_id, A) if known else Delivered(upstream_id, EVENT, A)
    client.deliver(event)
    client.now = START + 4
    assert client.tick() == []
    assert client.session.deadline(client.now) == START + 4.9
    client.now = START + 4.9
    assert client.tick() == [["EOSE", "a"]]


def test_timeline_4_start_up_with_two_reqs_before_any_relay_is_connected() -> None:
    client = Client()
    ids = [client.req("requests"), client.req("responses")]
    for upstream_id in ids:
        client.deliver(asked(upstream_id, A, B))
    client.now = START + 1
    client.deliver(RelayChanged(A, True, True))
    for upstream_id in ids:
        assert client.deliver(Eose(upstream_id, A))[0] == []
    client.now = START + 3.9
    client.deliver(RelayChanged(B, True, True))
    client.now = START + 4
    assert client.tick() == []
    client.now = START + 4.3
    for upstream_id, name in zip(ids, ["requests", "responses"], strict=True):
        replies, _ = client.deliver(
            Delivered(upstream_id, EVENT, B), Eose(upstream_id, B)
        )
        assert replies == [["EVENT", name, json.loads(EVENT.text)], ["EOSE", name]]


# --- D5, D6: what relays close and count


def test_d5_closed_reaches_the_client_when_every_relay_closed_for_good() -> None:
    client = Client()
    upstream_id = client.req("a")
    client.deliver(asked(upstream_id, A, B))
    assert client.deliver(Closed(upstream_id, A, "strange")) == ([], [])
    replies, commands = client.deliver(Closed(upstream_id, B, "strange"))
    assert replies == [["CLOSED", "a", "error: strange"]]
    assert commands == [Unsubscribe(upstream_id)]
    assert client.session.subscription_count == 0


def test_d6_a_count_is_answered_once() -> None:
    client = Client()
    _, commands = client.send("COUNT", "c", {"kinds": [1]})
    assert isinstance(commands[0], Count)
    upstream_id = commands[0].upstream_id
    answers = [Counted(upstream_id, 7), Counted(upstream_id, 8)]
    assert client.deliver(*answers)[0] == [["COUNT", "c", {"count": 7}]]
    assert client.send("COUNT", "c", {"kinds": []})[0] == [["COUNT", "c", {"count": 0}]]


def test_d6_a_count_nobody_can_answer_is_closed_as_unsupported() -> None:
    client = Client()
    _, commands = client.send("COUNT", "c", {})
    assert isinstance(commands[0], Count)
    (reply,), _ = client.deliver(Counted(commands[0].upstream_id, None))
    assert reply[:2] == ["CLOSED", "c"]
    assert prefix(reply[2]) == "unsupported"


@pytest.mark.parametrize(
    "bad",
    ['["COUNT","a",{"kinds":"x"}]', '["COUNT","a",{"a":1,"a":2}]'],
    ids=["invalid", "disputed"],
)
def test_b3b_a_refused_count_leaves_the_subscription_of_its_id_open(bad: str) -> None:
    client = Client()
    client.req("a")
    (reply,), commands = client.raw(bad)
    assert reply[:2] == ["CLOSED", "a"]
    assert not commands
    assert client.session.subscription_count == 1


def test_b3b_a_count_that_is_too_large_or_too_fast_closes_no_subscription() -> None:
    client = Client(DEFAULTS.public)
    client.req("a")
    assert client.raw(large(["COUNT", "a", {}]))[1] == []
    for _ in range(150):
        client.send("COUNT", "a", {"kinds": "x"})
    assert client.session.subscription_count == 1
    assert client.send("REQ", "a", {"kinds": "x"})[1]  # that one closes it


def test_b3b_a_closed_count_and_an_open_req_of_one_id_are_two() -> None:
    client = Client()
    _, (command,) = client.send("COUNT", "a", {})
    assert isinstance(command, Count)
    upstream_id = client.req("a")
    replies, commands = client.deliver(Counted(command.upstream_id, None))
    assert replies == [["CLOSED", "a", "unsupported: no relay can count"]]
    assert commands == []
    assert client.deliver(Delivered(upstream_id, EVENT, A))[0][0][:2] == ["EVENT", "a"]


def test_d6_approximate_and_registers_reach_the_client() -> None:
    client = Client()
    _, (command,) = client.send("COUNT", "a", {})
    assert isinstance(command, Count)
    hll = bytes(range(256))
    replies, _ = client.deliver(Counted(command.upstream_id, 9, True, hll))
    assert replies == [
        ["COUNT", "a", {"count": 9, "approximate": True, "hll": hll.hex()}]
    ]


@pytest.mark.parametrize("verb", ["NEG-OPEN", "NEG-MSG"])
def test_d6b_negentropy_is_refused_at_once(verb: str) -> None:
    client = Client(DEFAULTS.public)
    client.req("a")
    for text in (
        json.dumps([verb, "a", {}, "6100"]),
        large([verb, "a", {}, "61"]),
        f'["{verb}","a",{{"a":1,"a":2}},"61"]',
    ):
        replies, commands = client.raw(text)
        assert [reply[:2] for reply in replies] == [["NEG-ERR", "a"]]
        assert prefix(replies[0][2]) in ("blocked", "invalid", "error")
        assert commands == []
    assert client.raw(f'["{verb}",7]')[0][0][0] == "NOTICE"
    for _ in range(100):
        replies, _ = client.send(verb, "a", {}, "6100")
    assert prefix(replies[0][2]) == "rate-limited"
    assert client.session.subscription_count == 1


def test_d6b_the_end_of_a_negotiation_needs_no_answer() -> None:
    assert Client().send("NEG-CLOSE", "a") == ([], [])


# --- F: limits


def large(message: list[object]) -> str:
    padding = " " * DEFAULTS.public.message_bytes
    return json.dumps(message)[:-1] + padding + "]"


def test_f2_too_large_message_is_refused_by_its_id_if_it_has_one() -> None:
    client = Client()
    event_id = "0f" * 32
    refused: dict[str, list[object]] = {
        large(["EVENT", {"content": "", "id": event_id}]): ["OK", event_id, False],
        large(["REQ", "a", {}]): ["CLOSED", "a"],
        large(["COUNT", "a", {}]): ["CLOSED", "a"],
        large(["NOTHING"]): ["NOTICE"],
        "x" * (16 * 1024**2): ["NOTICE"],
        json.dumps("é" * 280_000, ensure_ascii=False): ["NOTICE"],
    }
    for text, expected in refused.items():
        (reply,), commands = client.raw(text)
        assert reply[: len(expected)] == expected
        assert prefix(reply[-1]) == "error"
        assert not commands


def test_f2_a_message_as_large_as_allowed_passes() -> None:
    limit = DEFAULTS.public.message_bytes
    for text in ("x" * (limit - 20), "é" * (limit // 2 - 10)):
        message = json.dumps(["REQ", "a", {"search": text}], ensure_ascii=False)
        excess = len(message.encode()) - limit
        message = json.dumps(
            ["REQ", "a", {"search": text[: len(text) - max(0, excess)]}],
            ensure_ascii=False,
        )
        assert len(message.encode()) <= limit
        assert Client().raw(message)[1]


def test_f2_too_fast_client_is_told_and_every_event_gets_its_ok() -> None:
    client = Client(DEFAULTS.public)
    event_id = "0f" * 32
    for _ in range(100):
        client.send("REQ", "a", {})
    refused: dict[str, list[object]] = {
        f'["EVENT",{EVENT.text}]': ["OK", EVENT.id, False],
        large(["EVENT", {"content": "", "id": event_id}]): ["OK", event_id, False],
        '["AUTH",{"id":"x"}]': ["OK", "x", False],
        '["REQ","b",{}]': ["CLOSED", "b"],
        large(["REQ", "b", {}]): ["CLOSED", "b"],
        "nonsense": ["NOTICE"],
        '["EVENT",{"id":"x","a":1,"a":2}]': ["OK", "x", False],
    }
    for text, expected in refused.items():
        (reply,), commands = client.raw(text)
        assert reply[: len(expected)] == expected
        assert prefix(reply[-1]) == "rate-limited"
        assert not commands
    assert client.session.dropped == len(refused)
    client.now += 1
    assert client.publish(EVENT.text) == ([], [Publish(EVENT)])
    assert client.session.dropped == len(refused)
    assert client.session.received == 100 + len(refused) + 1


def test_h5_client_authenticates_as_several_keys() -> None:
    client = Client()
    verb, challenge = json.loads(client.session.challenge(["wss://us.example/relay"]))
    assert verb == "AUTH"
    tags = [["relay", "ws://us.example/relay/"], ["challenge", challenge]]
    for key in (KEY, OTHER_KEY):
        event = signed("", 22242, tags, NOW, key)
        replies, commands = client.send("AUTH", json.loads(event.text))
        assert replies == [["OK", event.id, True, ""]]
        assert commands == [Authenticated(key.public_key.hex())]
    assert client.session.keys == {KEY.public_key.hex(), OTHER_KEY.public_key.hex()}


def test_h5_auth_that_proves_nothing_is_refused_and_changes_nothing() -> None:
    client = Client()
    client.session.challenge(["wss://us.example/relay"])
    tags = [["relay", "wss://us.example/relay"], ["challenge", "another"]]
    event = signed("", 22242, tags, NOW)
    replies, commands = client.send("AUTH", json.loads(event.text))
    assert replies == [["OK", event.id, False, "invalid: it answers another challenge"]]
    assert commands == []
    forged = json.loads(event.text) | {"content": "forged"}
    replies, _ = client.send("AUTH", forged)
    assert replies[0][2] is False
    assert not client.session.keys


def test_f6_auth_is_answered_and_never_forwarded() -> None:
    event = signed(kind=22242)
    replies, commands = Client().send("AUTH", json.loads(event.text))
    assert replies == [["OK", event.id, False, "invalid: no challenge was sent"]]
    assert not commands
