"""Events: what is signed elsewhere holds here, and nothing forged passes."""

import json
import random
import time
from contextlib import suppress
from hashlib import sha256
from typing import Any, cast

import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.errors import InvalidEvent, InvalidMessage
from nostrclient.nostr.event import (
    EncryptedDirectMessage,
    Event,
    EventKind,
    SignedEvent,
    decode_json,
)
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.message_type import ClientMessageType, RelayMessageType

KEY = PrivateKey.from_hex("01" * 32)
PUBKEY = KEY.public_key.hex()
# An x coordinate of no point (from BIP-340's vectors).
OFF_CURVE = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"
NOW = 1_700_000_000

# Generated code that type checkers take for something else.
NostrSdkError = cast(type[Exception], nostr_sdk.NostrSdkError)

# All of Unicode that UTF-8 can carry, control characters included.
texts = st.text(st.characters(exclude_categories=["Cs"]))
tag_lists = st.lists(st.lists(texts, min_size=1, max_size=4), max_size=4)
every_character = "".join(
    chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000
)


@pytest.fixture(scope="module")
def secp256k1() -> Any:
    return pytest.importorskip(
        "secp256k1", reason="this Python has no wheel of the independent library"
    )


def signed(
    content: str = "hello",
    kind: int = 1,
    tags: list[list[str]] | None = None,
    created_at: int = NOW,
) -> dict[str, Any]:
    """Sign an event; its JSON object is what the network carries."""
    event = Event(content, None, created_at, kind, tags if tags is not None else [])
    KEY.sign_event(event)
    return event.to_dict()


def sign_anything(fields: dict[str, Any]) -> str:
    """Sign what `Event` would refuse, with an id that does fit."""
    names = ("pubkey", "created_at", "kind", "tags", "content")
    event = {"pubkey": PUBKEY, "created_at": NOW, "kind": 1, "tags": [], "content": ""}
    event |= fields
    serialized = json.dumps(
        [0, *(event[name] for name in names)],
        separators=(",", ":"),
        ensure_ascii=False,
    )
    digest = sha256(serialized.encode("utf-8", "surrogatepass")).digest()
    event |= {"id": digest.hex(), "sig": KEY.sign_message_hash(digest)}
    return json.dumps(event)


def refused(event: dict[str, Any] | str) -> str:
    """Return the reason for which an event is refused."""
    text = event if isinstance(event, str) else json.dumps(event)
    with pytest.raises(InvalidEvent) as caught:
        SignedEvent.parse(text)
    return str(caught.value)


# --- what is good


def test_c1_a_good_event_is_taken_apart_and_its_text_kept() -> None:
    event = signed("grüß Gott 👋\n", 30023, [["d", "a"], ["expiration", "2000000000"]])
    text = json.dumps(event, indent=2)
    parsed = SignedEvent.parse(text)
    assert parsed.id == event["id"]
    assert parsed.pubkey == PUBKEY
    assert parsed.created_at == NOW
    assert parsed.kind == 30023
    assert parsed.tags == event["tags"]
    assert parsed.expiration == 2_000_000_000
    assert parsed.text is text
    assert SignedEvent.from_json(decode_json(text), text) == parsed


def test_c1_the_extremes_are_good() -> None:
    for created_at in (0, 1, 2**53):
        for kind in (0, 65535):
            event = json.dumps(signed("", kind, [[""]], created_at))
            assert SignedEvent.parse(event).created_at == created_at


