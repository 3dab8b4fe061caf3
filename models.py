"""The models of the database and of the REST interface."""

from sys import float_info
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    validator,
)

RELAY_URL = "wss://relay.example"
EVENT_ID = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36"
PUBLIC_KEY = "f7234bd4c1394dda46d09f35bd384dd30cc552ad5541990f98844fb06676e9ca"
NPUB = "npub17u35h4xp89xa53ksnu6m6wzd6vxv254d24qejrucs38mqenka89qatnqns"
HEX_OR = "^([0-9a-fA-F]{{64}}|{}1[02-9ac-hj-np-z]{{58}})$"
"""The pattern of a key. It is documented only: invalid keys get a reason in words."""


class ApiModel(BaseModel):
    """A model whose schema marks nullable fields, which pydantic 1 does not."""

    class Config:
        """pydantic's own."""

        @staticmethod
        def schema_extra(schema: dict[str, Any], model: type[BaseModel]) -> None:
            """Add null to the types of nullable fields."""
            for field in model.__fields__.values():
                if field.allow_none:
                    known = schema["properties"].pop(field.alias)
                    about = {
                        key: known.pop(key)
                        for key in ("title", "description", "default", "example")
                        if key in known
                    }
                    either = {"anyOf": [known, {"type": "null"}]}
                    schema["properties"][field.alias] = about | either


class Problem(ApiModel):
    """Why a call was refused."""

    detail: str = Field(description="The reason, in words")


class Misuse(ApiModel):
    """Why a call was refused; errors in its form may come as a list."""

    detail: str | list[dict[str, Any]] = Field(
        description="The reason in words, or a list of errors in the request"
    )


class LogEntry(ApiModel):
    """A relay's message, or an error, with its time."""

    text: str = Field(description="Text, never HTML", example="connection refused")
    at: int = Field(description="Unix seconds", example=1_790_000_000)


class RelayInformation(ApiModel):
    """The relay's NIP-11 document: text, never HTML."""

    name: str = Field(example="relay.example")
    icon: str = Field(description="URL of an image, http or https; may be empty")
    software: str = Field(description="A name or a URL", example="strfry")
    version: str = Field(example="1.0.4")
    description: str = Field(description="In its operator's words; may be empty")
    contact: str = Field(description="Of its operator; may be empty")
    limitation: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = Field(
        description="The announced limits, unchanged",
        example={"max_message_length": 131072, "max_subscriptions": 20},
    )


class WantedKey(ApiModel):
    """A key whose owner alone a relay gives certain events to (H8)."""

    npub: str = Field(description="Its public key (NIP-19)", example=NPUB)
    pubkey: str = Field(description="The same, 64 hex digits", example=PUBLIC_KEY)
    held: bool = Field(description="Whether it is one of the reader keys")
    auth: Literal["not_asked", "no_key", "sent", "accepted", "refused"] = Field(
        default="no_key", description="State of AUTH as this key (NIP-42)"
    )
    auth_message: str = Field(
        default="", description="The relay's reason for refusing AUTH as this key"
    )


