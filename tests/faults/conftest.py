"""What the fault tests share: a bench, real relays behind proxies, odd relays."""

from collections.abc import Callable, Iterator

import pytest

from dev.proxy import LoopThread
from tests.e2e.clients import Author

from .bench import FAST, MEASURED, Bench, RealRelay
from .habits import Habits
from .odd_relay import OddRelay
from .profiles import profile

NewBench = Callable[..., Bench]
NewRelay = Callable[[], RealRelay]
NewOddRelay = Callable[..., OddRelay]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("fault bench: measured")
        for what, result in MEASURED:
            terminalreporter.write_line(f"{what:58} {result}")


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """The loop of all proxies and odd relays."""
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def new_bench() -> Iterator[NewBench]:
    """Makes benches, by default with compressed time, and closes them at the end."""
    benches: list[Bench] = []

    def make(settings: object = FAST) -> Bench:
        assert isinstance(settings, type(FAST))
        benches.append(Bench(settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    """A bench with compressed time."""
    return new_bench()


@pytest.fixture
def new_relay(loop_thread: LoopThread) -> Iterator[NewRelay]:
    """Makes real relays behind proxies."""
    relays: list[RealRelay] = []

    def make() -> RealRelay:
        relays.append(RealRelay(loop_thread))
        return relays[-1]

    yield make
    for relay in relays:
        relay.close()


@pytest.fixture
def relay(new_relay: NewRelay) -> RealRelay:
    """One real relay behind a proxy."""
    return new_relay()


@pytest.fixture
def new_odd_relay(loop_thread: LoopThread) -> Iterator[NewOddRelay]:
    """Makes relays with habits, or of a profile; by default honest ones."""
    relays: list[OddRelay] = []

    def make(habits: Habits | str | None = None) -> OddRelay:
        if isinstance(habits, str):
            habits = profile(habits)
        relays.append(OddRelay(loop_thread, habits))
        return relays[-1]

    yield make
    for relay in relays:
        relay.close()


@pytest.fixture
def odd_relay(new_odd_relay: NewOddRelay) -> OddRelay:
    """One relay without habits as yet."""
    return new_odd_relay()


@pytest.fixture
def merchant() -> Author:
    """Somebody new who waits for orders."""
    return Author()
