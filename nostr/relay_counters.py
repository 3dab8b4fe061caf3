"""Counters of one relay's answers: accepted, refused, closed, unanswered.

Written by the relay's thread, read by any. Prefixes are those of NIP-01; whatever else
a relay writes is counted as `other`, so that no relay makes us remember without end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from .figures import Figures
from .message import prefix

MAX_PENDING = 10_000  # of each kind, whose answer is waited for
OTHER = "other"
PREFIXES = frozenset(
    (
        "auth-required",
        "blocked",
        "duplicate",
        "error",
        "invalid",
        "mute",
        "pow",
        "rate-limited",
        "restricted",
        "unsupported",
    )
)


class AuthState(Enum):
    """The state of AUTH on this connection (NIP-42)."""

    NOT_ASKED = "not_asked"
    NO_KEY = "no_key"  # it asked, and there is no identity key
    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Service(Enum):
    """The service of a relay, for events or requests, by its latest answers."""

    UNKNOWN = "unknown"  # nothing was answered, and nothing waits for long
    WORKS = "works"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class Refusal(NamedTuple):
    """The latest message with a prefix, and when it came (Unix seconds)."""

    message: str
    at: float


@dataclass
class RelayCounters:
    """Counts since the relay was added, and what is pending on its connection.

    `unasked_events` came for no open subscription. `odd_events` are properly signed and
    break other rules, which their author did; `invalid_messages` are the relay's fault.

    `accepted` includes what the relay had already (`duplicate:`). A request is
    *unanswered* when neither EOSE nor CLOSED came within `patience` seconds.

    `publishing` follows the latest answers to events. `receiving` works from the first
    EOSE of a connection on: a relay that closes one subscription still serves others.
    """

    figures: Figures = field(default_factory=Figures)
    patience: float = 15
    received_events: int = 0
    sent_events: int = 0
    duplicate_events: int = 0
    invalid_messages: int = 0
    unasked_events: int = 0
    odd_events: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    unanswered: int = 0
    auth: AuthState = AuthState.NOT_ASKED
    auth_message: str = ""
    last_refusals: dict[str, Refusal] = field(default_factory=dict)
    last_closed: dict[str, Refusal] = field(default_factory=dict)
    up_seconds: float = 0
    publishing: Service = Service.UNKNOWN
    receiving: Service = Service.UNKNOWN
    _events: dict[str, float] = field(default_factory=dict)
    _requests: dict[str, float] = field(default_factory=dict)
    _ticked_at: float | None = None
    _answered_at: float = float("-inf")
    _finished_here: int = 0

    @property
    def waiting_events(self) -> int:
        """How many events were sent on this connection and not answered."""
        return len(self._events)

    @property
    def waiting_requests(self) -> int:
        """How many requests on this connection still wait for their first answer."""
        return len(self._requests)

    # The connection

    def opened(self, now: float) -> None:
        """A connection begins."""
        self.auth, self.auth_message = AuthState.NOT_ASKED, ""
        self.receiving = Service.UNKNOWN
        self._finished_here = 0
        self._events.clear()
        self._requests.clear()
        self._ticked_at = now

    def lost(self, now: float) -> None:
        """The connection ended; what it did not answer in time was not answered."""
        self.tick(now)
        self._ticked_at = None
        self._events.clear()
        self._requests.clear()

    def tick(self, now: float) -> None:
        """Count the time that passed, and requests that wait too long."""
        if self._ticked_at is not None:
            self.up_seconds += now - self._ticked_at
            self._ticked_at = now
        oldest = next(iter(self._events.values()), now)
        if now - oldest >= self.patience and self._answered_at < oldest:
            self.publishing = Service.UNANSWERED
        while self._requests:
            wire_id, sent_at = next(iter(self._requests.items()))
            if now - sent_at < self.patience:
                return
            del self._requests[wire_id]
            self.unanswered += 1
            if not self._finished_here:
                self.receiving = Service.UNANSWERED

    def authenticating(self, state: AuthState, message: str = "") -> None:
        """The relay asked for AUTH, or answered it."""
        self.auth, self.auth_message = state, message

    # Events

    def event_sent(self, event_id: str, now: float) -> None:
        """An EVENT was sent."""
        _remember(self._events, event_id, now)

    def event_answered(
        self, event_id: str, accepted: bool, message: str, now: float, wall: float
    ) -> None:
        """The relay sent OK."""
        sent_at = self._events.pop(event_id, None)
        if sent_at is not None:
            self.figures.answer.observe(now - sent_at)
        self._answered_at = now
        name = _known(message)
        if accepted or name == "duplicate":
            self.accepted += 1
            self.publishing = Service.WORKS
            return
        self.refused[name] += 1
        if name != "invalid":  # that is about the event, not about us
            self.publishing = Service.REFUSED
        self.last_refusals[name] = Refusal(message, wall)

    # Requests

    def sent(self, text: str, now: float) -> None:
        """A message of ours was sent; of REQ and CLOSE the id is in front."""
        verb, _, rest = text[2:].partition('"')
        if verb == "REQ":
            _remember(self._requests, _wire_id(rest), now)
        elif verb == "CLOSE":
            self._requests.pop(_wire_id(rest), None)

    def request_finished(self, wire_id: str, now: float) -> None:
        """The relay sent EOSE; only the first one of a request counts."""
        sent_at = self._requests.pop(wire_id, None)
        if sent_at is None:
            return
        self.figures.stored.observe(now - sent_at)
        self.finished += 1
        self._finished_here += 1
        self.receiving = Service.WORKS

    def request_closed(self, wire_id: str, message: str, wall: float) -> None:
        """The relay sent CLOSED, before its EOSE or later."""
        self._requests.pop(wire_id, None)
        name = _known(message)
        self.closed[name] += 1
        if not self._finished_here and name != "invalid":
            self.receiving = Service.REFUSED
        self.last_closed[name] = Refusal(message, wall)


def _known(message: str) -> str:
    name = prefix(message)
    return name if name in PREFIXES else OTHER


def _wire_id(rest: str) -> str:
    # Ours are made of characters that JSON writes as they are.
    return rest[2:].partition('"')[0]


def _remember(pending: dict[str, float], key: str, now: float) -> None:
    pending.pop(key, None)  # so that the dictionary stays in order of time
    pending[key] = now
    if len(pending) > MAX_PENDING:
        del pending[next(iter(pending))]
