"""The page's texts: complete in both languages, also those of the server's messages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.paths import CHECKOUT
from nostrclient.nostr.settings import SETTINGS
from tests.programs import needs_node

from .modules import STATIC, evaluate

pytestmark = needs_node

SOURCES = [*STATIC.glob("*.vue"), *STATIC.glob("vue/*.vue"), *STATIC.glob("**/*.js")]
REFUSING = (
    "views_api.py",
    "views_identities.py",
    "views_private_urls.py",
    "nostr/relay_url.py",
    "nostr/key.py",
)
"""Where the words of most refusals come from that an operator can cause."""

NOT_ON_THE_PAGE = re.compile(
    r"(32|16) bytes$|another author|initiali[sz]ation vector|encrypted text|decrypted"
    r"|cleartext_content|recipient_pubkey|scalar|prefix or a suffix|the wish|surrogate"
    r"|endpoint\.$|nsec or generate|not base64"
)
"""What only code, not an operator at the page, can cause."""


def messages(path: Path) -> Iterator[str]:
    """Yield the texts that are raised in a module, with something for what varies."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        for argument in node.exc.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                yield "".join(map(_filled, argument.values))


def _filled(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    is_key = ast.unparse(part) in ("{name}", "{prefix}", "f'{name}'", "f'{prefix}'")
    return "nsec" if is_key else "7"


def test_every_text_exists_in_both_languages() -> None:
    texts: dict[str, dict[str, str]] = evaluate("return texts")
    code = "".join(path.read_text() for path in SOURCES if "i18n" not in path.parts)
    used = set(re.findall(r"[`']nostrclient\.(\w+)[`']", code))
    for setting in SETTINGS.values():
        group = re.sub("[^a-z]+", "_", setting.group.lower())
        used |= {f"number_{setting.name.rpartition('.')[2]}", f"group_{group}"}
        used |= {f"unit_{setting.unit.replace(' ', '_')}"} if setting.unit else set()
    assert len(used) > 150
    assert used <= set(texts["en"])
    assert list(texts["de"]) == list(texts["en"])
    for language in texts.values():
        for key, text in language.items():
            assert text, key


def test_both_languages_have_the_same_placeholders() -> None:
    texts: dict[str, dict[str, str]] = evaluate("return texts")
    for key, text in texts["en"].items():
        names = set(re.findall(r"{(\w+)}", text))
        assert names == set(re.findall(r"{(\w+)}", texts["de"][key])), key


@pytest.mark.parametrize("name", REFUSING)
def test_every_refusal_has_a_german_text(name: str) -> None:
    found = [text for text in messages(CHECKOUT / name) if " " in text]
    found = [text for text in found if not NOT_ON_THE_PAGE.search(text)]
    known: dict[str, str] = evaluate(
        "const {translated} = await load('messages')\n"
        "return Object.fromEntries(found.map(text => [text, translated(text)]))",
        "de",
        found=found,
    )
    assert found
    assert [text for text, german in known.items() if german == text] == []


@pytest.mark.parametrize(
    ("message", "english", "german"),
    [
        (
            "'overlap_seconds' must exceed 'ping_seconds' + 'pong_seconds'",
            (
                "“Overlap after an interruption” must be greater than “Pause between"
                " pings” and “Time for the answer to a ping” together."
            ),
            (
                "„Überlappung nach einer Unterbrechung“ muss größer sein als"
                " „Pause zwischen zwei Pings“ und „Zeit für die Antwort auf ein Ping“"
                " zusammen."
            ),
        ),
        (
            "the setting 'public.filters' must be above 0",
            "“Filters per subscription” must be greater than 0.",
            "„Filter je Abonnement“ muss größer als 0 sein.",
        ),
        (
            "the nsec has 6 characters, not 63",
            "The nsec has 6 characters instead of 63.",
            "Länge des Schlüssels (nsec): 6 statt 63 Zeichen.",
        ),
        (
            "Failed to fetch",
            "This server cannot be reached.",
            "Dieser Server ist nicht erreichbar.",
        ),
        ("something new", "something new", "something new"),
    ],
)
def test_a_message_of_the_server_is_translated(
    message: str, english: str, german: str
) -> None:
    script = "return (await load('messages')).translated(message)"
    assert evaluate(script, "en", message=message) == english
    assert evaluate(script, "de", message=message) == german


def test_a_setting_without_a_text_is_called_by_its_name() -> None:
    script = "return (await load('messages')).settingLabel('some_new_seconds')"
    assert evaluate(script, "de") == "Some new seconds"


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (0, "Connected for 1 second", "Verbunden seit 1 Sekunde"),
        (61, "Connected for 1 minute", "Verbunden seit 1 Minute"),
        (300, "Connected for 5 minutes", "Verbunden seit 5 Minuten"),
        (3 * 86400, "Connected for 3 days", "Verbunden seit 3 Tagen"),
    ],
)
def test_how_long_a_state_lasts_is_said_in_words(
    seconds: int, english: str, german: str
) -> None:
    script = """
      const {default: Details} = await load('relay-details')
      const relay = {since: 1000}
      const clock = {now: 1000 + seconds}
      return Details.computed.stateFor.call(
        {relay, clock, $t, stateName: 'connected'}
      )"""
    assert evaluate(script, "en", seconds=seconds) == english
    assert evaluate(script, "de", seconds=seconds) == german


def test_every_setting_has_a_german_sentence() -> None:
    """Those of the code are shown in English; `sentence` chooses."""
    script = """
      const {sentence} = await load('settings')
      const {default: all} = await load('setting-sentences')
      const found = settings.map(name => sentence({name, description: 'English'}))
      return {found, names: Object.keys(all.de)}"""
    settings = list(SETTINGS)
    german = evaluate(script, "de", settings=settings)
    assert "English" not in german["found"]
    assert all(text.endswith(".") for text in german["found"])
    names = {name.rpartition(".")[2] for name in settings}
    assert set(german["names"]) == names, "no sentence is left of a removed setting"
    assert set(evaluate(script, "en", settings=settings)["found"]) == {"English"}


def test_modules_load_others_in_their_own_version() -> None:
    static_imports: list[Any] = []
    for path in STATIC.glob("**/*.js"):
        static_imports += re.findall(r"^import .*", path.read_text(), re.MULTILINE)
    assert static_imports == []
    script = """
      const {pathToFileURL} = await import('node:url')
      const rest = await import(`${pathToFileURL(STATIC)}/js/settings.js?v=7`)
      return rest.default.template"""
    assert evaluate(script) == "#nostrclient-settings"
