"""All wires of one relay."""

import json

from nostrclient.nostr.filter import Filter, parse_filters
from nostrclient.nostr.limits import RelayLimits
from nostrclient.nostr.relay_subscription import RelaySubscription
from nostrclient.nostr.request_pace import RequestPace
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.nostr.wire import WireState
from nostrclient.nostr.wires import MAX_CLOSING, Wires

NOTES: list[Filter] = list(parse_filters([{"kinds": [1]}]))


class Bench:
    """Wires on an open connection, and what they sent."""

    def __init__(self, max_subscriptions: int | None = None) -> None:
        self.output: list[str] = []
        limits = RelayLimits(max_subscriptions=max_subscriptions)
        self.wires = Wires(self.output, RequestPace(DEFAULTS), lambda: limits)

    def sent(self) -> list[tuple[str, str]]:
        """Return the verbs and ids that were sent since."""
        sent = [json.loads(text)[:2] for text in self.output]
        self.output.clear()
        return [(verb, wire_id) for verb, wire_id in sent]


def subscription(key: str = "up") -> RelaySubscription:
    return RelaySubscription(key, DEFAULTS)


def test_e3b_a_left_wire_is_closed_and_still_listened_to() -> None:
    bench, item = Bench(), subscription()
    bench.wires.send_live(item, bench.wires.live_id(item, NOTES), NOTES)
    item.needs_new_wire = True
    new_id = bench.wires.live_id(item, NOTES)
    bench.wires.leave(item, keep=new_id)
    bench.wires.send_live(item, new_id, NOTES)
    assert bench.sent() == [("REQ", "up"), ("CLOSE", "up"), ("REQ", "up-1")]
    found = bench.wires.find("up")
    assert found is not None
    assert found[1].state is WireState.CLOSING
    bench.wires.forget_closing(item)
    assert bench.wires.find("up") is None
    assert bench.wires.find("up-1") is not None


def test_e3b_wires_that_were_left_are_bounded() -> None:
    bench, item = Bench(), subscription()
    for _ in range(MAX_CLOSING + 20):
        item.needs_new_wire = True
        new_id = bench.wires.live_id(item, NOTES)
        bench.wires.leave(item, keep=new_id)
        bench.wires.send_live(item, new_id, NOTES)
    assert len(bench.wires) == MAX_CLOSING + 1


def test_e9_gaps_wait_for_a_place_in_order() -> None:
    bench = Bench(max_subscriptions=3)  # one of them for gaps
    first, second = subscription("a"), subscription("b")
    bench.wires.send_temporary(first, NOTES)
    bench.wires.send_temporary(second, NOTES)
    bench.wires.send_temporary(first, NOTES)
    assert bench.sent() == [("REQ", "a-1")]
    [wire] = first.wires.values()
    bench.wires.end(first, wire)
    assert bench.sent() == [("REQ", "b-1")]
    [wire] = second.wires.values()
    bench.wires.close(second, wire)
    assert bench.sent() == [("CLOSE", "b-1"), ("REQ", "a-2")]


def test_e9_a_closed_subscription_leaves_its_place_to_the_next() -> None:
    bench = Bench(max_subscriptions=3)
    first, second = subscription("a"), subscription("b")
    for _ in range(2):
        bench.wires.send_temporary(first, NOTES)
    bench.wires.send_temporary(second, NOTES)
    bench.wires.close_all(first)
    assert bench.sent() == [("REQ", "a-1"), ("CLOSE", "a-1"), ("REQ", "b-1")]


def test_e5_a_lost_connection_leaves_no_wire() -> None:
    bench, item = Bench(max_subscriptions=3), subscription()
    bench.wires.send_live(item, bench.wires.live_id(item, NOTES), NOTES)
    for _ in range(2):
        bench.wires.send_temporary(item, NOTES)
    bench.wires.lose()
    item.interrupt()
    bench.sent()
    assert len(bench.wires) == 0
    bench.wires.send_temporary(item, NOTES)
    assert [verb for verb, _ in bench.sent()] == ["REQ"]
