"""A PostgreSQL server of its own, which a test may stop, kill and start again."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .child_program import ChildProgram
from .ports import HOST, free_port, wait_until_open

USER = "postgres"
ATTEMPTS = 10


class PostgresServer:
    """A server without passwords, whose folder goes with it."""

    def __init__(self, *, log: Path) -> None:
        """Make the server's files without starting it.

        Raises FileNotFoundError where PostgreSQL's programs are not installed.
        """
        programs = find_programs()
        if programs is None:
            raise FileNotFoundError("PostgreSQL's initdb is not installed")
        self.port = free_port()
        self.url = f"postgres://{USER}@{HOST}:{self.port}"
        self._log = log
        self._program: ChildProgram | None = None
        # Not among the tests' folders: the server's user may not look into them.
        self._folder = Path(tempfile.mkdtemp(prefix="nostrclient-postgres-"))
        data = self._folder / "data"
        # PostgreSQL does not run as root.
        self._as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        if self._as_user:
            shutil.chown(self._folder, USER)
        subprocess.run(
            [
                *self._as_user,
                str(programs / "initdb"),
                "--auth=trust",
                "--no-sync",
                f"--username={USER}",
                f"--pgdata={data}",
            ],
            cwd=self._folder,
            capture_output=True,
            check=True,
        )
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self._folder,
        }
        self._command = [
            *self._as_user,
            str(programs / "postgres"),
            "-D",
            str(data),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]

    def start(self) -> None:
        """Start the server and return once it accepts connections."""
        for left in reversed(range(ATTEMPTS)):
            program = ChildProgram(self._command, log=self._log, folder=self._folder)
            self._program = program
            try:
                wait_until_open(self.port, lambda: program.running)  # noqa: B023
            except ChildProcessError:
                # After a kill, one of its processes may still hold the memory.
                if not left:
                    raise
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """End the server and all connections, as a restart of its service does."""
        if self._program:
            for process in self._program.processes():
                if process.name() == "postgres" and not _is_worker(process.cmdline()):
                    process.send_signal(signal.SIGINT)  # "fast": waits for no client
                    process.wait(30.0)
                    break
            self._program.stop()
            self._program = None

    def kill(self) -> None:
        """End the server like a power cut."""
        if self._program:
            self._program.kill()
            self._program = None

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_worker(command: list[str]) -> bool:
    """Return whether this is a server process of PostgreSQL's own children."""
    return bool(command) and command[0].startswith("postgres:")


def find_programs() -> Path | None:
    """Return the folder of the newest installed PostgreSQL server, None without one."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[4]) if path.parts[4].isdecimal() else 0,
    )
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None
