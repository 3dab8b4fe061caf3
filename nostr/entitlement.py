"""Decides who may read an event that a relay gave to one of our keys (H4).

A relay that guards private messages gives them to a connection that authenticated as
their author or recipient. Through one endpoint many clients use that connection, so it
is decided here who of them receives such an event. Private clients and other extensions
do; a public client only if it authenticated to us as the key in question (NIP-42).

A relay that knows us as the service key may give it private messages of others as well:
some let every known key read everything. Of those, a public client receives what
concerns a key that it authenticated as.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from .event import SignedEvent
from .filter import Filter
from .settings import RESTRICTED_KINDS


def may_receive(
    event: SignedEvent,
    *,
    is_public: bool,
    keys: Set[str],
    link_key: str | None,
    service_key: str | None,
    restricted_kinds: Set[int] = RESTRICTED_KINDS,
) -> bool:
    """Return whether a client may receive an event that came over a link.

    `keys` are the public keys that the client authenticated as, in hex like all others.
    `link_key` is the reader key of the link, None for a main link. A link of several
    keys has one that is nobody's: its events are for no public client. `service_key` is
    the key that a main link authenticated as, None where it did not.
    """
    if not is_public:
        return True
    if link_key is not None:
        return link_key in keys
    if service_key is None or event.kind not in restricted_kinds:
        return True
    return service_key in keys or any(concerns(event, pubkey) for pubkey in keys)


def concerns(event: SignedEvent, pubkey: str) -> bool:
    """Return whether a key is an event's author or one of its recipients."""
    return event.pubkey == pubkey or any(
        len(tag) > 1 and tag[0] == "p" and tag[1] == pubkey for tag in event.tags
    )


def may_count(
    filters: Iterable[Filter],
    *,
    is_public: bool,
    keys: Set[str],
    service_key: str,
    restricted_kinds: Set[int] = RESTRICTED_KINDS,
) -> bool:
    """Return whether a relay that knows us as the service key may count for a client.

    Not where the number could say something of that key's private messages.
    """
    if not is_public or service_key in keys:
        return True
    return not any(
        filter_.kinds is None or filter_.kinds & restricted_kinds for filter_ in filters
    )