@given(texts, tag_lists, st.integers(0, 2**53), st.integers(0, 65535))
@settings(deadline=None)
def test_the_serialisation_is_that_of_json(
    content: str, tags: list[list[str]], created_at: int, kind: int
) -> None:
    assert Event.serialize(PUBKEY, created_at, kind, tags, content) == json.dumps(
        [0, PUBKEY, created_at, kind, tags, content],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8")


def test_the_serialisation_holds_for_every_character_there_is() -> None:
    tags = [["t", every_character]]
    assert Event.serialize(PUBKEY, NOW, 1, tags, every_character) == json.dumps(
        [0, PUBKEY, NOW, 1, tags, every_character],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8")


def test_nip01_names_the_escapes() -> None:
    serialized = Event.serialize(PUBKEY, 0, 1, [], '\n"\\\r\t\b\f\x7f\u2028/é')
    content = serialized.decode().split("[],")[1]
    assert content == '"\\n\\"\\\\\\r\\t\\b\\f\x7f\u2028/é"]'


@given(texts, tag_lists, st.integers(0, 2**53), st.integers(0, 65535))
@settings(max_examples=50, deadline=None)
def test_event_signed_here_is_valid_for_nostr_sdk(
    content: str, tags: list[list[str]], created_at: int, kind: int
) -> None:
    event = signed(content, kind, tags, created_at)
    theirs = nostr_sdk.Event.from_json(json.dumps(event))
    assert theirs.verify()
    assert theirs.id().to_hex() == event["id"]


@given(texts, tag_lists)
@settings(max_examples=50, deadline=None)
def test_event_signed_by_nostr_sdk_is_valid_here(
    content: str, tags: list[list[str]]
) -> None:
    keys = nostr_sdk.Keys.parse(PrivateKey().hex())
    theirs = (
        nostr_sdk.EventBuilder(nostr_sdk.Kind(1), content)
        .tags([nostr_sdk.Tag.parse(tag) for tag in tags])
        .sign_with_keys(keys)
    )
    parsed = SignedEvent.parse(theirs.as_json())
    assert parsed.id == theirs.id().to_hex()
    assert parsed.pubkey == keys.public_key().to_hex()


def test_all_unicode_survives_the_way_to_nostr_sdk_and_back() -> None:
    event = signed(every_character, tags=[["t", every_character]])
    theirs = nostr_sdk.Event.from_json(json.dumps(event, ensure_ascii=False))
    assert theirs.verify()
    assert SignedEvent.parse(theirs.as_json()).id == event["id"]


@given(texts, tag_lists)
@settings(max_examples=25, deadline=None)
def test_signatures_hold_for_secp256k1_and_the_other_way(
    secp256k1: Any, content: str, tags: list[list[str]]
) -> None:
    event = signed(content, tags=tags)
    theirs = secp256k1.PrivateKey(KEY.raw_secret)
    event_id = bytes.fromhex(event["id"])
    signature = bytes.fromhex(event["sig"])
    assert theirs.pubkey.schnorr_verify(event_id, signature, None, raw=True)
    event["sig"] = theirs.schnorr_sign(event_id, None, raw=True).hex()
    assert SignedEvent.parse(json.dumps(event)).id == event["id"]


# --- what is forged


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", "bye"),
        ("created_at", NOW + 1),
        ("kind", 2),
        ("tags", [["t", "x"]]),
        ("pubkey", PrivateKey.from_hex("02" * 32).public_key.hex()),
    ],
)
def test_c1_a_changed_field_no_longer_fits_the_id(field: str, value: Any) -> None:
    assert refused(signed() | {field: value}) == "id is not the hash of the event"


def test_c1_the_id_of_another_event_is_refused() -> None:
    assert "hash" in refused(signed() | {"id": signed("other")["id"]})


def test_c1_the_signature_of_another_event_is_refused() -> None:
    assert refused(signed() | {"sig": signed("other")["sig"]}) == (
        "the signature is wrong"
    )


def test_c1_the_signature_of_another_author_is_refused() -> None:
    event = signed()
    event["sig"] = PrivateKey().sign_message_hash(bytes.fromhex(event["id"]))
    assert refused(event) == "the signature is wrong"


def test_c1_an_author_off_the_curve_is_refused() -> None:
    assert refused(sign_anything({"pubkey": OFF_CURVE})) == "the signature is wrong"


def test_c1_any_flipped_bit_is_noticed() -> None:
    event = signed()
    choose = random.Random(0)
    for field in ("id", "pubkey", "sig"):
        for _ in range(20):
            raw = bytearray.fromhex(event[field])
            raw[choose.randrange(len(raw))] ^= 1 << choose.randrange(8)
            refused(event | {field: raw.hex()})


