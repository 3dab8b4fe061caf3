"""The two clocks."""

import time

import pytest

from nostrclient.nostr import clock


def test_durations_are_measured_on_a_clock_that_never_goes_back() -> None:
    instants = [clock.now() for _ in range(1000)]
    assert instants == sorted(instants)


def test_durations_include_suspend_where_the_system_has_such_a_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= clock.now() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(clock, "_BOOTTIME", None)
    before = time.monotonic()
    assert before <= clock.now() <= time.monotonic()


def test_dates_are_in_unix_seconds() -> None:
    before = time.time()
    assert before <= clock.wall() <= time.time()
