"""A9: how the public endpoint presents itself, to programs and to people."""

import pytest

from nostrclient.endpoint_face import checked_face, human_page, information_fields
from nostrclient.models import Config, Face
from tests.nostr.builders import KEY

FULL = Face(
    name="  Relay of\nour shop ",
    description="Orders & more",
    icon="https://relay.example/icon.png",
    contact="mailto:admin@relay.example",
    pubkey=KEY.public_key.bech32(),
    terms="https://relay.example/terms",
    public_url="WSS://Relay.Example:443/",
)


def test_a9_fields_are_stored_in_their_normal_form() -> None:
    face = checked_face(FULL)
    assert face.name == "Relay of our shop"
    assert face.pubkey == KEY.public_key.hex()
    assert face.public_url == "wss://relay.example"
    assert checked_face(face) == face
    assert checked_face(Face()) == Face()


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("name", 65 * "x", "longer than 64"),
        ("description", 1001 * "x", "longer than 1000"),
        ("icon", "javascript:alert(1)", "http"),
        ("icon", "data:image/png;base64,AAAA", "http"),
        ("terms", "https://", "http"),
        ("terms", "https://[", "http"),
        ("pubkey", "npub1xyz", "npub"),
        ("pubkey", 64 * "g", "hex"),
        ("public_url", "https://relay.example", "ws"),
        ("public_url", "wss://a:b@relay.example", "credentials"),
    ],
)
def test_a9_wrong_field_is_refused_with_a_reason(
    field: str, text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        checked_face(Face(**{field: text}))


def test_a9_nip_11_document_has_the_fields_that_are_set() -> None:
    assert information_fields(Face()) == {}
    assert information_fields(checked_face(FULL)) == {
        "name": "Relay of our shop",
        "description": "Orders & more",
        "icon": "https://relay.example/icon.png",
        "contact": "mailto:admin@relay.example",
        "pubkey": KEY.public_key.hex(),
        "terms_of_service": "https://relay.example/terms",
    }


def test_a9_human_page_shows_the_fields_as_text() -> None:
    harm = "<script>'\"&{name}"
    face = Face(
        name=harm,
        description=harm,
        contact=harm,
        icon=f"https://x/{harm}",
        terms=f"https://x/{harm}",
    )
    page = human_page(face, f"wss://x/{harm}", harm)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;&#x27;&quot;&amp;{name}") == 8


def test_a9_human_page_has_the_url_to_copy_as_a_qr_code_and_the_state() -> None:
    plain = human_page(Face(), "wss://relay.example/", "It is open.")
    assert "Nostr relay" in plain
    assert "<img" not in plain
    assert "<code>wss://relay.example/</code>" in plain
    assert "<svg" in plain
    assert "It is open." in plain
    assert "width=device-width" in plain
    assert "<svg" not in human_page(Face(), "wss://" + 5000 * "x", "")


def test_a9_configuration_is_shown_without_a_face_that_is_not_set() -> None:
    assert "face" not in Config().dict()
    assert Config(face=Face(name="x")).dict()["face"]["name"] == "x"
    assert Config(**Config(face=Face(name="x")).dict()).face.name == "x"
