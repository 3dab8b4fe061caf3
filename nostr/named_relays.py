"""Links to relays that are not configured, but named with an event (H10).

Theory of operation. The outbox knows which relays pending events name. For each of them
a link is opened, closed when nothing has been pending for a while, and opened again for
the next event. Links carry events only, and authenticate as nobody.

There are at most `named_connections`. Where more relays are wanted they take turns: a
link that is idle, or whose relay could not be reached, makes room for the relay that
has waited the longest.

The operator decides which relays may be named: `check` is asked each time that a link
is opened, because an event may wait for days and the rules may change meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from . import clock, message
from .event import SignedEvent
from .information import RelayInformation
from .key import PrivateKey
from .log import LimitedLog
from .message_pool import MessagePool
from .outbox import OutgoingEvent
from .publisher import Publisher
from .relay_link import Reconnect, RelayLink, WakePublisher
from .relay_record import RelayRecord, RelayUse
from .relay_session import ClosedForGood
from .relay_subscription import Request
from .settings import KIB, Settings

CHECK_SECONDS = 5.0  # between two looks at links that nothing is reported of
TURN_SECONDS = 1.0  # between two looks for room while relays wait for it
ANSWER_BYTES = 64 * KIB  # of one message: a link receives answers to events only
OURSELVES = "blocked: this is nostrclient's own endpoint"


class NamedRelay:
    """The link to one relay; what its conversation reports to.

    `idle_since` is since when nothing is pending for it, on `clock.now`.
    """

    link_key: str | None = None
    identities: tuple[PrivateKey, ...] = ()

    def __init__(
        self, url: str, pool: NamedRelays, settings: Settings, *, public_only: bool
    ) -> None:
        self.url = url
        self.message_pool: MessagePool = pool.message_pool
        self.record = RelayRecord(url, settings, pool.log)
        self.record.use = RelayUse(active=True, read=False, write=True)
        self.record.public_only = public_only
        self.idle_since: float | None = None
        self._pool = pool
        self._link = RelayLink(self.record, self, settings)

    @property
    def failed(self) -> bool:
        """Whether the relay was tried and is not connected."""
        return not self.record.connected and self.record.attempts > 0

    def start(self) -> None:
        """Connect. Raises `RuntimeError` where the system gives no thread."""
        self._link.start(())

    def stop(self) -> threading.Thread | None:
        """Close the link; return its thread, so that it can be joined."""
        return self._link.stop()

    def wake(self) -> None:
        """Wake the thread to look for events to publish."""
        self._link.put(WakePublisher())

    def reroute(self, settings: Settings) -> None:
        """Reconnect the way that relays are reached now."""
        self._link.configure(settings)
        self._link.put(Reconnect(forget_authentication=False))
        self._link.retry_now()

    @property
    def _publisher(self) -> Publisher | None:
        """The publisher, while the pool still holds this link."""
        return self._pool.publisher if self._pool.is_current(self) else None

    # What the conversation reports (RelayOwner)

    def relay_recognised(self, relay: RelayRecord) -> None:
        """Publish nothing of other nostrclients to this one."""
        relay.is_nostrclient = True
        if (publisher := self._publisher) is not None:
            publisher.relay_recognised(self.url)

    def relay_connected(self, relay: RelayRecord) -> None:
        """Send the relay all that is pending for it (again)."""
        if (publisher := self._publisher) is not None:
            publisher.relay_connected(self.url)

    def relay_disconnected(self, relay: RelayRecord) -> None:
        """Keep what is pending until the relay is back."""
        if (publisher := self._publisher) is not None:
            publisher.relay_disconnected(self.url)

    def relay_answered(
        self, relay: RelayRecord, event_id: str, accepted: bool, message: str
    ) -> None:
        """Handle OK."""
        if (publisher := self._publisher) is not None:
            publisher.relay_answered(self.url, event_id, accepted, message)

    def relay_rate_limited(self, relay: RelayRecord) -> None:
        """Handle a NOTICE that speaks of a rate limit."""
        if (publisher := self._publisher) is not None:
            publisher.relay_rate_limited(self.url)

    def relay_informed(self, relay: RelayRecord) -> None:
        """Refuse what is pending where the relay turns out to be this endpoint."""
        publisher, information = self._publisher, relay.information
        if information is not None and information.instance_id:
            self.relay_recognised(relay)
        if publisher is not None and self._pool.is_ourselves(information):
            publisher.refuse_all(self.url, OURSELVES)

    def take_events(
        self, relay: RelayRecord, limit: int
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to publish now, and when to ask again."""
        if (publisher := self._publisher) is not None:
            return publisher.take_events(self.url, limit, relay.unsent_events)
        return [], None

    def relay_wants_author(
        self, relay: RelayRecord, event_id: str, refusal: str
    ) -> bool:
        """Return False: the link authenticates as nobody."""
        return False

    # A link without subscriptions and keys has nothing else to report.

    def relay_finished(
        self,
        relay: RelayRecord,
        upstream_ids: Iterable[str],
        complete: bool | None = None,
    ) -> None:
        """Do nothing."""

    def relay_wants_key(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Do nothing."""

    def relay_progress(self, relay: RelayRecord, upstream_ids: Iterable[str]) -> None:
        """Do nothing."""

    def relay_closed(self, relay: RelayRecord, closed: ClosedForGood) -> None:
        """Do nothing."""

    def relay_gave(self, relay: RelayRecord, event: SignedEvent) -> None:
        """Do nothing."""

    def relay_refused_key(self, relay: RelayRecord) -> None:
        """Do nothing."""

    def relay_authenticated(self, relay: RelayRecord) -> None:
        """Do nothing."""

    def relay_counted(
        self,
        relay: RelayRecord,
        upstream_id: str,
        answer: message.RelayCount | message.RelayClosed | None,
    ) -> None:
        """Do nothing."""

    def relay_noticed(self, relay: RelayRecord, text: str) -> None:
        """Do nothing."""


class NamedRelays:
    """All such links. Every method may be called from any thread.

    `check` raises `ValueError` for a relay that may not be named; `public_only` returns
    whether private addresses are refused. Both are set by whoever knows the operator's
    rules. `_lock` guards the links. It comes after the relay manager's lock and before
    the publisher's.
    """

    def __init__(
        self, message_pool: MessagePool, publisher: Publisher, settings: Settings
    ) -> None:
        self.message_pool = message_pool
        self.publisher = publisher
        self.log = LimitedLog(settings)
        self.check: Callable[[str], object] = lambda _: None
        self.public_only: Callable[[], bool] = lambda: True
        self.is_ourselves: Callable[[RelayInformation | None], bool] = lambda _: False
        self._settings = settings
        self._links: dict[str, NamedRelay] = {}
        self._closed_at: dict[str, float] = {}
        self._due: float | None = None
        self._lock = threading.RLock()

    def configure(self, settings: Settings) -> None:
        """Apply other settings to links that are opened from now on."""
        self._settings = settings
        self.log.configure(settings)

    def reroute(self, settings: Settings) -> None:
        """Reconnect all links the way that relays are reached now."""
        with self._lock:
            self._settings = settings
            for link in self._links.values():
                link.reroute(settings)

    @property
    def links(self) -> Mapping[str, NamedRelay]:
        """The open links by URL."""
        with self._lock:
            return dict(self._links)

    def is_current(self, link: NamedRelay) -> bool:
        """Return whether a link is still the one to its relay."""
        return self._links.get(link.url) is link

    def wake(self, url: str) -> None:
        """Wake the link to a relay, if there is one, to look for events."""
        link = self._links.get(url)
        if link is not None:
            link.wake()

    def tick(self, now: float, configured: Iterable[str] = ()) -> None:
        """Open the links that are wanted, and close the ones that are not.

        `configured` relays have connections of their own.
        """
        taken = set(configured)
        with self._lock:
            wanted = [url for url in self.publisher.named_relays() if url not in taken]
            self._note_idleness(wanted, now)
            idle_seconds = self._settings.link_idle_seconds
            for url, link in list(self._links.items()):
                since = link.idle_since
                if url in taken or (since is not None and now - since >= idle_seconds):
                    self._close(link, now)
            for url in self._waiting(wanted, now):
                if not self._make_room(now):
                    break
                self._open(url, now)
            self.publisher.named_relays()  # forgets the relays of closed links
            self._due = self._next_due(wanted, now)

    def _waiting(self, wanted: Iterable[str], now: float) -> list[str]:
        """Return the relays to open a link to, the longest closed one first.

        Those whose link made room are not tried more often than others that are down.
        """
        wanted = set(wanted)
        pause = self._settings.reconnect_max_seconds
        self._closed_at = {
            url: at for url, at in self._closed_at.items() if url in wanted
        }
        waiting = [
            url
            for url in wanted - self._links.keys()
            if now - self._closed_at.get(url, float("-inf")) >= pause
        ]
        return sorted(waiting, key=lambda url: self._closed_at.get(url, 0.0))

    def _note_idleness(self, wanted: Iterable[str], now: float) -> None:
        busy = set(wanted)
        for url, link in self._links.items():
            if url in busy:
                link.idle_since = None
            elif link.idle_since is None:
                link.idle_since = now

    def _make_room(self, now: float) -> bool:
        """Return whether one more link may be opened; close one for it if need be."""
        if len(self._links) < self._settings.named_connections:
            return True
        for link in self._links.values():
            if link.idle_since is not None or link.failed:
                self._close(link, now)
                return True
        return False

    def _open(self, url: str, now: float) -> None:
        try:
            self.check(url)
        except ValueError as error:
            self.publisher.refuse_all(url, f"blocked: {error}")
            return
        # Somebody may name a relay of their own, to have it fill our memory.
        settings = replace(
            self._settings,
            relay_message_bytes=ANSWER_BYTES,
            relay_frame_bytes=ANSWER_BYTES,
        )
        link = NamedRelay(url, self, settings, public_only=self.public_only())
        self._links[url] = link
        try:
            link.start()
        except RuntimeError:  # the system gives no thread
            self._close(link, now)

    def _close(self, link: NamedRelay, now: float) -> threading.Thread | None:
        del self._links[link.url]
        self._closed_at[link.url] = now
        self.publisher.relay_disconnected(link.url)
        return link.stop()

    def close(self, url: str) -> None:
        """Close the link to a relay, if there is one."""
        with self._lock:
            link = self._links.get(url)
            if link is not None:
                self._close(link, clock.now())

    def stop(self) -> list[threading.Thread]:
        """Close all links; return their threads, so that they can be joined."""
        with self._lock:
            now = clock.now()
            closed = [self._close(link, now) for link in list(self._links.values())]
            self._due = None
        return [thread for thread in closed if thread is not None]

    def _next_due(self, wanted: Iterable[str], now: float) -> float | None:
        if any(url not in self._links for url in wanted):
            return now + TURN_SECONDS
        if not self._links:
            return None
        idle = [link.idle_since for link in self._links.values()]
        seconds = self._settings.link_idle_seconds
        ends = [since + seconds for since in idle if since is not None]
        return min([now + CHECK_SECONDS, *ends])

    def deadline(self) -> float | None:
        """Return when to call `tick`; None while no relay is named."""
        return self._due
