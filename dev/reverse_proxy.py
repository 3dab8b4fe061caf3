"""Real reverse proxies in front of LNbits: nginx and Caddy.

They run with the lines that the documents recommend, read from there.
"""

import getpass
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .child_program import ChildProgram
from .paths import CHECKOUT
from .ports import HOST, free_port, wait_until_open

ONE = CHECKOUT / "docs" / "limits.md"
"""What a proxy in front of one LNbits needs."""

SEVERAL = CHECKOUT / "docs" / "databases.md"
"""How nginx shares the clients among several."""

DOCUMENTED_PORT = 5000
BALANCED = "lnbits"
"""The name of nginx's group of servers."""


class ReverseProxy:
    """A proxy on a free port, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._program: ChildProgram | None = None

    def command(self) -> list[str]:
        """Write the configuration and return the program with its arguments."""
        raise NotImplementedError

    def __enter__(self) -> "ReverseProxy":
        program = ChildProgram(
            self.command(),
            log=self.folder / "proxy.log",
            folder=self.folder,
            environment={
                **os.environ,
                "HOME": str(self.folder),
                "XDG_CONFIG_HOME": str(self.folder),
                "XDG_DATA_HOME": str(self.folder),
            },
        )
        self._program = program
        wait_until_open(self.port, lambda: program.running)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._program:
            self._program.stop()


class Nginx(ReverseProxy):
    """nginx in front of one LNbits or several."""

    def __init__(
        self, folder: Path, ports: Sequence[int], *, forwarded: str | None = None
    ) -> None:
        """Describe it; `forwarded` replaces the value of X-Forwarded-For."""
        super().__init__(folder)
        self._ports = ports
        self._forwarded = forwarded

    def command(self) -> list[str]:
        """Write nginx.conf."""
        location = documented(ONE, "nginx").replace(
            f"{HOST}:{DOCUMENTED_PORT}", BALANCED
        )
        if self._forwarded is not None:
            location = location.replace("$proxy_add_x_forwarded_for", self._forwarded)
        group = documented(SEVERAL, "nginx")
        servers = "".join(f"server {HOST}:{port};\n" for port in self._ports)
        group = re.sub(r"(\s*server .*;)+\n", f"\n{servers}", group)
        paths = "".join(
            f"{name}_temp_path {self.folder / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # As root, nginx would serve as somebody who may not read the folder.
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        configuration = f"""
            {user}
            daemon off;
            worker_processes 1;
            pid {self.folder / "nginx.pid"};
            error_log stderr warn;
            events {{}}
            http {{
                access_log off;
                {paths}
                {group}
                server {{
                    listen {HOST}:{self.port};
                    {location}
                }}
            }}
        """
        path = self.folder / "nginx.conf"
        path.write_text(configuration)
        return [find_nginx() or "nginx", "-p", str(self.folder), "-c", str(path)]


class Caddy(ReverseProxy):
    """Caddy in front of one LNbits."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self._port = port

    def command(self) -> list[str]:
        """Write the Caddyfile."""
        site = documented(ONE, "caddyfile")
        site = site.replace("lnbits.example", self.url)
        site = site.replace(f"{HOST}:{DOCUMENTED_PORT}", f"{HOST}:{self._port}")
        path = self.folder / "Caddyfile"
        path.write_text(f"{{\n admin off\n default_bind {HOST}\n}}\n{site}")
        return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


def documented(document: Path, language: str) -> str:
    """Return a document's first block of code in a language."""
    text = document.read_text()
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{document} has no block of {language}")
    return found.group(1)


def find_nginx() -> str | None:
    """Return nginx's program; Debian keeps it where only root looks."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return shutil.which("nginx", path=path)
