"""The tables, step by step; every step checks the schema and may run repeatedly.

LNbits runs the steps whose number is above the stored one, and commits after each
statement. A step that was killed between two statements is run again from its
beginning. And the stored number may be that of another version of this extension, with
other steps behind it. Therefore no step relies on the number: each looks at the tables,
and `ensure_schema` runs them all whenever nostrclient starts.
"""

from typing import Any

from lnbits.db import SQLITE, Connection


async def m001_initial(db: Connection) -> None:
    """Add the relays."""
    await db.execute("""
        CREATE TABLE IF NOT EXISTS nostrclient.relays (
            id TEXT NOT NULL PRIMARY KEY,
            url TEXT NOT NULL,
            active BOOLEAN DEFAULT true
        )
        """)


async def m002_create_config_table(db: Connection) -> None:
    """Add the configuration, as JSON."""
    await db.execute(
        "CREATE TABLE IF NOT EXISTS nostrclient.config (json_data TEXT NOT NULL)"
    )


async def m003_update_config_table(db: Connection) -> None:
    """Add an owner to each configuration."""
    columns = await _columns(db, "config")
    if "extra" not in columns:
        await db.execute(
            "ALTER TABLE nostrclient.config RENAME COLUMN json_data TO extra"
        )
    if "owner_id" not in columns:
        await db.execute(
            "ALTER TABLE nostrclient.config ADD COLUMN owner_id TEXT DEFAULT 'admin'"
        )


async def m004_relay_roles(db: Connection) -> None:
    """Add what a relay is used for.

    Before, `active` was stored as the request had it and never read: all relays were in
    use. So all are active at first.
    """
    columns = await _columns(db, "relays")
    if not {"read", "write"} & columns:
        await db.execute("UPDATE nostrclient.relays SET active = true")
    for column in ("read", "write"):
        if column not in columns:
            await db.execute(
                f"ALTER TABLE nostrclient.relays ADD COLUMN {column} "
                "BOOLEAN DEFAULT true"
            )


async def m005_outbox(db: Connection) -> None:
    """Add the outbox: queued events, and copies that some relays have not taken yet.

    `published_at` is in microseconds since 1970; `owed` is a JSON list of relay URLs.
    """
    await db.execute(f"""
        CREATE TABLE IF NOT EXISTS nostrclient.outbox (
            id TEXT NOT NULL PRIMARY KEY,
            event TEXT NOT NULL,
            published_at {_big_int(db)} NOT NULL,
            accepted BOOLEAN NOT NULL,
            is_public BOOLEAN NOT NULL,
            owed TEXT NOT NULL
        )
        """)


async def m006_identities(db: Connection) -> None:
    """Add the reader keys: `secret` is encrypted with LNbits' own secret."""
    await db.execute("""
        CREATE TABLE IF NOT EXISTS nostrclient.identities (
            pubkey TEXT NOT NULL PRIMARY KEY,
            secret TEXT NOT NULL,
            label TEXT NOT NULL
        )
        """)


async def m007_history(db: Connection) -> None:
    """Add the relays' history: a row for each relay and slot of five minutes.

    `slot` is when it began, in Unix seconds; `seconds` what it covers, `up` how many of
    them the relay was connected. Several instances may write rows of the same slot.
    """
    await db.execute(f"""
        CREATE TABLE IF NOT EXISTS nostrclient.history (
            slot {_big_int(db)} NOT NULL,
            relay TEXT NOT NULL,
            seconds INTEGER NOT NULL,
            up INTEGER NOT NULL,
            latency_ms INTEGER,
            received INTEGER NOT NULL,
            accepted INTEGER NOT NULL,
            refused INTEGER NOT NULL,
            closed INTEGER NOT NULL,
            reason TEXT NOT NULL
        )
        """)
    name = "history_uptime"  # holds all that is read of a week of all relays
    # SQLite wants the schema before the index's name, PostgreSQL before the table's.
    on = "nostrclient.history" if db.type != SQLITE else "history"
    index = f"nostrclient.{name}" if db.type == SQLITE else name
    await db.execute(
        f"CREATE INDEX IF NOT EXISTS {index} ON {on} (relay, slot, seconds, up)"
    )


async def m008_relay_route(db: Connection) -> None:
    """Add the way to each relay: `default`, `direct` or `proxy`."""
    if "route" not in await _columns(db, "relays"):
        await db.execute(
            "ALTER TABLE nostrclient.relays ADD COLUMN route TEXT DEFAULT 'default'"
        )


async def m009_instances(db: Connection) -> None:
    """Add the leases of several LNbits on one database, and the owner of an event.

    `seen_at` is in Unix seconds of the database's clock. On SQLite both stay empty.
    """
    await db.execute(f"""
        CREATE TABLE IF NOT EXISTS nostrclient.instances (
            id TEXT NOT NULL PRIMARY KEY,
            seen_at {_big_int(db)} NOT NULL
        )
        """)
    if "instance" not in await _columns(db, "outbox"):
        await db.execute("ALTER TABLE nostrclient.outbox ADD COLUMN instance TEXT")


async def m010_outbox_publishers(db: Connection) -> None:
    """Add who published an event, with the relays that were named with it.

    It is a JSON object: lists of URLs by the publisher's name, null for the configured
    relays. NULL is from before, when there was nothing else.
    """
    if "publishers" not in await _columns(db, "outbox"):
        await db.execute("ALTER TABLE nostrclient.outbox ADD COLUMN publishers TEXT")


async def m011_private_urls(db: Connection) -> None:
    """Add the private URLs that have a name; times are in Unix seconds."""
    await db.execute(f"""
        CREATE TABLE IF NOT EXISTS nostrclient.private_urls (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            is_open BOOLEAN NOT NULL,
            private_messages BOOLEAN NOT NULL,
            created_at {_big_int(db)} NOT NULL,
            last_used_at {_big_int(db)}
        )
        """)


STEPS = (
    m001_initial,
    m002_create_config_table,
    m003_update_config_table,
    m004_relay_roles,
    m005_outbox,
    m006_identities,
    m007_history,
    m008_relay_route,
    m009_instances,
    m010_outbox_publishers,
    m011_private_urls,
)
"""All of them, in order."""


async def ensure_schema(db: Connection) -> None:
    """Run every step, whatever number LNbits has stored for this extension."""
    for step in STEPS:
        await step(db)


def _big_int(db: Connection) -> str:
    """Return a type of 64 bits; CockroachDB's INT may have 32."""
    return "INT" if db.type == SQLITE else "BIGINT"


async def _columns(db: Connection, table: str) -> set[str]:
    """Return the names of a table's columns."""
    if db.type == SQLITE:
        rows: list[Any] = await db.fetchall(f"PRAGMA nostrclient.table_info({table})")
        return {row["name"] for row in rows}
    rows = await db.fetchall(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'nostrclient' AND table_name = :name",
        {"name": table},
    )
    return {row["column_name"] for row in rows}
