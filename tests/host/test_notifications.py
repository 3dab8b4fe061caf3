"""When LNbits' admins are notified, and when not again."""

import pytest

from nostrclient import notifications
from nostrclient.nostr.settings import DEFAULTS
from nostrclient.notifications import Seen, Watch

FINE = Seen(active=2, connected=1, waiting=0, undeliverable=0)
DOWN = FINE._replace(connected=0)


def test_i5_admins_are_notified_once_when_all_relays_are_down_for_five_minutes() -> (
    None
):
    watch = Watch()
    assert watch.look(DOWN, DEFAULTS, 0) == []
    assert watch.look(DOWN, DEFAULTS, 299) == []
    (text,) = watch.look(DOWN, DEFAULTS, 300)
    assert "5 minutes" in text
    assert watch.look(DOWN, DEFAULTS, 9000) == []
    assert watch.look(FINE, DEFAULTS, 9001) == []
    assert watch.look(DOWN, DEFAULTS, 9002) == []
    assert len(watch.look(DOWN, DEFAULTS, 9302)) == 1


def test_i5_no_kind_of_notification_is_repeated_within_an_hour() -> None:
    watch = Watch()
    full = FINE._replace(waiting=80)
    assert len(watch.look(full, DEFAULTS, 0)) == 1
    for now in (60, 1800, 3599):
        assert watch.look(FINE, DEFAULTS, now) == []
        assert watch.look(full, DEFAULTS, now) == []
    assert len(watch.look(full, DEFAULTS, 3600)) == 1
    lost = full._replace(undeliverable=1)
    assert len(watch.look(lost, DEFAULTS, 3601)) == 1
    more = full._replace(undeliverable=5)
    assert watch.look(more, DEFAULTS, 3700) == []
    (text,) = watch.look(more, DEFAULTS, 7300)
    assert text.startswith("4 events are undeliverable")


def test_i5_relays_that_are_all_switched_off_are_no_outage() -> None:
    watch = Watch()
    off = DOWN._replace(active=0)
    assert watch.look(off, DEFAULTS, 0) == watch.look(off, DEFAULTS, 900) == []


def test_i5_admins_are_notified_once_of_keys_that_private_messages_need() -> None:
    watch = Watch()
    (text,) = watch.look(FINE._replace(lacking_keys=2), DEFAULTS, 0)
    assert "2 keys" in text
    assert watch.look(FINE._replace(lacking_keys=3), DEFAULTS, 4000) == []


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("notify_down_seconds", DOWN),
        ("notify_undeliverable_events", FINE._replace(undeliverable=7)),
        ("notify_outbox_share", FINE._replace(waiting=100)),
        ("notify_withheld_keys", FINE._replace(lacking_keys=1)),
    ],
)
def test_i5_each_kind_has_a_switch(name: str, seen: Seen) -> None:
    for value, count in ((getattr(DEFAULTS, name), 1), (0, 0)):
        watch, settings = Watch(), DEFAULTS.with_changes({name: value})
        watch.look(seen, settings, 0)
        sent = Watch().look(seen, settings, 0) + watch.look(seen, settings, 301)
        assert bool(sent) == bool(count)


async def test_i5_notification_reaches_lnbits_own_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, str | None]] = []

    async def deliver(message: str, message_type: str | None = None) -> None:
        sent.append((message, message_type))

    target = "lnbits.core.services.notifications.send_admin_notification"
    monkeypatch.setattr(target, deliver)
    await notifications.send("something happened")
    assert sent == [("nostrclient: something happened", "text_message")]


async def test_i5_channel_that_fails_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("no route to host")

    target = "lnbits.core.services.notifications.send_admin_notification"
    monkeypatch.setattr(target, fail)
    await notifications.send("something happened")
