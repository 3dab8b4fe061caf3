"""What can be wrong with input, as one small tree of errors.

Each is a `ValueError`, so a caller that knows nothing of this package can still
catch it. `str(error)` is one readable line without any of the offending input: fit
to follow `invalid: ` in an OK, CLOSED or NOTICE message (NIP-01), and safe to log.
The names say what is invalid; an Error at their end (N818) would add nothing.
"""


class NostrError(ValueError):
    """Something that came from outside is not what the protocol asks for."""


class InvalidMessage(NostrError):  # noqa: N818
    """A message, or a part of one, cannot be read."""


class DisputedMessage(InvalidMessage):
    """JSON that other readers take, and understand in one way or the other."""


class InvalidEvent(NostrError):  # noqa: N818
    """An event is malformed, or its id or its signature is wrong (NIP-01)."""


class InvalidKey(NostrError):  # noqa: N818
    """A public or private key is not one, in bytes, hex or bech32 (NIP-19)."""
