"""Changes of the configuration at the same time; run as two programs at once.

    python -m tests.dropin.use_crud_at_once

Starts a second process that does the same, as another LNbits on the same database
would. Prints as JSON what was lost.
"""

import asyncio
import json
import sys
from typing import Any

from nostrclient import crud
from nostrclient.models import Config, Relay

ROUNDS = 15


def with_setting(name: str, number: float) -> Any:
    """Return a change that adds one setting."""

    def change(stored: Config) -> Config:
        return stored.copy(update={"settings": {**stored.settings, name: number}})

    return change


async def change_settings(process: str) -> None:
    """Add settings, one at a time, from several tasks."""
    await asyncio.gather(
        *(
            crud.change_config(with_setting(f"{process}{number}", number))
            for number in range(ROUNDS)
        )
    )


async def main() -> dict[str, Any]:
    """Run the changes of both processes."""
    await crud.create_tables()
    program = [sys.executable, "-m", "tests.dropin.use_crud_at_once", "second"]
    other = await asyncio.create_subprocess_exec(*program)
    await change_settings("first")
    assert await other.wait() == 0
    stored = (await crud.get_config()).settings
    expected = {f"{name}{n}" for name in ("first", "second") for n in range(ROUNDS)}

    came_back = lost = 0
    for number in range(ROUNDS):
        await crud.update_identity("sealed")
        await asyncio.gather(
            crud.update_identity(None),
            crud.change_config(with_setting("one", number)),
        )
        came_back += await crud.get_identity() is not None
        await asyncio.gather(
            crud.update_identity("sealed"),
            crud.change_config(with_setting("one", number)),
        )
        lost += await crud.get_identity() is None

    urls = ["wss://one", "WSS://one/", "wss://one:443"]
    await asyncio.gather(
        *(crud.add_relay(Relay(id=url, url=url, active=True)) for url in urls)
    )
    rows = await crud.get_relays()
    await asyncio.gather(
        *(
            crud.update_relay(rows[0].id or "", {role: False})
            for role in ("active", "read", "write")
        )
    )
    (relay,) = await crud.get_relays()
    return {
        "lost settings": sorted(expected - stored.keys()),
        "identities that came back": came_back,
        "identities lost": lost,
        "rows of one relay": len(rows),
        "roles": relay.dict(include={"active", "read", "write"}),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["second"]:
        asyncio.run(change_settings("second"))
    else:
        print(json.dumps(asyncio.run(main())))  # noqa: T201
