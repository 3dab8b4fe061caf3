"""One link that authenticates as one reader key, or as several (NIP-42).

A link of one key carries what that key may read. A link of several keys carries what
private clients ask for as any of them: it is not told by which of its keys an event
came, so public clients receive nothing of it (H4).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from . import backoff, clock, message
from .delivery import Closed, Progress
from .event import SignedEvent
from .filter import Filter
from .key import PrivateKey
from .message_pool import MessagePool
from .outbox import OutgoingEvent
from .relay_link import Reconnect, RelayLink, Subscribe, Unsubscribe, WakePublisher
from .relay_record import RelayRecord
from .relay_session import ClosedForGood
from .relay_subscription import Request
from .relay_url import link_label
from .settings import Settings

SEVERAL = "several"
"""The `link_key` of a link of several keys: no public key, so no client has it."""


class LinksOwner(Protocol):
    """The relay manager, as a link uses it; called from the link's thread."""

    message_pool: MessagePool

    def retry_keys(self, url: str) -> None:
        """Ask a relay's main link again for the keys that it needs."""

    def links_due_changed(self) -> None:
        """Handle that links have something to do earlier than they said."""

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, message: str
    ) -> None:
        """Handle OK."""

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """Handle the first EOSE of subscriptions."""


class LinkObserver(Protocol):
    """All links together, as one link reports to them; called from its thread."""

    def link_gave(self, link: IdentityLink, event: SignedEvent) -> None:
        """The relay gave it an event of a restricted kind."""

    def link_answered(self, link: IdentityLink, upstream_ids: Iterable[str]) -> None:
        """The relay sent the first EOSE for these subscriptions."""

    def link_refused(self, link: IdentityLink) -> None:
        """The relay refused the AUTH of one of several keys."""


class _Sent(NamedTuple):
    """How often an event was sent on this connection, and when it is sent again."""

    times: int
    again_at: float


