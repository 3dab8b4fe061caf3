"""Links to relays as somebody: one for each reader key that a relay wants (NIP-42).

Many relays give direct messages and gift wraps only to a connection that authenticated
as their author or recipient, and take one key per connection. A reader key is a key of
a shop, a wallet or a signer on this server. Where a relay refuses a filter that names
a reader key in `#p` or `authors`, or sent AUTH and may leave events out, the filter
goes out once more over a link that authenticates as that key.

A link carries nothing but what its key is for, and is closed when it is idle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from . import clock, message
from .delivery import Closed, Consumer, Progress, SubscriptionOpened
from .event import SignedEvent
from .filter import Filter, parse_filter
from .key import PrivateKey
from .log import logger
from .message_pool import MessagePool
from .outbox import OutgoingEvent
from .relay_link import Reconnect, RelayLink, Subscribe, Unsubscribe, WakePublisher
from .relay_record import RelayRecord
from .relay_session import ClosedForGood
from .relay_subscription import Request
from .relay_url import link_label
from .settings import Settings


def narrow_to_key(filters: Iterable[Filter], pubkey: str) -> tuple[Filter, ...]:
    """Return the filters that name a key, each narrowed to what concerns it.

    A filter of a conversation names the key as recipient and as author: it becomes two.
    """
    found: list[Filter | None] = []
    for filter_ in filters:
        recipients = next((values for name, values in filter_.tags if name == "p"), ())
        if pubkey in recipients:
            found.append(parse_filter(filter_.replaced(**{"#p": [pubkey]})))
        if filter_.authors is not None and pubkey in filter_.authors:
            found.append(parse_filter(filter_.replaced(authors=[pubkey])))
    return tuple(filter_ for filter_ in found if filter_ is not None)


class LinksOwner(Protocol):
    """The relay manager, as the links use it; called from the links' threads."""

    message_pool: MessagePool

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


class IdentityLink:
    """One link that authenticates as a reader key; what its conversation reports to.

    `_lock` guards what it carries; it is a leaf.
    """

    def __init__(
        self, relay: RelayRecord, key: PrivateKey, owner: LinksOwner, settings: Settings
    ) -> None:
        self.message_pool = owner.message_pool
        self.identity: PrivateKey | None = key
        self.link_key: str | None = key.public_key.hex()
        self.relay = relay
        self.record = RelayRecord(relay.url, settings)
        self.record.label = link_label(relay.url, self.link_key)
        self.record.route = relay.route
        self.record.counters.figures = relay.counters.figures
        self._owner = owner
        self._link = RelayLink(self.record, self, settings)
        self._requests: dict[str, Request] = {}
        self._events: dict[str, OutgoingEvent] = {}
        self._sent: set[str] = set()
        self._lock = threading.Lock()
        self.idle_since: float | None = None

    @property
    def pubkey(self) -> str:
        """The key that the link authenticates as, in hex."""
        return self.link_key or ""

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

    def subscribe(self, request: Request) -> bool:
        """Open a subscription; return whether it was not open with these filters."""
        with self._lock:
            known = self._requests.get(request.upstream_id)
            if known is not None and known.filters == request.filters:
                return False
            self._requests[request.upstream_id] = request
            self.idle_since = None
        self._link.put(Subscribe(request))
        return True

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription."""
        with self._lock:
            if self._requests.pop(upstream_id, None) is None:
                return
            self._note_idleness()
        self._link.put(Unsubscribe(upstream_id))

    def publish(self, event: SignedEvent, client: Consumer | None) -> None:
        """Send an event that the relay takes from its author only."""
        with self._lock:
            self._events[event.id] = OutgoingEvent(event, client)
            self.idle_since = None
        self._link.put(WakePublisher())

    def _note_idleness(self) -> None:
        if not self._requests and not self._events and self.idle_since is None:
            self.idle_since = clock.now()

    def reroute(self, settings: Settings) -> None:
        """Reconnect the way that the relay is reached now."""
        self.record.route = self.relay.route
        self._link.configure(settings)
        self._link.put(Reconnect(forget_authentication=False))
        self._link.retry_now()

    @property
    def upstream_ids(self) -> list[str]:
        """The subscriptions that the link carries."""
        with self._lock:
            return list(self._requests)

    # What the conversation reports (RelayOwner)

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
            self._sent.discard(event_id)
            self._note_idleness()
        self._owner.relay_answered(self.relay, event_id, accepted, message)

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """Do nothing: what a link publishes is little."""

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """Pass the first EOSE of subscriptions on as this link's."""
        self._owner.relay_finished(self.record, upstream_ids, complete)

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
        """Return the events to send on this connection."""
        with self._lock:
            found = [
                item for name, item in self._events.items() if name not in self._sent
            ][:limit]
            self._sent.update(item.event.id for item in found)
            return found, None


