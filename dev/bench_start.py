"""What the extension adds to LNbits' start: time and memory."""

import time
from pathlib import Path
from statistics import median

from .bench_ratios import Point
from .lnbits_server import LnbitsServer

MIB = 1024 * 1024


def measure_start(folder: Path, extension: Path, rounds: int, settle: float) -> Point:
    """Start LNbits with and without the extension, in turn; return the medians.

    Each is started once before, which creates its database.
    """
    servers = {
        "with": LnbitsServer(folder / "with", extension=extension),
        "without": LnbitsServer(folder / "without", extension=None),
    }
    seconds: dict[str, list[float]] = {name: [] for name in servers}
    resident: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, server in servers.items():
            server.start()
            time.sleep(settle)
            if number:  # the first one creates the database
                seconds[name].append(server.seconds_to_health)
                resident[name].append(server.process().memory_info().rss / MIB)
            server.stop()
    for server in servers.values():
        server.http.close()
    result: Point = {
        f"seconds_{name}": median(values) for name, values in seconds.items()
    }
    for name, values in resident.items():
        result[f"mib_{name}"] = median(values)
    print("start: " + ", ".join(f"{key} {value:.2f}" for key, value in result.items()))
    return result
