"""Rule H2: reader keys and nostrmarket's merchants, on SQLite and PostgreSQL."""

from contextlib import closing
from pathlib import Path
from typing import Any

from dev.lnbits_server import LnbitsServer
from nostrclient.nostr.key import PrivateKey
from tests.e2e.clients import wait_until

from .databases import Database

MERCHANTS = """
    CREATE TABLE nostrmarket.merchants (
        user_id TEXT NOT NULL, id TEXT PRIMARY KEY, private_key TEXT NOT NULL,
        public_key TEXT NOT NULL, meta TEXT NOT NULL DEFAULT '{}'
    )
"""


def add_merchant(database: Database, name: str, key: PrivateKey) -> None:
    """Insert a merchant as nostrmarket does."""
    database.rows(
        "INSERT INTO nostrmarket.merchants (user_id, id, private_key, public_key)"
        " VALUES ('user', $1, $2, $3)",
        name,
        key.hex(),
        key.public_key.hex(),
    )


def status(server: LnbitsServer, method: str, path: str, body: Any) -> int:
    """Call the REST interface and return the status."""
    url = f"/nostrclient/api/v1{path}"
    return server.http.request(method, url, json=body).status_code


def test_h2_reader_keys_and_merchants_are_managed_over_rest(
    database: Database, tmp_path: Path
) -> None:
    environment = {**database.environment, "LNBITS_RATE_LIMIT_NO": "1000000"}
    server = LnbitsServer(tmp_path, environment=environment)
    shop, wallet, merchant = PrivateKey(), PrivateKey(), PrivateKey()
    shown = {
        "npub": shop.public_key.bech32(),
        "pubkey": shop.public_key.hex(),
        "label": "my <b>shop</b>",
    }
    server.start()
    try:
        assert server.api("GET", "/identities") == []
        body = {"nsec": f" {shop.bech32()} ", "label": " my <b>shop</b> "}
        assert server.api("POST", "/identities", body) == shown
        assert status(server, "POST", "/identities", {"nsec": shop.hex()}) == 409
        assert status(server, "POST", "/identities", {"nsec": "nsec1x"}) == 400
        assert status(server, "POST", "/identities", {}) == 400
        server.api("PUT", "/identity", {"nsec": wallet.bech32()})
        assert status(server, "POST", "/identities", {"nsec": wallet.hex()}) == 409
        server.api("DELETE", "/identity")
        server.api("POST", "/identities", {"nsec": wallet.hex()})
        assert len(server.api("GET", "/identities")) == 2
        gone = {"pubkey": wallet.public_key.hex()}
        assert server.api("DELETE", "/identities", gone) == [shown]
        assert status(server, "DELETE", "/identities", gone) == 404
        assert status(server, "DELETE", "/identities", {"pubkey": "x"}) == 400
        with closing(server.new_user()) as user:
            for method in ("GET", "POST", "DELETE"):
                path = "/nostrclient/api/v1/identities"
                assert user.request(method, path, json=body).status_code == 403

        none = {"enabled": False, "merchants": []}
        assert server.api("GET", "/merchants") == none
        database.create_schema("nostrmarket")
        assert server.api("GET", "/merchants") == none
        database.rows(MERCHANTS)
        add_merchant(database, "one", merchant)
        listed = {
            "npub": merchant.public_key.bech32(),
            "pubkey": merchant.public_key.hex(),
        }
        off = {"enabled": False, "merchants": [listed]}
        on = {"enabled": True, "merchants": [listed]}
        assert server.api("GET", "/merchants") == off
        assert server.api("PUT", "/merchants", {"enabled": True}) == on

        server.kill()
        server.start()
        wait_until(  # they are loaded while LNbits serves already
            lambda: server.api("GET", "/identities") == [shown], "the keys are loaded"
        )
        wait_until(lambda: server.api("GET", "/merchants") == on, "so is the switch")
        assert server.api("GET", "/config").keys() == {"private_ws", "public_ws"}
        server.api("PUT", "/config", {"public_ws": True})
        assert server.api("GET", "/merchants") == on
        assert server.api("PUT", "/merchants", {"enabled": False}) == off

        rows = database.rows("SELECT * FROM nostrclient.identities")
        configs = database.rows("SELECT * FROM nostrclient.config")
        text = f"{rows}{configs}{server.printed()}"
        for key in (shop, wallet, merchant):
            assert key.hex() not in text
            assert key.bech32() not in text
        assert shop.public_key.hex() in text
    finally:
        server.stop()
