"""NostrClient: the running singleton that other extensions import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .. import clock
from ..errors import InvalidMessage
from ..event import SignedEvent
from ..in_process import EndOfStoredEventsMessage, EventMessage, NoticeMessage
from ..log import logger
from ..relay_manager import RelayManager
from ..relay_url import normalize_relay_url
from ..settings import Settings

# The names for other extensions: docs/extensions.md.
__all__ = ["NostrClient"]

Item = TypeVar("Item")
QUERY_EVENTS = 500  # of a filter without `limit`
MAX_AT_ONCE = 100  # messages of a queue, before LNbits has its turn
OnEvent = Callable[[EventMessage], object]
OnNotice = Callable[[NoticeMessage], object]
OnEose = Callable[[EndOfStoredEventsMessage], object]


class NostrClient:
    """The relays, and the messages of subscriptions opened in this process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.relay_manager = RelayManager(settings)
        self.running = True
        self._wakes: set[Callable[[], None]] = set()
        self.relay_manager.message_pool.in_process.wake = self._wake

    def connect(self, relays: Iterable[str]) -> None:
        """Add relays and connect to them; one that cannot be added is logged."""
        self.running = True
        for url in relays:
            try:
                self.relay_manager.add_relay(url)
            except ValueError as error:
                logger.warning(f"relay {url!r} is left out: {error}")
        self.relay_manager.start()

    def reconnect(self, relays: Iterable[str]) -> None:
        """Connect to these relays and no others."""
        self.relay_manager.remove_relays()
        self.connect(relays)

    def close(self) -> None:
        """End all connections and all `subscribe` calls; `connect` begins anew.

        Blocks until the relays' threads have ended, at most `stop_seconds`.
        """
        self.running = False
        self._wake()
        self.relay_manager.stop()

    async def subscribe(
        self,
        callback_events_func: OnEvent | None = None,
        callback_notices_func: OnNotice | None = None,
        callback_eosenotices_func: OnEose | None = None,
    ) -> None:
        """Call back for every message of a subscription opened in this process.

        Runs until `close`. A callback that raises is logged, and its message given up.
        """
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        is_woken = False

        def wake() -> None:
            # Once until the queues are drained: a relay may send many NOTICEs a second.
            nonlocal is_woken
            if is_woken:
                return
            is_woken = True
            try:
                loop.call_soon_threadsafe(arrived.set)
            except RuntimeError:  # the loop ended without cancelling this task
                self._wakes.discard(wake)

        pool = self.relay_manager.message_pool
        self._wakes.add(wake)
        try:
            while self.running:
                arrived.clear()
                is_woken = False  # before draining: what comes meanwhile wakes again
                has_more = (
                    _drain(pool.has_events, pool.get_event, callback_events_func),
                    _drain(pool.has_notices, pool.get_notice, callback_notices_func),
                    _drain(
                        pool.has_eose_notices,
                        pool.get_eose_notice,
                        callback_eosenotices_func,
                    ),
                )
                if any(has_more):
                    await asyncio.sleep(0)  # LNbits first
                    continue
                await arrived.wait()
        finally:
            self._wakes.discard(wake)

    async def query(
        self,
        filters: Sequence[dict[str, Any]],
        relays: Iterable[str],
        seconds: float = 9.5,
    ) -> list[str]:
        """Return the stored events of these relays, as JSON text, newest first.

        The relays need not be configured; see `docs/extensions.md`. It takes `seconds`
        at most. Raises a `ValueError` for a filter or a relay that is not allowed, and
        `TooManyQueriesError`.
        """
        manager = self.relay_manager
        urls = {normalize_relay_url(url) for url in relays}
        if not 0 < len(urls) <= manager.settings.http_named_relays:
            raise InvalidMessage("too many relays, or none")
        for url in urls:
            manager.named.check(url)
        wanted = [{"limit": QUERY_EVENTS, **filter_} for filter_ in filters]
        events: list[SignedEvent] = []
        await manager.named_queries.ask(
            urls,
            wanted,
            manager.settings,
            clock.now() + seconds,
            public_only=manager.named.public_only(),
            found=events.append,
        )
        events.sort(key=lambda event: (-event.created_at, event.id))
        return [event.text for event in events]

    def _wake(self) -> None:
        for wake in list(self._wakes):
            wake()


def _drain(
    has_item: Callable[[], bool],
    get_item: Callable[[], Item],
    callback: Callable[[Item], object] | None,
) -> bool:
    """Call back for the items of a queue; return whether there may be more of them."""
    for _ in range(MAX_AT_ONCE):
        try:
            if not has_item():
                return False
            item = get_item()
        except IndexError:  # somebody else polls the same queue
            return False
        if callback is None:
            continue
        try:
            callback(item)
        except Exception:  # noqa: BLE001  # somebody else's code
            logger.exception("a nostrclient callback failed; its message is given up")
    return True
