"""Links to relays as somebody: for the reader keys that a relay wants (NIP-42).

Many relays give direct messages and gift wraps only to a connection that authenticated
as their author or recipient. A reader key is a key of a shop, a wallet or a signer on
this server. Where a relay refuses a filter that names a reader key in `#p` or
`authors`, or sent AUTH and may leave events out, the filter goes out once more over a
link that authenticates as that key. A link carries nothing but what its keys are for,
and is closed when it is idle.

Many relays take one key per connection; some let a second AUTH take the place of the
first. So each key has a link of its own, until a relay has proved that it serves
several: a `Trial` authenticates a new connection as two keys, and asks for one event
of each that it gave to the links of their own. If both come, private clients'
subscriptions move there. The old links stay until the relay has answered the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from . import clock
from .delivery import Closed, Delivered, Delivery, Eose, SubscriptionOpened
from .entitlement import concerns
from .event import SignedEvent
from .filter import Filter, parse_filter
from .identity_link import SEVERAL, IdentityLink, LinksOwner
from .key import PrivateKey
from .log import logger
from .message_pool import Feed
from .outbox import OutgoingEvent
from .relay_counters import AuthState
from .relay_link import new_id
from .relay_record import RelayRecord
from .relay_subscription import Request
from .settings import RESTRICTED_KINDS, Settings

NamedFilters = dict[str, tuple[Filter, ...]]
"""The filters of one subscription by the reader key that they name."""


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


def _named_keys(filters: Iterable[Filter]) -> list[str]:
    """Return the keys that filters name in `#p` and `authors`, in their order."""
    found: dict[str, None] = {}
    for filter_ in filters:
        named = [values for name, values in filter_.tags if name == "p"]
        found.update(dict.fromkeys(named[0] if named else ()))
        found.update(dict.fromkeys(filter_.authors or ()))
    return list(found)


class Trial:
    """Asks a link of two keys for an event of each; a consumer of deliveries."""

    def __init__(
        self, link: IdentityLink, events: Iterable[SignedEvent], deadline: float
    ) -> None:
        self.link = link
        self.deadline = deadline
        self.upstream_id = new_id()
        self.is_over = False
        self._missing = {event.id for event in events}
        kinds = sorted({event.kind for event in events})
        wanted = parse_filter({"ids": sorted(self._missing), "kinds": kinds})
        self.filters = () if wanted is None else (wanted,)

    @property
    def has_succeeded(self) -> bool:
        """Whether the relay gave both events."""
        return not self._missing

    def put(self, item: Delivery) -> None:
        """Handle what the relay answered."""
        if isinstance(item, Delivered):
            self._missing.discard(item.event.id)
        elif isinstance(item, Eose | Closed):
            self.is_over = True


class IdentityLinks:
    """All reader keys and the links that use them.

    Every method may be called from any thread. `_lock` guards keys, links and trials.
    It comes after the relay manager's lock and before those of links.
    """

    def __init__(self, owner: LinksOwner, settings: Settings) -> None:
        self._owner = owner
        self._settings = settings
        self._keys: dict[str, PrivateKey] = {}
        self._links: dict[tuple[str, str], IdentityLink] = {}
        self._wanted: dict[str, dict[str, None]] = {}
        self._lacking: dict[str, dict[str, None]] = {}
        self._crowded: set[str] = set()  # relays that need more links than allowed
        self._takes_several: dict[str, bool] = {}
        self._trials: dict[str, Trial] = {}
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
            links = []
            for link in self._links.values():
                trial = self._trials.get(link.relay.url)
                on_trial = trial is not None and trial.link is link
                if pubkey in link.pubkeys and (
                    not link.remove_key(pubkey) or on_trial or not link.is_several
                ):
                    links.append(link)
            self._close(links, "auth-required: its key was removed")
            return True

    def links_of(self, url: str) -> list[IdentityLink]:
        """Return a relay's open links."""
        with self._lock:
            return [link for (known, _), link in self._links.items() if known == url]

    def takes_several(self, url: str) -> bool | None:
        """Return whether a relay serves several keys at once; None: not known yet."""
        return self._takes_several.get(url)

    def wanted_keys(self, url: str) -> dict[str, bool]:
        """Return the keys that a relay wants for what it withholds, and which we hold.

        They are public keys in hex that refused filters name, the latest ones.
        """
        with self._lock:
            return {name: name in self._keys for name in self._wanted.get(url, ())}

    @property
    def lacking_keys(self) -> set[str]:
        """The keys that we lack for private messages of private clients.

        They are those of REQs for restricted kinds that name no key that we hold.
        """
        with self._lock:
            return {name for keys in self._lacking.values() for name in keys} - (
                self._keys.keys()
            )

    def open(self, relay: RelayRecord, requests: Iterable[Request]) -> None:
        """Open what a relay serves to certain keys only over the links of those."""
        with self._lock:
            # The parts of one REQ that the relay was sent are one subscription here.
            opened: dict[str, tuple[Request, NamedFilters]] = {}
            for request in requests:
                self._remember_wanted(relay.url, request)
                feed = self._owner.message_pool.feed(request.upstream_id)
                if feed is None:
                    continue
                self._remember_lacking(relay.url, feed)
                _, named = opened.setdefault(request.upstream_id, (request, {}))
                for pubkey in self._keys:
                    if feed.may_read_as(pubkey):
                        found = narrow_to_key(request.filters, pubkey)
                        named[pubkey] = named.get(pubkey, ()) + found
            for request, named in opened.values():
                self._carry(relay, request, named)

    def _carry(self, relay: RelayRecord, request: Request, named: NamedFilters) -> None:
        """Open a subscription over the links of the keys that its filters name."""
        wanted = {pubkey: filters for pubkey, filters in named.items() if filters}
        if not wanted:
            return
        if self._takes_several.get(relay.url) and not request.is_public:
            link = self._link(relay, wanted, several=True)
            self._subscribe(link, request, wanted)
            return
        for pubkey, filters in wanted.items():
            link = self._link(relay, [pubkey])
            self._subscribe(link, request, {pubkey: filters})

    def _subscribe(
        self, link: IdentityLink | None, request: Request, named: NamedFilters
    ) -> None:
        feed = self._owner.message_pool.feed(request.upstream_id)
        if link is None or feed is None or not link.subscribe(request, named):
            return
        label = link.record.label
        opened = SubscriptionOpened(
            request.upstream_id, frozenset((label,)), {label: float("inf")}, 1
        )
        feed.consumer.put(opened)

    def _remember_wanted(self, url: str, request: Request) -> None:
        wanted = self._wanted.setdefault(url, {})
        for pubkey in _named_keys(request.filters):
            wanted.pop(pubkey, None)
            wanted[pubkey] = None
        # A stranger may name any number of keys: those that we hold are kept first.
        excess = len(wanted) - self._settings.max_wanted_keys
        if excess > 0:
            for name in sorted(wanted, key=lambda name: name in self._keys)[:excess]:
                del wanted[name]

    def _remember_lacking(self, url: str, feed: Feed) -> None:
        """Remember the keys that a private client's REQ for private messages needs."""
        private = [
            item
            for item in feed.filters
            if item.kinds is not None and item.kinds & RESTRICTED_KINDS
        ]
        named = _named_keys(private)
        if feed.is_public or any(name in self._keys for name in named):
            return
        lacking = self._lacking.setdefault(url, {})
        lacking.update(dict.fromkeys(named))
        while len(lacking) > self._settings.max_wanted_keys:
            del lacking[next(iter(lacking))]

    def publish(self, relay: RelayRecord, outgoing: OutgoingEvent) -> bool:
        """Send an event over its author's link; return whether we hold that key."""
        author = outgoing.event.pubkey
        with self._lock:
            if author not in self._keys:
                return False
            several = self._links.get((relay.url, SEVERAL))
            if several is not None and author in several.pubkeys:
                link: IdentityLink | None = several
            else:
                link = self._link(relay, [author])
            if link is None:
                return False
            link.publish(outgoing)
            return True

    def _link(
        self, relay: RelayRecord, pubkeys: Iterable[str], *, several: bool = False
    ) -> IdentityLink | None:
        """Return the link of a key to a relay, or that of several keys.

        It is a new one where there is none; None where there are too many.
        """
        keys = [self._keys[pubkey] for pubkey in pubkeys if pubkey in self._keys]
        if not keys:  # they were removed meanwhile
            return None
        place = SEVERAL if several else keys[0].public_key.hex()
        link = self._links.get((relay.url, place))
        if link is not None:
            if several:
                link.add_keys(keys)
            return link
        if not self._has_room(relay.url):
            self._crowded.add(relay.url)
            text = "too many links for reader keys"
            relay.add_error(text, warn=not self.links_of(relay.url))
            return None
        link = IdentityLink(
            relay, keys, self._owner, self, self._settings, several=several
        )
        self._links[relay.url, place] = link
        link.start()
        names = ", ".join(key.public_key.bech32() for key in keys)
        logger.info(f"relay {relay.url}: a link for {names} opens")
        return link

    def _has_room(self, url: str) -> bool:
        settings = self._settings
        return (
            len(self.links_of(url)) < settings.max_links_per_relay
            and len(self._links) < settings.max_links
        )

    # Several keys on one connection

    def link_gave(self, link: IdentityLink, event: SignedEvent) -> None:
        """Keep an event that concerns one key only, as a witness for a trial."""
        with self._lock:
            url = link.relay.url
            if link.is_several or self._links.get((url, link.place)) is not link:
                return
            if [key for key in self._keys if concerns(event, key)] != [link.place]:
                return
            link.witness = event
            begun = self._begin_trial(link.relay)
        if begun:
            self._owner.links_due_changed()

    def _begin_trial(self, relay: RelayRecord) -> bool:
        """Start a trial once two links have a witness; return whether that is so."""
        url = relay.url
        if url in self._takes_several or url in self._trials:
            return False
        witnesses = {
            link.place: link.witness
            for link in self.links_of(url)
            if link.witness is not None and link.place in self._keys
        }
        if len(witnesses) < 2 or not self._has_room(url):
            return False
        pubkeys = list(witnesses)[:2]
        link = self._link(relay, pubkeys, several=True)
        if link is None:
            return False
        trial = Trial(
            link,
            [witnesses[pubkey] for pubkey in pubkeys],
            clock.now() + self._settings.key_trial_seconds,
        )
        self._trials[url] = trial
        feed = Feed(trial.upstream_id, trial.filters, trial)
        self._owner.message_pool.open(feed)
        request = Request(
            trial.upstream_id,
            trial.filters,
            clock.wall(),
            feed.delivered,
            False,
            trial,
        )
        link.subscribe(request, {SEVERAL: trial.filters})
        return True

    def link_answered(self, link: IdentityLink, upstream_ids: Iterable[str]) -> None:
        """End a trial, or the subscriptions that this link has taken over."""
        with self._lock:
            trial = self._trials.get(link.relay.url)
            if trial is not None and trial.link is link:
                if trial.is_over:
                    self._end_trial(trial)
                return
            others = self.links_of(link.relay.url) if link.is_several else []
            for other in others:
                if not other.is_several:
                    for upstream_id in upstream_ids:
                        other.unsubscribe(upstream_id)
        if others:
            self._owner.links_due_changed()

    def _end_trial(self, trial: Trial) -> None:
        """Move subscriptions to the link of several keys, or close it."""
        link = trial.link
        relay, accepted = link.relay, link.record.counters.auth is AuthState.ACCEPTED
        takes_several = trial.has_succeeded and accepted
        self._takes_several[relay.url] = takes_several
        self._forget_trial(trial)
        if not takes_several:
            self._close([link], "error: the relay takes one key per connection")
            return
        logger.info(f"relay {relay.url}: it takes several keys on one connection")
        moving: dict[str, tuple[Request, NamedFilters]] = {}
        for other in self.links_of(relay.url):
            if other.is_several:
                continue
            for request, named in other.carried():
                if not request.is_public:
                    _, known = moving.setdefault(request.upstream_id, (request, {}))
                    known.update(named)
        for request, named in moving.values():
            self._carry(relay, request, named)

    def _forget_trial(self, trial: Trial) -> None:
        self._trials.pop(trial.link.relay.url, None)
        self._owner.message_pool.close(trial.upstream_id)
        trial.link.unsubscribe(trial.upstream_id)

    def link_refused(self, link: IdentityLink) -> None:
        """Open a link for each key: the relay refused one of several."""
        with self._lock:
            relay = link.relay
            if self._links.get((relay.url, link.place)) is not link:
                return
            self._takes_several[relay.url] = False
            trial = self._trials.get(relay.url)
            if trial is not None:
                self._forget_trial(trial)
            carried = link.carried()
            self._close([link], "error: the relay takes one key per connection")
            for request, named in carried:
                self._carry(relay, request, named)

    # Ends

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription on all links."""
        with self._lock:
            for link in self._links.values():
                link.unsubscribe(upstream_id)

    def reroute(self, url: str) -> None:
        """Reconnect a relay's links the way that it is reached now."""
        for link in self.links_of(url):
            link.reroute(self._settings)

    def retry_now(self, url: str) -> None:
        """End the pauses of a relay's links: it can be reached."""
        for link in self.links_of(url):
            link.retry_now()

    def close_relay(self, url: str) -> None:
        """Close all links of a relay."""
        with self._lock:
            self._wanted.pop(url, None)
            self._lacking.pop(url, None)
            self._takes_several.pop(url, None)
            links = self.links_of(url)
            self._close(links, "error: the relay was switched off")

    def _close(self, links: Iterable[IdentityLink], text: str) -> None:
        any_closed = False
        for link in links:
            any_closed = True
            self._links.pop((link.relay.url, link.place), None)
            trial = self._trials.get(link.relay.url)
            if trial is not None and trial.link is link:
                self._forget_trial(trial)
            link.stop()
            link.close_all(text)
        if any_closed:
            crowded, self._crowded = self._crowded, set()
            for url in crowded:
                self._owner.retry_keys(url)

    def stop(self) -> list[threading.Thread]:
        """Close all links; return their threads, so that they can be joined."""
        with self._lock:
            links = list(self._links.values())
            threads = [thread for link in links if (thread := link.stop()) is not None]
            self._close(links, "error: nostrclient stops")
            return threads

    def tick(self, now: float) -> None:
        """Close the links that were idle for long enough, and end overdue trials."""
        with self._lock:
            for trial in list(self._trials.values()):
                if trial.is_over or now >= trial.deadline:
                    self._end_trial(trial)
            idle = [
                link
                for link in self._links.values()
                if link.idle_since is not None
                and now - link.idle_since >= self._settings.link_idle_seconds
            ]
            self._close(idle, "error: idle")

    def deadline(self) -> float | None:
        """Return when to call `tick`; None while nothing waits for time."""
        idle_seconds = self._settings.link_idle_seconds
        with self._lock:
            due = [trial.deadline for trial in self._trials.values()]
            due += [
                link.idle_since + idle_seconds
                for link in self._links.values()
                if link.idle_since is not None
            ]
        return min(due, default=None)
