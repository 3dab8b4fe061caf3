"""Keys: bech32 forms (NIP-19), signatures (BIP-340) and direct messages (NIP-04)."""

import base64
import binascii
import secrets

import coincurve
from bech32 import CHARSET, bech32_encode, bech32_hrp_expand, bech32_polymod
from bech32 import convertbits as convert_bits
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .errors import InvalidEvent, InvalidKey, InvalidMessage
from .event import EncryptedDirectMessage, Event, verify_signature

# The names for other extensions: docs/extensions.md. The rest may change.
__all__ = ["PrivateKey", "PublicKey", "mine_vanity_key"]

_KEY_SIZE = 32
_BECH32_LENGTH = 63  # prefix of 4, the 1, 52 for the key, 6 for the checksum
_BECH32_CHECKSUM = 1
_BECH32M_CHECKSUM = 0x2BC830A3
_NPUB_START = len("npub1")
_IV_SIZE = 16


class PublicKey:
    """A public key: the x coordinate of a point on secp256k1 (BIP-340)."""

    __slots__ = ("raw_bytes",)

    def __init__(self, raw_bytes: bytes) -> None:
        """Check and store the 32 bytes of a key. Raises `InvalidKey`."""
        raw_bytes = _exactly_32_bytes("public key", raw_bytes)
        try:
            coincurve.PublicKeyXOnly(raw_bytes)
        except ValueError:
            raise InvalidKey("the public key is not on the curve") from None
        self.raw_bytes = raw_bytes

    @classmethod
    def from_hex(cls, text: str) -> "PublicKey":
        """Read 64 hex digits, in either case. Raises `InvalidKey`."""
        return cls(_from_hex("public key", text))

    @classmethod
    def from_npub(cls, npub: str) -> "PublicKey":
        """Read an `npub` (NIP-19). Raises `InvalidKey`."""
        return cls(_from_bech32("npub", npub))

    def hex(self) -> str:
        """Return 64 lowercase hex digits, as in an event."""
        return self.raw_bytes.hex()

    def bech32(self) -> str:
        """Return the `npub` (NIP-19)."""
        return _to_bech32("npub", self.raw_bytes)

    def verify_signed_message_hash(self, message_hash: str, sig: str) -> bool:
        """Return whether `sig` signs `message_hash`, both in hex. Never raises."""
        try:
            hash_bytes, sig_bytes = bytes.fromhex(message_hash), bytes.fromhex(sig)
        except (TypeError, ValueError):
            return False
        return verify_signature(self.raw_bytes, hash_bytes, sig_bytes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self.raw_bytes == other.raw_bytes

    def __hash__(self) -> int:
        return hash(self.raw_bytes)

    def __repr__(self) -> str:
        return f"<PublicKey {self.bech32()}>"


class PrivateKey:
    """A private key: signs events, encrypts and decrypts messages."""

    __slots__ = ("_public_key", "_secret")

    def __init__(self, raw_secret: bytes | None = None) -> None:
        """Store 32 secret bytes, or generate a new key. Raises `InvalidKey`."""
        if raw_secret is None:
            key = coincurve.PrivateKey()
        else:
            raw_secret = _exactly_32_bytes("private key", raw_secret)
            try:
                key = coincurve.PrivateKey(raw_secret)
            except ValueError:
                raise InvalidKey("the private key is out of range") from None
        self._secret: bytes = key.secret
        self._public_key = PublicKey(key.public_key_xonly.format())

    @classmethod
    def from_hex(cls, text: str) -> "PrivateKey":
        """Read 64 hex digits, in either case. Raises `InvalidKey`."""
        return cls(_from_hex("private key", text))

    @classmethod
    def from_nsec(cls, nsec: str) -> "PrivateKey":
        """Read an `nsec` (NIP-19). Raises `InvalidKey`."""
        return cls(_from_bech32("nsec", nsec))

    @property
    def raw_secret(self) -> bytes:
        """The 32 secret bytes."""
        return self._secret

    @property
    def public_key(self) -> PublicKey:
        """The public key that belongs to it."""
        return self._public_key

    def hex(self) -> str:
        """Return the secret as 64 lowercase hex digits."""
        return self._secret.hex()

    def bech32(self) -> str:
        """Return the `nsec` (NIP-19)."""
        return _to_bech32("nsec", self._secret)

    def sign_message_hash(self, message_hash: bytes) -> str:
        """Sign 32 bytes (BIP-340) and return 128 hex digits.

        Raises `InvalidMessage` if they are not 32.
        """
        if len(message_hash) != 32:
            raise InvalidMessage("a message hash has 32 bytes")
        key = coincurve.PrivateKey(self._secret)
        return key.sign_schnorr(bytes(message_hash)).hex()

    def sign_event(self, event: Event) -> None:
        """Set the event's author and signature.

        A direct message is encrypted first if necessary. Raises `InvalidEvent` if the
        event is incomplete or names another author.
        """
        public_key = self._public_key.hex()
        if event.public_key not in (None, public_key):
            raise InvalidEvent("the event names another author")
        if isinstance(event, EncryptedDirectMessage) and event.content is None:
            self.encrypt_dm(event)
        event.public_key = public_key
        event.signature = self.sign_message_hash(bytes.fromhex(event.id))

    def compute_shared_secret(self, public_key_hex: str) -> bytes:
        """Return the x coordinate shared with another key, not hashed (NIP-04).

        Raises `InvalidKey`. OpenSSL computes it in constant time; coincurve's
        multiplication takes longer for some secrets than for others.
        """
        other = PublicKey.from_hex(public_key_hex)
        curve = ec.SECP256K1()
        point = ec.EllipticCurvePublicKey.from_encoded_point(
            curve, b"\x02" + other.raw_bytes
        )
        secret = ec.derive_private_key(int.from_bytes(self._secret, "big"), curve)
        return secret.exchange(ec.ECDH(), point)

    def encrypt_message(self, message: str, public_key_hex: str) -> str:
        """Encrypt a text for the owner of a public key (NIP-04).

        Raises `InvalidKey`, and `InvalidMessage` for a text that is not Unicode.
        """
        try:
            cleartext = message.encode()
        except UnicodeEncodeError:
            raise InvalidMessage("the text holds half a surrogate pair") from None
        iv = secrets.token_bytes(_IV_SIZE)
        padder = padding.PKCS7(128).padder()
        encryptor = self._cipher(public_key_hex, iv).encryptor()
        padded = padder.update(cleartext) + padder.finalize()
        encrypted = encryptor.update(padded) + encryptor.finalize()
        return f"{_to_base64(encrypted)}?iv={_to_base64(iv)}"

    def decrypt_message(self, encoded_message: str, public_key_hex: str) -> str:
        """Decrypt a text from the owner of a public key (NIP-04).

        Raises `InvalidKey`, and `InvalidMessage` for a text that is malformed or was
        encrypted for others. NIP-04 has no checksum: a wrong key may go unnoticed.
        """
        content, separator, iv_text = encoded_message.partition("?iv=")
        if not separator:
            raise InvalidMessage("the encrypted text has no ?iv=")
        encrypted, iv = _from_base64(content), _from_base64(iv_text)
        if len(iv) != _IV_SIZE:
            raise InvalidMessage("the initialisation vector has not 16 bytes")
        if not encrypted or len(encrypted) % 16:
            raise InvalidMessage("the encrypted text is not made of whole blocks")
        decryptor = self._cipher(public_key_hex, iv).decryptor()
        padded = decryptor.update(encrypted) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        try:
            return (unpadder.update(padded) + unpadder.finalize()).decode()
        except ValueError:  # on purpose the same for bad padding and bad UTF-8
            raise InvalidMessage("the text cannot be decrypted with this key") from None

    def encrypt_dm(self, dm: EncryptedDirectMessage) -> None:
        """Encrypt a direct message in place: `cleartext_content` to `content`.

        Raises `InvalidEvent` if there is no text, `InvalidKey` for a bad recipient.
        """
        if dm.cleartext_content is None:
            raise InvalidEvent("the direct message has no cleartext_content")
        if dm.recipient_pubkey is None:
            raise InvalidEvent("the direct message has no recipient_pubkey")
        dm.content = self.encrypt_message(dm.cleartext_content, dm.recipient_pubkey)

    def tweak_add(self, scalar: bytes) -> bytes:
        """Return the secret plus a scalar of 32 bytes, modulo the curve's order.

        Raises `InvalidKey` if the scalar or the sum is out of range.
        """
        scalar = _exactly_32_bytes("scalar", scalar)
        try:
            return bytes(coincurve.PrivateKey(self._secret).add(scalar).secret)
        except ValueError:
            raise InvalidKey("the scalar or the sum is out of range") from None

    def _cipher(self, public_key_hex: str, iv: bytes) -> Cipher[modes.CBC]:
        key = algorithms.AES(self.compute_shared_secret(public_key_hex))
        return Cipher(key, modes.CBC(iv))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return secrets.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._public_key)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self._public_key.bech32()}>"


