"""pynostr: publish, ask for what is stored, get the notices; prints JSON.

python -m tests.dropin.clients.pynostr_client URL
"""

import json
import sys
from typing import Any

from pynostr.event import Event, EventKind
from pynostr.filters import Filters, FiltersList
from pynostr.key import PrivateKey
from pynostr.relay_manager import RelayManager


def session(url: str, event: Event | None, pubkey: str) -> dict[str, Any]:
    """Connect, say everything at once, and go after the first EOSE."""
    manager = RelayManager(timeout=6)
    manager.add_relay(url, close_on_eose=True)
    if event:
        manager.publish_event(event)
    filters = FiltersList([Filters(authors=[pubkey], kinds=[EventKind.TEXT_NOTE])])
    manager.add_subscription_on_all_relays("pynostr", filters)
    manager.run_sync()
    pool = manager.message_pool
    seen: dict[str, Any] = {"ok": [], "events": [], "notices": 0, "eoses": 0}
    while pool.has_ok_notices():
        seen["ok"].append(vars(pool.get_ok_notice()))
    while pool.has_events():
        seen["events"].append(pool.get_event().event.id)
    while pool.has_notices():
        seen["notices"] += 1
        pool.get_notice()
    while pool.has_eose_notices():
        seen["eoses"] += 1
        pool.get_eose_notice()
    manager.close_all_relay_connections()
    return seen


def main() -> None:
    """Publish in one session, and ask in a second one."""
    key = PrivateKey()
    pubkey = key.public_key.hex()
    event = Event("from pynostr")
    event.sign(key.hex())
    sessions = [session(sys.argv[1], event, pubkey), session(sys.argv[1], None, pubkey)]
    print(json.dumps({"id": event.id, "sessions": sessions}))  # noqa: T201


if __name__ == "__main__":
    main()
