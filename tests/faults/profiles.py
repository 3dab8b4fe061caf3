"""Whole relays, as values of the test relay's habits.

What they do was read in their sources and seen on running ones. Where an operator can
choose, it is the default that counts, or what many choose (said in a comment).
"""

from dataclasses import replace

from .habits import EventRate, Habits

DIRECT_MESSAGES = frozenset((4, 1059))

STRFRY = Habits(
    information=True,
    announced_limits=("max_message_length", "max_subscriptions", "max_limit"),
    supported_nips=(1, 2, 4, 9, 11, 28, 40, 42, 45, 59, 70, 77),
    restricted_kinds=DIRECT_MESSAGES,
    max_keys=1,
    error_prefix="ERROR: ",
    refuses_unknown_keys=True,
    max_message_bytes=131_072,
    max_filters=200,
    max_filter_values=2047,
    max_filter_tags=3,
    negentropy="serves",
    max_stored=500,
    max_subscriptions=200,
    too_many="notice",
    stored_above_cap=True,
    max_ahead_seconds=900,
    max_age_seconds=94_608_000,
    max_ephemeral_age_seconds=60,
    counts=True,
)
"""strfry of August 2026; many operators set `serviceUrl`, which it needs for AUTH."""

STRFRY_2025 = replace(
    STRFRY,
    restricted_kinds=frozenset(),
    supported_nips=(1, 2, 4, 9, 11, 28, 40, 45, 70, 77),
    notice_for_closed=True,
    max_subscriptions=20,
    announced_limits=("max_message_length", "max_limit"),
)
"""strfry before 2026: no restricted kinds, NOTICE in place of CLOSED, 20 REQs."""

NOSTREAM_2 = Habits(
    information=True,
    software="git+https://github.com/Cameri/nostream.git",
    announced_limits=(
        "max_message_length",
        "max_subscriptions",
        "max_filters",
        "max_limit",
        "auth_required",
    ),
    announced_max_filters=2500,
    supported_nips=(1, 2, 4, 9, 11, 12, 15, 16, 20, 22, 28, 33, 40),
    one_limit=True,
    oldest_stored=500,
    notice_for_closed=True,
    ignores_identical_req=True,
    refuses_unknown_keys=True,
    refuses_upper_case_tags=True,
    max_message_bytes=524_288,
    max_filters=10,
    max_filter_values=2500,
    max_stored=5000,
    max_subscriptions=10,
    too_many="notice",
    max_ahead_seconds=900,
    max_messages_per_minute=240,
    max_connections_per_second=12,
    max_connections_per_minute=48,
    event_rates=(
        EventRate(6, (range(1), range(3, 4), range(40, 42))),
        EventRate(12, (range(1, 3), range(4, 5), range(42, 43))),
        EventRate(30, (range(5, 8), range(43, 50))),
        EventRate(24, (range(10_000, 20_000), range(30_000, 40_000))),
        EventRate(60, (range(20_000, 30_000),)),
        EventRate(720, minutes=60),
    ),
)
"""nostream before 2026, with its default rates."""

NOSTREAM = replace(
    NOSTREAM_2,
    announced_limits=(
        *NOSTREAM_2.announced_limits,
        "search_supported",
    ),
    announced_max_filters=None,
    supported_nips=(1, 2, 4, 9, 11, 17, 20, 22, 28, 33, 40, 42, 44, 45, 50, 65),
    search_supported=False,
    challenges_at_once=True,
    restricted_kinds=DIRECT_MESSAGES,
    refuses_upper_case_tags=False,
    rates_decay=True,
    counts=True,
)
"""nostream of August 2026; many switch its `restrictedReads` on."""

NOSTR_RS_RELAY = Habits(
    information=True,
    supported_nips=(1, 2, 9, 11, 12, 15, 16, 20, 22, 33, 40, 42),
    restricted_kinds=DIRECT_MESSAGES | {44},  # `nip42_dms`, with `nip42_auth`
    says_auth_required=False,
    max_keys=1,
    further_key="ignored",
    challenges_at_once=True,
    notice_for_closed=True,
    ignores_identical_req=True,
    eose_for_limit_0=False,
    max_message_bytes=131_072,
    max_message_notice=True,
    max_subscriptions=32,
    too_many="notice",
    max_ahead_seconds=1800,
)
"""nostr-rs-relay that guards direct messages; it announces no limits."""

KHATRU = Habits(
    information=True,
    announced_limits=("auth_required",),
    supported_nips=(1, 11, 40, 42, 70),
    refuses_late=True,
    adds_reqs=True,
    mutes_unheard=True,
    max_stored=500,
    closes_after_eose="error: shutting down idle subscription",
    closes_after_eose_seconds=30.0,
)
"""A relay built on khatru that ends subscriptions after a while."""

NOSTRCLIENT = Habits(
    information=True,
    announced_limits=("max_message_length", "max_subscriptions", "max_filters"),
    supported_nips=(1, 11, 45),
    max_message_bytes=262_144,
    max_subscriptions=50,
    max_filters=10,
    counts=True,
    instance_id="another-nostrclient",
)
"""Another nostrclient's public endpoint, with a relay of its own."""

PROFILES = {
    "strfry": STRFRY,
    "strfry_2025": STRFRY_2025,
    "nostream": NOSTREAM,
    "nostream_2": NOSTREAM_2,
    "nostr_rs_relay": NOSTR_RS_RELAY,
    "khatru": KHATRU,
    "nostrclient": NOSTRCLIENT,
}


def profile(name: str, **changes: object) -> Habits:
    """Return a relay's habits, to be changed at will."""
    return replace(PROFILES[name], **changes)  # type: ignore[arg-type]  # names and types are checked by the dataclass's tests
