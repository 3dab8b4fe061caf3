"""A waker ends a wait, with descriptors or without."""

import select
import threading
import time
from contextlib import suppress

import pytest

from nostrclient.nostr.waker import Waker


def is_readable(waker: Waker) -> bool:
    poll = select.poll()
    poll.register(waker, select.POLLIN)
    return bool(poll.poll(0))


@pytest.mark.parametrize("opened", [False, True])
def test_e1_wait_ends_when_woken_from_another_thread(opened: bool) -> None:
    waker = Waker()
    if opened:
        waker.open()
    began = time.monotonic()
    threading.Timer(0.05, waker.wake).start()
    waker.wait(60)
    assert time.monotonic() - began < 30
    waker.close()


def test_e1_wake_before_the_wait_ends_it_once() -> None:
    waker = Waker()
    waker.wake()
    waker.wait(60)
    began = time.monotonic()
    waker.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_e1_descriptor_is_readable_from_the_wake_to_the_clear() -> None:
    waker = Waker()
    assert waker.fileno() == -1
    waker.wake()  # before there is a descriptor
    waker.open()
    assert is_readable(waker)
    waker.clear()
    assert not is_readable(waker)
    for _ in range(100_000):  # more than a socket's buffer holds
        waker.wake()
    assert is_readable(waker)
    waker.clear()
    assert not is_readable(waker)
    waker.close()
    waker.wake()


def test_e1_waker_is_made_and_waited_for_without_a_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socketpair", none_left)
    waker = Waker()
    waker.wake()
    waker.wait(60)
    with pytest.raises(OSError, match="Too many"):
        waker.open()
    assert waker.fileno() == -1
    waker.close()


def test_e1_no_wake_is_lost_among_many_threads() -> None:
    waker = Waker()
    waker.open()
    count, seen = 0, 0
    lock = threading.Lock()

    def produce() -> None:
        nonlocal count
        for _ in range(2000):
            with lock:
                count += 1
            waker.wake()

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    poll = select.poll()
    poll.register(waker, select.POLLIN)
    deadline = time.monotonic() + 60
    while seen < 8000 and time.monotonic() < deadline:
        assert poll.poll(30_000), "a wake was lost"
        waker.clear()
        with lock:
            seen = count
    for thread in threads:
        thread.join()
    assert seen == 8000
    with suppress(OSError):
        waker.close()