@pytest.mark.parametrize("first", ["evil", "hello"])
def test_c1_a_second_content_is_refused_wherever_it_hides(first: str) -> None:
    second = "hello" if first == "evil" else "evil"
    text = json.dumps(signed())[1:-1].replace(
        '"content": "hello"', f'"content": "{first}", "content": "{second}"'
    )
    assert "twice" in refused("{" + text + "}")
    escaped = text.replace('"content"', '"cont\\u0065nt"', 1)
    assert "twice" in refused("{" + escaped + "}")


@pytest.mark.parametrize("field", ["id", "pubkey", "sig"])
def test_c1_hex_is_lower_case_and_complete(field: str) -> None:
    event = signed()
    value = event[field]
    digits = "128" if field == "sig" else "64"
    bad_values: list[Any] = [
        value.upper(),
        value[:-1],
        value + "0",
        value + "00",
        "0x" + value[2:],
        value[:-2] + "zz",
        " " + value[:-1],
        value[:-1] + "\n",
        value[:-2] + "é",
        "",
        None,
        7,
        [value],
        {},
        True,
    ]
    for bad in bad_values:
        reason = refused(event | {field: bad})
        assert reason == f"{field} is not {digits} lowercase hex digits"


@pytest.mark.parametrize("field", list(signed()))
def test_c1_each_of_the_seven_fields_is_needed(field: str) -> None:
    event = signed()
    del event[field]
    assert refused(event) == f"the event has no {field}"


@pytest.mark.parametrize(
    "kind", [True, False, -1, 65536, 1.0, 1.5, "1", None, [1], 10**100, 1e300]
)
def test_c1_a_kind_is_an_integer_of_sixteen_bits(kind: Any) -> None:
    assert refused(sign_anything({"kind": kind})).startswith("kind is not")


@pytest.mark.parametrize(
    "created_at",
    [True, -1, 2**53 + 1, 10**400, 0.0, float(NOW), 1e9, "0", None, [], {}],
)
def test_c1_created_at_is_a_whole_number_of_seconds(created_at: Any) -> None:
    reason = refused(sign_anything({"created_at": created_at}))
    assert reason.startswith("created_at is not")


@pytest.mark.parametrize(
    "tags",
    [
        None,
        "",
        {},
        {"a": "b"},
        0,
        ["p"],
        [{}],
        [{"p": "x"}],
        [None],
        [[None]],
        [[1]],
        [[True]],
        [["p", None]],
        [["p", ["x"]]],
        [["p", 1.5]],
        [["t"], "t"],
    ],
)
def test_c1_tags_are_arrays_of_strings(tags: Any) -> None:
    assert "tag" in refused(sign_anything({"tags": tags}))


@pytest.mark.parametrize("tags", [[[]], [["t", "x"], []]])
def test_c1_an_empty_tag_is_refused_as_other_relays_do(tags: Any) -> None:
    text = sign_anything({"tags": tags})
    assert "one or more strings" in refused(text)
    with pytest.raises(NostrSdkError):
        nostr_sdk.Event.from_json(text)


@pytest.mark.parametrize("content", [None, 0, True, [], {}, ["x"]])
def test_c1_content_is_a_string(content: Any) -> None:
    assert refused(sign_anything({"content": content})) == "content is not a string"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "\ud800"},
        {"content": "\udfff\ud800"},
        {"tags": [["t", "\ud83d"]]},
        {"tags": [["\udc00"]]},
    ],
)
def test_c1_half_a_surrogate_pair_is_refused(fields: dict[str, Any]) -> None:
    assert "surrogate" in refused(sign_anything(fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        '"event"',
        "{",
        "{}",
        "{]",
        "{'id': 1}",
        '{"id": NaN}',
        '{"id": Infinity}',
        '{"id": -Infinity}',
        '{"content": "line\nbreak"}',
        "\ufeff{}",
        "{}{}",
        "{},",
        "[" * 100_000 + "]" * 100_000,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"tags":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"kind": ' + "9" * 100_000 + "}",
        '{"kind": -' + "9" * 5_000 + "}",
        '{"kind": 1e' + "9" * 5_000 + "}",
        "\x00",
        "\ud800",
        '"\\ud800"',
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_c1_json_that_is_no_event_is_refused(text: str) -> None:
    assert 0 < len(refused(text)) < 80


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(list(signed())), json_values))
@settings(deadline=None)
def test_c1_any_json_in_any_field_is_refused(fields: dict[str, Any]) -> None:
    for base in ({}, signed()):
        event = base | fields
        if event != signed() | {"sig": event.get("sig")}:
            with pytest.raises(InvalidEvent):
                SignedEvent.parse(json.dumps(event))


