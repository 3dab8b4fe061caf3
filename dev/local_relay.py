"""Real relays on this machine: rust-nostr's LocalRelay, one process each."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from types import TracebackType

import nostr_sdk

from .child_program import ChildProgram
from .ports import HOST, free_port, wait_until_open


class LocalRelay:
    """A relay in a process of its own, which can be stopped, frozen and restarted.

    It keeps its events in `folder`, or, without one, in memory until it stops.
    """

    def __init__(
        self,
        *,
        log: Path,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """Describe a relay without starting it; `port` None means any free one."""
        self.port = port or free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self.folder = folder
        self._log = log
        self._program: ChildProgram | None = None

    @property
    def running(self) -> bool:
        """Whether the relay's process is running."""
        return self._program is not None and self._program.running

    def start(self) -> None:
        """Start the relay and return once it accepts connections."""
        if self.running:
            return
        command = [sys.executable, "-m", __name__, str(self.port)]
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            command += ["--folder", str(self.folder)]
        program = ChildProgram(command, log=self._log)
        self._program = program
        wait_until_open(self.port, lambda: program.running)

    def stop(self) -> None:
        """End the relay and all its connections."""
        if self._program:
            self._program.stop()
            self._program = None

    def freeze(self) -> None:
        """Stop the process, so that connections stay open without any answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen relay."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._program.processes() if self._program else []:
            process.send_signal(number)

    def __enter__(self) -> "LocalRelay":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


async def _serve(port: int, folder: str | None) -> None:
    builder = (
        nostr_sdk.RelayBuilder()
        .addr(HOST)
        .port(port)
        # The default, 60 notes a minute, is too little for a test.
        .rate_limit(nostr_sdk.RateLimit(max_reqs=1_000_000, notes_per_minute=1_000_000))
    )
    if folder:
        builder = builder.database(nostr_sdk.NostrDatabase.lmdb(folder))
    relay = nostr_sdk.LocalRelay(builder)
    await relay.run()
    await asyncio.Event().wait()


def main() -> None:
    """Run as the relay's process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--folder", help="where events are kept; default: in memory")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.folder))


if __name__ == "__main__":
    main()
