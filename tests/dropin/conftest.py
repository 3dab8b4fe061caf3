"""What the drop-in tests share: databases, and LNbits on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .databases import POSTGRES, Database, Sqlite, new_postgres, postgres_answers


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind, for an LNbits in the folder `tmp_path`."""
    if request.param == "sqlite":
        yield Sqlite(tmp_path / "data")
        return
    if not postgres_answers():
        pytest.skip(f"no PostgreSQL answers at {POSTGRES}; set NOSTRCLIENT_POSTGRES")
    with new_postgres() as postgres:
        yield postgres
