"""Publishing from many threads: who is woken, and when the lock is free."""

import threading

import pytest

from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.outbox_relay import PublishTarget
from nostrclient.nostr.publisher import Publisher
from nostrclient.nostr.settings import DEFAULTS

from .builders import Inbox, made

A, B = "wss://a", "wss://b"


class Woken:
    """A publisher, and which relays' threads it woke."""

    def __init__(self) -> None:
        self.relays: list[str] = []
        self.changes = 0
        self.publisher = Publisher(DEFAULTS, self.changed, self.wake)

    def changed(self) -> None:
        assert not self.publisher._lock.locked()
        self.changes += 1

    def wake(self, relay_url: str) -> None:
        assert not self.publisher._lock.locked(), "a thread is woken into a lock"
        self.relays.append(relay_url)


@pytest.fixture
def woken() -> Woken:
    woken = Woken()
    for url in (A, B):
        woken.publisher.set_target(url, PublishTarget.ASKED)
        woken.publisher.relay_connected(url)
        woken.publisher.take_events(url, 10)
    woken.relays.clear()
    return woken


def test_a_relay_is_woken_once_until_it_comes(woken: Woken) -> None:
    publisher = woken.publisher
    events = [made() for _ in range(3)]
    for event in events:
        publisher.publish(event, Inbox())
    assert sorted(woken.relays) == [A, B]
    assert [item.event for item in publisher.take_events(A, 10)[0]] == events
    publisher.publish(made(), Inbox())
    assert sorted(woken.relays) == [A, A, B]


def test_relay_with_nothing_to_publish_does_not_wait_for_the_lock(woken: Woken) -> None:
    with woken.publisher._lock:
        assert woken.publisher.take_events(A, 10) == ([], None)
        assert woken.publisher.take_events("wss://unknown", 10) == ([], None)


def test_c3_the_step_is_asked_for_once_until_it_is_done(woken: Woken) -> None:
    publisher = woken.publisher
    publisher.step()
    woken.changes = 0
    for _ in range(100):
        publisher.publish(made(), Inbox())
    assert woken.changes == 1
    due = publisher.step()
    assert due is not None
    publisher.publish(made(), Inbox())
    assert woken.changes == 1, "later than what is due already"


def test_c3_events_of_many_threads_are_answered_once_each(woken: Woken) -> None:
    publisher = woken.publisher
    inboxes: list[Inbox] = []
    events = [made(pubkey=f"{number:064x}") for number in range(200)]

    def publish() -> None:
        for event in events:
            inbox = Inbox()
            inboxes.append(inbox)
            publisher.publish(event, inbox)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = []
    for url in (A, B):
        while items := publisher.take_events(url, 30)[0]:
            taken += [(url, item.event.id) for item in items]
    assert len(taken) == len(set(taken)) == 400
    for url, event_id in taken:
        publisher.relay_answered(url, event_id, True, "")
    assert len(inboxes) == 800
    for inbox in inboxes:
        (item,) = inbox.items
        assert isinstance(item, PublishResult)
        assert item.accepted
    assert publisher.outbox.publications == {}


def test_a_relay_that_connects_again_is_woken_for_the_next_event(woken: Woken) -> None:
    publisher = woken.publisher
    publisher.publish(made(), Inbox())
    publisher.relay_answered(A, made().id, True, "")
    publisher.relay_disconnected(A)
    publisher.set_target(A, PublishTarget.NONE)
    publisher.set_target(A, PublishTarget.ASKED)
    publisher.relay_connected(A)
    for item in publisher.take_events(A, 10)[0]:
        publisher.relay_answered(A, item.event.id, True, "")
    publisher.publish(made(), Inbox())
    woken.relays.clear()
    publisher.relay_disconnected(A)  # before the thread came to take it
    for event_id in list(publisher.outbox.publications):
        publisher.discard(event_id)
    publisher.relay_connected(A)
    publisher.publish(made(), Inbox())
    assert A in woken.relays


def test_c2b_a_refusal_brings_the_next_look_forward(woken: Woken) -> None:
    publisher = woken.publisher
    event = made()
    publisher.publish(event, Inbox())
    _, resend_at = publisher.take_events(A, 10)
    publisher.relay_answered(A, event.id, False, "error: busy")
    _, retry_at = publisher.take_events(A, 10)
    assert resend_at is not None
    assert retry_at is not None
    difference = DEFAULTS.resend_seconds - DEFAULTS.publish_retry_seconds
    assert resend_at - retry_at == pytest.approx(difference, abs=1)
