"""Rule I7: private URLs with names, closed and revoked one by one."""

import pytest

from dev.lnbits_server import LnbitsServer

from .clients import Author, handshake_status, wait_until
from .conftest import Connect

PREFIX = "/nostrclient/api/v1"


def url_of(server: LnbitsServer, name: str) -> str:
    """Return the URL that the list has for a name now."""
    (found,) = (
        item for item in server.api("GET", "/private-urls") if item["name"] == name
    )
    return f"{server.websocket_url.removesuffix(PREFIX)}{found['path']}"


def test_i7_private_url_works_until_it_is_revoked_and_no_other_is_touched(
    lnbits: LnbitsServer, connect: Connect, author: Author
) -> None:
    created = [lnbits.api("POST", "/private-urls", {"name": name}) for name in "ab"]
    assert [item["last_used_at"] for item in created] == [None, None]
    urls = [url_of(lnbits, name) for name in "ab"]
    first, second = (connect(url, url) for url in urls)
    shared = connect(lnbits.private_url(), "shared")
    for client in (first, second, shared):
        assert client.publish(author.event(client.name))[0]
    used = {item["private_url"] for item in lnbits.api("GET", "/clients")}
    assert used >= {None, created[0]["id"], created[1]["id"]}
    listed = lnbits.api("GET", "/private-urls")
    oldest_first = sorted(created, key=lambda item: (item["created_at"], item["id"]))
    assert [(item["name"], item["clients"]) for item in listed] == [
        (item["name"], 1) for item in oldest_first
    ]
    assert all(item["last_used_at"] for item in listed)

    closed = f"/private-urls/{created[0]['id']}"
    assert not lnbits.api("PUT", closed, {"is_open": False})["is_open"]
    wait_until(lambda: not first.open, "its client is disconnected")
    assert handshake_status(urls[0]) == 403
    lnbits.api("PUT", closed, {"is_open": True, "name": "c"})
    assert handshake_status(urls[0]) == 101
    assert lnbits.http.get(created[0]["path"]).status_code == 200

    left = lnbits.api("DELETE", f"/private-urls/{created[1]['id']}")
    assert [item["name"] for item in left] == ["c"]
    wait_until(lambda: not second.open, "its client is disconnected")
    assert handshake_status(urls[1]) == 403
    assert lnbits.http.get(created[1]["path"]).status_code == 404
    assert handshake_status(urls[0]) == 101
    assert handshake_status(lnbits.private_url()) == 101
    assert shared.open

    # A restart of the extension keeps the list; both forms of the secret open.
    lnbits.deactivate()
    lnbits.activate()
    assert handshake_status(url_of(lnbits, "c")) == 101
    assert handshake_status(urls[1]) == 403
    lnbits.api("DELETE", closed)
    assert lnbits.api("GET", "/private-urls") == []


@pytest.mark.parametrize("name", ["", "  "])
def test_i7_private_url_needs_a_name(lnbits: LnbitsServer, name: str) -> None:
    answer = lnbits.http.post(
        f"{PREFIX}/private-urls",
        json={"name": name},
    )
    assert answer.status_code == 400
