"""The tables, step by step; LNbits runs each step once, in order."""

from lnbits.db import Connection


async def m001_initial(db: Connection) -> None:
    """Add the relays."""
    await db.execute("""
        CREATE TABLE nostrclient.relays (
            id TEXT NOT NULL PRIMARY KEY,
            url TEXT NOT NULL,
            active BOOLEAN DEFAULT true
        )
        """)


async def m002_create_config_table(db: Connection) -> None:
    """Add the configuration, as JSON."""
    await db.execute("CREATE TABLE nostrclient.config (json_data TEXT NOT NULL)")


async def m003_update_config_table(db: Connection) -> None:
    """Add an owner to each configuration."""
    await db.execute("ALTER TABLE nostrclient.config RENAME COLUMN json_data TO extra")
    await db.execute(
        "ALTER TABLE nostrclient.config ADD COLUMN owner_id TEXT DEFAULT 'admin'"
    )


async def m004_relay_roles(db: Connection) -> None:
    """Add the switches for reading and writing, and switch all relays on.

    Before, `active` was stored but ignored, so all relays were in use.
    """
    await db.execute("UPDATE nostrclient.relays SET active = true")
    for column in ("read", "write"):
        await db.execute(
            f"ALTER TABLE nostrclient.relays ADD COLUMN {column} BOOLEAN DEFAULT true"
        )


async def m005_outbox(db: Connection) -> None:
    """Add the outbox: queued events, and accepted ones with pending copies.

    `published_at` is in microseconds since 1970; `owed` is a JSON list of relay URLs.
    """
    await db.execute(f"""
        CREATE TABLE nostrclient.outbox (
            id TEXT NOT NULL PRIMARY KEY,
            event TEXT NOT NULL,
            published_at {db.big_int} NOT NULL,
            accepted BOOLEAN NOT NULL,
            is_public BOOLEAN NOT NULL,
            owed TEXT NOT NULL
        )
        """)
