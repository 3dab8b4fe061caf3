"""Events: `Event` to build and sign, `SignedEvent` for received and checked ones.

NIP-01 defines the fields, the serialisation, the id and the kind ranges.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, NamedTuple

import coincurve

from .errors import DisputedMessage, InvalidEvent, InvalidMessage
from .message_type import ClientMessageType

# The names for other extensions: docs/extensions.md. The rest may change.
__all__ = ["EncryptedDirectMessage", "Event", "EventKind"]

MAX_KIND = 65535
AUTH_KIND = 22242  # answers a relay's challenge (NIP-42)
# The largest integer every JSON reader agrees on, JavaScript's included.
MAX_CREATED_AT = 2**53
REPOST_KINDS = (6, 16)

_FIELDS = ("id", "pubkey", "created_at", "kind", "tags", "content", "sig")
_KNOWN_AUTHORS = 4096
_EMPTY_TEXT_BYTES = sys.getsizeof("")
TAG_BYTES = 100
TAG_VALUE_BYTES = 60


class EventKind(IntEnum):
    """The kinds that the earlier extension's helper classes name."""

    SET_METADATA = 0
    TEXT_NOTE = 1
    RECOMMEND_RELAY = 2
    CONTACTS = 3
    ENCRYPTED_DIRECT_MESSAGE = 4
    DELETE = 5


class SignedEvent(NamedTuple):
    """A received event whose structure, id and signature have been checked.

    `text` is the JSON as received, to be forwarded. It is serialised anew only if the
    original contains more than the signature covers, or spells it differently: see
    `from_json`. `expiration` is in Unix seconds (NIP-40), None for never.
    `memory_bytes` estimates the memory of the event: up to twenty times its text if it
    consists of tags. It is computed once, because every queue needs it.
    """

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: Sequence[Sequence[str]]
    expiration: int | None
    text: str
    memory_bytes: int

    @classmethod
    def parse(cls, text: str) -> "SignedEvent":
        """Check the JSON text of one event. Raises `InvalidEvent`."""
        try:
            obj = decode_json(text)
        except InvalidMessage as error:
            raise InvalidEvent(str(error)) from None
        return cls.from_json(obj, text)

    @classmethod
    def from_json(cls, obj: object, text: str) -> "SignedEvent":
        """Check an event that `decode_json` has decoded from `text`.

        Use `decode_json`, because parsers disagree about duplicate keys: some take the
        first value and some the last.

        The check is strict where parsers differ, because a relay that objects closes
        the connection all clients share. Hex is lower case, integers are integers, and
        no tag is empty: NIP-01 asks for one string or more, and strfry and relays built
        on rust-nostr refuse empty tags.

        The check is lenient in one place. Clients publish events with fields of their
        own, and relays accept them and drop the extra fields. So do we: `text` is then
        serialised anew from the seven fields, and nothing unsigned is forwarded.

        Raises `InvalidEvent`.
        """
        if not isinstance(obj, dict):
            raise InvalidEvent("the event is not a JSON object")
        try:
            event_id = obj["id"]
            pubkey = obj["pubkey"]
            created_at = obj["created_at"]
            kind = obj["kind"]
            tags = obj["tags"]
            content = obj["content"]
            sig = obj["sig"]
        except KeyError as error:
            raise InvalidEvent(f"the event has no {error.args[0]}") from None

        if type(created_at) is not int or not 0 <= created_at <= MAX_CREATED_AT:
            raise InvalidEvent("created_at is not an integer from 0 to 2**53")
        if type(kind) is not int or not 0 <= kind <= MAX_KIND:
            raise InvalidEvent("kind is not an integer from 0 to 65535")
        pubkey_bytes = _from_hex(pubkey, 32)
        if pubkey_bytes is None:
            raise InvalidEvent("pubkey is not 64 lowercase hex digits")
        sig_bytes = _from_hex(sig, 64)
        if sig_bytes is None:
            raise InvalidEvent("sig is not 128 lowercase hex digits")

        digest = sha256(_serialize(pubkey, created_at, kind, tags, content))
        if digest.hexdigest() != event_id:
            if _from_hex(event_id, 32) is None:
                raise InvalidEvent("id is not 64 lowercase hex digits")
            raise InvalidEvent("id is not the hash of the event")
        if not verify_signature(pubkey_bytes, digest.digest(), sig_bytes):
            raise InvalidEvent("the signature is wrong")

        # "-0" is an integer in Python, a float elsewhere. Only 0 can be spelled so.
        if len(obj) > len(_FIELDS) or (not (created_at and kind) and "-0" in text):
            text = _encode_json({name: obj[name] for name in _FIELDS})
        expiration = _expiration(tags)
        size = _memory_bytes(tags, text)
        return cls(event_id, pubkey, created_at, kind, tags, expiration, text, size)

    @property
    def is_ephemeral(self) -> bool:
        """Whether relays forward it without storing it (20000-29999)."""
        return 20000 <= self.kind < 30000

    @property
    def is_replaceable(self) -> bool:
        """Whether a relay keeps one per author and kind (0, 3, 10000-19999)."""
        return 10000 <= self.kind < 20000 or self.kind in (0, 3)

    @property
    def is_addressable(self) -> bool:
        """Whether a relay keeps one per author, kind and `d` tag (30000-39999)."""
        return 30000 <= self.kind < 40000

    @property
    def address(self) -> str | None:
        """The address that all versions share: `kind:pubkey:d`, as in an `a` tag.

        `d` is empty for a replaceable event and for an addressable one without a `d`
        tag. None for an event that cannot be replaced.
        """
        if self.is_addressable:
            return f"{self.kind}:{self.pubkey}:{_tag_value(self.tags, 'd') or ''}"
        if self.is_replaceable:
            return f"{self.kind}:{self.pubkey}:"
        return None

    @property
    def is_protected(self) -> bool:
        """Whether only its author may publish it: a tag named `-` (NIP-70)."""
        return any(tag[0] == "-" for tag in self.tags)

    @property
    def reposts_protected(self) -> bool:
        """Whether its content is a protected event (kinds 6 and 16, NIP-18, NIP-70)."""
        if self.kind not in REPOST_KINDS:
            return False
        try:
            tags = json.loads(json.loads(self.text)["content"])["tags"]
            return any(tag[0] == "-" for tag in tags)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            return False  # it holds no event

    def is_expired(self, now: float) -> bool:
        """Return whether it has expired at `now`, in Unix seconds (NIP-40)."""
        return self.expiration is not None and self.expiration <= now


