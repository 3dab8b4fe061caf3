"""FrameCutter against websockets' own protocol, which cuts nothing short."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from nostrclient.nostr.frames import FrameCutter

MAX_BYTES = 70_000

texts = st.one_of(
    st.binary(max_size=130), st.sampled_from([b"x" * 65535, b"y" * 65536])
)
frames = st.builds(
    Frame,
    st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.CONT, Opcode.BINARY]),
    texts,
    st.booleans(),
) | st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=9))


def serialized(*sent: Frame) -> bytes:
    return b"".join(frame.serialize(mask=False) for frame in sent)


def opened() -> Protocol:
    return Protocol(Side.CLIENT, max_size=MAX_BYTES)


def sizes(protocol: Protocol) -> list[int]:
    return [len(data) for data in protocol.data_to_send()]


def content(frame: object) -> object:
    if isinstance(frame, Frame):
        return frame.opcode, bytes(frame.data), frame.fin
    return Opcode.TEXT, frame, True


def cut(data: bytes, pieces: list[int]) -> tuple[Protocol, list[object]]:
    protocol = opened()
    cutter = FrameCutter(protocol, MAX_BYTES)
    received: list[object] = []
    at = 0
    for size in pieces:
        received += cutter.feed(data[at : at + size])
        at += size
    received += cutter.feed(data[at:])
    return protocol, [content(frame) for frame in received]


def whole(data: bytes) -> tuple[Protocol, list[object]]:
    protocol = opened()
    protocol.receive_data(data)
    return protocol, [content(frame) for frame in protocol.events_received()]


@given(st.lists(frames, max_size=8), st.lists(st.integers(0, 200), max_size=40))
def test_any_frames_in_any_pieces_are_what_the_protocol_makes_of_them(
    sent: list[Frame], pieces: list[int]
) -> None:
    data = serialized(*sent)
    protocol, received = cut(data, pieces)
    expected_protocol, expected = whole(data)

    assert received == expected
    assert protocol.state is expected_protocol.state
    assert repr(protocol.parser_exc) == repr(expected_protocol.parser_exc)
    assert sizes(protocol) == sizes(expected_protocol)  # the masks are random


@given(st.binary(max_size=60), st.lists(st.integers(0, 20), max_size=9))
def test_any_bytes_whatsoever_are_what_the_protocol_makes_of_them(
    junk: bytes, pieces: list[int]
) -> None:
    data = serialized(Frame(Opcode.TEXT, b"[]")) + junk
    protocol, received = cut(data, pieces)
    expected_protocol, expected = whole(data)

    # The protocol objects to a head as soon as it sees it, the cutter may wait for the
    # whole of the frame; what has been received is the same.
    assert received == expected
    if protocol.state is not State.OPEN:
        assert repr(protocol.parser_exc) == repr(expected_protocol.parser_exc)


def test_a_message_above_the_limit_is_refused_by_its_head() -> None:
    head = b"\x81\x7f" + (MAX_BYTES + 1).to_bytes(8, "big")
    protocol, received = cut(head, [1, 3])
    assert received == []
    assert protocol.state is not State.OPEN
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == 1009


def test_a_message_in_single_bytes_is_copied_once() -> None:
    # Copied for each byte, it would be 1.8 GB.
    text = b"x" * 60_000
    data = serialized(Frame(Opcode.TEXT, text))
    _, received = cut(data, [1] * len(data))
    assert received == [(Opcode.TEXT, text, True)]


def test_nothing_after_a_closing_frame_is_a_message() -> None:
    closing = Frame(Opcode.CLOSE, b"\x03\xe8")
    data = serialized(closing, Frame(Opcode.TEXT, b"late"))
    protocol, received = cut(data, [])
    assert [item for item in received if item == (Opcode.TEXT, b"late", True)] == []
    assert protocol.close_rcvd is not None
