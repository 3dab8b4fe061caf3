"""The relay manager: all relays and all open subscriptions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, NamedTuple

from . import clock, message
from .caller import calling_extension
from .counts import Counts
from .delivery import (
    Closed,
    Consumer,
    Notice,
    Progress,
    RelayChanged,
    SubscriptionOpened,
)
from .entitlement import may_count
from .errors import InvalidEvent, InvalidMessage
from .event import SignedEvent
from .filter import Filter, parse_filters
from .gift_wraps import GiftWraps, Held
from .handover import Handover, RelayState, SubscriptionState
from .identity_links import IdentityLinks
from .information import COUNT_NIP, SEARCH_NIP, RelayInformation
from .key import PrivateKey
from .log import logger
from .message_pool import Feed, MessagePool
from .named_query import NamedQueries
from .named_relays import NamedRelays
from .outbox import OutgoingEvent
from .outbox_relay import PublishTarget
from .publication import parse_publishers
from .publisher import Publisher
from .relay import Relay, new_id
from .relay_record import RelayRecord, RelayStatus, RelayUse
from .relay_session import ClosedForGood
from .relay_subscription import Request
from .relay_url import known_relay_url, normalize_relay_url
from .settings import Settings
from .socks import ProxyPolicy, RelayRoute

NO_SEARCH = "unsupported: the relay does not search"


class InProcess(NamedTuple):
    """A subscription that was opened in this process."""

    upstream_id: str
    filters: list[Any]
    extension: str | None


class RelayManager:
    """All relays, all open subscriptions and the outbox.

    Every method may be called from any thread and from the event loop, and returns at
    once. `_lock` guards relays, requests and COUNTs. It comes after
    `MessagePool.parse_lock` and before all other locks; see docs/architecture.md. It is
    never held while waiting.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.relays: dict[str, Relay] = {}
        self.message_pool = MessagePool(self.settings)
        self.publisher = Publisher(self.settings, self._changed, self._wake_publisher)
        self.on_change: Callable[[], None] | None = None
        self.running = False
        self._requests: dict[str, Request] = {}
        self._searches: dict[str, Request] = {}
        self._searchers: set[str] = set()
        self._in_process: dict[str, InProcess] = {}
        self._extensions: dict[str, str] = {}  # by the id of their subscriptions
        self._consumers: set[Consumer] = set()
        self._nostrclients: set[Consumer] = set()  # consumers that are other ones
        self.identity: PrivateKey | None = None
        self.reports = RelayReports(self)
        self.links = IdentityLinks(self.reports, self.settings)
        self.named = NamedRelays(self.message_pool, self.publisher, self.settings)
        self.named.is_ourselves = self._is_ourselves
        self.named_queries = NamedQueries()
        self.gift_wraps = GiftWraps(self, self.settings, new_id, self._changed)
        self.instance_id = new_id()
        self._counts = Counts()
        self._due: float | None = None
        self._start_again_at: float | None = None
        self._lock = threading.RLock()

    def configure(self, settings: Settings) -> None:
        """Apply other settings; call it while stopped."""
        with self._lock:
            self.settings = settings
            self.publisher.configure(settings)
            self.message_pool.configure(settings)
            self.links.configure(settings)
            self.named.configure(settings)
            self.gift_wraps.configure(settings)
            for relay in self.relays.values():
                relay.configure(settings)

    def set_proxy(self, policy: ProxyPolicy) -> None:
        """Reach relays in this way from now on; those it concerns are reconnected."""
        with self._lock:
            before = self.settings.proxy
            self.settings = replace(self.settings, proxy=policy)
            self.links.configure(self.settings)
            if policy != before:
                self.named.reroute(self.settings)
            for relay in self.relays.values():
                relay.configure(self.settings)
                if not policy.is_same_for(relay.url, relay.route, before):
                    self._reroute(relay)

    def _reroute(self, relay: Relay) -> None:
        relay.reconnect()
        relay.retry_now()
        self.links.reroute(relay.url)

    # Relays

    def start(self) -> None:
        """Connect to all active relays, with all subscriptions open."""
        with self._lock:
            self.running = True
            self._start_missing()
        self._check_due()

    def stop(self) -> None:
        """End every relay's thread; relays, subscriptions and the outbox stay.

        Blocks until the threads have ended, at most `stop_seconds`.
        """
        deadline = clock.now() + self.settings.stop_seconds
        self._publish_held(float("inf"))  # whose lists nobody will look up any more
        with self._lock:
            self.running = False
            threads = [relay.stop() for relay in self.relays.values()]
            threads += self.links.stop()
            threads += self.named.stop()
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - clock.now()))
        with self._lock:
            if not self.running:  # a stopped thread reports nothing more
                for relay in self._active_relays():
                    self._disconnected(relay.url)

    def add_relay(
        self,
        url: str,
        *,
        active: bool = True,
        read: bool = True,
        write: bool = True,
        route: RelayRoute = RelayRoute.DEFAULT,
    ) -> Relay:
        """Add a relay and connect to it; return it, or the one that is there already.

        A relay that another extension adds carries that extension's subscriptions and
        events only, until somebody else adds it, too (H9).

        Raises `InvalidMessage` (a `ValueError`) for an invalid relay URL.
        """
        use = RelayUse(active, read, write)
        return self._add_relay(url, use, route, calling_extension())

    def _add_relay(
        self, url: str, use: RelayUse, route: RelayRoute, extension: str | None
    ) -> Relay:
        url = normalize_relay_url(url)
        with self._lock:
            relay = self.relays.get(url)
            if relay is not None and relay.extension not in (None, extension):
                self.remove_relay(url)  # from now on it is everybody's
                relay = extension = None
            if relay is None:
                relay = self.relays[url] = Relay(url, self.reports, self.settings)
                relay.route = route
                relay.extension = extension
                self.named.close(url)  # it has a link of its own now
                self._set_use(relay, use)
            elif self.running and relay.active and not relay.running:
                self._start(relay)
        return relay

    def remove_relay(self, url: str) -> None:
        """Remove a relay; its pending copies are kept for its return."""
        with self._lock:
            relay = self.relays.get(known_relay_url(url))
            if relay is not None:
                self._deactivate(relay)
                del self.relays[relay.url]
                self.publisher.set_target(relay.url, PublishTarget.NAMED)

    def remove_relays(self) -> None:
        """Remove all relays."""
        for url in list(self.relays):
            self.remove_relay(url)

    def update_relay(
        self,
        url: str,
        *,
        active: bool | None = None,
        read: bool | None = None,
        write: bool | None = None,
        route: RelayRoute | None = None,
    ) -> Relay:
        """Change a relay's use or its route. Raises `KeyError` for an unknown one."""
        with self._lock:
            relay = self.relays[known_relay_url(url)]
            if route is not None and route != relay.route:
                relay.route = route
                self._reroute(relay)
            use = relay.use
            wanted = RelayUse(
                use.active if active is None else active,
                use.read if read is None else read,
                use.write if write is None else write,
            )
            if use.read != wanted.read:
                self._deactivate(relay)
            self._set_use(relay, wanted)
        return relay

    def _active_relays(self) -> list[Relay]:
        return [relay for relay in self.relays.values() if relay.active]

    def _set_use(self, relay: Relay, use: RelayUse) -> None:
        if not use.active:
            relay.use = use
            self._deactivate(relay)
            return
        was_active, relay.use = relay.active, use
        self.publisher.set_target(relay.url, _target(use), relay.extension)
        if was_active:
            if self.running and not relay.running:
                self._start(relay)
            return
        if relay.read:
            self._send_to_all(relay, True, True)  # in its first attempt
        if self.running:
            self._start(relay)

    def _start(self, relay: Relay) -> None:
        requests = self._requests.values() if relay.read else ()
        servable = (self._servable(relay, request) for request in requests)
        try:
            relay.start([request for request in servable if request is not None])
        except RuntimeError as error:  # the system gives no thread
            relay.add_error(f"cannot be started: {error}")
            self._start_again_at = clock.now() + self.settings.reconnect_max_seconds

    def _start_missing(self) -> None:
        """Start the active relays that have no thread."""
        self._start_again_at = None
        for relay in self._active_relays():
            if not relay.running:
                self._start(relay)

    def _deactivate(self, relay: Relay) -> None:
        relay.use = relay.use._replace(active=False)
        relay.stop()
        self.links.close_relay(relay.url)
        self.publisher.set_target(relay.url, _target(relay.use), relay.extension)
        self._disconnected(relay.url)
        self._send_to_all(relay, False, False)

    def _disconnected(self, url: str) -> None:
        self._counts.lost(url)
        self.publisher.relay_disconnected(url)

    def _readers(self) -> list[Relay]:
        return [relay for relay in self.relays.values() if relay.use.readable]

    def set_identity(self, identity: PrivateKey | None) -> None:
        """Authenticate with this key from now on (NIP-42), or with none.

        Relays that ask who we are are connected to anew: they judged by the old one.
        """
        with self._lock:
            if identity == self.identity:
                return
            self.identity = identity
            for relay in self._active_relays():
                if relay.asks_who_we_are:
                    relay.reconnect(forget_authentication=True)

    def add_identity(self, key: PrivateKey) -> None:
        """Add a reader key: relays that withhold events from others are asked as it.

        Private clients and other extensions receive what relays give to this key; of
        public clients only those that authenticate as it do (H4).
        """
        if self.links.add_key(key):
            with self._lock:
                for relay in self._active_relays():
                    relay.want_keys()

    def authenticated(self, pubkey: str) -> None:
        """Handle that a client proved to own a key: it may read what that key may."""
        if pubkey in self.links.pubkeys:
            with self._lock:
                for relay in self._active_relays():
                    relay.want_keys()

    @property
    def challenges_clients(self) -> bool:
        """Whether anything depends on who a client is: there are keys (H5)."""
        return self.identity is not None or bool(self.links.pubkeys)

    def remove_identity(self, pubkey: str) -> None:
        """Forget a reader key, given by its public key in hex, and close its links."""
        self.links.remove_key(pubkey)

    def reconnect(self, url: str | None = None) -> int:
        """Connect a relay now that waits for its next attempt, or all of them.

        Return how many relays that were. Raise `KeyError` for an unknown relay.
        """
        with self._lock:
            chosen = list(self.relays.values())
            if url is not None:
                chosen = [self.relays[known_relay_url(url)]]
            waiting = [relay for relay in chosen if relay.status is RelayStatus.WAITING]
            for relay in waiting:
                relay.retry_now()
        return len(waiting)

    # Consumers

    def register(self, consumer: Consumer, *, is_nostrclient: bool = False) -> None:
        """Send a consumer every change of a relay from now on.

        Nothing of a consumer that is another nostrclient goes to a relay that is one.
        """
        with self._lock:
            self._consumers.add(consumer)
            if is_nostrclient:
                self._nostrclients.add(consumer)

    def unregister(self, consumer: Consumer) -> None:
        """Stop sending changes of relays to a consumer."""
        with self._lock:
            self._consumers.discard(consumer)
            self._nostrclients.discard(consumer)

    def _send_to_all(self, relay: RelayRecord, asked: bool, pending_eose: bool) -> None:
        if relay.extension is not None:
            return  # no client is served there
        change = RelayChanged(relay.url, asked, pending_eose)
        for consumer in self._consumers:
            if not self._would_circle(relay, consumer):
                consumer.put(change)

    # Subscriptions

    def subscribe(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        seen: Iterable[int] = (),
        *,
        is_public: bool = False,
        keys: Set[str] = frozenset(),
    ) -> None:
        """Open a subscription on all relays, also on those that connect later.

        `keys` are the public keys, in hex, that the client authenticated as; the set
        may grow.

        Events in `seen`, keys of a `SeenIds`, are not delivered again. If a relay's
        capacity is short, subscriptions that are not `is_public` are served first.
        """
        with self._lock:
            feed = Feed(upstream_id, filters, consumer, seen, is_public=is_public)
            feed.readers = keys
            self.message_pool.open(feed)
            request = Request(
                upstream_id,
                filters,
                clock.wall(),
                feed.delivered,
                is_public,
                consumer,
                feed.known,
            )
            self._requests[upstream_id] = request
            if any(filter_.is_search for filter_ in filters):
                self._searches[upstream_id] = request
            readers = [
                relay for relay in self._readers() if self._may_ask(relay, upstream_id)
            ]
            consumer.put(self._asked(upstream_id, readers))
            for relay in readers:
                self._subscribe_on(relay, request)

    def _subscribe_on(self, relay: Relay, request: Request) -> None:
        servable = self._servable(relay, request)
        if servable is not None:
            relay.subscribe(servable)
        elif relay.is_informed:
            closed = Closed(request.upstream_id, relay.url, NO_SEARCH)
            self._tell(request.upstream_id, closed)

    def _servable(self, relay: Relay, request: Request) -> Request | None:
        """Return what a relay is asked of a request: `search` only where it is served.

        Return None for nothing. Before its NIP-11 document came, it serves none.
        """
        if not self._may_ask(relay, request.upstream_id):
            return None
        if request.upstream_id not in self._searches or self._can_search(relay):
            return request
        filters = tuple(item for item in request.filters if not item.is_search)
        return request._replace(filters=filters) if filters else None

    def _may_ask(self, relay: RelayRecord, upstream_id: str) -> bool:
        """Return whether a relay serves a subscription.

        A relay of an extension serves that one's only (H9). Another nostrclient serves
        none of a third one, or of itself (E12).
        """
        request = self._requests.get(upstream_id)
        if request is not None and self._would_circle(relay, request.client):
            return False
        if relay.extension is None:
            return True
        return relay.extension == self._extensions.get(upstream_id)

    def _would_circle(self, relay: RelayRecord, client: object) -> bool:
        """Return whether what a client sends might come back by this relay (E12)."""
        return relay.is_nostrclient and client in self._nostrclients

    def _recognise(self, relay: RelayRecord) -> None:
        """Close what other nostrclients have open on a relay that is one itself."""
        if relay.is_nostrclient:
            return
        relay.is_nostrclient = True
        self.publisher.relay_recognised(relay.url)
        for consumer in self._nostrclients:
            consumer.put(RelayChanged(relay.url, False, False))
        for request in self._requests.values():
            if request.client in self._nostrclients:
                self.relays[relay.url].unsubscribe(request.upstream_id)

    @staticmethod
    def _can_search(relay: RelayRecord) -> bool:
        information = relay.information
        return information is not None and SEARCH_NIP in information.supported_nips

    def _tell(self, upstream_id: str, item: Closed) -> None:
        feed = self.message_pool.feed(upstream_id)
        if feed is not None:
            feed.consumer.put(item)

    def _asked(self, upstream_id: str, readers: Sequence[Relay]) -> SubscriptionOpened:
        now = clock.now()
        pending_eose: dict[str, float] = {}
        for relay in readers:
            if relay.connected or relay.first_attempt:
                pending_eose[relay.url] = float("inf")
            elif relay.lost_at is not None:
                until = relay.lost_at + self.settings.eose_lost_relay_seconds
                if until > now:
                    pending_eose[relay.url] = until
        return SubscriptionOpened(
            upstream_id,
            frozenset(relay.url for relay in readers),
            pending_eose,
            sum(relay.connected for relay in readers),
        )

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription on all relays; nothing is delivered for it any more."""
        with self._lock:
            self.message_pool.close(upstream_id)
            self._searches.pop(upstream_id, None)
            if self._requests.pop(upstream_id, None) is None:
                return
            for relay in self._readers():
                relay.unsubscribe(upstream_id)
            self.links.unsubscribe(upstream_id)
        self._check_due()

    @property
    def subscription_count(self) -> int:
        """How many subscriptions are open."""
        return len(self._requests)

    def count(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        *,
        is_public: bool = False,
        keys: Set[str] = frozenset(),
    ) -> None:
        """Count events on the relays that can (NIP-45), as far as that is known.

        `is_public` and `keys` are those of `subscribe`.
        """
        with self._lock:
            able = [
                relay
                for relay in self._readers()
                if relay.connected
                and relay.extension is None
                and not self._would_circle(relay, consumer)
                and self._counts_events(relay) is not False
            ]
            if any(filter_.is_search for filter_ in filters):
                able = [relay for relay in able if self._can_search(relay)]
            if self.identity is not None:
                service_key = self.identity.public_key.hex()
                if not may_count(
                    filters, is_public=is_public, keys=keys, service_key=service_key
                ):
                    able = [relay for relay in able if not relay.asks_who_we_are]
            deadline = clock.now() + self.settings.count_seconds
            urls = [relay.url for relay in able]
            self._counts.open(upstream_id, consumer, urls, deadline)
            for relay in able:
                relay.count(upstream_id, [filter_.json for filter_ in filters])
        self._check_due()

    @property
    def can_count(self) -> bool:
        """Whether any relay can answer a COUNT now."""
        with self._lock:
            return any(
                relay.connected
                and relay.extension is None
                and self._counts_events(relay)
                for relay in self._readers()
            )

    @property
    def can_search(self) -> bool:
        """Whether any connected relay searches (NIP-50)."""
        with self._lock:
            return any(
                relay.connected and relay.extension is None and self._can_search(relay)
                for relay in self._readers()
            )

    def _counts_events(self, relay: Relay) -> bool | None:
        """Return whether a relay answers COUNTs; None if that is to be found out."""
        information = relay.information
        if information is not None and COUNT_NIP in information.supported_nips:
            return True
        return self._counts.can_count(relay.url)

    # Subscriptions opened in this process, by other extensions

    def add_subscription(self, id: str, filters: list[Any]) -> None:  # noqa: A002
        """Open a subscription whose events go to the message pool's queues.

        An id that is open already is replaced. Raises `InvalidMessage`.
        """
        self._add_subscription(id, filters, (), calling_extension())

    def _add_subscription(
        self,
        subscription_id: str,
        filters: list[Any],
        seen: Iterable[int],
        extension: str | None,
    ) -> None:
        parsed = parse_filters(filters)
        queues = self.message_pool.in_process
        with self._lock:
            self.close_subscription(subscription_id)
            upstream_id = new_id()
            opened = InProcess(upstream_id, filters, extension)
            self._in_process[subscription_id] = opened
            if extension is not None:
                self._extensions[upstream_id] = extension
            queues.subscription_ids[upstream_id] = subscription_id
            if parsed:
                self.subscribe(upstream_id, parsed, queues, seen)

    def close_subscription(self, id: str) -> None:  # noqa: A002
        """Close a subscription that was opened in this process."""
        with self._lock:
            opened = self._in_process.pop(id, None)
            if opened is not None:
                queues = self.message_pool.in_process
                queues.subscription_ids.pop(opened.upstream_id, None)
                self._extensions.pop(opened.upstream_id, None)
                self.unsubscribe(opened.upstream_id)

    def is_open(self, id: str) -> bool:  # noqa: A002
        """Return whether a subscription of this process is open."""
        return id in self._in_process

    def close_subscriptions(self, subscriptions: Iterable[str]) -> None:
        """Close subscriptions that were opened in this process."""
        for subscription_id in list(subscriptions):
            self.close_subscription(subscription_id)

    def close_all_subscriptions(self) -> None:
        """Close all subscriptions that were opened in this process."""
        self.close_subscriptions(list(self._in_process))

    # Another generation of this code in the same process

    def hand_over(self) -> dict[str, Any]:
        """Return what is in no database, as plain data, for another `take_over`."""
        with self._lock:
            relays = [
                RelayState(url, *relay.use, relay.extension, relay.route.value)
                for url, relay in self.relays.items()
            ]
            subscriptions = [
                SubscriptionState(
                    subscription_id,
                    opened.filters,
                    self.message_pool.seen_keys(opened.upstream_id),
                    opened.extension,
                )
                for subscription_id, opened in self._in_process.items()
            ]
        events = self.publisher.hand_over()
        return Handover(relays, subscriptions, events).to_plain()

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Continue with what `hand_over` returned; existing relays stay as they are."""
        handover = Handover.from_plain(state)
        for known in handover.relays:
            use = RelayUse(known.active, known.read, known.write)
            route = RelayRoute.parse(known.route)
            self._add_relay(known.url, use, route, known.extension)
        for opened in handover.subscriptions:
            if opened.id not in self._in_process:
                self._add_subscription(
                    opened.id, opened.filters, opened.seen, opened.extension
                )
        for item in handover.events:
            try:
                event = SignedEvent.parse(item.text)
            except InvalidEvent as error:
                logger.error(f"handover: an event is given up: {error}")
                continue
            self.publisher.restore(
                event,
                is_public=item.is_public,
                age_seconds=item.age_seconds,
                accepted=item.accepted,
                owed=item.owed,
                extension=item.extension,
                publishers=parse_publishers(item.publishers),
            )

    # Publishing

    def publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None = None,
        *,
        is_public: bool = False,
        publisher: str = "",
        named: frozenset[str] | None = None,
    ) -> None:
        """Publish a client's event; the consumer receives one `PublishResult`.

        `publisher` is a name of the client that lasts, empty if it has none. `named`
        are the checked URLs of the relays that the event is for; None: all of ours.
        """
        now = clock.now()
        held = Held(event, consumer, None, is_public, None, publisher, now)
        self._publish(held, named)

    def _publish(self, held: Held, named: frozenset[str] | None) -> None:
        """Publish an event; a gift wrap first waits for its recipient's relays."""
        recipient = self.gift_wraps.recipient(held.event) if named is None else None
        if recipient is not None:
            relays = self.gift_wraps.known_relays(recipient, held.arrived_at)
            if relays is None:
                if self.gift_wraps.hold(recipient, held, held.arrived_at):
                    return
            else:
                named = relays or None
        self._publish_now(held, named)

    def _publish_now(self, held: Held, named: frozenset[str] | None) -> None:
        self.publisher.publish(
            held.event,
            held.consumer,
            is_public=held.is_public,
            client=held.client,
            extension=held.extension,
            publisher=held.publisher,
            named=named,
            arrived_at=held.arrived_at,
        )

    def _publish_held(self, now: float) -> None:
        for held, relays in self.gift_wraps.tick(now):
            self._publish_now(held, relays or None)

    def check_named(self, urls: Iterable[str]) -> frozenset[str]:
        """Return URLs to which an event may be published by name, normalised.

        Raises `InvalidMessage` for one that is no relay's, or that the operator's rules
        exclude, also by a switch in the list of relays.
        """
        checked = frozenset(normalize_relay_url(url) for url in urls)
        most = self.settings.http_named_relays
        if not self.settings.named_connections:
            raise InvalidMessage("events may name no relays here")
        if not 0 < len(checked) <= most:
            raise InvalidMessage(f"name 1 to {most} relays")
        for url in checked:
            relay = self.relays.get(url)
            if relay is None:
                self.named.check(url)
            elif not relay.use.writable:
                raise InvalidMessage(f"{url} is switched off for publishing")
        return checked

    def publish_to(self, message_text: str, relays: Iterable[str]) -> None:
        """Publish the EVENT in a message, given as JSON text, to these relays only.

        They need not be configured; see `docs/extensions.md`. Raises `InvalidMessage`
        or `InvalidEvent` (both `ValueError`).
        """
        parsed = message.parse_client_message(message_text)
        if not isinstance(parsed, message.ClientEvent):
            raise InvalidMessage("only an EVENT can be published")
        extension = calling_extension()
        self.publisher.publish(
            parsed.verify(),
            client=self.message_pool.in_process,
            extension=extension,
            named=self.check_named(relays),
        )

    def publish_message(self, message_text: str) -> None:
        """Send a client message as JSON text: EVENT, REQ or CLOSE.

        Raises `InvalidMessage` or `InvalidEvent` (both `ValueError`).
        """
        parsed = message.parse_client_message(message_text)
        if isinstance(parsed, message.ClientEvent):
            event = parsed.verify()
            client, extension = self.message_pool.in_process, calling_extension()
            now = clock.now()
            self._publish(Held(event, None, client, False, extension, "", now), None)
        elif isinstance(parsed, message.ClientClose):
            self.close_subscription(parsed.subscription_id)
        elif isinstance(parsed, message.ClientReq) and not parsed.is_count:
            self.add_subscription(parsed.subscription_id, list(parsed.filters))
        else:
            raise InvalidMessage("only EVENT, REQ and CLOSE can be sent to relays")

    def step(self) -> float | None:
        """Do what is due; return the instant of the next step, None without one.

        `on_change` is called when that instant moves forward, or when the publisher's
        ledger has got entries.
        """
        self._publish_held(clock.now())
        with self._lock:
            now = clock.now()
            self._counts.tick(now)
            self.links.tick(now)
            if self.running:
                self.named.tick(now, self.relays)
            if self._start_again_at is not None and self._start_again_at <= now:
                if self.running:
                    self._start_missing()
                else:
                    self._start_again_at = None
            mine = self._due = self._next_due()
        due = (mine, self.publisher.step())
        return min((at for at in due if at is not None), default=None)

    def _next_due(self) -> float | None:
        """Return when COUNTs and links have the next thing to do."""
        due = (
            self._counts.deadline(),
            self.links.deadline(),
            self.named.deadline(),
            self.gift_wraps.deadline(),
            self._start_again_at,
        )
        return min((at for at in due if at is not None), default=None)

    def _check_due(self) -> None:
        """Report that the next `step` is due sooner, if it is."""
        with self._lock:
            due = self._next_due()
            if due is None or (self._due is not None and self._due <= due):
                return
            self._due = due
        self._changed()

    def _changed(self) -> None:
        on_change = self.on_change
        if on_change is not None:
            on_change()

    def _wake_publisher(self, relay_url: str) -> None:
        relay = self.relays.get(relay_url)
        if relay is not None:
            relay.wake_publisher()
        else:
            self.named.wake(relay_url)

    def _is_ourselves(self, information: RelayInformation | None) -> bool:
        """Return whether a NIP-11 document is that of our own endpoint (F1)."""
        return information is not None and information.instance_id == self.instance_id

    # For `RelayReports`

    def _is_current(self, relay: RelayRecord) -> bool:
        return self.relays.get(relay.url) is relay and relay.active

    def _refuse_searches(self, relay: RelayRecord) -> None:
        """Close the subscriptions that a relay without search (NIP-50) is not asked."""
        if not relay.is_informed or self._can_search(relay):
            return
        for upstream_id, request in self._searches.items():
            if all(filter_.is_search for filter_ in request.filters):
                self._tell(upstream_id, Closed(upstream_id, relay.url, NO_SEARCH))

    def _retry_lost_with(self, relay: RelayRecord) -> None:
        """Retry the relays whose outage began with this relay's: the network is back.

        A dead connection is noticed within `ping_seconds` + `pong_seconds`.
        """
        if relay.down_since is None:
            return
        margin = self.settings.ping_seconds + self.settings.pong_seconds
        for other in self._active_relays():
            if (
                other is not relay
                and other.down_since is not None
                and abs(other.down_since - relay.down_since) <= margin
            ):
                other.retry_now()

    @property
    def connected_relays(self) -> int:
        """How many relays are connected."""
        return sum(
            relay.status is RelayStatus.CONNECTED for relay in self.relays.values()
        )


