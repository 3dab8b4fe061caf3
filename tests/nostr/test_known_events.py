"""What a subscription remembers of the events that it was given (NIP-77)."""

from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.known_events import KnownBudget, KnownEvents


def id_of(number: int) -> str:
    return f"{number:064x}"


def test_e7b_events_are_remembered_for_the_filter_that_they_match() -> None:
    known = KnownEvents(KnownBudget(100), 10)
    known.add(5, id_of(1), 0)
    known.add(6, id_of(2), 1)
    assert known.items(0) == (0, [(5, bytes.fromhex(id_of(1)))])
    assert known.items(1) == (0, [(6, bytes.fromhex(id_of(2)))])


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 12))
def test_d8_no_event_from_the_floor_on_is_forgotten(
    dates: list[int], most: int
) -> None:
    budget = KnownBudget(1000)
    known = KnownEvents(budget, most)
    for number, date in enumerate(dates):
        known.add(date, id_of(number), 0)
        assert len(known) <= most
        assert budget.count == len(known)
    floor, items = known.items(0)
    expected = {
        (date, bytes.fromhex(id_of(number)))
        for number, date in enumerate(dates)
        if date >= floor
    }
    assert set(items) == expected
    assert len(items) == len(expected)


def test_d8_all_subscriptions_together_are_bounded() -> None:
    budget = KnownBudget(20)
    several = [KnownEvents(budget, 100) for _ in range(5)]
    for number in range(100):
        several[number % 5].add(number, id_of(number), 0)
        assert budget.count <= 20
        assert budget.count == sum(map(len, several))
    for known in several:
        known.clear()
    assert budget.count == 0
