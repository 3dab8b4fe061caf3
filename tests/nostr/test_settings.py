"""Every number of the rules, in one place."""

from dataclasses import fields

import pytest

from nostrclient.nostr.settings import (
    DAY_SECONDS,
    DEFAULTS,
    SETTINGS,
    Setting,
    non_default,
)


def test_f2_the_private_endpoint_is_ten_times_as_generous() -> None:
    public, private = DEFAULTS.public, DEFAULTS.private
    assert public.connections == 100
    assert public.connections_per_address == 10
    assert public.subscriptions == 50
    assert public.filters == 10
    assert public.message_bytes == 512 * 1024
    assert public.messages_per_second == 20
    assert public.burst_messages == 100
    assert [10 * number for number in vars(public).values()] == [
        *vars(private).values()
    ]


def test_the_numbers_of_the_rules() -> None:
    numbers = DEFAULTS
    assert numbers.mailbox_bytes == 32 * 1024**2  # B7
    assert numbers.mailboxes_total_bytes == 256 * 1024**2
    assert numbers.answer_seconds == 2  # C3
    assert numbers.outbox_events == 100  # C4
    assert numbers.outbox_public_share == 0.5
    assert numbers.outbox_expiry_seconds == 7 * 24 * 3600
    assert numbers.owed_copies_per_relay == 100
    assert numbers.ephemeral_expiry_seconds == 60  # C5
    assert numbers.flush_unanswered_events == 20
    assert numbers.seen_ids_per_subscription == 100_000  # D2
    assert numbers.seen_ids_total == 1_000_000
    assert numbers.eose_seconds == 4  # D4
    assert numbers.eose_max_seconds == 15
    assert numbers.eose_busy_seconds == 1
    assert numbers.eose_lost_relay_seconds == 30
    assert numbers.connect_seconds == 10  # E2
    assert numbers.connect_address_seconds == 3
    assert numbers.reconnect_seconds == 1
    assert numbers.reconnect_max_seconds == 60
    assert numbers.ping_seconds == 20  # E3
    assert numbers.pong_seconds == 10
    assert numbers.overlap_seconds == 300  # E4
    assert numbers.gift_wrap_seconds == 2 * 24 * 3600
    assert numbers.refresh_seconds == 300  # E5
    assert numbers.refresh_answer_seconds == 30
    assert numbers.refreshes_per_second == 2
    assert numbers.burst_refreshes == 20
    assert numbers.information_seconds == 5  # E9
    assert numbers.information_bytes == 64 * 1024
    assert numbers.penalty_seconds == 600  # F3
    assert numbers.relay_message_bytes == 4 * 1024**2
    assert numbers.stop_seconds == 5  # F7


def test_numbers_are_changed_by_name() -> None:
    changed = DEFAULTS.with_changes({"ping_seconds": 30, "outbox_events": 0})
    assert changed.ping_seconds == 30
    assert changed.outbox_events == 0
    assert changed.pong_seconds == DEFAULTS.pong_seconds


@pytest.mark.parametrize(
    "numbers",
    [
        {"overlap_seconds": 30},
        {"ping_seconds": 290},
        {"ping_seconds": 200, "pong_seconds": 100},
    ],
)
def test_e4_a_window_shorter_than_a_death_can_go_unnoticed_is_refused(
    numbers: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match="'overlap_seconds' must exceed"):
        DEFAULTS.with_changes(numbers)
    wider = {**numbers, "overlap_seconds": 311}
    assert DEFAULTS.with_changes(wider).overlap_seconds == 311


@pytest.mark.parametrize(
    "name",
    [
        *("requests_per_second", "burst_requests", "bytes_per_token"),
        *("garbage_sample", "mailbox_bytes", "owed_copies_per_relay"),
    ],
)
def test_f3_a_zero_that_would_wedge_or_unbound_something_is_refused(name: str) -> None:
    for number in (0, 0.0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=name):
            DEFAULTS.with_changes({name: number})


def test_f3_less_than_one_of_what_is_counted_is_none() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        DEFAULTS.with_changes({"relay_message_bytes": 0.5})


def test_f3_a_wait_longer_than_the_system_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="penalty_seconds"):
        DEFAULTS.with_changes({"penalty_seconds": 25 * DAY_SECONDS})
    kept = DEFAULTS.with_changes({"outbox_expiry_seconds": 90 * DAY_SECONDS})
    assert kept.outbox_expiry_seconds == 90 * DAY_SECONDS


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("eose_seconds", "eose_max_seconds"), ("mailbox_bytes", "mailboxes_total_bytes")],
)
def test_a_bound_below_what_it_bounds_is_refused(smaller: str, larger: str) -> None:
    too_much = getattr(DEFAULTS, larger) + 1
    with pytest.raises(ValueError, match=f"{smaller!r} must not exceed {larger!r}"):
        DEFAULTS.with_changes({smaller: too_much})


def test_the_defaults_go_together() -> None:
    numbers = {
        item.name: getattr(DEFAULTS, item.name)
        for item in fields(DEFAULTS)
        if item.type in ("int", "float")
    }
    assert DEFAULTS.with_changes(numbers) == DEFAULTS


def test_every_number_can_be_described_and_changed() -> None:
    endpoints = 2 * len(fields(DEFAULTS.public))
    assert len(SETTINGS) == len(fields(DEFAULTS)) - 3 + endpoints
    assert all(setting.group for setting in SETTINGS.values())
    assert SETTINGS["ping_seconds"] == Setting(
        "ping_seconds",
        "Connections to relays",
        20,
        "seconds",
        False,
        "Time between two pings; a larger value notices a dead connection later.",
    )
    assert SETTINGS["public.connections_per_address"].unit == "connections"
    assert SETTINGS["refreshes_per_second"].unit == "per second"
    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    assert DEFAULTS.with_changes(defaults) == DEFAULTS
    assert non_default(defaults) == {}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_has_a_sentence_of_its_own(setting: Setting) -> None:
    sentence = setting.description
    assert sentence, f"write a sentence below the field {setting.name}"
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert len(sentence.split()) <= 30
    of_others = [
        other.name
        for other in SETTINGS.values()
        if other.description == sentence
        and other.name.rpartition(".")[2] != setting.name.rpartition(".")[2]
    ]
    assert not of_others


def test_the_limits_of_an_endpoint_can_be_changed_apart() -> None:
    changed = DEFAULTS.with_changes({"public.connections": 7, "ping_seconds": 3})
    assert changed.public.connections == 7
    assert changed.ping_seconds == 3
    assert changed.private == DEFAULTS.private
    numbers = {"public.connections": 7.0, "ping_seconds": 20.0}
    assert non_default(numbers) == {"public.connections": 7}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("no_such", 1),
        ("public", 1),
        ("public.no_such", 1),
        ("ping_seconds", -1),
        ("ping_seconds", 0),
        ("ping_seconds", float("nan")),
        ("ping_seconds", float("inf")),
        ("ping_seconds", 1e12),
        ("refreshes_per_second", 0),
        ("public.connections", 0),
        ("mailbox_bytes", 2**50),
    ],
)
def test_a_number_that_would_stop_or_break_it_is_refused(
    name: str, number: float
) -> None:
    with pytest.raises(ValueError, match="setting"):
        DEFAULTS.with_changes({name: number})
    with pytest.raises(ValueError, match="setting"):
        non_default({name: number})
