"""SQLite and PostgreSQL keep the same things in the same way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from dev.paths import CHECKOUT
from nostrclient.models import Config
from tests.e2e.clients import Author, Client, wait_until

from .databases import POSTGRES, Database, new_postgres, postgres_answers
from .use_crud import MARKUP

RELAY: dict[str, Any] = {
    "id": "id0",
    "url": "wss://one",
    "active": True,
    "read": None,
    "write": None,
    "route": None,
    "connected": None,
    "connected_string": None,
    "status": None,
    "ping": None,
}
CLOSED = Config().dict()
EVENT: dict[str, Any] = {
    "id": "0" * 64,
    "event": MARKUP,
    "published_at": 2_500_000_000_000_000,
    "accepted": False,
    "is_public": False,
    "owed": '["wss://relay0/?q=<a>&lt;"]',
    "instance": None,
    "publishers": None,
}


def run_program(name: str, database: Database, folder: Path) -> Any:
    """Run a program of this folder on a database and return what it printed."""
    (folder / "data").mkdir()
    run = subprocess.run(
        [sys.executable, "-m", f"tests.dropin.{name}"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "LNBITS_DATA_FOLDER": str(folder / "data"),
            "PYTHONPATH": str(CHECKOUT / ".build" / "ext"),
            **database.environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_crud_and_outbox(database: Database, tmp_path: Path) -> None:
    seen = run_program("use_crud", database, tmp_path)
    first = {**RELAY, "active": False, "write": False}
    one = {
        **EVENT,
        "id": f"{1:064x}",
        "published_at": EVENT["published_at"] - 1,
        "accepted": True,
        "owed": '["wss://relay1/?q=<a>&lt;"]',
    }
    two = {
        **EVENT,
        "id": f"{2:064x}",
        "published_at": EVENT["published_at"] - 2,
        "is_public": True,
        "owed": '["wss://relay2/?q=<a>&lt;"]',
        "publishers": '{"user <b>": ["wss://relay2/?q=<a>&lt;"]}',
    }
    closed = {
        "id": "1",
        "name": "app",
        "is_open": False,
        "private_messages": True,
        "created_at": 2_500_000_000,
        "last_used_at": 2_500_000_009,
    }
    later = {
        **closed,
        "id": "2",
        "name": "shop <b>&amp;</b>",
        "is_open": True,
        "created_at": 2_500_000_001,
        "last_used_at": None,
    }
    assert seen == {
        "empty": [[], []],
        "private URLs": [[True, True, False], [True, False], [closed, later]],
        "private URLs later": [[True, False], [later]],
        "config at first": CLOSED,
        "config": Config(private_ws=False, public_ws=True).dict(),
        "config again": CLOSED,
        "config of two": [CLOSED, Config(public_ws=True).dict()],
        "identity": [None, "sealed <b>&amp;</b>", None],
        "relays": [
            first,
            {**RELAY, "id": "id1", "url": "wss://two"},
            {**RELAY, "id": "id2", "url": "wss://two/?a=%20&amp;"},
        ],
        "relays left": [first],
        "outbox": [two, one, EVENT],
        "outbox later": [two, {**EVENT, "accepted": True, "owed": "[]"}],
        "outbox in the end": [],
    }


def test_migrations_may_be_killed_between_any_two_statements(
    database: Database, tmp_path: Path
) -> None:
    relay = {"id": "a", "url": "wss://a", "active": True, "read": True, "write": True}
    relay["route"] = "default"
    config = {
        "extra": '{"private_ws": false, "public_ws": true}',
        "owner_id": "admin",
    }
    for state, (killed, outcomes) in enumerate(
        run_program("kill_migrations", database, tmp_path)
    ):
        assert killed >= 6, "it was killed at each statement"
        assert outcomes == [
            {
                "relays": [relay] if state >= 1 else [],
                "config": [config] if state >= 2 else [],
                "outbox": [],
            }
        ]


def test_a6_changes_at_the_same_time_are_all_stored(
    database: Database, tmp_path: Path
) -> None:
    seen = run_program("use_crud_at_once", database, tmp_path)
    assert seen == {
        "lost settings": [],
        "identities that came back": 0,
        "identities lost": 0,
        "rows of one relay": 1,
        "roles": {"active": False, "read": False, "write": False},
    }


def test_j2_lease_is_renewed_with_what_is_stored_and_not_while_it_is_taken(
    tmp_path: Path,
) -> None:
    if not postgres_answers():
        pytest.skip(f"no PostgreSQL answers at {POSTGRES}; set NOSTRCLIENT_POSTGRES")
    with new_postgres() as postgres:
        seen = run_program("use_leases", postgres, tmp_path)
    assert seen == {
        "alone": [],
        "taken of the living": 0,
        "taken of one that stores": 0,
        "taken of the dead": [2, 0],
        "owners": ["b", "b"],
        "owners afterwards": ["b", "b"],
        "owners of what was published twice": ["c", "b"],
        "others": ["c"],
        "renewed meanwhile": False,
        "others in the end": ["c"],
    }


def test_c5_queued_event_survives_a_kill_byte_for_byte(
    database: Database, tmp_path: Path
) -> None:
    author = Author()
    relay = LocalRelay(log=tmp_path / "relay.log")
    event = author.event("<b>&amp;</b> <i>ü &#x26; 100%</i> ? :id \\ '\"")
    text = json.dumps(["EVENT", event], ensure_ascii=False, separators=(" ,", ": "))
    with LnbitsServer(tmp_path, environment=database.environment) as server:
        server.api("POST", "/relay", {"url": relay.url})
        client = Client(server.private_url())
        client.send_text(text)
        answer = client.expect("OK", event["id"])
        assert answer[2] is True
        assert answer[3].startswith("queued:")
        kept = database.rows("SELECT * FROM nostrclient.outbox")
        assert [row["event"] for row in kept] == [text[len('["EVENT" ,') : -1]]
        server.process().kill()
        client.close()

    with relay, LnbitsServer(tmp_path, environment=database.environment):
        client = Client(relay.url)
        wait_until(
            lambda: client.subscribe("kept", {"authors": [author.pubkey]}) == [event],
            "the relay has it as it was",
        )
        client.close()
        wait_until(
            lambda: database.rows("SELECT * FROM nostrclient.outbox") == [],
            "nothing waits any more",
        )