class RelayStatus(ApiModel):
    """Counters and state of a relay since nostrclient started."""

    num_sent_events: int | None = Field(default=0, description="Events sent to it")
    num_received_events: int | None = Field(
        default=0, description="Events received from it, copies included"
    )
    error_counter: int | None = Field(default=0, description="Number of errors")
    error_list: list[str] | None = Field(
        default=[], description="`errors` without times"
    )
    notice_list: list[str] | None = Field(
        default=[], description="`notices` without times"
    )
    num_duplicate_events: int = Field(
        default=0, description="Copies received of known events"
    )
    num_invalid_messages: int = Field(
        default=0, description="Invalid messages received"
    )
    num_unasked_events: int = Field(
        default=0, description="Unrequested events received"
    )
    num_owed_events: int = Field(default=0, description="Events queued for it")
    num_dropped_events: int = Field(
        default=0, description="Events that were queued for it and given up"
    )
    num_subscriptions: int = Field(default=0, description="Subscriptions open on it")
    connections: int = Field(default=0, description="Number of connections")
    retry_in_seconds: float | None = Field(
        default=None,
        description="Seconds until the next attempt to connect, or null",
    )
    errors: list[LogEntry] = Field(
        default=[], description="Recent errors, newest first"
    )
    notices: list[LogEntry] = Field(
        default=[], description="Recent NOTICEs, newest first"
    )
    since: int = Field(default=0, description="Start of this state in Unix seconds")
    round_trips_ms: list[float] = Field(
        default=[],
        description="The latest round trips in milliseconds, oldest first",
        example=[41.5, 39.87],
    )
    information: RelayInformation | None = Field(
        default=None, description="Its NIP-11 document, null until it was read"
    )
    extension: str | None = Field(
        default=None,
        description="The extension that added it and alone uses it; null: everybody",
    )
    asks_who_we_are: bool = Field(default=False, description="It sent AUTH (NIP-42)")
    down_since: int | None = Field(
        default=None,
        description="Start of the outage in Unix seconds, null while connected",
    )
    connected_seconds: float = Field(
        default=0, description="Seconds of connection since nostrclient started"
    )
    num_accepted_events: int = Field(
        default=0, description="Events it accepted, or had before"
    )
    refused_events: dict[str, int] = Field(
        default={},
        description="Events it refused, by the prefix of its OK; `other` without one",
        example={"blocked": 3, "rate-limited": 40},
    )
    refusals: list[LogEntry] = Field(
        default=[], description="Its last message for each prefix, newest first"
    )
    num_unanswered_events: int = Field(
        default=0, description="Events sent on this connection and not answered"
    )
    num_finished_requests: int = Field(
        default=0, description="Requests it answered with EOSE"
    )
    closed_requests: dict[str, int] = Field(
        default={},
        description="Requests it closed, by the prefix of its CLOSED",
        example={"auth-required": 2},
    )
    closings: list[LogEntry] = Field(
        default=[], description="Its last message for each prefix, newest first"
    )
    num_unanswered_requests: int = Field(
        default=0, description="Requests it answered neither with EOSE nor CLOSED"
    )
    auth: Literal["not_asked", "no_key", "sent", "accepted", "refused"] = Field(
        default="not_asked", description="State of AUTH on this connection (NIP-42)"
    )
    auth_message: str = Field(default="", description="Its reason for refusing AUTH")
    wanted_keys: list[WantedKey] = Field(
        default=[],
        description="The keys that it wants for what it withholds, latest last",
    )
    publishing: Literal["unknown", "works", "refused", "unanswered"] = Field(
        default="unknown",
        description="Whether it accepts events, by its latest answers",
    )
    receiving: Literal["unknown", "works", "refused", "unanswered"] = Field(
        default="unknown", description="Whether it serves requests, on this connection"
    )
    limits: dict[str, int] = Field(
        default={},
        description="Limits that we respect: announced (NIP-11) and learned",
        example={"max_subscriptions": 20},
    )


class RelayUrl(ApiModel):
    """The URL of a relay."""

    url: str | None = Field(
        default=None,
        description="ws:// or wss://, without credentials and fragment",
        format="uri",
        example=RELAY_URL,
    )


class Reconnected(ApiModel):
    """The result of connecting relays at once."""

    relays: int = Field(description="Relays that waited and are connected to now")


class Relay(ApiModel):
    """A relay, as stored and as shown."""

    id: str | None = Field(
        default=None,
        description="Id of the row; the URL if another extension added the relay",
    )
    url: str | None = Field(default=None, example=RELAY_URL)
    active: bool | None = Field(default=None, description="Whether it is switched on")
    read: bool | None = Field(
        default=None, description="Whether subscriptions go to it"
    )
    write: bool | None = Field(
        default=None, description="Whether events are published to it"
    )
    route: Literal["default", "direct", "proxy"] | None = Field(
        default=None,
        description="The way to it: as `proxy_mode` says, direct, or through the proxy",
    )

    connected: bool | None = Field(
        default=None, no_database=True, description="Whether its connection is open"
    )
    connected_string: str | None = Field(
        default=None,
        no_database=True,
        description="stopped, connecting, connected, waiting or penalised",
        example="connected",
    )
    status: RelayStatus | None = Field(
        default=None,
        no_database=True,
        description="Null for a stored relay that is not in use",
    )
    ping: int | None = Field(
        default=None,
        no_database=True,
        description="The latest round trip in milliseconds, 0 while unknown",
        example=40,
    )