@dataclass
class Event:
    """An event to build, sign and publish, with the earlier extension's field names.

    `created_at` is in Unix seconds and defaults to the present. All fields may change
    until the event is signed; `id` is computed from their current values.
    """

    content: str | None = None
    public_key: str | None = None
    created_at: int | None = None
    kind: int = EventKind.TEXT_NOTE
    tags: list[list[str]] = field(default_factory=list)
    signature: str | None = None

    def __post_init__(self) -> None:
        if self.content is not None and not isinstance(self.content, str):
            raise TypeError("content must be a string")
        if self.created_at is None:
            self.created_at = int(time.time())

    @staticmethod
    def serialize(
        public_key: str,
        created_at: int,
        kind: int,
        tags: list[list[str]],
        content: str,
    ) -> bytes:
        """Return the bytes whose SHA-256 is the event's id (NIP-01).

        Raises `InvalidEvent` if an event cannot be made of such values.
        """
        if not _is_integer(created_at):
            raise InvalidEvent("created_at is not an integer")
        if not _is_integer(kind):
            raise InvalidEvent("kind is not an integer")
        rows = _without_tuples(tags)
        return _serialize(public_key, created_at, kind, rows, content)

    @staticmethod
    def compute_id(
        public_key: str,
        created_at: int,
        kind: int,
        tags: list[list[str]],
        content: str,
    ) -> str:
        """Return the id of an event with these values. Raises `InvalidEvent`."""
        serialized = Event.serialize(public_key, created_at, kind, tags, content)
        return sha256(serialized).hexdigest()

    @property
    def id(self) -> str:
        """The id of the event as it is now. Raises `InvalidEvent` if incomplete."""
        if self.public_key is None:
            raise InvalidEvent("the event has no pubkey")
        if self.created_at is None:
            raise InvalidEvent("the event has no created_at")
        if self.content is None:
            raise InvalidEvent("the event has no content")
        return Event.compute_id(
            self.public_key, self.created_at, self.kind, self.tags, self.content
        )

    def add_pubkey_ref(self, pubkey: str) -> None:
        """Add a `p` tag, which refers to a public key (hex)."""
        self.tags.append(["p", pubkey])

    def add_event_ref(self, event_id: str) -> None:
        """Add an `e` tag, which refers to another event."""
        self.tags.append(["e", event_id])

    def verify(self) -> bool:
        """Return whether the signature is the author's. Never raises."""
        public_key = _from_hex(self.public_key, 32)
        signature = _from_hex(self.signature, 64)
        if public_key is None or signature is None:
            return False
        try:
            event_id = bytes.fromhex(self.id)
        except InvalidEvent:
            return False
        return verify_signature(public_key, event_id, signature)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON types. Raises `InvalidEvent` if unsigned."""
        if self.signature is None:
            raise InvalidEvent("the event is not signed")
        return {
            "id": self.id,
            "pubkey": self.public_key,
            "created_at": self.created_at,
            "kind": self.kind,
            "tags": self.tags,
            "content": self.content,
            "sig": self.signature,
        }

    def to_message(self) -> str:
        """Return the message that publishes it. Raises `InvalidEvent` if unsigned."""
        return _encode_json([ClientMessageType.EVENT, self.to_dict()])


@dataclass
class EncryptedDirectMessage(Event):
    """A direct message of kind 4 (NIP-04), which NIP-17 has since superseded.

    Pass the text as `cleartext_content`, or as `content` to the constructor.
    `PrivateKey.encrypt_dm` or `sign_event` stores the encrypted text in `content`.
    """

    recipient_pubkey: str | None = None
    cleartext_content: str | None = field(default=None, repr=False)
    reference_event_id: str | None = None

    def __post_init__(self) -> None:
        if self.recipient_pubkey is None:
            raise InvalidEvent("a direct message needs a recipient_pubkey")
        super().__post_init__()
        if self.content is not None:
            self.cleartext_content, self.content = self.content, None
        self.kind = EventKind.ENCRYPTED_DIRECT_MESSAGE
        self.add_pubkey_ref(self.recipient_pubkey)
        if self.reference_event_id is not None:
            self.add_event_ref(self.reference_event_id)

    @property
    def id(self) -> str:
        """The id of the encrypted message. Raises `InvalidEvent` before encryption."""
        if self.content is None:
            raise InvalidEvent("the direct message is not encrypted yet")
        return super().id


def decode_json(text: str) -> Any:
    """Decode JSON from a relay or a client.

    Stricter than `json.loads`: no object has a duplicate key, and no NaN or Infinity.
    Raises `InvalidMessage`, also for input that would exhaust the interpreter, and its
    subclass `DisputedMessage` for JSON that other parsers accept.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidMessage(f"not JSON, at character {error.pos}") from None
    except RecursionError:
        raise InvalidMessage("nested too deeply") from None
    except InvalidMessage:
        raise
    except ValueError:  # a number of thousands of digits
        raise DisputedMessage("a number is too long") from None


