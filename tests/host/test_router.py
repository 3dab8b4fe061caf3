"""One client's WebSocket, where its other end is one of our own making."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from fastapi import WebSocket

from nostrclient import router
from nostrclient.nostr import clock
from nostrclient.nostr.client.client import NostrClient
from nostrclient.nostr.delivery import Delivery, Reply
from nostrclient.nostr.event import Event
from nostrclient.nostr.mailbox import Mailbox
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.router import NostrRouter, nostr_client
from tests.nostr.builders import KEY, made


class BusyClient:
    """Asks for two things; whenever it is sent something, more of the first comes."""

    _receive = None

    def __init__(self, client: NostrClient) -> None:
        self.pool = client.relay_manager.message_pool
        self.requests = [["REQ", "busy", {"kinds": [1]}], ["REQ", "quiet", {}]]
        self.received: list[list[Any]] = []
        self.served: router.NostrRouter | None = None

    async def accept(self, **_: object) -> None:
        pass

    async def close(self, *_: object) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        if not self.requests:
            await asyncio.Event().wait()
        return {"type": "websocket.receive", "text": json.dumps(self.requests.pop(0))}

    async def send_text(self, text: str) -> None:
        self.received.append(json.loads(text))
        assert self.served is not None
        touched: set[Mailbox] = set()
        self.pool.deliver(self.served.subscriptions[:1], made(), "wss://a", touched)
        for mailbox in touched:
            mailbox.flush()
        await asyncio.sleep(0.001)


async def test_d4_an_eose_does_not_wait_until_nothing_else_is_to_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = NostrClient(replace(DEFAULTS, eose_seconds=0.1, eose_max_seconds=0.2))
    monkeypatch.setattr(router, "nostr_client", client)
    websocket = BusyClient(client)
    websocket.served = router.NostrRouter(websocket)  # type: ignore[arg-type]
    running = asyncio.create_task(websocket.served.run())
    try:
        for _ in range(200):
            await asyncio.sleep(0.01)
            if ["EOSE", "quiet"] in websocket.received:
                break
        assert websocket.received.count(["EOSE", "quiet"]) == 1
        assert sum(message[0] == "EVENT" for message in websocket.received) > 10
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class DeafClient:
    """Asks for everything and reads nothing of it."""

    _receive = None

    def __init__(self) -> None:
        self.asked = False
        self.closed: list[tuple[int, str]] = []

    async def accept(self, **_: object) -> None:
        pass

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    async def receive(self) -> dict[str, str]:
        if self.asked:
            await asyncio.Event().wait()
        self.asked = True
        return {"type": "websocket.receive", "text": '["REQ","all",{}]'}

    async def send_text(self, _: str) -> None:
        await asyncio.Event().wait()


async def test_b7_client_that_does_not_read_is_closed_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = NostrClient(replace(DEFAULTS, mailbox_bytes=20_000))
    monkeypatch.setattr(router, "nostr_client", client)
    websocket = DeafClient()
    served = router.NostrRouter(websocket)  # type: ignore[arg-type]
    running = asyncio.create_task(served.run())
    pool = client.relay_manager.message_pool
    while not running.done():
        touched: set[Mailbox] = set()
        pool.deliver(served.subscriptions, made(), "wss://a", touched)
        for mailbox in touched:
            mailbox.flush()
        await asyncio.sleep(0)
    assert websocket.closed == [(1013, "too slow: too much data was waiting")]
    assert served not in router.all_routers
    assert client.relay_manager.subscription_count == 0
    assert pool.feed_count == pool.budget.used_bytes == 0


class QuietClient:
    """Sends messages that need no answer."""

    _receive = None

    def __init__(self, messages: int) -> None:
        self.messages = messages

    async def accept(self, **_: object) -> None:
        pass

    async def close(self, *_: object) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        if self.messages:
            self.messages -= 1
            return {"type": "websocket.receive", "text": '["CLOSE","unknown"]'}
        return {"type": "websocket.disconnect"}


async def test_b7_sender_is_not_woken_by_messages_that_need_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = 0

    def count_pass(_: Mailbox) -> list[Delivery]:
        nonlocal passes
        passes += 1
        return []

    monkeypatch.setattr(router, "nostr_client", NostrClient())
    monkeypatch.setattr(Mailbox, "take_all", count_pass)
    await router.NostrRouter(QuietClient(50)).run()  # type: ignore[arg-type]
    assert passes == 0


@pytest.mark.parametrize(
    ("is_public", "url", "accepted"),
    [
        (True, "wss://relay.example/", True),
        (True, "wss://lnbits.example/nostrclient/api/v1/relay", True),
        (True, "wss://other.example", False),
        (False, "wss://relay.example", False),
    ],
)
async def test_h5_auth_may_name_the_public_endpoint_s_own_address(
    monkeypatch: pytest.MonkeyPatch, is_public: bool, url: str, accepted: bool
) -> None:
    monkeypatch.setattr(NostrRouter, "public_url", "wss://relay.example")
    monkeypatch.setattr(
        type(nostr_client.relay_manager), "challenges_clients", property(lambda _: True)
    )

    async def unused(*_: object) -> Any:
        raise AssertionError

    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/nostrclient/api/v1/relay",
        "query_string": b"",
        "headers": [(b"host", b"lnbits.example")],
        "server": ("127.0.0.1", 5000),
    }
    client = NostrRouter(WebSocket(scope, unused, unused), is_public=is_public)
    client._challenge()
    [reply] = client._mailbox.take_all()
    assert isinstance(reply, Reply)
    _, challenge = json.loads(reply.text)
    event = Event(
        content="", kind=22242, tags=[["relay", url], ["challenge", challenge]]
    )
    KEY.sign_event(event)
    text = json.dumps(["AUTH", event.to_dict()])
    answer = client._session.receive(text, clock.now(), clock.wall())[0]
    assert isinstance(answer, str)
    assert json.loads(answer)[2] is accepted
