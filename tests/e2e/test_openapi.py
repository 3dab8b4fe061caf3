"""REST does what its own description (OpenAPI) says, whatever it is sent."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dev.lnbits_server import LnbitsServer
from dev.local_relay import LocalRelay

from .clients import Author
from .conftest import Connect

PREFIX = "/nostrclient/api/v1"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
NO_RELAY = "ws://127.0.0.1:9"
EXAMPLES = 12
"""For each of valid and invalid requests, of every call that takes something."""

FOR_EVERYBODY = f"{PREFIX}/health"
"""The call that needs no login."""

HOST_PARAMETERS = {"usr", "cookie_access_token"}
"""What LNbits adds to every call."""

Call = APIOperation[Any, Any, Any, Any]
Attempt = Case[Any]


def described(server: LnbitsServer) -> dict[str, Any]:
    """Give what the server says of nostrclient's calls, without what is not ours."""
    told: dict[str, Any] = server.http.get("/openapi.json").raise_for_status().json()
    told["paths"] = {
        path: calls
        for path, calls in told["paths"].items()
        if path.startswith("/nostrclient/")
    }
    for calls in told["paths"].values():
        for call in calls.values():
            call["parameters"] = [
                parameter
                for parameter in call.get("parameters", [])
                if parameter["name"] not in HOST_PARAMETERS
            ]
            never = call["responses"].pop("422")
            assert never["description"].startswith("Never")
    return told


@pytest.fixture
def something_to_tell(
    lnbits: LnbitsServer, relays: list[LocalRelay], connect: Connect, author: Author
) -> Iterator[None]:
    """A client, an event that waits and one that was given up."""
    client = connect()
    for relay in relays:
        lnbits.api("PUT", "/relay", {"url": relay.url, "active": False})
    waits, given_up = author.event("waits"), author.event("is given up")
    for event in (waits, given_up):
        assert client.publish(event)[1].startswith("queued:")
    lnbits.api("DELETE", f"/outbox/{given_up['id']}")
    yield
    for item in lnbits.api("GET", "/outbox"):
        lnbits.api("DELETE", f"/outbox/{item['event_id']}")
    for relay in relays:
        lnbits.api("PUT", "/relay", {"url": relay.url, "active": True})


@pytest.fixture
def restored(lnbits: LnbitsServer) -> Iterator[None]:
    """What a test changes is put back."""
    config = lnbits.api("GET", "/config")
    before = {relay["url"] for relay in lnbits.api("GET", "/relays")}
    yield
    lnbits.api("DELETE", "/identity")
    for relay in lnbits.api("GET", "/relays"):
        if relay["url"] not in before:
            lnbits.api("DELETE", "/relay", {"url": relay["url"]})
    defaults = {
        item["name"]: item["default"] for item in lnbits.api("GET", "/settings")
    }
    lnbits.api("PUT", "/config", {"settings": defaults | config["settings"]})


@pytest.fixture
def calls(lnbits: LnbitsServer, restored: None) -> list[Call]:
    """Every call, to be made at random, of relays only with such as nobody runs."""
    lnbits.api("POST", "/relay", {"url": NO_RELAY})
    path = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]))
    unknown = path.map(lambda path: f"{NO_RELAY}/{path}")
    schemathesis.openapi.format("uri", st.one_of(st.just(NO_RELAY), unknown))
    told = described(lnbits)
    # Without a URL there is little to try.
    relay_url = told["components"]["schemas"]["RelayUrl"]
    relay_url["required"] = ["url"]
    relay_url["properties"]["url"] = {"type": "string", "format": "uri"}
    schema = schemathesis.openapi.from_dict(told)
    schema.config.update(base_url=lnbits.url)
    found = [item.ok() for item in schema.get_all_operations() if isinstance(item, Ok)]
    assert len(found) > 20
    return found


def make(calls: list[Call], judge: Callable[[Attempt], None], examples: int) -> None:
    """Make each call again and again, always in the same ways, and judge each time."""
    for call in calls:
        takes_something = bool(call.body or call.path_parameters)
        for mode in GenerationMode:
            if mode.is_negative and not takes_something:
                continue  # nothing can be wrong with it

            @seed(1)
            @settings(
                max_examples=examples if takes_something else 1,
                database=None,
                deadline=None,
                suppress_health_check=[
                    HealthCheck.too_slow,
                    HealthCheck.filter_too_much,
                ],
            )
            @given(case=call.as_strategy(generation_mode=mode))
            def run(case: Attempt) -> None:
                judge(case)

            run()


