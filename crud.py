"""Reading and writing the extension's tables, each time to the end."""

from lnbits.db import Database, insert_query, model_to_dict
from sqlalchemy.sql import text

from .helpers import uninterrupted
from .models import Config, OutboxEvent, Relay, StoredConfig, UserConfig

OWNER = "admin"

db = Database("ext_nostrclient")


@uninterrupted
async def get_relays() -> list[Relay]:
    """Give all stored relays."""
    relays: list[Relay] = await db.fetchall(
        "SELECT * FROM nostrclient.relays", model=Relay
    )
    return relays


@uninterrupted
async def add_relay(relay: Relay) -> Relay:
    """Store a relay."""
    await db.insert("nostrclient.relays", relay)
    return relay


@uninterrupted
async def update_relay(relay: Relay) -> Relay:
    """Store what changed of a relay, by its id."""
    await db.update("nostrclient.relays", relay)
    return relay


@uninterrupted
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


@uninterrupted
async def get_config(owner_id: str = OWNER) -> Config:
    """Give the stored configuration; where none is stored, the default one."""
    return _without_secrets(await _get_stored(owner_id))


@uninterrupted
async def create_config(owner_id: str = OWNER) -> Config:
    """Store the default configuration."""
    created = UserConfig(owner_id=owner_id)
    await db.insert("nostrclient.config", created)
    return _without_secrets(created.extra)


@uninterrupted
async def update_config(config: Config, owner_id: str = OWNER) -> Config:
    """Store a configuration, whether there was one or not."""
    stored = await _get_stored(owner_id)
    changed = StoredConfig(**config.dict(), identity=stored.identity)
    await _write_stored(changed, owner_id)
    return config


@uninterrupted
async def get_identity(owner_id: str = OWNER) -> str | None:
    """Give the stored identity key as it is stored: encrypted."""
    return (await _get_stored(owner_id)).identity


@uninterrupted
async def update_identity(identity: str | None, owner_id: str = OWNER) -> None:
    """Store an encrypted identity key; None forgets it."""
    stored = await _get_stored(owner_id)
    await _write_stored(stored.copy(update={"identity": identity}), owner_id)


def _without_secrets(stored: StoredConfig) -> Config:
    return Config(**stored.dict(exclude={"identity"}))


async def _get_stored(owner_id: str) -> StoredConfig:
    stored: UserConfig | None = await db.fetchone(
        "SELECT * FROM nostrclient.config WHERE owner_id = :owner_id",
        {"owner_id": owner_id},
        model=UserConfig,
    )
    return stored.extra if stored else StoredConfig()


async def _write_stored(config: StoredConfig, owner_id: str) -> None:
    changed = UserConfig(owner_id=owner_id, extra=config)
    stored: object = await db.fetchone(
        "SELECT owner_id FROM nostrclient.config WHERE owner_id = :owner_id",
        {"owner_id": owner_id},
    )
    if stored:
        await db.update("nostrclient.config", changed, "WHERE owner_id = :owner_id")
    else:
        await db.insert("nostrclient.config", changed)


@uninterrupted
async def get_outbox() -> list[OutboxEvent]:
    """Give the stored events of the outbox, in the order they were published."""
    events: list[OutboxEvent] = await db.fetchall(
        "SELECT * FROM nostrclient.outbox ORDER BY published_at", model=OutboxEvent
    )
    return events


@uninterrupted
async def write_outbox(saved: list[OutboxEvent], forgotten: list[str]) -> None:
    """Store and delete events of the outbox, all or nothing, in one transaction.

    `Connection.execute` takes out of its parameters whatever looks like HTML, which
    would change an event; hence the statements of `insert`, without its commit a row.
    """
    gone = [{"id": event_id} for event_id in forgotten]
    gone += [{"id": event.id} for event in saved]
    async with db.connect() as conn:
        if gone:
            await conn.conn.execute(
                text("DELETE FROM nostrclient.outbox WHERE id = :id"), gone
            )
        if saved:
            await conn.conn.execute(
                text(insert_query("nostrclient.outbox", saved[0])),
                [model_to_dict(event) for event in saved],
            )
        await conn.conn.commit()