class RelayUpdate(ApiModel):
    """Changes of a relay; fields that are not named stay."""

    url: str = Field(description="URL of the relay", format="uri", example=RELAY_URL)
    active: bool | None = Field(default=None, description="Switch it on or off")
    read: bool | None = Field(
        default=None, description="Whether subscriptions go to it"
    )
    write: bool | None = Field(
        default=None, description="Whether events are published to it"
    )
    route: Literal["default", "direct", "proxy"] | None = Field(
        default=None,
        description="The way to it: as `proxy_mode` says, direct, or through the proxy",
    )


class Delay(ApiModel):
    """A duration, over the latest 500 values."""

    median: float = Field(description="Seconds", example=0.4)
    p95: float = Field(description="Seconds; 5 % take longer", example=2.5)


class Figures(ApiModel):
    """Figures of speed and completeness since the code was loaded."""

    discovery: Delay | None = Field(
        default=None, description="From an event's `created_at` to its delivery"
    )
    processing: Delay | None = Field(
        default=None, description="From its arrival to the client's socket"
    )
    recovered: dict[str, int] = Field(
        description="Events found only by asking again, by the way they were found",
        example={"reconnect": 3, "refresh": 0, "page": 120, "reconciliation": 0},
    )
    success: float | None = Field(
        default=None,
        description="Share of requests to relays that were answered with EOSE",
        example=0.995,
    )
    uptime: float | None = Field(
        default=None,
        description="Share of time that active relays were connected",
        example=0.98,
    )


class Status(ApiModel):
    """A summary in numbers, for every signed-in user."""

    relays: int = Field(description="Configured relays", example=3)
    relays_connected: int = Field(description="Connected relays", example=3)
    clients: int = Field(description="Clients of both endpoints", example=2)
    subscriptions: int = Field(description="Open subscriptions", example=7)
    outbox_waiting: int = Field(description="Events no relay has accepted yet")
    outbox_undeliverable: int = Field(
        description="Events since the start that were queued but never accepted"
    )
    outbox_oldest_at: int | None = Field(
        default=None,
        description="Publication of the oldest waiting event, in Unix seconds",
    )
    outbox_undeliverable_at: int | None = Field(
        default=None,
        description="Unix seconds at which the latest event was found undeliverable",
    )
    can_publish: bool = Field(
        default=False, description="Whether a connected relay accepts events"
    )
    can_receive: bool = Field(
        default=False, description="Whether a connected relay serves requests"
    )
    named_relays: int = Field(
        default=0,
        description="Relays outside the list that events name: connections and relays"
        " that wait for one",
    )
    named_relays_connected: int = Field(default=0, description="Connected ones of them")
    named_events: int = Field(
        default=0, description="Copies of events that are queued for them"
    )
    figures: Figures | None = Field(
        default=None, description="Figures of speed and completeness"
    )
    not_loaded: list[str] = Field(
        default=[],
        description="Parts that could not be read from the database yet: `tables`,"
        " `settings`, `private_urls`, `identity`, `identities`, `outbox`,"
        " `relays`; they are retried",
    )
    instances: int = Field(
        default=1,
        description="How many LNbits share the database; the relays and clients of"
        " this one are shown",
    )
    second_process: bool = Field(
        default=False,
        description="Whether another process of the same LNbits runs nostrclient, too",
    )
    version: str = Field(default="", description="Of nostrclient", example="2.0.0")


class NamedRelay(ApiModel):
    """A relay outside the list that events name (H10)."""

    url: str = Field(example=RELAY_URL)
    state: Literal[
        "stopped", "connecting", "connected", "waiting", "penalised", "no_connection"
    ] = Field(description="Of its connection; `no_connection`: it waits for one")
    pending: int = Field(description="Events queued for it")
    accepted: int = Field(description="Events it accepted on this link")
    refused: int = Field(description="Events it refused on this link")
    message: str = Field(
        description="Its last refusal, or else the last error: text, never HTML"
    )


