"""Messages after which a relay ends the connection: poison for all who share it.

Theory of operation. Whatever was sent shortly before a relay ended the connection, and
was not answered, is *suspected*. On the next connection suspected messages leave last,
one at a time, each after a silence; after a burst the first silence is longer. One that
is answered, or survives for a while, is cleared. One that is alone on its way when the
relay ends the connection again is *convicted*: it is never sent to this relay again.
An end in the middle of a message from the relay is more likely the network's doing, and
convicts only the second time.
A connection that ends before any of them was tried clears them all: something else ends
connections, and holding them back until one lasts could take for ever. Where very many
messages were on their way, the next connection first sends a few at a time.
"""

from __future__ import annotations

from collections import OrderedDict

from .pace import Burst
from .settings import Settings

# These hold for every relay alike: relays count bursts by the second, and answer within
# two. An operator chooses only how long a message stays suspected (`poison_seconds`).
ALONE_SECONDS = 2.0  # others wait for the answer to a suspected message so long
SILENCE_SECONDS = 0.1  # before a suspected message: it is alone on its way
LONG_SILENCE_SECONDS = 1.5  # the same after a burst, so that no rate is to blame
PATIENCE_SECONDS = 5.0  # for that silence; then the others are held back for it
MAX_WAIT_SECONDS = 30.0  # for a silence that answers do not let come
MAX_SUSPECTED = 10  # more are not told apart: it would take longer than a minute


class PoisonWatch:
    """The unconfirmed and the suspected messages of one relay, over all connections.

    Messages are known by a key: the subscription's, or the event's id. Instants are
    those of `clock.now`.
    """

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.poison_seconds
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._burst = Burst()
        self._suspected: dict[str, int] = {}  # with ends in the middle of a message
        self._alone: str | None = None
        self._alone_at = 0.0
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._last_at = 0.0
        self._cautious = False
        self._has_tried = False
        self._silence_seconds = SILENCE_SECONDS

    def sent(self, key: str, now: float) -> None:
        """Handle that a message left."""
        self._sent[key] = now
        self._sent.move_to_end(key)
        self._burst.note(now)
        self._last_at = now

    def answered(self, key: str) -> None:
        """Handle the relay's answer to a message: it is no poison."""
        self._sent.pop(key, None)
        self.forget(key)

    def forget(self, key: str) -> None:
        """Forget a message that is not wanted any more."""
        self._suspected.pop(key, None)
        self._waiting.pop(key, None)
        if key == self._alone:
            self._alone = None

    def is_suspected(self, key: str) -> bool:
        """Return whether a message has to leave alone and last."""
        return key in self._suspected

    def may_send(self, now: float) -> bool:
        """Return whether messages that nobody suspects may leave now."""
        self._expire(now)
        if self._alone is not None and now - self._alone_at < ALONE_SECONDS:
            return False
        if self._alone is None and self._waiting:
            since = next(iter(self._waiting.values()))
            if PATIENCE_SECONDS <= now - since < MAX_WAIT_SECONDS:
                return False
        return not self._cautious or len(self._sent) < MAX_SUSPECTED

    def caught_up(self) -> None:
        """Handle that nothing waits any more: the next burst may be a large one."""
        self._cautious = self._cautious and bool(self._sent)

    def wait(self, key: str, now: float) -> None:
        """Queue a suspected message until it may leave alone."""
        self._waiting.setdefault(key, now)

    def is_ready(self, now: float) -> bool:
        """Return whether a suspected message may leave: it is silent, or late."""
        self._expire(now)
        if not self._waiting or self._alone is not None:
            return False
        silent = not self._sent and now - self._last_at >= self._silence_seconds
        return silent or self.is_late(now)

    def is_late(self, now: float) -> bool:
        """Return whether a suspected message has waited for too long."""
        since = next(iter(self._waiting.values()), now)
        return now - since >= MAX_WAIT_SECONDS

    def next(self, now: float) -> str | None:
        """Return the suspected message that may leave now, alone; None: none may."""
        if not self.is_ready(now):
            return None
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._alone, self._alone_at = key, now
        self._has_tried = True
        self._silence_seconds = SILENCE_SECONDS  # of the others no rate is to blame
        return key

    def next_at(self, now: float) -> float | None:
        """Return when to look again; None while nothing is suspected."""
        due: list[float] = []
        if self._alone is not None:
            due.append(self._alone_at + ALONE_SECONDS)
        elif self._waiting:
            due.append(max(self._last_at + self._silence_seconds, now + 0.05))
        elif self._cautious and self._sent:
            due.append(next(iter(self._sent.values())) + self._seconds)
        return min(due, default=None)

    def _expire(self, now: float) -> None:
        while self._sent:
            key, at = next(iter(self._sent.items()))
            if now - at < self._seconds:
                return
            del self._sent[key]
            if key == self._alone:
                self._suspected.pop(key, None)
                self._alone = None

    def lose(
        self, now: float, *, ended_by_relay: bool, mid_message: bool = False
    ) -> str | None:
        """Handle the end of the connection; return a message that is convicted.

        `mid_message`: it ended in the middle of a message from the relay.
        """
        self._expire(now)
        convicted: str | None = None
        if ended_by_relay and not self._has_tried:
            self._suspected.clear()
        self._has_tried = False
        if ended_by_relay:
            self._silence_seconds = SILENCE_SECONDS
            if self._burst.is_recent(now):
                self._silence_seconds = LONG_SILENCE_SECONDS
        if ended_by_relay and self._sent:
            unanswered = list(self._sent)
            alone = self._alone
            if (
                alone is not None
                and unanswered == [alone]
                and not self._burst.is_recent(now)
            ):
                convicted = self._judge(alone, mid_message=mid_message)
            elif len(unanswered) > MAX_SUSPECTED:
                self._cautious = True
            else:
                for key in unanswered:
                    self._suspected.setdefault(key, 0)
        self._sent.clear()
        self._burst.clear()
        self._waiting.clear()
        self._alone = None
        if convicted is not None:
            self._suspected.pop(convicted, None)
        return convicted

    def _judge(self, key: str, *, mid_message: bool) -> str | None:
        """Return the message that was alone on its way, if it is convicted."""
        if mid_message and not self._suspected.get(key):
            self._suspected[key] = 1
            return None
        return key
