"""Database access. Operations are shielded from cancellation.

An operation that lost its connection is tried once more: after a restart or failover of
the database the first statement of a pooled connection fails, and no caller should see
that. Whatever reads and then writes does both in one transaction (`_changing`), so that
of two changes at once none is lost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from lnbits.db import (
    POSTGRES,
    SQLITE,
    Connection,
    Database,
    insert_query,
    model_to_dict,
)
from lnbits.settings import settings as lnbits_settings
from pydantic import ValidationError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import text

from .helpers import uninterrupted
from .models import (
    Config,
    HistoryRow,
    OutboxEvent,
    OutboxOwner,
    Relay,
    RelayUpdate,
    StoredConfig,
    StoredIdentity,
    StoredPrivateUrl,
)
from .nostr.log import logger
from .nostr.relay_url import known_relay_url
from .nostr.settings import DEFAULTS

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Operation = Callable[Parameters, Coroutine[Any, Any, Result]]

OWNER = "admin"

db = Database("ext_nostrclient")

_waits = {"seconds": DEFAULTS.database_seconds}


def limit_waits(seconds: float) -> None:
    """Set how long new connections wait for PostgreSQL's answer to a statement."""
    _waits["seconds"] = seconds


def _limit_waits_of_connections() -> None:
    """Set how long connections wait for an answer, and keep locks without a word.

    Where the network drops packets without a word, nobody tells either side that a
    connection is dead. Ours would wait for an answer, and LNbits' `Database` serves one
    operation at a time; the server would keep the locks of a transaction that was open.
    """

    def set_timeouts(
        _dialect: object, _record: object, _args: object, options: dict[str, Any]
    ) -> None:
        options["timeout"] = options["command_timeout"] = _waits["seconds"]

    def set_idle_timeout(connection: Any, _record: object) -> None:
        milliseconds = int(1000 * _waits["seconds"])
        statement = f"SET idle_in_transaction_session_timeout = {milliseconds}"
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()  # else it would end with this transaction

    event.listen(db.engine.sync_engine, "do_connect", set_timeouts)
    event.listen(db.engine.sync_engine, "connect", set_idle_timeout)


if db.type == POSTGRES:
    _limit_waits_of_connections()


class OutdatedError(Exception):
    """The outbox changed while it was written; nothing was stored."""


