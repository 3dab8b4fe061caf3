"""Small things between LNbits and the rest."""

from ipaddress import IPv6Address, ip_address

from lnbits.helpers import decrypt_internal_message

from .nostr.errors import InvalidKey
from .nostr.key import PublicKey

PUBLIC_ENDPOINT = "relay"


def normalize_public_key(pubkey: str) -> str:
    """Give a public key as lower-case hex, from hex or npub (NIP-19).

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


def is_private_endpoint(ws_id: str) -> bool:
    """Whether `ws_id` is the encrypted name of the endpoint.

    Clients build it in both alphabets of base64, and some append a slash, which is also
    a character of one of them.
    """
    return any(
        _decrypted(candidate, urlsafe) == PUBLIC_ENDPOINT
        for candidate in dict.fromkeys((ws_id, ws_id.rstrip("/"), ws_id[:-1]))
        if candidate
        for urlsafe in (True, False)
    )


def _decrypted(text: str, urlsafe: bool) -> str | None:
    try:
        return decrypt_internal_message(text, urlsafe=urlsafe)
    except Exception:  # noqa: BLE001  # whatever it raises, it is not our endpoint
        return None


def address_group(address: str) -> str | None:
    """Give what connections are counted by: the address, for IPv6 its /64 network.

    None for loopback and private addresses, which are those of reverse proxies, and for
    what is no address.
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
