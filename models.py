"""What is stored and what the REST interface speaks of."""

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
NPUB = "npub17u35h4xp89xa53ksnu6m6wzd6vxv254d24qejrucs38mqenka89qvr2cqq"
HEX_OR = "^([0-9a-fA-F]{{64}}|{}1[02-9ac-hj-np-z]{{58}})$"
"""LogEntry of a key, but not enforced here: what is wrong with one is said in words."""


class ApiModel(BaseModel):
    """A model whose schema says what may be null; pydantic 1 leaves that out."""

    class Config:
        """pydantic's own."""

        @staticmethod
        def schema_extra(schema: dict[str, Any], model: type[BaseModel]) -> None:
            """Add null to what a field may be."""
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
    """Why a call was refused; what is wrong with its form may come as a list."""

    detail: str | list[dict[str, Any]] = Field(
        description="The reason in words, or each fault of the request's form"
    )


class LogEntry(ApiModel):
    """What a relay said, or what went wrong with it, and when."""

    text: str = Field(description="Text, never HTML", example="connection refused")
    at: int = Field(description="Unix seconds", example=1_790_000_000)


class RelayInformation(ApiModel):
    """What a relay says of itself (NIP-11): text, never HTML."""

    name: str = Field(example="relay.example")
    icon: str = Field(description="URL of an image, http or https; may be empty")
    software: str = Field(description="A name or a URL", example="strfry")
    version: str = Field(example="1.0.4")
    description: str = Field(description="In its operator's words; may be empty")
    contact: str = Field(description="Of its operator; may be empty")
    limitation: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = Field(
        description="What the relay announced, as it did",
        example={"max_message_length": 131072, "max_subscriptions": 20},
    )


class RelayStatus(ApiModel):
    """What a relay's connection has seen since nostrclient started."""

    num_sent_events: int | None = Field(default=0, description="Events sent to it")
    num_received_events: int | None = Field(
        default=0, description="Events received from it, copies included"
    )
    error_counter: int | None = Field(
        default=0, description="How often something went wrong"
    )
    error_list: list[str] | None = Field(
        default=[], description="`errors` without times"
    )
    notice_list: list[str] | None = Field(
        default=[], description="`notices` without times"
    )
    num_duplicate_events: int = Field(
        default=0, description="Events received that were known already"
    )
    num_invalid_messages: int = Field(
        default=0, description="Messages received that are garbage or not verified"
    )
    num_unasked_events: int = Field(
        default=0, description="Events received that nobody had asked for"
    )
    num_owed_events: int = Field(default=0, description="Events it is still to be sent")
    num_dropped_events: int = Field(
        default=0, description="Events it was owed and that were given up"
    )
    num_subscriptions: int = Field(default=0, description="Subscriptions open on it")
    connections: int = Field(default=0, description="How often it was connected")
    retry_in_seconds: float | None = Field(
        default=None,
        description="Seconds until it is tried again, null while it is not due",
    )
    errors: list[LogEntry] = Field(default=[], description="The latest, newest first")
    notices: list[LogEntry] = Field(default=[], description="Its NOTICEs, newest first")
    since: int = Field(default=0, description="Unix seconds at which this state began")
    round_trips_ms: list[float] = Field(
        default=[],
        description="The latest round trips in milliseconds, oldest first",
        example=[41.5, 39.87],
    )
    information: RelayInformation | None = Field(
        default=None, description="What it says of itself (NIP-11), null until it did"
    )
    asks_who_we_are: bool = Field(default=False, description="It sent AUTH (NIP-42)")
    down_since: int | None = Field(
        default=None,
        description="Unix seconds at which it was lost, null while it is connected",
    )
    connected_seconds: float = Field(
        default=0, description="Seconds it was connected since nostrclient started"
    )
    num_accepted_events: int = Field(
        default=0, description="Events it accepted, or had already"
    )
    refused_events: dict[str, int] = Field(
        default={},
        description="Events it refused, by the prefix of its OK; `other` without one",
        example={"blocked": 3, "rate-limited": 40},
    )
    refusals: list[LogEntry] = Field(
        default=[], description="Its last words for each prefix, newest first"
    )
    num_unanswered_events: int = Field(
        default=0, description="Events sent on this connection that it did not answer"
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
        default=[], description="Its last words for each prefix, newest first"
    )
    num_unanswered_requests: int = Field(
        default=0, description="Requests it answered neither with EOSE nor CLOSED"
    )
    auth: Literal["not_asked", "no_key", "sent", "accepted", "refused"] = Field(
        default="not_asked", description="How far AUTH is on this connection (NIP-42)"
    )
    auth_message: str = Field(default="", description="Why it refused AUTH")
    publishing: Literal["unknown", "works", "refused", "unanswered"] = Field(
        default="unknown", description="Whether it takes events, by its latest answers"
    )
    receiving: Literal["unknown", "works", "refused", "unanswered"] = Field(
        default="unknown", description="Whether it serves requests, on this connection"
    )
    limits: dict[str, int] = Field(
        default={},
        description="What we keep to: its NIP-11 document's limits, and learned ones",
        example={"max_subscriptions": 20},
    )


