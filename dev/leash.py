"""Start programs that cannot outlive whoever started them.

`lnbits` is a supervisor with the server in a child process: end only the first and
the second runs on. So a program is started by a small keeper, this module, which leads
a process group of its own. When the owner lets go of the keeper's standard input, be it
on purpose or by being killed, the keeper ends the whole group.
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
"""How long a program may take over its own ending before it is killed."""


class Leashed:
    """A running program, with everything it started."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command` in `folder`; what it prints is added to the file `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
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
        """Whether the program has not ended yet."""
        return self._keeper.poll() is None

    def processes(self) -> list[psutil.Process]:
        """All processes of the program, the keeper left out."""
        try:
            return psutil.Process(self._keeper.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def printed(self) -> str:
        """What the program has printed since it was started."""
        with self.log.open("rb") as output:
            output.seek(self._log_start)
            return output.read().decode(errors="replace")

    def kill(self) -> None:
        """End the program as a power cut does: nothing of it runs another step."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.stop()

    def stop(self) -> None:
        """End the program and wait until it is gone. May be called again."""
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        self._keeper.wait()


def main() -> None:
    """Be the keeper: run the program given on the command line, then end its group."""
    folder, *command = sys.argv[1:]
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    # Signals to the group are for the program, which would inherit this if it came
    # first. The keeper ends when its owner lets go.
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
    """Ask every process of this group to end; kill those that do not."""
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)  # a stopped process could not obey
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
