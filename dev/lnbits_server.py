"""A real LNbits with the extension, as a program of its own."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from .child_program import ChildProgram
from .paths import CHECKOUT, EXTENSION_ID, link
from .ports import HOST, free_port

START_SECONDS = 60.0

PYTHON = os.environ.get("NOSTRCLIENT_LNBITS_PYTHON", sys.executable)
"""The Python that LNbits is installed for; `make test-matrix` names others."""


class LnbitsServer:
    """LNbits in a folder with its database, log and login.

    By default it runs with SQLite, a fake wallet and the given extension; `environment`
    overrides that.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        extension: Path | None = CHECKOUT,
        other_extensions: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a server without starting it; `port` None means any free one.

        With `extension` None it has no nostrclient until one is installed.
        `other_extensions` are folders, each named by its extension's id.
        """
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._extensions = {folder.name: folder for folder in other_extensions}
        if extension:
            self._extensions[EXTENSION_ID] = extension
        self.log = self.folder / "lnbits.log"
        self.data = self.folder / "data"
        self.url = f"http://{HOST}:{self.port}"
        self.extension_url = f"{self.url}/{EXTENSION_ID}"
        self.websocket_url = f"ws://{HOST}:{self.port}/{EXTENSION_ID}/api/v1"
        self.public_url = f"{self.websocket_url}/relay"
        self.http = _http_client(self.url)
        """An HTTP client, signed in as the admin once the server has started."""
        self.seconds_to_health = 0.0
        """How long the latest start took until LNbits answered."""
        self._environment = dict(environment or {})
        self._program: ChildProgram | None = None

    # --- life

    @property
    def running(self) -> bool:
        """Whether the server's process is running."""
        return self._program is not None and self._program.running

    def start(self) -> None:
        """Start LNbits, wait until it answers, and sign in.

        The first start in a folder creates the admin. Raises ChildProcessError or
        TimeoutError, with the end of the log, if LNbits does not start.
        """
        if self.running:
            return
        self._prepare()
        command = [
            str(Path(PYTHON).with_name("lnbits")),
            "--host",
            HOST,
            "--port",
            str(self.port),
        ]
        self._program = ChildProgram(
            command, log=self.log, folder=self.folder, environment=self._variables()
        )
        try:
            self._wait_for_health()
            self._sign_in()
            self.enable()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End LNbits with all its processes."""
        if self._program:
            self._program.stop()
            self._program = None

    def kill(self) -> None:
        """End LNbits with SIGKILL."""
        if self._program:
            self._program.kill()
            self._program = None

    def __enter__(self) -> "LnbitsServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.http.close()

    def process(self) -> psutil.Process:
        """Return uvicorn's process, which serves, not its supervisor's."""
        processes = self._program.processes() if self._program else []
        for process in processes:
            for connection in process.net_connections(kind="tcp"):
                listens = connection.status == psutil.CONN_LISTEN
                if listens and connection.laddr.port == self.port:
                    return process
        raise ProcessLookupError("LNbits is not running")

    def printed(self) -> str:
        """Return the log of LNbits since its start."""
        return self._program.printed() if self._program else ""

    # --- the admin and the extension

    @property
    def login(self) -> tuple[str, str]:
        """Name and password of the admin."""
        saved = json.loads(self._login_file.read_text())
        return saved["username"], saved["password"]

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the extension's REST interface as the admin and return the answer.

        Raises httpx.HTTPStatusError for an error status.
        """
        answer = self.http.request(method, f"/{EXTENSION_ID}/api/v1{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def enable(self) -> None:
        """Enable the extensions for the admin's own account, which otherwise gets 403.

        Raises ChildProcessError, with the end of the log, if one was not loaded.
        """
        for name in self._extensions:
            answer = self.http.put(f"/api/v1/extension/{name}/enable")
            if answer.status_code == 404:
                raise ChildProcessError(
                    f"LNbits could not load {name}:\n{self._last_lines()}"
                )
            answer.raise_for_status()

    def new_user(self) -> httpx.Client:
        """Register a user who is no admin and has the extensions enabled."""
        user = _http_client(self.url)
        password = secrets.token_urlsafe(9)
        answer = user.post(
            "/api/v1/auth/register",
            json={
                "username": f"user{secrets.token_hex(4)}",
                "password": password,
                "password_repeat": password,
            },
        ).raise_for_status()
        user.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        for name in self._extensions:
            user.put(f"/api/v1/extension/{name}/enable").raise_for_status()
        return user

    def activate(self) -> None:
        """Enable the extension for the whole of LNbits, as its admin page does."""
        self.http.put(f"/api/v1/extension/{EXTENSION_ID}/activate").raise_for_status()

    def deactivate(self) -> None:
        """Disable the extension for the whole of LNbits."""
        self.http.put(f"/api/v1/extension/{EXTENSION_ID}/deactivate").raise_for_status()

    def private_id(self, *, urlsafe: bool = True, text: str = "relay") -> str:
        """Return an id for the private endpoint, in one of the two base64 alphabets.

        Every id is different. With another `text` the endpoint must refuse it.
        """
        key = (self.data / ".lnbits_auth_key").read_text()
        made: str = _cipher()(key).encrypt(text.encode(), urlsafe=urlsafe)
        return made

    def private_url(self, *, urlsafe: bool = True) -> str:
        """Return a URL of the private endpoint."""
        return f"{self.websocket_url}/{self.private_id(urlsafe=urlsafe)}"

    # --- inside

    @property
    def _login_file(self) -> Path:
        return self.folder / "login.json"

    def _variables(self) -> dict[str, str]:
        """Return the machine's environment with LNbits' variables replaced by ours."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LNBITS_", "AUTH_"))
        }
        return inherited | {
            "LNBITS_DATA_FOLDER": str(self.data),
            "LNBITS_EXTENSIONS_PATH": str(self.folder),
            "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
            "LNBITS_ADMIN_UI": "true",
            "LNBITS_BASEURL": f"{self.url}/",
            "HOST": HOST,
            "PORT": str(self.port),
            **self._environment,
        }

    def _prepare(self) -> None:
        """Create the folders and links that LNbits needs to start."""
        self.data.mkdir(parents=True, exist_ok=True)
        for name, folder in self._extensions.items():
            link(self.folder / "extensions" / name, folder)
        # LNbits finds its templates and scripts under ./lnbits.
        link(self.folder / "lnbits", _lnbits_package())

    def _wait_for_health(self) -> None:
        began = time.monotonic()
        deadline = began + START_SECONDS
        while True:
            try:
                # A fresh LNbits redirects every request to /first_install.
                if not self.http.get("/api/v1/health").is_error:
                    self.seconds_to_health = time.monotonic() - began
                    return
            except httpx.TransportError:
                pass  # not listening yet
            if not self.running:
                raise ChildProcessError(f"LNbits has ended:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"LNbits does not answer:\n{self._last_lines()}")
            time.sleep(0.05)

    def _last_lines(self) -> str:
        return "\n".join(self.printed().splitlines()[-30:])

    def _sign_in(self) -> None:
        """Get the admin's token; on the first start, create the admin."""
        first = not self._login_file.exists()
        if first:
            username, password = "admin", secrets.token_urlsafe(9)
            answer = self.http.put(
                "/api/v1/auth/first_install",
                json={
                    "username": username,
                    "password": password,
                    "password_repeat": password,
                },
            )
        else:
            username, password = self.login
            answer = self.http.post(
                "/api/v1/auth", json={"username": username, "password": password}
            )
        answer.raise_for_status()
        if first:
            self._login_file.touch(mode=0o600)
            self._login_file.write_text(
                json.dumps({"username": username, "password": password})
            )
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


@cache
def _lnbits_package() -> Path:
    """Return the folder of the installed LNbits without importing it."""
    find = "import importlib.util as u; print(u.find_spec('lnbits').origin)"
    found = subprocess.run(
        [PYTHON, "-c", find], cwd="/", capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise ModuleNotFoundError(f"lnbits is not installed for {PYTHON}")
    return Path(found.stdout.strip()).parent


@cache
def _cipher() -> Any:
    """Return LNbits' class for the ids without importing all of LNbits."""
    path = _lnbits_package() / "utils" / "crypto.py"
    spec = spec_from_file_location("lnbits_crypto", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{path} is not there")
    crypto = module_from_spec(spec)
    spec.loader.exec_module(crypto)
    return crypto.AESCipher


def _http_client(url: str) -> httpx.Client:
    # uvicorn closes connections that are idle for five seconds, so drop them before.
    limits = httpx.Limits(keepalive_expiry=2.0)
    return httpx.Client(base_url=url, timeout=30.0, limits=limits)