class RelayUrl(ApiModel):
    """Which relay is meant."""

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
        description="The row's; the URL where another extension added the relay",
    )
    url: str | None = Field(default=None, example=RELAY_URL)
    active: bool | None = Field(default=None, description="Whether it is switched on")
    read: bool | None = Field(
        default=None, description="Whether events are asked of it"
    )
    write: bool | None = Field(
        default=None, description="Whether events are published to it"
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
        description="Null for a stored one that is not used",
    )
    ping: int | None = Field(
        default=None,
        no_database=True,
        description="The latest round trip in milliseconds, 0 while unknown",
        example=40,
    )


class RelayUpdate(ApiModel):
    """What to change of a relay; what is not named stays."""

    url: str = Field(description="Which relay", format="uri", example=RELAY_URL)
    active: bool | None = Field(default=None, description="Switch it on or off")
    read: bool | None = Field(default=None, description="Whether to ask it for events")
    write: bool | None = Field(
        default=None, description="Whether to publish events to it"
    )


class Delay(ApiModel):
    """A duration, of the latest 500."""

    median: float = Field(description="Seconds", example=0.4)
    p95: float = Field(description="Seconds; one of 20 takes longer", example=2.5)


class Figures(ApiModel):
    """How fast and how complete nostrclient works, since its code was loaded."""

    discovery: Delay | None = Field(
        default=None, description="From an event's `created_at` to its delivery"
    )
    processing: Delay | None = Field(
        default=None, description="From its arrival to the client's socket"
    )
    recovered: dict[str, int] = Field(
        description="Events that were only found by asking again, by how",
        example={"reconnect": 3, "refresh": 0, "page": 120, "reconciliation": 0},
    )
    success: float | None = Field(
        default=None,
        description="Share of the requests to relays that were answered with EOSE",
        example=0.995,
    )
    uptime: float | None = Field(
        default=None,
        description="Share of the time that switched on relays were connected",
        example=0.98,
    )


class Status(ApiModel):
    """Whether Nostr works, in numbers that any user may see."""

    relays: int = Field(description="Relays that are known", example=3)
    relays_connected: int = Field(description="Those that are connected", example=3)
    clients: int = Field(description="Clients of both endpoints", example=2)
    subscriptions: int = Field(description="Those that are open", example=7)
    outbox_waiting: int = Field(description="Events no relay has accepted yet")
    outbox_undeliverable: int = Field(
        description="Events that were queued and that no relay took, since the start"
    )
    outbox_oldest_at: int | None = Field(
        default=None,
        description="Unix seconds at which the oldest waiting event was published",
    )
    outbox_undeliverable_at: int | None = Field(
        default=None,
        description="Unix seconds at which the latest event was found undeliverable",
    )
    can_publish: bool = Field(
        default=False, description="Whether any connected relay takes events"
    )
    can_receive: bool = Field(
        default=False, description="Whether any connected relay serves requests"
    )
    figures: Figures | None = Field(
        default=None, description="How fast and how complete it works"
    )
    not_loaded: list[str] = Field(
        default=[],
        description="What was not read from the database so far, of `tables`,"
        " `settings`, `identity`, `outbox` and `relays`; it is tried again",
    )
    version: str = Field(default="", description="Of nostrclient", example="1.0.0")


