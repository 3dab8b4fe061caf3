"""Every number of the rules, in one place."""

from nostrclient.nostr.settings import DEFAULTS


def test_f2_the_private_endpoint_is_ten_times_as_generous() -> None:
    public, private = DEFAULTS.public, DEFAULTS.private
    assert public.connections == 100
    assert public.connections_per_address == 10
    assert public.subscriptions == 50
    assert public.filters == 10
    assert public.message_bytes == 256 * 1024
    assert public.messages_per_second == 20
    assert public.burst_messages == 100
    assert [10 * number for number in vars(public).values()] == [
        *vars(private).values()
    ]


def test_the_numbers_of_the_rules() -> None:
    numbers = DEFAULTS
    assert numbers.mailbox_bytes == 32 * 1024**2  # B7
    assert numbers.mailboxes_total_bytes == 256 * 1024**2
    assert numbers.answer_seconds == 2  # C3
    assert numbers.outbox_events == 100  # C4
    assert numbers.outbox_public_share == 0.5
    assert numbers.outbox_expiry_seconds == 7 * 24 * 3600
    assert numbers.owed_copies_per_relay == 100
    assert numbers.ephemeral_expiry_seconds == 60  # C5
    assert numbers.publish_tries == 5
    assert numbers.seen_ids_per_subscription == 100_000  # D2
    assert numbers.seen_ids_total == 1_000_000
    assert numbers.eose_seconds == 4  # D4
    assert numbers.eose_max_seconds == 15
    assert numbers.eose_busy_seconds == 1
    assert numbers.eose_lost_relay_seconds == 30
    assert numbers.connect_seconds == 10  # E2
    assert numbers.connect_address_seconds == 3
    assert numbers.reconnect_seconds == 1
    assert numbers.reconnect_max_seconds == 60
    assert numbers.ping_seconds == 20  # E3
    assert numbers.pong_seconds == 10
    assert numbers.overlap_seconds == 300  # E4
    assert numbers.gift_wrap_seconds == 2 * 24 * 3600
    assert numbers.refresh_seconds == 300  # E5
    assert numbers.refresh_answer_seconds == 30
    assert numbers.refreshes_per_second == 2
    assert numbers.information_seconds == 5  # E9
    assert numbers.information_bytes == 64 * 1024
    assert numbers.penalty_seconds == 600  # F3
    assert numbers.relay_message_bytes == 4 * 1024**2
    assert numbers.stop_seconds == 5  # F7
