"""The first words of messages, under upstream's names."""

from nostrclient.nostr.message_type import ClientMessageType, RelayMessageType


def test_g5_upstream_s_names_keep_their_values() -> None:
    assert ClientMessageType.EVENT == "EVENT"
    assert ClientMessageType.REQUEST == "REQ"
    assert ClientMessageType.CLOSE == "CLOSE"
    assert RelayMessageType.EVENT == "EVENT"
    assert RelayMessageType.NOTICE == "NOTICE"
    assert RelayMessageType.END_OF_STORED_EVENTS == "EOSE"
    assert RelayMessageType.COMMAND_RESULT == "OK"


def test_g5_is_valid_knows_what_relays_say() -> None:
    for word in ("EVENT", "NOTICE", "EOSE", "OK", "CLOSED", "COUNT", "AUTH"):
        assert RelayMessageType.is_valid(word)
    for word in ("REQ", "CLOSE", "event", ""):
        assert not RelayMessageType.is_valid(word)