class WaitingEvent(ApiModel):
    """An event of the outbox that no relay has accepted yet, without its text."""

    event_id: str = Field(description="64 hex digits", example=EVENT_ID)
    pubkey: str = Field(description="Its author's, 64 hex digits", example=PUBLIC_KEY)
    kind: int = Field(example=1)
    size: int = Field(description="Bytes", example=312)
    waiting_seconds: float = Field(description="Seconds since it was published")
    since: int = Field(description="Its publication in Unix seconds")
    expires_in_seconds: float = Field(
        description="Seconds until it becomes undeliverable"
    )
    owed: list[str] = Field(
        description="URLs of the relays that may still accept it", example=[RELAY_URL]
    )
    refusals: dict[str, str] = Field(
        description="The refusals of relays, by URL",
        example={RELAY_URL: "rate-limited: slow down"},
    )


class UndeliverableEvent(ApiModel):
    """An event that was queued but never accepted."""

    event_id: str = Field(description="64 hex digits", example=EVENT_ID)
    pubkey: str = Field(description="Its author's, 64 hex digits", example=PUBLIC_KEY)
    kind: int = Field(example=1)
    reason: str = Field(
        description="The relay's reason, or ours", example="blocked: not here"
    )
    at: int = Field(description="When it became undeliverable, in Unix seconds")


class Client(ApiModel):
    """A client of an endpoint."""

    id: str = Field(description="Id of the connection, different each time")
    endpoint: Literal["public", "private"]
    address: str = Field(description="As LNbits knows it", example="127.0.0.1")
    agent: str = Field(
        default="", description="Its User-Agent: text, never HTML; may be empty"
    )
    private_url: str | None = Field(
        default=None,
        description="Id of the named private URL that it uses; null: no such URL",
    )
    private_url_name: str | None = Field(
        default=None, description="That URL's name: text, never HTML"
    )
    since: int = Field(description="Start of the connection in Unix seconds")
    subscriptions: int = Field(description="Open subscriptions")
    received: int = Field(description="Messages from it")
    sent: int = Field(description="Messages to it")
    dropped: int = Field(
        description="Messages from it that were refused as too many or too large"
    )
    waiting_bytes: int = Field(description="Bytes that it has not read yet")


class ClientSubscription(ApiModel):
    """An open subscription of a client."""

    id: str = Field(description="As the client calls it: text, never HTML")
    filters: list[dict[str, Any]] = Field(
        description="As the client sent them", example=[{"kinds": [1]}]
    )


class Setting(ApiModel):
    """A setting: a limit, a timeout or a rate."""

    name: str = Field(description="Its name in `PUT /config`", example="ping_seconds")
    group: str = Field(example="Connections to relays")
    value: float = Field(
        description="Value that applies from the next start on", example=20
    )
    default: float = Field(example=20)
    unit: str = Field(description="May be empty", example="seconds")
    integer: bool = Field(description="Whether it is a whole number")
    in_force: float = Field(
        description="The value that is used now; another one waits for a restart",
        example=20,
    )
    description: str = Field(
        description="One sentence: what it does, what a larger value costs",
        example="Time between two pings; a larger value notices a dead connection"
        " later.",
    )


class TestMessage(ApiModel):
    """The test panel's direct message: sender, receiver, text."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    sender_private_key: str | None = Field(
        default=None,
        description="nsec or 64 hex digits; by default a new key is generated",
        pattern=HEX_OR.format("nsec"),
    )
    reciever_public_key: str = Field(  # spelled as clients know it
        description="npub or 64 hex digits",
        pattern=HEX_OR.format("npub"),
        example=NPUB,
    )
    message: str = Field(description="Text to encrypt (NIP-04)", example="hello")


class TestMessageResponse(ApiModel):
    """A signed kind-4 event with its keys."""

    __test__ = False

    private_key: str = Field(description="The sender's, 64 hex digits")
    public_key: str = Field(
        description="The receiver's, 64 hex digits", example=PUBLIC_KEY
    )
    event_json: str = Field(description="The EVENT message, ready to send")


class TestAnswer(ApiModel):
    """A relay's answer to the test panel's event."""

    __test__ = False

    url: str = Field(description="URL of the relay", example=RELAY_URL)
    accepted: bool | None = Field(
        default=None, description="Null while it has not answered"
    )
    message: str = Field(description="Its message; may be empty")
    milliseconds: float | None = Field(
        default=None,
        description="Milliseconds from publication to answer",
        example=41.5,
    )
    owed: bool = Field(
        description="Whether the event is still queued for it; transient refusals are"
        " retried"
    )


_SETTINGS = "Values by name, as listed by `GET /settings`"


class Face(ApiModel):
    """The public endpoint's face (NIP-11); an empty field is not set."""

    name: str = Field(default="", example="Relay of our shop")
    description: str = Field(default="", description="In one sentence or a few")
    icon: str = Field(default="", description="URL of an image, http or https")
    contact: str = Field(default="", example="mailto:admin@relay.example")
    pubkey: str = Field(
        default="", description="The operator's, npub or 64 hex digits", example=NPUB
    )
    terms: str = Field(default="", description="URL of the terms of service")
    public_url: str = Field(
        default="",
        description="The endpoint's address if it has one of its own, ws:// or wss://",
        example="wss://relay.example",
    )