@given(json_values)
@settings(deadline=None)
def test_c1_an_object_of_any_kind_is_refused_by_from_json(value: object) -> None:
    with pytest.raises(InvalidEvent):
        SignedEvent.from_json(value, "")


def test_c1_a_reason_never_repeats_the_input() -> None:
    evil = "<script>alert(1)</script>\n"
    for text in (
        json.dumps({evil: 1}),
        "{" + evil,
        f'{{"{evil.strip()}": 1, "{evil.strip()}": 2}}',
        sign_anything({"content": [evil]}),
        json.dumps(signed() | {"id": evil}),
    ):
        assert "script" not in refused(text)
        assert "\n" not in refused(text)


# --- what is good but oddly written


def test_c1_fields_nobody_signed_are_not_passed_on() -> None:
    """Relays accept such events, published so by real clients, and drop the rest."""
    event = signed("with \u2028 and é", 1, [["t", "x"]])
    extra = event | {"citedUsersCache": ["ab" * 32], "relay": "wss://evil.example"}
    text = json.dumps(extra)
    assert nostr_sdk.Event.from_json(text).verify()
    parsed = SignedEvent.parse(text)
    assert json.loads(parsed.text) == event
    assert SignedEvent.parse(parsed.text) == parsed


@pytest.mark.parametrize("field", ["created_at", "kind"])
def test_c1_minus_zero_is_not_passed_on(field: str) -> None:
    """It is an integer in JSON for Python, a float for Rust."""
    event = signed("", created_at=0) if field == "created_at" else signed("", kind=0)
    text = json.dumps(event).replace(f'"{field}": 0', f'"{field}": -0')
    assert '": -0' in text
    with pytest.raises(NostrSdkError):
        nostr_sdk.Event.from_json(text)
    parsed = SignedEvent.parse(text)
    assert json.loads(parsed.text) == event
    assert nostr_sdk.Event.from_json(parsed.text).verify()


def test_c1_spacing_and_order_and_escapes_are_kept() -> None:
    event = signed("é/\n")
    backwards = dict(reversed(event.items()))
    for text in (
        json.dumps(backwards),
        json.dumps(event, ensure_ascii=False),
        json.dumps(event).replace("/", "\\/"),
        "\n\t " + json.dumps(event, indent=1) + " \r\n",
    ):
        assert SignedEvent.parse(text).text is text


# --- what kind of event


@pytest.mark.parametrize(
    ("kind", "is_replaceable", "is_ephemeral", "is_addressable"),
    [
        (0, True, False, False),
        (1, False, False, False),
        (2, False, False, False),
        (3, True, False, False),
        (4, False, False, False),
        (41, False, False, False),
        (9999, False, False, False),
        (10000, True, False, False),
        (19999, True, False, False),
        (20000, False, True, False),
        (29999, False, True, False),
        (30000, False, False, True),
        (39999, False, False, True),
        (40000, False, False, False),
        (65535, False, False, False),
    ],
)
def test_nip01_kind_ranges(
    kind: int, is_replaceable: bool, is_ephemeral: bool, is_addressable: bool
) -> None:
    event = SignedEvent("", PUBKEY, 0, kind, [["d", "x"]], None, "", 0)
    assert event.is_replaceable is is_replaceable
    assert event.is_ephemeral is is_ephemeral
    assert event.is_addressable is is_addressable
    address = {
        (True, False): f"{kind}:{PUBKEY}:",
        (False, True): f"{kind}:{PUBKEY}:x",
    }.get((is_replaceable, is_addressable))
    assert event.address == address


