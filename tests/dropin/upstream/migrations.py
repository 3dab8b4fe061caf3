"""As many migrations as upstream has; none of them is run on a newer database."""

from lnbits.db import Connection


async def m001_initial(db: Connection) -> None:
    raise NotImplementedError


async def m002_create_config_table(db: Connection) -> None:
    raise NotImplementedError


async def m003_update_config_table(db: Connection) -> None:
    raise NotImplementedError
