"""What LNbits installs extensions from: a list and archives, on a web server."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from dev import release
from dev.lnbits_server import LnbitsServer
from dev.paths import EXTENSION_ID
from dev.ports import HOST


class Catalogue:
    """A list of extensions: nostrclient alone, in the versions that were put in."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._entries: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(
            (HOST, 0), partial(_Quiet, directory=str(folder))
        )
        self._url = f"http://{HOST}:{self._server.server_port}"
        self.list_url = f"{self._url}/list.json"

    def __enter__(self) -> Catalogue:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells LNbits to look here, and nowhere else."""
        return {
            "LNBITS_EXTENSIONS_MANIFESTS": json.dumps([self.list_url]),
            "LNBITS_WASM_EXTENSIONS_MANIFESTS": "[]",
            "LNBITS_EXTENSIONS_BUILDER_MANIFEST_URL": self.list_url,
        }

    def offer(self, archive: Path) -> dict[str, Any]:
        """Put an archive into the list and return its entry there."""
        (self._folder / archive.name).write_bytes(archive.read_bytes())
        entry = release.list_entry(archive, f"{self._url}/{archive.name}")
        self._entries.append(entry)
        listed = json.dumps({"extensions": self._entries, "repos": []})
        (self._folder / "list.json").write_text(listed)
        return entry

    def install(self, server: LnbitsServer, entry: dict[str, Any]) -> None:
        """Let LNbits install or upgrade, as the button on its page does."""
        server.http.post(
            "/api/v1/extension",
            json={
                "ext_id": EXTENSION_ID,
                "archive": entry["archive"],
                "source_repo": self.list_url,
                "version": entry["version"],
            },
            timeout=60.0,
        ).raise_for_status()
        server.http.put(f"/api/v1/extension/{EXTENSION_ID}/enable").raise_for_status()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the tests' output is for the tests."""
