"""Every number nostrclient goes by: limits, time-outs and paces, with its default.

Durations are in seconds and measured on `clock.now`; sizes are in bytes. Tests compress
time by handing in other numbers, never by skipping logic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

KIB = 1024
MIB = 1024 * KIB
DAY_SECONDS = 24 * 60 * 60

# Zero means something for these; any other would stop or unbound what it counts.
_MAY_BE_ZERO = frozenset(
    (
        "errors_per_relay",
        "garbage_messages",
        "notices_per_relay",
        "outbox_events",
        "outbox_public_share",
        "public_share",
        "undeliverable_kept",
        "verified_cache_bytes",
    )
)
_LARGEST_COUNT = 2**40
_LONGEST_WAIT_SECONDS = 20 * DAY_SECONDS  # the system waits for 24 days at most
_NO_WAITS = frozenset(("gift_wrap_seconds", "outbox_expiry_seconds"))
_AT_MOST = (
    ("eose_seconds", "eose_max_seconds"),
    ("mailbox_bytes", "mailboxes_total_bytes"),
    ("publish_retry_seconds", "publish_retry_max_seconds"),
    ("reconnect_seconds", "reconnect_max_seconds"),
    ("relay_message_bytes", "relay_frame_bytes"),
    ("subscription_retry_seconds", "subscription_retry_max_seconds"),
)


@dataclass(frozen=True)
class ClientLimits:
    """What one endpoint grants its clients.

    `open_filters_bytes` is the memory that the filters of one client's open
    subscriptions take: their text, and more for each of many short values.
    """

    connections: int
    connections_per_address: int
    subscriptions: int
    filters: int
    message_bytes: int
    messages_per_second: float
    burst_messages: int
    open_filters_bytes: int


PUBLIC_LIMITS = ClientLimits(
    connections=100,
    connections_per_address=10,
    subscriptions=50,
    filters=10,
    message_bytes=256 * KIB,
    messages_per_second=20,
    burst_messages=100,
    open_filters_bytes=4 * MIB,
)

PRIVATE_LIMITS = ClientLimits(
    connections=1000,
    connections_per_address=100,
    subscriptions=500,
    filters=100,
    message_bytes=2560 * KIB,
    messages_per_second=200,
    burst_messages=1000,
    open_filters_bytes=40 * MIB,
)


@dataclass(frozen=True)
class Settings:
    """The numbers of one nostrclient."""

    # Clients; of what all of them share, public ones together get `public_share`
    public_share: float = 0.5
    public: ClientLimits = field(default=PUBLIC_LIMITS)
    private: ClientLimits = field(default=PRIVATE_LIMITS)
    subscription_id_characters: int = 64
    bytes_per_token: int = 16 * KIB
    parts_per_token: int = 1000
    mailbox_bytes: int = 32 * MIB
    mailboxes_total_bytes: int = 256 * MIB

    # Publishing
    answer_seconds: float = 2
    outbox_events: int = 100
    outbox_public_share: float = 0.5
    outbox_expiry_seconds: float = 7 * DAY_SECONDS
    ephemeral_expiry_seconds: float = 60
    owed_copies_per_relay: int = 100
    publish_tries: int = 5
    publish_retry_seconds: float = 5
    publish_retry_max_seconds: float = 300
    flush_unanswered_events: int = 20
    undeliverable_kept: int = 100

    # Subscribing
    eose_seconds: float = 4
    eose_max_seconds: float = 15
    eose_busy_seconds: float = 1
    eose_lost_relay_seconds: float = 30
    count_seconds: float = 4
    seen_ids_per_subscription: int = 100_000
    seen_ids_total: int = 1_000_000
    verified_cache_bytes: int = 8 * MIB

    # Connections to relays
    connect_seconds: float = 10
    connect_address_seconds: float = 3
    reconnect_seconds: float = 1
    reconnect_max_seconds: float = 60
    reconnect_forget_seconds: float = 60
    ping_seconds: float = 20
    pong_seconds: float = 10
    stop_seconds: float = 5
    relay_message_bytes: int = 4 * MIB
    relay_frame_bytes: int = 16 * MIB
    relay_buffer_bytes: int = 1 * MIB
    relay_unsent_bytes: int = 64 * MIB
    relay_auths_per_second: float = 1
    relay_burst_auths: int = 5
    wake_seconds: float = 0.002
    wake_seconds_most: float = 0.016
    notices_per_relay: int = 50
    errors_per_relay: int = 50

    # Overlap windows and refreshes
    overlap_seconds: float = 300
    gift_wrap_seconds: float = 2 * DAY_SECONDS
    page_events: int = 10
    pages: int = 1000
    refresh_seconds: float = 300
    refresh_answer_seconds: float = 30
    probe_seconds: float = 10
    refreshes_per_second: float = 2
    burst_refreshes: int = 20
    requests_per_second: float = 50
    burst_requests: int = 100
    counts_per_second: float = 10
    burst_counts: int = 20
    subscription_retry_seconds: float = 5
    subscription_retry_max_seconds: float = 300

    # Relays' own limits (NIP-11)
    information_seconds: float = 5
    information_bytes: int = 64 * KIB
    information_refresh_seconds: float = 3600

    # Garbage
    garbage_messages: int = 10
    garbage_window_seconds: float = 60
    garbage_sample: int = 100
    penalty_seconds: float = 600

    def with_changes(self, numbers: Mapping[str, float]) -> Settings:
        """Give these settings with some numbers changed, by name.

        An endpoint's limits are called `public.…` and `private.…`. Raises `ValueError`
        for a name that is none, a number out of its range, and for numbers that do not
        go together.
        """
        changes: dict[str, dict[str, Any]] = {"": {}, "public": {}, "private": {}}
        for name, number in numbers.items():
            setting = SETTINGS.get(name)
            if setting is None:
                raise ValueError(f"there is no setting {name!r}")
            endpoint, _, own_name = name.rpartition(".")
            if not 0 <= number <= _largest(own_name):
                raise ValueError(f"the setting {name!r} cannot be {number}")
            value = int(number) if setting.integer else float(number)
            if not value and own_name not in _MAY_BE_ZERO:
                raise ValueError(f"the setting {name!r} must be above 0")
            changes[endpoint][own_name] = value
        changed = replace(
            self,
            public=replace(self.public, **changes["public"]),
            private=replace(self.private, **changes["private"]),
            **changes[""],
        )
        changed._check_together()
        return changed

    def number(self, name: str) -> float:
        """Give a number by the name that `with_changes` knows it by."""
        endpoint, _, own_name = name.rpartition(".")
        found: float = getattr(getattr(self, endpoint) if endpoint else self, own_name)
        return found

    def _check_together(self) -> None:
        for smaller, larger in _AT_MOST:
            if getattr(self, smaller) > getattr(self, larger):
                raise ValueError(f"{smaller!r} must not exceed {larger!r}")
        # So long may a connection be dead before it is noticed. A window that does not
        # reach back further would leave out what was published meanwhile.
        if self.overlap_seconds <= self.ping_seconds + self.pong_seconds:
            raise ValueError(
                "'overlap_seconds' must exceed 'ping_seconds' + 'pong_seconds'"
            )


def _largest(name: str) -> float:
    if name in ("outbox_public_share", "public_share"):
        return 1
    if name.endswith("_seconds") and name not in _NO_WAITS:
        return _LONGEST_WAIT_SECONDS
    return _LARGEST_COUNT


class Setting(NamedTuple):
    """What is to be known of a number besides its value."""

    name: str
    group: str
    default: float
    unit: str
    integer: bool


DEFAULTS = Settings()

# Where a group begins; it goes on to the next one, as in the class.
_GROUPS = {
    "public_share": "Clients",
    "answer_seconds": "Publishing",
    "eose_seconds": "Subscribing",
    "connect_seconds": "Connections to relays",
    "overlap_seconds": "Overlap windows and refreshes",
    "information_seconds": "Relays' own limits",
    "garbage_messages": "Garbage",
}
_UNITS = {
    "seconds": "seconds",
    "bytes": "bytes",
    "per_second": "per second",
    "events": "events",
    "characters": "characters",
    "messages": "messages",
    "requests": "requests",
    "connections": "connections",
    "subscriptions": "subscriptions",
    "filters": "filters",
}


def _unit(name: str) -> str:
    if name.endswith("_per_address"):
        name = name.removesuffix("_per_address")
    if name.endswith("_per_second"):
        return _UNITS["per_second"]
    return _UNITS.get(name.rpartition("_")[2], "")


def _describe() -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    groups = {"public": "Public endpoint", "private": "Private endpoint"}
    for endpoint, group in groups.items():
        for item in fields(ClientLimits):
            name, integer = f"{endpoint}.{item.name}", item.type == "int"
            default = DEFAULTS.number(name)
            found[name] = Setting(name, group, default, _unit(item.name), integer)
    group = ""
    for item in fields(DEFAULTS):
        group = _GROUPS.get(item.name, group)
        if item.name not in groups:
            name, integer = item.name, item.type == "int"
            default = DEFAULTS.number(name)
            found[name] = Setting(name, group, default, _unit(name), integer)
    return found


SETTINGS = _describe()


def known_settings(numbers: Mapping[str, float]) -> dict[str, float]:
    """Give those of the numbers that are settings; another version may have others."""
    return {name: number for name, number in numbers.items() if name in SETTINGS}


def non_default(numbers: Mapping[str, float]) -> dict[str, float]:
    """Give those of the numbers that are not the defaults; `ValueError` as above."""
    changed = DEFAULTS.with_changes(numbers)
    return {
        name: changed.number(name)
        for name in numbers
        if changed.number(name) != SETTINGS[name].default
    }
