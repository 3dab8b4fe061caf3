"""A short run of `make soak`."""

import subprocess
import sys

import pytest

from dev.paths import CHECKOUT

SECONDS = "20"


@pytest.mark.timeout(400)
def test_e8_c3_d2_soak_loses_nothing_and_repeats_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dev.soak", "--seconds", SECONDS],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    print(run.stdout)  # noqa: T201  # pytest shows it where the run failed
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
