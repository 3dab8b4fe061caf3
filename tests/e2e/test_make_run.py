"""`make run` and `make demo`, as somebody new to the project meets them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dev.paths import CHECKOUT
from dev.ports import free_port, is_free

from .clients import handshake_status

START_SECONDS = 100.0
STOP_SECONDS = 60.0


@contextmanager
def make_run(data: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run dev.run until the end of the block, then press Ctrl-C."""
    run = subprocess.Popen(
        [sys.executable, "-m", "dev.run", "--port", str(port), "--data", str(data)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(START_SECONDS, run.kill)
    watchdog.start()
    try:
        assert run.stdout is not None
        printed = ""
        while "Ctrl-C stops everything" not in printed:
            line = run.stdout.readline()
            assert line, f"dev.run ended: {printed}"
            printed += line
        watchdog.cancel()
        yield run, printed
    finally:
        watchdog.cancel()
        run.send_signal(signal.SIGINT)
        run.wait(STOP_SECONDS)
        if run.stdout is not None:
            run.stdout.close()


def make_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dev.demo to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dev.demo", *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def started_in(data: Path) -> list[psutil.Process]:
    """Find the processes that work in a folder; zombies are not working."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(data) in " ".join(process.cmdline()) + str(process.cwd()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in found if process.pid != os.getpid()]


def test_make_run_and_make_demo(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with make_run(data, port) as (run, printed):
        login = json.loads((data / "login.json").read_text())
        url = f"http://127.0.0.1:{port}"
        who = f"{login['username']} / {login['password']}"
        assert f"sign in    {url}/ as {who}\n" in printed
        assert f"then open  {url}/nostrclient/\n" in printed
        assert printed.count("ws://127.0.0.1") == 4  # two endpoints, two relays
        for endpoint in re.findall(r"ws://\S+/nostrclient/\S+", printed):
            assert handshake_status(endpoint) == 101

        demo = make_demo("--port", str(port), "--data", str(data), "--notes", "9")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert "Everything arrived." in demo.stdout
        assert demo.stdout.endswith(f"The page shows it: {url}/nostrclient/\n")
        # Nine that both relays have, and five of the nine given to one directly.
        assert "the largest of the relays' answers: 14" in demo.stdout
        # Of each nine the first five and the last are told.
        assert len(re.findall(r"^ +\d  \w{8}…", demo.stdout, re.MULTILINE)) == 12
        assert len(started_in(data)) >= 4

    assert run.returncode == 0
    assert started_in(data) == []
    assert is_free(port)

    # Data and login survive, and nothing is configured twice.
    with make_run(data, port) as (_, again):
        assert f"{login['username']} / {login['password']}" in again
        assert again.count("ws://127.0.0.1") == 4


def test_make_run_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with make_run(data, port) as (run, _):
        run.kill()
        deadline = time.monotonic() + STOP_SECONDS
        while started_in(data):
            assert time.monotonic() < deadline, started_in(data)
            time.sleep(0.1)
    assert is_free(port)


def test_make_demo_without_make_run_says_what_is_missing(tmp_path: Path) -> None:
    demo = make_demo("--port", str(free_port()), "--data", str(tmp_path))
    assert demo.returncode == 1
    assert "make run" in demo.stderr
    assert "Traceback" not in demo.stderr
