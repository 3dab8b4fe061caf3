"""E1: the operator reads the status with which a relay refused the handshake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.handshake import MAX_HEAD_BYTES, HandshakeError, read_head

BAD = b"HTTP/1.1 502 Bad Gateway\r\n"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (BAD + b"\r\n<html>", "HTTP 502 Bad Gateway instead of a WebSocket"),
        (b"HTTP/1.0 503\r\n\r\n", "HTTP 503 Service Unavailable instead of"),
        (b"HTTP/1.1 520 \n\n", "HTTP 520 instead of a WebSocket"),
        (
            b"HTTP/1.1 301 X\r\nlocation:  wss://b.example/ \r\n\r\n",
            (
                "HTTP 301 Moved Permanently instead of a WebSocket, "
                "the relay points to wss://b.example/"
            ),
        ),
        (
            b"HTTP/1.1 429 X\r\nRetry-After: 30\r\n\r\n",
            "HTTP 429 Too Many Requests instead of a WebSocket, retry after 30 s",
        ),
        (b"HTTP/1.1 200 OK\r\nlocation: /\r\n\r\n", "HTTP 200 OK instead of"),
        (BAD + 500 * b"X: y\r\n" + b"\r\n", "HTTP 502 Bad Gateway instead of"),
        (BAD + b"no colon\r\n: \xff\r\n\r\n", "HTTP 502 Bad Gateway instead of"),
    ],
)
def test_e1_refusal_is_told_in_words(answer: bytes, failure: str) -> None:
    head = read_head(answer)
    assert head is not None
    assert head.failure.startswith(failure)
    assert head.end is not None
    assert b"\n\n" in answer[: head.end].replace(b"\r", b"")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("²", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_e2_retry_after_is_read_where_it_is_a_number(
    text: str, seconds: int | None
) -> None:
    answer = f"{BAD.decode()}Retry-After: {text}\r\n\r\n".encode()
    head = read_head(answer)
    assert head is not None
    assert head.retry_after_seconds == seconds


def test_e1_status_is_known_before_the_head_is_complete() -> None:
    assert read_head(b"") is None
    assert read_head(BAD[:-1]) is None
    head = read_head(BAD + b"Server: x")
    assert head is not None
    assert (head.status, head.end) == (502, None)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "no HTTP: SSH-2.0-OpenSSH_9"),
        (b"\x15\x03\x01", "no HTTP"),
        (b"HTTP/1.1 abc\r\n", "no HTTP: HTTP/1.1 abc"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 " + MAX_HEAD_BYTES * b"2", "too long"),
        (BAD + MAX_HEAD_BYTES * b"x", "HTTP 502 with more than"),
    ],
)
def test_e1_answer_that_is_not_http_is_shown(answer: bytes, failure: str) -> None:
    with pytest.raises(HandshakeError, match=failure):
        read_head(answer)


@given(st.binary(max_size=200), st.booleans())
def test_e1_no_answer_raises_anything_else(answer: bytes, is_http: bool) -> None:
    try:
        head = read_head(BAD + answer if is_http else answer)
    except HandshakeError:
        return
    if head is not None:
        assert head.failure
