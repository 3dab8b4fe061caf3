"""The steps of the migrations are complete and numbered in order."""

import re
import sys

from nostrclient import crud, migrations


def test_every_migration_is_a_step_with_a_number_of_its_own() -> None:
    found = [name for name in vars(migrations) if re.match(r"m\d\d\d_", name)]
    assert [step.__name__ for step in migrations.STEPS] == found
    numbers = [int(name[1:4]) for name in found]
    assert numbers == list(range(1, len(found) + 1))


async def test_f7_migrations_of_a_later_version_are_not_hidden_by_ours() -> None:
    """LNbits imports them before it drops our modules."""
    await crud.create_tables()
    assert "nostrclient.migrations" not in sys.modules
    sys.modules["nostrclient.migrations"] = migrations  # as other tests know it
