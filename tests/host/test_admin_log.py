"""What the log says of changes that an admin made."""

from nostrclient.admin_log import config_changes
from nostrclient.models import Config, Face, Guests


def changes(before: Config, after: Config) -> list[str]:
    return list(config_changes(before, after))


def test_i7_endpoints_and_settings_are_named_with_both_values() -> None:
    before = Config(settings={"ping_seconds": 15, "gone_setting": 1})
    after = Config(
        private_ws=False,
        public_ws=True,
        settings={"public.connections": 90, "mailboxes_total_bytes": 33_554_433},
    )
    assert changes(before, after) == [
        "the private endpoint is closed",
        "the public endpoint is opened",
        "setting mailboxes_total_bytes: 268435456 becomes 33554433",
        "setting ping_seconds: 15 becomes 20",
        "setting public.connections: 100 becomes 90",
    ]
    assert changes(after, after) == []


def test_i7_of_proxy_face_and_guests_only_the_change_is_named() -> None:
    secret = "socks5h://me:secret@127.0.0.1:9"
    after = Config(
        proxy_url=secret,
        face=Face(name="Relay of our shop"),
        guests=Guests(auth_to_read=True),
    )
    assert changes(Config(), after) == [
        "the proxy is changed",
        "what the public endpoint says of itself is changed",
        "the rules for guests are changed",
    ]