@pytest.mark.parametrize(
    ("tags", "identifier"),
    [
        ([], ""),
        ([["d"]], ""),
        ([["d", ""]], ""),
        ([["t", "z"], ["d", "a:b", "c"], ["d", "x"]], "a:b"),
        ([["D", "a"]], ""),
    ],
)
def test_c4_the_first_d_tag_makes_the_address(
    tags: list[list[str]], identifier: str
) -> None:
    event = SignedEvent("", PUBKEY, 0, 30018, tags, None, "", 0)
    assert event.address == f"30018:{PUBKEY}:{identifier}"


@pytest.mark.parametrize(
    ("tags", "is_protected"),
    [
        ([], False),
        ([["-"]], True),
        ([["t", "x"], ["-"]], True),
        ([["-", "x"]], True),
        ([["t", "-"]], False),
        ([["--"]], False),
    ],
)
def test_c1_a_tag_named_minus_protects(
    tags: list[list[str]], is_protected: bool
) -> None:
    parsed = SignedEvent.parse(json.dumps(signed(tags=tags)))
    assert parsed.is_protected is is_protected


@pytest.mark.parametrize(
    ("tags", "expiration"),
    [
        ([], None),
        ([["expiration"]], None),
        ([["expiration", ""]], None),
        ([["expiration", "soon"]], None),
        ([["expiration", "-1"]], None),
        ([["expiration", "1.5"]], None),
        ([["expiration", "1_000"]], None),
        ([["expiration", "١٢"]], None),
        ([["expiration", "9" * 100_000]], None),
        ([["expiration", "0"]], 0),
        ([["expiration", "1600000000", "x"]], 1_600_000_000),
        ([["expiration", "soon"], ["expiration", "7"], ["expiration", "8"]], 7),
        ([["Expiration", "7"]], None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_nip40_the_first_readable_expiration_counts(
    tags: list[list[str]], expiration: int | None
) -> None:
    assert SignedEvent.parse(json.dumps(signed(tags=tags))).expiration == expiration


def test_nip40_an_event_is_expired_from_the_second_it_names() -> None:
    event = SignedEvent("", PUBKEY, 0, 1, [], 100, "", 0)
    assert not event.is_expired(99.9)
    assert event.is_expired(100)
    assert not event._replace(expiration=None).is_expired(1e12)


# --- upstream's interface, as its users use it


def test_g5_an_event_is_built_signed_verified_and_published() -> None:
    event = Event(content="gm", public_key=PUBKEY, kind=EventKind.TEXT_NOTE)
    event.add_pubkey_ref("ab" * 32)
    event.add_event_ref("cd" * 32)
    KEY.sign_event(event)
    assert event.tags == [["p", "ab" * 32], ["e", "cd" * 32]]
    assert event.verify()
    verb, sent = json.loads(event.to_message())
    assert verb == ClientMessageType.EVENT
    assert list(sent) == [
        "id",
        "pubkey",
        "created_at",
        "kind",
        "tags",
        "content",
        "sig",
    ]
    assert SignedEvent.parse(json.dumps(sent)).id == event.id


def test_g5_created_at_is_now_unless_given_even_as_zero() -> None:
    assert abs((Event("x").created_at or 0) - time.time()) < 60
    assert Event("x", created_at=0).created_at == 0
    assert Event("x", PUBKEY, 0).id == Event.compute_id(PUBKEY, 0, 1, [], "x")


def test_g5_empty_content_is_valid() -> None:
    event = Event(content="", created_at=0)
    KEY.sign_event(event)
    assert event.verify()


def test_g5_tags_of_events_are_their_own() -> None:
    Event("x").add_pubkey_ref("ab" * 32)
    assert Event("x").tags == []


def test_g5_tuples_serve_as_tags() -> None:
    tags: Any = (("t", "x"),)
    assert Event.compute_id(PUBKEY, 0, 1, tags, "") == Event.compute_id(
        PUBKEY, 0, 1, [["t", "x"]], ""
    )


def test_g5_the_id_follows_the_fields() -> None:
    event = Event("x", PUBKEY, 0)
    before = event.id
    event.content = "y"
    assert event.id != before


@pytest.mark.parametrize("field", ["public_key", "created_at", "content"])
def test_g5_an_incomplete_event_has_no_id(field: str) -> None:
    event = Event("x", PUBKEY, 0)
    setattr(event, field, None)
    with pytest.raises(InvalidEvent, match="the event has no"):
        _ = event.id
    event.signature = "00" * 64
    assert event.verify() is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", 7),
        ("public_key", 7),
        ("created_at", 1.5),
        ("created_at", True),
        ("kind", "1"),
        ("kind", True),
        ("tags", None),
        ("tags", "tags"),
        ("tags", [["amount", 1000]]),
        ("tags", ["p"]),
        ("content", "\ud800"),
    ],
)
def test_g5_an_event_of_wrong_types_has_no_id(field: str, value: Any) -> None:
    event = Event("x", PUBKEY, 0, signature="00" * 64)
    setattr(event, field, value)
    with pytest.raises(InvalidEvent):
        _ = event.id
    assert event.verify() is False


def test_g5_content_that_is_no_string_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Event(content={"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "signature", [None, "", "zz" * 64, "00" * 63, "00" * 65, "00" * 64, "FF" * 64, 7]
)
def test_g5_verify_is_false_for_a_bad_signature(signature: Any) -> None:
    assert Event("x", PUBKEY, 0, signature=signature).verify() is False


@pytest.mark.parametrize(
    "public_key", [None, "", "zz" * 32, PUBKEY[:-2], PUBKEY.upper(), OFF_CURVE, 7]
)
def test_g5_verify_is_false_for_a_bad_public_key(public_key: Any) -> None:
    event = Event("x", PUBKEY, 0)
    KEY.sign_event(event)
    event.public_key = public_key
    assert event.verify() is False


def test_g5_verify_is_false_for_an_event_changed_after_it_was_signed() -> None:
    event = Event("x", PUBKEY, 0)
    KEY.sign_event(event)
    event.content = "y"
    assert event.verify() is False


def test_g5_an_unsigned_event_makes_no_message() -> None:
    with pytest.raises(InvalidEvent, match="not signed"):
        Event("x", PUBKEY, 0).to_message()


def test_g5_a_direct_message_is_an_event_of_kind_4() -> None:
    dm = EncryptedDirectMessage("hi", recipient_pubkey="ab" * 32)
    assert isinstance(dm, Event)
    assert dm.kind == EventKind.ENCRYPTED_DIRECT_MESSAGE
    assert dm.verify() is False


def test_g5_the_names_of_messages_and_kinds() -> None:
    assert ClientMessageType.REQUEST == "REQ"
    assert ClientMessageType.CLOSE == "CLOSE"
    assert RelayMessageType.END_OF_STORED_EVENTS == "EOSE"
    assert RelayMessageType.COMMAND_RESULT == "OK"
    for verb in ("EVENT", "NOTICE", "EOSE", "OK", "CLOSED", "COUNT", "AUTH"):
        assert RelayMessageType.is_valid(verb)
    for verb in ("REQ", "CLOSE", "", "event"):
        assert not RelayMessageType.is_valid(verb)
    assert [kind.value for kind in EventKind] == [0, 1, 2, 3, 4, 5]


# --- JSON


def test_json_is_decoded_as_usual_where_it_is_unambiguous() -> None:
    text = '[1, -2, 1.5e3, "\\u00e9\\ud83d\\udc4b", null, true, {"a": {"a": []}}]'
    assert decode_json(text) == json.loads(text)


def test_json_that_can_be_read_in_two_ways_is_not_read() -> None:
    for text in ('{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]', "NaN", "[-Infinity]"):
        with pytest.raises(InvalidMessage):
            decode_json(text)


@given(st.text(), st.sampled_from(["{}", '["EVENT",{}]', '{{"a":"{}"}}']))
@settings(deadline=None)
def test_json_of_any_text_is_read_or_refused(text: str, frame: str) -> None:
    with suppress(InvalidMessage):
        decode_json(frame.format(text))
