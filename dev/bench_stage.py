"""The benchmark's LNbits, relays and clients, one process each."""

import contextlib
import http.client
import multiprocessing
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from . import bench_clients, bench_relays
from .bench_clients import Received
from .lnbits_server import LnbitsServer
from .paths import CHECKOUT
from .ports import HOST, free_port

CONNECT_SECONDS = 40.0
PIPE = CHECKOUT / "dev" / "bench_pipe"
PROBE_SECONDS = 0.01
CPU_CLOCK = 2  # of a process, with all its threads: clock_getcpuclockid(3)


class Worker:
    """A process that carries out commands and ends with this one."""

    def __init__(self, main: Callable[..., None], *arguments: object) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(
            target=main, args=(theirs, *arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready

    def call(self, command: object) -> Any:
        """Send a command and return the answer."""
        self._pipe.send(command)
        return self._pipe.recv()

    def begin(self, command: object) -> None:
        """Send a command; `end` returns the answer."""
        self._pipe.send(command)

    def end(self) -> Any:
        """Return the answer to `begin`."""
        return self._pipe.recv()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


class Stage:
    """A real LNbits with the extension, simulated relays and minimal clients."""

    def __init__(self, folder: Path, extension: Path, relay_count: int) -> None:
        self._exit = ExitStack()
        self._extension = extension
        self.lnbits = LnbitsServer(
            folder,
            extension=extension,
            other_extensions=[PIPE],
            environment={"LNBITS_RATE_LIMIT_NO": "100000000"},
        )
        ports = [free_port() for _ in range(relay_count)]
        self.relay_urls = [f"ws://{HOST}:{port}" for port in ports]
        self._ports = ports

    def __enter__(self) -> "Stage":
        with ExitStack() as starting:
            self.relays = Worker(bench_relays.main, self._ports)
            starting.callback(self.relays.stop)
            self.clients = Worker(bench_clients.main)
            starting.callback(self.clients.stop)
            starting.enter_context(self.lnbits)
            self.lnbits.api("PUT", "/config", {"private_ws": True, "public_ws": False})
            self.process = self.lnbits.process()
            self._exit = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def private_url(self) -> str:
        """The private endpoint of nostrclient."""
        return self.lnbits.private_url()

    def pipe_url(self, relays: int) -> str:
        """Return the URL of the bare pipe to the first relays."""
        base = self.lnbits.websocket_url.replace("/nostrclient/", "/bench_pipe/")
        return f"{base}/pipe?relays={','.join(self.relay_urls[:relays])}"

    def use_relays(self, count: int) -> None:
        """Configure the first relays and wait until all are connected."""
        wanted = set(self.relay_urls[:count])
        configured = {relay["url"] for relay in self.lnbits.api("GET", "/relays")}
        for url in sorted(configured - wanted):
            self.lnbits.api("DELETE", "/relay", {"url": url})
        for url in sorted(wanted - configured):
            self.lnbits.api("POST", "/relay", {"url": url})
        deadline = time.monotonic() + CONNECT_SECONDS
        while self._connected() < count:
            if time.monotonic() > deadline:
                raise TimeoutError("the simulated relays are not connected")
            time.sleep(0.1)

    def _connected(self) -> int:
        relays = self.lnbits.api("GET", "/relays")
        return sum(bool(relay["connected"]) for relay in relays)

    def connect(self, url: str, clients: int) -> None:
        """Connect more clients."""
        self.clients.call(bench_clients.Connect(url, clients))

    def finish(self) -> list[Received]:
        """Close the clients and return their events once they are gone."""
        received: list[Received] = self.clients.call(bench_clients.Finish())
        deadline = time.monotonic() + CONNECT_SECONDS
        while self.relays.call(bench_relays.Count()):
            if time.monotonic() > deadline:
                raise TimeoutError("closed clients leave subscriptions behind")
            time.sleep(0.02)
        return received

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that LNbits has used so far."""
        if platform.system() == "Linux":
            # The process's clock counts in ns; its statistics in steps of 10 ms.
            return time.clock_gettime(~self.process.pid << 3 | CPU_CLOCK)
        times = self.process.cpu_times()
        return times.user + times.system

    def resident_bytes(self) -> int:
        """Return the resident memory of LNbits."""
        resident: int = self.process.memory_info().rss
        return resident

    @contextmanager
    def host_latency(self) -> Iterator[list[float]]:
        """Request LNbits' health page repeatedly; collect the durations in seconds."""
        seconds: list[float] = []
        done = threading.Event()
        probe = threading.Thread(target=self._probe, args=(seconds, done), daemon=True)
        probe.start()
        try:
            yield seconds
        finally:
            done.set()
            probe.join()

    def _probe(self, seconds: list[float], done: threading.Event) -> None:
        page = http.client.HTTPConnection(HOST, self.lnbits.port, timeout=30)
        with contextlib.closing(page):
            while not done.is_set():
                began = time.monotonic()
                page.request("GET", "/api/v1/health")
                page.getresponse().read()
                seconds.append(time.monotonic() - began)
                done.wait(PROBE_SECONDS)


def machine() -> dict[str, object]:
    """Return a description of the machine."""
    return {
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "load_before": [round(load, 2) for load in psutil.getloadavg()],
    }
