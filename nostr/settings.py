"""All settings and their defaults: limits, timeouts and rates.

Durations are in seconds and measured on `clock.now`; sizes are in bytes. Tests shorten
time with other settings and never skip logic.

To add a setting, add a field to its group in `Settings` (or in `ClientLimits`, for one
that each endpoint has) and, below the field, a string with one sentence: what the
setting does and what a larger value costs. The REST interface and the page show this
sentence. `SETTINGS` is built from the fields; nothing else needs to change unless zero
is allowed (`_MAY_BE_ZERO`) or the value depends on another one (`_check_together`).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from .socks import NO_PROXY, ProxyPolicy

KIB = 1024
MIB = 1024 * KIB
DAY_SECONDS = 24 * 60 * 60

# Kinds that relays give to their author or recipient only (NIP-04, NIP-17, NIP-42).
RESTRICTED_KINDS = frozenset((4, 1059))

# Zero is allowed for these. For any other it would stop the work or lift the limit.
_MAY_BE_ZERO = frozenset(
    (
        "errors_per_relay",
        "garbage_messages",
        "gift_wrap_relays",
        "history_seconds",
        "named_connections",
        "notify_down_seconds",
        "notify_outbox_share",
        "notify_undeliverable_events",
        "notify_withheld_keys",
        "notices_per_relay",
        "outbox_events",
        "outbox_named_copies",
        "outbox_named_events",
        "outbox_named_events_per_user",
        "outbox_paced_events",
        "outbox_public_share",
        "public_share",
        "undeliverable_kept",
        "verified_cache_bytes",
    )
)
_MAX_COUNT = 2**40
_MAX_WAIT_SECONDS = 20 * DAY_SECONDS  # poll(2) cannot wait longer than 24 days
_NO_WAITS = frozenset(("gift_wrap_seconds", "outbox_expiry_seconds"))
_ORDERED = (
    ("lease_renew_seconds", "lease_seconds"),
    ("database_retry_seconds", "database_retry_max_seconds"),
    ("eose_seconds", "eose_max_seconds"),
    ("mailbox_bytes", "mailboxes_total_bytes"),
    ("publish_retry_seconds", "publish_retry_max_seconds"),
    ("publish_rate_pause_seconds", "publish_rate_max_pause_seconds"),
    ("reconnect_seconds", "reconnect_max_seconds"),
    ("relay_message_bytes", "relay_frame_bytes"),
    ("resend_seconds", "resend_max_seconds"),
    ("subscription_retry_seconds", "subscription_retry_max_seconds"),
)


@dataclass(frozen=True)
class ClientLimits:
    """The limits of one endpoint's clients."""

    connections: int
    """Connections open at once on this endpoint; each costs memory and a socket."""
    connections_per_address: int
    """Connections from one address (IPv6: one /64); more lets one host fill the
    endpoint."""
    subscriptions: int
    """Open subscriptions per client; each also takes one at every relay."""
    filters: int
    """Filters per REQ or COUNT; every event is matched against all of them."""
    message_bytes: int
    """Largest message a client may send; larger ones take longer to check."""
    messages_per_second: float
    """Sustained messages per client; a larger value lets one client use more CPU."""
    burst_messages: int
    """Messages a client may send at once before the rate limit applies."""
    open_filters_bytes: int
    """Memory for the filters of one client's open subscriptions: their text, and more
    for many short values."""


PUBLIC_LIMITS = ClientLimits(
    connections=100,
    connections_per_address=10,
    subscriptions=50,
    filters=10,
    message_bytes=512 * KIB,
    messages_per_second=20,
    burst_messages=100,
    open_filters_bytes=4 * MIB,
)

PRIVATE_LIMITS = ClientLimits(
    connections=1000,
    connections_per_address=100,
    subscriptions=500,
    filters=100,
    message_bytes=5120 * KIB,
    messages_per_second=200,
    burst_messages=1000,
    open_filters_bytes=40 * MIB,
)


