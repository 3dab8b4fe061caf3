"""The databases LNbits runs on, and SQL past LNbits and nostrclient."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

POSTGRES = os.environ.get("NOSTRCLIENT_POSTGRES", "postgres://postgres@127.0.0.1:5432")
"""A server on which the tests may create databases, and drop them again."""

Row = dict[str, Any]
Value = str | int | bool | None


class Sqlite:
    """LNbits' default: a file for LNbits and one for each extension."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.environment: dict[str, str] = {}

    def rows(self, statement: str, *values: Value) -> list[Row]:
        """Run a statement on LNbits' tables, or on those of the schema nostrclient.

        `values` stand in for $1, $2 and so on.
        """
        bare = statement.replace("nostrclient.", "")  # a schema is a file here
        name = "database" if bare == statement else "ext_nostrclient"
        with closing(sqlite3.connect(self._data / f"{name}.sqlite3")) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(bare.replace("$", "?"), values).fetchall()
            connection.commit()
            return [dict(row) for row in found]

    def create_schema(self) -> None:
        """Make room for the extension's tables, before LNbits does."""
        self._data.mkdir()


class Postgres:
    """One database for LNbits, with a schema for each extension."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.environment = {"LNBITS_DATABASE_URL": url}

    def rows(self, statement: str, *values: Value) -> list[Row]:
        """Run a statement on LNbits' tables, or on those of the schema nostrclient."""
        return asyncio.run(_run(self._url, statement, *values))

    def create_schema(self) -> None:
        """Make room for the extension's tables, before LNbits does."""
        self.rows("CREATE SCHEMA nostrclient")


Database = Sqlite | Postgres


def postgres_answers() -> bool:
    """Whether somebody listens where PostgreSQL should be."""
    server = urlsplit(POSTGRES)
    with socket.socket() as probe:
        probe.settimeout(2.0)
        address = (server.hostname or "127.0.0.1", server.port or 5432)
        return probe.connect_ex(address) == 0


@contextmanager
def new_postgres() -> Iterator[Postgres]:
    """A database of its own, dropped in the end with whoever is still connected."""
    name = f"nostrclient_{secrets.token_hex(6)}"
    asyncio.run(_run(f"{POSTGRES}/postgres", f"CREATE DATABASE {name}"))
    try:
        yield Postgres(f"{POSTGRES}/{name}")
    finally:
        drop = f"DROP DATABASE {name} WITH (FORCE)"
        asyncio.run(_run(f"{POSTGRES}/postgres", drop))


async def _run(url: str, statement: str, *values: Value) -> list[Row]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()
