"""One client's protocol: any order of events keeps the rules."""

import json
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nostrclient.nostr.delivery import (
    Closed,
    Delivered,
    Delivery,
    Eose,
    Progress,
    PublishResult,
    RelayChanged,
    SubscriptionOpened,
)
from nostrclient.nostr.session import (
    Command,
    Publish,
    Subscribe,
    Unsubscribe,
)

from .builders import made, signed
from .session_client import EVENT, FOREVER, ROOMY, Client

# --- whatever happens in whatever order

URLS = ("wss://a", "wss://b", "wss://c")


@dataclass
class Told:
    """What a REQ is owed, as the rules have it."""

    subscription_id: str
    asked_at: float
    pending_eose: set[str]
    answered: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    heard: dict[str, float] = field(default_factory=dict)
    settled: bool = False

    def must_settle(self, now: float) -> bool:
        if self.answered and not self.pending_eose:
            return True
        # Sums as in the code: a difference may be off by the last bit.
        busy = any(now < self.heard.get(url, 0.0) + 1 for url in self.pending_eose)
        asked = self.asked_at
        return now >= asked + 15 or (now >= asked + 4 and not busy)


class SessionMachine(RuleBasedStateMachine):
    """A client, three relays that come and go, and what the rules promise it."""

    def __init__(self) -> None:
        super().__init__()
        limits = replace(ROOMY, subscriptions=3, filters=2)
        self.client = Client(limits)
        self.up: dict[str, bool] = dict.fromkeys(URLS, False)
        self.trying: dict[str, bool] = dict.fromkeys(URLS, True)
        self.open: dict[str, Told] = {}
        self.ever_open: list[str] = []
        self.publishing: deque[str] = deque()
        self.oks: Counter[str] = Counter()
        self.asked_oks: Counter[str] = Counter()
        self.events = [signed(str(number)) for number in range(3)]

    @property
    def now(self) -> float:
        return self.client.now

    # What comes out is compared with what is owed.

    def take(self, output: tuple[list[Any], list[Command]]) -> list[Any]:
        texts, commands = output
        for command in commands:
            if isinstance(command, Publish):
                self.publishing.append(command.event.id)
            elif isinstance(command, Unsubscribe):
                self.open.pop(command.upstream_id, None)
        for text in texts:
            if text[0] == "OK":
                self.oks[text[1]] += 1
            elif text[0] == "EOSE":
                (told,) = (
                    told
                    for told in self.open.values()
                    if told.subscription_id == text[1]
                )
                assert not told.settled, "a second EOSE"
                assert told.must_settle(self.now), "an early EOSE"
                told.settled = True
        return texts

    def deliver(self, *items: Delivery) -> list[Any]:
        texts = self.take(self.client.deliver(*items))
        self.take((self.client.tick(), []))
        return texts

    @invariant()
    def every_req_gets_its_eose_in_time(self) -> None:
        for told in self.open.values():
            assert told.settled == (told.settled or told.must_settle(self.now))

    @invariant()
    def nothing_is_left_of_what_was_closed(self) -> None:
        assert sorted(self.client.session.upstream_ids) == sorted(self.open)

    @invariant()
    def nothing_is_answered_more_often_than_asked(self) -> None:
        waiting = Counter(self.publishing)
        assert self.oks + waiting == self.asked_oks

    # The client

    @rule(name=st.sampled_from("abcd"), bad=st.booleans())
    def req(self, name: str, bad: bool) -> None:
        before = {told.subscription_id for told in self.open.values()}
        texts, commands = self.client.send("REQ", name, {"kinds": "x" if bad else [1]})
        refused = bad or (len(before) == 3 and name not in before)
        self.take((texts, commands))
        if refused:
            assert [text[:2] for text in texts] == [["CLOSED", name]]
            return
        assert texts == []
        command = commands[-1]
        assert isinstance(command, Subscribe)
        self.ever_open.append(command.upstream_id)
        pending_eose = {url for url in URLS if self.up[url] or self.trying[url]}
        self.open[command.upstream_id] = Told(name, self.now, set(pending_eose))
        connected = sum(self.up.values())
        infinite = dict.fromkeys(pending_eose, FOREVER)
        self.deliver(
            SubscriptionOpened(
                command.upstream_id, frozenset(URLS), infinite, connected
            )
        )

    @rule(name=st.sampled_from("abcd"))
    def close(self, name: str) -> None:
        texts, commands = self.client.send("CLOSE", name)
        assert texts == []
        self.take((texts, commands))
        assert all(told.subscription_id != name for told in self.open.values())

    @rule(number=st.integers(0, 2), bad=st.booleans())
    def publish(self, number: int, bad: bool) -> None:
        event = self.events[number]
        text = event.text
        if bad:
            text = text.replace('"sig": "', '"sig": "0', 1)
        self.asked_oks[event.id] += 1
        self.take(self.client.publish(text))

    @precondition(lambda self: self.publishing)
    @rule(accepted=st.booleans())
    def verdict(self, accepted: bool) -> None:
        event_id = self.publishing.popleft()
        texts = self.deliver(PublishResult(event_id, accepted, "because"))
        assert texts == [["OK", event_id, accepted, "because"]]

    # The relays

    @rule(url=st.sampled_from(URLS))
    def connect(self, url: str) -> None:
        if self.up[url]:
            return
        self.up[url], self.trying[url] = True, False
        for told in self.open.values():
            if url not in told.answered:
                told.pending_eose.add(url)
                told.heard[url] = self.now
        self.deliver(RelayChanged(url, True, True))

    @rule(url=st.sampled_from(URLS))
    def fail_to_connect(self, url: str) -> None:
        if not self.trying[url]:
            return
        self.trying[url] = False
        for told in self.open.values():
            told.pending_eose.discard(url)
        self.deliver(RelayChanged(url, True, False))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), url=st.sampled_from(URLS))
    def eose(self, data: st.DataObject, url: str) -> None:
        upstream_id = data.draw(st.sampled_from(sorted(self.open)))
        told = self.open[upstream_id]
        told.answered.add(url)
        told.pending_eose.discard(url)
        told.closed.discard(url)  # it serves the REQ after all (D5)
        self.deliver(Eose(upstream_id, url))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), url=st.sampled_from(URLS))
    def closed(self, data: st.DataObject, url: str) -> None:
        upstream_id = data.draw(st.sampled_from(sorted(self.open)))
        told = self.open[upstream_id]
        told.answered.add(url)
        told.pending_eose.discard(url)
        told.closed.add(url)
        texts = self.deliver(Closed(upstream_id, url, "blocked: no"))
        everywhere = told.closed == set(URLS)
        is_closed = ["CLOSED", told.subscription_id, "blocked: no"] in texts
        assert is_closed == everywhere

    @precondition(lambda self: self.open)
    @rule(data=st.data(), url=st.sampled_from(URLS), known=st.booleans())
    def event(self, data: st.DataObject, url: str, known: bool) -> None:
        upstream_id = data.draw(st.sampled_from(sorted(self.open)))
        told = self.open[upstream_id]
        told.heard[url] = self.now
        if known:
            assert self.deliver(Progress(upstream_id, url)) == []
            return
        event = made()
        expected = ["EVENT", told.subscription_id, json.loads(event.text)]
        assert self.deliver(Delivered(upstream_id, event, url)) == [expected]

    @precondition(lambda self: self.ever_open)
    @rule(data=st.data())
    def late_news_of_what_is_closed(self, data: st.DataObject) -> None:
        upstream_id = data.draw(st.sampled_from(self.ever_open))
        if upstream_id in self.open:
            return
        late = (Delivered(upstream_id, EVENT, "wss://a"), Eose(upstream_id, "wss://a"))
        assert self.deliver(*late) == []

    @rule(seconds=st.sampled_from([0.3, 0.9, 1.0, 2.5, 4.0, 15.0]))
    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = self.client.session.deadline(self.now)
            if due is None or due > end:
                break
            assert due > self.now, "it would be asked again and again"
            self.client.now = due
            self.take((self.client.tick(), []))
        self.client.now = end
        self.take((self.client.tick(), []))


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = hypothesis_settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