@dataclass(frozen=True)
class Settings:
    """All settings of one nostrclient."""

    # Clients; of what all of them share, public ones together get `public_share`
    public_share: float = 0.5
    """Part of the shared memory that all public clients together may use; a larger part
    leaves less to private clients."""
    public: ClientLimits = field(default=PUBLIC_LIMITS)
    private: ClientLimits = field(default=PRIVATE_LIMITS)
    subscription_id_characters: int = 64
    """Longest subscription id a client may choose (NIP-01: 64)."""
    bytes_per_token: int = 16 * KIB
    """Message size that costs one more rate-limit token; a larger value makes large
    messages cheaper for the sender."""
    parts_per_token: int = 1000
    """JSON arrays and objects per rate-limit token; a larger value makes messages of
    many small parts cheaper for the sender."""
    mailbox_bytes: int = 32 * MIB
    """Data that may wait for one client; a client that reads too slowly is then closed.
    More memory bridges longer pauses."""
    mailboxes_total_bytes: int = 256 * MIB
    """Data that may wait for all clients together; the memory LNbits may lose to slow
    clients."""

    # HTTP requests in place of a WebSocket
    http_seconds: float = 9.5
    """Longest time for an HTTP request; LNbits' WASM extensions give up after 10 s."""
    http_request_bytes: int = 64 * KIB
    """Largest body of an HTTP request; LNbits' WASM extensions send no more."""
    http_answer_bytes: int = 256 * KIB
    """Largest answer to an HTTP query; LNbits' WASM extensions read no more."""
    http_named_relays: int = 5
    """Relays that one query or event may name; each costs a connection and a thread."""
    http_named_connections: int = 20
    """Connections to named relays at a time, of all HTTP queries together."""
    http_receipts: int = 100
    """Published events per user whose answers can be asked for later."""

    # Publishing
    answer_seconds: float = 2
    """Longest wait for a relay's OK before the client gets `queued:`; above 2.5 s some
    client libraries give up first."""
    store_seconds: float = 0.4
    """Longest wait for the database until an event that no relay accepted is refused;
    above 0.5 s some client libraries give up first."""
    outbox_events: int = 100
    """Events that may wait for a relay to accept them; more take memory and database
    rows."""
    outbox_public_share: float = 0.5
    """Part of the outbox that all public clients together may fill."""
    outbox_expiry_seconds: float = 7 * DAY_SECONDS
    """Time after which a waiting event becomes undeliverable."""
    ephemeral_expiry_seconds: float = 60
    """Time an ephemeral event (kinds 20000-29999) waits, in memory only."""
    owed_copies_per_relay: int = 100
    """Copies kept for a relay that is down, of events other relays have; the oldest are
    dropped first."""
    publish_retry_seconds: float = 5
    """Delay before the first retry of an event at a relay; it doubles with each one."""
    publish_retry_max_seconds: float = 3600
    """Longest delay between two retries of an event at a relay."""
    resend_seconds: float = 30
    """Time without an OK after which an event is sent to the relay again; it doubles
    each time."""
    resend_max_seconds: float = 600
    """Longest time before an unanswered event is sent again."""
    publish_rate_pause_seconds: float = 1
    """First pause after a relay refused an event for its rate; it doubles until the
    relay accepts again."""
    publish_rate_long_pause_seconds: float = 11
    """Pause up to which it doubles; longer ones are a tenth of the time since the first
    refusal. A larger value spends fewer messages and finds out later."""
    publish_rate_max_pause_seconds: float = 300
    """Longest such pause; a larger value finds out later that a relay accepts again."""
    publish_rate_window_seconds: float = 60
    """Time over which accepted events are counted to measure a relay's rate."""
    publish_rate_forget_seconds: float = 3600
    """Time without such a refusal after which a relay is sent events without delay
    again."""
    outbox_paced_events: int = 1000
    """Events that may wait for nothing but the rate of a connected relay; more take
    memory and database rows."""
    flush_unanswered_events: int = 20
    """Events sent to a relay before their OKs are in; more empty the outbox faster and
    may exceed the relay's rate limit."""
    named_connections: int = 50
    """Connections at a time to relays that events name; each is a thread. Zero: events
    may name no relays."""
    outbox_named_events: int = 100
    """Events for named relays only that may wait, apart from all others."""
    outbox_named_events_per_user: int = 20
    """Those of one user over HTTP; more let one user fill their part."""
    outbox_named_copies: int = 1000
    """Copies kept for named relays that are down, of events other relays have; the
    oldest are dropped first."""
    gift_wrap_relays: int = 0
    """Relays of a recipient's own list (kind 10050) that gift wraps go to, in place of
    the configured ones, where the list is found; zero switches this off."""
    gift_wrap_lookup_seconds: float = 1
    """Longest wait for a recipient's list before a gift wrap goes to the configured
    relays."""
    gift_wrap_cache_seconds: float = 3600
    """Time for which a recipient's list is used before it is read again; a larger value
    notices later that the recipient moved."""
    undeliverable_kept: int = 100
    """Undeliverable events listed for the operator; older ones are only counted."""

    # Subscribing
    eose_seconds: float = 4
    """Longest wait for the relays' EOSEs; a larger value delays clients when a relay is
    silent, a smaller one cuts off slow relays."""
    eose_max_seconds: float = 15
    """Longest wait for EOSE while relays keep sending stored events."""
    eose_busy_seconds: float = 1
    """Pause after which a relay that was sending stored events no longer delays
    EOSE."""
    eose_lost_relay_seconds: float = 30
    """Time for which EOSE still waits for a relay whose connection was lost."""
    count_seconds: float = 4
    """Longest wait for the relays' answers to a COUNT."""
    merge_silence_seconds: float = 0.3
    """Silence after which a relay no longer delays the events of a REQ with `limit`; a
    larger value keeps the order with slow relays, and delays the first event."""
    merge_recent_seconds: float = 1
    """Age of events, when a REQ with `limit` arrives, up to which they are delivered
    after EOSE where they exceed the limit: they may be new ones."""
    assumed_max_limit: int = 500
    """Number of events per filter at which a relay is taken to cut its answers, where
    its NIP-11 document announces no `max_limit`."""
    merge_bytes: int = 4 * MIB
    """Memory in which one client's events wait for other relays' answers; above it they
    are delivered as they come."""
    seen_ids_per_subscription: int = 100_000
    """Event ids remembered per subscription, so that no event is delivered twice; each
    takes about 100 bytes."""
    seen_ids_total: int = 1_000_000
    """Event ids remembered for all subscriptions together."""
    verified_cache_bytes: int = 8 * MIB
    """Memory for verified events; a copy found there needs no parsing and no signature
    check."""

    # Other extensions in this process
    in_process_events: int = 10_000
    """Events kept per subscription of another extension that has not read them; more of
    them take memory."""
    in_process_bytes: int = 64 * MIB
    """Memory for such events per subscription; the oldest events are dropped first."""
    in_process_subscriptions: int = 100
    """Closed subscriptions of other extensions whose events are kept."""
    in_process_notices: int = 1000
    """NOTICEs of all relays kept for other extensions."""

    # Connections to relays
    connect_seconds: float = 10
    """Longest time for connecting to a relay, all its addresses together."""
    connect_address_seconds: float = 3
    """Longest time for one of the relay's addresses alone; then the next one joins."""
    proxy: ProxyPolicy = NO_PROXY
    reconnect_seconds: float = 1
    """Delay before the first reconnection; it doubles with each failure."""
    reconnect_max_seconds: float = 60
    """Longest delay between two connection attempts; a larger value finds a returning
    relay later."""
    reconnect_forget_seconds: float = 60
    """Time a connection must last for the delay to start from the beginning again."""
    retry_after_max_seconds: float = 600
    """Longest delay a relay may ask for with `Retry-After` when it refuses us; a larger
    value gives a wrong header more power."""
    ping_seconds: float = 20
    """Time between two pings; a larger value notices a dead connection later."""
    pong_seconds: float = 10
    """Time a relay has to answer a ping or send anything else."""
    stop_seconds: float = 5
    """Longest wait for the relays' threads to end when nostrclient stops."""
    relay_message_bytes: int = 4 * MIB
    """Largest message accepted from a relay; a subscription that gets a larger one
    backs off."""
    relay_frame_bytes: int = 16 * MIB
    """Largest message read from a relay at all; a larger one ends the connection."""
    relay_buffer_bytes: int = 1 * MIB
    """Unsent data per relay above which nothing new is handed to its connection."""
    relay_unsent_bytes: int = 64 * MIB
    """Unsent data per relay above which its connection is replaced."""
    relay_auths_per_second: float = 1
    """AUTH challenges of one relay answered per second; each one costs a signature."""
    relay_burst_auths: int = 5
    """AUTH challenges of one relay answered at once."""
    wake_seconds: float = 0.002
    """Time after which clients are woken while a relay's messages are still being read;
    a larger value saves CPU and adds delay."""
    wake_seconds_most: float = 0.016
    """Longest such time; it doubles with each waking of one read."""
    notices_per_relay: int = 50
    """NOTICEs kept per relay for the operator."""
    errors_per_relay: int = 50
    """Errors kept per relay for the operator."""

    # Overlap windows and refreshes
    overlap_seconds: float = 300
    """How far before the last sign of life a replay begins; a larger value fetches more
    events again after each reconnection."""
    gift_wrap_seconds: float = 2 * DAY_SECONDS
    """How much further back a replay reaches for gift wraps (kind 1059), whose dates
    are randomised (NIP-59: two days)."""
    reconcile_events_per_subscription: int = 5000
    """Newest events of a subscription that can be compared with those of a relay that
    reconciles (NIP-77); more of them cost 200 bytes each."""
    reconcile_events_total: int = 200_000
    """The same for all subscriptions together."""
    reconcile_missing_events: int = 10_000
    """Most events that one reconciliation fetches; where a relay has more, the overlap
    window is fetched instead."""
    reconciliations_per_relay: int = 4
    """Reconciliations under way with one relay at once; more may exceed its limit."""
    reconcile_answer_seconds: float = 5
    """Time a relay has for each step of a reconciliation, before the overlap window is
    fetched instead."""
    page_events: int = 10
    """Smallest answer that a relay may have cut and that is continued page by page."""
    pages: int = 1000
    """Most pages fetched for one answer; this bounds a relay that always has more."""
    refresh_seconds: float = 300
    """Time without a sign of life after which a subscription is sent to the relay
    again; a smaller value finds dropped subscriptions sooner and asks relays more
    often."""
    refresh_answer_seconds: float = 30
    """Time a relay has to answer a subscription before a probe decides about the
    connection."""
    probe_seconds: float = 10
    """Time a relay has to answer the probe before its connection is replaced."""
    refreshes_per_second: float = 2
    """Refreshes sent to one relay per second."""
    burst_refreshes: int = 20
    """Refreshes sent to one relay at once."""
    requests_per_second: float = 50
    """REQs sent to one relay per second; more of them may exceed the relay's rate
    limit."""
    burst_requests: int = 100
    """REQs sent to one relay at once."""
    counts_per_second: float = 10
    """COUNTs sent to one relay per second; relays find them expensive."""
    burst_counts: int = 20
    """COUNTs sent to one relay at once."""
    notice_patience_seconds: float = 2
    """How long after a complaint by NOTICE an unanswered REQ is taken for the refused
    one; a larger value finds the refused one later."""
    client_auth_seconds: float = 600
    """How far the date of a client's AUTH event may be from now; a larger value lets
    a stolen one be used for longer."""
    auth_seconds: float = 10
    """How long a relay may take to answer AUTH (NIP-42) before what needs it is closed
    on this connection; a larger value keeps clients waiting longer."""
    poison_seconds: float = 1
    """How soon after an unanswered message the relay has to end the connection for the
    message to be suspected; a larger value suspects more innocent ones."""
    max_shared_filters: int = 50
    """Filters in a REQ that several subscriptions share; larger REQs are refused by
    more relays."""
    max_links: int = 200
    """Links for reader keys at all relays; each is a thread and a connection."""
    max_links_per_relay: int = 20
    """Links for reader keys at one relay; relays limit connections per address."""
    link_idle_seconds: float = 60
    """How long a link without subscriptions stays open; a larger value keeps more
    connections."""
    key_trial_seconds: float = 30
    """How long a relay may take to prove that it serves several keys on one connection;
    until then each reader key has a link of its own."""
    max_wanted_keys: int = 100
    """Public keys remembered per relay whose events it withholds, for the page."""
    poll_seconds: float = 10
    """How often subscriptions are polled on a relay that has no room for them; a larger
    value delays their events there."""
    subscription_retry_seconds: float = 5
    """Delay before a subscription that a relay closed is opened there again; it doubles
    each time."""
    subscription_retry_max_seconds: float = 300
    """Longest delay before such a subscription is opened again."""

    # Relays' own limits (NIP-11)
    information_seconds: float = 5
    """Longest wait for a relay's information document (NIP-11)."""
    information_bytes: int = 64 * KIB
    """Largest information document that is read."""
    information_refresh_seconds: float = 3600
    """Time after which the document is read again at the next connection."""

    # Database
    load_seconds: float = 3
    """Longest wait for the database at start; after that the defaults apply until it
    answers."""
    database_retry_seconds: float = 1
    """Delay before a failed database operation is repeated; at start it doubles with
    each attempt."""
    database_retry_max_seconds: float = 60
    """Longest delay between two attempts to load what is stored."""
    database_seconds: float = 10
    """Longest wait for PostgreSQL's answer to a statement; a larger value notices later
    that the network has lost a connection."""

    lease_seconds: float = 30
    """Time without a sign of life after which other LNbits on the same database deliver
    an instance's events."""
    lease_renew_seconds: float = 10
    """Pause between two signs of life of an instance, with each of which it looks for
    events to take over."""
    shared_poll_seconds: float = 2
    """Pause between two looks for changes that another LNbits on the same database
    made."""
    private_urls: int = 100
    """Private URLs with a name; more make the list on the page longer."""
    private_url_seconds: float = 60
    """Pause between two times at which the last use of private URLs is stored."""
    merchants_seconds: float = 30
    """Pause between two looks for new merchants of nostrmarket, if their keys are
    used."""

    # Log
    log_lines_per_minute: float = 1
    """Lines that one relay, or all events together, may write to the log for long; more
    make an attack fill the disk."""
    burst_log_lines: int = 20
    """Lines that one relay, or all events together, may write to the log at once."""

    # Garbage
    garbage_messages: int = 10
    """Invalid messages tolerated from a relay within the window below."""
    garbage_window_seconds: float = 60
    """Window in which a relay's invalid messages are counted."""
    garbage_sample: int = 100
    """Latest messages of a relay of which more than half must be invalid to pause
    it."""
    penalty_seconds: float = 600
    """Time for which a relay that sent too many invalid messages is paused."""

    # History
    history_seconds: float = 7 * DAY_SECONDS
    """How far back the history of the relays reaches; 0 keeps none, a larger value
    takes more disk space."""
    history_slot_seconds: float = 300
    """Time that one row of a relay's history covers; a larger value takes less disk
    space and shows less."""
    history_rows: int = 500_000
    """Rows of history kept in all; older ones are deleted. 200 relays write 400,000 in
    a week."""

    # Notifications
    notify_down_seconds: float = 300
    """Time without any connected relay after which LNbits' admins are notified; 0 sends
    no such notification."""
    notify_undeliverable_events: int = 1
    """Undeliverable events after which LNbits' admins are notified; 0 sends no such
    notification."""
    notify_outbox_share: float = 0.8
    """Share of the outbox (0 to 1) that is in use when LNbits' admins are notified; 0
    sends no such notification."""
    notify_withheld_keys: int = 1
    """Keys that we lack for private messages of private clients, at which LNbits'
    admins are notified; 0 sends no such notification."""
    notify_pause_seconds: float = 3600
    """Shortest pause between two notifications of the same kind."""

    def with_changes(self, numbers: Mapping[str, float]) -> Settings:
        """Return these settings with some numbers changed, by name.

        The endpoints' limits are called `public.…` and `private.…`. Raises `ValueError`
        for an unknown name, a number out of range, and for numbers that contradict each
        other.
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
        """Return a setting's value by the name that `with_changes` uses."""
        endpoint, _, own_name = name.rpartition(".")
        found: float = getattr(getattr(self, endpoint) if endpoint else self, own_name)
        return found

    def _check_together(self) -> None:
        for smaller, larger in _ORDERED:
            if getattr(self, smaller) > getattr(self, larger):
                raise ValueError(f"{smaller!r} must not exceed {larger!r}")
        # A dead connection is noticed after ping and pong. A shorter window would miss
        # events published before that.
        if self.overlap_seconds <= self.ping_seconds + self.pong_seconds:
            raise ValueError(
                "'overlap_seconds' must exceed 'ping_seconds' + 'pong_seconds'"
            )