def is_signed(text: str) -> bool:
    """Return whether an event has a right id and signature, whatever its shape is.

    Relays store kinds and tags that `SignedEvent` refuses. Their authors are to blame
    for them, not the relays.
    """
    try:
        event = json.loads(text)
        fields = [event[name] for name in ("pubkey", "created_at", "kind", "tags")]
        public_key = _from_hex(event["pubkey"], 32)
        signature = _from_hex(event["sig"], 64)
        body = [0, *fields, event["content"]]
        serialized = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        digest = sha256(serialized.encode())
        is_its_id = digest.hexdigest() == event["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    if public_key is None or signature is None or not is_its_id:
        return False
    return verify_signature(public_key, digest.digest(), signature)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature is valid (BIP-340); False for an invalid public key.

    `public_key` has 32 bytes, `message` is the 32 bytes of an event's id, and
    `signature` has 64 bytes. The GIL is released during the check.
    """
    if len(public_key) != 32 or len(message) != 32 or len(signature) != 64:
        return False
    try:
        return _x_only(public_key).verify(signature, message)
    except ValueError:
        return False


@lru_cache(maxsize=_KNOWN_AUTHORS)
def _x_only(public_key: bytes) -> coincurve.PublicKeyXOnly:
    """Return the point of a public key; cached, as most events have few authors."""
    return coincurve.PublicKeyXOnly(public_key)


def _serialize(
    pubkey: str, created_at: int, kind: int, tags: object, content: str
) -> bytes:
    """Serialise as `json.dumps` does, at a fifth of the cost. See `Event.serialize`.

    The caller has checked the two integers. `encode_basestring` raises for anything but
    a string, so the strings of the tags need no check of their own.
    """
    if not isinstance(tags, list):
        raise InvalidEvent("tags is not an array")
    rows = []
    try:
        for tag in tags:
            if not tag or not isinstance(tag, list):
                raise InvalidEvent("a tag is not an array of one or more strings")
            rows.append(",".join(map(encode_basestring, tag)))
    except TypeError:
        raise InvalidEvent("a tag holds something that is not a string") from None
    tags_text = f"[[{'],['.join(rows)}]]" if rows else "[]"
    try:
        content_text = encode_basestring(content)
    except TypeError:
        raise InvalidEvent("content is not a string") from None
    try:
        author = encode_basestring(pubkey)
    except TypeError:
        raise InvalidEvent("pubkey is not a string") from None
    serialized = f"[0,{author},{created_at:d},{kind:d},{tags_text},{content_text}]"
    try:
        return serialized.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("a string holds half a surrogate pair") from None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _without_tuples(tags: object) -> object:
    """Return the tags with tuples, which some callers use, turned into lists."""
    if not isinstance(tags, list | tuple):
        return tags
    return [list(tag) if isinstance(tag, tuple) else tag for tag in tags]


def _from_hex(text: object, size: int) -> bytes | None:
    """Decode exactly `size` bytes of lowercase hex, or return None."""
    if not isinstance(text, str) or len(text) != 2 * size:
        return None
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    # `fromhex` also accepts capitals and spaces.
    return raw if raw.hex() == text else None


def _tag_value(tags: Sequence[Sequence[str]], name: str) -> str | None:
    """Return the value of the first tag of that name, "" if that tag has no value."""
    for tag in tags:
        if tag[0] == name:
            return tag[1] if len(tag) > 1 else ""
    return None


def _memory_bytes(tags: Sequence[Sequence[str]], text: str) -> int:
    values = sum(map(len, tags))
    text_bytes = sys.getsizeof(text) - _EMPTY_TEXT_BYTES
    return text_bytes + TAG_BYTES * len(tags) + TAG_VALUE_BYTES * values


def _expiration(tags: Sequence[Sequence[str]]) -> int | None:
    """Return the first `expiration` that is a decimal integer (NIP-40).

    A number of 20 digits or more counts as none: no clock will ever reach it.
    """
    for tag in tags:
        if tag[0] == "expiration" and len(tag) > 1:
            value = tag[1]
            if value.isascii() and value.isdigit():
                return int(value) if len(value) < 20 else None
    return None


def _encode_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        raise DisputedMessage("a JSON object has the same key twice")
    return obj


def _refuse_constant(name: str) -> None:
    raise InvalidMessage(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
)
