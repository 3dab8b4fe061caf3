"""What is stored and what the REST interface speaks of."""

from typing import Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr


class Said(BaseModel):
    """What a relay said, or what went wrong with it, and when."""

    text: str
    at: int = Field(description="Unix seconds")


class RelayInformation(BaseModel):
    """What a relay says of itself (NIP-11): text, never HTML."""

    name: str
    icon: str = Field(description="URL of an image, http or https; may be empty")
    software: str
    version: str
    description: str
    contact: str
    limitation: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = Field(
        description="What the relay announced, as it did"
    )


class RelayStatus(BaseModel):
    """What a relay's connection has seen since nostrclient started."""

    num_sent_events: int | None = 0
    num_received_events: int | None = 0
    error_counter: int | None = 0
    error_list: list[str] | None = []
    notice_list: list[str] | None = []
    num_duplicate_events: int = 0
    num_invalid_messages: int = 0
    num_unasked_events: int = 0
    num_owed_events: int = 0
    num_dropped_events: int = 0
    num_subscriptions: int = 0
    connections: int = 0
    retry_in_seconds: float | None = None
    errors: list[Said] = Field([], description="The latest, newest first")
    notices: list[Said] = Field([], description="Its NOTICEs, newest first")
    since: int = Field(0, description="Unix seconds at which this state began")
    round_trips_ms: list[float] = Field(
        [], description="The latest round trips in milliseconds, oldest first"
    )
    information: RelayInformation | None = None
    asks_who_we_are: bool = Field(False, description="It sent AUTH (NIP-42)")


class Relay(BaseModel):
    """A relay, as stored and as shown; `ping` is the round-trip time in ms."""

    id: str | None = None
    url: str | None = None
    active: bool | None = None
    read: bool | None = None
    write: bool | None = None

    connected: bool | None = Field(default=None, no_database=True)
    connected_string: str | None = Field(default=None, no_database=True)
    status: RelayStatus | None = Field(default=None, no_database=True)
    ping: int | None = Field(default=None, no_database=True)


class RelayUpdate(BaseModel):
    """What to change of a relay; what is not named stays."""

    url: str
    active: bool | None = None
    read: bool | None = None
    write: bool | None = None


class Status(BaseModel):
    """Whether Nostr works, in numbers that any user may see."""

    relays: int
    relays_connected: int
    clients: int
    subscriptions: int
    outbox_waiting: int
    outbox_undeliverable: int


class WaitingEvent(BaseModel):
    """An event of the outbox that no relay has accepted yet; never its text.

    `size` is in bytes; `refusals` gives what relays answered, by relay URL.
    """

    event_id: str
    pubkey: str
    kind: int
    size: int
    waiting_seconds: float
    since: int
    expires_in_seconds: float
    owed: list[str]
    refusals: dict[str, str]


class UndeliverableEvent(BaseModel):
    """An event that was vouched for and that no relay took.

    `reason` is a relay's, or ours; `at` is in Unix seconds.
    """

    event_id: str
    pubkey: str
    kind: int
    reason: str
    at: int


class Client(BaseModel):
    """A client of an endpoint; `since` is in Unix seconds, the others are counts.

    `dropped` are messages refused as too many or too large.
    """

    id: str
    endpoint: Literal["public", "private"]
    address: str
    since: int
    subscriptions: int
    received: int
    sent: int
    dropped: int
    waiting_bytes: int


class Setting(BaseModel):
    """A number nostrclient goes by; `value` is used from its next start on."""

    name: str
    group: str
    value: float
    default: float
    unit: str
    integer: bool


class TestMessage(BaseModel):
    """What the test panel asks for: a direct message, from whom and to whom."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    sender_private_key: str | None
    reciever_public_key: str  # spelled as clients know it
    message: str


class TestMessageResponse(BaseModel):
    """A signed kind-4 event, and the keys it was made with."""

    __test__ = False

    private_key: str
    public_key: str
    event_json: str


class TestAnswer(BaseModel):
    """How a relay answered the test panel's event; `accepted` None: not yet.

    One that is still `owed` a refused event is asked again. `milliseconds` are those
    after the event was published.
    """

    __test__ = False

    url: str
    accepted: bool | None
    message: str
    milliseconds: float | None
    owed: bool


class Config(BaseModel):
    """Which endpoints are open, and the numbers that differ from the defaults.

    `settings` are those of `nostr.settings.Settings`, by name; they take effect when
    nostrclient starts. Those that do not go together are refused (`Settings.changed`).
    """

    private_ws: bool = True
    public_ws: bool = False
    settings: dict[str, float] = {}

    def dict(self, **options: Any) -> dict[str, Any]:
        """Give it as clients know it: without settings where there are none."""
        shown = super().dict(**options)
        if not shown.get("settings"):
            shown.pop("settings", None)
        return shown


class ConfigUpdate(BaseModel):
    """What to change of `Config`; what is not named stays."""

    private_ws: bool | None = None
    public_ws: bool | None = None
    settings: dict[str, float] | None = None


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


class Identity(BaseModel):
    """Who nostrclient is to relays that ask (NIP-42); None where it is nobody."""

    npub: str | None = None


class IdentityUpdate(BaseModel):
    """The key to authenticate with: a given one, or a new one."""

    nsec: str | None = None
    generate: bool = False


class StoredConfig(Config):
    """A `Config` with what no interface ever returns.

    `identity` is the private key, encrypted with LNbits' own secret.
    """

    identity: str | None = None


class UserConfig(BaseModel):
    """A configuration as it is stored; the owner is always `admin`."""

    owner_id: str
    extra: StoredConfig = StoredConfig()


class LivePath(BaseModel):
    """Where to connect to in order to be told what changes; good once."""

    path: str
