"""Upgrade a running LNbits under load, and look for lost events.

    python -m dev.upgrade FOLDER

FOLDER is the unpacked source of an earlier nostrclient: upstream's 1.0.1, or an earlier
commit of this repository. LNbits runs with it while clients publish and read over the
private endpoint and the only relay comes and goes. Then LNbits installs this checkout,
as its page for extensions does. A client that gets no answer publishes again, like
those of wallets and shops do. In the end each event must be on the relay, and the
reader must have had each.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from websocket import WebSocketException

from tests.dropin.catalogue import Catalogue
from tests.e2e.clients import Author, Client, RefusedError
from tests.faults.odd_relay import OddRelay

from . import release
from .lnbits_server import LnbitsServer
from .paths import EXTENSION_ID
from .proxy import LoopThread

PUBLISHERS = 4
ANSWER_SECONDS = 4.0
"""How long a client waits for OK before it publishes the event again."""

EVENTS_PER_SECOND = 10.0
OVERLAP_SECONDS = 30

Failure = (OSError, WebSocketException, AssertionError, RefusedError)


class Load:
    """Clients that publish and read until they are told to stop."""

    def __init__(self, server: LnbitsServer) -> None:
        self._server = server
        self._author = Author()
        self._sent_all = threading.Event()
        self._read_all = threading.Event()
        self.answered: dict[str, tuple[bool, str]] = {}
        self.sent: set[str] = set()
        self.again = 0
        self.read: Counter[str] = Counter()
        self.connections = 0
        publishers = [
            threading.Thread(target=self._publish, daemon=True)
            for _ in range(PUBLISHERS)
        ]
        self._publishers = publishers
        self._reader = threading.Thread(target=self._read, daemon=True)
        for thread in (*publishers, self._reader):
            thread.start()

    def stop(self) -> None:
        """Stop publishing; return once everything was answered."""
        self._sent_all.set()
        for thread in self._publishers:
            thread.join(60)

    def stop_reading(self) -> None:
        """Stop reading."""
        self._read_all.set()
        self._reader.join(20)

    def _connect(self) -> Client:
        while True:
            try:
                client = Client(self._server.private_url())
            except Failure:
                time.sleep(0.1)
            else:
                self.connections += 1
                return client

    def _publish(self) -> None:
        client = self._connect()
        while not self._sent_all.is_set():
            event = self._author.event(str(random.random()))  # noqa: S311  # no secret
            while event["id"] not in self.answered:
                self.again += event["id"] in self.sent
                self.sent.add(event["id"])
                try:
                    client.send("EVENT", event)
                    answer = client.expect("OK", event["id"], seconds=ANSWER_SECONDS)
                    self.answered[event["id"]] = answer[2], answer[3]
                except Failure:
                    if not client.open:
                        client = self._connect()
                    elif self._sent_all.is_set():
                        break  # the version that runs answers nothing
            time.sleep(1 / EVENTS_PER_SECOND)
        client.close()

    def _read(self) -> None:
        since = int(time.time())
        while not self._read_all.is_set():
            client = self._connect()
            wanted = {"authors": [self._author.pubkey], "since": since}
            try:
                client.send("REQ", "all", wanted)
                while client.open and not self._read_all.is_set():
                    try:
                        message = client.receive("anything", 0.5)
                    except AssertionError:
                        continue
                    if message[0] == "EVENT":
                        since = int(time.time()) - OVERLAP_SECONDS
                        self.read[message[2]["id"]] += 1
            except Failure:
                pass
            client.close()


def run(source: Path, folder: Path, seconds: float) -> bool:
    """Run LNbits with the old version, upgrade it under load, and report."""
    old = folder / "lnbits" / "extensions" / EXTENSION_ID
    shutil.copytree(source, old)
    config = old / "config.json"
    version = json.loads(config.read_text()).get("version", "without a version")
    loop = LoopThread()
    relay = OddRelay(loop)
    flapping = threading.Event()

    def flap() -> None:
        while not flapping.wait(random.uniform(0.5, 3)):  # noqa: S311  # no secret
            relay.refuse()
            flapping.wait(random.uniform(0.5, 2))  # noqa: S311  # no secret
            relay.resume()

    with Catalogue(folder / "catalogue") as catalogue:
        server = LnbitsServer(
            folder / "lnbits",
            extension=None,
            environment={**catalogue.environment, "LNBITS_RATE_LIMIT_NO": "1000000"},
        )
        with server:
            server.http.put(f"/api/v1/extension/{EXTENSION_ID}/enable")
            server.api("GET", "/config")  # upstream lets nobody in before
            server.api("POST", "/relay", {"url": relay.url})
            load = Load(server)
            time.sleep(seconds / 2)
            flapper = threading.Thread(target=flap, daemon=True)
            flapper.start()
            time.sleep(seconds / 2)
            if not load.connections:
                print(server.printed()[-3000:])
                raise ChildProcessError(f"{source} lets no client in")
            before = dict(load.answered)
            began = time.monotonic()
            entry = catalogue.offer(release.build(folder / "zip"))
            built = time.monotonic()
            catalogue.install(server, entry)
            installed = time.monotonic()
            time.sleep(seconds)
            flapping.set()
            flapper.join()
            relay.resume()
            load.stop()
            good = _report(load, relay, server, before)
            print(
                f"from {version}, built in {built - began:.1f} s,"
                f" installed in {installed - built:.1f} s"
            )
    relay.close()
    loop.close()
    return good


def _report(
    load: Load,
    relay: OddRelay,
    server: LnbitsServer,
    before: dict[str, tuple[bool, str]],
) -> bool:
    true = {name for name, (accepted, _) in load.answered.items() if accepted}
    stored: set[str] = set()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        stored = {event["id"] for event in list(relay.events)}
        if true <= stored and stored <= load.read.keys():
            break
        time.sleep(0.2)
    load.stop_reading()
    lost, unread = true - stored, stored - load.read.keys()
    false = Counter(
        message for accepted, message in load.answered.values() if not accepted
    )
    queued = sum(text.startswith("queued:") for _, text in load.answered.values())
    status: dict[str, Any] = server.api("GET", "/status")
    rows = {
        "published": len(load.sent),
        "published again for want of an answer": load.again,
        "connections of clients": load.connections,
        "answered true before the upgrade": sum(ok for ok, _ in before.values()),
        "answered true": len(true),
        "of them queued": queued,
        "answered false": dict(false),
        "still waiting": status["outbox_waiting"],
        "undeliverable": status["outbox_undeliverable"],
        "lost": len(lost),
        "on the relay, but never read": len(unread),
    }
    for name, value in rows.items():
        print(f"{name:40}{value}")
    return not (lost or unread or status["outbox_waiting"])


def main() -> int:
    """Run; 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description="Upgrade LNbits under load.")
    parser.add_argument("source", type=Path, help="the earlier version's folder")
    parser.add_argument("--seconds", type=float, default=20, help="before and after")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nostrclient-upgrade-") as folder:
        good = run(arguments.source, Path(folder), arguments.seconds)
        if not good:
            kept = Path(tempfile.gettempdir()) / "nostrclient-upgrade.log"
            shutil.copy(Path(folder) / "lnbits" / "lnbits.log", kept)
            print(f"FAILED; LNbits' log: {kept}")
            return 1
    print("Nothing was lost.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