class IdentityLink:
    """One link that authenticates as reader keys; what its conversation reports to.

    With `several` it may have any number of keys, without exactly one. `_lock` guards
    its keys and what it carries; it comes before that of the link's inbox.
    """

    def __init__(
        self,
        relay: RelayRecord,
        keys: Iterable[PrivateKey],
        owner: LinksOwner,
        observer: LinkObserver,
        settings: Settings,
        *,
        several: bool = False,
    ) -> None:
        self.message_pool = owner.message_pool
        self._keys = {key.public_key.hex(): key for key in keys}
        self.link_key: str | None = SEVERAL if several else next(iter(self._keys))
        self.relay = relay
        self.record = RelayRecord(relay.url, settings)
        self.record.label = link_label(relay.url, self.link_key)
        self.record.route = relay.route
        self.record.counters.figures = relay.counters.figures
        self.witness: SignedEvent | None = None
        self._owner = owner
        self._observer = observer
        self._link = RelayLink(self.record, self, settings)
        self._requests: dict[str, Request] = {}
        self._named: dict[str, dict[str, tuple[Filter, ...]]] = {}
        self._events: dict[str, OutgoingEvent] = {}
        self._sent: dict[str, _Sent] = {}
        self._settings = settings
        self._lock = threading.Lock()
        self.idle_since: float | None = None

    @property
    def place(self) -> str:
        """The link's name among those of its relay: its key in hex, or `SEVERAL`."""
        return self.link_key or ""

    @property
    def is_several(self) -> bool:
        """Whether it may authenticate as several keys."""
        return self.link_key == SEVERAL

    @property
    def identities(self) -> tuple[PrivateKey, ...]:
        """The keys that the link authenticates as."""
        with self._lock:
            return tuple(self._keys.values())

    @property
    def pubkeys(self) -> list[str]:
        """The keys that the link authenticates as, as public keys in hex."""
        with self._lock:
            return list(self._keys)

    @property
    def subscription_count(self) -> int:
        """How many REQs the link carries."""
        return len(self._requests)

    def start(self) -> None:
        """Connect."""
        with self._lock:
            requests = list(self._requests.values())
        self._link.start(requests)

    def stop(self) -> threading.Thread | None:
        """Close the link; return its thread, so that it can be joined."""
        return self._link.stop()

    def add_keys(self, keys: Iterable[PrivateKey]) -> None:
        """Authenticate as these keys as well."""
        with self._lock:
            new = {key.public_key.hex(): key for key in keys}
            if new.keys() <= self._keys.keys():
                return
            self._keys.update(new)
        self._link.put(Reconnect(forget_authentication=False))

    def remove_key(self, pubkey: str) -> bool:
        """Forget a key and what it is for; return whether a key is left."""
        with self._lock:
            if self._keys.pop(pubkey, None) is None:
                return True
            for upstream_id, named in list(self._named.items()):
                if named.pop(pubkey, None) is not None:
                    self._carry(self._requests[upstream_id])
            self._note_idleness()
            is_left = bool(self._keys)
        # The relay knows the connection as this key.
        self._link.put(Reconnect(forget_authentication=True))
        return is_left

    def subscribe(
        self, request: Request, named: Mapping[str, tuple[Filter, ...]]
    ) -> bool:
        """Carry a subscription's filters, by key; return whether any of them is new.

        Filters that it carries already for this subscription stay.
        """
        with self._lock:
            known = self._named.setdefault(request.upstream_id, {})
            is_new = False
            for pubkey, filters in named.items():
                carried = known.get(pubkey, ())
                missing = tuple(item for item in filters if item not in carried)
                if missing:
                    known[pubkey] = carried + missing
                    is_new = True
            if is_new:
                self.idle_since = None
                self._carry(request)
            return is_new

    def _carry(self, request: Request) -> None:
        """Open a subscription with the filters of all its keys, or close it."""
        upstream_id = request.upstream_id
        filters: list[Filter] = []
        for found in self._named[upstream_id].values():
            filters += (item for item in found if item not in filters)
        if filters:
            self._requests[upstream_id] = request._replace(filters=tuple(filters))
            self._link.put(Subscribe(self._requests[upstream_id]))
        else:
            del self._requests[upstream_id], self._named[upstream_id]
            self._link.put(Unsubscribe(upstream_id))

    def carried(self) -> list[tuple[Request, dict[str, tuple[Filter, ...]]]]:
        """Return the subscriptions that it carries, with their filters by key."""
        with self._lock:
            return [
                (request, dict(self._named[upstream_id]))
                for upstream_id, request in self._requests.items()
            ]

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription."""
        with self._lock:
            if self._requests.pop(upstream_id, None) is None:
                return
            del self._named[upstream_id]
            self._note_idleness()
        self._link.put(Unsubscribe(upstream_id))

    def publish(self, outgoing: OutgoingEvent) -> None:
        """Send an event that the relay takes from its author only."""
        with self._lock:
            self._events[outgoing.event.id] = outgoing
            self.idle_since = None
        self._link.put(WakePublisher())

    def _note_idleness(self) -> None:
        if not self._requests and not self._events and self.idle_since is None:
            self.idle_since = clock.now()

    def reroute(self, settings: Settings) -> None:
        """Reconnect the way that the relay is reached now."""
        self.record.route = self.relay.route
        self._settings = settings
        self.record.configure(settings)
        self._link.configure(settings)
        self._link.put(Reconnect(forget_authentication=False))
        self._link.retry_now()

    def retry_now(self) -> None:
        """End the pause before the next attempt to connect, if there is one."""
        self._link.retry_now()

    @property
    def upstream_ids(self) -> list[str]:
        """The subscriptions that the link carries."""
        with self._lock:
            return list(self._requests)

    # What the conversation reports (RelayOwner)

    def relay_recognised(self, relay: RelayRecord) -> None:
        """Do nothing: what comes from other nostrclients is not carried here."""

    def relay_connected(self, relay: RelayRecord) -> None:
        """Send what the last connection did not answer again."""
        with self._lock:
            self._sent.clear()

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """Do nothing: the link reconnects, and clients wait no longer than always."""

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, message: str
    ) -> None:
        """Pass an OK on as the relay's."""
        with self._lock:
            self._events.pop(event_id, None)
            self._sent.pop(event_id, None)
            self._note_idleness()
        self._owner.relay_answered(self.relay, event_id, accepted, message)
        self._owner.links_due_changed()

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """Do nothing: what a link publishes is little."""

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """Pass the first EOSE of subscriptions on as this link's."""
        answered = list(upstream_ids)
        self._owner.relay_finished(self.record, answered, complete)
        self._observer.link_answered(self, answered)

    def relay_gave(self, relay: RelayRecord, event: SignedEvent) -> None:
        """Report an event of a restricted kind, until one is kept as a witness."""
        if self.witness is None:
            self._observer.link_gave(self, event)

    def relay_refused_key(self, relay: RelayRecord) -> None:
        """Report that the relay does not take several keys."""
        self._observer.link_refused(self)

    def relay_wants_key(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Do nothing: the relay has the key."""

    def relay_wants_author(
        self, relay: RelayRecord, event_id: str, refusal: str
    ) -> bool:
        """Return False: this is the author's link."""
        return False

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """Report that the relay is busy with these subscriptions on this link."""
        self._put_each(upstream_ids, lambda name: Progress(name, self.record.label))

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """Pass a final CLOSED on as this link's."""
        self._put_each(
            closed.upstream_ids,
            lambda name: Closed(name, self.record.label, closed.message),
        )

    def _put_each(
        self, upstream_ids: Iterable[str], item: Callable[[str], Progress | Closed]
    ) -> None:
        for upstream_id in upstream_ids:
            feed = self.message_pool.feed(upstream_id)
            if feed is not None:
                feed.consumer.put(item(upstream_id))

    def close_all(self, text: str) -> None:
        """Report to the clients of the link's subscriptions that it is gone."""
        self.relay_closed(self.record, ClosedForGood(tuple(self.upstream_ids), text))

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """Send again what the relay refused before AUTH."""
        with self._lock:
            self._sent.clear()

    def relay_informed(self, relay: RelayRecord) -> None:
        """Do nothing: the main link reads the relay's information as well."""

    def relay_counted(
        self,
        relay: RelayRecord,
        upstream_id: str,
        answer: message.RelayCount | message.RelayClosed | None,
    ) -> None:
        """Do nothing: a link sends no COUNT."""

    def relay_noticed(self, relay: RelayRecord, text: str) -> None:
        """Keep a NOTICE with the relay's."""
        self.relay.add_notice(text)

    def take_events(
        self, relay: RelayRecord, limit: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to send now, and when to ask again.

        An unanswered event is sent again after a while (C2).
        """
        now, settings = clock.now(), self._settings
        with self._lock:
            found: list[OutgoingEvent] = []
            for event_id, item in self._events.items():
                sent = self._sent.get(event_id, _Sent(0, now))
                if sent.again_at <= now and len(found) < limit:
                    found.append(item)
                    seconds = backoff.ceiling(
                        sent.times + 1,
                        settings.resend_seconds,
                        settings.resend_max_seconds,
                    )
                    self._sent[event_id] = _Sent(sent.times + 1, now + seconds)
            due = (
                self._sent[name].again_at for name in self._events if name in self._sent
            )
            return found, min(due, default=None)