class Guests(ApiModel):
    """Who may do what on the public endpoint. Empty lists allow and deny nobody."""

    auth_to_read: bool = Field(
        default=False, description="Whether clients must authenticate to read (NIP-42)"
    )
    auth_to_publish: bool = Field(
        default=False, description="Whether clients must authenticate to publish"
    )
    allow_pubkeys: list[str] = Field(
        default=[],
        description="npub or 64 hex digits: only they publish, and only they read where"
        " authentication is needed to read; empty: all",
        example=[NPUB],
    )
    deny_pubkeys: list[str] = Field(
        default=[], description="npub or 64 hex digits: they do neither"
    )
    allow_kinds: list[str] = Field(
        default=[],
        description="Only these kinds are accepted, or ranges of kinds; empty: all",
        example=["1", "30000-39999"],
    )
    deny_kinds: list[str] = Field(
        default=[], description="These kinds, or ranges of kinds, are not accepted"
    )
    allow_addresses: list[str] = Field(
        default=[],
        description="Only clients from these addresses or networks connect; empty: all",
        example=["192.0.2.0/24"],
    )
    deny_addresses: list[str] = Field(
        default=[], description="Clients from these addresses or networks do not"
    )


class GuestsUpdate(ApiModel):
    """Changes of `Guests`; fields that are not named stay."""

    auth_to_read: bool | None = Field(default=None, description="As in `Guests`")
    auth_to_publish: bool | None = Field(default=None, description="As in `Guests`")
    allow_pubkeys: list[str] | None = Field(default=None, description="The whole list")
    deny_pubkeys: list[str] | None = Field(default=None, description="The whole list")
    allow_kinds: list[str] | None = Field(default=None, description="The whole list")
    deny_kinds: list[str] | None = Field(default=None, description="The whole list")
    allow_addresses: list[str] | None = Field(
        default=None, description="The whole list"
    )
    deny_addresses: list[str] | None = Field(default=None, description="The whole list")


class FaceUpdate(ApiModel):
    """Changes of `Face`; fields that are not named stay, an empty one is removed."""

    name: str | None = Field(default=None, example="Relay of our shop")
    description: str | None = Field(default=None, description="A few sentences")
    icon: str | None = Field(default=None, description="URL of an image")
    contact: str | None = Field(default=None, example="mailto:admin@relay.example")
    pubkey: str | None = Field(default=None, description="npub or 64 hex digits")
    terms: str | None = Field(default=None, description="URL of the terms of service")
    public_url: str | None = Field(default=None, example="wss://relay.example")


class Config(ApiModel):
    """The open endpoints, and the settings that differ from the defaults.

    Settings apply when nostrclient starts again. `Settings.with_changes` refuses those
    that contradict each other.
    """

    private_ws: bool = Field(
        default=True, description="Whether the private endpoint is open"
    )
    public_ws: bool = Field(
        default=False, description="Whether the public endpoint is open"
    )
    settings: dict[str, float] = Field(
        default={},
        description=f"{_SETTINGS}; absent if all are defaults",
        example={"ping_seconds": 15},
    )
    proxy_url: str = Field(
        default="",
        description="Of a SOCKS5 proxy, used at once; left out where there is none",
        example="socks5://127.0.0.1:9050",
    )
    proxy_mode: Literal["onion", "all"] = Field(
        default="onion",
        description="Relays behind the proxy: .onion only, or all; left out where there"
        " is no proxy",
    )
    face: Face = Field(
        default=Face(),
        description="How the public endpoint presents itself; left out where nothing"
        " is set",
    )
    guests: Guests = Field(
        default=Guests(),
        description="Who may do what on the public endpoint; left out where everybody"
        " may do everything",
    )

    def dict(self, **options: Any) -> dict[str, Any]:
        """Return it as clients expect: without what is not set."""
        shown = super().dict(**options)
        if not shown.get("settings"):
            shown.pop("settings", None)
        if not shown.get("proxy_url"):
            shown.pop("proxy_url", None)
            shown.pop("proxy_mode", None)
        if not any((shown.get("face") or {}).values()):
            shown.pop("face", None)
        if not any((shown.get("guests") or {}).values()):
            shown.pop("guests", None)
        return shown


