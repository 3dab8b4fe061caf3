"""What `make release` builds is what LNbits installs, and upgrades while it works."""

import json
import re
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
import websocket

from dev import release
from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from dev.paths import CHECKOUT
from nostrclient.nostr.settings import DEFAULTS
from tests.e2e.clients import SECONDS, Author, Client, wait_until
from tests.e2e.conftest import PROBE, connected_urls

from .catalogue import Catalogue
from .databases import Sqlite

PUBLISHERS = 3
IN_FLIGHT = 10
FULL = DEFAULTS.outbox_events

NEWER = b'''

async def m901_marker(db: Connection) -> None:
    """Leave a trace of the newer version."""
    await db.execute("CREATE TABLE nostrclient.marker (version TEXT)")
'''


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release.build(tmp_path_factory.mktemp("release"))


def newer(folder: Path, version: str, migration: bytes = b"") -> Path:
    """Build a version of another number, perhaps with a migration more."""
    built = release.build(folder, version)
    with zipfile.ZipFile(built) as opened:
        files = {
            name.removeprefix(f"{built.stem}/"): opened.read(name)
            for name in opened.namelist()
        }
    files["migrations.py"] += migration
    return release.write(built, files)


def test_the_zip_is_small_and_holds_what_runs(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        config = json.loads(opened.read(f"{archive.stem}/config.json"))
        manifest = json.loads(opened.read(f"{archive.stem}/manifest.json"))
        python = [opened.read(name) for name in names if name.endswith(".py")]
    folders = {name.split("/")[0] for name in names}
    assert folders == {archive.stem}
    tops = {name.split("/")[1] for name in names}
    assert tops >= {
        "__init__.py",
        "config.json",
        "manifest.json",
        "description.md",
        "migrations.py",
        "nostr",
        "static",
        "templates",
        "LICENSE",
    }
    assert not tops & {"tests", "dev", "docs", "Makefile", "package.json", ".ci"}
    assert not [top for top in tops if top.startswith((".", "requirements"))]
    assert archive.stat().st_size < 500_000  # three quarters of it are code
    assert all(b"import dev" not in code for code in python)

    assert archive.stem == f"nostrclient-{config['version']}"
    assert config["id"] == manifest["repos"][0]["id"] == "nostrclient"
    assert config["license"] == "MIT"
    assert config["tags"]
    tile = config["tile"].removeprefix("/nostrclient/")
    assert f"{archive.stem}/{tile}" in names

    # The same files make the same zip.
    assert release.build(tmp_path).read_bytes() == archive.read_bytes()


def test_the_zip_holds_the_parts_of_the_page_and_no_others(archive: Path) -> None:
    folder = f"{archive.stem}/static"
    with zipfile.ZipFile(archive) as opened:
        parts = {
            name.removeprefix(f"{folder}/"): opened.read(name).decode()
            for name in opened.namelist()
            if name.startswith((f"{folder}/js/", f"{folder}/vue/"))
        }
        index = opened.read(f"{folder}/index.js").decode()
    loaded = {f"js/{name}.js" for name in re.findall(r"load\('([\w-]+)'\)", index)}
    imports = re.findall(r"\bpart\('([\w-]+)'\)", "".join(parts.values()))
    templates = re.findall(r"TEMPLATES = \[(.*?)\]", index, re.DOTALL)[0]
    wanted = loaded | {f"js/{name}.js" for name in imports}
    wanted |= {f"vue/{name}.vue" for name in re.findall(r"'([\w-]+)'", templates)}
    assert "js/live.js" in loaded
    assert set(parts) == wanted


def demo(server: LnbitsServer, *arguments: str) -> str:
    """Run `make demo` against a server and give what it printed."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "dev.demo",
            "--port",
            str(server.port),
            "--data",
            str(server.folder),
            *arguments,
        ],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


class Publisher:
    """Publishes as fast as it is answered, and connects again whenever it must."""

    def __init__(self, server: LnbitsServer) -> None:
        self.author = Author()
        self.answered_true: set[str] = set()
        self.refusals: set[str] = set()
        self.connections = 0
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last answers and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Whatever happens to a connection, the next one goes on.
            with suppress(OSError, websocket.WebSocketException):
                self._publish()
            self._stopping.wait(0.02)

    def _publish(self) -> None:
        connection = websocket.create_connection(
            self._server.private_url(), timeout=SECONDS
        )
        self.connections += 1
        with closing(connection):
            while not self._stopping.is_set():
                for number in range(IN_FLIGHT):
                    event = self.author.event(f"{time.monotonic()} {number}")
                    connection.send(json.dumps(["EVENT", event]))
                for _ in range(IN_FLIGHT):
                    text = connection.recv()
                    if not text:  # it was closed
                        return
                    _, event_id, accepted, message = json.loads(text)
                    if accepted:
                        self.answered_true.add(event_id)
                    else:
                        self.refusals.add(message)


def missing(relay: LocalRelay, event_ids: set[str]) -> set[str]:
    """Give those of some events that a relay does not have."""
    client = Client(relay.url, "inspector")
    wanted = sorted(event_ids)
    found: set[str] = set()
    for start in range(0, len(wanted), 100):
        ids = {"ids": wanted[start : start + 100]}
        found |= {event["id"] for event in client.subscribe(f"{start}", ids)}
    client.close()
    return event_ids - found


def running(server: LnbitsServer) -> dict[str, int]:
    """Count the threads and tasks of the extension, of all its versions together."""
    answer = server.http.get("/probe/running/nostrclient").raise_for_status()
    seen: dict[str, list[str]] = answer.json()
    return {what: len(names) for what, names in seen.items()}


@pytest.mark.timeout(400)
def test_install_and_upgrades_at_run_time_under_load(
    archive: Path, tmp_path: Path
) -> None:
    relay = LocalRelay(folder=tmp_path / "events", log=tmp_path / "relay.log")
    with Catalogue(tmp_path / "catalogue") as catalogue, relay:
        server = LnbitsServer(
            tmp_path,
            extension=None,
            other_extensions=[PROBE],
            environment={"LNBITS_RATE_LIMIT_NO": "1000000", **catalogue.environment},
        )
        with server:
            catalogue.install(server, catalogue.offer(archive))
            config = server.api("PUT", "/config", {"public_ws": True})
            assert config["public_ws"] is config["private_ws"] is True
            server.api("POST", "/relay", {"url": relay.url})
            wait_until(lambda: relay.url in connected_urls(server), "connected")
            assert "Everything arrived." in demo(server, "--notes", "5")
            before = running(server)

            _upgrade_under_load(server, catalogue, relay)
            wait_until(lambda: running(server) == before, "the old version is gone")
            _upgrade_with_a_full_outbox(server, catalogue, relay)
            _upgrade_while_events_are_queued(server, catalogue, relay)
            wait_until(lambda: running(server) == before, "the old versions are gone")
            assert "Everything arrived." in demo(server, "--notes", "5")


def _upgrade_under_load(
    server: LnbitsServer, catalogue: Catalogue, relay: LocalRelay
) -> None:
    """Upgrade, with a new table, while clients publish and one listens."""
    publishers = [Publisher(server) for _ in range(PUBLISHERS)]
    filters = {"authors": [publisher.author.pubkey for publisher in publishers]}
    listener = Client(server.public_url, "listener")
    listener.subscribe("before", {**filters, "limit": 0})
    wait_until(lambda: listener.count("EVENT") > 100, "there is load")

    archive = newer(server.folder, "2.0.1", NEWER)
    catalogue.install(server, catalogue.offer(archive))

    tables = Sqlite(server.data)
    assert tables.rows("SELECT * FROM nostrclient.marker") == []
    version = "SELECT version FROM dbversions WHERE db = 'nostrclient'"
    assert tables.rows(version) == [{"version": 901}]

    wait_until(listener.is_closed, "the old version's connections are closed")
    again = Client(server.public_url, "listener")
    # Asked for no number of events, the relay gives the latest 500.
    again.subscribe("after", {**filters, "limit": 100_000})
    wait_until(
        lambda: all(publisher.connections > 1 for publisher in publishers)
        and again.count("EVENT") > 100,
        "the new version works",
    )
    answered_true: set[str] = set()
    for publisher in publishers:
        publisher.stop()
        answered_true |= publisher.answered_true
    wait_until(
        lambda: not missing(relay, answered_true),
        "no event is lost that was answered true",
    )
    wait_until(
        lambda: answered_true
        <= {*listener.all_events("before")} | {*again.all_events("after")},
        "and the one who listens has seen them all",
    )
    again.close()


def _upgrade_with_a_full_outbox(
    server: LnbitsServer, catalogue: Catalogue, relay: LocalRelay
) -> None:
    """Upgrade while no relay is there and events wait."""
    relay.stop()
    wait_until(lambda: not connected_urls(server), "the relay is gone")
    author = Author()
    client = Client(server.private_url(), "publisher")
    waiting = [author.event(f"<b>{number}</b> &amp;") for number in range(FULL)]
    for event in waiting:
        accepted, message = client.publish(event)
        assert accepted
        assert message.startswith("queued:")
    assert client.publish(author.event("one too many"))[0] is False
    # Settings take effect when nostrclient starts: in the version that comes.
    server.api("PUT", "/config", {"settings": {"outbox_events": 100_000}})

    archive = newer(server.folder, "2.0.2", NEWER)
    catalogue.install(server, catalogue.offer(archive))
    wait_until(client.is_closed, "the old version's connections are closed")
    wait_until(lambda: len(server.api("GET", "/outbox")) == FULL, "all still wait")

    relay.start()
    wait_until(
        lambda: not missing(relay, {event["id"] for event in waiting}),
        "what waited is sent",
        seconds=70,
    )
    wait_until(lambda: server.api("GET", "/outbox") == [], "nothing waits any more")


def _upgrade_while_events_are_queued(
    server: LnbitsServer, catalogue: Catalogue, relay: LocalRelay
) -> None:
    """Upgrade while no relay is there and every answer is a promise to send later."""
    relay.stop()
    wait_until(lambda: not connected_urls(server), "the relay is gone")
    publishers = [Publisher(server) for _ in range(PUBLISHERS)]

    def promises() -> int:
        return sum(len(publisher.answered_true) for publisher in publishers)

    wait_until(lambda: promises() > 50, "events are queued")
    archive = newer(server.folder, "2.0.3", NEWER)
    catalogue.install(server, catalogue.offer(archive))
    before = promises()
    wait_until(
        lambda: all(publisher.connections > 1 for publisher in publishers)
        and promises() > before + 50,
        "the new version queues events, too",
    )
    for publisher in publishers:
        publisher.stop()
        # There is room for all, in either version; a fast machine may be too fast.
        assert all(text.startswith("rate-limited:") for text in publisher.refusals)
    promised = set[str]().union(*(publisher.answered_true for publisher in publishers))

    relay.start()
    wait_until(
        lambda: not missing(relay, promised), "every promise is kept", seconds=120
    )
    wait_until(lambda: server.api("GET", "/outbox") == [], "nothing waits any more")
