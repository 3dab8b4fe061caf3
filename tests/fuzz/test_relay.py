"""Rules F3, D8: whatever a relay says, its thread goes on and memory stays bounded."""

import re
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha1
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.ports import HOST
from nostrclient.nostr import clock
from nostrclient.nostr.connection import Connection, ConnectionLostError, Waker
from nostrclient.nostr.conversation import Burst, Conversation, TooMuchGarbageError
from nostrclient.nostr.information import parse_information
from nostrclient.nostr.key import PrivateKey
from nostrclient.nostr.mailbox import Mailbox
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.relay_record import RelayStatus
from nostrclient.nostr.relay_session import RelaySession
from nostrclient.nostr.session import Session, Subscribe, Unsubscribe
from nostrclient.nostr.settings import Settings

from .effort import searching
from .protocol import check_reply, strict_json
from .strategies import as_text, relay_messages, values

NIP_11_KEYS = ["name", "icon", "software", "supported_nips", "nostrclient_instance"]
SUBSCRIPTIONS = 3
NOISES: list[bytes] = [
    b"",
    b"\xff\xfe",
    b"\xef\xbb\xbf[]",
    b"[" * 100_000,
    b'["EVENT","up0",' + b'{"a":' * 100_000,
    b'["EVENT","up0",{}',
    b'["EVENT","up0",{"id":1}X',
    b'["AUTH","\\ud800"]',
    b'["AUTH",""]',
    b'["COUNT","up0",{"count":true}]',
    b'["COUNT","up0",{"count":' + b"9" * 4000 + b"}]",
    b'["OK","\\ud800",false,"\\ud800"]',
    b'["NOTICE","\\ud800\\u0000\\u202e\\n"]',
    b'["CLOSED","up0","\\ud800: x"]',
    b'["CLOSED","up1","auth-required: \\n"]',
    b'["EVENT","up\\u0030",{}]',
    b'["NOTICE","' + b"x" * 5_000_000 + b'"]',
]


class World:
    """A relay whose thread never runs, driven by hand, with a client before it."""

    def __init__(self, identity: PrivateKey | None) -> None:
        self.manager = RelayManager(Settings())
        self.manager.identity = identity
        self.relay = self.manager.add_relay("ws://relay.invalid")
        self.mailbox = Mailbox(lambda: None, 2**25, self.manager.message_pool.budget)
        ids = iter(f"up{number}" for number in range(100))
        settings = self.manager.settings
        self.session = Session(settings.private, settings, lambda: next(ids), 0.0)
        self.now = 0.0
        filters = ["{}", '{"kinds":[1]}', '{"since":5}']
        for number in range(SUBSCRIPTIONS):
            text = f'["REQ","s{number}",{filters[number]}]'
            for command in self.session.receive(text, self.now, 0.0):
                assert isinstance(command, Subscribe)
                self.manager.subscribe(
                    command.upstream_id, command.filters, self.mailbox
                )
        upstream = self.upstream = RelaySession(settings, lambda: next(ids))
        self.conversation = Conversation(
            self.relay, upstream, self.manager.reports, settings, cast(Connection, None)
        )
        for request in self.manager._requests.values():
            upstream.subscribe(request)
        upstream.open(self.now, 0.0)
        self.relay.status = RelayStatus.CONNECTED
        self.take_output()

    def handle_message(self, data: bytes) -> list[list[Any]]:
        """Let the relay say something; gives the checked replies to the client."""
        self.now += 0.1
        with suppress(TooMuchGarbageError):
            self.conversation.handle_message(
                data, Burst(self.now, 1_700_000_000.0, set())
            )
        self.upstream.tick(self.now, 1_700_000_000.0)
        self.take_output()
        replies: list[list[Any]] = []
        for item in self.session.deliver(self.mailbox.take_all(), self.now):
            if isinstance(item, str):
                replies.append(check_reply(item))
            else:
                assert isinstance(item, Unsubscribe)
                self.manager.unsubscribe(item.upstream_id)
                self.upstream.unsubscribe(item.upstream_id)
        return replies

    def take_output(self) -> None:
        """Check what the relay is sent: a strict reader must be able to take it."""
        for text in self.upstream.output:
            text.encode()
            assert strict_json(text)[0] in ("REQ", "CLOSE", "AUTH", "EVENT", "COUNT")
        self.upstream.output.clear()


