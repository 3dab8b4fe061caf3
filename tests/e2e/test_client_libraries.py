"""Other people's client libraries find one good relay behind the endpoint."""

import asyncio
from datetime import timedelta
from typing import Any

import nostr_sdk
import pytest

from dev.lnbits_server import LnbitsServer
from tests.programs import needs_node, run_json

from .clients import SECONDS, Author, Client, wait_until
from .conftest import Connect

ENDPOINTS = ["public", "private"]


def url_of(lnbits: LnbitsServer, endpoint: str) -> str:
    """Give the URL of an endpoint."""
    return lnbits.public_url if endpoint == "public" else lnbits.private_url()


# --- nostrmarket: websocket-client, one REQ of five filters, then only listening


@pytest.mark.parametrize("urlsafe", [True, False])
def test_nostrmarket_gets_stored_and_live_events(
    lnbits: LnbitsServer, connect: Connect, urlsafe: bool
) -> None:
    merchant, customer = Author(), Author()
    product = merchant.event("{}", kind=30017, tags=[["d", "stall"]])
    customer_client: Client = connect(name="customer")
    assert customer_client.publish(product)[0] is True

    path = lnbits.private_id(urlsafe=urlsafe)
    market = connect(
        f"ws://localhost:{lnbits.port}/nostrclient/api/v1/{path}", "market"
    )
    subscription_id = "nostrmarket-" + "x" * 22
    stored = market.subscribe(
        subscription_id,
        {"kinds": [4], "#p": [merchant.pubkey]},
        {"kinds": [4], "authors": [merchant.pubkey]},
        {"kinds": [30017], "authors": [merchant.pubkey]},
        {"kinds": [30018], "authors": [merchant.pubkey]},
        {"kinds": [0], "authors": [merchant.pubkey]},
    )
    assert stored == [product]

    order = customer.event("secret", kind=4, tags=[["p", merchant.pubkey]])
    assert customer_client.publish(order)[0] is True
    assert market.expect("EVENT", subscription_id)[2] == order


def test_nostrmarket_without_a_merchant_sends_empty_lists(
    lnbits: LnbitsServer, connect: Connect
) -> None:
    market = connect(lnbits.private_url())
    stored = market.subscribe(
        "nostrmarket-empty",
        {"kinds": [4], "#p": []},
        {"kinds": [4], "authors": []},
        {"kinds": [0], "authors": []},
    )
    assert stored == []
    assert market.open
    assert market.count("CLOSED") == 0


# --- rust-nostr's client


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_nostr_sdk_publishes_fetches_and_listens(
    lnbits: LnbitsServer, endpoint: str
) -> None:
    url = nostr_sdk.RelayUrl.parse(url_of(lnbits, endpoint))
    keys = nostr_sdk.Keys.generate()
    client = nostr_sdk.Client(nostr_sdk.NostrSigner.keys(keys))
    await client.add_relay(url)
    await client.connect()
    patience = timedelta(seconds=SECONDS)
    mine = nostr_sdk.Filter().author(keys.public_key())

    first = await client.send_event_builder(nostr_sdk.EventBuilder.text_note("first"))
    assert first.success == [url]
    assert first.failed == {}

    fetched = await client.fetch_events(mine, patience)
    assert [event.id().to_hex() for event in fetched.to_vec()] == [first.id.to_hex()]

    heard: list[str] = []

    class Listener(nostr_sdk.HandleNotification):
        async def handle_msg(self, relay_url: Any, msg: Any) -> None:
            pass

        async def handle(
            self, relay_url: Any, subscription_id: Any, event: Any
        ) -> None:
            heard.append(event.id().to_hex())

    listening = asyncio.create_task(client.handle_notifications(Listener()))
    await client.subscribe(mine)
    second = await client.send_event_builder(nostr_sdk.EventBuilder.text_note("second"))
    assert second.failed == {}

    # The library does not notify about what it published itself; another does.
    other: Author = Author()
    await client.subscribe(
        nostr_sdk.Filter().author(nostr_sdk.PublicKey.parse(other.pubkey))
    )
    sent = other.event("from somebody else")
    publisher = Client(url_of(lnbits, endpoint))
    assert publisher.publish(sent)[0] is True
    await asyncio.to_thread(wait_until, lambda: sent["id"] in heard, "it is heard")
    publisher.close()

    assert heard.count(sent["id"]) == 1
    await client.shutdown()
    listening.cancel()


# --- nostr-tools


@needs_node
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_nostr_tools_simple_pool(lnbits: LnbitsServer, endpoint: str) -> None:
    url = url_of(lnbits, endpoint)
    result = run_json("node", "tests/e2e/nostr_tools.mjs", url)
    stored, live = result["stored"], result["live"]
    assert result["seen"] == [["EVENT", stored], ["EOSE"], ["EVENT", live]]
    assert sorted(result["found"]) == sorted([stored, live])