class WaitingEvent(ApiModel):
    """An event of the outbox that no relay has accepted yet; never its text."""

    event_id: str = Field(description="64 hex digits", example=EVENT_ID)
    pubkey: str = Field(description="Its author's, 64 hex digits", example=PUBLIC_KEY)
    kind: int = Field(example=1)
    size: int = Field(description="Bytes", example=312)
    waiting_seconds: float = Field(description="Seconds since it was published")
    since: int = Field(description="When that was, in Unix seconds")
    expires_in_seconds: float = Field(description="Seconds until it is given up")
    owed: list[str] = Field(
        description="URLs of the relays that may still take it", example=[RELAY_URL]
    )
    refusals: dict[str, str] = Field(
        description="What relays answered, by their URLs",
        example={RELAY_URL: "rate-limited: slow down"},
    )


class UndeliverableEvent(ApiModel):
    """An event that was vouched for and that no relay took."""

    event_id: str = Field(description="64 hex digits", example=EVENT_ID)
    pubkey: str = Field(description="Its author's, 64 hex digits", example=PUBLIC_KEY)
    kind: int = Field(example=1)
    reason: str = Field(description="A relay's, or ours", example="blocked: not here")
    at: int = Field(description="When it was given up, in Unix seconds")


class Client(ApiModel):
    """A client of an endpoint."""

    id: str = Field(description="Its connection's, another one each time")
    endpoint: Literal["public", "private"]
    address: str = Field(description="As LNbits knows it", example="127.0.0.1")
    since: int = Field(description="When it came, in Unix seconds")
    subscriptions: int = Field(description="Those it has open")
    received: int = Field(description="Messages it sent")
    sent: int = Field(description="Messages it was sent")
    dropped: int = Field(
        description="Messages it sent that were refused as too many or too large"
    )
    waiting_bytes: int = Field(description="Bytes that wait for it to read them")


class Setting(ApiModel):
    """A setting: a limit, a timeout or a rate."""

    name: str = Field(description="Its name in `PUT /config`", example="ping_seconds")
    group: str = Field(example="Connections to relays")
    value: float = Field(description="Used from the next start on", example=20)
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
    """What the test panel asks for: a direct message, from whom and to whom."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    sender_private_key: str | None = Field(
        default=None,
        description="nsec or 64 hex digits; without one, a new key is made",
        pattern=HEX_OR.format("nsec"),
    )
    reciever_public_key: str = Field(  # spelled as clients know it
        description="npub or 64 hex digits",
        pattern=HEX_OR.format("npub"),
        example=NPUB,
    )
    message: str = Field(description="What to encrypt (NIP-04)", example="hello")


class TestMessageResponse(ApiModel):
    """A signed kind-4 event, and the keys it was made with."""

    __test__ = False

    private_key: str = Field(description="The sender's, 64 hex digits")
    public_key: str = Field(
        description="The receiver's, 64 hex digits", example=PUBLIC_KEY
    )
    event_json: str = Field(description="The message EVENT, to be sent as it is")


class TestAnswer(ApiModel):
    """How a relay answered the test panel's event."""

    __test__ = False

    url: str = Field(description="The relay's", example=RELAY_URL)
    accepted: bool | None = Field(
        default=None, description="Null while it has not answered"
    )
    message: str = Field(description="What it said; may be empty")
    milliseconds: float | None = Field(
        default=None,
        description="Those between the event's publication and the answer",
        example=41.5,
    )
    owed: bool = Field(
        description="Whether it is still to take the event: one that refused is asked"
        " again"
    )


