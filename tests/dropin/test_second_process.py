"""Rule J3: a second process with the data folder of one LNbits, on SQLite."""

from pathlib import Path

from dev.lnbits_server import LnbitsServer
from tests.e2e.clients import Author, Client, handshake_status, wait_until


def test_j3_second_process_refuses_clients_until_the_first_one_has_ended(
    tmp_path: Path,
) -> None:
    author = Author()
    with LnbitsServer(tmp_path) as first, LnbitsServer(tmp_path) as second:
        client = Client(first.private_url())
        event = author.event("queued by the first one")
        assert client.publish(event)[0]
        status = second.api("GET", "/status")
        assert (status["second_process"], status["outbox_waiting"]) == (True, 0)
        assert not first.api("GET", "/status")["second_process"]
        assert handshake_status(second.private_url()) == 403
        assert "start LNbits with one worker" in second.printed()

        first.kill()
        client.close()
        wait_until(
            lambda: second.api("GET", "/status")["outbox_waiting"] == 1,
            "the second one has the event",
        )
        assert not second.api("GET", "/status")["second_process"]
        assert handshake_status(second.private_url()) == 101