class RelayReports:
    """What relays report to their manager, from their threads: its `RelayOwner`.

    It shares the manager's lock and state.
    """

    def __init__(self, manager: RelayManager) -> None:
        self._manager = manager
        self.message_pool = manager.message_pool
        self.link_key: str | None = None  # main links have no reader key

    @property
    def identities(self) -> tuple[PrivateKey, ...]:
        """The keys to authenticate with (NIP-42): the service key, if there is one."""
        identity = self._manager.identity
        return () if identity is None else (identity,)

    def retry_keys(self, url: str) -> None:
        """Ask a relay's main link again for the keys that it needs."""
        relay = self._manager.relays.get(url)
        if relay is not None:
            relay.want_keys()

    def links_due_changed(self) -> None:
        """Handle that links have something to do earlier than they said."""
        self._manager._check_due()

    def relay_gave(self, relay: RelayRecord, event: SignedEvent) -> None:
        """Do nothing: a main link has no reader key."""

    def relay_refused_key(self, relay: RelayRecord) -> None:
        """Do nothing: a main link has one key at most."""

    def relay_recognised(self, relay: RelayRecord) -> None:
        """A relay presented itself as another nostrclient."""
        with self._manager._lock:
            if self._manager._is_current(relay):
                self._manager._recognise(relay)

    def relay_connected(self, relay: RelayRecord) -> None:
        """A relay's connection is open."""
        with self._manager._lock:
            if not self._manager._is_current(relay):
                return
            self._manager.publisher.relay_connected(relay.url)
            self._manager.links.retry_now(relay.url)
            if relay.read:
                self._manager._send_to_all(relay, True, True)
                self._manager._refuse_searches(relay)
            self._manager._retry_lost_with(relay)

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """A relay's connection ended, or could not be made."""
        with self._manager._lock:
            if not self._manager._is_current(relay):
                return
            self._manager._disconnected(relay.url)
            # One that was connected may be back in time to send its EOSE.
            if relay.read and relay.lost_at is None:
                self._manager._send_to_all(relay, True, False)

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, message: str
    ) -> None:
        """Handle that a relay sent OK."""
        if self._manager._is_current(relay):
            self._manager.publisher.relay_answered(
                relay.url, event_id, accepted, message
            )

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """Handle that a relay sent a NOTICE that speaks of a rate limit."""
        if self._manager._is_current(relay):
            self._manager.publisher.relay_rate_limited(relay.url)

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """A relay sent its first EOSE for these subscriptions; see `Eose`."""
        information = relay.information
        max_limit = information.limits.max_limit if information is not None else None
        for upstream_id in upstream_ids:
            self._manager.message_pool.finish(
                upstream_id, relay.label, complete, max_limit
            )

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """A relay is sending known stored events for these subscriptions."""
        for upstream_id in upstream_ids:
            feed = self._manager.message_pool.feed(upstream_id)
            if feed is not None:
                feed.consumer.put(Progress(upstream_id, relay.url))

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """A relay closed subscriptions for good."""
        for upstream_id in closed.upstream_ids:
            feed = self._manager.message_pool.feed(upstream_id)
            if feed is not None:
                feed.consumer.put(Closed(upstream_id, relay.url, closed.message))

    def relay_wants_key(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Open what a relay serves to certain keys only over links of their own."""
        if self._manager._is_current(relay) and relay.read and self._manager.running:
            self._manager.links.open(relay, requests)

    def relay_wants_author(
        self, relay: RelayRecord, event_id: str, refusal: str
    ) -> bool:
        """Send an event over its author's link; return whether we hold that key."""
        with self._manager._lock:
            if not self._manager._is_current(relay) or not self._manager.running:
                return False
        publication = self._manager.publisher.publication(event_id)
        if publication is None:
            return False
        outgoing = OutgoingEvent(
            publication.event, publication.latest_client, publication.is_public
        )
        return self._manager.links.publish(relay, outgoing)

    def relay_counted(
        self,
        relay: RelayRecord,
        upstream_id: str,
        answer: message.RelayCount | message.RelayClosed | None,
    ) -> None:
        """A relay answered a COUNT, or refused to; None: it was not asked."""
        with self._manager._lock:
            self._manager._counts.answered(relay.url, upstream_id, answer)

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """A relay accepted our AUTH: what it did not answer for good is sent again."""
        with self._manager._lock:
            if self._manager._is_current(relay):
                self._manager.publisher.relay_connected(relay.url)

    def relay_informed(self, relay: RelayRecord) -> None:
        """A relay's NIP-11 document was read, or there is none.

        A document with our own instance id is our own endpoint: no relay (F1).
        """
        information = relay.information
        with self._manager._lock:
            if not self._manager._is_current(relay):
                return
            if self._manager._is_ourselves(information):
                relay.add_error("this is nostrclient's own endpoint")
                self._manager._deactivate(self._manager.relays[relay.url])
                return
            if information is not None and information.instance_id:
                self._manager._recognise(relay)
            if relay.url in self._manager._searchers:
                return
            elif relay.read and self._manager._can_search(relay):
                self._manager._searchers.add(relay.url)
                for request in self._manager._searches.values():
                    if self._manager._may_ask(relay, request.upstream_id):
                        self._manager.relays[relay.url].subscribe(request)
            elif relay.read:
                self._manager._refuse_searches(relay)

    def relay_noticed(self, relay: RelayRecord, text: str) -> None:
        """A relay sent NOTICE; it also goes to whoever polls notices."""
        self._manager.message_pool.in_process.put(Notice(relay.url, text))

    def take_events(
        self, relay: RelayRecord, limit: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to publish now, and when to ask again."""
        if not self._manager._is_current(relay):
            return [], None
        return self._manager.publisher.take_events(
            relay.url, limit, relay.unsent_events
        )


def _target(use: RelayUse) -> PublishTarget:
    if not use.write:
        return PublishTarget.NONE
    return PublishTarget.ASKED if use.active else PublishTarget.OFF
