"""Start programs that end when the process that started them ends.

`lnbits` is a supervisor with the server in a child process: if only the supervisor is
killed, the server runs on. So each program is started by a small supervisor of our own,
this module, in a process group of its own. When the owner closes the supervisor's
standard input, or is killed, the supervisor ends the whole group.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from .paths import CHECKOUT

TERMINATE_SECONDS = 8.0
"""Time a program has to end by itself before it is killed."""


class ChildProgram:
    """A running program with its child processes."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command` in `folder` and append its output to the file `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", __name__, str(folder), *command],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the program is still running."""
        return self._supervisor.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the program except our supervisor."""
        try:
            return psutil.Process(self._supervisor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def printed(self) -> str:
        """Return the output of the program since its start."""
        with self.log.open("rb") as output:
            output.seek(self._log_start)
            return output.read().decode(errors="replace")

    def kill(self) -> None:
        """End the program like a power cut, with SIGKILL to all its processes."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.stop()

    def stop(self) -> None:
        """End the program and wait until it has ended. Harmless when called again."""
        if self._supervisor.stdin and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        self._supervisor.wait()


def main() -> None:
    """Run as the supervisor: start the program in the arguments, then end its group."""
    folder, *command = sys.argv[1:]
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    # Signals to the group are for the program. It would inherit these handlers if they
    # were set before its start. The supervisor ends when its owner does.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with selectors.DefaultSelector() as owner:
        owner.register(sys.stdin, selectors.EVENT_READ)
        while child.poll() is None and not owner.select(timeout=0.2):
            pass
    status = child.poll()
    _end_group(child)
    sys.exit(status or 0)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Ask every process of this group to end, and kill those that do not."""
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)  # a stopped process cannot handle SIGTERM
    deadline = time.monotonic() + TERMINATE_SECONDS
    while time.monotonic() < deadline:
        child.poll()  # reaps it
        if not _others_in_group():
            return
        time.sleep(0.05)
    for process in _others_in_group():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _others_in_group() -> list[psutil.Process]:
    mine = os.getpgrp()
    others = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if (
                process.pid != os.getpid()
                and os.getpgid(process.pid) == mine
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                others.append(process)
    return others


if __name__ == "__main__":
    main()
