"""COUNT: the largest answer counts, and the client always gets one (NIP-45)."""

from nostrclient.nostr.counts import Counts
from nostrclient.nostr.delivery import Counted

from .builders import Inbox

A, B, C = "wss://a", "wss://b", "wss://c"


def counting(*relay_urls: str) -> tuple[Counts, Inbox]:
    counts, inbox = Counts(), Inbox()
    counts.open("up", inbox, relay_urls, 104.0)
    return counts, inbox


def test_the_largest_answer_counts_once_all_have_answered() -> None:
    counts, inbox = counting(A, B, C)
    counts.answered(A, "up", 7)
    counts.answered(A, "up", 100)  # once only
    counts.answered(B, "up", None)
    counts.answered("wss://not.asked", "up", 1000)
    counts.answered(C, "another", 1000)
    assert inbox.items == []
    counts.answered(C, "up", 9)
    assert inbox.items == [Counted("up", 9)]
    assert counts.deadline() is None
    counts.answered(C, "up", 10)
    assert len(inbox.items) == 1


def test_d6_a_smaller_answer_that_comes_later_changes_nothing() -> None:
    counts, inbox = counting(A, B)
    counts.answered(A, "up", 9)
    counts.answered(B, "up", 7)
    assert inbox.items == [Counted("up", 9)]


def test_nothing_is_an_answer_too() -> None:
    counts, inbox = counting(A, B)
    counts.answered(A, "up", None)
    counts.answered(B, "up", 0)
    assert inbox.items == [Counted("up", 0)]


def test_where_no_relay_can_count_or_all_refuse_there_is_none() -> None:
    _, inbox = counting()
    assert inbox.items == [Counted("up", None)]
    counts, inbox = counting(A)
    counts.answered(A, "up", None)
    assert inbox.items == [Counted("up", None)]


def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    counts, inbox = counting(A, B)
    counts.answered(B, "up", 3)
    assert counts.deadline() == 104.0
    counts.tick(103.9)
    assert inbox.items == []
    counts.tick(104.0)
    assert inbox.items == [Counted("up", 3)]
    assert counts.deadline() is None


def test_a_relay_that_is_gone_is_not_waited_for() -> None:
    counts, inbox = counting(A, B)
    counts.open("other", inbox, [A], 200.0)
    counts.answered(B, "up", 3)
    counts.lost(A)
    assert inbox.items == [Counted("up", 3), Counted("other", None)]
