"""H5: other people's client libraries authenticate to the endpoint (NIP-42).

A relay gives gift wraps to their authenticated recipient only, and nostrclient has the
recipient's key. Whoever proves to have that key, too, gets the messages through us.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import nostr_sdk
import pytest

from dev.lnbits_server import LnbitsServer
from dev.proxy import LoopThread
from nostrclient.nostr.key import PrivateKey
from tests.faults.odd_relay import OddRelay
from tests.faults.profiles import profile
from tests.programs import NodeProgram, needs_node

from .clients import QUIET_SECONDS, Author, wait_until
from .conftest import Connect, connected_urls


class Library(Protocol):
    """A client library that listens for somebody's gift wraps."""

    def events(self) -> list[str]:
        """Return the ids of the gift wraps that it got."""
        ...

    def close(self) -> None:
        """Disconnect."""


class NodeLibrary:
    """A library in Node.js; ready when it has authenticated and got EOSE."""

    def __init__(self, program: str, url: str, author: Author, recipient: str) -> None:
        secret = PrivateKey.from_nsec(author.nsec).hex()
        self._program = NodeProgram(program, url, secret, recipient)
        try:
            self._program.receive("authenticated")
            self._program.receive("eose")
        except BaseException:
            self.close()  # it would come back again and again
            raise

    def events(self) -> list[str]:
        self._program.send("events")
        found: list[str] = self._program.receive("events")
        return found

    def close(self) -> None:
        self._program.__exit__(None, None, None)


class NostrSdk(nostr_sdk.HandleNotification):
    """rust-nostr's client; ready when it has authenticated and got EOSE."""

    def __init__(
        self, loop: LoopThread, url: str, author: Author, recipient: str
    ) -> None:
        self._loop = loop
        self._found: list[str] = []
        self._oks: list[tuple[bool, str]] = []
        self._eoses = 0
        loop.run(self._connect(url, author, recipient))
        wait_until(lambda: bool(self._oks), "AUTH is answered")
        assert self._oks == [(True, "")]
        wait_until(lambda: self._eoses > 0, "EOSE comes")

    async def _connect(self, url: str, author: Author, recipient: str) -> None:
        keys = nostr_sdk.Keys.parse(author.nsec)
        self._client = nostr_sdk.Client(nostr_sdk.NostrSigner.keys(keys))
        await self._client.add_relay(nostr_sdk.RelayUrl.parse(url))
        self._listening = asyncio.create_task(self._client.handle_notifications(self))
        await asyncio.sleep(0)
        await self._client.connect()
        kind = nostr_sdk.Kind(1059)
        recipient_key = nostr_sdk.PublicKey.parse(recipient)
        wanted = nostr_sdk.Filter().kind(kind).pubkey(recipient_key)
        await self._client.subscribe(wanted)

    async def handle_msg(self, relay_url: Any, msg: Any) -> None:
        message = msg.as_enum()
        if message.is_ok():
            self._oks.append((message.status, message.message))
        elif message.is_end_of_stored_events():
            self._eoses += 1

    async def handle(self, relay_url: Any, subscription_id: Any, event: Any) -> None:
        self._found.append(event.id().to_hex())

    def events(self) -> list[str]:
        return list(self._found)

    def close(self) -> None:
        self._loop.run(self._client.shutdown())
        with suppress(asyncio.CancelledError):
            self._loop.call(self._listening.cancel)


Open = Callable[..., Library]
LIBRARIES = [
    pytest.param("nostr_sdk"),
    pytest.param("auth_nostr_tools.mjs", marks=needs_node),
    pytest.param("auth_ndk.mjs", marks=needs_node),
]


@pytest.fixture(scope="module")
def loop_thread() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def open_library(loop_thread: LoopThread) -> Iterator[Open]:
    """Connects a library as somebody who listens for a recipient's gift wraps."""
    opened: list[Library] = []

    def connect(name: str, url: str, author: Author, recipient: str) -> Library:
        found: Library = (
            NostrSdk(loop_thread, url, author, recipient)
            if name == "nostr_sdk"
            else NodeLibrary(name, url, author, recipient)
        )
        opened.append(found)
        return found

    yield connect
    for library in opened:
        library.close()


@pytest.fixture
def recipient(lnbits: LnbitsServer) -> Iterator[Author]:
    """Somebody whose reader key nostrclient has."""
    author = Author()
    lnbits.api("POST", "/identities", {"nsec": author.nsec, "label": "shop"})
    yield author
    lnbits.api("DELETE", "/identities", {"pubkey": author.pubkey})


