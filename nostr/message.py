"""The messages of clients and relays, as immutable types: parse and encode (NIP-01).

An event's text is copied from the received message into the sent one. It is never
serialised again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import hyperloglog
from .errors import InvalidMessage
from .event import SignedEvent, decode_json

_ENCODER = json.JSONEncoder(separators=(",", ":"))

# Prefixes of OK and CLOSED messages after which a retry is pointless. Other prefixes,
# and messages without one, are transient.
FINAL_PREFIXES = frozenset(
    (
        "auth-required",
        "blocked",
        "deleted",
        "invalid",
        "mute",
        "pow",
        "replaced",
        "restricted",
        "unsupported",
    )
)

# The other prefixes that clients and relays know.
_KNOWN_PREFIXES = FINAL_PREFIXES | {"duplicate", "error", "queued", "rate-limited"}

FINISH_HINT = "finish"
MORE_HINT = "more"

MAX_COUNT = 2**53
MAX_CHALLENGE_CHARACTERS = 1000
MAX_REASON_CHARACTERS = 500

_PREFIX = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*):")
_RATE = re.compile(
    r"\brate[\s_-]*limit|\btoo[\s_-]+(?:fast|quick)|\bslow(?:ing)?[\s_-]+down\b"
    r"|\btoo[\s_-]+many[\s_-]+(?:messages|requests|events)\b",
    re.IGNORECASE,
)
_CLIENT_EVENT = re.compile(r'\s*\[\s*"EVENT"\s*,\s*(?=\{)')
_EVENT_ID = re.compile(r'"id"\s*:\s*"([0-9a-f]{64})"')
_SUBSCRIPTION = re.compile(
    r'\s*\[\s*"(REQ|COUNT|NEG-OPEN|NEG-MSG)"\s*,\s*"([^"\\]{1,64})"'
)
_RELAY_EVENT = re.compile(r'\s*\[\s*"EVENT"\s*,\s*"([^"\\]*)"\s*,\s*(?=\{)')


# How a refusal is said, by the verb of what is refused; COUNT: a CLOSED of its own.
_ANSWERS = {
    "REQ": "CLOSED",
    "COUNT": "COUNT",
    "NEG-OPEN": "NEG-ERR",
    "NEG-MSG": "NEG-ERR",
}


class ClientEvent(NamedTuple):
    """EVENT from a client, not verified yet.

    `event_id` is the id that the client wrote, `text` the event's JSON text, and
    `decoded` what it was decoded to, so that it is decoded once.
    """

    event_id: str
    text: str
    decoded: object

    def verify(self) -> SignedEvent:
        """Return the checked event. Raises `InvalidEvent`."""
        return SignedEvent.from_json(self.decoded, self.text)


class ClientReq(NamedTuple):
    """REQ or COUNT from a client; the filters are not validated yet."""

    subscription_id: str
    filters: Sequence[object]
    is_count: bool = False


class ClientClose(NamedTuple):
    """CLOSE from a client."""

    subscription_id: str


class ClientAuth(NamedTuple):
    """AUTH from a client (NIP-42)."""

    event: ClientEvent


class ClientNegotiation(NamedTuple):
    """NEG-OPEN, NEG-MSG or NEG-CLOSE from a client (NIP-77)."""

    subscription_id: str
    is_close: bool


ClientMessage = ClientEvent | ClientReq | ClientClose | ClientAuth | ClientNegotiation


class RelayEvent(NamedTuple):
    """EVENT from a relay; the event is not checked yet."""

    wire_id: str
    text: str


class EventHead:
    """The text before the event in a relay's EVENTs for one subscription.

    Most relays write it the same way each time, so it can be compared, not parsed.
    """

    __slots__ = ("_length", "_text", "wire_id")

    def __init__(self, wire_id: str) -> None:
        self.wire_id = wire_id
        self._text = event_head(wire_id) + "{"
        self._length = len(self._text) - 1

    def event_text(self, text: str) -> str | None:
        """Return the event's text, or None if the message begins differently."""
        if text.startswith(self._text) and text.endswith("]"):
            return text[self._length : -1]
        return None


class RelayEose(NamedTuple):
    """EOSE from a relay.

    `complete` is its hint (NIP-67): True where it sent every stored event that matches
    (`finish`), False where it holds more than it sent (`more`), None without either.
    """

    wire_id: str
    complete: bool | None = None


class RelayOk(NamedTuple):
    """OK from a relay."""

    event_id: str
    accepted: bool
    message: str


class RelayClosed(NamedTuple):
    """CLOSED from a relay."""

    wire_id: str
    message: str


class RelayNotice(NamedTuple):
    """NOTICE from a relay."""

    message: str


class RelayCount(NamedTuple):
    """COUNT from a relay (NIP-45); `hll` are its HyperLogLog registers, if any."""

    wire_id: str
    total: int
    approximate: bool = False
    hll: bytes | None = None


class RelayNegotiation(NamedTuple):
    """NEG-MSG from a relay (NIP-77)."""

    wire_id: str
    payload: bytes


