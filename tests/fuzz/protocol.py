"""What a reply of ours may look like (NIP-01, 42, 45), checked without our own code."""

import json
import re
from typing import Any

VERBS = {"EVENT", "OK", "EOSE", "CLOSED", "NOTICE", "COUNT"}
_PREFIXED = re.compile(r"[a-z][a-z0-9-]*: ?.", re.DOTALL)


class NotStrictError(ValueError):
    """JSON that one reader understands in one way and another one in another."""


def refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise NotStrictError(constant)


def strict_json(text: str) -> Any:
    """Decode JSON as the strictest of readers would."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise NotStrictError("duplicate key")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def check_reply(text: str) -> list[Any]:
    """Fail unless this is a message a relay may send to a client; decode it."""
    text.encode()
    message = strict_json(text)
    assert isinstance(message, list), text
    verb, *rest = message
    assert verb in VERBS, text
    if verb == "EVENT":
        subscription_id, event = rest
        assert isinstance(subscription_id, str)
        assert set(event) == {
            "id",
            "pubkey",
            "created_at",
            "kind",
            "tags",
            "content",
            "sig",
        }
    elif verb == "OK":
        event_id, accepted, reason = rest
        assert isinstance(event_id, str)
        assert isinstance(accepted, bool)
        assert isinstance(reason, str)
        assert accepted or _PREFIXED.match(reason), text
    elif verb == "CLOSED":
        subscription_id, reason = rest
        assert isinstance(subscription_id, str)
        assert _PREFIXED.match(reason), text
    elif verb == "COUNT":
        subscription_id, counted = rest
        assert isinstance(subscription_id, str)
        assert type(counted["count"]) is int
        assert 0 <= counted["count"] <= 2**53
    else:
        (value,) = rest
        assert isinstance(value, str)
    return message


def expected_answer(text: str) -> tuple[str, str | None]:
    """Tell by which kind of message a client's text is to be answered, and about what.

    `("OK", id)`, `("CLOSED", id)` for REQ and COUNT (where it is refused at all),
    `("", id)` for CLOSE, which nothing answers, `("NOTICE", None)` for the rest.
    """
    notice = ("NOTICE", None)
    disputed = False
    try:
        message = strict_json(text)
    except (ValueError, RecursionError):
        # Others may read it, and wait for an answer.
        disputed = True
        try:
            message = json.loads(text, parse_int=len, parse_constant=refuse)
        except (ValueError, RecursionError):
            return notice
    if not isinstance(message, list) or len(message) < 2:
        return notice
    verb, second = message[:2]
    if verb in ("EVENT", "AUTH"):
        if isinstance(second, dict) and isinstance(second.get("id"), str):
            return "OK", second["id"]
        return notice
    if verb in ("REQ", "COUNT") and isinstance(second, str):
        return "CLOSED", second
    if verb == "CLOSE" and isinstance(second, str) and not disputed:
        return "", second
    return notice
