"""The history of 200 relays for a week: size of the table, cost of writing and reading.

    python -m dev.bench_history [--relays 200]

It uses a SQLite file in a folder of its own, or the PostgreSQL of LNBITS_DATABASE_URL.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .paths import CHECKOUT, link_package

SLOT = 300
WEEK = 7 * 24 * 3600
NOW = 1_800_000_000 // SLOT * SLOT
ROUNDS = 12  # slots of an hour


async def measure(relays: int) -> None:
    """Fill the table, then print what an hour of it costs."""
    from nostrclient import crud, history
    from nostrclient.models import HistoryRow

    chance = random.Random(1)  # noqa: S311

    def rows(slot: int) -> list[HistoryRow]:
        return [
            HistoryRow(
                slot=slot,
                relay=f"wss://relay-{number}.example.com",
                seconds=SLOT,
                up=SLOT if chance.random() < 0.97 else 200,
                latency_ms=chance.randrange(20, 400),
                received=chance.randrange(5000),
                accepted=chance.randrange(50),
                refused=chance.randrange(3),
                closed=0,
                reason="" if chance.random() < 0.97 else "connection refused",
            )
            for number in range(relays)
        ]

    async def timed(what: Callable[[], Awaitable[object]], times: int = 5) -> float:
        took = []
        for _ in range(times):
            began = time.perf_counter()
            await what()
            took.append(time.perf_counter() - began)
        return 1000 * statistics.median(took)

    await crud.create_tables()
    for slot in range(NOW - WEEK, NOW, SLOT):
        await crud.write_history(rows(slot), 0, 10**9)
    slots = iter(range(NOW, NOW + ROUNDS * SLOT, SLOT))

    async def write() -> None:
        slot = next(slots)
        await crud.write_history(rows(slot), slot - WEEK, 10**9)

    print(f"rows                         {relays * WEEK // SLOT}")
    cpu = time.process_time()
    print(f"write a slot (12 an hour)    {await timed(write, ROUNDS):.0f} ms")
    print(f"CPU of an hour's writing     {time.process_time() - cpu:.2f} s")
    end = NOW + ROUNDS * SLOT
    url = "wss://relay-7.example.com"
    took = await timed(lambda: crud.get_uptimes(end - 24 * 3600))
    print(f"uptimes of a day, each slot  {took:.0f} ms")
    took = await timed(lambda: history.of_all(end))
    print(f"week of all relays           {took:.0f} ms")
    took = await timed(lambda: history.of_relay(url, end))
    print(f"week of one relay            {took:.0f} ms")
    if crud.db.type == "SQLITE":
        folder = Path(os.environ["LNBITS_DATA_FOLDER"])
        size = (folder / "ext_nostrclient.sqlite3").stat().st_size
    else:
        found: Any = await crud.db.fetchone(
            "SELECT pg_total_relation_size('nostrclient.history') AS size"
        )
        size = found["size"]
    print(f"size with its index          {size / 2**20:.0f} MiB")


def main() -> None:
    """Run it in a folder that is thrown away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relays", type=int, default=200)
    relays = parser.parse_args().relays
    link_package()
    sys.path.insert(0, str(CHECKOUT / ".build" / "ext"))
    with tempfile.TemporaryDirectory(prefix="nostrclient-history-") as folder:
        os.environ["LNBITS_DATA_FOLDER"] = folder
        asyncio.run(measure(relays))


if __name__ == "__main__":
    main()