class RelayNegotiationError(NamedTuple):
    """NEG-ERR from a relay (NIP-77): the negotiation is over."""

    wire_id: str
    message: str


class RelayAuth(NamedTuple):
    """AUTH from a relay (NIP-42)."""

    challenge: str


RelayMessage = (
    RelayEvent
    | RelayEose
    | RelayOk
    | RelayClosed
    | RelayNotice
    | RelayCount
    | RelayAuth
    | RelayNegotiation
    | RelayNegotiationError
)


def decode(text: str) -> list[Any]:
    """Decode a message, a non-empty JSON array that begins with a string.

    Raises `InvalidMessage` for everything else, also for duplicate keys and NaN.
    """
    message = decode_json(text)
    if not isinstance(message, list) or not message:
        raise InvalidMessage("message must be a non-empty JSON array")
    if not isinstance(message[0], str):
        raise InvalidMessage("message must begin with a string")
    return message


def parse_client_message(text: str) -> ClientMessage:
    """Parse a client's message.

    Raises `InvalidMessage` if only a NOTICE can answer it, for example an EVENT without
    a string id or a REQ without a string as its subscription id.
    """
    message = decode(text)
    verb = message[0]
    if verb in ("EVENT", "AUTH"):
        event = message[1] if len(message) > 1 else None
        event_id = event.get("id") if isinstance(event, dict) else None
        if not isinstance(event_id, str):
            raise InvalidMessage(f"{verb} must carry an event with an id")
        # Of a message with too many parts the rest is checked, to be refused.
        decoded = event if len(message) == 2 else message[1:]
        found = ClientEvent(event_id, _event_text(text, message), decoded)
        return ClientAuth(found) if verb == "AUTH" else found
    if verb not in ("REQ", "COUNT", "CLOSE", "NEG-OPEN", "NEG-MSG", "NEG-CLOSE"):
        raise InvalidMessage("unknown message type")
    subscription_id = message[1] if len(message) > 1 else None
    if not isinstance(subscription_id, str):
        raise InvalidMessage(f"{verb} must carry a subscription id")
    if verb == "CLOSE":
        return ClientClose(subscription_id)
    if verb.startswith("NEG-"):
        return ClientNegotiation(subscription_id, verb == "NEG-CLOSE")
    return ClientReq(subscription_id, message[2:], verb == "COUNT")


def _event_text(text: str, message: list[Any]) -> str:
    head = _CLIENT_EVENT.match(text)
    tail = text.rstrip()
    if head is None:  # "\u0045VENT"
        return json.dumps(message[1])
    return tail[head.end() : -1].rstrip()


