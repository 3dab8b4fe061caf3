"""The habits a test relay can take on, one switch each; see `odd_relay.py`.

A switch is named after the habit; its sentence says whose it is. Without any, the relay
keeps NIP-01 to the letter. Whole relays are values of these: see `profiles.py`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EventRate:
    """A bound on what one author may publish, in a sliding window."""

    events: int
    kinds: tuple[range, ...] = (range(2**63),)
    minutes: float = 1.0


@dataclass
class Habits:
    """The switches. They may be changed at any time, from any thread."""

    # --- Time

    minute_seconds: float = 60.0
    """The length of a minute, for all rates here; shorter in tests."""

    # --- Connections

    pongs: bool = True
    """Off: pings are not answered, everything else is (some proxies)."""
    max_connections_per_second: int | None = None
    """A connection above this is ended as soon as it is open (nostream: 12)."""
    max_connections_per_minute: int | None = None
    """The same for each minute (nostream: 48)."""
    max_message_bytes: int | None = None
    """A longer message ends the connection, without a closing frame (strfry)."""
    max_message_notice: bool = False
    """A longer message is answered with a NOTICE instead (nostr-rs-relay)."""
    hangs_up_at: str | None = None
    """The connection is ended with code 1008 at a message that contains this text."""
    max_burst_messages: int | None = None
    """The connection is ended with code 1008 at more messages in one second."""
    handshake_answer: str | None = None
    """A status such as `502 Bad Gateway` in answer to a handshake, without a length
    and kept open (proxies)."""

    # --- NIP-11

    information: bool = False
    """Whether the relay serves its NIP-11 document."""
    announced_limits: tuple[str, ...] = ()
    """The limits in that document: names of NIP-11."""
    announced_max_filters: int | None = None
    """A number of filters that is announced and is not the true one (nostream)."""
    supported_nips: tuple[int, ...] = (1, 11)
    """The NIPs in that document."""
    software: str = ""
    """The software in that document."""
    search_supported: bool | None = None
    """Whether that document says that searching is switched on (nostream lists NIP-50
    in any case)."""
    instance_id: str | None = None
    """The id by which nostrclients know each other in that document."""

    # --- NIP-42

    demands_auth: bool = False
    """Serve nobody, and take nothing, before a valid AUTH."""
    ignores_before_auth: bool = False
    """REQs and EVENTs before AUTH get no answer at all."""
    restricted_kinds: frozenset[int] = frozenset()
    """Kinds that only their author or recipient is served, if authenticated (strfry;
    nostream and nostr-rs-relay can be told to)."""
    involved_only: bool = True
    """Off: any authenticated connection may read the restricted kinds (strfry can be
    told so)."""
    says_auth_required: bool = True
    """A REQ of nothing but restricted kinds is answered with AUTH and CLOSED (strfry).
    Off: they are left out without a word (nostr-rs-relay)."""
    challenges_at_once: bool = False
    """Send AUTH as soon as the connection is open (nostr-rs-relay)."""
    second_challenge_seconds: float | None = None
    """A second AUTH, with another challenge, follows the first after this time."""
    renews_challenge: bool = False
    """A new challenge comes with each refused REQ, and only the newest one is valid."""
    auth_delay_seconds: float = 0.0
    """The time it takes to check an AUTH."""
    auth_ok: bool = True
    """Off: an AUTH that is accepted gets no OK (older nostr-rs-relay)."""
    max_keys: int | None = None
    """So many keys a connection (strfry, nostr-rs-relay: 1)."""
    further_key: Literal["refused", "ignored", "replaces"] = "refused"
    """What AUTH as one key more does: it is `already authenticated` (strfry), it gets
    OK and changes nothing (nostr-rs-relay), or it replaces the others (older khatru).
    """
    service_url: str | None = None
    """The URL an AUTH has to name; None: the relay's own; empty: nobody can
    authenticate (strfry without `serviceUrl`)."""
    failing_auths: int = 0
    """So many AUTHs fail for a reason that passes, then they are checked."""
    refuses_late: bool = False
    """An EVENT sent before AUTH is refused after the AUTH was accepted (khatru has a
    thread for each message)."""

    # --- Words

    error_prefix: str = ""
    """Stands before the reason of each CLOSED and NOTICE (strfry: `ERROR: `)."""
    notice_for_closed: bool = False
    """A REQ is refused with a NOTICE (older strfry, nostream, nostr-rs-relay)."""
    notice_for_ok: bool = False
    """An EVENT is refused with a NOTICE, without OK (nostr-rs-relay)."""

    # --- REQ

    sends_eose: bool = True
    """Off: no EOSE, ever."""
    eose_delay_seconds: float = 0.0
    """A pause before each EOSE."""
    event_pause_seconds: float = 0.0
    """A pause before each stored event."""
    closes_subscriptions: str | None = None
    """The reason of CLOSED, with which every REQ is answered."""
    closes_after_eose: str | None = None
    """The reason of a CLOSED that follows each EOSE (khatru-based relays)."""
    closes_after_eose_seconds: float = 0.0
    """The time between that EOSE and that CLOSED."""
    max_stored: int | None = None
    """So many stored events for each filter at most, the newest (strfry: 500)."""
    ignores_limit: bool = False
    """`limit` is not kept."""
    one_limit: bool = False
    """The `limit` of the first filter holds for the whole answer (nostream)."""
    oldest_stored: int | None = None
    """Without `limit`, so many of the oldest are served and not the newest (nostream:
    500)."""
    eose_for_limit_0: bool = True
    """Off: no EOSE where every filter has `limit: 0` (nostr-rs-relay)."""
    serves_limit_0: bool = True
    """Off: a REQ where every filter has `limit: 0` is ignored (some older relays)."""
    ignores_identical_req: bool = False
    """A REQ equal to the open one of the same id is ignored (nostr-rs-relay, nostream).
    """
    adds_reqs: bool = False
    """A REQ of an open id is added to it instead of replacing it (khatru)."""
    refuses_unknown_keys: bool = False
    """A filter key that is not in NIP-01 refuses the whole REQ (strfry, nostream)."""
    refuses_upper_case_tags: bool = False
    """`#E` and the like are unknown keys as well (nostream)."""
    max_filters: int | None = None
    """So many filters in a REQ (nostream: 10, strfry: 200)."""
    max_filter_values: int | None = None
    """So many values in `ids` or `authors` (strfry: 2047, nostream: 2500)."""
    max_filter_tags: int | None = None
    """So many names of tags in a filter (strfry: 3)."""
    max_subscriptions: int | None = None
    """So many open subscriptions for each connection."""
    too_many: Literal["closed", "notice", "silence"] = "closed"
    """The answer to a REQ above `max_subscriptions` (strfry, nostream, nostr-rs-relay:
    NOTICE)."""
    stored_above_cap: bool = False
    """A REQ above `max_subscriptions` still gets its stored events and EOSE, then the
    NOTICE, and nothing live (strfry)."""
    serves_live: bool = True
    """Off: subscriptions get stored events and are then dropped without a word."""
    ignores_close: bool = False
    """Events for closed subscriptions go on."""
    sends_unasked: int = 0
    """So many EVENTs for a subscription nobody opened, before each EOSE."""
    forges_first: bool = False
    """A forged copy, same id, comes before each event."""

    # --- EVENT

    sends_ok: bool = True
    """Off: no OK, ever."""
    refuses_events: str | None = None
    """The reason of OK false, with which every event is refused."""
    queues_events: bool = False
    """Events are not stored and answered with OK true, `queued:` (a nostrclient whose
    own relays are down)."""
    event_rates: tuple[EventRate, ...] = ()
    """Above these an author's event is refused with `rate-limited:` (nostream)."""
    max_messages_per_minute: int | None = None
    """A message above this, of any kind, is dropped with a NOTICE (nostream: 240)."""
    rates_decay: bool = False
    """Rates are counted with a half-life of their minute, so that a steady stream may
    have seven tenths; silence for a minute ends it (newer nostream)."""
    refused_count: bool = True
    """What was refused for its rate counts towards it as well (nostream)."""
    max_ahead_seconds: float | None = None
    """Events dated further ahead are refused (strfry, nostream: 900)."""
    max_age_seconds: float | None = None
    """Older events are refused (strfry: 3 years)."""
    max_ephemeral_age_seconds: float | None = None
    """Older ephemeral events are refused (strfry: 60)."""
    stores_odd_events: bool = True
    """Kinds above 65535 and empty tags are stored (strfry, nostr-rs-relay, nostream).
    Off: they are `invalid:`."""
    mutes_unheard: bool = False
    """An ephemeral event that matches no subscription is refused with `mute:` (khatru).
    """

    # --- COUNT

    counts: bool = False
    """Whether COUNT is answered (NIP-45); otherwise it gets a NOTICE."""
    negentropy: str | None = None
    """What NEG-OPEN gets (NIP-77): `serves`, `refuses` or `silent`; None: a NOTICE."""
