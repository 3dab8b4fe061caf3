"""The house keeps its three floors: imports only point down, and in no circle."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from dev.paths import CHECKOUT

PURE = {
    "nostr.entitlement",
    "nostr.client_auth",
    "nostr.wire",
    "nostr.wires",
    "nostr.sharing",
    "nostr.request_pace",
    "nostr.poison",
    "nostr.limits",
    "nostr.heartbeat",
    "nostr.egress",
    "nostr.complaints",
    "nostr.guests",
    "nostr.chunking",
    "nostr.relay_subscription",
    "nostr.backoff",
    "nostr.caller",
    "nostr.counts",
    "nostr.delivery",
    "nostr.errors",
    "nostr.event",
    "nostr.fetch",
    "nostr.figures",
    "nostr.filter",
    "nostr.garbage",
    "nostr.handshake",
    "nostr.hyperloglog",
    "nostr.information",
    "nostr.key",
    "nostr.known_events",
    "nostr.merge",
    "nostr.message",
    "nostr.moment",
    "nostr.message_type",
    "nostr.negentropy",
    "nostr.outbox",
    "nostr.outbox_relay",
    "nostr.overlap",
    "nostr.pace",
    "nostr.publication",
    "nostr.publish_rate",
    "nostr.reconcile",
    "nostr.relay_counters",
    "nostr.relay_session",
    "nostr.relay_url",
    "nostr.session",
    "nostr.settings",
    "nostr.socks",
    "nostr.subscription",
}
"""Floor 1. What else is in nostr/ is floor 2, and everything else floor 3."""

IMPURE = {"socket", "select", "ssl", "threading", "asyncio", "time", "random", "os"}
IMPURE |= {"secrets", "logging", "loguru", "subprocess", "concurrent", "queue", "uuid"}

DEFAULTS_OF = {
    "nostr.event": {"time"},  # created_at
    "nostr.key": {"secrets"},  # new keys, IVs
}

HOST = {"lnbits", "fastapi", "starlette", "pydantic", "sqlalchemy", "uvicorn"}

TESTED_ELSEWHERE = {
    # What needs sockets is tested with real ones.
    "nostr.relay_link": "tests/faults",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for path in (*CHECKOUT.glob("*.py"), *CHECKOUT.glob("nostr/**/*.py"))
}


def is_package(name: str) -> bool:
    return MODULES[name].name == "__init__.py"


def floor(name: str) -> int:
    if not (name == "nostr" or name.startswith("nostr.")):
        return 3
    return 1 if name in PURE or is_package(name) else 2


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Give what a module imports, and whether that is one of ours.

    Imports inside functions count too; those for type checkers alone do not exist.
    """
    package = name if is_package(name) else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, False
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or "", False
                continue
            parts = package.split(".") if package else []
            parts = parts[: len(parts) - (node.level - 1)]
            base = ".".join([*parts, *((node.module or "").split("."))]).strip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                yield (inner if inner in MODULES else base), True


OURS = {
    name: {found for found, ours in imports(name) if ours and found != name}
    for name in MODULES
}
THEIRS = {
    name: {found.split(".")[0] for found, ours in imports(name) if not ours}
    for name in MODULES
}


def test_every_import_of_ours_is_a_module() -> None:
    assert not set.union(*OURS.values()) - MODULES.keys()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_only_point_down(name: str) -> None:
    for found in OURS[name]:
        assert floor(found) <= floor(name), f"{name} imports {found}, a floor above"


def test_imports_form_no_circle() -> None:
    # A package's own __init__ is run before its modules, but imports none of them.
    TopologicalSorter(OURS).prepare()


@pytest.mark.parametrize("name", sorted(n for n in MODULES if floor(n) < 3))
def test_nostr_knows_nothing_of_its_host(name: str) -> None:
    assert not THEIRS[name] & HOST
    assert not THEIRS[name] & {"nostrclient"}


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_know_no_socket_thread_loop_clock_or_chance(name: str) -> None:
    assert not (THEIRS[name] & IMPURE) - DEFAULTS_OF.get(name, set())
    assert "nostr.clock" not in OURS[name]


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_need_little_but_python(name: str) -> None:
    foreign = THEIRS[name] - set(sys.stdlib_module_names)
    known = {"coincurve", "Cryptodome", "cryptography", "bech32"}
    assert foreign <= known | {"typing_extensions"}


def test_few_modules_of_nostr_know_the_event_loop() -> None:
    known = {name for name in MODULES if floor(name) < 3 and "asyncio" in THEIRS[name]}
    assert known == {
        "nostr.client.client",
        "nostr.information_request",
        "nostr.named_query",
    }


def test_every_pure_module_is_there() -> None:
    assert not PURE - MODULES.keys()


