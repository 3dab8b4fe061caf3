"""H10: links on demand to relays that are named with an event."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from nostrclient.nostr import clock
from nostrclient.nostr.delivery import PublishResult
from nostrclient.nostr.errors import InvalidMessage
from nostrclient.nostr.event import SignedEvent
from nostrclient.nostr.message import encode_event
from nostrclient.nostr.named_relays import ANSWER_BYTES
from nostrclient.nostr.publisher import Publisher
from nostrclient.nostr.relay_manager import RelayManager
from nostrclient.nostr.settings import DEFAULTS, Settings

from .builders import KEY, OTHER_KEY, Inbox, signed
from .networks import HOST

QUICK = replace(
    DEFAULTS, reconnect_seconds=0.1, reconnect_max_seconds=0.2, link_idle_seconds=0.3
)


@dataclass
class Relay:
    """A relay that accepts every event, or answers each with these words."""

    refusal: str = ""
    events: list[str] = field(default_factory=list)
    stored: list[SignedEvent] = field(default_factory=list)
    requests: int = 0
    flood: str = ""
    connections: int = 0
    port: int = 0
    _server: Server | None = None

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    def start(self) -> None:
        self._server = serve(self._serve, HOST, self.port)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
        self._server = None

    def _serve(self, link: ServerConnection) -> None:
        self.connections += 1
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(link.recv())
                if message[0] == "REQ":
                    self.requests += 1
                    for event in self.stored:
                        if event.pubkey in message[2]["authors"]:
                            link.send(f'["EVENT","{message[1]}",{event.text}]')
                    link.send(json.dumps(["EOSE", message[1]]))
                if self.flood:
                    link.send(self.flood)
                    continue
                if message[0] == "EVENT":
                    event_id = message[1]["id"]
                    self.events.append(event_id)
                    link.send(
                        json.dumps(["OK", event_id, not self.refusal, self.refusal])
                    )


@contextmanager
def relays(count: int, refusal: str = "") -> Iterator[list[Relay]]:
    running = [Relay(refusal) for _ in range(count)]
    for relay in running:
        relay.start()
    try:
        yield running
    finally:
        for relay in running:
            relay.stop()


@contextmanager
def manager(settings: Settings = QUICK) -> Iterator[RelayManager]:
    """Run a manager that allows addresses on this machine."""
    found = RelayManager(settings)
    found.named.public_only = lambda: False
    ended = threading.Event()

    def keep_time() -> None:
        while not ended.wait(0.01):
            found.step()

    thread = threading.Thread(target=keep_time)
    found.start()
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        found.stop()


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def publish(
    manager: RelayManager, *urls: str, event: SignedEvent | None = None
) -> tuple[SignedEvent, Inbox]:
    event, inbox = event or signed(str(time.monotonic())), Inbox()
    named = manager.check_named(urls)
    manager.publish(event, inbox, is_public=True, publisher="user 1", named=named)
    return event, inbox


def verdict(inbox: Inbox) -> tuple[bool, str]:
    wait_until(lambda: inbox.items)
    (item,) = inbox.items
    assert isinstance(item, PublishResult)
    return item.accepted, item.message


def test_h10_event_reaches_the_relays_that_it_names_and_no_configured_one() -> None:
    with relays(3) as [first, second, configured], manager() as running:
        running.add_relay(configured.url)
        event, inbox = publish(running, first.url, second.url)
        assert verdict(inbox) == (True, "")
        wait_until(lambda: first.events == second.events == [event.id])
        assert configured.events == []
        assert list(running.relays) == [configured.url]


def test_h10_link_carries_the_next_event_and_is_closed_when_idle() -> None:
    with relays(1) as [relay], manager() as running:
        for _ in range(3):
            assert verdict(publish(running, relay.url)[1]) == (True, "")
        assert relay.connections == 1
        wait_until(lambda: not running.named.links)
        assert running.publisher.named_relays() == []
        assert relay.url not in running.publisher.outbox.relays
        assert verdict(publish(running, relay.url)[1]) == (True, "")
        assert relay.connections == 2


def test_h10_relay_that_is_down_gets_the_event_when_it_returns() -> None:
    with relays(3) as [first, second, third], manager() as running:
        third.stop()
        event, inbox = publish(running, first.url, second.url, third.url)
        assert verdict(inbox) == (True, "")
        time.sleep(1)
        third.start()
        wait_until(lambda: third.events == [event.id])


def test_h10_refusal_of_the_named_relays_is_the_answer() -> None:
    with relays(2, "blocked: not here") as [first, second], manager() as running:
        _, inbox = publish(running, first.url, second.url)
        assert verdict(inbox) == (False, "blocked: not here")


def test_h10_relay_that_is_configured_gets_it_over_its_own_connection() -> None:
    with relays(1) as [relay], manager() as running:
        known = running.add_relay(relay.url)
        wait_until(lambda: known.connected)
        event, inbox = publish(running, relay.url)
        assert verdict(inbox) == (True, "")
        assert relay.events == [event.id]
        assert relay.connections == 1
        assert not running.named.links


def test_h10_relay_that_becomes_configured_keeps_its_events() -> None:
    with relays(1) as [relay], manager() as running:
        relay.stop()
        event, inbox = publish(running, relay.url)
        assert verdict(inbox)[1].startswith("queued:")
        running.add_relay(relay.url)
        assert not running.named.links
        running.remove_relay(relay.url)
        wait_until(lambda: running.named.links)
        running.add_relay(relay.url)
        relay.start()
        wait_until(lambda: relay.events == [event.id])


def test_h10_dead_relays_share_few_links_and_keep_no_living_one_waiting() -> None:
    settings = replace(QUICK, named_connections=2)
    with relays(1) as [relay], manager(settings) as running:
        dead = [Relay() for _ in range(4)]
        for item in dead:
            item.start()
            item.stop()
        for item in dead:
            publish(running, item.url)
        most: list[int] = []
        event, _ = publish(running, relay.url)

        def delivered() -> bool:
            most.append(len(running.named.links))
            return relay.events == [event.id]

        wait_until(delivered)
        assert max(most) <= 2
        dead[3].start()
        wait_until(lambda: dead[3].events)
        dead[3].stop()


def test_h10_private_address_is_not_connected_to_whatever_its_name() -> None:
    with relays(1) as [relay], manager() as running:
        running.named.public_only = lambda: True
        url = f"ws://localhost:{relay.port}"
        _, inbox = publish(running, url)
        assert verdict(inbox)[1].startswith("queued:")
        wait_until(lambda: running.named.links[url].record.error_list)
        assert "no address" in running.named.links[url].record.error_list[0]
        assert relay.connections == 0


def test_h10_rules_are_asked_again_when_the_link_opens() -> None:
    with relays(1) as [relay], manager() as running:
        named = running.check_named([relay.url])

        def refuse(url: str) -> None:
            raise InvalidMessage(f"{url} is not allowed")

        running.named.check = refuse
        with pytest.raises(InvalidMessage, match="not allowed"):
            running.check_named([relay.url])
        event, inbox = signed(), Inbox()
        running.publish(event, inbox, named=named)
        assert verdict(inbox) == (False, f"blocked: {relay.url} is not allowed")
        assert relay.connections == 0


@pytest.mark.parametrize("use", [{"active": False}, {"write": False}])
def test_h10_relay_that_the_operator_switched_off_cannot_be_named(use: Any) -> None:
    found = RelayManager(QUICK)
    found.add_relay("wss://relay.example", **use)
    with pytest.raises(InvalidMessage, match="switched off"):
        found.check_named(["wss://relay.example/"])


def test_h10_number_of_named_relays_is_bounded_and_may_be_zero() -> None:
    found = RelayManager(QUICK)
    urls = [f"wss://{number}.example" for number in range(6)]
    assert len(found.check_named(urls[:5])) == 5
    for wrong in ([], urls, ["http://relay.example"], ["wss://u:p@relay.example"]):
        with pytest.raises(InvalidMessage):
            found.check_named(wrong)
    found = RelayManager(replace(QUICK, named_connections=0))
    with pytest.raises(InvalidMessage, match="no relays"):
        found.check_named(urls[:1])


def test_f1_named_relay_that_is_ourselves_is_given_up() -> None:
    with relays(1, "queued: later") as [relay], manager() as running:
        running.named.is_ourselves = lambda _: True
        _, inbox = publish(running, relay.url)
        assert verdict(inbox)[0] is False
        assert "own endpoint" in verdict(inbox)[1]


def test_h10_extension_publishes_to_named_relays() -> None:
    with relays(2) as [relay, configured], manager() as running:
        running.add_relay(configured.url)
        event = signed("in process")
        running.publish_to(encode_event(event.text), [relay.url])
        wait_until(lambda: relay.events == [event.id])
        assert configured.events == []
        for wrong in ('["REQ","a",{}]', '["CLOSE","a"]', "x"):
            with pytest.raises(ValueError, match=r".+"):
                running.publish_to(wrong, [relay.url])


def test_h10_next_generation_continues_with_the_named_relays() -> None:
    with relays(1) as [relay]:
        relay.stop()
        with manager() as earlier:
            event, inbox = publish(earlier, relay.url)
            assert verdict(inbox)[1].startswith("queued:")
        state = json.loads(json.dumps(earlier.hand_over()))
        with manager() as later:
            later.take_over(state)
            relay.start()
            wait_until(lambda: relay.events == [event.id])


def test_f7_stop_ends_all_links() -> None:
    with relays(1) as [relay], manager() as running:
        verdict(publish(running, relay.url)[1])
        running.stop()
        assert not running.named.links
        wait_until(
            lambda: (
                not any(relay.url in thread.name for thread in threading.enumerate())
            )
        )


def test_h10_relays_of_former_links_are_not_tried_more_often_than_others() -> None:
    settings = replace(QUICK, reconnect_max_seconds=60, named_connections=1)
    found = RelayManager(settings)
    found.named.public_only = lambda: False
    publisher: Publisher = found.publisher
    urls = [f"ws://{HOST}:{port}" for port in (1, 2)]
    for url in urls:
        publisher.publish(signed(url), Inbox(), named=frozenset((url,)))
    tried: list[str] = []
    found.named.check = tried.append
    now = clock.now()
    try:
        for second in range(20):
            found.named.tick(now + second)
            (link,) = found.named.links.values()
            wait_until(partial(getattr, link, "failed"))
        assert sorted(tried) == urls, "each once within a minute"
    finally:
        found.named.stop()


def test_h10_gift_wrap_reaches_the_recipient_s_relays_and_no_others() -> None:
    recipient = KEY.public_key.hex()
    settings = replace(QUICK, gift_wrap_relays=3)
    with relays(2) as [inbox_relay, configured], manager(settings) as running:
        known = running.add_relay(configured.url)
        wait_until(lambda: known.connected)
        configured.stored = [signed(kind=10050, tags=[["relay", inbox_relay.url]])]
        told = []
        for number in range(2):
            wrap = signed(f"{number}", 1059, [["p", recipient]], key=OTHER_KEY)
            inbox = Inbox()
            running.publish(wrap, inbox)
            told.append(verdict(inbox))
            assert inbox_relay.events[number:] == [wrap.id]
        assert told == 2 * [(True, "")]
        assert configured.requests == 1, "the list is remembered"
        assert configured.events == []
        running.publish_message(
            encode_event(signed("in process", 1059, [["p", recipient]]).text)
        )
        wait_until(lambda: len(inbox_relay.events) == 3)
        stranger = signed("x", 1059, [["p", "ab" * 32]])
        running.publish(stranger, Inbox())
        wait_until(lambda: configured.events == [stranger.id])


def test_f3_named_relay_cannot_fill_the_memory() -> None:
    """Somebody may name a relay of their own that sends large messages."""
    with relays(1) as [relay], manager() as running:
        relay.flood = "x" * (ANSWER_BYTES + 1)
        event, _ = publish(running, relay.url)
        wait_until(lambda: relay.connections > 1)
        relay.flood = ""
        wait_until(lambda: event.id in relay.events)
