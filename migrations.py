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
    """Give each configuration an owner."""
    await db.execute("ALTER TABLE nostrclient.config RENAME COLUMN json_data TO extra")
    await db.execute(
        "ALTER TABLE nostrclient.config ADD COLUMN owner_id TEXT DEFAULT 'admin'"
    )
