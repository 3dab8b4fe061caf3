"""Other people's client libraries publish, lose the connection, and pay."""

import importlib.metadata
import json
import re
import secrets
import sys
import time
from collections.abc import Iterator

import pytest

from dev import matrix
from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay
from dev.paths import CHECKOUT
from tests.e2e.clients import Author, Client, wait_until
from tests.e2e.conftest import connected_urls
from tests.programs import NodeProgram, needs_node, run_json

from .wallet import Wallet

COMPATIBILITY = CHECKOUT / "docs" / "compatibility.md"


@pytest.fixture(scope="module")
def lnbits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LnbitsServer]:
    """An LNbits with both endpoints open and two relays."""
    folder = tmp_path_factory.mktemp("clients")
    relays = [LocalRelay(log=folder / f"{number}.log") for number in range(2)]
    with relays[0], relays[1], LnbitsServer(folder / "lnbits") as server:
        server.api("PUT", "/config", {"public_ws": True})
        for relay in relays:
            server.api("POST", "/relay", {"url": relay.url})
        wait_until(lambda: len(connected_urls(server)) == 2, "both are connected")
        yield server


@needs_node
@pytest.mark.parametrize("program", ["nostr_tools", "ndk", "rx_nostr"])
def test_a_client_publishes_reads_listens_and_comes_back(
    lnbits: LnbitsServer, program: str
) -> None:
    other = Author()
    with NodeProgram(f"{program}.mjs", lnbits.public_url) as client:
        first, _ = client.receive("ok")
        assert client.receive("get") == first
        client.send(other.pubkey)
        second, _ = client.receive("ok")
        client.receive("ready to lose the connection")

        # Some ask afterwards for what is newer than the last event they have, in whole
        # seconds, and NDK never tries again where its first attempt is refused.
        publisher = Client(lnbits.private_url())
        time.sleep(2)
        lnbits.api("PUT", "/config", {"public_ws": False})
        lnbits.api("PUT", "/config", {"public_ws": True})
        missed = [other.event(f"missed {number}") for number in range(3)]
        for event in missed:
            assert publisher.publish(event)[0] is True
        client.send([event["id"] for event in missed])
        third, _ = client.receive("ok")
        end = client.receive("end")
        assert client.wait() == 0
        publisher.close()

    ours = [first, second, third]
    assert sorted(end["found"]) == sorted(ours)
    wanted = {*ours, *(event["id"] for event in missed)}
    assert set(end["seen"]) == wanted
    assert len(end["seen"]) == len(wanted)
    assert end["eoses"] == 1


@needs_node
def test_d4_a_wallet_carries_out_every_payment_once(lnbits: LnbitsServer) -> None:
    wallet = Wallet(lnbits.private_url())
    wait_until(lambda: wallet.eoses == 2, "the wallet listens")
    connection = (
        f"nostr+walletconnect://{wallet.pubkey}"
        f"?relay={lnbits.public_url}&secret={secrets.token_hex(32)}"
    )
    with NodeProgram("alby.mjs", lnbits.public_url, connection) as client:
        assert "pay_invoice" in client.receive("wallet")["capabilities"]
        assert client.receive("info") == "wallet"
        assert client.receive("balance") == 21_000
        client.send("10")
        assert len(client.receive("paid")) == 10

        # The service comes back and looks through what it has not answered.
        wallet.drop_connection()
        wait_until(lambda: wallet.eoses == 4, "the wallet listens again")
        client.send("10")
        assert client.receive("paid") == [
            f"preimage of lnbc-{number}" for number in range(10, 20)
        ]
        client.send("end")
        assert client.receive("end") == 20
        assert client.wait() == 0
    wallet.stop()
    assert wallet.connections == 2
    assert set(wallet.paid) == {f"lnbc-{number}" for number in range(20)}
    assert set(wallet.paid.values()) == {1}
    assert set(wallet.carried_out.values()) == {1}


@needs_node
def test_timeline_12_nostr_fetch_reads_the_history_of_two_relays(
    lnbits: LnbitsServer,
) -> None:
    author = Author()
    now = int(time.time())
    notes = [author.event(f"{at}", created_at=now - 10 * at) for at in range(300)]
    for number, url in enumerate(connected_urls(lnbits)):
        relay = Client(url)
        for note in notes[number::2]:
            assert relay.publish(note)[0] is True
        relay.close()
    program = str(CHECKOUT / "tests" / "dropin" / "clients" / "nostr_fetch.mjs")
    found = run_json("node", program, lnbits.public_url, author.pubkey, "50")
    assert sorted(found) == sorted(note["id"] for note in notes)


@pytest.mark.parametrize("endpoint", ["public", "private"])
def test_pynostr_publishes_and_reads(lnbits: LnbitsServer, endpoint: str) -> None:
    url = lnbits.public_url if endpoint == "public" else lnbits.private_url()
    seen = run_json(sys.executable, "-m", "tests.dropin.clients.pynostr_client", url)
    assert seen["sessions"][1]["events"] == [seen["id"]]
    assert seen["sessions"][1]["eoses"] == 1


def test_the_table_of_clients_names_the_versions_tested() -> None:
    clients = COMPATIBILITY.read_text().split("\n## ")[1]
    assert clients.startswith("Clients\n")
    table = re.findall(
        r"^\| `?([\w@/-]+)`?(?: \(Python\))? +\| (\d\S*) ", clients, re.MULTILINE
    )
    packages = json.loads((CHECKOUT / "package.json").read_text())["devDependencies"]
    assert len(table) == 9
    for name, version in table:
        tested = packages.get(name) or importlib.metadata.version(name.lower())
        assert version == tested, name


def test_the_documents_and_config_name_what_the_matrix_tests() -> None:
    text = COMPATIBILITY.read_text()
    rows = re.findall(r"^\| LNbits (\d\S+) +\|", text, re.MULTILINE)
    assert rows == matrix.LNBITS
    for python in matrix.PYTHONS:
        assert f"| Python {python} " in text
    config = json.loads((CHECKOUT / "config.json").read_text())
    assert config["min_lnbits_version"] == matrix.LNBITS[0]
    assert importlib.metadata.version("lnbits") == matrix.LNBITS[-1]


@needs_node
def test_d4_invoice_is_paid_with_nostr_tools_nip_47(lnbits: LnbitsServer) -> None:
    wallet = Wallet(lnbits.private_url())
    wait_until(lambda: wallet.eoses == 2, "the wallet listens")
    connection = (
        f"nostr+walletconnect://{wallet.pubkey}"
        f"?relay={lnbits.public_url}&secret={secrets.token_hex(32)}"
    )
    program = "nip47_nostr_tools.mjs"
    with NodeProgram(program, lnbits.public_url, connection) as client:
        paid = client.receive("paid")
        assert paid["result"] == {"preimage": "preimage of lnbc-nip47"}
        assert client.wait() == 0
    wallet.stop()
    assert wallet.paid == {"lnbc-nip47": 1}