def _operation(
    work: Operation[Parameters, Result],
) -> Operation[Parameters, Result]:
    """Shield a database operation, and try it once more if the connection was lost."""

    @wraps(work)
    async def attempt(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return await work(*args, **kwargs)
        except (DBAPIError, OSError) as error:
            if not _is_connection_lost(error):
                raise
        return await work(*args, **kwargs)

    return uninterrupted(attempt)


def _is_connection_lost(error: DBAPIError | OSError) -> bool:
    if isinstance(error, DBAPIError):
        return bool(error.connection_invalidated)
    return isinstance(error, ConnectionError)


@asynccontextmanager
async def _changing(table: str) -> AsyncIterator[Connection]:
    """Open a transaction that nobody else's change of the table can interleave with.

    It ends with a commit, or with a rollback if the block raises.
    """
    async with db.connect() as conn:
        if conn.type == POSTGRES:
            await _execute(
                conn, f"LOCK TABLE nostrclient.{table} IN SHARE ROW EXCLUSIVE MODE"
            )
        elif conn.type == SQLITE:
            # It deletes nothing, but from here on the file is ours to write.
            statement = f"DELETE FROM nostrclient.{table} WHERE 1 = 0"  # noqa: S608
            await _execute(conn, statement)
        # CockroachDB's transactions are serializable: one of two fails.
        yield conn
        await conn.conn.commit()


async def _execute(
    conn: Connection, statement: str, values: Mapping[str, Any] | None = None
) -> None:
    """Run a statement without a commit.

    Parameters arrive as they are; `Connection.execute` strips what looks like HTML.
    """
    await conn.conn.execute(text(statement), dict(values or {}))


# The schema


@_operation
async def create_tables() -> None:
    """Create whatever is missing of the tables.

    At an upgrade LNbits imports `migrations` before it drops the earlier version's
    modules. It would get the earlier steps if they stayed imported.
    """
    from . import migrations

    sys.modules.pop(migrations.__name__, None)
    async with db.connect() as conn:
        await migrations.ensure_schema(conn)


# Relays


@_operation
async def get_relays() -> list[Relay]:
    """Return all stored relays."""
    relays: list[Relay] = await db.fetchall(
        "SELECT * FROM nostrclient.relays", model=Relay
    )
    return relays


@_operation
async def add_relay(relay: Relay) -> Relay | None:
    """Store a relay, or return None if it is stored already, however it is spelled."""
    url = known_relay_url(relay.url or "")
    async with _changing("relays") as conn:
        stored: list[Any] = await conn.fetchall("SELECT url FROM nostrclient.relays")
        if any(known_relay_url(row["url"] or "") == url for row in stored):
            return None
        statement = insert_query("nostrclient.relays", relay)
        await _execute(conn, statement, model_to_dict(relay))
    return relay


@_operation
async def update_relay(relay_id: str, changes: Mapping[str, bool | str]) -> None:
    """Change the named columns of a relay and no others."""
    unknown = changes.keys() - (RelayUpdate.__fields__.keys() - {"url"})
    if unknown:
        raise ValueError(f"no changeable columns: {', '.join(sorted(unknown))}")
    if not changes:
        return
    columns = ", ".join(f'"{column}" = :{column}' for column in changes)
    statement = f"UPDATE nostrclient.relays SET {columns} WHERE id = :id"  # noqa: S608
    async with db.connect() as conn:
        await _execute(conn, statement, {**changes, "id": relay_id})
        await conn.conn.commit()


@_operation
async def delete_relay(relay: Relay) -> None:
    """Delete a relay by its id, or else by its URL."""
    if relay.id:
        await db.execute(
            "DELETE FROM nostrclient.relays WHERE id = :id", {"id": relay.id}
        )
    elif relay.url:
        await db.execute(
            "DELETE FROM nostrclient.relays WHERE url = :url", {"url": relay.url}
        )


# Configuration


@_operation
async def get_config(owner_id: str = OWNER) -> Config:
    """Return the stored configuration, or the default one if none is stored."""
    async with db.connect() as conn:
        return _without_secrets(await _stored_config(conn, owner_id))


@_operation
async def create_config(owner_id: str = OWNER) -> Config:
    """Store the default configuration."""
    async with _changing("config") as conn:
        await _store_config(conn, StoredConfig(), owner_id)
    return Config()


@_operation
async def update_config(config: Config, owner_id: str = OWNER) -> Config:
    """Replace the configuration, whether one was stored or not."""
    async with _changing("config") as conn:
        stored = await _stored_config(conn, owner_id)
        await _store_config(conn, _with_secrets(config, stored), owner_id)
    return config


@_operation
async def change_config(
    change: Callable[[Config], Config], owner_id: str = OWNER
) -> Config:
    """Store what `change` makes of the stored configuration, and return it."""
    async with _changing("config") as conn:
        stored = await _stored_config(conn, owner_id)
        config = change(_without_secrets(stored))
        await _store_config(conn, _with_secrets(config, stored), owner_id)
    return config


@_operation
async def get_identity(owner_id: str = OWNER) -> str | None:
    """Return the identity key as it is stored: encrypted."""
    async with db.connect() as conn:
        return (await _stored_config(conn, owner_id)).identity


@_operation
async def update_identity(identity: str | None, owner_id: str = OWNER) -> None:
    """Store an encrypted identity key; None deletes it."""
    async with _changing("config") as conn:
        stored = await _stored_config(conn, owner_id)
        changed = stored.copy(update={"identity": identity})
        await _store_config(conn, changed, owner_id)


def _without_secrets(stored: StoredConfig) -> Config:
    return Config(**stored.dict(exclude={"identity", "merchants"}))


def _with_secrets(config: Config, stored: StoredConfig) -> StoredConfig:
    return stored.copy(update=dict(config))


async def _stored_config(conn: Connection, owner_id: str) -> StoredConfig:
    row: Any = await conn.fetchone(
        "SELECT extra FROM nostrclient.config WHERE owner_id = :owner_id",
        {"owner_id": owner_id},
    )
    return parse_config(row["extra"]) if row else StoredConfig()


def parse_config(stored: str | None) -> StoredConfig:
    """Read a stored configuration; a value that cannot be read counts as not stored.

    It may be another version's, or damaged. It must not stand in the way of the others.
    """
    try:
        found = json.loads(stored or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        logger.error("the stored configuration cannot be read")
        return StoredConfig()
    settings = found.pop("settings", None)
    if isinstance(settings, dict):
        found["settings"] = {
            name: number
            for name, number in settings.items()
            if isinstance(number, int | float) and not isinstance(number, bool)
        }
    readable: dict[str, Any] = {}
    for name in StoredConfig.__fields__.keys() & found.keys():
        try:
            StoredConfig(**{name: found[name]})
        except ValidationError:
            logger.error(f"the stored {name!r} cannot be read")
        else:
            readable[name] = found[name]
    return StoredConfig(**readable)


async def _store_config(conn: Connection, config: StoredConfig, owner_id: str) -> None:
    values = {"extra": json.dumps(config.dict()), "owner_id": owner_id}
    await _execute(
        conn, "DELETE FROM nostrclient.config WHERE owner_id = :owner_id", values
    )
    await _execute(
        conn,
        "INSERT INTO nostrclient.config (extra, owner_id) VALUES (:extra, :owner_id)",
        values,
    )


# Reader keys


@_operation
async def get_identities() -> list[StoredIdentity]:
    """Return the reader keys in the order of their labels."""
    identities: list[StoredIdentity] = await db.fetchall(
        "SELECT * FROM nostrclient.identities ORDER BY label, pubkey",
        model=StoredIdentity,
    )
    return identities


@_operation
async def add_identity(identity: StoredIdentity) -> bool:
    """Store a reader key. Return False if it is stored already."""
    async with _changing("identities") as conn:
        found: Any = await conn.fetchone(
            "SELECT pubkey FROM nostrclient.identities WHERE pubkey = :pubkey",
            {"pubkey": identity.pubkey},
        )
        if found:
            return False
        statement = insert_query("nostrclient.identities", identity)
        await _execute(conn, statement, identity.dict())
    return True


@_operation
async def delete_identity(pubkey: str) -> bool:
    """Delete a reader key. Return False if there was none."""
    async with _changing("identities") as conn:
        result = await conn.conn.execute(
            text("DELETE FROM nostrclient.identities WHERE pubkey = :pubkey"),
            {"pubkey": pubkey},
        )
    return bool(result.rowcount)


# Private URLs with a name


@_operation
async def get_private_urls() -> list[StoredPrivateUrl]:
    """Return the named private URLs, oldest first."""
    urls: list[StoredPrivateUrl] = await db.fetchall(
        "SELECT * FROM nostrclient.private_urls ORDER BY created_at, id",
        model=StoredPrivateUrl,
    )
    return urls


@_operation
async def add_private_url(url: StoredPrivateUrl, max_urls: int) -> bool:
    """Store a private URL. Return False if there are too many."""
    async with _changing("private_urls") as conn:
        count: Any = await conn.fetchone(
            "SELECT COUNT(*) AS n FROM nostrclient.private_urls"
        )
        if count["n"] >= max_urls:
            return False
        await _execute(conn, insert_query("nostrclient.private_urls", url), url.dict())
    return True


@_operation
async def update_private_url(url_id: str, changes: Mapping[str, Any]) -> bool:
    """Change columns of a private URL. Return False if there is none."""
    columns = ", ".join(f"{name} = :{name}" for name in changes)
    statement = (
        f"UPDATE nostrclient.private_urls SET {columns} WHERE id = :id"  # noqa: S608
    )
    async with _changing("private_urls") as conn:
        result = await conn.conn.execute(
            text(statement),
            {**changes, "id": url_id},
        )
    return bool(result.rowcount)


@_operation
async def delete_private_url(url_id: str) -> bool:
    """Delete a private URL. Return False if there was none."""
    async with _changing("private_urls") as conn:
        result = await conn.conn.execute(
            text("DELETE FROM nostrclient.private_urls WHERE id = :id"), {"id": url_id}
        )
    return bool(result.rowcount)


@_operation
async def store_uses(uses: Mapping[str, int]) -> None:
    """Store when private URLs were used last, unless a later use is stored."""
    async with db.connect() as conn:
        await conn.conn.execute(
            text(
                "UPDATE nostrclient.private_urls SET last_used_at = :at WHERE id = :id"
                " AND (last_used_at IS NULL OR last_used_at < :at)"
            ),
            [{"id": url_id, "at": at} for url_id, at in uses.items()],
        )
        await conn.conn.commit()


# nostrmarket's merchants


@_operation
async def get_merchants_enabled(owner_id: str = OWNER) -> bool:
    """Return whether the keys of nostrmarket's merchants are to be used."""
    async with db.connect() as conn:
        return (await _stored_config(conn, owner_id)).merchants


@_operation
async def update_merchants_enabled(enabled: bool, owner_id: str = OWNER) -> None:
    """Store whether the keys of nostrmarket's merchants are to be used."""
    async with _changing("config") as conn:
        stored = await _stored_config(conn, owner_id)
        changed = stored.copy(update={"merchants": enabled})
        await _store_config(conn, changed, owner_id)


@_operation
async def get_merchants() -> list[str]:
    """Return the public keys in nostrmarket's table of merchants; none if it is absent.

    They are as nostrmarket stored them, and not checked.
    """
    return await _merchants("public_key")


@_operation
async def get_merchants_keys() -> list[str]:
    """Return the private keys in nostrmarket's table of merchants, not checked."""
    return await _merchants("private_key")


async def _merchants(column: str) -> list[str]:
    async with db.connect() as conn:
        if conn.type == SQLITE:
            path = _merchants_file()
            if path is None:
                return []
            # This name ends with the connection; none is used a second time.
            await _execute(conn, "ATTACH :path AS nostrmarket", {"path": path})
            table = (
                "SELECT name FROM nostrmarket.sqlite_master"
                " WHERE type = 'table' AND name = 'merchants'"
            )
        else:
            table = (
                "SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = 'nostrmarket' AND table_name = 'merchants'"
            )
        if not await conn.fetchall(table):
            return []
        statement = f"SELECT {column} FROM nostrmarket.merchants"  # noqa: S608
        rows: list[Any] = await conn.fetchall(statement)
        return [str(row[column]) for row in rows]


def _merchants_file() -> str | None:
    """Return where nostrmarket keeps its tables on SQLite, None if it has none."""
    path = Path(lnbits_settings.lnbits_data_folder, "ext_nostrmarket.sqlite3")
    return str(path) if path.exists() else None


# The outbox


@_operation
async def get_outbox(instance: str | None = None) -> list[OutboxEvent]:
    """Return the stored events of the outbox in the order of their publication."""
    where, values = "", {}
    if instance is not None:
        where, values = "WHERE instance = :instance", {"instance": instance}
    events: list[OutboxEvent] = await db.fetchall(
        f"SELECT * FROM nostrclient.outbox {where} ORDER BY published_at",  # noqa: S608
        values,
        model=OutboxEvent,
    )
    return events


@_operation
async def get_outbox_owners() -> list[OutboxOwner]:
    """Return whose each event of the outbox is."""
    owners: list[OutboxOwner] = await db.fetchall(
        "SELECT id, instance, accepted FROM nostrclient.outbox", model=OutboxOwner
    )
    return owners


@_operation
async def get_outbox_event(event_id: str) -> OutboxEvent | None:
    """Return a stored event of the outbox, of whatever instance."""
    event: OutboxEvent | None = await db.fetchone(
        "SELECT * FROM nostrclient.outbox WHERE id = :id",
        {"id": event_id},
        model=OutboxEvent,
    )
    return event


@_operation
async def write_outbox(
    saved: list[OutboxEvent],
    deleted: list[str],
    *,
    instance: str | None = None,
    is_current: Callable[[], bool] = lambda: True,
    wait_seconds: float | None = None,
) -> None:
    """Store and delete events of the outbox in one transaction.

    What is stored belongs to `instance` from then on, and only its rows are deleted.
    Its lease is renewed with them, else another might take them at once. `is_current`
    is asked just before the commit: if it says no, nothing is stored and
    `OutdatedError` is raised. SQLite waits for other writers `wait_seconds` at most,
    where they are given.
    """
    async with db.connect() as conn:
        if conn.type == SQLITE and wait_seconds is not None:
            # This connection only: none is used a second time.
            milliseconds = int(1000 * wait_seconds)
            await _execute(conn, f"PRAGMA busy_timeout = {milliseconds}")
        if deleted:
            await conn.conn.execute(
                text(
                    "DELETE FROM nostrclient.outbox WHERE id = :id"
                    " AND (instance IS NULL OR instance = :instance)"
                ),
                [{"id": event_id, "instance": instance} for event_id in deleted],
            )
        if saved:
            insert = insert_query("nostrclient.outbox", saved[0])
            changes = ", ".join(
                f'"{column}" = excluded."{column}"' for column in OutboxEvent.__fields__
            )
            await conn.conn.execute(
                text(f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}"),
                [model_to_dict(event) for event in saved],
            )
            if instance is not None:
                await _renew_lease(conn, instance)
        if not is_current():
            raise OutdatedError
        await conn.conn.commit()


# Several instances on one PostgreSQL

_NOW = "CAST(EXTRACT(EPOCH FROM now()) AS BIGINT)"


def is_shareable() -> bool:
    """Return whether several LNbits can use this kind of database at once."""
    return bool(db.type != SQLITE)


@_operation
async def renew_lease(instance: str, lease_seconds: float) -> list[str]:
    """Renew an instance's lease, and return the ids of the others with a lease."""
    async with db.connect() as conn:
        await _renew_lease(conn, instance)
        rows: list[Any] = await conn.fetchall(
            "SELECT id FROM nostrclient.instances"  # noqa: S608
            f" WHERE id <> :id AND seen_at > {_NOW} - :lease",
            {"id": instance, "lease": int(lease_seconds)},
        )
        await conn.conn.commit()
    return [row["id"] for row in rows]


async def _renew_lease(conn: Connection, instance: str) -> None:
    await _execute(
        conn,
        f"INSERT INTO nostrclient.instances (id, seen_at) VALUES (:id, {_NOW})"  # noqa: S608
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        {"id": instance},
    )


@_operation
async def claim_events(instance: str, lease_seconds: float) -> int:
    """Claim the events of instances whose lease is over, and return how many.

    Of two instances that try this at once each event goes to one. An instance whose
    lease is over cannot renew it meanwhile: afterwards it finds that its events are
    not its own any more.
    """
    async with db.connect() as conn:
        gone: list[Any] = await conn.fetchall(
            "SELECT id FROM nostrclient.instances"  # noqa: S608
            f" WHERE id <> :id AND seen_at <= {_NOW} - :lease"
            " FOR UPDATE SKIP LOCKED",
            {"id": instance, "lease": int(lease_seconds)},
        )
        if gone:
            await conn.conn.execute(
                text("DELETE FROM nostrclient.instances WHERE id = :id"),
                [{"id": row["id"]} for row in gone],
            )
        found: list[Any] = await conn.fetchall(
            "SELECT id FROM nostrclient.outbox AS o"
            " WHERE o.instance IS NULL OR (o.instance <> :id AND NOT EXISTS ("
            "  SELECT 1 FROM nostrclient.instances AS i WHERE i.id = o.instance))"
            " FOR UPDATE OF o SKIP LOCKED",
            {"id": instance},
        )
        if found:
            await _renew_lease(conn, instance)
            await conn.conn.execute(
                text("UPDATE nostrclient.outbox SET instance = :i WHERE id = :id"),
                [{"i": instance, "id": row["id"]} for row in found],
            )
        await conn.conn.commit()
    return len(found)


@_operation
async def delete_event(event_id: str) -> bool:
    """Delete an event of whatever instance. Return False if there is none."""
    async with db.connect() as conn:
        result = await conn.conn.execute(
            text("DELETE FROM nostrclient.outbox WHERE id = :id"), {"id": event_id}
        )
        await conn.conn.commit()
    return bool(result.rowcount)


# History


@_operation
async def write_history(rows: list[HistoryRow], oldest: int, max_rows: int) -> None:
    """Store rows and delete the ones that are too old or too many, all or nothing."""
    async with db.connect() as conn:
        if rows:
            await conn.conn.execute(
                text(insert_query("nostrclient.history", rows[0])),
                [model_to_dict(row) for row in rows],
            )
        await _execute(
            conn, "DELETE FROM nostrclient.history WHERE slot < :slot", {"slot": oldest}
        )
        count: Any = await conn.fetchone(
            "SELECT COUNT(*) AS n FROM nostrclient.history"
        )
        surplus = count["n"] - max_rows
        if surplus > 0:
            cut: Any = await conn.fetchone(
                "SELECT slot FROM nostrclient.history ORDER BY slot"
                " LIMIT 1 OFFSET :surplus",
                {"surplus": surplus},
            )
            await _execute(
                conn,
                "DELETE FROM nostrclient.history WHERE slot <= :slot",
                {"slot": cut["slot"]},
            )
        await conn.conn.commit()


@_operation
async def get_relay_history(relay: str, since: int) -> list[HistoryRow]:
    """Return a relay's rows, oldest first."""
    rows: list[HistoryRow] = await db.fetchall(
        "SELECT * FROM nostrclient.history"
        " WHERE relay = :relay AND slot >= :since ORDER BY slot",
        {"relay": relay, "since": since},
        model=HistoryRow,
    )
    return rows


@_operation
async def get_history(since: int, width: int) -> list[dict[str, Any]]:
    """Return sums over all relays, in parts of `width` seconds, oldest first."""
    rows: list[Any] = await db.fetchall(
        "SELECT slot / :width AS part, SUM(seconds) AS seconds, SUM(up) AS up,"
        " AVG(latency_ms) AS latency_ms, SUM(received) AS received,"
        " SUM(accepted) AS accepted, SUM(refused) AS refused"
        " FROM nostrclient.history WHERE slot >= :since"
        " GROUP BY part ORDER BY part",
        {"since": since, "width": width},
    )
    return [dict(row) for row in rows]


@_operation
async def get_uptimes(since: int) -> dict[str, float]:
    """Return the share of the time that each relay was connected, by URL."""
    rows: list[Any] = await db.fetchall(
        "SELECT relay, SUM(seconds) AS seconds, SUM(up) AS up"
        " FROM nostrclient.history WHERE slot >= :since GROUP BY relay",
        {"since": since},
    )
    return {row["relay"]: row["up"] / row["seconds"] for row in rows if row["seconds"]}
