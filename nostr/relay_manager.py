"""The set of relays: what is asked of all of them, and what they have to say."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import clock, message
from .counts import Counts
from .delivery import (
    Closed,
    Consumer,
    Notice,
    Progress,
    RelayChanged,
    SubscriptionOpened,
)
from .errors import InvalidMessage
from .event import SignedEvent
from .filter import Filter, parse_filters
from .information import COUNT_NIP, RelayInformation
from .key import PrivateKey
from .log import LimitedLog, logger
from .message_pool import Feed, MessagePool
from .outbox import (
    Answer,
    Delete,
    Effect,
    Log,
    Notify,
    Outbox,
    OutgoingEvent,
    Save,
    Undeliverable,
)
from .publication import Publication
from .relay import Relay, new_id
from .relay_record import RelayRecord, RelayStatus, RelayUse
from .relay_session import ClosedForGood
from .relay_subscription import Request
from .relay_url import known_relay_url, normalize_relay_url
from .settings import Settings


class InProcess(NamedTuple):
    """A subscription that was opened in this process."""

    upstream_id: str
    filters: list[Any]


class RelayManager:
    """All relays, all open subscriptions and the outbox.

    Every method may be called from any thread and from the event loop, and returns at
    once. One lock guards what relates relays, subscriptions and the outbox; it is never
    held while anything is waited for.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.relays: dict[str, Relay] = {}
        self.message_pool = MessagePool(self.settings)
        self.outbox = Outbox(self.settings)
        self.ledger: deque[Save | Delete] = deque()
        self.on_change: Callable[[], None] | None = None
        self.running = False
        self._requests: dict[str, Request] = {}
        self._in_process: dict[str, InProcess] = {}
        self._consumers: set[Consumer] = set()
        self.identity: PrivateKey | None = None
        self.instance_id = new_id()
        self._counts = Counts()
        self._due: float | None = None
        self._reports: deque[Log] = deque()
        self._event_log = LimitedLog(self.settings)
        self._lock = threading.RLock()

    def configure(self, settings: Settings) -> None:
        """Go by other numbers; meant to be called while stopped."""
        with self._lock:
            self.settings = settings
            self.outbox.configure(settings)
            self.message_pool.configure(settings)
            for relay in self.relays.values():
                relay.configure(settings)

    # Relays

    def start(self) -> None:
        """Connect to all active relays, with all subscriptions open."""
        with self._lock:
            if self.running:
                return
            self.running = True
            for relay in self._active_relays():
                self._start(relay)

    def stop(self) -> None:
        """End every relay's thread; relays, subscriptions and the outbox stay.

        Blocks until the threads have ended, at most `stop_seconds`.
        """
        deadline = clock.now() + self.settings.stop_seconds
        with self._lock:
            self.running = False
            threads = [relay.stop() for relay in self.relays.values()]
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - clock.now()))
        with self._lock:
            if not self.running:  # a thread that was stopped tells nothing more
                for relay in self._active_relays():
                    self._disconnected(relay.url)
        self._log_reports()

    def add_relay(
        self, url: str, *, active: bool = True, read: bool = True, write: bool = True
    ) -> Relay:
        """Add a relay and connect to it; one that is there already is given back.

        Raises `InvalidMessage` (a `ValueError`) where the URL is not one of a relay.
        """
        url = normalize_relay_url(url)
        with self._lock:
            relay = self.relays.get(url)
            if relay is None:
                relay = self.relays[url] = Relay(url, self, self.settings)
                self._set_use(relay, RelayUse(active, read, write))
        self._log_reports()
        return relay

    def remove_relay(self, url: str) -> None:
        """Remove a relay; what it is owed is kept for its return."""
        with self._lock:
            relay = self.relays.get(known_relay_url(url))
            if relay is not None:
                self._deactivate(relay)
                del self.relays[relay.url]
        self._log_reports()

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
    ) -> Relay:
        """Change what a relay is used for. Raises `KeyError` for an unknown one."""
        with self._lock:
            relay = self.relays[known_relay_url(url)]
            use = relay.use
            wanted = RelayUse(
                use.active if active is None else active,
                use.read if read is None else read,
                use.write if write is None else write,
            )
            if use.read != wanted.read:
                self._deactivate(relay)
            self._set_use(relay, wanted)
        self._log_reports()
        return relay

    def is_active(self, url: str) -> bool:
        """Whether a relay is switched on."""
        relay = self.relays.get(known_relay_url(url))
        return relay is not None and relay.active

    def _active_relays(self) -> list[Relay]:
        return [relay for relay in self.relays.values() if relay.active]

    def _set_use(self, relay: Relay, use: RelayUse) -> None:
        if not use.active:
            self._deactivate(relay)
            relay.use = use
            return
        was_active, relay.use = relay.active, use
        self.outbox.relay_asked(relay.url, use.writable, clock.now())
        if was_active:
            relay.wake_publisher()
            return
        if relay.read:
            self._tell_all(RelayChanged(relay.url, True, True))  # in its first attempt
        if self.running:
            self._start(relay)

    def _start(self, relay: Relay) -> None:
        relay.start(self._requests.values() if relay.read else ())

    def _deactivate(self, relay: Relay) -> None:
        relay.use = relay.use._replace(active=False)
        relay.stop()
        self.outbox.relay_asked(relay.url, False, clock.now())
        self._disconnected(relay.url)
        self._tell_all(RelayChanged(relay.url, False, False))

    def _disconnected(self, url: str) -> None:
        self._counts.lost(url)
        self._carry_out(self.outbox.relay_disconnected(url, clock.now()))

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
        self._log_reports()

    # Consumers

    def register(self, consumer: Consumer) -> None:
        """Tell a consumer of every change of a relay from now on."""
        with self._lock:
            self._consumers.add(consumer)

    def unregister(self, consumer: Consumer) -> None:
        """Tell a consumer nothing more."""
        with self._lock:
            self._consumers.discard(consumer)

    def _tell_all(self, change: RelayChanged) -> None:
        for consumer in self._consumers:
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
    ) -> None:
        """Open a subscription on all relays, also on those that connect later.

        What `seen` holds, keys of a `SeenIds`, is not delivered again. Where there is
        not enough for all, those that are not `is_public` are served first.
        """
        with self._lock:
            feed = Feed(upstream_id, filters, consumer, seen, is_public=is_public)
            self.message_pool.open(feed)
            request = Request(
                upstream_id, filters, clock.wall(), feed.delivered, is_public, consumer
            )
            self._requests[upstream_id] = request
            readers = self._readers()
            consumer.put(self._asked(upstream_id, readers))
            for relay in readers:
                relay.subscribe(request)

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
        """Close a subscription on all relays; nothing comes for it any more."""
        with self._lock:
            self.message_pool.close(upstream_id)
            if self._requests.pop(upstream_id, None) is None:
                return
            for relay in self._readers():
                relay.unsubscribe(upstream_id)

    @property
    def subscription_count(self) -> int:
        """How many subscriptions are open."""
        return len(self._requests)

    def count(
        self, upstream_id: str, filters: tuple[Filter, ...], consumer: Consumer
    ) -> None:
        """Count events on the relays that can (NIP-45), as far as that is known."""
        with self._lock:
            able = [
                relay
                for relay in self._readers()
                if relay.connected and self._counts_events(relay) is not False
            ]
            deadline = clock.now() + self.settings.count_seconds
            urls = [relay.url for relay in able]
            self._counts.open(upstream_id, consumer, urls, deadline)
            for relay in able:
                relay.count(upstream_id, [filter_.json for filter_ in filters])
            self._carry_out([])

    @property
    def can_count(self) -> bool:
        """Whether any relay can answer a COUNT now."""
        with self._lock:
            return any(
                relay.connected and self._counts_events(relay)
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
        self._add_subscription(id, filters, ())

    def _add_subscription(
        self, subscription_id: str, filters: list[Any], seen: Iterable[int]
    ) -> None:
        parsed = parse_filters(filters)
        queues = self.message_pool.in_process
        with self._lock:
            self.close_subscription(subscription_id)
            upstream_id = new_id()
            self._in_process[subscription_id] = InProcess(upstream_id, filters)
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
                self.unsubscribe(opened.upstream_id)

    def is_open(self, id: str) -> bool:  # noqa: A002
        """Whether a subscription was opened in this process and is not closed."""
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
        """Give what is not in any database, as plain data, to `take_over` elsewhere."""
        with self._lock:
            now = clock.now()
            return {
                "relays": [
                    {
                        "url": url,
                        "active": relay.active,
                        "read": relay.read,
                        "write": relay.write,
                    }
                    for url, relay in self.relays.items()
                ],
                "subscriptions": [
                    {
                        "id": subscription_id,
                        "filters": opened.filters,
                        "seen": self.message_pool.seen_keys(opened.upstream_id),
                    }
                    for subscription_id, opened in self._in_process.items()
                ],
                "events": [
                    {
                        "text": item.event.text,
                        "is_public": item.is_public,
                        "age_seconds": now - item.published_at,
                        "accepted": item.accepted,
                        "owed": list(item.copies),
                    }
                    for item in self.outbox.publications.values()
                ],
            }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on with what `hand_over` gave; what it has already stays as it is."""
        for known in state["relays"]:
            self.add_relay(
                known["url"],
                active=known["active"],
                read=known["read"],
                write=known["write"],
            )
        for opened in state["subscriptions"]:
            if opened["id"] not in self._in_process:
                self._add_subscription(opened["id"], opened["filters"], opened["seen"])
        for item in state["events"]:
            self.outbox_restore(
                SignedEvent.parse(item["text"]),
                is_public=item["is_public"],
                age_seconds=item["age_seconds"],
                accepted=item["accepted"],
                owed=item["owed"],
            )

    # Publishing

    def publish(
        self, event: SignedEvent, consumer: Consumer | None, *, is_public: bool = False
    ) -> None:
        """Publish a checked event; the consumer receives one `PublishResult`."""
        self._publish(event, consumer, is_public=is_public)

    def _publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None = None,
        *,
        is_public: bool = False,
        client: Consumer | None = None,
    ) -> None:
        with self._lock:
            effects = self.outbox.publish(
                event, consumer, clock.now(), is_public=is_public, client=client
            )
            self._carry_out(effects)
            for relay in self.relays.values():
                if relay.use.writable and relay.connected:
                    relay.wake_publisher()
        self._log_reports()

    def publish_message(self, message_text: str) -> None:
        """Send a client message as JSON text: EVENT, REQ or CLOSE.

        Raises `InvalidMessage` or `InvalidEvent` (both `ValueError`).
        """
        parsed = message.parse_client_message(message_text)
        if isinstance(parsed, message.ClientEvent):
            self._publish(
                SignedEvent.parse(parsed.text), client=self.message_pool.in_process
            )
        elif isinstance(parsed, message.ClientClose):
            self.close_subscription(parsed.subscription_id)
        elif isinstance(parsed, message.ClientReq) and not parsed.is_count:
            self.add_subscription(parsed.subscription_id, list(parsed.filters))
        else:
            raise InvalidMessage("only EVENT, REQ and CLOSE can be sent to relays")

    def step(self) -> float | None:
        """Do what is due; gives the instant of the next step, None while there is none.

        `on_change` is called when that instant moves forward or the ledger has entries.
        """
        with self._lock:
            now = clock.now()
            self._counts.tick(now)
            self._carry_out(self.outbox.tick(now))
            due = self._due = self._deadline()
        self._log_reports()
        return due

    def _deadline(self) -> float | None:
        due = (self._counts.deadline(), self.outbox.deadline())
        return min((at for at in due if at is not None), default=None)

    # The outbox's store: whoever keeps it works off `ledger`, in order

    def outbox_publication(self, event_id: str) -> Publication | None:
        """Give a copy of what is to be stored for a `Save`; None: nothing any more."""
        with self._lock:
            publication = self.outbox.publications.get(event_id)
            if publication is None:
                return None
            return replace(publication, copies=dict(publication.copies))

    def outbox_restore(
        self,
        event: SignedEvent,
        *,
        is_public: bool,
        age_seconds: float,
        accepted: bool,
        owed: Iterable[str],
    ) -> None:
        """Take back what an earlier run stored, in the order it was published."""
        with self._lock:
            self.outbox.restore(
                event,
                clock.now(),
                is_public=is_public,
                age_seconds=age_seconds,
                accepted=accepted,
                owed=owed,
            )

    def outbox_stored(self, event_id: str, stored: bool) -> None:
        """What a `Save` of the ledger asked for was done, or could not be."""
        with self._lock:
            self._carry_out(self.outbox.stored(event_id, stored, clock.now()))
        self._log_reports()

    def outbox_forgotten(self, forget: Delete) -> None:
        """What a `Delete` of the ledger asked for was done."""
        with self._lock:
            self._carry_out(forget.tell)

    def outbox_retry(self, event_id: str | None = None) -> None:
        """Try an event that waits, or all of them, again now."""
        with self._lock:
            waiting = [item.event.id for item in self.outbox.waiting()]
            for found in waiting if event_id is None else [event_id]:
                self.outbox.retry(found)
            for relay in self._active_relays():
                relay.wake_publisher()

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

    def follow_event(self, event_id: str) -> None:
        """Remember how each relay answers an event that is to be published."""
        with self._lock:
            self.outbox.follow(event_id)

    def event_answers(self, event_id: str) -> dict[str, Answer] | None:
        """Give the relays' answers to a followed event, by URL; None: not followed."""
        with self._lock:
            return self.outbox.answers(event_id)

    def undeliverable_events(self) -> list[Undeliverable]:
        """Give the latest events that were vouched for in vain, newest first."""
        with self._lock:
            return list(reversed(self.outbox.undeliverable))

    def outbox_discard(self, event_id: str) -> None:
        """Give an event up."""
        with self._lock:
            self._carry_out(self.outbox.discard(event_id, clock.now()))
        self._log_reports()

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        changed = False
        for effect in effects:
            if isinstance(effect, Notify):
                effect.consumer.put(effect.verdict)
            elif isinstance(effect, Log):
                self._reports.append(effect)
            else:
                self.ledger.append(effect)
                changed = True
        due = self._deadline()
        if due is not None and (self._due is None or due < self._due):
            self._due = due
            changed = True
        if changed and self.on_change is not None:
            self.on_change()

    def _log_reports(self) -> None:
        while self._reports:
            try:
                report = self._reports.popleft()
            except IndexError:
                return
            event = report.event
            text = f"event {event.id} (kind {event.kind}): {report.text}"
            if report.warning:
                self._event_log.log("WARNING", text)
            else:
                logger.debug(text)

    # What relays tell (RelayOwner)

    def _is_current(self, relay: RelayRecord) -> bool:
        return self.relays.get(relay.url) is relay and relay.active

    def relay_connected(self, relay: RelayRecord) -> None:
        """A relay's connection is open."""
        with self._lock:
            if not self._is_current(relay):
                return
            self.outbox.relay_connected(relay.url)
            if relay.read:
                self._tell_all(RelayChanged(relay.url, True, True))
            self._retry_lost_with(relay)

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

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """A relay's connection ended, or could not be made."""
        with self._lock:
            if not self._is_current(relay):
                return
            self._disconnected(relay.url)
            # One that was connected may be back in time to send its EOSE.
            if relay.read and relay.lost_at is None:
                self._tell_all(RelayChanged(relay.url, True, False))
        self._log_reports()

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, reason: str
    ) -> None:
        """A relay sent OK."""
        with self._lock:
            if not self._is_current(relay):
                return
            effects = self.outbox.answered(
                relay.url, event_id, accepted, reason, clock.now()
            )
            self._carry_out(effects)
        self._log_reports()

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """A relay sent a NOTICE that speaks of a rate limit."""

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
            self.message_pool.finish(upstream_id, relay.url, complete, max_limit)

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """A relay is sending known stored events for these subscriptions."""
        for upstream_id in upstream_ids:
            feed = self.message_pool.feed(upstream_id)
            if feed is not None:
                feed.consumer.put(Progress(upstream_id, relay.url))

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """A relay closed subscriptions for good."""
        for upstream_id in closed.upstream_ids:
            feed = self.message_pool.feed(upstream_id)
            if feed is not None:
                feed.consumer.put(Closed(upstream_id, relay.url, closed.message))

    def relay_wants_key(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Handle that a relay serves these only to certain keys (NIP-42)."""

    def relay_wants_author(
        self, relay: RelayRecord, event_id: str, refusal: str
    ) -> bool:
        """Return whether an event goes out over the link of its author's key."""
        return False

    def relay_counted(
        self,
        relay: RelayRecord,
        upstream_id: str,
        answer: message.RelayCount | message.RelayClosed | None,
    ) -> None:
        """A relay answered a COUNT, or refused to; None: it was not asked."""
        with self._lock:
            self._counts.answered(relay.url, upstream_id, answer)

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """A relay accepted our AUTH: what it did not answer for good is sent again."""
        with self._lock:
            if self._is_current(relay):
                self.outbox.relay_connected(relay.url)

    def relay_informed(self, relay: RelayRecord, information: RelayInformation) -> None:
        """A relay's NIP-11 document was read; ourselves we do not connect to (F1)."""
        if information.instance_id != self.instance_id:
            return
        with self._lock:
            if self._is_current(relay):
                relay.add_error("this is nostrclient's own endpoint")
                self._deactivate(self.relays[relay.url])
        self._log_reports()

    def relay_noticed(self, relay: RelayRecord, text: str) -> None:
        """A relay sent NOTICE; it also goes to whoever polls notices."""
        self.message_pool.in_process.put(Notice(relay.url, text))

    def take_events(
        self, relay: RelayRecord, limit: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to publish now, and when to ask again."""
        with self._lock:
            if not self._is_current(relay):
                return [], None
            return self.outbox.take(relay.url, clock.now(), limit)

    def relay_numbers(self) -> dict[str, tuple[int, int]]:
        """Give how many events each relay is owed, and how many copies were dropped."""
        with self._lock:
            owed, relays = self.outbox.pending_copies(), self.outbox.relays
            return {
                url: (owed[url], relays[url].dropped if url in relays else 0)
                for url in {*owed, *relays}
            }

    def waiting_events(self) -> list[Publication]:
        """Give copies of the publications no relay has accepted yet, in order."""
        with self._lock:
            return [
                replace(item, copies=dict(item.copies), refusals=dict(item.refusals))
                for item in self.outbox.waiting()
            ]

    @property
    def waiting_count(self) -> int:
        """How many events no relay has accepted yet."""
        with self._lock:
            return sum(1 for _ in self.outbox.waiting())

    @property
    def waiting_revision(self) -> str:
        """A word that is another one after anything of what waits has changed."""
        with self._lock:
            waiting = [
                (item.event.id, len(item.copies), len(item.refusals))
                for item in self.outbox.waiting()
            ]
        return f"{hash(tuple(waiting)):x}"

    @property
    def undeliverable_count(self) -> int:
        """How many events were vouched for and then refused or too old."""
        return self.outbox.undeliverable_count

    @property
    def connected_relays(self) -> int:
        """How many relays are connected."""
        return sum(
            relay.status is RelayStatus.CONNECTED for relay in self.relays.values()
        )
