"""The message types, under the names that other extensions use."""

# The names for other extensions: docs/extensions.md.
__all__ = ["ClientMessageType", "RelayMessageType"]


class ClientMessageType:
    """Message types that a client sends to a relay (NIP-01, NIP-42, NIP-45)."""

    EVENT = "EVENT"
    REQUEST = "REQ"
    CLOSE = "CLOSE"
    COUNT = "COUNT"
    AUTH = "AUTH"


class RelayMessageType:
    """Message types that a relay sends to a client (NIP-01, NIP-42, NIP-45)."""

    EVENT = "EVENT"
    NOTICE = "NOTICE"
    END_OF_STORED_EVENTS = "EOSE"
    COMMAND_RESULT = "OK"
    CLOSED = "CLOSED"
    COUNT = "COUNT"
    AUTH = "AUTH"

    @staticmethod
    def is_valid(type: str) -> bool:  # noqa: A002  (upstream's parameter name)
        """Return whether this is a type of message that a relay sends."""
        return type in _RELAY_MESSAGE_TYPES


_RELAY_MESSAGE_TYPES = frozenset(
    {
        RelayMessageType.EVENT,
        RelayMessageType.NOTICE,
        RelayMessageType.END_OF_STORED_EVENTS,
        RelayMessageType.COMMAND_RESULT,
        RelayMessageType.CLOSED,
        RelayMessageType.COUNT,
        RelayMessageType.AUTH,
    }
)
