"""`make test-matrix`: the tests on the oldest and newest LNbits and Python.

Each combination has an environment of its own in an ignored folder, with nothing but
LNbits' dependencies. The tests start LNbits from there. The tests themselves and their
relays run in the usual environment.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from .paths import CHECKOUT, link_package

FOLDER = CHECKOUT / ".build" / "matrix"
LNBITS = ["1.4.0", "1.6.2"]
PYTHONS = ["3.10", "3.12"]
TESTS = ["tests/e2e", "tests/dropin"]


def main() -> int:
    """Run the tests in every combination and print one line for each."""
    parser = argparse.ArgumentParser(description="Run the tests on other versions.")
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--lnbits", nargs="+", default=LNBITS)
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("pytest", nargs="*", default=TESTS, help="goes to pytest")
    arguments = parser.parse_args()
    link_package()
    lines = []
    for lnbits in arguments.lnbits:
        for python in arguments.python:
            began = time.monotonic()
            result = _try(arguments.uv, lnbits, python, arguments.pytest)
            took = f"{time.monotonic() - began:.0f} s"
            lines.append(f"LNbits {lnbits}  Python {python}  {result}  ({took})")
            print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    return int(any("failed" in line or "error" in line for line in lines))


def _try(uv: str, lnbits: str, python: str, pytest: list[str]) -> str:
    environment = FOLDER / f"lnbits-{lnbits}-python-{python}"
    log = environment.with_suffix(f"{environment.suffix}.log")
    FOLDER.mkdir(parents=True, exist_ok=True)
    interpreter = str(environment / "bin" / "python")
    # LNbits needs bolt11, whose import fails with bitstring 5.
    needed = [f"lnbits=={lnbits}", "bitstring<5"]
    install = [uv, "pip", "install", "--python", interpreter, *needed]
    with log.open("w") as output:
        for command in (
            [
                uv,
                "venv",
                "--allow-existing",
                "--python",
                _interpreter(python),
                str(environment),
            ],
            install,
        ):
            if _run(command, output.fileno()):
                return f"error: not installed, see {log}"
        tests = [sys.executable, "-m", "pytest", *pytest]
        _run(tests, output.fileno(), NOSTRCLIENT_LNBITS_PYTHON=interpreter)
    counted = re.compile(r"^.*\d+ (?:passed|failed|error).*$", re.MULTILINE)
    summary = counted.findall(log.read_text())
    return summary[-1].strip("= ") if summary else f"error: no test ran, see {log}"


def _interpreter(python: str) -> str:
    """Return pyenv's newest Python of a version, or the version for uv to find."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob(f"{python}.*/bin/python"))
    return str(found[-1]) if found else python


def _run(command: list[str], output: int, **variables: str) -> int:
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
