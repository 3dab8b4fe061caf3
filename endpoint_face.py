"""The public endpoint's face: its NIP-11 document and its page for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from .helpers import normalize_public_key
from .models import Face
from .nostr.errors import InvalidMessage
from .nostr.relay_url import normalize_relay_url

MAX_NAME_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 1000

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{name}</title>
{parts}
"""
_DEFAULT_NAME = "nostrclient"
_DEFAULT_DESCRIPTION = (
    "This is the address of a Nostr relay: one endpoint in front of many relays."
)
_WITHOUT_URL = (
    "Enter it in a Nostr client, with <code>ws</code> in place of <code>http</code>."
)


def checked_face(face: Face) -> Face:
    """Return the fields as they are stored. Raises `ValueError` with a reason."""
    texts = {name: " ".join(text.split()) for name, text in face.dict().items()}
    for name, text in texts.items():
        limit = MAX_NAME_CHARACTERS if name == "name" else MAX_TEXT_CHARACTERS
        if len(text) > limit:
            raise InvalidMessage(f"{name} is longer than {limit} characters")
    for name in ("icon", "terms"):
        if texts[name] and not _is_web_url(texts[name]):
            raise InvalidMessage(f"{name} must be a URL with http:// or https://")
    if texts["pubkey"]:
        texts["pubkey"] = normalize_public_key(texts["pubkey"])
    if texts["public_url"]:
        texts["public_url"] = normalize_relay_url(texts["public_url"])
    return Face(**texts)


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def information_fields(face: Face) -> Mapping[str, str]:
    """Return the fields of the NIP-11 document that the operator has set."""
    fields = {
        "name": face.name,
        "description": face.description,
        "icon": face.icon,
        "contact": face.contact,
        "pubkey": face.pubkey,
        "terms_of_service": face.terms,
    }
    return {name: text for name, text in fields.items() if text}


def human_page(face: Face) -> str:
    """Return the page for people who open the endpoint's address in a browser."""
    name = escape(face.name or _DEFAULT_NAME)
    parts = [
        f"<h1>{name}</h1>",
        f"<p>{escape(face.description or _DEFAULT_DESCRIPTION)}",
    ]
    if face.icon:
        parts.insert(0, f'<img src="{escape(face.icon)}" alt="" width="96">')
    if face.public_url:
        parts.append(
            f"<p>Enter <code>{escape(face.public_url)}</code> in a Nostr client."
        )
    else:
        parts.append(f"<p>{_WITHOUT_URL}")
    if face.contact:
        parts.append(f"<p>Contact: {escape(face.contact)}")
    if face.terms:
        parts.append(f'<p><a href="{escape(face.terms)}" rel="noopener">Terms</a>')
    return _PAGE.format(name=name, parts="\n".join(parts))
