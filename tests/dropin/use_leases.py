"""Leases of several instances on PostgreSQL; run as a program.

    python -m tests.dropin.use_leases

Prints what happened as JSON.
"""

import asyncio
import json
from typing import Any

from lnbits.db import Database

from nostrclient import crud
from nostrclient.models import OutboxEvent

LEASE = 30


def event(number: int, instance: str) -> OutboxEvent:
    """Return a row of the outbox."""
    return OutboxEvent(
        id=f"{number:064x}",
        event="{}",
        published_at=number,
        accepted=False,
        is_public=False,
        owed="[]",
        instance=instance,
    )


async def let_lease_end(instance: str) -> None:
    """Set an instance's last sign of life to long ago."""
    await crud.db.execute(
        "UPDATE nostrclient.instances SET seen_at = 0 WHERE id = :id", {"id": instance}
    )


async def owners() -> list[str | None]:
    """Return whose the events are, in order."""
    return [row.instance for row in await crud.get_outbox()]


async def use() -> dict[str, Any]:
    """Let leases end, and others take what is theirs to take."""
    await crud.create_tables()
    seen: dict[str, Any] = {"alone": await crud.renew_lease("a", LEASE)}
    await crud.write_outbox([event(1, "a")], [], instance="a")
    seen["taken of the living"] = await crud.claim_events("b", LEASE)

    # It comes back, and stores an event before its lease is renewed by the clock.
    await let_lease_end("a")
    await crud.write_outbox([event(2, "a")], [], instance="a")
    seen["taken of one that stores"] = await crud.claim_events("b", LEASE)

    await let_lease_end("a")
    seen["taken of the dead"] = [
        await crud.claim_events(instance, LEASE) for instance in ("b", "c")
    ]
    seen["owners"] = await owners()
    # The former owner changes nothing any more.
    await crud.write_outbox([], [event(1, "a").id], instance="a")
    seen["owners afterwards"] = await owners()

    # A client publishes an event to another one as well: that one keeps its promise.
    await crud.write_outbox([event(1, "c")], [], instance="c")
    await crud.write_outbox([], [event(1, "b").id], instance="b")
    seen["owners of what was published twice"] = await owners()

    # While somebody takes its events, a lease cannot be renewed.
    seen["others"] = await crud.renew_lease("b", LEASE)
    async with Database("ext_nostrclient").connect() as other:
        await other.fetchall(
            "SELECT id FROM nostrclient.instances WHERE id = 'b' FOR UPDATE"
        )
        renewal = asyncio.ensure_future(crud.renew_lease("b", LEASE))
        done, _ = await asyncio.wait([renewal], timeout=0.5)
        seen["renewed meanwhile"] = bool(done)
    seen["others in the end"] = await renewal
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(use())))  # noqa: T201
