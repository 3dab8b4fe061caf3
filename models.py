"""What is stored and what the REST interface speaks of."""

from pydantic import BaseModel, Field


class RelayStatus(BaseModel):
    """What a relay's connection has seen since nostrclient started."""

    num_sent_events: int | None = 0
    num_received_events: int | None = 0
    error_counter: int | None = 0
    error_list: list[str] | None = []
    notice_list: list[str] | None = []


class Relay(BaseModel):
    """A relay, as stored and as shown; `ping` is the round-trip time in ms."""

    id: str | None = None
    url: str | None = None
    active: bool | None = None

    connected: bool | None = Field(default=None, no_database=True)
    connected_string: str | None = Field(default=None, no_database=True)
    status: RelayStatus | None = Field(default=None, no_database=True)
    ping: int | None = Field(default=None, no_database=True)


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


class Config(BaseModel):
    """Which endpoints are open."""

    private_ws: bool = True
    public_ws: bool = False


class ConfigUpdate(BaseModel):
    """What to change of `Config`; what is not named stays."""

    private_ws: bool | None = None
    public_ws: bool | None = None


class UserConfig(BaseModel):
    """A `Config` as it is stored; the owner is always `admin`."""

    owner_id: str
    extra: Config = Config()
