"""The secret of a private URL stays out of the server's log."""

import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from lnbits.helpers import encrypt_internal_message

from nostrclient import log_filter
from nostrclient.helpers import PUBLIC_ENDPOINT


@pytest.fixture
def installed() -> Iterator[None]:
    log_filter.install()
    yield
    log_filter.remove()


@pytest.mark.parametrize("urlsafe", [True, False])
@pytest.mark.parametrize("end", ["", "/", "?a=b"])
def test_a2_secret_of_a_private_url_is_not_logged(
    installed: None, caplog: pytest.LogCaptureFixture, urlsafe: bool, end: str
) -> None:
    secret = encrypt_internal_message(PUBLIC_ENDPOINT, urlsafe=urlsafe)
    assert secret is not None
    path = f"/nostrclient/api/v1/{quote(secret)}{end}"
    logger = logging.getLogger("uvicorn.error")
    with caplog.at_level(logging.INFO, logger="uvicorn.error"):
        logger.addHandler(caplog.handler)
        logger.info('%s - "WebSocket %s" [accepted]', ("127.0.0.1", 1), path)
        logger.removeHandler(caplog.handler)
    text = caplog.messages[0]
    assert text.endswith('"WebSocket /nostrclient/api/v1/…" [accepted]')
    assert secret not in text


def test_a2_other_paths_are_logged_as_they_are(
    installed: None, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("uvicorn.access")
    with caplog.at_level(logging.INFO, logger="uvicorn.access"):
        logger.addHandler(caplog.handler)
        for path in ("/nostrclient/api/v1/relay", "/nostrclient/api/v1/relays", "/x"):
            logger.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 1)
        logger.removeHandler(caplog.handler)
    text = "\n".join(caplog.messages)
    for path in ("/nostrclient/api/v1/relay ", "/nostrclient/api/v1/relays ", "/x "):
        assert path in text
