"""Publishing for all clients: the outbox, made safe for threads, and its effects.

One lock guards the outbox, the ledger and the log entries. It comes after the relay
manager's lock and before those of mailboxes. Relays' threads are woken, and lines
logged, after it is released.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from functools import partial

from . import clock
from .delivery import Consumer
from .event import SignedEvent
from .handover import EventState
from .log import LimitedLog, logger
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
from .outbox_relay import PublishTarget
from .publication import Publication, Publishers, plain_publishers
from .settings import Settings


class Publisher:
    """Publishes events to all relays; every method may be called from any thread.

    `ledger` is what the database is to store and delete, in order: whoever keeps the
    database works it off and calls `stored` and `deleted`. `on_change` is called once
    when the ledger has got entries or the instant of the next `step` moved forward,
    until that `step`. `wake_relay` is called when there is something to send to a
    relay.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[], None],
        wake_relay: Callable[[str], None],
    ) -> None:
        self.outbox = Outbox(settings)
        self.ledger: deque[Save | Delete] = deque()
        self._on_change = on_change
        self._wake_relay = wake_relay
        self._due: float | None = None
        self._changed = False
        self._reports: deque[Log] = deque()
        self._event_log = LimitedLog(settings)
        self._lock = threading.Lock()

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        with self._lock:
            self.outbox.configure(settings)
            self._event_log.configure(settings)

    def _carry_out(self, effects: Iterable[Effect]) -> list[Callable[[], None]]:
        """Carry effects out; return what `_finish` is to call without the lock."""
        changed, self.outbox.links_changed = self.outbox.links_changed, False
        for effect in effects:
            if isinstance(effect, Notify):
                effect.consumer.put(effect.verdict)
            elif isinstance(effect, Log):
                self._reports.append(effect)
            else:
                self.ledger.append(effect)
                changed = True
        calls: list[Callable[[], None]] = [
            partial(self._wake_relay, relay.url)
            for relay in self.outbox.relays.values()
            if relay.wake_once()
        ]
        due = self.outbox.deadline()
        if due is not None and (self._due is None or due < self._due):
            self._due = due
            changed = True
        if changed and not self._changed:
            self._changed = True
            calls.append(self._on_change)
        return calls

    def _finish(self, calls: Iterable[Callable[[], None]]) -> None:
        for call in calls:
            call()
        if self._reports:
            self._log_reports()

    def _log_reports(self) -> None:
        while self._reports:
            try:
                report = self._reports.popleft()
            except IndexError:  # another thread was faster
                return
            event = report.event
            text = f"event {event.id} (kind {event.kind}): {report.text}"
            if report.warning:
                self._event_log.log("WARNING", text)
            else:
                logger.debug(text)

    # Publishing

    def publish(
        self,
        event: SignedEvent,
        consumer: Consumer | None = None,
        *,
        is_public: bool = False,
        client: Consumer | None = None,
        extension: str | None = None,
        publisher: str = "",
        named: frozenset[str] | None = None,
        arrived_at: float | None = None,
    ) -> None:
        """Publish a checked event; the consumer receives one `PublishResult`.

        `client` is the publisher where it wants no result, `extension` where it is one
        that publishes in this process. `publisher` and `named` are those of `Outbox`.
        The time for an answer begins at `arrived_at`, by default now.
        """
        with self._lock:
            effects = self.outbox.publish(
                event,
                consumer,
                clock.now() if arrived_at is None else arrived_at,
                is_public=is_public,
                client=client,
                extension=extension,
                publisher=publisher,
                named=named,
            )
            calls = self._carry_out(effects)
        self._finish(calls)

    def step(self) -> float | None:
        """Do what is due. Return the instant of the next step, None without one."""
        with self._lock:
            self._changed = False
            effects = self.outbox.tick(clock.moment())
            self._due = self.outbox.deadline()
            calls = self._carry_out(effects)
        self._finish(calls)
        return self._due

    # Relays

    def set_target(
        self, relay_url: str, target: PublishTarget, extension: str | None = None
    ) -> None:
        """Start or stop publishing to a relay; its pending copies are kept.

        `extension` alone publishes to it; None: everybody.
        """
        with self._lock:
            self.outbox.set_publish_target(relay_url, target, extension)
            calls = self._carry_out(())
        self._finish(calls)

    def relay_recognised(self, relay_url: str) -> None:
        """Send a relay that is another nostrclient no events of other ones."""
        with self._lock:
            effects = self.outbox.relay_recognised(relay_url, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)

    def relay_connected(self, relay_url: str) -> None:
        """Send a relay all its pending copies (again)."""
        with self._lock:
            self.outbox.relay_connected(relay_url)
            calls = self._carry_out(())
        self._finish(calls)

    def relay_disconnected(self, relay_url: str) -> None:
        """Keep a relay's copies until it is back."""
        with self._lock:
            effects = self.outbox.relay_disconnected(relay_url, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)

    def named_relays(self) -> list[str]:
        """Return the relays, not configured ones, that pending events name."""
        with self._lock:
            return self.outbox.named_relays()

    def refuse_all(self, relay_url: str, message: str) -> None:
        """End every event's copy that is pending for a relay, for this reason."""
        with self._lock:
            effects = self.outbox.refuse_all(relay_url, message, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)

    def relay_answered(
        self, relay_url: str, event_id: str, accepted: bool, message: str
    ) -> None:
        """Handle a relay's OK."""
        with self._lock:
            effects = self.outbox.answered(
                relay_url, event_id, accepted, message, clock.now()
            )
            calls = self._carry_out(effects)
        self._finish(calls)

    def relay_rate_limited(self, relay_url: str) -> None:
        """Handle a relay's NOTICE about a rate limit."""
        with self._lock:
            self.outbox.rate_limited(relay_url, clock.now())
            calls = self._carry_out(())
        self._finish(calls)

    def take_events(
        self, relay_url: str, limit: int, unsent: Container[str] = ()
    ) -> tuple[list[OutgoingEvent], float | None]:
        """Return up to `limit` events to send to a relay now, and when to ask again.

        `unsent` are ids of events that were taken before and have not left yet.
        """
        relay = self.outbox.relays.get(relay_url)
        if relay is None:
            return [], None
        next_at = relay.next_at  # without the lock: whoever changes it wakes the relay
        if next_at is None or next_at > clock.now():
            return [], next_at
        with self._lock:
            events = self.outbox.take(relay_url, clock.moment(), limit, unsent)
            return events, relay.next_at

    # The database: whoever keeps it works off `ledger`, in order

    def publication(self, event_id: str) -> Publication | None:
        """Return a copy of an event's publication; None: it is over, or unknown."""
        with self._lock:
            publication = self.outbox.publications.get(event_id)
            return None if publication is None else _copied(publication)

    def restore(
        self,
        event: SignedEvent,
        *,
        is_public: bool,
        age_seconds: float,
        accepted: bool,
        owed: Iterable[str],
        extension: str | None = None,
        publishers: Publishers | None = None,
    ) -> None:
        """Restore what an earlier run stored, in the order it was published."""
        with self._lock:
            self.outbox.restore(
                event,
                clock.now(),
                is_public=is_public,
                age_seconds=age_seconds,
                accepted=accepted,
                owed=owed,
                extension=extension,
                publishers=publishers,
            )
            calls = self._carry_out(())
        self._finish(calls)

    def stored(self, event_id: str, stored: bool) -> None:
        """Handle that the row a `Save` asked for was written, or could not be."""
        with self._lock:
            effects = self.outbox.stored(event_id, stored, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)

    def deleted(self, delete: Delete) -> None:
        """Handle that the row a `Delete` asked for was deleted."""
        with self._lock:
            effects = delete.tell
            calls = self._carry_out(effects)
        self._finish(calls)

    def stored_ids(self) -> set[str]:
        """Return the ids of the events that have rows, or are about to."""
        with self._lock:
            return {
                event_id
                for event_id, publication in self.outbox.publications.items()
                if publication.stored
            }

    def release(self, event_ids: Iterable[str]) -> None:
        """Drop stored events but not their rows: another instance delivers them."""
        with self._lock:
            for event_id in event_ids:
                self.outbox.release(event_id)
            calls = self._carry_out(())
        self._finish(calls)

    # Another generation of this code in the same process

    def hand_over(self) -> list[EventState]:
        """Return all pending events for the next generation."""
        now = clock.now()
        with self._lock:
            return [
                EventState(
                    text=item.event.text,
                    is_public=item.is_public,
                    age_seconds=now - item.published_at,
                    accepted=item.accepted,
                    owed=list(item.copies),
                    extension=item.extension,
                    publishers=plain_publishers(item.publishers),
                )
                for item in self.outbox.publications.values()
            ]

    # For the operator

    def retry(self, event_id: str | None = None) -> None:
        """Try an event that waits, or all of them, again now."""
        with self._lock:
            waiting = [item.event.id for item in self.outbox.waiting()]
            self.outbox.retry(waiting if event_id is None else [event_id])
            calls = self._carry_out(())
        self._finish(calls)

    def send_again(self, event_id: str) -> bool:
        """Queue an undeliverable event anew; return False if there is none."""
        with self._lock:
            known = {item.event.id for item in self.outbox.undeliverable}
            effects = self.outbox.send_again(event_id, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)
        return event_id in known

    def discard(self, event_id: str) -> None:
        """End an event that waits, as the operator wishes."""
        with self._lock:
            effects = self.outbox.discard(event_id, clock.now())
            calls = self._carry_out(effects)
        self._finish(calls)

    def follow(self, event_id: str) -> None:
        """Remember how each relay answers an event that is to be published."""
        with self._lock:
            self.outbox.follow(event_id)

    def answers(self, event_id: str) -> dict[str, Answer] | None:
        """Return the relays' answers to a followed event; None: not followed."""
        with self._lock:
            return self.outbox.answers(event_id)

    def waiting_events(self) -> list[Publication]:
        """Return copies of the publications no relay has accepted yet, in order."""
        with self._lock:
            return [_copied(item) for item in self.outbox.waiting()]

    @property
    def waiting_count(self) -> int:
        """How many events no relay has accepted yet."""
        return self.outbox.waiting_count

    @property
    def waiting_revision(self) -> str:
        """An opaque token that changes whenever the waiting events change."""
        with self._lock:
            waiting = [
                (item.event.id, len(item.copies), tuple(item.messages.items()))
                for item in self.outbox.waiting()
            ]
        return f"{hash(tuple(waiting)):x}"

    def undeliverable_events(self) -> list[Undeliverable]:
        """Return recent events that were queued but never accepted, newest first."""
        with self._lock:
            return list(reversed(self.outbox.undeliverable))

    @property
    def undeliverable_count(self) -> int:
        """How many events were queued and then refused or too old."""
        return self.outbox.undeliverable_count

    def relay_numbers(self) -> dict[str, tuple[int, int]]:
        """Return each relay's pending copies and how many copies were dropped."""
        with self._lock:
            return {
                url: (len(relay.copies), relay.dropped)
                for url, relay in self.outbox.relays.items()
            }


def _copied(publication: Publication) -> Publication:
    return replace(
        publication,
        copies=dict(publication.copies),
        refusals=dict(publication.refusals),
        publishers=dict(publication.publishers),
    )