@pytest.mark.parametrize(
    "name", sorted(n for n in MODULES if floor(n) < 3 and not is_package(n))
)
def test_every_module_of_nostr_has_a_test_file(name: str) -> None:
    elsewhere = TESTED_ELSEWHERE.get(name)
    if elsewhere is not None:
        assert list((CHECKOUT / elsewhere).glob("test_*.py"))
        return
    parts = name.split(".")
    assert (CHECKOUT / "tests").joinpath(*parts[:-1], f"test_{parts[-1]}.py").exists()


# --- the language

NOT_IMPERATIVE = {"Give", "Take", "Tell", "Have", "Note", "Let", "Go"}
"""Verbs that say less than Python's own: Return, Raise, Send, Handle, Store, Remove."""

PRODUCTION = {
    str(path.relative_to(CHECKOUT)): path
    for path in (*MODULES.values(), *CHECKOUT.glob("dev/*.py"))
}


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Return all docstrings of a file with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
        ):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("name", sorted(PRODUCTION))
def test_docstrings_begin_with_python_s_verbs(name: str) -> None:
    found = [
        f"{name}:{line}: {text.splitlines()[0]}"
        for line, text in docstrings(PRODUCTION[name])
        if text.split()[0].rstrip(",.:;") in NOT_IMPERATIVE
    ]
    assert not found


# --- the documents

RULES = {
    code.lower().replace(" ", "_")
    for code in re.findall(
        r"^### ([A-Z]\d+[a-z]?|Timeline \d+):",
        (CHECKOUT / "docs" / "rules.md").read_text(),
        re.MULTILINE,
    )
}
RULE_CODES = re.compile(r"^test_((?:(?:[a-z]\d+[a-z]?|timeline_\d+)_)+)")


def codes_of(test_name: str) -> set[str]:
    """Return the codes of the rules that a test names."""
    found = RULE_CODES.match(test_name)
    if found is None:
        return set()
    return set(re.findall(r"[a-z]\d+[a-z]?|timeline_\d+", found.group(1)))


def test_the_codes_in_a_test_s_name_are_found() -> None:
    assert codes_of("test_e8_c3_d2_nothing_is_lost") == {"e8", "c3", "d2"}
    assert codes_of("test_timeline_4_start") == {"timeline_4"}
    assert codes_of("test_c2b_notice") == {"c2b"}
    assert codes_of("test_200_products") == set()


def test_every_rule_that_a_test_names_is_in_rules_md() -> None:
    unknown = {
        f"{code}: {path.relative_to(CHECKOUT)}"
        for path in sorted((CHECKOUT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for code in codes_of(node.name) - RULES
    }
    assert not unknown, "add a paragraph for each rule to docs/rules.md"


def test_every_rest_route_is_in_rest_md() -> None:
    text = (CHECKOUT / "docs" / "rest.md").read_text()
    routes = {
        re.sub(r"\{\w+\}", "ID", route)
        for path in CHECKOUT.glob("views*.py")
        for route in re.findall(
            r"_router\.(?:get|put|post|delete)\(\s*\"/api/v1(/[^\"]+)\"",
            path.read_text(),
        )
    }
    assert len(routes) > 10
    missing = {
        route for route in routes if not re.search(rf"`[^`|]* {route}[`?, ]", text)
    }
    missing.discard("/{ws_id:path}")  # the WebSocket endpoints
    assert not missing, "add a row for each route to docs/rest.md"


ARCHITECTURE = (CHECKOUT / "docs" / "architecture.md").read_text()


def test_every_module_is_on_the_map() -> None:
    on_the_map = re.findall(r"^\| `([\w/]+\.py)` +\| \S", ARCHITECTURE, re.MULTILINE)
    assert len(on_the_map) == len(set(on_the_map)), "a module is there twice"
    modules = {
        str(path.relative_to(CHECKOUT))
        for name, path in MODULES.items()
        if not name or not is_package(name)
    }
    missing, gone = modules - set(on_the_map), set(on_the_map) - modules
    assert not missing, "add a row for each module to docs/architecture.md"
    assert not gone, "these modules are gone: change docs/architecture.md"


def test_the_map_s_floors_are_those_of_the_imports() -> None:
    for part in re.split(r"^### ", ARCHITECTURE, flags=re.MULTILINE)[1:]:
        found = re.match(r".*\(floor (\d)\)\n", part)
        if found is None:
            continue
        for path in re.findall(r"^\| `([\w/]+\.py)`", part, re.MULTILINE):
            name = module_name(CHECKOUT / path)
            assert floor(name) == int(found.group(1)), path


def test_every_file_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", ARCHITECTURE))
    assert not [name for name in sorted(named) if not (CHECKOUT / name).is_file()]


def test_every_file_that_contributing_names_exists() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|js|md|json))`", text))
    assert len(named) > 15
    assert not [name for name in sorted(named) if not (CHECKOUT / name).exists()]
