"""Every function of crud.py once; run as a program, on the database LNbits is told.

    python -m tests.dropin.use_crud

Prints what was given back as JSON: the same on every database.
"""

import asyncio
import json
from typing import Any

from nostrclient import crud, migrations
from nostrclient.models import Config, OutboxEvent, Relay, StoredPrivateUrl

MARKUP = '{"content":"<b>&amp;</b> <script>\\u00e9</script> ü 100% ? :id \\\\ \'\'"}'
"""What LNbits would take out of a parameter, and what databases give a meaning."""


async def use() -> dict[str, Any]:
    """Use all of it, one after the other."""
    async with crud.db.connect() as connection:
        for name, migrate in vars(migrations).items():
            if name.startswith("m0"):
                await migrate(connection)
    seen: dict[str, Any] = {"empty": [await crud.get_relays(), await crud.get_outbox()]}

    seen["config at first"] = await crud.get_config()
    await crud.update_config(Config(private_ws=False, public_ws=True))
    seen["config"] = await crud.get_config()
    await crud.update_config(Config())
    seen["config again"] = await crud.get_config()
    await crud.create_config("somebody")
    await crud.update_config(Config(public_ws=True), "somebody")
    seen["config of two"] = [await crud.get_config(), await crud.get_config("somebody")]

    seen["identity"] = [await crud.get_identity()]
    for identity in ("sealed <b>&amp;</b>", None):
        await crud.update_identity(identity)
        seen["identity"].append(await crud.get_identity())

    for number, url in enumerate(["wss://one", "wss://two", "wss://two/?a=%20&amp;"]):
        await crud.add_relay(Relay(id=f"id{number}", url=url, active=True))
    relays = await crud.get_relays()
    await crud.update_relay(relays[0].id or "", {"active": False, "write": False})
    seen["relays"] = sorted(await crud.get_relays(), key=lambda relay: relay.id or "")
    await crud.delete_relay(Relay(id="id2"))
    await crud.delete_relay(Relay(url="wss://two"))
    seen["relays left"] = await crud.get_relays()

    await use_private_urls(seen)

    events = [
        OutboxEvent(
            id=f"{number:064x}",
            event=MARKUP,
            # later than 2038 and finer than seconds: no 32 bits are enough
            published_at=2_500_000_000_000_000 - number,
            accepted=number == 1,
            is_public=number == 2,
            owed=json.dumps([f"wss://relay{number}/?q=<a>&lt;"]),
        )
        for number in range(3)
    ]
    named = {"user <b>": json.loads(events[2].owed)}
    events[2].publishers = json.dumps(named)
    await crud.write_outbox(events, ["not there"])
    seen["outbox"] = await crud.get_outbox()
    changed = events[0].copy(update={"accepted": True, "owed": "[]"})
    await crud.write_outbox([changed], [events[1].id])
    seen["outbox later"] = await crud.get_outbox()
    await crud.write_outbox([], [event.id for event in events])
    seen["outbox in the end"] = await crud.get_outbox()
    return seen


async def use_private_urls(seen: dict[str, Any]) -> None:
    """Use what there is for private URLs."""
    url = StoredPrivateUrl(id="1", name="shop <b>&amp;</b>", created_at=2_500_000_000)
    later = url.copy(update={"id": "2", "created_at": 2_500_000_001})
    added = [await crud.add_private_url(item, 2) for item in (later, url, url)]
    changes = {"name": "app", "is_open": False}
    changed = [await crud.update_private_url(name, changes) for name in ("1", "3")]
    for at in (2_500_000_009, 2_500_000_005):
        await crud.store_uses({"1": at, "3": at})
    seen["private URLs"] = [added, changed, await crud.get_private_urls()]
    deleted = [await crud.delete_private_url("1") for _ in range(2)]
    seen["private URLs later"] = [deleted, await crud.get_private_urls()]


if __name__ == "__main__":
    text = json.dumps(asyncio.run(use()), default=lambda model: model.dict())
    print(text)  # noqa: T201
