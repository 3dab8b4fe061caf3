"""The record of one relay: status, counters, notices and errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from enum import Enum
from typing import NamedTuple

from . import clock
from .information import RelayInformation
from .log import LimitedLog, logger
from .message import printable
from .relay_counters import RelayCounters
from .settings import Settings
from .socks import RelayRoute

ROUND_TRIPS_KEPT = 60


class RelayStatus(Enum):
    """The state of a relay's connection."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # for the next attempt to connect
    PENALISED = "penalised"  # paused because of too many invalid messages


_MOVES: dict[RelayStatus, frozenset[RelayStatus]] = {
    RelayStatus.STOPPED: frozenset((RelayStatus.CONNECTING,)),
    RelayStatus.CONNECTING: frozenset(
        (RelayStatus.CONNECTED, RelayStatus.WAITING, RelayStatus.STOPPED)
    ),
    RelayStatus.CONNECTED: frozenset(
        (RelayStatus.WAITING, RelayStatus.PENALISED, RelayStatus.STOPPED)
    ),
    RelayStatus.WAITING: frozenset((RelayStatus.CONNECTING, RelayStatus.STOPPED)),
    RelayStatus.PENALISED: frozenset((RelayStatus.CONNECTING, RelayStatus.STOPPED)),
}


class RelayUse(NamedTuple):
    """The switches of a relay.

    We connect to an `active` relay. It gets REQs if it is also `read`, and EVENTs if it
    is also `write`.
    """

    active: bool = True
    read: bool = True
    write: bool = True

    @property
    def readable(self) -> bool:
        """Whether REQs go to the relay."""
        return self.active and self.read

    @property
    def writable(self) -> bool:
        """Whether EVENTs go to the relay."""
        return self.active and self.write


class LogEntry(NamedTuple):
    """A relay's notice, or an error, with its time in Unix seconds."""

    text: str
    at: float


class RelayRecord:
    """The record of one relay; written by its thread, read by all.

    `public_only`: no private address is connected to, whatever the name resolves to.
    `since` is when its present status began, in Unix seconds. `down_since` is when
    the latest outage began, on `clock.now`; it stays when the relay is connected again.
    """

    def __init__(
        self, url: str, settings: Settings, log: LimitedLog | None = None
    ) -> None:
        self.url = url
        self._log = log or LimitedLog(settings)
        self.label = url
        self.use = RelayUse(active=False)
        self.extension: str | None = None  # which alone uses it; None: everybody
        self.route = RelayRoute.DEFAULT
        self.public_only = False
        self.status = RelayStatus.STOPPED
        self.since = clock.wall()
        self.retry_at: float | None = None
        self.lost_at: float | None = None
        self.down_since: float | None = None
        self.attempts = 0
        self.connections = 0
        self.error_counter = 0
        self.round_trip_seconds: float | None = None
        self.information: RelayInformation | None = None
        self.unsent_events: Container[str] = ()  # wait in the queue to the relay
        self.is_informed = False  # whether it was asked for its NIP-11 document
        self.is_nostrclient = False  # known to be another one, from then on
        self.asks_who_we_are = False
        # Whether AUTH comes before any REQ; None: not known yet.
        self.challenges_at_once: bool | None = None
        self.retry_after = 0.0
        self.counters = RelayCounters(patience=settings.eose_max_seconds)
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._errors: deque[LogEntry] = deque(maxlen=settings.errors_per_relay)
        self._notices: deque[LogEntry] = deque(maxlen=settings.notices_per_relay)

    def configure(self, settings: Settings) -> None:
        """Apply other settings; what is known of the relay stays."""
        self._log.configure(settings)
        self.counters.patience = settings.eose_max_seconds
        self._errors = deque(self._errors, settings.errors_per_relay)
        self._notices = deque(self._notices, settings.notices_per_relay)

    @property
    def active(self) -> bool:
        """Whether the relay is switched on."""
        return self.use.active

    @property
    def read(self) -> bool:
        """Whether REQs are meant for the relay."""
        return self.use.read

    @property
    def write(self) -> bool:
        """Whether EVENTs are meant for the relay."""
        return self.use.write

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self.status is RelayStatus.CONNECTED

    @property
    def first_attempt(self) -> bool:
        """Whether the first attempt to connect since its start is still under way."""
        return (
            self.status in (RelayStatus.CONNECTING, RelayStatus.STOPPED)
            and self.attempts == 0
        )

    @property
    def ping(self) -> int:
        """The latest round-trip time in milliseconds, 0 while unknown."""
        if not self.connected or self.round_trip_seconds is None:
            return 0
        return max(1, round(self.round_trip_seconds * 1000))

    @property
    def round_trips(self) -> list[float]:
        """The latest round-trip times in seconds, oldest first."""
        return list(self._round_trips.copy())

    @property
    def error_list(self) -> list[str]:
        """The recent errors, newest first."""
        return [noted.text for noted in self.errors]

    @property
    def notice_list(self) -> list[str]:
        """The relay's recent NOTICEs, newest first."""
        return [noted.text for noted in self.notices]

    @property
    def errors(self) -> list[LogEntry]:
        """The recent errors with their times, newest first."""
        return list(reversed(self._errors.copy()))

    @property
    def notices(self) -> list[LogEntry]:
        """The relay's recent NOTICEs with their times, newest first."""
        return list(reversed(self._notices.copy()))

    def move(self, status: RelayStatus) -> None:
        """Change the state; raise `AssertionError` for an illegal move."""
        if status is self.status:
            return
        if status not in _MOVES[self.status]:
            raise AssertionError(f"{self.status} does not become {status}")
        self.status = status
        self.since = clock.wall()
        if status is RelayStatus.CONNECTED:
            self._log.log("INFO", f"relay {self.url}: connected")
        elif status is RelayStatus.PENALISED:
            logger.warning(f"relay {self.url}: paused: too many invalid messages")

    def measured(self, seconds: float | None) -> None:
        """Store the latest round-trip time of the connection."""
        if seconds is not None and seconds != self.round_trip_seconds:
            self._round_trips.append(seconds)
        self.round_trip_seconds = seconds

    def failed(self, reason: str) -> None:
        """Store why the connection failed or ended."""
        # Log the end of a connection and the first failed attempt, not every one.
        self.add_error(reason, warn=self.connected or self.attempts == 0)

    def add_error(self, text: str, *, warn: bool = True) -> None:
        """Store and count an error of this relay."""
        text = printable(text)
        self.error_counter += 1
        self._errors.append(LogEntry(text, clock.wall()))
        if warn:
            self._log.log("WARNING", f"relay {self.url}: {text}")

    def add_notice(self, notice: str) -> None:
        """Store a NOTICE of this relay."""
        self._notices.append(LogEntry(printable(notice), clock.wall()))
