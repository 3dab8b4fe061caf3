"""An LNbits with upstream's extension gets this one, and may get upstream's back."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dev import release
from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from tests.e2e.clients import Author, Client, handshake_status, wait_until

from .catalogue import Catalogue
from .databases import Database, Row, Sqlite
from .upstream_tables import MIGRATIONS

UPSTREAM = Path(__file__).parent / "upstream"


class UpstreamRelay(BaseModel):
    """The columns of a relay that upstream reads and writes."""

    id: str
    url: str
    active: bool | None = None


class UpstreamConfig(BaseModel):
    """What upstream keeps as JSON in the column `extra` of its one row."""

    private_ws: bool = True
    public_ws: bool = False


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[LocalRelay]:
    with LocalRelay(log=tmp_path / "relay.log") as relay:
        yield relay


def lay_out(database: Database, state: int) -> None:
    """Leave what LNbits with upstream's extension has, after migration `state`."""
    database.create_schema()
    for number in range(1, state + 1):
        for statement in MIGRATIONS[number]:
            database.rows(statement)
    database.rows("CREATE TABLE dbversions (db TEXT PRIMARY KEY, version INT NOT NULL)")
    database.rows(
        "INSERT INTO dbversions (db, version) VALUES ('nostrclient', $1)", state
    )


def nostrclient(folder: Path, database: Database) -> LnbitsServer:
    """Give the same LNbits with this extension in upstream's place."""
    return LnbitsServer(folder, environment=database.environment)


def stored_by_upstream(relay: LocalRelay) -> list[UpstreamRelay]:
    """List relays as upstream stored them: it checks nothing but that there is a URL.

    `active` is what the request said, mostly nothing; upstream never looks at it.
    """
    urls = [
        f"WS://127.0.0.1:{relay.port}/",
        f"ws://127.0.0.1:{relay.port}",
        "WSS://Relay.Example.INVALID:443/Path/",
        "wss://second.invalid",
        "relay.without.scheme.invalid",
        "https://web.invalid",
    ]
    actives: list[bool | None] = [None, False, True, False, None, None]
    return [
        UpstreamRelay(id=f"id{number}", url=url, active=active)
        for number, (url, active) in enumerate(zip(urls, actives, strict=True))
    ]


def store(database: Database, relays: list[UpstreamRelay]) -> None:
    """Insert relays with upstream's columns."""
    for relay in relays:
        database.rows(
            "INSERT INTO nostrclient.relays (id, url, active) VALUES ($1, $2, $3)",
            relay.id,
            relay.url,
            relay.active,
        )


def relay_urls(database: Database) -> set[str]:
    return {row["url"] for row in database.rows("SELECT * FROM nostrclient.relays")}


def read_by_upstream(database: Database) -> tuple[list[UpstreamRelay], UpstreamConfig]:
    """Read relays and configuration with upstream's statements, into its shapes."""
    rows = database.rows("SELECT * FROM nostrclient.relays")
    configs: list[Row] = database.rows(
        "SELECT * FROM nostrclient.config WHERE owner_id = 'admin'"
    )
    assert len(configs) == 1
    return (
        [UpstreamRelay(**row) for row in rows],
        UpstreamConfig(**json.loads(configs[0]["extra"])),
    )


def listed(server: LnbitsServer) -> dict[str, dict[str, Any]]:
    relays: list[dict[str, Any]] = server.api("GET", "/relays")
    assert len({relay["url"] for relay in relays}) == len(relays)
    return {relay["url"]: relay for relay in relays}


@pytest.mark.parametrize("state", [1, 2, 3])
def test_upgrade_in_place_keeps_relays_and_configuration(
    tmp_path: Path, database: Database, relay: LocalRelay, state: int
) -> None:
    stored = stored_by_upstream(relay)
    lay_out(database, state)
    store(database, stored)
    if state > 1:
        insert = {
            2: "INSERT INTO nostrclient.config (json_data) VALUES ($1)",
            3: "INSERT INTO nostrclient.config (extra) VALUES ($1)",
        }
        database.rows(insert[state], '{"private_ws": false, "public_ws": true}')

    with nostrclient(tmp_path, database) as server:
        wait_until(
            lambda: listed(server).get(relay.url, {}).get("connected") is True,
            "the relay is connected under its one proper name",
        )
        assert set(listed(server)) == {
            relay.url,
            "wss://relay.example.invalid/Path",
            "wss://second.invalid",
            "relay.without.scheme.invalid",
            "https://web.invalid",
        }
        # Upstream used them all, whatever the column said.
        assert listed(server)["wss://second.invalid"]["active"] is True
        config = UpstreamConfig(**server.api("GET", "/config"))
        assert config == UpstreamConfig(private_ws=state == 1, public_ws=state > 1)
        assert handshake_status(server.public_url) == (403 if state == 1 else 101)
        assert handshake_status(server.private_url()) == (101 if state == 1 else 403)

        url = server.private_url() if state == 1 else server.public_url
        client = Client(url)
        assert client.publish(Author().event("after the upgrade")) == (True, "")
        client.close()

        # Nothing was rewritten, nothing lost: upstream would find its own rows.
        assert relay_urls(database) == {item.url for item in stored}

        # What is removed on the page is removed in every spelling; so is the invalid.
        server.api("DELETE", "/relay", {"url": relay.url})
        server.api("DELETE", "/relay", {"url": "https://web.invalid"})
        assert relay_urls(database) == {item.url for item in stored[2:5]}


