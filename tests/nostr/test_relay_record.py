"""What is known of a relay, and how it is told."""

from dataclasses import replace

import loguru
import pytest

from nostrclient.nostr.log import logger
from nostrclient.nostr.relay_record import (
    ROUND_TRIPS_KEPT,
    RelayRecord,
    RelayStatus,
    RelayUse,
)
from nostrclient.nostr.settings import DEFAULTS


@pytest.fixture
def record() -> RelayRecord:
    return RelayRecord("wss://relay.example", DEFAULTS)


def test_only_certain_moves_make_sense(record: RelayRecord) -> None:
    for status in (
        RelayStatus.CONNECTING,
        RelayStatus.CONNECTED,
        RelayStatus.CONNECTED,
        RelayStatus.PENALISED,
        RelayStatus.CONNECTING,
        RelayStatus.WAITING,
        RelayStatus.STOPPED,
    ):
        record.move(status)
        assert record.status is status
        assert record.connected == (status is RelayStatus.CONNECTED)
    with pytest.raises(AssertionError):
        record.move(RelayStatus.CONNECTED)


def test_first_attempt_ends_with_its_failure_or_success(record: RelayRecord) -> None:
    first = [record.first_attempt]
    record.move(RelayStatus.CONNECTING)
    for record.attempts in (0, 1, 0):
        first.append(record.first_attempt)
    record.move(RelayStatus.CONNECTED)
    assert first == [True, True, False, True]
    assert not record.first_attempt


def test_d7_the_latest_comes_first_and_is_one_bounded_line(
    record: RelayRecord,
) -> None:
    record.add_notice("first")
    record.add_notice("second\n\x1b[31m")
    assert record.notice_list == ["second\ufffd\ufffd[31m", "first"]
    for number in range(DEFAULTS.errors_per_relay + 5):
        record.add_error(f"{number}" + "x" * 10_000)
    assert record.error_counter == DEFAULTS.errors_per_relay + 5
    assert len(record.errors) == DEFAULTS.errors_per_relay
    assert record.error_list[0].startswith(f"{DEFAULTS.errors_per_relay + 4}xxx")
    assert max(map(len, record.error_list)) <= 500
    assert record.errors[0].at >= record.errors[-1].at > 0


def test_f3b_relay_that_accepts_and_closes_again_and_again_does_not_fill_the_log(
    record: RelayRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(logger, "log", lambda _, text: lines.append(text))
    for _ in range(200):
        record.move(RelayStatus.CONNECTING)
        record.move(RelayStatus.CONNECTED)
        record.failed("the relay closed the connection")
        record.move(RelayStatus.WAITING)
    assert 2 <= len(lines) <= DEFAULTS.burst_log_lines + 5
    assert record.error_counter == 200


def test_round_trips_are_kept_once_each(record: RelayRecord) -> None:
    assert record.ping == 0
    record.move(RelayStatus.CONNECTING)
    record.move(RelayStatus.CONNECTED)
    record.measured(None)
    record.measured(0.0001)
    record.measured(0.0001)
    assert (record.ping, record.round_trips) == (1, [0.0001])
    for number in range(ROUND_TRIPS_KEPT + 5):
        record.measured(float(number))
    assert len(record.round_trips) == ROUND_TRIPS_KEPT
    assert record.ping == 1000 * (ROUND_TRIPS_KEPT + 4)


def test_relay_is_read_and_written_as_configured_while_it_is_active() -> None:
    use = RelayUse(active=True, read=False, write=True)
    assert (use.readable, use.writable) == (False, True)
    use = use._replace(active=False, read=True)
    assert (use.readable, use.writable) == (False, False)


def test_f3b_known_relay_takes_over_changed_limits(record: RelayRecord) -> None:
    lines: list[str] = []
    sink = loguru.logger.add(lines.append, format="{message}", level="WARNING")
    try:
        for number in range(DEFAULTS.burst_log_lines + 5):
            record.add_error(f"error {number}")
        assert len(lines) == DEFAULTS.burst_log_lines
        record.configure(
            replace(
                DEFAULTS, burst_log_lines=50, errors_per_relay=3, eose_max_seconds=9
            )
        )
        for number in range(40):
            record.add_error(f"later {number}")
        assert len(lines) == DEFAULTS.burst_log_lines + 40
    finally:
        loguru.logger.remove(sink)
    assert [entry.text for entry in record.errors] == [
        "later 39",
        "later 38",
        "later 37",
    ]
    assert record.counters.patience == 9
