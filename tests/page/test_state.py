"""What the page concludes from what the server says of relays and the outbox."""

from typing import Any

import pytest

from tests.browser.scenery import Entry, relay_entry, said
from tests.programs import needs_node

from .modules import evaluate

pytestmark = needs_node

NOW = 1_790_000_000


def summary(
    relays: list[Entry] | None, status: Entry | None = None, *, is_stale: bool = False
) -> dict[str, Any]:
    script = """
      const {changed, summary} = await load('state')
      const rows = relays && changed([], {relays}, NOW)
      const found = summary(rows, {status, isStale, now: NOW})
      const causes = (found.causes || []).map(it => it.name)
      return {...found, causes}"""
    found: dict[str, Any] = evaluate(
        script, relays=relays, status=status, isStale=is_stale, NOW=NOW
    )
    return found


def verdict(
    relays: list[Entry] | None, status: Entry | None = None
) -> tuple[str, str, list[str]]:
    found = summary(relays, status)
    return found["name"], found["color"], found["causes"]


def refusing(**more: Any) -> Entry:
    told = {"publishing": "refused", "refusals": [said("blocked: go away", 1)]}
    return relay_entry("wss://refuses.example", **{**told, **more})


def test_i1_headline_is_green_only_while_everything_works() -> None:
    two = [relay_entry("wss://a.example"), relay_entry("wss://b.example")]
    assert verdict(two) == ("all", "positive", [])
    assert verdict(None) == ("loading", "grey", [])
    assert verdict([]) == ("none", "grey", [])
    assert verdict([two[0], relay_entry("wss://b.example", "waiting")]) == (
        "some",
        "warning",
        [],
    )
    assert verdict([relay_entry(state="connecting")])[:2] == ("connecting", "info")
    assert verdict([relay_entry(state="waiting")])[:2] == ("down", "red")
    assert verdict([relay_entry(active=False)])[:2] == ("none", "grey")


@pytest.mark.parametrize(
    ("relays", "expected"),
    [
        ([relay_entry(write=False)], ("unpublished", "red", ["no_write"])),
        ([relay_entry(read=False)], ("unreceived", "red", ["no_read"])),
        (
            [relay_entry(write=False), relay_entry("wss://b.example", "waiting")],
            ("unpublished", "red", ["down_write"]),
        ),
        ([refusing()], ("unpublished", "red", ["relay_refuses"])),
        ([refusing(), relay_entry()], ("all_but", "warning", ["relay_refuses"])),
        ([refusing(write=False), relay_entry()], ("all", "positive", [])),
        (
            [refusing(publishing="unanswered")],
            ("unpublished", "red", ["relay_ignores_events"]),
        ),
        (
            [relay_entry(receiving="unanswered")],
            ("unreceived", "red", ["relay_ignores_requests"]),
        ),
        (
            [refusing(receiving="refused", closings=[said("auth-required: who", 1)])],
            ("useless", "red", ["relay_refuses"]),
        ),
    ],
)
def test_i1_relay_that_does_not_serve_makes_the_headline_say_so(
    relays: list[Entry], expected: tuple[str, str, list[str]]
) -> None:
    assert verdict(relays) == expected


def test_i1_headline_counts_all_useless_relays_and_names_three() -> None:
    five = [{**refusing(), "url": f"wss://{number}.example"} for number in range(5)]
    name, _, causes = verdict([relay_entry(), *five])
    assert name == "all_but"
    assert causes == ["relay_refuses"] * 3 + ["more"]


def test_i1_outbox_that_waits_or_lost_something_is_no_longer_green() -> None:
    relays = [relay_entry()]
    waits = {"outbox_waiting": 19, "outbox_oldest_at": NOW - 61}
    assert verdict(relays, waits) == ("all", "warning", ["waiting"])
    brief = {"outbox_waiting": 19, "outbox_oldest_at": NOW - 2}
    assert verdict(relays, brief) == ("all", "positive", [])
    lost = {"outbox_undeliverable": 3, "outbox_undeliverable_at": NOW - 3600}
    assert verdict(relays, lost) == ("all", "warning", ["undeliverable"])
    long_ago = {"outbox_undeliverable": 3, "outbox_undeliverable_at": NOW - 100_000}
    assert verdict(relays, long_ago) == ("all", "positive", [])


