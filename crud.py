"""Reading and writing the extension's tables."""

from lnbits.db import Database

from .models import Config, Relay, UserConfig

OWNER = "admin"

db = Database("ext_nostrclient")


async def get_relays() -> list[Relay]:
    """Give all stored relays."""
    relays: list[Relay] = await db.fetchall(
        "SELECT * FROM nostrclient.relays", model=Relay
    )
    return relays


async def add_relay(relay: Relay) -> Relay:
    """Store a relay."""
    await db.insert("nostrclient.relays", relay)
    return relay


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


async def get_config(owner_id: str = OWNER) -> Config:
    """Give the stored configuration; where none is stored, the default one."""
    stored: UserConfig | None = await db.fetchone(
        "SELECT * FROM nostrclient.config WHERE owner_id = :owner_id",
        {"owner_id": owner_id},
        model=UserConfig,
    )
    return stored.extra if stored else Config()


async def create_config(owner_id: str = OWNER) -> Config:
    """Store the default configuration."""
    created = UserConfig(owner_id=owner_id)
    await db.insert("nostrclient.config", created)
    return created.extra


async def update_config(config: Config, owner_id: str = OWNER) -> Config:
    """Store a configuration, whether there was one or not."""
    changed = UserConfig(owner_id=owner_id, extra=config)
    stored: object = await db.fetchone(
        "SELECT owner_id FROM nostrclient.config WHERE owner_id = :owner_id",
        {"owner_id": owner_id},
    )
    if stored:
        await db.update("nostrclient.config", changed, "WHERE owner_id = :owner_id")
    else:
        await db.insert("nostrclient.config", changed)
    return changed.extra
