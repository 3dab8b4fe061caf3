"""One REQ of a client: which relays still owe their EOSE, and which closed it."""

from __future__ import annotations

from collections.abc import Mapping, Set

from .filter import Filter
from .message import event_head, most_telling
from .settings import Settings


class Subscription:
    """One REQ of a client, from its arrival until CLOSE or CLOSED.

    `settled` means that the client was sent its one EOSE. Instants are those of
    `clock.now`.
    """

    def __init__(
        self,
        subscription_id: str,
        upstream_id: str,
        filters: tuple[Filter, ...],
        now: float,
        settings: Settings,
    ) -> None:
        self.subscription_id = subscription_id
        self.upstream_id = upstream_id
        self.filters = filters
        self.event_head = event_head(subscription_id)
        self.settled = False
        self._settings = settings
        self._deadline = now + settings.eose_seconds
        self._last_deadline = now + settings.eose_max_seconds
        self._asked: set[str] = set()
        self._pending_eose: dict[str, float] = {}
        self._answered: set[str] = set()
        self._closed: dict[str, str] = {}
        self._received: dict[str, float] = {}

    def asked(self, relay_urls: Set[str], pending_eose: Mapping[str, float]) -> None:
        """Note the relays the REQ went to and those whose EOSE to wait for."""
        self._asked |= relay_urls
        self._pending_eose.update(pending_eose)

    def relay_changed(self, relay_url: str, asked: bool, pending_eose: bool) -> None:
        """A relay joined, connected, failed to connect, or left."""
        if asked:
            self._asked.add(relay_url)
        else:
            self._asked.discard(relay_url)
            self._closed.pop(relay_url, None)
            self._answered.discard(relay_url)
        if pending_eose and relay_url not in self._answered:
            self._pending_eose[relay_url] = self._last_deadline
        elif not pending_eose:
            self._pending_eose.pop(relay_url, None)

    def received(self, relay_url: str, now: float) -> None:
        """A relay sent a stored event, known or not."""
        self._received[relay_url] = now

    def eose(self, relay_url: str) -> bool:
        """A relay sent EOSE; tells whether it was the last one that was waited for."""
        if relay_url not in self._asked:  # removed meanwhile
            return False
        self._answered.add(relay_url)
        self._pending_eose.pop(relay_url, None)
        return not self.settled and not self._pending_eose

    def closed(self, relay_url: str, message: str) -> str | None:
        """A relay closed the subscription for good.

        Gives the reason for the client once no asked relay is left, else None.
        """
        if relay_url not in self._asked:  # removed meanwhile
            return None
        self._closed[relay_url] = message
        self._answered.add(relay_url)
        self._pending_eose.pop(relay_url, None)
        if self._asked <= self._closed.keys():
            return most_telling(list(self._closed.values()))
        return None

    @property
    def has_all(self) -> bool:
        """Whether all relays that owed an EOSE have answered, and at least one did."""
        return bool(self._answered) and not self._pending_eose

    def due(self, now: float) -> bool:
        """Whether the EOSE is to be sent now because of the time."""
        return not self.settled and now >= self.deadline(now)

    def deadline(self, now: float) -> float:
        """When to look at `due` again, provided that nothing else happens."""
        pending_eose = {
            url: until for url, until in self._pending_eose.items() if until > now
        }
        if self._pending_eose and not pending_eose and self._answered:
            return now
        busy = max((self._received.get(url, 0.0) for url in pending_eose), default=0.0)
        waited = max(self._deadline, busy + self._settings.eose_busy_seconds)
        return min([waited, self._last_deadline, *pending_eose.values()])
