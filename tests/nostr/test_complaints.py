"""What a relay's own words are about."""

import pytest

from nostrclient.nostr.complaints import Complaint, classify


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rate-limited: you are noting too much", Complaint.RATE),
        ("rate limited", Complaint.RATE),
        ("ERROR: too many requests, slow down", Complaint.RATE),
        ("ERROR: too many concurrent REQs", Complaint.SUBSCRIPTIONS),
        ("Maximum concurrent subscription count reached", Complaint.SUBSCRIPTIONS),
        ("Too many subscriptions: Number of subscriptions", Complaint.SUBSCRIPTIONS),
        (
            "Subscription error: Maximum concurrent subscription",
            Complaint.SUBSCRIPTIONS,
        ),
        ("Too many filters: Number of filters must be ≤ 10", Complaint.FILTERS),
        ("ERROR: bad req: arr too big", Complaint.FILTERS),
        ("ERROR: bad req: unrecognised filter item: search", Complaint.FILTER),
        ("ERROR: bad req: too many tags in filter", Complaint.FILTER),
        ("ERROR: bad req: too many kinds in filter: 5", Complaint.FILTER),
        (
            "ERROR: bad req: error parsing #title: unindexed tag filter",
            Complaint.FILTER,
        ),
        ("ERROR: bad req: total filter items too large", Complaint.FILTER),
        ("could not parse command", Complaint.FILTER),
        ("welcome to our relay", Complaint.OTHER),
        ("separate limits apply", Complaint.OTHER),
        ("error: shutting down idle subscription", Complaint.OTHER),
        ("", Complaint.OTHER),
    ],
)
def test_e9_words_of_relays_are_told_apart(text: str, complaint: Complaint) -> None:
    assert classify(text) is complaint
