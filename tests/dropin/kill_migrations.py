"""Migrations that are killed between two statements; run as a program.

    python -m tests.dropin.kill_migrations

For every state that upstream's migrations leave, and for every number of statements
after which the process is killed, the steps are run once more. Prints what the tables
hold in the end as JSON: one line for all, if that is always the same.
"""

import asyncio
import json
from typing import Any

from lnbits.db import SQLITE, Connection

from nostrclient import crud
from nostrclient.migrations import STEPS, ensure_schema

from .upstream_tables import MIGRATIONS

CONFIG = '{"private_ws": false, "public_ws": true}'


class Killed(BaseException):
    """The process ended here."""


class Mortal(Connection):
    """A connection whose process is killed before its statement number `last`."""

    def __init__(self, conn: Connection, last: int) -> None:
        super().__init__(conn.conn, conn.type, conn.name, conn.schema)
        self.left = last

    async def execute(self, query: str, values: Any = None) -> Any:
        if not self.left:
            raise Killed
        self.left -= 1
        return await super().execute(query, values)


async def lay_out(conn: Connection, state: int) -> None:
    """Leave an installation whose last migration is upstream's number `state`."""
    for table in ("relays", "config", "outbox"):
        await conn.execute(f"DROP TABLE IF EXISTS nostrclient.{table}")
    for number in range(1, state + 1):
        for statement in MIGRATIONS[number]:
            await conn.execute(statement)
    if state >= 1:
        await conn.execute(
            "INSERT INTO nostrclient.relays (id, url, active)"
            " VALUES ('a', 'wss://a', false)"
        )
    if state >= 2:
        column = "json_data" if state == 2 else "extra"
        statement = (
            f"INSERT INTO nostrclient.config ({column}) VALUES (:text)"  # noqa: S608
        )
        await conn.execute(statement, {"text": CONFIG})


async def outcome(conn: Connection) -> dict[str, Any]:
    """Return everything that the tables hold."""
    found: dict[str, Any] = {}
    for table in ("relays", "config", "outbox"):
        statement = f"SELECT * FROM nostrclient.{table}"  # noqa: S608
        rows: list[Any] = await conn.fetchall(statement)
        found[table] = [dict(row) for row in rows]
    if conn.type == SQLITE:
        for row in found["relays"]:
            row.update({name: bool(row[name]) for name in ("active", "read", "write")})
    return found


async def kill_everywhere() -> list[Any]:
    """Return the outcomes, by state and by statement."""
    found = []
    async with crud.db.connect() as conn:
        for state in range(4):
            outcomes: list[Any] = []
            statements = 0
            while True:
                await lay_out(conn, state)
                mortal = Mortal(conn, statements)
                try:
                    for step in STEPS:
                        await step(mortal)
                    killed = False
                except Killed:
                    killed = True
                await ensure_schema(conn)
                await ensure_schema(conn)
                found_now = await outcome(conn)
                if found_now not in outcomes:
                    outcomes.append(found_now)
                if not killed:
                    break
                statements += 1
            found.append([statements, outcomes])
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(kill_everywhere())))  # noqa: T201
