"""The errors for invalid input.

Each is a `ValueError`, so that other extensions can catch it without importing it.
`str(error)` is one readable line without any of the invalid input. It can follow
`invalid: ` in an OK, CLOSED or NOTICE message (NIP-01) and is safe to log. The names
say what is invalid, so they do without the suffix Error (N818).
"""


class NostrError(ValueError):
    """Input from outside does not follow the protocol."""


class InvalidMessage(NostrError):  # noqa: N818
    """A message, or a part of one, is invalid."""


class DisputedMessage(InvalidMessage):
    """JSON that other parsers accept but do not all read alike."""


class InvalidEvent(NostrError):  # noqa: N818
    """An event is malformed, or its id or its signature is wrong (NIP-01)."""


class InvalidKey(NostrError):  # noqa: N818
    """A public or private key is invalid, in bytes, hex or bech32 (NIP-19)."""