@pytest.fixture
def guarding(
    lnbits: LnbitsServer, loop_thread: LoopThread, recipient: Author
) -> Iterator[OddRelay]:
    """A relay that gives gift wraps to their authenticated recipient only."""
    relay = OddRelay(loop_thread, profile("strfry"))
    lnbits.api("POST", "/relay", {"url": relay.url})
    wait_until(lambda: relay.url in connected_urls(lnbits), "it is connected")
    yield relay
    lnbits.api("DELETE", "/relay", {"url": relay.url})
    relay.close()


def wrap(recipient: Author) -> dict[str, Any]:
    return Author().event("sealed", kind=1059, tags=[["p", recipient.pubkey]])


def awkward_private_url(lnbits: LnbitsServer) -> str:
    """Return a private URL whose id has characters that URLs may encode."""
    while True:
        name = lnbits.private_id(urlsafe=False)
        if "+" in name and "/" in name and "//" not in name:
            return f"{lnbits.websocket_url}/{name}"


@pytest.mark.parametrize("name", LIBRARIES)
def test_h5_owner_gets_private_messages_on_the_public_endpoint_and_a_stranger_none(
    lnbits: LnbitsServer,
    guarding: OddRelay,
    recipient: Author,
    open_library: Open,
    name: str,
) -> None:
    stored = wrap(recipient)
    guarding.put(stored)
    owner = open_library(name, f"{lnbits.public_url}/", recipient, recipient.pubkey)
    url = f"{lnbits.public_url}?client=app"
    stranger = open_library(name, url, Author(), recipient.pubkey)
    wait_until(lambda: owner.events() == [stored["id"]], "the stored one arrives")
    live = wrap(recipient)
    guarding.put(live)
    both = [stored["id"], live["id"]]
    wait_until(lambda: owner.events() == both, "the live one arrives")
    with pytest.raises(AssertionError):
        wait_until(lambda: bool(stranger.events()), "nothing", QUIET_SECONDS)


@pytest.mark.parametrize("name", LIBRARIES)
def test_h5_client_of_the_private_endpoint_authenticates_and_gets_the_messages(
    lnbits: LnbitsServer,
    guarding: OddRelay,
    recipient: Author,
    open_library: Open,
    name: str,
) -> None:
    stored = wrap(recipient)
    guarding.put(stored)
    url = awkward_private_url(lnbits)
    client = open_library(name, url, Author(), recipient.pubkey)
    wait_until(lambda: client.events() == [stored["id"]], "the stored one arrives")


def test_h8_rest_and_metrics_name_the_keys_that_a_relay_wants(
    lnbits: LnbitsServer, guarding: OddRelay, recipient: Author, connect: Connect
) -> None:
    nobody = Author()
    client = connect(lnbits.private_url())
    for author in (recipient, nobody):
        client.send("REQ", author.pubkey, {"kinds": [1059], "#p": [author.pubkey]})

    def keys() -> list[dict[str, Any]]:
        relays = {relay["url"]: relay for relay in lnbits.api("GET", "/relays")}
        found: list[dict[str, Any]] = relays[guarding.url]["status"]["wanted_keys"]
        return found

    def wanted() -> dict[str, tuple[bool, str]]:
        # Those of this test: a library of an earlier one may have come back once more.
        of_this_test = (recipient.pubkey, nobody.pubkey)
        return {
            key["pubkey"]: (key["held"], key["auth"])
            for key in keys()
            if key["pubkey"] in of_this_test
        }

    def counted() -> bool:
        known = Counter(key["held"] for key in keys())
        metrics = lnbits.http.get("/nostrclient/api/v1/metrics").text
        name = f'nostrclient_relay_withheld_keys{{relay="{guarding.url}",held='
        return all(
            f'{name}"{word}"}} {known[held]}\n' in metrics
            for held, word in ((True, "true"), (False, "false"))
        )

    expected = {recipient.pubkey: (True, "accepted"), nobody.pubkey: (False, "no_key")}
    wait_until(lambda: wanted() == expected, "both keys are named")
    wait_until(counted, "the metrics count them")
    guarding.habits.service_url = ""
    guarding.disconnect()
    refused = {**expected, recipient.pubkey: (True, "refused")}
    wait_until(lambda: wanted() == refused, "AUTH is refused")