upstream_ids = st.sampled_from(["up0", "up1", "up2", "up0-1", "nobody's"])
said = st.one_of(
    relay_messages(upstream_ids).map(lambda value: as_text(value).encode()),
    st.binary(max_size=50),
    st.sampled_from(NOISES),
)


@pytest.mark.parametrize("identity", [None, PrivateKey()], ids=["nobody", "somebody"])
@searching(200)
@given(st.lists(said, max_size=12))
def test_f3_whatever_a_relay_says(
    identity: PrivateKey | None, messages: list[bytes]
) -> None:
    world = World(identity)
    delivered: list[tuple[str, str]] = []
    for data in messages:
        delivered += [
            (reply[1], reply[2]["id"])
            for reply in world.handle_message(data)
            if reply[0] == "EVENT"
        ]
    assert len(set(delivered)) == len(delivered)
    for upstream_id in world.session.upstream_ids:
        world.manager.unsubscribe(upstream_id)
        world.upstream.unsubscribe(upstream_id)
    assert world.manager.subscription_count == 0
    assert world.manager.message_pool.feed_count == 0
    assert world.manager.message_pool.seen_total == 0
    session = world.upstream
    assert session.subscription_count == 0
    kept = (session._wires, session._egress, session._requests, session._serving)
    assert not any(kept)
    assert not session._heartbeat.refreshes
    assert not session._untold


@pytest.mark.parametrize("data", NOISES, ids=range(len(NOISES)))
def test_f3_known_nasty_messages(data: bytes) -> None:
    for identity in (None, PrivateKey()):
        World(identity).handle_message(data)


# --- the same through a socket, below the messages


class Wire:
    """A TCP server that shakes hands, or not, sends bytes and hangs up."""

    def __init__(self) -> None:
        self.data = b""
        self.shakes_hands = True
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                self._answer_handshake(connection)
                connection.sendall(self.data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def _answer_handshake(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(4096)
            if not received:
                raise ConnectionResetError
            head += received
        if not self.shakes_hands:
            return
        (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", head)
        digest = sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")  # noqa: S324
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + b64encode(digest.digest())
            + b"\r\n\r\n"
        )

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def frame(opcode: int, final: bool, data: bytes) -> bytes:
    """Encode a frame as a relay may, or may not, send it (RFC 6455)."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    return head + bytes([126]) + len(data).to_bytes(2, "big") + data


frames = st.builds(frame, st.integers(0, 127), st.booleans(), st.binary(max_size=200))
likely_frames = st.builds(
    frame,
    st.sampled_from([0, 0, 1, 2, 8, 9, 10]),
    st.booleans(),
    st.one_of(st.binary(max_size=125), values.map(lambda item: as_text(item).encode())),
)
streams = st.one_of(
    st.lists(st.one_of(frames, likely_frames), max_size=10).map(b"".join),
    st.binary(max_size=100),
)


@searching(150)
@given(streams, st.booleans())
def test_f3_whatever_bytes_a_relay_sends(
    wire: Wire, data: bytes, shakes_hands: bool
) -> None:
    """A connection ends with the one error that says so, and frees its socket."""
    wire.data, wire.shakes_hands = data, shakes_hands
    settings = Settings(connect_seconds=5)
    waker = Waker()
    try:
        with pytest.raises(ConnectionLostError) as lost:
            converse(f"ws://{HOST}:{wire.port}", settings, waker)
        assert str(lost.value)
    finally:
        waker.close()


def converse(url: str, settings: Settings, waker: Waker) -> None:
    connection = Connection(url, settings, waker, lambda: None)
    try:
        deadline = clock.now() + 10
        while True:
            assert clock.now() < deadline, "the connection has no end"
            for message in connection.receive():
                assert isinstance(message, bytes)
            connection.flush()
            connection.check_open()
            connection.wait(1)
    finally:
        connection.close()


@searching(150)
@given(st.dictionaries(st.sampled_from(NIP_11_KEYS), values, max_size=6), values)
def test_e9_whatever_a_relay_says_about_itself(
    document: dict[str, Any], limits: Any
) -> None:
    for value in (document, document | {"limitation": limits}, limits):
        information = parse_information(as_text(value).encode())
        if information is None:
            continue
        assert all(type(nip) is int for nip in information.supported_nips)
        for limit in information.limits:
            assert limit is None or 1 <= limit < 2**32


@searching(100)
@given(st.binary(max_size=100))
def test_e9_whatever_bytes_the_document_has(data: bytes) -> None:
    parse_information(data)
