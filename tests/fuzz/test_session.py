"""Rules B1, B5, B6: whatever a client says is answered, and nothing stays behind."""

import json
from itertools import count
from typing import Any

import nostr_sdk
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nostrclient.nostr import message
from nostrclient.nostr.delivery import Counted, PublishResult
from nostrclient.nostr.session import (
    Command,
    Count,
    Publish,
    Session,
    Subscribe,
    Unsubscribe,
)
from nostrclient.nostr.settings import PRIVATE_LIMITS, Settings

from .effort import searching
from .protocol import check_reply, expected_answer, strict_json
from .strategies import client_texts

WALL = 1_700_000_000.0
DEEP = 400


class Client:
    """A session and the relays behind it, which take whatever it asks."""

    def __init__(self) -> None:
        numbers = count()
        self.session = Session(
            PRIVATE_LIMITS, Settings(), lambda: f"up{next(numbers)}", 0.0
        )
        self.now = 0.0
        self.open: dict[str, tuple[Any, ...]] = {}

    def send(self, text: str) -> list[list[Any]]:
        """Say something; gives the checked replies, those of the relays included."""
        self.now += 1
        replies: list[list[Any]] = []
        pending: list[str | Command] = list(self.session.receive(text, self.now, WALL))
        while pending:
            item = pending.pop(0)
            if isinstance(item, str):
                replies.append(check_reply(item))
            elif isinstance(item, Publish):
                check_published(item.event.text)
                verdict = PublishResult(item.event.id, True, "")
                pending += self.session.deliver([verdict], self.now)
            elif isinstance(item, Count):
                check_asked("COUNT", item)
                counted = Counted(item.upstream_id, 3)
                pending += self.session.deliver([counted], self.now)
            elif isinstance(item, Subscribe):
                check_asked("REQ", item)
                assert item.upstream_id not in self.open
                self.open[item.upstream_id] = item.filters
            elif isinstance(item, Unsubscribe):
                del self.open[item.upstream_id]
        assert sorted(self.open) == sorted(self.session.upstream_ids)
        return replies


def check_published(text: str) -> None:
    """Fail unless a strict relay would read this as an event that holds."""
    encoded = message.encode_event(text)
    encoded.encode()
    event = nostr_sdk.Event.from_json(json.dumps(strict_json(encoded)[1]))
    assert event.verify()


def check_asked(verb: str, asked: Subscribe | Count) -> None:
    """Fail unless a strict relay would read this as a REQ or COUNT (B5)."""
    text = message.encode(
        verb, asked.upstream_id, *(filter_.json for filter_ in asked.filters)
    )
    text.encode()
    strict_json(text)
    for filter_ in asked.filters:
        nostr_sdk.Filter.from_json(json.dumps(filter_.json))


def check_answered(text: str, replies: list[list[Any]]) -> None:
    """Fail unless it was answered as B1 says."""
    verb, subject = expected_answer(text)
    answers = [reply[0] for reply in replies]
    if verb == "NOTICE":
        assert answers == ["NOTICE"], (text, replies)
    elif verb == "OK":
        assert [reply[:2] for reply in replies] == [["OK", subject]], (text, replies)
    elif verb == "CLOSED":  # or it is served
        assert len(replies) <= 1
        assert all(answer in ("CLOSED", "EOSE", "COUNT") for answer in answers)
        assert all(reply[1] == subject for reply in replies), (text, replies)
    else:
        assert answers == [], (text, replies)


EXAMPLES = [
    '["REQ","s",{"search":5}]',
    '["REQ","s",{"search":"\\ud800"}]',
    '["REQ","s",{"#t":["\\udfff"]}]',
    '["REQ","s",{"x":1e999}]',
    '["REQ","s",{"x":' + "9" * 400 + "}]",
    '["REQ","s",{"x":' + "9" * 5000 + "}]",
    '["REQ","s",{"limit":' + "9" * 5000 + "}]",
    '["REQ","s",{"x":' + "[" * DEEP + "]" * DEEP + "}]",
    '["REQ","s",{"x":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}]",
    '["EVENT",{"id":"x","a":' + "[" * DEEP + "]" * DEEP + "},1]",
    '["REQ","s",{"#\\ud800":["a"]}]',
    '["REQ","s",{"\\ud800":1}]',
    '["REQ","s",{"#1":5}]',
    '["REQ","s",{"#tt":5}]',
    '["REQ","s",{"#tt":[]}]',
    '["REQ","s",{"since":1,"since":2}]',
    '["REQ","s",{"limit":-0}]',
    '["REQ","s",{"since":9007199254740992}]',
    '["COUNT","s",{}]',
    '["\\u0045VENT",{"id":"x"}]',
    "[" * 100_000,
    '{"a":' * 100_000,
    '["REQ","s",' + "{}," * 1000 + "{}]",
]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_b1_b5_known_nasty_messages(text: str) -> None:
    client = Client()
    check_answered(text, client.send(text))


@searching(300)
@given(st.lists(client_texts, max_size=8))
@example([])
def test_b1_b5_b6_whatever_a_client_says(texts: list[str]) -> None:
    client = Client()
    for text in texts:
        check_answered(text, client.send(text))
    for subscription_id in [expected_answer(text)[1] for text in texts]:
        client.send(json.dumps(["CLOSE", subscription_id]))
    assert client.session.upstream_ids == []
    assert client.session.subscription_count == 0
    assert client.session.deadline(client.now) is None


@searching(150)
@given(st.integers(1, 1100), st.sampled_from(["[]", "{}"]), st.integers(0, 2))
def test_b1_any_depth(depth: int, kind: str, extra: int) -> None:
    """Also depths at which decoding just works and encoding just does not."""
    if kind == "[]":
        nested = "[" * depth + "]" * depth
    else:
        nested = '{"a":' * depth + "1" + "}" * depth
    client = Client()
    for text in [
        f'["REQ","s",{{"x":{nested}}}]',
        f'["EVENT",{{"id":"x","tags":{nested}}}{",1" * extra}]',
        f'["\\u0045VENT",{{"id":"x","tags":{nested}}}]',
        nested,
    ]:
        replies = client.send(text)
        # Both decoders run out of depth, but not at the same one.
        if [reply[0] for reply in replies] != ["NOTICE"]:
            check_answered(text, replies)
