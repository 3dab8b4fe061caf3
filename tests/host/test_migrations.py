"""The steps of the migrations are complete and numbered in order."""

import re

from nostrclient import migrations


def test_every_migration_is_a_step_with_a_number_of_its_own() -> None:
    found = [name for name in vars(migrations) if re.match(r"m\d\d\d_", name)]
    assert [step.__name__ for step in migrations.STEPS] == found
    numbers = [int(name[1:4]) for name in found]
    assert numbers == list(range(1, len(found) + 1))
