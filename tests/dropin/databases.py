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

from dev.proxy import LoopThread

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
        bare, name = statement, "database"
        for schema in ("nostrclient", "nostrmarket"):  # a schema is a file here
            if f"{schema}." in statement:
                bare, name = statement.replace(f"{schema}.", ""), f"ext_{schema}"
        with closing(sqlite3.connect(self._data / f"{name}.sqlite3")) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(bare.replace("$", "?"), values).fetchall()
            connection.commit()
            return [dict(row) for row in found]

    def create_schema(self, name: str = "nostrclient") -> None:
        """Make room for an extension's tables, before LNbits does."""
        del name  # a file is made by whoever writes to it first
        self._data.mkdir(exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from reading and writing the extension's tables."""
        path = self._data / "ext_nostrclient.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")

    def drop_connections(self) -> None:
        """End all connections; a file has none."""


class Postgres:
    """One database for LNbits, with a schema for each extension."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.environment = {"LNBITS_DATABASE_URL": url}

    def rows(self, statement: str, *values: Value) -> list[Row]:
        """Run a statement on LNbits' tables, or on those of the schema nostrclient."""
        return asyncio.run(_run(self._url, statement, *values))

    def create_schema(self, name: str = "nostrclient") -> None:
        """Make room for an extension's tables, before LNbits does."""
        self.rows(f"CREATE SCHEMA {name}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from reading and writing the extension's tables."""
        with closing(LoopThread()) as thread:
            connection = thread.run(asyncpg.connect(self._url))
            thread.run(connection.execute("BEGIN"))
            for table in ("relays", "config", "outbox"):
                lock = f"LOCK TABLE nostrclient.{table} IN ACCESS EXCLUSIVE MODE"
                thread.run(connection.execute(lock))
            yield
            thread.run(connection.close())

    def drop_connections(self) -> None:
        """End all connections, as a restart of the server does."""
        self.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


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