def mine_vanity_key(prefix: str | None = None, suffix: str | None = None) -> PrivateKey:
    """Generate keys until an `npub` has this prefix and suffix; return that key.

    `prefix` follows `npub1`. Every letter takes 32 times longer. Raises `InvalidKey` if
    no `npub` can have them.
    """
    if prefix is None and suffix is None:
        raise InvalidKey("a prefix or a suffix is needed")
    prefix, suffix = prefix or "", suffix or ""
    if not set(prefix + suffix) <= set(CHARSET):
        raise InvalidKey("the wish has a character that bech32 does not use")
    if max(len(prefix), len(suffix)) > _BECH32_LENGTH - _NPUB_START:
        raise InvalidKey("the wish is longer than an npub")
    while True:
        key = PrivateKey()
        npub = key.public_key.bech32()
        if npub.startswith(prefix, _NPUB_START) and npub.endswith(suffix):
            return key


def _exactly_32_bytes(name: str, value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidKey(f"the {name} is not made of bytes")
    raw = bytes(value)
    if len(raw) != _KEY_SIZE:
        raise InvalidKey(f"the {name} has {len(raw)} bytes, not 32")
    return raw


def _from_hex(name: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise InvalidKey(f"the {name} is not a string")
    if len(text) != 2 * _KEY_SIZE:
        raise InvalidKey(f"the {name} has {len(text)} characters, not 64")
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != _KEY_SIZE:  # `fromhex` skips spaces
        raise InvalidKey(f"the {name} is not hex")
    return raw


def _to_bech32(prefix: str, raw: bytes) -> str:
    words = convert_bits(raw, 8, 5) or []  # never None: bytes always fit
    return bech32_encode(prefix, words)


def _from_bech32(prefix: str, text: object) -> bytes:
    """Read a key in bech32, not its cousin bech32m (NIP-19). Raises `InvalidKey`."""
    if not isinstance(text, str):
        raise InvalidKey(f"the {prefix} is not a string")
    if text not in (text.lower(), text.upper()):
        raise InvalidKey(f"the {prefix} mixes upper and lower case")
    text = text.lower()
    if not text.startswith(f"{prefix}1"):
        raise InvalidKey(f"an {prefix} begins with {prefix}1")
    if len(text) != _BECH32_LENGTH:
        raise InvalidKey(f"the {prefix} has {len(text)} characters, not 63")
    words = [CHARSET.find(character) for character in text[len(prefix) + 1 :]]
    if -1 in words:
        raise InvalidKey(f"the {prefix} has a character that bech32 does not use")
    checksum = bech32_polymod(bech32_hrp_expand(prefix) + words)
    if checksum == _BECH32M_CHECKSUM:
        raise InvalidKey(f"the {prefix} is in bech32m, not in bech32")
    if checksum != _BECH32_CHECKSUM:
        raise InvalidKey(f"the {prefix} is mistyped: its checksum is wrong")
    raw = convert_bits(words[:-6], 5, 8, False)
    if raw is None:
        raise InvalidKey(f"the {prefix} has bits beyond its 32 bytes")
    return bytes(raw)


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMessage("the encrypted text is not base64") from None
