"""The client that other extensions import, and its callbacks (G3)."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from nostrclient.nostr.client.client import MAX_AT_ONCE, NostrClient
from nostrclient.nostr.delivery import Notice
from nostrclient.nostr.in_process import NoticeMessage


async def test_g3_notices_wake_the_event_loop_once_however_many_they_are() -> None:
    client = NostrClient()
    queues = client.relay_manager.message_pool.in_process
    loop = asyncio.get_running_loop()
    scheduled: list[object] = []
    received: list[NoticeMessage] = []
    schedule = loop.call_soon_threadsafe

    def counted(callback: Callable[..., object], *arguments: Any) -> asyncio.Handle:
        scheduled.append(callback)
        return schedule(callback, *arguments)

    task = asyncio.create_task(client.subscribe(None, received.append, None))
    await asyncio.sleep(0)
    loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]
    for _ in range(5):
        scheduled.clear()
        before = len(received)

        def flood() -> None:
            for number in range(1000):
                queues.put(Notice("wss://a", f"{number}"))

        thread = threading.Thread(target=flood)
        thread.start()
        thread.join()  # the event loop is busy meanwhile
        assert len(scheduled) == 1
        for _ in range(1000):
            await asyncio.sleep(0)
        assert [item.content for item in received[before:]] == [
            f"{number}" for number in range(1000)
        ]
    client.close()
    await asyncio.wait_for(task, 5)


async def test_g3_others_have_their_turn_while_many_messages_are_called_back() -> None:
    client = NostrClient()
    queues = client.relay_manager.message_pool.in_process
    seen: list[int] = []
    turns: list[int] = []

    async def other() -> None:
        while len(seen) < 10 * MAX_AT_ONCE:
            turns.append(len(seen))
            await asyncio.sleep(0)

    for number in range(10 * MAX_AT_ONCE):
        queues.put(Notice("wss://a", f"{number}"))
    task = asyncio.create_task(
        client.subscribe(None, lambda notice: seen.append(int(notice.content)))
    )
    await asyncio.wait_for(other(), 5)
    assert len(turns) >= 5
    assert seen == list(range(10 * MAX_AT_ONCE))
    client.close()
    await asyncio.wait_for(task, 5)
