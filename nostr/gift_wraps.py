"""Gift wraps go to the relays that their recipient reads messages from (NIP-17).

A recipient lists these relays in an event of kind 10050. If the operator wants it, a
gift wrap (kind 1059) waits while that list is looked up at the configured relays, and
then goes to the listed relays only. Without a list, or without an answer in time, it
goes to the configured relays. Lists are remembered for a while.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .delivery import Closed, Consumer, Delivered, Delivery, Eose, SubscriptionOpened
from .event import SignedEvent
from .filter import Filter, parse_filters
from .settings import Settings

GIFT_WRAP_KIND = 1059
INBOX_KIND = 10050
MAX_LISTS = 1000
MAX_LOOKUPS = 50  # at a time; public clients may cause half of them
MAX_HELD = 1000  # gift wraps that wait for a list
_PUBKEY = re.compile(r"[0-9a-f]{64}")
UNKNOWN_SECONDS = 60.0  # for which a recipient without a list is not looked up again


class Held(NamedTuple):
    """A gift wrap to publish, with the arguments of `Publisher.publish`."""

    event: SignedEvent
    consumer: Consumer | None
    client: Consumer | None
    is_public: bool
    extension: str | None
    publisher: str
    arrived_at: float


class Relays(Protocol):
    """The relay manager, as the lookups use it."""

    def subscribe(
        self,
        upstream_id: str,
        filters: tuple[Filter, ...],
        consumer: Consumer,
        *,
        is_public: bool,
    ) -> None:
        """Open a subscription on all relays."""

    def unsubscribe(self, upstream_id: str) -> None:
        """Close a subscription."""

    def check_named(self, urls: Sequence[str]) -> frozenset[str]:
        """Return URLs to which an event may be published by name."""
        ...


@dataclass(eq=False)
class _Lookup:
    """A recipient's list being looked up; it consumes what the relays answer.

    `deadline` is on `clock.now`. `latest` is the newest list so far.
    """

    pubkey: str
    upstream_id: str
    deadline: float
    is_public: bool
    on_done: Callable[[], None]
    held: list[Held] = field(default_factory=list)
    latest: SignedEvent | None = None
    done: bool = False
    _pending: set[str] = field(default_factory=set)

    def put(self, item: Delivery) -> None:
        """Handle what a relay answered. Called from any thread."""
        if isinstance(item, Delivered):
            event, latest = item.event, self.latest
            if latest is None or event.created_at > latest.created_at:
                self.latest = event
            return
        if isinstance(item, SubscriptionOpened):
            self._pending |= set(item.pending_eose)
        elif isinstance(item, Eose | Closed):
            self._pending.discard(item.relay_url)
        else:
            return
        if not self._pending and not self.done:
            self.done = True
            self.on_done()


class GiftWraps:
    """Finds the relays that gift wraps are for. Methods may be called from any thread.

    `on_change` is called when `tick` has something to do; `new_id` returns an id for a
    subscription. `_lock` guards lists and lookups; it is a leaf, held for no call.
    """

    def __init__(
        self,
        relays: Relays,
        settings: Settings,
        new_id: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self._relays = relays
        self._settings = settings
        self._new_id = new_id
        self._on_change = on_change
        self._lists: OrderedDict[str, tuple[tuple[str, ...], float]] = OrderedDict()
        self._lookups: dict[str, _Lookup] = {}
        self._lock = threading.Lock()

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def recipient(self, event: SignedEvent) -> str | None:
        """Return the key whose list decides about an event; None if no list does."""
        if not self._settings.gift_wrap_relays or event.kind != GIFT_WRAP_KIND:
            return None
        named = {tag[1] for tag in event.tags if len(tag) > 1 and tag[0] == "p"}
        pubkey = named.pop() if len(named) == 1 else ""
        return pubkey if _PUBKEY.fullmatch(pubkey) else None

    def known_relays(self, pubkey: str, now: float) -> frozenset[str] | None:
        """Return a recipient's relays, empty for none; None if they are not known."""
        with self._lock:
            found = self._lists.get(pubkey)
            if found is None or found[1] <= now:
                return None
        return self._allowed(found[0])

    def hold(self, pubkey: str, held: Held, now: float) -> bool:
        """Keep a gift wrap until its recipient's list is known; return whether."""
        with self._lock:
            lookup = self._lookups.get(pubkey)
            if lookup is None and not self._may_look_up(held.is_public):
                return False
            if sum(len(item.held) for item in self._lookups.values()) >= MAX_HELD:
                return False
            if lookup is not None:
                lookup.held.append(held)
                return True
            lookup = self._lookups[pubkey] = _Lookup(
                pubkey,
                self._new_id(),
                now + self._settings.gift_wrap_lookup_seconds,
                held.is_public,
                self._on_change,
                [held],
            )
        wanted = {"kinds": [INBOX_KIND], "authors": [pubkey], "limit": 1}
        self._relays.subscribe(
            lookup.upstream_id,
            parse_filters([wanted]),
            lookup,
            is_public=held.is_public,
        )
        self._on_change()
        return True

    def _may_look_up(self, is_public: bool) -> bool:
        public = sum(item.is_public for item in self._lookups.values())
        if len(self._lookups) >= MAX_LOOKUPS:
            return False
        return not is_public or public < MAX_LOOKUPS // 2

    def tick(self, now: float) -> list[tuple[Held, frozenset[str]]]:
        """Return the gift wraps whose time has come, with the relays that they are for.

        Without relays they are for the configured ones.
        """
        ended: list[_Lookup] = []
        with self._lock:
            for pubkey, lookup in list(self._lookups.items()):
                if lookup.done or lookup.deadline <= now:
                    del self._lookups[pubkey]
                    self._remember(lookup, now)
                    ended.append(lookup)
        ready: list[tuple[Held, frozenset[str]]] = []
        for lookup in ended:
            self._relays.unsubscribe(lookup.upstream_id)
            relays = self._allowed(_listed(lookup.latest))
            ready += [(held, relays) for held in lookup.held]
        return ready

    def _remember(self, lookup: _Lookup, now: float) -> None:
        listed = _listed(lookup.latest)
        seconds = self._settings.gift_wrap_cache_seconds
        if not listed:
            seconds = min(seconds, UNKNOWN_SECONDS)
        self._lists[lookup.pubkey] = listed, now + seconds
        self._lists.move_to_end(lookup.pubkey)
        while len(self._lists) > MAX_LISTS:
            self._lists.popitem(last=False)

    def _allowed(self, listed: Sequence[str]) -> frozenset[str]:
        """Return the first of a recipient's relays that may be published to."""
        allowed: set[str] = set()
        most = min(self._settings.gift_wrap_relays, self._settings.http_named_relays)
        for url in listed:
            if len(allowed) >= most:
                break
            try:
                allowed |= self._relays.check_named([url])
            except ValueError:
                continue
        return frozenset(allowed)

    def deadline(self) -> float | None:
        """Return when to call `tick`; None while no list is looked up."""
        with self._lock:
            due = [
                float("-inf") if item.done else item.deadline
                for item in self._lookups.values()
            ]
        return min(due, default=None)


def _listed(event: SignedEvent | None) -> tuple[str, ...]:
    if event is None:
        return ()
    tags = [tag[1] for tag in event.tags if len(tag) > 1 and tag[0] == "relay"]
    return tuple(tags[:20])
