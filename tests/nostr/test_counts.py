"""COUNT: one answer from those of all relays (NIP-45)."""

from nostrclient.nostr.counts import Counts
from nostrclient.nostr.delivery import Counted
from nostrclient.nostr.hyperloglog import merge
from nostrclient.nostr.message import RelayClosed, RelayCount

from .builders import Inbox
from .test_hyperloglog import registers

A, B, C = "wss://a", "wss://b", "wss://c"


def counting(*relay_urls: str) -> tuple[Counts, Inbox]:
    counts, inbox = Counts(), Inbox()
    counts.open("up", inbox, relay_urls, 104.0)
    return counts, inbox


def answer(
    total: int, approximate: bool = False, hll: bytes | None = None
) -> RelayCount:
    return RelayCount("up", total, approximate, hll)


def test_d6_the_largest_answer_counts_once_all_have_answered() -> None:
    counts, inbox = counting(A, B, C)
    counts.answered(A, "up", answer(7))
    counts.answered(A, "up", answer(100))  # once only
    counts.answered(B, "up", None)
    counts.answered("wss://not.asked", "up", answer(1000))
    counts.answered(C, "another", answer(1000))
    assert inbox.items == []
    counts.answered(C, "up", answer(9))
    assert inbox.items == [Counted("up", 9)]
    assert counts.deadline() is None
    counts.answered(C, "up", answer(10))
    assert len(inbox.items) == 1


def test_d6_a_smaller_answer_that_comes_later_changes_nothing() -> None:
    counts, inbox = counting(A, B)
    counts.answered(A, "up", answer(9))
    counts.answered(B, "up", answer(7))
    assert inbox.items == [Counted("up", 9)]


def test_d6_zero_is_an_answer() -> None:
    counts, inbox = counting(A, B)
    counts.answered(A, "up", None)
    counts.answered(B, "up", answer(0))
    assert inbox.items == [Counted("up", 0)]


def test_d6_there_is_no_count_where_no_relay_can_or_all_refuse() -> None:
    _, inbox = counting()
    assert inbox.items == [Counted("up", None)]
    counts, inbox = counting(A)
    counts.answered(A, "up", RelayClosed("up", "unsupported: no"))
    assert inbox.items == [Counted("up", None)]


def test_d6_a_relay_without_an_answer_in_time_is_not_waited_for() -> None:
    counts, inbox = counting(A, B)
    counts.answered(B, "up", answer(3))
    assert counts.deadline() == 104.0
    counts.tick(103.9)
    assert inbox.items == []
    counts.tick(104.0)
    assert inbox.items == [Counted("up", 3)]
    assert counts.deadline() is None


def test_d6_a_relay_that_is_gone_is_not_waited_for() -> None:
    counts, inbox = counting(A, B)
    counts.open("other", inbox, [A], 200.0)
    counts.answered(B, "up", answer(3))
    counts.lost(A)
    assert inbox.items == [Counted("up", 3), Counted("other", None)]


def test_d6_approximate_is_kept_of_the_answer_that_counts() -> None:
    for first, second, expected in (
        (answer(9, True), answer(7), Counted("up", 9, True)),
        (answer(9), answer(7, True), Counted("up", 9)),
        (answer(9, True), answer(9), Counted("up", 9)),
    ):
        counts, inbox = counting(A, B)
        counts.answered(A, "up", first)
        counts.answered(B, "up", second)
        assert inbox.items == [expected]


def test_d6_registers_of_several_relays_are_merged() -> None:
    counts, inbox = counting(A, B, C)
    left, right = registers(range(600)), registers(range(400, 1000))
    counts.answered(A, "up", answer(600, hll=left))
    counts.answered(B, "up", answer(600, hll=right))
    counts.answered(C, "up", answer(30))
    both = merge([left, right])
    assert inbox.items == [Counted("up", 920, True, both)]


def test_d6_an_estimate_below_what_one_relay_counted_does_not_count() -> None:
    counts, inbox = counting(A, B)
    left, right = registers(range(600)), registers(range(400, 1000))
    counts.answered(A, "up", answer(5000, hll=left))  # many events of each author
    counts.answered(B, "up", answer(600, hll=right))
    assert inbox.items == [Counted("up", 5000, False, merge([left, right]))]


def test_d6_the_registers_of_one_relay_leave_its_count_exact() -> None:
    counts, inbox = counting(A, B)
    same = registers(range(300))
    counts.answered(A, "up", answer(300, hll=same))
    counts.answered(B, "up", answer(300, hll=same))
    assert inbox.items == [Counted("up", 300, False, same)]


def test_d6_relay_that_cannot_count_is_remembered() -> None:
    counts, inbox = counting(A, B, C)
    assert counts.can_count(A) is None
    counts.answered(A, "up", answer(1))
    counts.answered(B, "up", RelayClosed("up", "unsupported: no"))
    counts.tick(104.0)
    assert [counts.can_count(url) for url in (A, B, C)] == [True, False, False]
    counts.open("up", inbox, [A], 104.0)
    counts.tick(104.0)  # late once, and able all the same
    assert counts.can_count(A) is True


def test_d6_a_passing_refusal_says_nothing_of_whether_a_relay_counts() -> None:
    counts, inbox = counting(A, B, C)
    counts.answered(A, "up", RelayClosed("up", "rate-limited: slow down"))
    counts.answered(B, "up", None)
    counts.lost(C)
    assert [counts.can_count(url) for url in (A, B, C)] == [None, None, None]
    assert inbox.items == [Counted("up", None)]
