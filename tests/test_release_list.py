"""A release: its tag, its number, and its entry in LNbits' list of extensions."""

import hashlib
import json
from typing import Any

import pytest

from dev.paths import CHECKOUT
from dev.release import ReleaseError, check_tag, release_entry, with_entry

CONFIG: dict[str, Any] = json.loads((CHECKOUT / "config.json").read_text())
URL = "https://github.com/lnbits/nostrclient/archive/refs/tags/v2.0.0.zip"
NEEDED = {"id", "repo", "name", "version", "short_description", "icon", "archive"}
"""Fields without which the check of the list fails, besides `hash`."""


def listed(*versions: tuple[str, str]) -> list[dict[str, Any]]:
    """A list with other extensions around ours, by version and LNbits' minimum."""
    ours = [
        {"id": "nostrclient", "version": version, "min_lnbits_version": minimum}
        for version, minimum in versions
    ]
    return [{"id": "a", "version": "9.0.0"}, *ours, {"id": "z", "version": "9.0.0"}]


EARLIER = listed(("0.4.0", "0.12.0"), ("1.1.0", "1.0.0"), ("1.2.0", "1.4.0"))


def test_version_is_larger_than_all_of_the_earlier_extension() -> None:
    check_tag(f"v{CONFIG['version']}", CONFIG, EARLIER)


@pytest.mark.parametrize("tag", ["v1.0.0", "2.0.0", "v2.0.1", "main"])
def test_tag_that_is_not_the_version_is_refused(tag: str) -> None:
    with pytest.raises(ReleaseError, match=r"config\.json says"):
        check_tag(tag, {**CONFIG, "version": "2.0.0"}, EARLIER)


@pytest.mark.parametrize("version", ["1.0.0", "1.2.0", "1.1.10"])
def test_version_that_is_not_above_every_listed_one_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match="listed already"):
        check_tag(f"v{version}", {**CONFIG, "version": version}, EARLIER)


def test_ten_is_above_nine() -> None:
    check_tag("v2.10.0", {**CONFIG, "version": "2.10.0"}, listed(("2.9.0", "1.4.0")))


def test_pictures_that_lnbits_shows_exist() -> None:
    raw = "https://raw.githubusercontent.com/lnbits/nostrclient/main/"
    pictures = [image["uri"] for image in CONFIG["images"]]
    assert pictures
    for uri in [*pictures, CONFIG["description_md"]]:
        assert uri.startswith(raw)
        assert (CHECKOUT / uri.removeprefix(raw)).exists()


def test_entry_has_what_the_check_of_the_list_wants() -> None:
    entry = release_entry(CONFIG, b"zip", URL)
    assert entry.keys() >= NEEDED
    assert entry["hash"] == hashlib.sha256(b"zip").hexdigest()
    assert entry["archive"].startswith(entry["repo"])
    assert entry["short_description"][0].isupper()
    assert not entry["short_description"].endswith(".")
    raw = "https://raw.githubusercontent.com/lnbits/nostrclient/main/"
    icon = entry["icon"].removeprefix(raw)
    assert (CHECKOUT / icon).exists()
    # The entries of earlier versions point there.
    assert (CHECKOUT / "static/images/nostr-bitcoin.png").exists()


def test_entry_replaces_that_of_the_same_lnbits_version_only() -> None:
    entry = release_entry(CONFIG, b"zip", URL)
    found = with_entry(EARLIER, entry)
    versions = [item["version"] for item in found if item["id"] == "nostrclient"]
    assert versions == ["0.4.0", "1.1.0", CONFIG["version"]]
    assert found[-1]["id"] == "z"
    other = with_entry(EARLIER, {**entry, "min_lnbits_version": "1.9.0"})
    assert len(other) == len(EARLIER) + 1
    assert other[-2]["min_lnbits_version"] == "1.9.0"
