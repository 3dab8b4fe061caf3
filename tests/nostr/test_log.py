"""The log: whose line it is, what went wrong, and how many lines there may be."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import loguru
import pytest

from nostrclient.nostr import clock
from nostrclient.nostr.log import LimitedLog, logger
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS
from tests.nostr.builders import signed


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines as LNbits prints them: its format knows nothing but the message."""
    found: list[str] = []

    def line_format(_: Any) -> str:
        return "{level} | {message}\n"

    sink = loguru.logger.add(found.append, format=line_format, level="DEBUG")
    yield found
    loguru.logger.remove(sink)


def test_f3b_line_names_the_extension(lines: list[str]) -> None:
    logger.info("relay <b>{x}</b> connected")
    assert lines == ["INFO | nostrclient: relay <b>{x}</b> connected\n"]


def test_f3b_exception_reaches_the_log_with_its_place(lines: list[str]) -> None:
    try:
        raise ValueError("bad\n2026-11-26 | INFO | forged\x1b[2J")
    except ValueError as error:
        logger.exception("given up")
        logger.opt(exception=error).error("given up")
    assert len(lines) == 2
    for text in lines:
        assert text.startswith("ERROR | nostrclient: given up\n  Traceback")
        assert "test_log.py" in text
        assert "ValueError: bad" in text
        assert "\x1b" not in text
        assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_f3b_events_write_no_lines_of_their_own(lines: list[str]) -> None:
    manager = RelayManager(replace(DEFAULTS, outbox_events=10))
    manager.publisher.outbox.durable = True
    for number in range(100):
        manager.publisher.publish(signed(f"{number}"), None, is_public=True)
        manager.step()
    shown = [line for line in lines if not line.startswith("DEBUG")]
    assert len(lines) > 2
    assert len(shown) <= DEFAULTS.burst_log_lines


def test_f3b_lines_that_others_cause_are_limited_and_counted(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "now", lambda: now)
    settings = replace(DEFAULTS, log_lines_per_minute=1, burst_log_lines=3)
    limited = LimitedLog(settings)
    for number in range(10):
        limited.log("WARNING", f"line {number}")
    assert len(lines) == 3
    now += 61
    limited.log("WARNING", "later")
    limited.log("WARNING", "too many")
    assert lines[3:] == ["WARNING | nostrclient: later (7 lines left out before)\n"]
