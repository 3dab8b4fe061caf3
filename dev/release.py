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
    arguments = parser.parse_args()
    try:
        archive = build(arguments.folder)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    if _git("status", "--porcelain", "--untracked-files=no"):
        print("Not from a commit: the checkout has changes.", file=sys.stderr)
    print(f"{archive}, {archive.stat().st_size:,} bytes")
    print(json.dumps(list_entry(archive, f"https://…/{archive.name}"), indent=2))
    return 0


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
