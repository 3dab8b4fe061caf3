"""What an attack does to the host: its memory, and how long its own pages take."""

import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx

from dev.lnbits_server import LnbitsServer

MIB = 2**20
PAUSE = 0.05
HEALTH_SECONDS = 10.0


class Watch:
    """Measures a server while an attack on it runs.

    Memory is the resident set in MiB, latencies are those of LNbits' health page in ms.
    """

    def __init__(self, lnbits: LnbitsServer, name: str, table: "Table") -> None:
        self.name = name
        self.outcome = ""
        self.memory_before = self.memory_peak = self.memory_after = 0.0
        self.latencies: list[float] = []
        self.failures = 0
        self._lnbits = lnbits
        self._process = lnbits.process()
        self._table = table
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_memory, daemon=True),
            threading.Thread(target=self._watch_health, daemon=True),
        ]

    def memory(self) -> float:
        """The server's resident memory now, in MiB."""
        return float(self._process.memory_info().rss) / MIB

    def _watch_memory(self) -> None:
        while not self._done.wait(PAUSE):
            self.memory_peak = max(self.memory_peak, self.memory())

    def _watch_health(self) -> None:
        with httpx.Client(timeout=HEALTH_SECONDS) as http:
            while not self._done.wait(PAUSE):
                start = time.perf_counter()
                try:
                    http.get(f"{self._lnbits.url}/api/v1/health").raise_for_status()
                except httpx.HTTPError:
                    self.failures += 1
                self.latencies.append((time.perf_counter() - start) * 1000)

    @property
    def latency_median(self) -> float:
        """Half of the health page's answers were quicker, in ms."""
        return statistics.median(self.latencies) if self.latencies else 0.0

    @property
    def latency_worst(self) -> float:
        """The slowest answer of the health page, in ms."""
        return max(self.latencies, default=0.0)

    def __enter__(self) -> "Watch":
        self.memory_before = self.memory_peak = self.memory()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(HEALTH_SECONDS + 1)
        with suppress(OSError):
            self.memory_after = self.memory()
        self._table.add(self)


class Table:
    """All attacks of a run, side by side."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: list[str] = []

    def add(self, watch: Watch) -> None:
        """Note how an attack went."""
        self._rows.append(
            f"{watch.name:44} {watch.memory_before:6.0f} {watch.memory_peak:6.0f} "
            f"{watch.memory_after:6.0f} {watch.latency_median:7.1f} "
            f"{watch.latency_worst:7.0f}  {watch.outcome}"
        )
        if self._path is not None:
            head = (
                f"{'attack':44} {'memory, MiB':>20} {'health page, ms':>15}\n"
                f"{'':44} {'before':>6} {'peak':>6} {'after':>6} {'median':>7} "
                f"{'worst':>7}  outcome\n"
            )
            self._path.write_text(head + "\n".join(self._rows) + "\n")
