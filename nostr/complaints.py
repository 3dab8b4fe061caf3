"""Classifies a relay's complaints in NOTICE and CLOSED by their words.

NIP-01 has prefixes for this, but relays use their own words, and some answer a REQ with
nothing but a NOTICE.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from .message import speaks_of_rate

_RATE = re.compile(
    r"too quick|noting too much|per (?:second|minute|hour)|throttl|flood", re.IGNORECASE
)
_SUBSCRIPTIONS = re.compile(
    r"(?:too many|max\w*|limit\w*|exceed\w*|reached)\b.*\b(?:subs?|subscriptions?|reqs?"
    r"|queries|subids?)\b"
    r"|\b(?:subs?|subscriptions?|reqs?|queries)\b.*"
    r"(?:limit|too many|max|exceed|reached)",
    re.IGNORECASE,
)
_FILTERS = re.compile(
    r"(?:too many|max\w*|limit\w*|exceed\w*)\b.*\bfilters?\b"
    r"|\bfilters?\b.*(?:limit|too many|max|exceed)|arr too big",
    re.IGNORECASE,
)
# Of one filter, and not of how many there are (strfry: "too many tags in filter").
_IN_FILTER = re.compile(r"\b(?:in|per) (?:a |the |your )?filter\b", re.IGNORECASE)
_FILTER = re.compile(
    r"bad req|bad msg|unrecogni[sz]ed|unsupported|not supported|unknown filter"
    r"|invalid|malformed|could not parse|failed to parse|not allowed",
    re.IGNORECASE,
)


class Complaint(Enum):
    """The subject of a complaint."""

    RATE = auto()  # too many messages, requests or events in a time
    SUBSCRIPTIONS = auto()  # too many subscriptions at once
    FILTERS = auto()  # too many filters in one REQ
    FILTER = auto()  # a filter that this relay will never serve
    OTHER = auto()


def classify(text: str) -> Complaint:
    """Return what a relay's words are about."""
    if speaks_of_rate(text) or _RATE.search(text):
        return Complaint.RATE
    if _IN_FILTER.search(text):
        return Complaint.FILTER
    if _FILTERS.search(text):
        return Complaint.FILTERS
    if _SUBSCRIPTIONS.search(text):
        return Complaint.SUBSCRIPTIONS
    if _FILTER.search(text):
        return Complaint.FILTER
    return Complaint.OTHER
