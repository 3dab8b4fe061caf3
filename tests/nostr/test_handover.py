"""What crosses from one generation of this code to another, of any version."""

import json

import pytest

from nostrclient.nostr.handover import (
    EventState,
    Handover,
    RelayState,
    SubscriptionState,
)
from nostrclient.nostr.relay_manager import RelayManager

from .builders import Inbox, signed

HANDOVER = Handover(
    [RelayState("wss://a", active=False, write=False)],
    [SubscriptionState("mine", [{"kinds": [1]}], [1, 2])],
    [
        EventState(
            "{}", is_public=True, age_seconds=3.5, accepted=True, owed=["wss://b"]
        )
    ],
)


def test_f7_the_state_crosses_as_plain_data() -> None:
    plain = json.loads(json.dumps(HANDOVER.to_plain()))
    assert Handover.from_plain(plain) == HANDOVER


def test_f7_an_earlier_version_may_lack_fields_and_a_later_one_have_more() -> None:
    plain = {
        "relays": [{"url": "wss://a"}, {"url": "wss://b", "colour": "red"}],
        "events": [{"text": "{}", "owed": []}],
        "weather": "fine",
    }
    handover = Handover.from_plain(plain)
    assert handover.relays == [RelayState("wss://a"), RelayState("wss://b")]
    assert handover.subscriptions == []
    assert handover.events == [EventState("{}", owed=[])]
    assert Handover.from_plain({}) == Handover([], [], [])


def test_f7_an_item_without_its_name_is_left_out() -> None:
    plain = {"relays": [{"active": True}, {"url": "wss://a"}]}
    assert Handover.from_plain(plain).relays == [RelayState("wss://a")]


def test_f7_a_manager_continues_where_another_one_was() -> None:
    first, second = RelayManager(), RelayManager()
    first.add_relay("wss://a.example", active=False)
    first.add_relay("wss://b.example", read=False)
    first.add_subscription("mine", [{"kinds": [1]}])
    event = signed()
    first.publisher.publish(event, Inbox())
    second.take_over(first.hand_over())
    assert {url: relay.use for url, relay in second.relays.items()} == {
        "wss://a.example": (False, True, True),
        "wss://b.example": (True, False, True),
    }
    assert second.is_open("mine")
    (waiting,) = second.publisher.waiting_events()
    assert waiting.event.id == event.id
    assert list(waiting.copies) == ["wss://b.example"]


@pytest.mark.parametrize("text", ["", "{}", '{"id": 1}'])
def test_f7_an_event_that_cannot_be_read_is_given_up_alone(text: str) -> None:
    manager = RelayManager()
    event = signed()
    state = Handover([], [], [EventState(text), EventState(event.text)]).to_plain()
    manager.take_over(state)
    (waiting,) = manager.publisher.waiting_events()
    assert waiting.event.id == event.id
