"""Messages: parsed as NIP-01 says, event text never touched."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr import event as events
from nostrclient.nostr import message
from nostrclient.nostr.errors import InvalidEvent, InvalidMessage
from nostrclient.nostr.event import SignedEvent

from .builders import signed
from .test_filter import json_values

EVENT = signed('["EVENT",{"id":"x"}] grüß \\ " ]}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "EVENT",
        "{}",
        "[]",
        '"EVENT"',
        "null",
        "[1]",
        "[null]",
        '["HELLO"]',
        '["event",{"id":"x"}]',
        '["EVENT"]',
        '["EVENT",null]',
        '["EVENT",{}]',
        '["EVENT",{"id":1}]',
        '["EVENT","sub",{"id":"x"}]',
        '["REQ"]',
        '["REQ",1]',
        '["REQ",null,{}]',
        '["COUNT",{}]',
        '["CLOSE"]',
        '["CLOSE",7]',
        '["AUTH"]',
        '["AUTH","challenge"]',
        '["REQ","a",{}',
        '["REQ","a",{"since":NaN}]',
        '["REQ","a",{"limit":1,"limit":2}]',
        "[" * 100_000,
        "[1e999999999" + "0" * 5000 + "]",
        "[" + "9" * 5000 + "]",
    ],
)
def test_b1_message_without_an_id_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessage):
        message.parse_client_message(text)


def test_b1_every_event_with_a_string_id_can_be_answered() -> None:
    for text in (
        '["EVENT",{"id":"x"}]',
        '["EVENT",{"id":"x"},"more"]',
        '["EVENT",{"id":"x","sig":[[[]]]}]',
        '["\\u0045VENT",{"id":"x"}]',
        '[ "EVENT" , { "id" : "x" } ] \n',
    ):
        parsed = message.parse_client_message(text)
        assert isinstance(parsed, message.ClientEvent)
        assert parsed.event_id == "x"


@pytest.mark.parametrize(
    "text",
    [
        f'["EVENT",{EVENT.text}]',
        f' [ "EVENT" ,\n {EVENT.text} \t] \r\n',
        f'["\\u0045VENT",{EVENT.text}]',
    ],
)
def test_c1_the_event_s_text_is_taken_out_as_it_is(text: str) -> None:
    parsed = message.parse_client_message(text)
    assert isinstance(parsed, message.ClientEvent)
    assert json.loads(parsed.text) == json.loads(EVENT.text)
    if "\\u0045" not in text:
        assert parsed.text == EVENT.text
    assert parsed.verify() == EVENT


def test_c1_event_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def decode(text: str) -> object:
        decoded.append(text)
        return json.loads(text)

    monkeypatch.setattr(message, "decode_json", decode)
    monkeypatch.setattr(events, "decode_json", decode)
    text = f'["EVENT",{EVENT.text}]'
    parsed = message.parse_client_message(text)
    assert isinstance(parsed, message.ClientEvent)
    assert parsed.verify() == EVENT
    assert decoded == [text]


@pytest.mark.parametrize("more", ["1", "{}", EVENT.text])
def test_c1_event_message_with_more_than_an_event_is_refused(more: str) -> None:
    parsed = message.parse_client_message(f'["EVENT",{EVENT.text},{more}]')
    assert isinstance(parsed, message.ClientEvent)
    with pytest.raises(InvalidEvent):
        parsed.verify()


def test_b2_a_subscription_id_is_any_string() -> None:
    for subscription_id in ("a", "", 'a"b\\c', "☃" * 64, "\x00", "\ud800"):
        text = json.dumps(["REQ", subscription_id, {}])
        parsed = message.parse_client_message(text)
        assert parsed == message.ClientReq(subscription_id, [{}])
        head = message.event_head(subscription_id)
        assert json.loads(f"{head}{EVENT.text}]")[1] == subscription_id
        assert head.isascii()
    assert message.parse_client_message('["COUNT","a",{}]') == message.ClientReq(
        "a", [{}], is_count=True
    )
    assert message.parse_client_message('["CLOSE","a"]') == message.ClientClose("a")


@given(json_values)
def test_b1_no_client_message_raises_anything_else(value: Any) -> None:
    for text in (
        json.dumps(value),
        json.dumps(["EVENT", value]),
        json.dumps(["REQ", value]),
        json.dumps([value, value]),
    ):
        with suppress(InvalidMessage):
            message.parse_client_message(text)


def test_b1_the_name_of_what_is_too_large_is_found_without_parsing() -> None:
    event_id = "0f" * 32
    large = json.dumps(["EVENT", {"content": '{"id":"' + "f0" * 32, "id": event_id}])
    assert message.find_event_id(large) == event_id
    assert message.find_event_id(json.dumps(["REQ", "a", {"id": event_id}])) is None
    assert message.glimpse_name('["REQ","a",{"ids":[') == ("CLOSED", "a")
    assert message.glimpse_name(' [ "COUNT" , "a b" ,{') == ("COUNT", "a b")
    assert message.glimpse_name('["NEG-OPEN","a",{},"61') == ("NEG-ERR", "a")
    assert message.glimpse_name('["EVENT","a",{') is None


# --- relays


def test_d3_a_relay_s_event_keeps_its_text() -> None:
    for text in (
        f'["EVENT","a b",{EVENT.text}]',
        f' ["EVENT" , "a b" ,  {EVENT.text}] \n',
        f'["EVENT","a\\u0020b",{EVENT.text}]',
    ):
        heard = message.parse_relay_message(text)
        assert isinstance(heard, message.RelayEvent)
        assert heard.wire_id == "a b"
        assert json.loads(heard.text) == json.loads(EVENT.text)
    assert message.find_wire_id(f'["EVENT","a b",{EVENT.text}]'[:80]) == "a b"
    assert message.find_wire_id('["OK","a",') is None


@pytest.mark.parametrize("more", ['"more"', "{}, [1]", EVENT.text])
def test_d3_what_follows_a_relay_s_event_is_cut_off(more: str) -> None:
    for text in (f'["EVENT","a",{EVENT.text},{more}]', f'["EVENT","a",{EVENT.text}]'):
        heard = message.parse_relay_message(text)
        assert isinstance(heard, message.RelayEvent)
        first = message.first_value(heard.text)
        assert (first or heard.text) == EVENT.text
    for broken in ("", "{", "[" * 100_000, "{} {}"):
        assert message.first_value(broken) is None


@pytest.mark.parametrize("wire_id", ["a b", 'a"\\b', "ä", ""])
def test_d3_a_known_head_gives_what_parsing_gives(wire_id: str) -> None:
    head = message.EventHead(wire_id)
    known = f'["EVENT",{json.dumps(wire_id)},{EVENT.text}]'
    assert head.event_text(known) == EVENT.text
    for text in (
        known,
        known + "\n",
        f" {known}",
        known[:-1],
        known.replace("EVENT", "event"),
        f'["EVENT",{json.dumps(wire_id)}]',
        f'["EVENT",{json.dumps(wire_id)},"{{}}"]',
        f'["EVENT",{json.dumps(wire_id + "c")},{EVENT.text}]',
    ):
        found = head.event_text(text)
        if found is None:
            continue
        try:
            heard = message.parse_relay_message(text)
        except InvalidMessage:
            with pytest.raises(InvalidEvent):
                SignedEvent.parse(found)
        else:
            assert heard == message.RelayEvent(wire_id, found)


def test_d3_every_message_of_a_relay_is_read() -> None:
    read = message.parse_relay_message
    assert read('["EOSE","a"]') == message.RelayEose("a")
    assert read('["OK","x",true,""]') == message.RelayOk("x", True, "")
    assert read('["OK","x",false]') == message.RelayOk("x", False, "")
    assert read('["OK","x",true,null]') == message.RelayOk("x", True, "")
    assert read('["CLOSED","a","error: no"]') == message.RelayClosed("a", "error: no")
    assert read('["CLOSED","a"]') == message.RelayClosed("a", "")
    assert read('["NOTICE","hi"]') == message.RelayNotice("hi")
    assert read('["COUNT","a",{"count":7}]') == message.RelayCount("a", 7)
    assert read('["COUNT","a",{"count":7,"approximate":true}]') == (
        message.RelayCount("a", 7, True)
    )
    hll = "07" * 256
    assert read(json.dumps(["COUNT", "a", {"count": 7, "hll": hll}])) == (
        message.RelayCount("a", 7, False, b"\x07" * 256)
    )
    assert read('["COUNT","a",{"count":7,"hll":[7]}]') == message.RelayCount("a", 7)
    assert read('["EOSE","a",["finish"]]') == message.RelayEose("a", True)
    assert read('["EOSE","a",["x",{},"more"]]') == message.RelayEose("a", False)
    for hints in ("[]", '["finish","more"]', '"finish"', "7", "null"):
        assert read(f'["EOSE","a",{hints}]') == message.RelayEose("a", None)
    assert read('["NEG-MSG","a","61ff"]') == message.RelayNegotiation("a", b"a\xff")
    assert read('["NEG-ERR","a","blocked: x",9]') == (
        message.RelayNegotiationError("a", "blocked: x")
    )
    assert read('["AUTH","c"]') == message.RelayAuth("c")
    assert read('["EOSE","a","more"]') == message.RelayEose("a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "[]",
        "{}",
        '["EOSE"]',
        '["EOSE",1]',
        '["OK","x"]',
        '["OK","x",1,""]',
        '["OK",true,"x"]',
        '["CLOSED"]',
        '["NOTICE",{}]',
        '["COUNT","a",{"count":-1}]',
        '["COUNT","a",{"count":"7"}]',
        '["NEG-MSG","a","6"]',
        '["NEG-MSG","a","xx"]',
        '["NEG-MSG","a"]',
        '["NEG-ERR"]',
        '["EVENT","a"]',
        '["EVENT","a",[]]',
        '["EVENT",{}]',
        '["PONG"]',
        "[" * 100_000,
    ],
)
def test_f3_garbage_of_a_relay_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessage):
        message.parse_relay_message(text)


@given(json_values)
def test_f3_no_relay_message_raises_anything_else(value: Any) -> None:
    for verb in ("EVENT", "OK", "EOSE", "CLOSED", "NOTICE", "COUNT", "AUTH"):
        for parts in ([verb, value], [verb, "a", value], [verb, "a", True, value]):
            with suppress(InvalidMessage):
                message.parse_relay_message(json.dumps(parts))


# --- reasons

FINAL = ["pow", "blocked", "restricted", "invalid", "mute", "auth-required"]


@pytest.mark.parametrize("prefix", FINAL)
def test_c_these_refusals_are_final(prefix: str) -> None:
    assert message.is_final(f"{prefix}: because")
    assert message.prefix(f"{prefix}: because") == prefix


@pytest.mark.parametrize(
    "text", ["rate-limited: slow", "error: disk", "", "no idea", "because: of it", ":"]
)
def test_c_these_refusals_are_transient(text: str) -> None:
    assert not message.is_final(text)


def test_c3_the_most_telling_reason_is_final_and_then_the_most_frequent() -> None:
    telling = message.most_telling
    assert telling(["error: a", "error: a", "blocked: b"]) == "blocked: b"
    assert telling(["pow: 20", "blocked: b", "blocked: b"]) == "blocked: b"
    assert telling(["error: a", "rate-limited: b", "rate-limited: b"]) == (
        "rate-limited: b"
    )
    assert telling([]) == ""


@given(st.text())
def test_b1_a_refusal_always_has_a_prefix(text: str) -> None:
    assert message.prefix(message.with_prefix(text))
    assert message.with_prefix("blocked: no") == "blocked: no"


def test_encoded_message_is_one_line_of_ascii() -> None:
    text = message.encode("NOTICE", "a\nb ☃ \ud800")
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(message.encode_event(EVENT.text)) == [
        "EVENT",
        json.loads(EVENT.text),
    ]


@pytest.mark.parametrize(
    ("notice", "speaks"),
    [
        ("rate limited", True),
        ("ERROR: rate-limited: slow down", True),
        ("Rate limit exceeded", True),
        ("rate_limited", True),
        ("you are sending too fast", True),
        ("error: Slow Down, please", True),
        ("blocked: too many messages", True),
        ("429 Too Many Requests", True),
        ("too many events per minute", True),
        ("ERROR: too many concurrent REQs", False),
        ("ERROR: bad msg: unparseable", False),
        ("exchange rate unlimited", False),
        ("separate limits apply", False),
        ("shutting down slowly", False),
        ("", False),
    ],
)
def test_c2b_a_notice_about_a_rate_is_recognised(notice: str, speaks: bool) -> None:
    assert message.speaks_of_rate(notice) is speaks


@pytest.mark.parametrize(
    ("text", "prefix", "passed_on"),
    [
        (
            "ERROR: auth-required: requested filter requires authentication",
            "auth-required",
            "auth-required: requested filter requires authentication",
        ),
        ("error: blocked: no", "blocked", "blocked: no"),
        ("Error:rate-limited: slow", "rate-limited", "rate-limited: slow"),
        ("ERROR: Blocked: no", "blocked", "blocked: no"),
        ("ERROR: bad req: unrecognised", "error", "error: bad req: unrecognised"),
        ("ERROR: error: busy", "error", "error: busy"),
        ("error: note: busy", "error", "error: note: busy"),
        ("error: busy", "error", "error: busy"),
        ("Note: it is full", "", "error: Note: it is full"),
        ("own-prefix: no", "own-prefix", "own-prefix: no"),
    ],
)
def test_c_an_error_prefix_before_another_one_is_skipped(
    text: str, prefix: str, passed_on: str
) -> None:
    assert message.prefix(text) == prefix
    assert message.with_prefix(text) == passed_on
