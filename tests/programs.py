"""Run programs: client libraries in Node.js, which a test controls by lines."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from dev.paths import CHECKOUT

CLIENTS = Path(__file__).parent / "dropin" / "clients"
SECONDS = 40.0
"""How long a test waits for a program's next message or end."""

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="there is no Node.js")


def run_json(*command: str) -> Any:
    """Run a program to its end and return its output, which is one JSON text."""
    run = subprocess.run(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


class NodeProgram:
    """A Node.js program of the folder `dropin/clients`."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(CLIENTS / name), *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._messages: queue.Queue[list[Any]] = queue.Queue()
        self._output: list[str] = []
        for work in (self._read, self._read_errors):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> NodeProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def receive(self, verb: str) -> Any:
        """Wait for the next message, check its verb, and return the rest of it."""
        try:
            message = self._messages.get(timeout=SECONDS)
        except queue.Empty:
            message = ["no message"]
        assert message[0] == verb, f"{message}, not {verb}; {''.join(self._output)}"
        return message[1] if len(message) == 2 else message[1:]

    def send(self, line: object) -> None:
        """Send a line: a text as it is, anything else as JSON."""
        assert self._process.stdin
        text = line if isinstance(line, str) else json.dumps(line)
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        return self._process.wait(SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("["):
                self._messages.put(json.loads(line))
            else:
                self._output.append(line)
        self._messages.put(["end of output"])

    def _read_errors(self) -> None:
        assert self._process.stderr
        self._output.extend(self._process.stderr)