class IdentityLinks:
    """All reader keys and the links that use them.

    Every method may be called from any thread. `_lock` guards keys and links. It comes
    after the relay manager's lock and before those of links.
    """

    def __init__(self, owner: LinksOwner, settings: Settings) -> None:
        self._owner = owner
        self._settings = settings
        self._keys: dict[str, PrivateKey] = {}
        self._links: dict[tuple[str, str], IdentityLink] = {}
        self._wanted: dict[str, dict[str, None]] = {}
        self._lock = threading.RLock()

    def configure(self, settings: Settings) -> None:
        """Apply other settings to links that are opened from now on."""
        self._settings = settings

    @property
    def pubkeys(self) -> list[str]:
        """The reader keys, as public keys in hex."""
        with self._lock:
            return list(self._keys)

    def add_key(self, key: PrivateKey) -> bool:
        """Add a reader key; return whether it is a new one."""
        pubkey = key.public_key.hex()
        with self._lock:
            if pubkey in self._keys:
                return False
            self._keys[pubkey] = key
            return True

    def remove_key(self, pubkey: str) -> bool:
        """Forget a reader key and close its links; return whether there was one."""
        with self._lock:
            if self._keys.pop(pubkey, None) is None:
                return False
            links = [link for link in self._links.values() if link.pubkey == pubkey]
            self._close(links, "auth-required: its key was removed")
            return True

    def links_of(self, url: str) -> list[IdentityLink]:
        """Return a relay's open links."""
        with self._lock:
            return [link for (known, _), link in self._links.items() if known == url]

    def wanted_keys(self, url: str) -> dict[str, bool]:
        """Return the keys that a relay wants for what it withholds, and which we hold.

        They are public keys in hex that refused filters name, the latest ones.
        """
        with self._lock:
            return {name: name in self._keys for name in self._wanted.get(url, ())}

    def open(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Open what a relay serves to certain keys only over the links of those."""
        with self._lock:
            for request in requests:
                self._remember_wanted(relay.url, request)
                feed = self._owner.message_pool.feed(request.upstream_id)
                if feed is None:
                    continue
                for pubkey, key in self._keys.items():
                    if not feed.may_read_as(pubkey):
                        continue
                    filters = narrow_to_key(request.filters, pubkey)
                    if not filters:
                        continue
                    link = self._link(relay, key)
                    if link is None:
                        continue
                    label = link.record.label
                    narrowed = request._replace(filters=filters)
                    if link.subscribe(narrowed):
                        opened = SubscriptionOpened(
                            request.upstream_id,
                            frozenset((label,)),
                            {label: float("inf")},
                            1,
                        )
                        feed.consumer.put(opened)

    def _remember_wanted(self, url: str, request: Request) -> None:
        wanted = self._wanted.setdefault(url, {})
        for filter_ in request.filters:
            named = [values for name, values in filter_.tags if name == "p"]
            for pubkey in (*(named[0] if named else ()), *(filter_.authors or ())):
                wanted.pop(pubkey, None)
                wanted[pubkey] = None
        # A stranger may name any number of keys: those that we hold are kept first.
        excess = len(wanted) - self._settings.max_wanted_keys
        if excess > 0:
            for name in sorted(wanted, key=lambda name: name in self._keys)[:excess]:
                del wanted[name]

    def publish(
        self, relay: RelayRecord, event: SignedEvent, client: Consumer | None
    ) -> bool:
        """Send an event over its author's link; return whether we hold that key."""
        with self._lock:
            key = self._keys.get(event.pubkey)
            if key is None:
                return False
            link = self._link(relay, key)
            if link is None:
                return False
            link.publish(event, client)
            return True

    def _link(self, relay: RelayRecord, key: PrivateKey) -> IdentityLink | None:
        """Return the link of a key to a relay, a new one where there is none."""
        place = relay.url, key.public_key.hex()
        link = self._links.get(place)
        if link is not None:
            return link
        on_relay = sum(url == relay.url for url, _ in self._links)
        settings = self._settings
        if (
            on_relay >= settings.max_links_per_relay
            or len(self._links) >= settings.max_links
        ):
            relay.add_error("too many links for reader keys", warn=on_relay == 0)
            return None
        link = IdentityLink(relay, key, self._owner, settings)
        self._links[place] = link
        link.start()
        logger.info(f"relay {relay.url}: a link for {key.public_key.bech32()} opens")
        return link

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription on all links."""
        with self._lock:
            for link in self._links.values():
                link.unsubscribe(upstream_id)

    def reroute(self, url: str) -> None:
        """Reconnect a relay's links the way that it is reached now."""
        for link in self.links_of(url):
            link.reroute(self._settings)

    def close_relay(self, url: str) -> None:
        """Close all links of a relay."""
        with self._lock:
            self._wanted.pop(url, None)
            links = [link for (known, _), link in self._links.items() if known == url]
            self._close(links, "error: the relay was switched off")

    def _close(self, links: Iterable[IdentityLink], text: str) -> None:
        for link in links:
            self._links.pop((link.relay.url, link.pubkey), None)
            link.stop()
            link.close_all(text)

    def stop(self) -> list[threading.Thread]:
        """Close all links; return their threads, so that they can be joined."""
        with self._lock:
            links = list(self._links.values())
            threads = [thread for link in links if (thread := link.stop()) is not None]
            self._close(links, "error: nostrclient stops")
            return threads

    def tick(self, now: float) -> None:
        """Close the links that were idle for long enough."""
        with self._lock:
            idle = [
                link
                for link in self._links.values()
                if link.idle_since is not None
                and now - link.idle_since >= self._settings.link_idle_seconds
            ]
            self._close(idle, "error: idle")

    def deadline(self) -> float | None:
        """Return when to call `tick`; None while no link is idle."""
        with self._lock:
            since = [
                link.idle_since
                for link in self._links.values()
                if link.idle_since is not None
            ]
        return min(since) + self._settings.link_idle_seconds if since else None
