"""One relay of the admin's list: its record and its main link.

Every attribute may be read, and every method called, from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from .conversation import RelayOwner
from .limits import RelayLimits
from .relay_link import (
    Count,
    Reconnect,
    RelayLink,
    Subscribe,
    Unsubscribe,
    WakePublisher,
    WantKeys,
    new_id,
)
from .relay_record import RelayRecord
from .relay_subscription import Request
from .settings import Settings

__all__ = ["Relay", "new_id"]


class Relay(RelayRecord):
    """One relay of the admin's list."""

    def __init__(
        self, url: str, owner: RelayOwner, settings: Settings | None = None
    ) -> None:
        settings = settings or Settings()
        super().__init__(url, settings)
        self.counters.figures = owner.message_pool.figures
        self._link = RelayLink(self, owner, settings)

    @property
    def running(self) -> bool:
        """Whether there is a thread, also one that is about to end."""
        return self._link.running

    @property
    def num_subscriptions(self) -> int:
        """How many subscriptions are open on this relay."""
        return self._link.session.subscription_count

    @property
    def limits(self) -> RelayLimits:
        """The limits that we respect on this relay, announced and learned."""
        return self._link.session.limits

    @property
    def learned_limits(self) -> RelayLimits:
        """The limits that the relay has and did not announce."""
        return self._link.session.learned_limits

    @property
    def requests_per_second(self) -> float | None:
        """The pace for REQs that was learned; None while there is no reason for one."""
        return self._link.session.requests_per_second

    def configure(self, settings: Settings) -> None:
        """Apply other settings, to subscriptions from the next start on."""
        super().configure(settings)
        self._link.configure(settings)

    def start(self, requests: Iterable[Request]) -> None:
        """Connect, with these subscriptions open."""
        self._link.start(requests)

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end; return it, so that it can be joined."""
        return self._link.stop()

    def subscribe(self, request: Request) -> None:
        """Open a subscription, or replace the one of the same id."""
        self._link.put(Subscribe(request))

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription."""
        self._link.put(Unsubscribe(upstream_id))

    def count(self, upstream_id: str, filters: list[dict[str, Any]]) -> None:
        """Send COUNT (NIP-45)."""
        self._link.put(Count(upstream_id, filters))

    def wake_publisher(self) -> None:
        """Wake the relay's thread to look for events to publish."""
        self._link.put(WakePublisher())

    def retry_now(self) -> None:
        """End the pause before the next attempt to connect, if there is one."""
        self._link.retry_now()

    def reconnect(self, *, forget_authentication: bool = False) -> None:
        """Replace the connection at once; subscriptions continue."""
        self._link.put(Reconnect(forget_authentication))

    def want_keys(self) -> None:
        """Ask the owner again for the keys that refused REQs need (NIP-42)."""
        self._link.put(WantKeys())
