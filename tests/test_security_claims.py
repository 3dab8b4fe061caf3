"""SECURITY.md claims nothing without a test that exists."""

import ast
import re

from dev.paths import CHECKOUT

CLAIM = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PROTECTED = re.compile(r"## What is protected\n(.*)\n## What is not", re.DOTALL)


def protected() -> str:
    found = PROTECTED.search((CHECKOUT / "SECURITY.md").read_text())
    assert found is not None
    return found.group(1)


def test_every_test_named_in_security_md_exists() -> None:
    claims = CLAIM.findall(protected())
    assert len(claims) == protected().count("::") > 30
    for path, name in claims:
        tree = ast.parse((CHECKOUT / path).read_text())
        tests = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name.startswith("test_"), name
        assert name in tests, f"{path} has no {name}"


def test_every_claim_of_security_md_names_a_test() -> None:
    bullets = re.split(r"\n(?=- )", protected())[1:]
    assert len(bullets) > 15
    for bullet in bullets:
        assert CLAIM.search(bullet), bullet