_SETTINGS = "Numbers by name, of those that `GET /settings` lists"


class Config(ApiModel):
    """Which endpoints are open, and the numbers that differ from the defaults.

    `settings` are those of `nostr.settings.Settings`, by name; they take effect when
    nostrclient starts. Those that do not go together are refused (`Settings.changed`).
    """

    private_ws: bool = Field(
        default=True, description="Whether the private endpoint is open"
    )
    public_ws: bool = Field(
        default=False, description="Whether the public endpoint is open"
    )
    settings: dict[str, float] = Field(
        default={},
        description=f"{_SETTINGS}; left out where all are the defaults",
        example={"ping_seconds": 15},
    )

    def dict(self, **options: Any) -> dict[str, Any]:
        """Give it as clients know it: without settings where there are none."""
        shown = super().dict(**options)
        if not shown.get("settings"):
            shown.pop("settings", None)
        return shown


class ConfigUpdate(ApiModel):
    """What to change of `Config`; what is not named stays."""

    private_ws: bool | None = Field(
        default=None, description="Open or close the private one"
    )
    public_ws: bool | None = Field(
        default=None, description="Open or close the public one"
    )
    settings: dict[str, float] | None = Field(
        default=None, description=_SETTINGS, example={"ping_seconds": 15}
    )

    # LNbits imports this module afresh at every activation; pydantic 1 remembers.
    @validator("settings", pre=True, each_item=True, allow_reuse=True)
    def _fits_a_float(cls, number: Any) -> Any:
        # pydantic 1 lets what Python cannot convert pass as an error of ours.
        if isinstance(number, int) and abs(number) > float_info.max:
            raise ValueError("the number is too large")
        return number


class OutboxEvent(BaseModel):
    """An event of the outbox as it is stored.

    `published_at` is in microseconds since 1970, `owed` a JSON list of relay URLs.
    """

    id: str
    event: str
    published_at: int
    accepted: bool
    is_public: bool
    owed: str


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
    """What happened in one part of the history."""

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
    """How much of the time a relay was connected."""

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
    """Who nostrclient is to relays that ask (NIP-42)."""

    npub: str | None = Field(
        default=None,
        description="Its public key (NIP-19), null where it is nobody",
        example=NPUB,
    )


class IdentityUpdate(ApiModel):
    """The key to authenticate with: a given one, or a new one."""

    nsec: str | None = Field(
        default=None, description="nsec or 64 hex digits", pattern=HEX_OR.format("nsec")
    )
    generate: bool = Field(default=False, description="Make a new one instead")


class StoredConfig(Config):
    """A `Config` with what no interface ever returns.

    `identity` is the private key, encrypted with LNbits' own secret.
    """

    identity: str | None = None


class UserConfig(BaseModel):
    """A configuration as it is stored; the owner is always `admin`."""

    owner_id: str
    extra: StoredConfig = StoredConfig()


class LivePath(ApiModel):
    """Where to connect to in order to be told what changes."""

    path: str = Field(
        description="Of a WebSocket on the same host; good once, for 30 seconds",
        example="/nostrclient/api/v1/live/J2bq…",
    )


class Endpoints(ApiModel):
    """The paths of the endpoints; scheme and host are those the page was reached by."""

    public: str = Field(example="/nostrclient/api/v1/relay")
    private: str = Field(
        description="Holds a secret, spelled differently each time",
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


class RelayAnswer(ApiModel):
    """How a relay answered a published event."""

    accepted: bool | None = Field(
        default=None, description="Null while it has not answered"
    )
    message: str = Field(description="Its own words; may be empty")
    pending: bool = Field(description="Whether it is still to be sent the event")


class PublishAnswer(ApiModel):
    """What became of a published event."""

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
    """Which stored events are wanted."""

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
