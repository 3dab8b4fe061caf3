"""`make release`: the zip that LNbits installs.

It contains the same files as a release's archive, in one folder: every tracked file
that .gitattributes does not exclude. The same files always produce the same zip.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from .paths import CHECKOUT, EXTENSION_ID

FOLDER = CHECKOUT / ".build" / "release"
EPOCH = (1980, 1, 1, 0, 0, 0)
VERSION = re.compile(r"\d+\.\d+\.\d+")
NEEDED = {"version", "name", "short_description", "license", "tags", "tile"}


class ReleaseError(Exception):
    """A file that a release needs is missing or inconsistent."""


def main() -> int:
    """Build the zip and print its entry for LNbits' list of extensions."""
    parser = argparse.ArgumentParser(description="Build the zip that LNbits installs.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--tag", help="compare this tag with config.json and --list")
    parser.add_argument("--list", type=Path, help="extensions.json of LNbits' list")
    parser.add_argument(
        "--add", nargs=2, metavar=("ZIP", "URL"), help="add this release to --list"
    )
    arguments = parser.parse_args()
    try:
        if arguments.tag:
            _release(arguments.tag, arguments.list, arguments.add)
            return 0
        archive = build(arguments.folder)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    if _git("status", "--porcelain", "--untracked-files=no"):
        print("Not from a commit: the checkout has changes.", file=sys.stderr)
    print(f"{archive}, {archive.stat().st_size:,} bytes")
    print(json.dumps(list_entry(archive, f"https://…/{archive.name}"), indent=2))
    return 0


def _release(tag: str, list_path: Path, added: list[str] | None) -> None:
    files = {
        name: (CHECKOUT / name).read_bytes()
        for name in ("config.json", "CHANGELOG.md", "manifest.json", "description.md")
    }
    config = json.loads(files["config.json"])
    _check(config, files)
    listed = json.loads(list_path.read_text())
    check_tag(tag, config, listed["extensions"])
    if added is not None:
        entry = release_entry(config, Path(added[0]).read_bytes(), added[1])
        listed["extensions"] = with_entry(listed["extensions"], entry)
        list_path.write_text(json.dumps(listed, indent=4, ensure_ascii=False) + "\n")


def check_tag(tag: str, config: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    """Raise `ReleaseError` unless the tag is config.json's version and a new maximum.

    LNbits offers the largest version, so a smaller one would never be installed.
    """
    version = config["version"]
    if tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, but config.json says {version}")
    for entry in listed:
        if entry["id"] == EXTENSION_ID and _numbers(entry["version"]) >= _numbers(
            version
        ):
            raise ReleaseError(f"{entry['version']} is listed already, not below {tag}")


def release_entry(config: dict[str, Any], archive: bytes, url: str) -> dict[str, Any]:
    """Return the entry of a released archive, with all that the list's check wants."""
    repository = url.partition("/archive/")[0]
    raw = (
        repository.replace("://github.com/", "://raw.githubusercontent.com/") + "/main"
    )
    tile = config["tile"].removeprefix(f"/{EXTENSION_ID}/")
    return {
        "id": EXTENSION_ID,
        "repo": repository,
        "name": config["name"],
        "version": config["version"],
        "min_lnbits_version": config["min_lnbits_version"],
        "short_description": config["short_description"],
        "icon": f"{raw}/{tile}",
        "archive": url,
        "hash": hashlib.sha256(archive).hexdigest(),
        "details_link": f"{raw}/config.json",
    }


def with_entry(
    listed: list[dict[str, Any]], entry: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the list with the entry; one for the same LNbits version is replaced."""

    def is_replaced(other: dict[str, Any]) -> bool:
        same = ("id", "min_lnbits_version")
        return all(other.get(name) == entry[name] for name in same)

    kept = [other for other in listed if not is_replaced(other)]
    places = [n for n, other in enumerate(kept) if other["id"] == entry["id"]]
    place = places[-1] + 1 if places else len(kept)
    return [*kept[:place], entry, *kept[place:]]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def build(folder: Path, version: str | None = None) -> Path:
    """Build the zip of the checkout as it is now and return its path.

    `version` replaces the version in config.json. Raises `ReleaseError`.
    """
    files = packed()
    config: dict[str, Any] = json.loads(files["config.json"])
    _check(config, files)
    if version is not None:
        config["version"] = version
        files["config.json"] = json.dumps(config, indent=2).encode()
    name = f"{EXTENSION_ID}-{config['version']}"
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder / f"{name}.zip", files)


def packed() -> dict[str, bytes]:
    """Return the files of a release, by their path in the checkout."""
    with tempfile.TemporaryDirectory() as scratch:
        # An index of our own, with the tracked files in their present state.
        index = _git("rev-parse", "--git-path", "index").decode().strip()
        own = {"GIT_INDEX_FILE": shutil.copy(CHECKOUT / index, scratch)}
        _git("add", "--update", **own)
        tree = _git("write-tree", **own).decode().strip()
    archive = _git("archive", "--worktree-attributes", tree)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        return {
            member.name: content.read()
            for member in tar
            if (content := tar.extractfile(member))
        }


def write(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip with all files in one folder, as LNbits expects it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{path.stem}/{name}", EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path


def list_entry(archive: Path, url: str) -> dict[str, Any]:
    """Return the zip's entry for a list of extensions (LNBITS_EXTENSIONS_MANIFESTS)."""
    with zipfile.ZipFile(archive) as opened:
        config = json.loads(opened.read(f"{archive.stem}/config.json"))
    return {
        "id": EXTENSION_ID,
        "name": config["name"],
        "version": config["version"],
        "short_description": config["short_description"],
        "min_lnbits_version": config["min_lnbits_version"],
        "archive": url,
        "hash": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }


def _check(config: dict[str, Any], files: dict[str, bytes]) -> None:
    if missing := sorted(NEEDED - {key for key, value in config.items() if value}):
        raise ReleaseError(f"config.json lacks: {', '.join(missing)}")
    version = str(config["version"])
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{version} is not a version of three numbers")
    if f"\n## [{version}]" not in files.get("CHANGELOG.md", b"").decode():
        raise ReleaseError(f"CHANGELOG.md has no section for {version}")
    for name in ("manifest.json", "description.md"):
        if name not in files:
            raise ReleaseError(f"{name} is missing")


def _git(*arguments: str, **variables: str) -> bytes:
    run = subprocess.run(
        ["git", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    if run.returncode:
        raise ReleaseError(run.stderr.decode(errors="replace").strip())
    return run.stdout


if __name__ == "__main__":
    sys.exit(main())
