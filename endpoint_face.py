"""The public endpoint's face: its NIP-11 document and its page for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from io import BytesIO
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
<meta name="color-scheme" content="light dark">
<title>{name}</title>
<style>
body {{font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 2rem auto;
  padding: 0 1rem; overflow-wrap: anywhere}}
code {{user-select: all; font-size: 1.1em}}
button {{font: inherit; padding: .3em 1em}}
svg {{background: #fff; max-width: 100%; height: auto}}
</style>
{parts}
"""
_DEFAULT_NAME = "nostrclient"
_DEFAULT_DESCRIPTION = (
    "This is the address of a Nostr relay: one endpoint in front of many relays."
)
_COPY = (
    "navigator.clipboard.writeText(document.querySelector('code').textContent)"
    ".then(() => {this.textContent = 'Copied'})"
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


def human_page(face: Face, url: str, state: str) -> str:
    """Return the page for people who open the endpoint's address in a browser.

    `url` is the one to enter in a Nostr client, `state` a sentence.
    """
    name = escape(face.name or _DEFAULT_NAME)
    parts = [
        f"<h1>{name}</h1>",
        f"<p>{escape(face.description or _DEFAULT_DESCRIPTION)}",
        f'<p role="status">{escape(state)}',
        f"<p>Enter this URL in a Nostr client:<p><code>{escape(url)}</code>",
        f'<p><button type="button" onclick="{_COPY}">Copy</button>',
        f"<p>{_qr_code(url)}",
    ]
    if face.icon:
        parts.insert(0, f'<img src="{escape(face.icon)}" alt="" width="96">')
    if face.contact:
        parts.append(f"<p>Contact: {escape(face.contact)}")
    if face.terms:
        parts.append(f'<p><a href="{escape(face.terms)}" rel="noopener">Terms</a>')
    return _PAGE.format(name=name, parts="\n".join(parts))


@lru_cache(maxsize=16)
def _qr_code(url: str) -> str:
    """Return a URL as a QR code in SVG; nothing for one that is too long.

    LNbits itself needs the library, but nothing else here does.
    """
    try:
        import pyqrcode

        code = pyqrcode.create(url, error="M")
    except (ImportError, ValueError):
        return ""
    stream = BytesIO()
    code.svg(stream, scale=6, quiet_zone=3, xmldecl=False, title="QR code")
    return stream.getvalue().decode()
