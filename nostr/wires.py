"""The wires of one relay: which subscription each belongs to, and who gets the next.

Theory of operation. A `RelaySubscription` has one live wire and, while something that
it missed is fetched, temporary ones. Relays allow few wires at a time, so a share of
them is kept for temporary ones, and gaps and pages wait in order until one of those
ends. A closed live wire is listened to until what replaced it is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from . import message
from .chunking import encode_req
from .filter import Filter
from .limits import RelayLimits
from .relay_subscription import RelaySubscription
from .request_pace import RequestPace
from .sharing import allowed_temporary_wires
from .wire import Wire, WirePurpose, WireState

MAX_CLOSING = 100  # closed wires of one subscription that is sent again and again


class Wires:
    """All wires of the present connection. REQs and CLOSEs go to `output`.

    `limits` returns those that count. `now` is the instant of the latest turn of the
    session, on `clock.now`.
    """

    def __init__(
        self, output: list[str], pace: RequestPace, limits: Callable[[], RelayLimits]
    ) -> None:
        self.now = 0.0
        self._limits = limits
        self._output = output
        self._pace = pace
        self._by_id: dict[str, tuple[RelaySubscription, Wire]] = {}
        self.find: Callable[[str], tuple[RelaySubscription, Wire] | None] = (
            self._by_id.get  # itself, as it is called for each event
        )
        """Return a wire and its subscription; None where the relay was not asked."""
        self._temporary_count = 0
        self._waiting: deque[RelaySubscription] = deque()
        self._live_count = 0

    def __iter__(self) -> Iterator[tuple[RelaySubscription, Wire]]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def lose(self) -> None:
        """Handle the end of the connection, and of all wires."""
        self._by_id.clear()
        self._waiting.clear()
        self._temporary_count = 0

    # Sending

    def live_id(
        self, subscription: RelaySubscription, filters: Sequence[Filter]
    ) -> str:
        """Return the id to send under: the present one where nothing speaks against it.

        An EOSE that is still to come must not pass for the answer to the new REQ, and
        some relays ignore a REQ that is identical to the last one of its id.
        """
        live = [wire for wire in subscription.wires.values() if not wire.is_temporary]
        if subscription.closing or subscription.needs_new_wire or not live:
            subscription.needs_new_wire = False
            if subscription.closing or live or subscription.key in self._by_id:
                return subscription.extra_wire_id()
            return subscription.key
        wire = live[0]
        body = encode_req(wire.wire_id, filters, self._limits())
        if wire.state is WireState.SENT or body == wire.body:
            return subscription.extra_wire_id()
        return wire.wire_id

    def send_live(
        self,
        subscription: RelaySubscription,
        wire_id: str,
        filters: Sequence[Filter],
    ) -> None:
        """Send the filters that stay open."""
        text = encode_req(wire_id, filters, self._limits())
        wire = subscription.wires.get(wire_id)
        if wire is None:
            self._live_count += 1
            subscription.sent_number = self._live_count
            wire = Wire(wire_id, WirePurpose.LIVE, text)
            self._add(subscription, wire)
        else:
            wire.body = text
            wire.move(WireState.SENT)
        self._send(subscription, wire, filters)

    def send_temporary(
        self, subscription: RelaySubscription, filters: list[Filter]
    ) -> None:
        """Send a gap or a page as soon as the relay has a place for it."""
        subscription.waiting_gaps.append(filters)
        self._waiting.append(subscription)
        self._send_waiting()

    def _send_waiting(self) -> None:
        limits = self._limits()
        allowed = allowed_temporary_wires(limits)
        while self._waiting and (allowed is None or self._temporary_count < allowed):
            subscription = self._waiting.popleft()
            if not subscription.waiting_gaps:
                continue
            filters = subscription.waiting_gaps.popleft()
            wire_id, purpose = subscription.page_wire, WirePurpose.PAGE
            if wire_id is None:
                wire_id, purpose = subscription.extra_wire_id(), WirePurpose.GAP
            wire = Wire(wire_id, purpose, encode_req(wire_id, filters, limits))
            self._add(subscription, wire)
            self._temporary_count += 1
            self._send(subscription, wire, filters)

    def _add(self, subscription: RelaySubscription, wire: Wire) -> None:
        subscription.wires[wire.wire_id] = wire
        self._by_id[wire.wire_id] = subscription, wire

    def _send(
        self, subscription: RelaySubscription, wire: Wire, filters: Sequence[Filter]
    ) -> None:
        wire.filter_count = len(filters)
        subscription.sent_filters = max(subscription.sent_filters, len(filters))
        self._output.append(wire.body)

    # Ending

    def close_all(self, subscription: RelaySubscription) -> None:
        """Close all wires of a subscription, and send no gap that waits."""
        # First what waits for room: a closed wire would make it, and open another.
        subscription.waiting_gaps.clear()
        for wire in list(subscription.wires.values()):
            self.close(subscription, wire)

    def close_temporary(self, subscription: RelaySubscription) -> None:
        """Close the temporary wires of a subscription, and send no gap that waits."""
        subscription.waiting_gaps.clear()
        for wire in list(subscription.wires.values()):
            if wire.is_temporary:
                self.close(subscription, wire)

    def close(self, subscription: RelaySubscription, wire: Wire) -> None:
        """Close a wire and expect nothing more on it."""
        if self._remove(subscription, wire):
            self._output.append(message.encode("CLOSE", wire.wire_id))
            self._pace.spend(self.now)
            self._send_waiting()

    def end(self, subscription: RelaySubscription, wire: Wire) -> None:
        """Handle that the relay ended a wire."""
        if self._remove(subscription, wire):
            self._send_waiting()

    def _remove(self, subscription: RelaySubscription, wire: Wire) -> bool:
        subscription.wires.pop(wire.wire_id, None)
        if self._by_id.pop(wire.wire_id, None) is None:
            return False
        wire.move(WireState.ENDED)
        if wire.is_temporary:
            self._temporary_count -= 1
        return True

    def leave(self, subscription: RelaySubscription, *, keep: str) -> None:
        """Close all but one, and listen to them until what is sent next is answered.

        Events are on their way there, and ephemeral ones will not come again.
        """
        for wire_id, wire in list(subscription.wires.items()):
            if wire_id == keep:
                continue
            if wire.is_temporary:
                self.close(subscription, wire)
                continue
            del subscription.wires[wire_id]
            wire.move(WireState.CLOSING)
            self._output.append(message.encode("CLOSE", wire_id))
            subscription.closing.append(wire_id)
        while len(subscription.closing) > MAX_CLOSING:
            self._by_id.pop(subscription.closing.popleft(), None)

    def forget_closing(self, subscription: RelaySubscription) -> None:
        """Listen no longer to what was closed."""
        while subscription.closing:
            self._by_id.pop(subscription.closing.popleft(), None)