def _largest(name: str) -> float:
    if name in ("notify_outbox_share", "outbox_public_share", "public_share"):
        return 1
    if name.endswith("_seconds") and name not in _NO_WAITS:
        return _MAX_WAIT_SECONDS
    return _MAX_COUNT


class Setting(NamedTuple):
    """Everything about a setting except its current value."""

    name: str
    group: str
    default: float
    unit: str
    integer: bool
    description: str


DEFAULTS = Settings()

# The first field of each group; a group extends to the next one, as in the class.
_GROUPS = {
    "public_share": "Clients",
    "http_seconds": "HTTP requests",
    "answer_seconds": "Publishing",
    "eose_seconds": "Subscribing",
    "in_process_events": "Other extensions",
    "connect_seconds": "Connections to relays",
    "overlap_seconds": "Overlap windows and refreshes",
    "information_seconds": "Relays' own limits",
    "load_seconds": "Database",
    "log_lines_per_minute": "Log",
    "garbage_messages": "Misbehaving relays",
    "history_seconds": "History",
    "notify_down_seconds": "Notifications",
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


def _sentences(settings_class: type) -> dict[str, str]:
    """Return the sentence below each field of a class, by the field's name."""
    nodes = ast.walk(ast.parse(inspect.getsource(settings_class)))
    (definition,) = [node for node in nodes if isinstance(node, ast.ClassDef)]
    found: dict[str, str] = {}
    for item, below in zip(definition.body, definition.body[1:], strict=False):
        match item, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _describe() -> dict[str, Setting]:
    found: dict[str, Setting] = {}

    def add(name: str, group: str, type_name: object, sentence: str) -> None:
        found[name] = Setting(
            name,
            group,
            DEFAULTS.number(name),
            _unit(name.rpartition(".")[2]),
            type_name == "int",
            sentence,
        )

    endpoints = {"public": "Public endpoint", "private": "Private endpoint"}
    sentences = _sentences(ClientLimits)
    for endpoint, group in endpoints.items():
        for item in fields(ClientLimits):
            name = f"{endpoint}.{item.name}"
            add(name, group, item.type, sentences.get(item.name, ""))
    sentences = _sentences(Settings)
    group = ""
    for item in fields(DEFAULTS):
        group = _GROUPS.get(item.name, group)
        if item.name not in endpoints and item.name != "proxy":
            add(item.name, group, item.type, sentences.get(item.name, ""))
    return found


SETTINGS = _describe()


def usable_settings(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return those of the numbers that this version accepts, and accepts together."""
    pending = dict(numbers)
    usable: dict[str, float] = {}
    while True:
        count = len(pending)
        for name, number in list(pending.items()):
            with suppress(ValueError):
                DEFAULTS.with_changes({**usable, name: number})
                usable[name] = pending.pop(name)
        if len(pending) == count:
            return usable


def non_default(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers that are not the defaults. Raises `ValueError` as above."""
    changed = DEFAULTS.with_changes(numbers)
    return {
        name: changed.number(name)
        for name in numbers
        if changed.number(name) != SETTINGS[name].default
    }
