"""Helpers that use LNbits: keys, endpoints' ids, addresses, shielding."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import lru_cache, wraps
from ipaddress import IPv6Address, ip_address
from typing import Any, ParamSpec, TypeVar

from lnbits.helpers import decrypt_internal_message, encrypt_internal_message

from .nostr.errors import InvalidKey
from .nostr.key import PrivateKey, PublicKey

# The names for other extensions: docs/extensions.md. The rest may change.
__all__ = ["normalize_public_key"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

PUBLIC_ENDPOINT = "relay"
NAMED_URL = "url:"
"""What the secret of a private URL with a name begins with; its id follows."""
INFORMATION_TYPE = "application/nostr+json"


def normalize_public_key(pubkey: str) -> str:
    """Return a public key as lower-case hex, from hex or npub (NIP-19).

    Raises `InvalidKey` (a `ValueError`).
    """
    text = pubkey.strip()
    if text.lower().startswith("npub1"):
        return PublicKey.from_npub(text).hex()
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidKey("Public Key is not valid hex") from error
    if len(raw) != 32 or len(text) != 64:
        raise InvalidKey("Public Key is not valid hex")
    return raw.hex()


def read_private_key(text: str) -> PrivateKey:
    """Read an nsec or 64 hex digits. The message of `InvalidKey` never repeats them."""
    text = text.strip()
    if text.lower().startswith("nsec1"):
        return PrivateKey.from_nsec(text)
    return PrivateKey.from_hex(text)


def encrypt_identity(key: PrivateKey) -> str:
    """Encrypt a private key with LNbits' own secret, to be stored.

    The text is the nsec with its 63 characters. The 64 characters of hex fill blocks of
    16, and LNbits' decryption would return them with their padding.
    """
    encrypted = encrypt_internal_message(key.bech32())
    if not encrypted:
        raise InvalidKey("the key could not be encrypted")
    return encrypted


def decrypt_identity(encrypted: str) -> PrivateKey:
    """Return the key that `encrypt_identity` encrypted.

    Raises `InvalidKey`, also if LNbits' secret has changed.
    """
    text = _decrypted(encrypted, urlsafe=False)
    if text is None:
        raise InvalidKey("the stored key does not belong to LNbits' present secret")
    return PrivateKey.from_nsec(text)


def is_private_endpoint(ws_id: str) -> bool:
    """Return whether `ws_id` is a secret that LNbits encrypted for a private URL.

    The URL may have been revoked.
    """
    return private_url_id(ws_id) is not None


def private_url_id(ws_id: str) -> str | None:
    """Return the id of the private URL whose secret `ws_id` is, None if it is none.

    The id is empty for the URL that all extensions on this server build. Clients use
    both base64 alphabets, and some append a slash, which is also a character of one of
    them.
    """
    for candidate in dict.fromkeys((ws_id, ws_id.rstrip("/"), ws_id[:-1])):
        for urlsafe in (True, False):
            text = _decrypted(candidate, urlsafe) if candidate else None
            if text == PUBLIC_ENDPOINT:
                return ""
            if text and text.startswith(NAMED_URL):
                return text.removeprefix(NAMED_URL)
    return None


def private_path(url_id: str = "") -> str:
    """Return the path of a private URL; the spelling of its secret differs each time.

    LNbits' cipher does not authenticate: whoever knows a secret can cut it off, or
    garble its end. No text that begins with `NAMED_URL` becomes another URL's so.
    """
    text = f"{NAMED_URL}{url_id}" if url_id else PUBLIC_ENDPOINT
    return f"/nostrclient/api/v1/{encrypt_internal_message(text, urlsafe=True)}"


def _decrypted(text: str, urlsafe: bool) -> str | None:
    try:
        return decrypt_internal_message(text, urlsafe=urlsafe)
    except Exception:  # noqa: BLE001  # any error means that it is not our endpoint
        return None


@lru_cache(maxsize=2000)
def address_group(address: str) -> str | None:
    """Return the group of a connection limit: the address, for IPv6 its /64 network.

    None for loopback and private addresses, which belong to reverse proxies, and for an
    invalid address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback or parsed.is_private:
        return None
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def accepts_information(accept: list[str]) -> bool:
    """Return whether Accept headers ask for the information document (NIP-11)."""
    types = (item.split(";")[0] for header in accept for item in header.split(","))
    return any(item.strip().lower() == INFORMATION_TYPE for item in types)


def uninterrupted(
    work: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Decorate a coroutine function so that it completes even if it is cancelled.

    The cancellation is raised afterwards. A transaction that is cancelled half-way
    leaves SQLite locked for everybody.
    """

    @wraps(work)
    async def whole(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        task = asyncio.ensure_future(work(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    return whole
