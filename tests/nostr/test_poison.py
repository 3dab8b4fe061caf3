"""Messages after which a relay ends the connection."""

from dataclasses import replace

from nostrclient.nostr.pace import BURST_MESSAGES
from nostrclient.nostr.poison import (
    LONG_SILENCE_SECONDS,
    MAX_SUSPECTED,
    MAX_WAIT_SECONDS,
    PATIENCE_SECONDS,
    SILENCE_SECONDS,
    PoisonWatch,
)
from nostrclient.nostr.settings import DEFAULTS

START = 1000.0


def watch() -> PoisonWatch:
    return PoisonWatch(replace(DEFAULTS, poison_seconds=5))


def suspecting(*keys: str) -> PoisonWatch:
    """Return a watch on the connection after one that ended on these messages."""
    found = watch()
    for key in keys:
        found.sent(key, START)
    assert found.lose(START + 1, ended_by_relay=True) is None
    for key in keys:
        assert found.is_suspected(key)
        found.wait(key, START + 2)
    return found


def test_e10_message_that_ends_two_connections_is_convicted() -> None:
    found = suspecting("a", "poison", "b")
    now = START + 3
    while (key := found.next(now)) != "poison":
        assert key is not None
        found.sent(key, now)
        assert not found.may_send(now), "it is alone"
        found.answered(key)
        now += 2
    found.sent("poison", now)
    assert found.lose(now, ended_by_relay=True) == "poison"
    assert [found.is_suspected(key) for key in ("a", "poison", "b")] == [
        False,
        False,
        True,
    ]


def test_e10_message_that_was_answered_or_survived_is_not_suspected() -> None:
    found = watch()
    for key in ("answered", "old", "new"):
        found.sent(key, START if key == "old" else START + 6)
    found.answered("answered")
    found.lose(START + 7, ended_by_relay=True)
    assert [found.is_suspected(key) for key in ("answered", "old", "new")] == [
        False,
        False,
        True,
    ]


def test_e10_connection_that_we_end_suspects_nothing() -> None:
    found = watch()
    found.sent("a", START)
    assert found.lose(START, ended_by_relay=False) is None
    assert not found.is_suspected("a")


def test_e10_suspected_message_is_not_convicted_among_others() -> None:
    found = suspecting("a")
    assert found.next(START + 3) == "a"
    found.sent("a", START + 3)
    found.sent("b", START + 6)
    assert found.lose(START + 7, ended_by_relay=True) is None
    assert found.is_suspected("b")


def test_e10_suspected_message_waits_for_silence_but_not_for_ever() -> None:
    found = suspecting("a")
    now = START + 2
    while found.may_send(now):
        found.sent("other", now)
        found.answered("other")
        assert found.next(now + SILENCE_SECONDS / 2) is None
        now += SILENCE_SECONDS / 2
    assert PATIENCE_SECONDS <= now - START - 2 < PATIENCE_SECONDS + 1
    assert found.next(now) is None
    assert found.next(now + SILENCE_SECONDS) == "a"


def test_e10_message_is_not_convicted_amid_a_burst() -> None:
    found = suspecting("a")
    now = START + 2 + MAX_WAIT_SECONDS
    for number in range(BURST_MESSAGES):
        found.sent(f"t{number}", now)
        found.answered(f"t{number}")
    assert found.next(now) == "a"
    found.sent("a", now)
    assert found.lose(now, ended_by_relay=True) is None
    assert found.is_suspected("a")


def test_e10_many_messages_on_their_way_make_the_next_connection_cautious() -> None:
    found = watch()
    for number in range(MAX_SUSPECTED + 1):
        found.sent(f"s{number}", START)
    assert found._burst.is_recent(START + 0.5)
    found.lose(START + 0.5, ended_by_relay=True)
    assert not found.is_suspected("s0")
    for number in range(MAX_SUSPECTED):
        assert found.may_send(START + 2)
        found.sent(f"s{number}", START + 2)
    assert not found.may_send(START + 2)
    found.answered("s0")
    assert found.may_send(START + 2)


def test_e10_forgotten_message_leaves_nothing_behind() -> None:
    found = suspecting("a")
    found.forget("a")
    assert not found.is_suspected("a")
    assert found.next(START + 60) is None
    assert found.next_at(START + 60) is None


def test_e10_after_a_burst_a_longer_silence_comes_before_a_suspected_message() -> None:
    found = watch()
    for number in range(BURST_MESSAGES + 1):
        found.sent(f"s{number}", START)
        if number:
            found.answered(f"s{number}")
    found.lose(START, ended_by_relay=True)
    found.wait("s0", START + 1)
    found.sent("other", START + 1)
    found.answered("other")
    assert found.next(START + 1 + LONG_SILENCE_SECONDS - 0.1) is None
    assert found.next(START + 1 + LONG_SILENCE_SECONDS) == "s0"


def test_e10_only_the_first_suspected_message_after_a_burst_waits_long() -> None:
    found = watch()
    for number in range(BURST_MESSAGES + 1):
        found.sent(f"s{number}", START)
        if number > 2:
            found.answered(f"s{number}")
    found.lose(START, ended_by_relay=True)
    now = START + LONG_SILENCE_SECONDS
    for key in ("s0", "s1", "s2"):
        found.wait(key, START)
    for key in ("s0", "s1", "s2"):
        assert found.next(now) == key
        found.sent(key, now)
        found.answered(key)
        now += SILENCE_SECONDS + 0.001


def test_e10_connection_that_ends_without_them_clears_suspected_messages() -> None:
    found = suspecting("a", "b")
    found.sent("later", START + 3)
    found.lose(START + 4, ended_by_relay=True)
    assert [found.is_suspected(key) for key in ("a", "b", "later")] == [
        False,
        False,
        True,
    ]


def test_e10_connection_that_ends_after_one_was_tried_clears_no_other() -> None:
    found = suspecting("a", "b")
    now = START + 10
    key = found.next(now)
    assert key == "a"
    found.sent("a", now)
    found.answered("a")
    found.lose(now + 1, ended_by_relay=True)
    assert [found.is_suspected(key) for key in ("a", "b")] == [False, True]


def test_e10_end_in_the_middle_of_a_message_convicts_only_the_second_time() -> None:
    found = suspecting("event")
    for now, verdict in ((START + 10, None), (START + 20, "event")):
        assert found.next(now) == "event"
        found.sent("event", now)
        assert found.lose(now, ended_by_relay=True, mid_message=True) == verdict
        found.wait("event", now + 1)


def test_e10_answer_clears_a_message_of_an_end_in_the_middle_of_a_message() -> None:
    found = suspecting("event")
    assert found.next(START + 10) == "event"
    found.sent("event", START + 10)
    found.lose(START + 10, ended_by_relay=True, mid_message=True)
    found.answered("event")
    found.sent("event", START + 20)
    assert found.lose(START + 20, ended_by_relay=True, mid_message=True) is None
    assert found.is_suspected("event")
