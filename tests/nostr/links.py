"""A relay session and a relay that stores, joined without a socket."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.filter import matches_any
from nostrclient.nostr.relay_session import RelaySession
from nostrclient.nostr.relay_subscription import Request
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import NOW, Answer, StoringRelay, filters

UNPACED = replace(DEFAULTS, requests_per_second=1e6, burst_requests=10**6)


class Link:
    """One relay as `RelaySession` sees it, and what its clients would be given.

    `now` and `wall` run apart only where a test sets the wall clock. `delivered` holds
    the ids each subscription was given, in order; `finished` counts its EOSEs.
    """

    def __init__(
        self, relay: StoringRelay | None = None, settings: Settings = UNPACED
    ) -> None:
        ids = count(1)
        self.relay = relay if relay is not None else StoringRelay()
        self.session = RelaySession(settings, lambda: f"probe{next(ids)}")
        self.now = 1000.0
        self.wall = float(NOW)
        self.requests: dict[str, Request] = {}
        self.delivered: dict[str, list[str]] = {}
        self.finished: Counter[str] = Counter()
        self.sent: list[str] = []
        self.answers: list[Answer] = []

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    # The client's side

    def subscribe(
        self, upstream_id: str, *wanted: dict[str, Any], is_public: bool = False
    ) -> None:
        given = self.delivered.setdefault(upstream_id, [])
        request = Request(
            upstream_id,
            filters(*wanted),
            self.wall,
            lambda event_id: event_id in given,
            is_public,
        )
        self.requests[upstream_id] = request
        self.session.subscribe(request)

    def unsubscribe(self, upstream_id: str) -> None:
        del self.requests[upstream_id]
        self.session.unsubscribe(upstream_id)

    # The connection

    def connect(self) -> None:
        self.relay.open.clear()
        self.session.open(self.now, self.wall)

    def lose(self) -> None:
        self.session.lose()
        self.relay.open.clear()
        self.answers.clear()

    def flush(self) -> list[str]:
        """Have the relay take what is there for it; it has not answered yet."""
        self.session.tick(self.now, self.wall)
        texts = list(self.session.output)
        self.session.output.clear()
        self.sent += texts
        self.answers += self.relay.receive(texts)
        return texts

    def event(self, wire_id: str, event: SignedEvent) -> None:
        """Have the relay send an event."""
        ask = self.session.find_subscription(wire_id)
        if ask is None:
            return
        ask.event(event, self.now, self.wall)
        for upstream_id in ask.upstream_ids:
            given = self.delivered[upstream_id]
            wanted = self.requests[upstream_id].filters
            if event.id not in given and matches_any(wanted, event):
                given.append(event.id)

    def eose(self, wire_id: str) -> None:
        self.finished.update(self.session.eose(wire_id, self.now, self.wall))

    def answer(self) -> bool:
        """Have the relay answer one REQ; tells whether there was one."""
        if not self.answers:
            return False
        answer = self.answers.pop(0)
        for event in answer.events:
            self.event(answer.wire_id, event)
        self.eose(answer.wire_id)
        return True

    def sleep(self, seconds: float) -> list[tuple[float, str]]:
        """Let time pass as a relay's thread does, which wakes when it asked to be.

        Gives what the relay, which answers nothing, is sent, and after how long.
        """
        began, sent = self.now, []
        until = began + seconds
        while self.session.suspect is None:
            due = self.session.deadline(self.now)
            if due is None or due > until:
                break
            self.wait(max(0.0, due - self.now))
            sent += [(self.now - began, text) for text in self.flush()]
        self.wait(until - self.now)
        return sent

    def settle(self) -> None:
        """Let both sides talk until nobody has anything left to say."""
        for _ in range(10_000):
            self.flush()
            if not self.answer() and not self.session.output:
                return
        raise AssertionError("they talk for ever")

    def publish(self, events: Iterable[SignedEvent]) -> None:
        """Have somebody else publish events on the relay."""
        for event in events:
            for wire_id in self.relay.store(event):
                self.event(wire_id, event)