@pytest.mark.parametrize("loads", [True, False])
def test_upgrade_of_a_running_server(
    tmp_path: Path, relay: LocalRelay, loads: bool
) -> None:
    """LNbits runs with upstream's extension, or cannot load it, and gets this one."""
    database = Sqlite(tmp_path / "data")
    lay_out(database, 3)
    store(database, stored_by_upstream(relay))
    shutil.copytree(UPSTREAM, tmp_path / "extensions" / "nostrclient")
    with Catalogue(tmp_path / "catalogue") as catalogue:
        server = LnbitsServer(
            tmp_path,
            extension=None,
            environment={
                **catalogue.environment,
                "UPSTREAM_LACKS_A_LIBRARY": "" if loads else "1",
            },
        )
        with server:
            loaded = "Could not load extension" not in server.printed()
            assert loaded is loads
            left = Client(server.public_url) if loads else None
            catalogue.install(server, catalogue.offer(release.build(tmp_path / "zip")))
            wait_until(
                lambda: listed(server).get(relay.url, {}).get("connected") is True,
                "the relay is connected",
            )
            assert len(listed(server)) == 5
            if left is not None:  # else it would wait for ever
                wait_until(left.is_closed, "the client that upstream left is closed")
            client = Client(server.private_url())
            assert client.publish(Author().event("upgraded")) == (True, "")
            client.close()
            if not loads:
                reinstall_without_data(server, catalogue, tmp_path)


def reinstall_without_data(
    server: LnbitsServer, catalogue: Catalogue, folder: Path
) -> None:
    """Uninstall, delete the data and install again: nothing of before is left."""
    server.http.delete("/api/v1/extension/nostrclient").raise_for_status()
    server.http.delete("/api/v1/extension/nostrclient/db").raise_for_status()
    catalogue.install(server, catalogue.offer(release.build(folder / "zip again")))
    wait_until(lambda: listed(server) == {}, "no relay is left", 8)
    assert server.api("GET", "/config")["public_ws"] is False


def test_the_way_back_and_forth_again(
    tmp_path: Path, database: Database, relay: LocalRelay
) -> None:
    with nostrclient(tmp_path, database) as server:
        server.api("POST", "/relay", {"url": relay.url})
        server.api("POST", "/relay", {"url": "wss://read.only.invalid"})
        server.api("PUT", "/relay", {"url": "wss://read.only.invalid", "write": False})
        server.api("PUT", "/config", {"private_ws": False, "public_ws": True})

    # LNbits sees newer tables than its migrations know, and leaves them alone.
    with LnbitsServer(tmp_path, extension=UPSTREAM, environment=database.environment):
        relays, config = read_by_upstream(database)
        assert {item.url for item in relays} == {relay.url, "wss://read.only.invalid"}
        assert all(item.id and item.active for item in relays)
        assert config == UpstreamConfig(private_ws=False, public_ws=True)
        store(
            database, [UpstreamRelay(id="back", url="wss://Added.While.Back.invalid/")]
        )
        config.private_ws = True
        database.rows(
            "UPDATE nostrclient.config SET extra = $1 WHERE owner_id = $2",
            config.json(),
            "admin",
        )

    with nostrclient(tmp_path, database) as server:
        wait_until(lambda: len(listed(server)) == 3, "all relays are loaded")
        relays_now = listed(server)
        assert relays_now["wss://added.while.back.invalid"]["write"] is True
        assert relays_now["wss://read.only.invalid"]["write"] is False
        config = UpstreamConfig(**server.api("GET", "/config"))
        assert config == UpstreamConfig(private_ws=True, public_ws=True)