def find_name(text: str) -> tuple[str, str] | None:
    """Return the verb and id of the answer to a client's `DisputedMessage`.

    That is `("OK", event id)`, `("CLOSED", subscription id)`, `("COUNT", id)` for the
    CLOSED that answers a COUNT, `("NEG-ERR", id)`, or None if the message has no id or
    is not JSON.
    """
    try:
        # Python refuses to convert very long numbers; their length serves as well.
        message = json.loads(text, parse_int=len, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    match message:
        case ["EVENT" | "AUTH", {"id": str(event_id)}, *_]:
            return "OK", event_id
        case [
            "REQ" | "COUNT" | "NEG-OPEN" | "NEG-MSG" as verb,
            str(subscription_id),
            *_,
        ]:
            return _ANSWERS[verb], subscription_id
    return None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def glimpse_name(text: str) -> tuple[str, str] | None:
    """Return the verb and id of the answer to a message, without parsing it.

    They are those of `find_name`.
    """
    if event_id := find_event_id(text):
        return "OK", event_id
    found = _SUBSCRIPTION.match(text)
    return (_ANSWERS[found.group(1)], found.group(2)) if found else None


def find_event_id(text: str) -> str | None:
    """Return the event's id in an EVENT that is too large to parse."""
    found = _EVENT_ID.search(text) if _CLIENT_EVENT.match(text) else None
    return found.group(1) if found else None


def find_wire_id(head: str) -> str | None:
    """Return the subscription id in the beginning of a relay's EVENT."""
    found = _RELAY_EVENT.match(head)
    return found.group(1) if found else None


def first_value(text: str) -> str | None:
    """Return the first of several JSON values between commas; None for a single one.

    Relays may send an EVENT with more elements than NIP-01 knows. `RelayEvent.text`
    then holds those, too.
    """
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text[:end] if text[end:].lstrip().startswith(",") else None


def parse_relay_message(text: str) -> RelayMessage:
    """Parse a relay's message. Raises `InvalidMessage`."""
    head = _RELAY_EVENT.match(text)
    if head is not None:
        if not text.endswith("]"):
            text = text.rstrip()
        return RelayEvent(head.group(1), text[head.end() : -1])
    message = decode(text)
    match message:
        case ["EOSE", str(wire_id), [*hints], *_]:
            return RelayEose(wire_id, _is_complete(hints))
        case ["EOSE", str(wire_id), *_]:
            return RelayEose(wire_id)
        case ["OK", str(event_id), bool(accepted), *rest]:
            return RelayOk(event_id, accepted, _text(rest))
        case ["CLOSED", str(wire_id), *rest]:
            return RelayClosed(wire_id, _text(rest))
        case ["NOTICE", str(notice), *_]:
            return RelayNotice(notice)
        case ["COUNT", str(wire_id), {"count": int(total)} as answer, *_] if (
            type(total) is int and 0 <= total <= MAX_COUNT
        ):
            return RelayCount(
                wire_id, total, answer.get("approximate") is True, _registers(answer)
            )
        case ["AUTH", str(challenge), *_] if _is_challenge(challenge):
            return RelayAuth(challenge)
        case ["EVENT", str(wire_id), dict(event), *_]:
            return RelayEvent(wire_id, json.dumps(event))
    return _parse_negotiation(message)


def _parse_negotiation(
    message: list[Any],
) -> RelayNegotiation | RelayNegotiationError:
    match message:
        case ["NEG-MSG", str(wire_id), str(payload), *_]:
            return RelayNegotiation(wire_id, _payload(payload))
        case ["NEG-ERR", str(wire_id), *rest]:
            return RelayNegotiationError(wire_id, _text(rest))
    raise InvalidMessage("message is none that a relay sends")


def _registers(answer: dict[str, Any]) -> bytes | None:
    value = answer.get("hll")
    return hyperloglog.decode(value) if isinstance(value, str) else None


def _payload(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise InvalidMessage("NEG-MSG must carry hex digits") from None


def _is_complete(hints: Sequence[object]) -> bool | None:
    is_finished, has_more = FINISH_HINT in hints, MORE_HINT in hints
    return is_finished if is_finished != has_more else None


def _is_challenge(text: str) -> bool:
    # We sign it and send it back. So it must be short, and without half of a surrogate
    # pair, which no event may contain.
    return len(text) <= MAX_CHALLENGE_CHARACTERS and text.isprintable()


def _text(rest: Sequence[object]) -> str:
    return rest[0] if rest and isinstance(rest[0], str) else ""


def printable(text: str, characters: int = MAX_REASON_CHARACTERS) -> str:
    """Return a relay's text as one bounded line without control characters."""
    shown = text[:characters]
    if shown.isprintable():
        return shown
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in shown
    )


def prefix(message: str) -> str:
    """Return the machine-readable part of an OK or CLOSED message, "" without one.

    Some relays write `ERROR: ` before a prefix, which then is the one that counts.
    """
    return _split_prefix(message)[0]


def _split_prefix(message: str) -> tuple[str, str]:
    """Return a message's prefix in lower case and the text after its colon."""
    name, rest = _split(message)
    if name == "error":
        inner, inner_rest = _split(rest)
        if inner in _KNOWN_PREFIXES:
            return inner, inner_rest
    return name, rest


def _split(message: str) -> tuple[str, str]:
    found = _PREFIX.match(message)
    if found is None:
        return "", message
    name = found.group(1).lower()
    if name != found.group(1) and name not in _KNOWN_PREFIXES:
        return "", message  # a sentence that begins with a word and a colon
    return name, message[found.end() :]


def is_final(message: str) -> bool:
    """Return whether a refusal with this message is final: a retry is useless."""
    return prefix(message) in FINAL_PREFIXES


def is_for_connection(refusal: str | None) -> bool:
    """Return whether a refusal holds for one connection only (NIP-42)."""
    # "restricted": somebody may have paid meanwhile.
    return refusal is not None and prefix(refusal) in ("auth-required", "restricted")


def speaks_of_rate(notice: str) -> bool:
    """Return whether a NOTICE says that the relay was sent too much too fast."""
    return _RATE.search(notice) is not None


def most_telling(messages: Sequence[str]) -> str:
    """Return the most telling refusal: final before transient, then most frequent."""
    final = [message for message in messages if is_final(message)]
    candidates = final or list(messages)
    return max(candidates, key=candidates.count) if candidates else ""


def with_prefix(message: str, otherwise: str = "error") -> str:
    """Return a message that begins with a prefix, as NIP-01 asks of OK and CLOSED."""
    name, rest = _split_prefix(message)
    if name:
        return message if message.startswith(f"{name}:") else f"{name}:{rest}"
    return f"{otherwise}: {message}" if message else f"{otherwise}: no reason given"


def encode(*parts: object) -> str:
    """Encode a message."""
    return _ENCODER.encode(parts)


def encode_object(value: object) -> str:
    """Encode a part of a message."""
    return _ENCODER.encode(value)


def encode_event(event_text: str) -> str:
    """Encode an EVENT to a relay around the event's unchanged text."""
    return f'["EVENT",{event_text}]'


def event_head(subscription_id: str) -> str:
    """Encode the text before the event in an EVENT to a client."""
    return f'["EVENT",{json.dumps(subscription_id)},'