class ConfigUpdate(ApiModel):
    """Changes of `Config`; fields that are not named stay."""

    private_ws: bool | None = Field(
        default=None, description="Open or close the private one"
    )
    public_ws: bool | None = Field(
        default=None, description="Open or close the public one"
    )
    settings: dict[str, float] | None = Field(
        default=None, description=_SETTINGS, example={"ping_seconds": 15}
    )
    proxy_url: str | None = Field(
        default=None,
        description="Of a SOCKS5 proxy; empty for none",
        example="socks5://127.0.0.1:9050",
    )
    proxy_mode: Literal["onion", "all"] | None = Field(
        default=None, description="Relays to reach through it"
    )
    face: FaceUpdate | None = Field(
        default=None, description="How the public endpoint presents itself"
    )
    guests: GuestsUpdate | None = Field(
        default=None, description="Who may do what on the public endpoint"
    )

    # LNbits imports this module afresh at every activation; pydantic 1 remembers.
    @validator("settings", pre=True, each_item=True, allow_reuse=True)
    def _fits_a_float(cls, number: Any) -> Any:
        # pydantic 1 would turn Python's OverflowError into an error 500.
        if isinstance(number, int) and abs(number) > float_info.max:
            raise ValueError("the number is too large")
        return number


class OutboxEvent(BaseModel):
    """An event of the outbox as it is stored.

    `published_at` is in microseconds since 1970, `owed` a JSON list of relay URLs,
    `instance` the LNbits that is to deliver it, where several share a database.
    `publishers` is a JSON object: the relays that each publisher named, by its name.
    """

    id: str
    event: str
    published_at: int
    accepted: bool
    is_public: bool
    owed: str
    instance: str | None = None
    publishers: str | None = None


class OutboxOwner(BaseModel):
    """Whose an event of the outbox is."""

    id: str
    instance: str | None = None
    accepted: bool = False


class HistoryRow(BaseModel):
    """A relay's history in one slot, as it is stored."""

    slot: int
    relay: str
    seconds: int
    up: int
    latency_ms: int | None
    received: int
    accepted: int
    refused: int
    closed: int
    reason: str


class HistoryPoint(ApiModel):
    """One part of the history."""

    at: int = Field(description="When it began, in Unix seconds")
    uptime: float = Field(description="Share of the time it was connected", example=1)
    latency_ms: float | None = Field(
        default=None, description="Mean round trip in milliseconds", example=41.5
    )
    received: int = Field(description="Events received")
    accepted: int = Field(description="Events accepted")
    refused: int = Field(description="Events refused")


class Incident(ApiModel):
    """A time in which a relay was not connected all along."""

    since: int = Field(description="Unix seconds; exact to a slot")
    until: int = Field(description="Unix seconds; exact to a slot")
    down_seconds: int = Field(description="How long it was down within that time")
    reason: str = Field(description="Its latest error", example="connection refused")


class Uptime(ApiModel):
    """The share of time that a relay was connected."""

    url: str = Field(example=RELAY_URL)
    day: float | None = Field(default=None, description="Share of the last 24 hours")
    week: float | None = Field(default=None, description="Share of the last 7 days")


class History(ApiModel):
    """The history of all relays together."""

    points: list[HistoryPoint] = Field(description="Oldest first, one for each hour")
    uptimes: list[Uptime] = Field(description="One for each relay")


class RelayHistory(ApiModel):
    """The history of one relay."""

    points: list[HistoryPoint] = Field(description="Oldest first, each of 30 minutes")
    incidents: list[Incident] = Field(description="Newest first")


