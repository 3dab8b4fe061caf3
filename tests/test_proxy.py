"""The connection that tests break: it leaves nothing behind itself."""

import asyncio
import socket

from dev.ports import HOST
from dev.proxy import LoopThread, Proxy
from tests.e2e.clients import wait_until


def test_who_connects_while_nothing_flows_is_gone_once_it_is_closed() -> None:
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
