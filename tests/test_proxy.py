"""The connection that tests break: it leaves nothing behind itself."""

import asyncio
import socket

from dev.ports import HOST
from dev.proxy import LoopThread, Proxy
from tests.e2e.clients import wait_until


def test_connection_made_while_frozen_ends_with_the_proxy() -> None:
    loop = LoopThread()
    try:
        proxy = Proxy(9, loop)
        before = loop.call(asyncio.all_tasks)
        proxy.freeze()
        with socket.create_connection((HOST, proxy.port)):
            wait_until(lambda: proxy.open == 1, "it is accepted")
            proxy.close()
            wait_until(lambda: proxy.open == 0, "it is gone")
        left = {task.get_coro() for task in loop.call(asyncio.all_tasks) - before}
        assert not [task for task in left if "_accept" in repr(task)]
    finally:
        loop.close()