class Identity(ApiModel):
    """The identity for relays that demand authentication (NIP-42)."""

    npub: str | None = Field(
        default=None,
        description="The public key (NIP-19), null if there is none",
        example=NPUB,
    )


class IdentityUpdate(ApiModel):
    """The new identity key: a given one or a generated one."""

    nsec: str | None = Field(
        default=None, description="nsec or 64 hex digits", pattern=HEX_OR.format("nsec")
    )
    generate: bool = Field(default=False, description="Generate a new key instead")


class ReaderKey(ApiModel):
    """A key that relays are asked as, for what they give to its owner only (H2)."""

    npub: str = Field(description="Its public key (NIP-19)", example=NPUB)
    pubkey: str = Field(description="The same, 64 hex digits", example=PUBLIC_KEY)
    label: str = Field(description="The admin's name for it", example="my shop")


class ReaderKeyUpdate(ApiModel):
    """The key to add."""

    nsec: str = Field(
        description="nsec or 64 hex digits; it is never returned",
        pattern=HEX_OR.format("nsec"),
    )
    label: str = Field(default="", description="A name for it", max_length=100)


class ReaderKeyRef(ApiModel):
    """The reader key of a call."""

    pubkey: str = Field(description="64 hex digits or npub", example=PUBLIC_KEY)


class Merchant(ApiModel):
    """A merchant of nostrmarket on this server."""

    npub: str = Field(description="The merchant's public key (NIP-19)", example=NPUB)
    pubkey: str = Field(description="The same, 64 hex digits", example=PUBLIC_KEY)


class Merchants(ApiModel):
    """The merchants of nostrmarket on this server, and whether their keys are used."""

    enabled: bool = Field(
        description="Whether relays are asked as each merchant; the keys are held in"
        " memory only"
    )
    merchants: list[Merchant] = Field(description="Those in nostrmarket's table")


class MerchantsUpdate(ApiModel):
    """The switch for the merchants' keys."""

    enabled: bool = Field(description="Off: they are removed from memory at once")


class StoredIdentity(BaseModel):
    """A reader key as it is stored: encrypted with LNbits' own secret."""

    pubkey: str
    secret: str
    label: str


class PrivateUrl(ApiModel):
    """A private URL with a name, which can be closed and revoked by itself."""

    id: str = Field(description="Its id; not the secret", example="dGhpcyBpcyBhbg")
    name: str = Field(description="The admin's name for it", example="Shop app")
    path: str = Field(
        description="Contains a secret, spelled differently each time; every spelling"
        " stays valid until the URL is revoked",
        example="/nostrclient/api/v1/J2bq…",
    )
    is_open: bool = Field(description="Whether clients may connect")
    private_messages: bool = Field(
        description="Whether its clients read what relays give to our keys only (H4)"
    )
    created_at: int = Field(description="Unix seconds", example=1_790_000_000)
    last_used_at: int | None = Field(
        default=None,
        description="When a client was last connected, in Unix seconds; null: never",
    )
    clients: int = Field(description="Connected clients, of this LNbits")


class PrivateUrlCreation(ApiModel):
    """The private URL to create."""

    name: str = Field(description="A name for it", max_length=100, example="Shop app")
    private_messages: bool = Field(default=True, description="As in `PrivateUrl`")


class PrivateUrlUpdate(ApiModel):
    """Changes of a private URL; fields that are not named stay."""

    name: str | None = Field(default=None, description="Its new name", max_length=100)
    is_open: bool | None = Field(
        default=None, description="False disconnects its clients and lets none connect"
    )


class StoredPrivateUrl(BaseModel):
    """A private URL as it is stored; its secret is the encrypted id."""

    id: str
    name: str
    is_open: bool = True
    private_messages: bool = True
    created_at: int
    last_used_at: int | None = None


class StoredConfig(Config):
    """A `Config` with the secrets that no interface returns.

    `identity` is the private key, encrypted with LNbits' own secret. `merchants` says
    whether the keys of nostrmarket's merchants are used.
    """

    identity: str | None = None
    merchants: bool = False


class UserConfig(BaseModel):
    """A configuration as it is stored; the owner is always `admin`."""

    owner_id: str
    extra: StoredConfig = StoredConfig()


