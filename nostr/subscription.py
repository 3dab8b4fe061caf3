"""One REQ of a client: which relays have not sent EOSE yet, and which closed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from .delivery import Copied, Delivered
from .event import SignedEvent
from .filter import Filter
from .merge import HeldBytes, Merge, Settled
from .message import (
    FINISH_HINT,
    MORE_HINT,
    event_head,
    is_for_connection,
    most_telling,
)
from .settings import Settings


class Subscription:
    """One REQ of a client, from its arrival until CLOSE or CLOSED.

    `settled` means that the client got its one EOSE. `answered` are the relays that
    sent EOSE or CLOSED. `merge` merges the relays' answers if a filter has a `limit`.
    Instants are those of `clock.now`, except `arrived`, which is in Unix seconds.
    """

    def __init__(
        self,
        subscription_id: str,
        upstream_id: str,
        filters: tuple[Filter, ...],
        now: float,
        settings: Settings,
        *,
        arrived: float,
        held: HeldBytes,
    ) -> None:
        self.subscription_id = subscription_id
        self.upstream_id = upstream_id
        self.filters = filters
        self.event_head = event_head(subscription_id)
        self.settled = False
        self.answered: set[str] = set()
        self.merge: Merge | None = None
        if Merge.merges(filters):
            self.merge = Merge(filters, arrived, held, settings)
        self._settings = settings
        self._deadline = now + settings.eose_seconds
        self._last_deadline = now + settings.eose_max_seconds
        self._asked: set[str] = set()
        self._pending_eose: dict[str, float] = {}
        self._closed: dict[str, str] = {}
        self._received: dict[str, float] = {}
        self._complete: dict[str, bool | None] = {}

    def asked(self, relay_urls: Set[str], pending_eose: Mapping[str, float]) -> None:
        """Add the relays that the REQ went to and those whose EOSE is waited for."""
        self._asked |= relay_urls
        self._pending_eose.update(pending_eose)

    def relay_changed(self, relay_url: str, asked: bool, pending_eose: bool) -> None:
        """Handle that a relay joined, connected, failed to connect, or left."""
        if asked:
            self._asked.add(relay_url)
        else:
            self._asked.discard(relay_url)
            self._closed.pop(relay_url, None)
            self._complete.pop(relay_url, None)
            self.answered.discard(relay_url)
        if pending_eose and is_for_connection(self._closed.get(relay_url)):
            del self._closed[relay_url]  # it is asked again on this connection
        if pending_eose and relay_url not in self.answered:
            self._pending_eose[relay_url] = self._last_deadline
            if self.merge is not None:
                self.merge.restart(relay_url)
        elif not pending_eose:
            self._pending_eose.pop(relay_url, None)

    def received(self, relay_url: str, now: float) -> None:
        """Handle a stored event of a relay, new or known."""
        self._received[relay_url] = now

    def passes(self, item: Delivered, now: float) -> bool:
        """Return whether to send an event at once; False if the merge keeps it."""
        if self.merge is None or item.relay_url in self.answered:
            return True  # a live event
        if self.settled:
            return self.merge.admits(item.event)
        self.merge.event(item.relay_url, item.event, now, shared=item.shared)
        return False

    def copied(self, item: Copied, now: float) -> None:
        """Handle a relay's copy of an event that was delivered already."""
        if not self.settled:
            self.received(item.relay_url, now)
            if self.merge is not None and item.relay_url not in self.answered:
                self.merge.copy(item.relay_url, item.event, now, shared=item.shared)

    def merged(self, now: float) -> list[SignedEvent]:
        """Return the events that the merge releases now, in order."""
        return [] if self.merge is None else self.merge.take(now, self._pending(now))

    def hints(self) -> list[str]:
        """Return the hints for the client's EOSE (NIP-67).

        There is one only if all relays gave one: some clients (nostr-fetch) take an
        EOSE with a hint for malformed. The answer is complete if all relays said so and
        no event was left out.
        """
        left_out = self.merge is not None and self.merge.left_out
        answers = [self._complete.get(url) for url in self._asked]
        if not answers or None in answers:
            return []
        return [MORE_HINT if left_out or False in answers else FINISH_HINT]

    def settle(self) -> Settled:
        """Mark the EOSE as sent; return the events to send before and after it."""
        self.settled = True
        return Settled([], []) if self.merge is None else self.merge.settle()

    def close(self) -> None:
        """Free the merge's memory."""
        if self.merge is not None:
            self.merge.close()

    def _pending(self, now: float) -> Iterator[str]:
        for url, until in self._pending_eose.items():
            if until > now:
                yield url

    def eose(
        self,
        relay_url: str,
        complete: bool | None = None,
        max_limit: int | None = None,
    ) -> bool:
        """Handle EOSE; return whether it was the last pending one.

        `complete` and `max_limit` as in `delivery.Eose`.
        """
        if relay_url not in self._asked:  # removed meanwhile
            return False
        self._complete[relay_url] = complete
        if self.merge is not None and not self.settled and complete is not True:
            most = max_limit or self._settings.assumed_max_limit
            self.merge.cut(relay_url, None if complete is False else most)
        self.answered.add(relay_url)
        self._closed.pop(relay_url, None)
        self._pending_eose.pop(relay_url, None)
        return not self.settled and not self._pending_eose

    def closed(self, relay_url: str, message: str) -> str | None:
        """Handle that a relay closed the subscription for good.

        Return the reason for the client once every relay has closed it, else None.
        """
        if relay_url not in self._asked:  # removed meanwhile
            return None
        self._closed[relay_url] = message
        self.answered.add(relay_url)
        self._pending_eose.pop(relay_url, None)
        if self._asked <= self._closed.keys():
            return most_telling(list(self._closed.values()))
        return None

    @property
    def is_complete(self) -> bool:
        """Whether every relay it is for, connected or not, has sent its EOSE."""
        return bool(self._asked) and self._asked <= self.answered - self._closed.keys()

    @property
    def has_all(self) -> bool:
        """Whether no EOSE is pending, and at least one relay has answered."""
        return bool(self.answered) and not self._pending_eose

    def due(self, now: float) -> bool:
        """Return whether the EOSE has to be sent now, because of its deadline."""
        return not self.settled and now >= self.deadline(now)

    def next_at(self, now: float) -> float:
        """Return when to check `due` and `merged` again, if nothing else happens."""
        deadline = self.deadline(now)
        if self.merge is not None:
            merges_at = self.merge.deadline(now, self._pending(now))
            if merges_at is not None:
                return min(deadline, merges_at)
        return deadline

    def deadline(self, now: float) -> float:
        """Return when the EOSE is due, if nothing else happens."""
        pending_eose = {
            url: until for url, until in self._pending_eose.items() if until > now
        }
        if self._pending_eose and not pending_eose and self.answered:
            return now
        busy = max((self._received.get(url, 0.0) for url in pending_eose), default=0.0)
        waited = max(self._deadline, busy + self._settings.eose_busy_seconds)
        return min([waited, self._last_deadline, *pending_eose.values()])
