"""The cache of verified events, met by several relays' threads at once."""

from threading import Event, Thread
from types import SimpleNamespace

import pytest

from nostrclient.nostr.errors import InvalidEvent
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message_pool import VerifiedCache

from .builders import made


def test_d3_a_text_is_checked_by_one_thread_and_the_others_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checking, go_on = Event(), Event()
    parsed: list[str] = []

    def parse(text: str) -> SignedEvent:
        parsed.append(text)
        checking.set()
        assert go_on.wait(5)
        return event

    event = made()
    cache = VerifiedCache(10**6)
    monkeypatch.setattr(
        "nostrclient.nostr.message_pool.SignedEvent", SimpleNamespace(parse=parse)
    )
    results: list[SignedEvent | None] = []
    threads = [
        Thread(target=lambda: results.append(cache.verify(event.text, wait=True)))
        for _ in range(3)
    ]
    threads[0].start()
    assert checking.wait(5)
    assert cache.verify(event.text, wait=False) is None
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert results == [event] * 3
    assert parsed == [event.text]
    assert cache.verify(event.text, wait=False) is event


def test_d3_a_forgery_fails_in_every_thread_that_meets_it() -> None:
    cache = VerifiedCache(10**6)
    forged = made().text.replace('"kind":', '"kind":1')
    for wait in (False, True, True):
        with pytest.raises(InvalidEvent):
            cache.verify(forged, wait=wait)
    assert cache.get(forged) is None