class LivePath(ApiModel):
    """The WebSocket that pushes changes."""

    path: str = Field(
        description="Path of a WebSocket on the same host; valid once, for 30 seconds",
        example="/nostrclient/api/v1/live/J2bq…",
    )


class Endpoints(ApiModel):
    """The paths of the endpoints, relative to the page's scheme and host."""

    public: str = Field(example="/nostrclient/api/v1/relay")
    public_url: str = Field(
        default="", description="The public one's own address; may be empty"
    )
    private: str = Field(
        description="Contains a secret, spelled differently each time",
        example="/nostrclient/api/v1/J2bq…",
    )


# HTTP requests in place of a WebSocket


class PublishRequest(ApiModel):
    """An event to publish."""

    event: dict[str, Any] = Field(
        description="The signed event (NIP-01)",
        example={
            "id": EVENT_ID,
            "pubkey": PUBLIC_KEY,
            "created_at": 1_790_000_000,
            "kind": 1,
            "tags": [],
            "content": "hello",
            "sig": 128 * "0",
        },
    )
    wait: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Seconds to wait for the answers of all relays; without it, the"
        " answer comes with the first acceptance",
        example=5,
    )
    relays: list[str] = Field(
        default=[],
        description="URLs of relays to publish to in place of the configured ones",
        example=[RELAY_URL],
    )


class RelayAnswer(ApiModel):
    """A relay's answer to a published event."""

    accepted: bool | None = Field(
        default=None, description="Null while it has not answered"
    )
    message: str = Field(description="Its message; may be empty")
    pending: bool = Field(description="Whether the event is still queued for it")


class PublishAnswer(ApiModel):
    """The result of publishing an event."""

    id: str = Field(description="The event's, 64 hex digits", example=EVENT_ID)
    accepted: bool = Field(
        description="Whether a relay has it, or the outbox keeps it until one does"
    )
    state: Literal["accepted", "queued", "refused", "undeliverable"]
    message: str = Field(description="The reason, as in an OK message; may be empty")
    relays: dict[str, RelayAnswer] = Field(
        description="By relay URL",
        example={RELAY_URL: {"accepted": True, "message": "", "pending": False}},
    )


class QueryRequest(ApiModel):
    """A query for stored events."""

    filters: list[dict[str, Any]] = Field(
        description="Filters (NIP-01); `limit` in a filter counts for each page",
        example=[{"kinds": [1], "authors": [PUBLIC_KEY]}],
    )
    limit: int = Field(
        default=100, ge=1, le=500, description="Events in one answer, at most"
    )
    cursor: str | None = Field(
        default=None, description="Of the previous answer, for the next page"
    )
    relays: list[str] = Field(
        default=[],
        description="URLs of relays to ask in place of the configured ones",
        example=[RELAY_URL],
    )
    wait: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Seconds to wait for the relays' answers, at most",
        example=3,
    )


class QueryAnswer(ApiModel):
    """Stored events, newest first."""

    events: list[dict[str, Any]] = Field(description="At most 256 KiB together")
    cursor: str | None = Field(
        default=None, description="For the next page; null where this one is empty"
    )
    complete: bool = Field(description="Whether every relay has answered")
    message: str = Field(
        description="Why the relays closed the query; empty if they did not"
    )
    omitted: list[str] = Field(
        description="Ids of events that are too large for an answer"
    )


# Error responses of the REST API, for OpenAPI

Responses = dict[int | str, dict[str, Any]]

NOT_ALLOWED: Responses = {
    401: {"model": Problem, "description": "Nobody is signed in"},
    403: {
        "model": Problem,
        "description": "Not an admin, or nostrclient is not enabled for the user",
    },
    # FastAPI lists 422 by itself, but LNbits answers 400 instead.
    422: {"description": "Never: an invalid request is answered with 400"},
}
"""The error responses of every call."""

REFUSED: Responses = {
    400: {"model": Misuse, "description": "The request is not valid"},
    **NOT_ALLOWED,
}
"""The error responses of calls with input; LNbits accepts a user id with each."""


def not_found(description: str) -> Responses:
    """Return the 404 response of a call."""
    return {404: {"model": Problem, "description": description}}


def conflict(description: str) -> Responses:
    """Return the 409 response of a call."""
    return {409: {"model": Problem, "description": description}}