@pytest.mark.usefixtures("something_to_tell")
def test_a6_the_admin_is_answered_as_described(
    lnbits: LnbitsServer, calls: list[Call]
) -> None:
    answered: set[tuple[str, str, int]] = set()
    with requests.Session() as session:
        session.headers["Authorization"] = lnbits.http.headers["Authorization"]

        def judge(case: Attempt) -> None:
            response = case.call(session=session)
            answered.add((case.method, case.path, response.status_code))
            is_health = case.path == FOR_EVERYBODY  # 503 is an answer there
            case.validate_response(response, checks=CHECKS[is_health:])

        make(calls, judge, EXAMPLES)
    # Where all is refused, little was tried.
    for method, path in [("POST", "/relay"), ("PUT", "/relay/test")]:
        assert (method, f"{PREFIX}{path}", 200) in answered


def test_a6_nobody_is_refused_whatever_is_sent(calls: list[Call]) -> None:
    calls = [call for call in calls if call.path != FOR_EVERYBODY]
    with requests.Session() as session:

        def judge(case: Attempt) -> None:
            response = case.call(session=session)
            # What is no JSON is not read far enough to ask who sent it.
            right = {400} if isinstance(case.body, bytes) else {401, 403}
            assert response.status_code in right, case.as_curl_command()
            case.validate_response(response, checks=CHECKS)

        make(calls, judge, EXAMPLES // 3)


AWKWARD = {
    "NUL": r'"\u0000"',
    "half a pair": r'"\ud800"',
    "long": f'"{100_000 * "x"}"',
    "huge": "1" + 400 * "0",
    "beyond 64 bits": "9" * 30,
    "NaN": "NaN",
    "infinite": "-Infinity",
    "deep": 5_000 * "[" + 5_000 * "]",
    "null": "null",
    "list": "[]",
    "object": r'{"\ud800": "\u0000"}',
}
"""What JSON may hold, or Python takes for it."""

FIELDS = [
    ("POST", "/relay", '{"url": %s}'),
    ("DELETE", "/relay", '{"url": %s}'),
    ("PUT", "/relay", '{"url": %s}'),
    ("PUT", "/relay", '{"url": "ws://127.0.0.1:9", "active": %s}'),
    ("PUT", "/relay/test", '{"reciever_public_key": %s, "message": "x"}'),
    ("PUT", "/relay/test", '{"reciever_public_key": "KEY", "message": %s}'),
    (
        "PUT",
        "/relay/test",
        '{"reciever_public_key": "KEY", "message": "x", "sender_private_key": %s}',
    ),
    ("PUT", "/config", '{"public_ws": %s}'),
    ("PUT", "/config", '{"settings": %s}'),
    ("PUT", "/config", '{"settings": {"ping_seconds": %s}}'),
    ("PUT", "/config", '{"settings": {"outbox_events": %s}}'),
    ("PUT", "/config", r'{"settings": {"\ud800": %s}}'),
    ("PUT", "/identity", '{"nsec": %s}'),
    ("PUT", "/identity", '{"generate": %s}'),
    ("PUT", "/relay", "%s"),
]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("awkward", AWKWARD)
def test_a6_nothing_sent_is_an_error_of_the_server(
    lnbits: LnbitsServer, author: Author, awkward: str
) -> None:
    for method, path, body in FIELDS:
        text = body.replace("%s", AWKWARD[awkward]).replace("KEY", author.pubkey)
        answer = lnbits.http.request(
            method,
            f"{PREFIX}{path}",
            content=text,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in (200, 400, 404), f"{method} {path} {text[:100]}"
        if not answer.is_success:
            assert answer.json()["detail"]
    lnbits.api("GET", "/config")
    lnbits.api("GET", "/relays")


def test_every_call_is_described(lnbits: LnbitsServer) -> None:
    told = described(lnbits)
    for path, calls in told["paths"].items():
        for method, call in calls.items():
            assert not call["summary"].startswith("Api "), f"{method} {path}"
            if path != FOR_EVERYBODY:
                assert {"401", "403"} <= call["responses"].keys(), f"{method} {path}"
