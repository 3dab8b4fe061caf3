"""What subscriptions opened in this process get (G2, G4)."""

import pytest

from nostrclient.nostr.delivery import Delivered, Eose, Notice, RelayChanged
from nostrclient.nostr.in_process import InProcessQueues
from nostrclient.nostr.message_pool import Feed, MessagePool
from nostrclient.nostr.settings import DEFAULTS

from .builders import filters, made

A = "wss://a"


def test_g2_events_and_eoses_appear_under_the_name_they_were_asked_by() -> None:
    pool = MessagePool(DEFAULTS)
    queues = pool.in_process
    woken: list[bool] = []
    queues.wake = lambda: woken.append(True)
    queues.subscription_ids["up"] = "mine"
    pool.open(Feed("up", filters({}), queues))
    event = made()
    pool.deliver(["up"], event, A, set())
    queues.put(Eose("up", A))
    queues.put(Eose("unknown", A))
    queues.put(Notice(A, "hello"))
    queues.put(RelayChanged(A, True, True))
    assert len(woken) == 3
    assert pool.has_events()
    message = pool.get_event()
    assert (message.event, message.event_id) == (event.text, event.id)
    assert (message.subscription_id, message.url) == ("mine", A)
    assert pool.has_eose_notices()
    assert pool.get_eose_notice().subscription_id == "mine"
    assert pool.has_notices()
    assert pool.get_notice().content == "hello"
    waits = (pool.has_events, pool.has_notices, pool.has_eose_notices)
    assert not any(has() for has in waits)


@pytest.mark.parametrize("get", ["get_event", "get_notice", "get_eose_notice"])
def test_g4_an_empty_queue_says_so(get: str) -> None:
    with pytest.raises(IndexError):
        getattr(MessagePool(DEFAULTS), get)()


def test_g2_the_oldest_are_dropped_first() -> None:
    queues = InProcessQueues(DEFAULTS.with_changes({"in_process_events": 3}))
    queues.subscription_ids["up"] = "mine"
    events = [made() for _ in range(5)]
    for event in events:
        queues.put(Delivered("up", event, A))
    assert [item.event_id for item in queues.events] == [e.id for e in events[2:]]
