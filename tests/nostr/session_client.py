"""A session and its client, for the tests of `session`."""

import json
from dataclasses import replace
from itertools import count
from typing import Any

from nostrclient.nostr.delivery import (
    Delivery,
    SubscriptionOpened,
)
from nostrclient.nostr.session import (
    Command,
    Session,
    Subscribe,
)
from nostrclient.nostr.settings import DEFAULTS, ClientLimits

from .builders import NOW, signed

START = 1000.0
A, B = "wss://a", "wss://b"
FOREVER = float("inf")
ROOMY = replace(DEFAULTS.public, messages_per_second=1e6, burst_messages=10**6)
EVENT = signed()
IDS = count(1)


class Client:
    """A session with its client's side and its relays' side."""

    def __init__(self, limits: ClientLimits = ROOMY) -> None:
        self.session = Session(limits, DEFAULTS, lambda: f"up{next(IDS)}", START)
        self.now = START

    def raw(self, text: str) -> tuple[list[Any], list[Command]]:
        """Send text; return the decoded replies and the commands."""
        return self.sort(self.session.receive(text, self.now, NOW))

    def send(self, *parts: object) -> tuple[list[Any], list[Command]]:
        return self.raw(json.dumps(parts))

    def publish(self, text: str) -> tuple[list[Any], list[Command]]:
        return self.raw(f'["EVENT",{text}]')

    def req(self, subscription_id: str, *wanted: object) -> str:
        """Open a subscription; return its upstream id."""
        _, commands = self.send("REQ", subscription_id, *(wanted or ({},)))
        command = commands[-1]
        assert isinstance(command, Subscribe)
        return command.upstream_id

    def deliver(self, *items: Delivery) -> tuple[list[Any], list[Command]]:
        return self.sort(list(self.session.deliver(items, self.now)))

    def tick(self) -> list[Any]:
        return self.sort(list(self.session.tick(self.now)))[0]

    @staticmethod
    def sort(output: list[str | Command]) -> tuple[list[Any], list[Command]]:
        texts = [json.loads(item) for item in output if isinstance(item, str)]
        return texts, [item for item in output if not isinstance(item, str)]


def asked(
    upstream_id: str, *pending_eose: str, also: tuple[str, ...] = ()
) -> SubscriptionOpened:
    urls = frozenset((*pending_eose, *also))
    return SubscriptionOpened(
        upstream_id, urls, dict.fromkeys(pending_eose, FOREVER), len(pending_eose)
    )
