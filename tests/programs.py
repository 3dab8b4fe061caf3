"""Other people's clients, as programs that a test talks to in lines."""

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

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="there is no Node.js")


def outcome(*command: str) -> Any:
    """Run a program to its end; what it prints is one JSON text."""
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


class Program:
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
        self._said: queue.Queue[list[Any]] = queue.Queue()
        self._other: list[str] = []
        for work in (self._read, self._read_errors):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> Program:
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

    def hear(self, verb: str) -> Any:
        """Wait for the next message, which must be this one; give what it says."""
        try:
            said = self._said.get(timeout=SECONDS)
        except queue.Empty:
            said = ["nothing"]
        assert said[0] == verb, f"{said}, not {verb}; {''.join(self._other)}"
        return said[1] if len(said) == 2 else said[1:]

    def say(self, line: object) -> None:
        """Send a line, as JSON where it is no text."""
        assert self._process.stdin
        text = line if isinstance(line, str) else json.dumps(line)
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def ended(self) -> int:
        """Wait for the end and give the exit status."""
        return self._process.wait(SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("["):
                self._said.put(json.loads(line))
            else:
                self._other.append(line)
        self._said.put(["the end of its output"])

    def _read_errors(self) -> None:
        assert self._process.stderr
        self._other.extend(self._process.stderr)