def test_i1_database_that_cannot_be_read_is_named() -> None:
    status = {"not_loaded": ["outbox", "relays"]}
    assert verdict([relay_entry()], status) == ("all", "warning", ["not_loaded"])


def test_j3_second_process_is_named() -> None:
    status = {"second_process": True}
    assert verdict([], status) == ("second", "red", [])
    assert verdict([relay_entry()], status) == ("all", "warning", ["second"])


def test_i1_headline_is_grey_while_the_page_is_cut_off() -> None:
    found = summary([relay_entry()], is_stale=True)
    assert (found["color"], found["icon"]) == ("grey", "cloud_off")


def test_i2_row_of_a_useless_relay_is_not_green() -> None:
    script = """
      const {changed} = await load('state')
      return changed([], {relays}, NOW).map(row => [row.state.color, row.problems])"""
    needs_key, read_only = refusing(auth="no_key"), refusing(write=False)
    read_only["url"] = "wss://other.example"
    found = evaluate(script, relays=[needs_key, read_only], NOW=NOW)
    assert found == [
        [
            "warning",
            [
                {"name": "refuses", "words": "blocked: go away"},
                {"name": "no_key", "words": ""},
            ],
        ],
        ["positive", []],
    ]


def test_i2_relay_that_is_down_says_since_when_and_is_not_retrying_when_disabled() -> (
    None
):
    script = """
      const {changed} = await load('state')
      return changed([], {relays}, NOW)
        .map(({since, isDown, retryAt}) => [since, isDown, retryAt])"""
    down = relay_entry("wss://a.example", "waiting", down_since=NOW - 900)
    off = relay_entry("wss://b.example", "waiting", active=False, retry_in_seconds=9)
    found = evaluate(script, relays=[down, off], NOW=NOW)
    assert found[0][:2] == [NOW - 900, True]
    assert found[1][2] == 0


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (" wss://a.example ", ["wss://a.example"]),
        ("relay.damus.io", ["wss://relay.damus.io"]),
        ("https://a.example/path", ["wss://a.example/path"]),
        ("http://a.example", ["ws://a.example"]),
        ("localhost:7777", ["ws://localhost:7777"]),
        ("abc.onion", ["ws://abc.onion"]),
        (
            "WSS://A.example,\nb.example c.example",
            [
                "WSS://A.example",
                "wss://b.example",
                "wss://c.example",
            ],
        ),
        ("ftp://a.example", ["ftp://a.example"]),
        ("", []),
    ],
)
def test_i6_scheme_is_added_and_several_urls_are_told_apart(
    text: str, urls: list[str]
) -> None:
    script = "return (await load('state')).relayUrls(text)"
    assert evaluate(script, text=text) == urls


def test_page_sorts_what_is_unknown_to_the_end() -> None:
    script = """
      const {default: Relays} = await load('relays')
      const rows = [{ping: null}, {ping: 30}, {ping: 4}]
      const page = {columns: [{name: 'ping', field: 'ping'}]}
      const sort = descending =>
        Relays.methods.sort.call(page, rows, 'ping', descending).map(row => row.ping)
      return [sort(false), sort(true)]"""
    assert evaluate(script) == [[4, 30, None], [30, 4, None]]


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (0.0031, "3.1 ms", "3,1 ms"),
        (12, "12 sec", "12 Sek."),
        (600, "10 min", "10 Min."),
        (604_800, "7 days", "7 Tage"),
    ],
)
def test_durations_are_in_units_that_a_person_reads(
    seconds: float, english: str, german: str
) -> None:
    script = "return (await load('words')).duration(seconds)"
    assert evaluate(script, "en", seconds=seconds) == english
    assert evaluate(script, "de", seconds=seconds) == german
