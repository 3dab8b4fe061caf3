"""The queue to a relay: turns between clients, order within each."""

from nostrclient.nostr.egress import Egress, QueuedEvent
from nostrclient.nostr.relay_subscription import Part, RelaySubscription, Request
from nostrclient.nostr.settings import DEFAULTS

from .builders import NOW

START = 1000.0


def request(
    name: str, client: str = "someone", *, is_public: bool = False
) -> RelaySubscription:
    subscription = RelaySubscription(name, DEFAULTS)
    wanted = Request(name, (), NOW, lambda _: False, is_public, client)
    subscription.add(Part(wanted, ()))
    return subscription


def event(name: str, at: float = START) -> QueuedEvent:
    return QueuedEvent(name, f"text of {name}", at)


def drain(egress: Egress, requests: int = 1000, now: float = START) -> list[str]:
    """Take all that may leave while the pace allows so many REQs."""
    allowed = iter(range(requests))
    found: list[str] = []
    while (
        item := egress.take(now, lambda: next(allowed, None) is not None)
    ) is not None:
        found.append(item.event_id if isinstance(item, QueuedEvent) else item.key)
    return found


def test_d1b_event_does_not_overtake_the_req_of_its_client() -> None:
    egress = Egress(15)
    egress.add_request(request("req", "wallet"))
    egress.add_event("wallet", event("payment"))
    egress.add_event("other", event("note"))
    assert drain(egress, requests=0) == ["note"]
    assert drain(egress) == ["req", "payment"]
    assert len(egress) == 0


def test_d1b_event_waits_no_longer_than_the_eose() -> None:
    egress = Egress(15)
    egress.add_request(request("req", "wallet"))
    egress.add_event("wallet", event("payment"))
    assert egress.next_late() == START + 15
    assert drain(egress, requests=0, now=START + 14.9) == []
    assert drain(egress, requests=0, now=START + 15) == ["payment"]


def test_d1c_one_clients_many_reqs_do_not_stand_before_anothers_first() -> None:
    egress = Egress(15)
    for number in range(450):
        egress.add_request(request(f"a{number}", "a"))
    egress.add_request(request("b0", "b"))
    egress.add_request(request("b1", "b"))
    assert drain(egress, requests=5) == ["a0", "b0", "a1", "b1", "a2"]


def test_f2_private_clients_come_before_public_ones() -> None:
    egress = Egress(15)
    for number in range(3):
        egress.add_request(request(f"public{number}", "p", is_public=True))
    egress.add_request(request("private", "q"))
    assert drain(egress, requests=2) == ["private", "public0"]


def test_d1b_request_in_the_queue_keeps_its_place_and_is_discarded() -> None:
    egress = Egress(15)
    requests = [request(name) for name in "abc"]
    for item in (*requests, requests[0]):
        egress.add_request(item)
    egress.discard("b")
    egress.discard("unknown")
    assert "a" in egress
    assert "b" not in egress
    assert (egress.request_count, egress.event_count) == (2, 0)
    assert drain(egress) == ["a", "c"]


def test_d8_cleared_queue_holds_nothing() -> None:
    egress = Egress(15)
    egress.add_request(request("a"))
    egress.add_event("c", event("e"))
    egress.clear()
    assert len(egress) == 0
    assert egress.next_late() is None
    assert drain(egress) == []
