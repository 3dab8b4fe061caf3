"""What every test run needs before the first test is imported.

The extension is imported as `nostrclient`, the name under which LNbits knows it,
through a link in an ignored folder. Importing it imports LNbits, which at once opens a
database in its data folder: here, one that is thrown away.
"""

import os
import shutil
import tempfile
from collections.abc import Generator

import pytest

from dev.paths import CHECKOUT, link_extension

link_extension(CHECKOUT / ".build" / "ext")
_LNBITS_DATA = tempfile.mkdtemp(prefix="nostrclient-tests-")
os.environ["LNBITS_DATA_FOLDER"] = _LNBITS_DATA

NO_SKIP = os.environ.get("NOSTRCLIENT_NO_SKIP") == "1"
"""Set where everything must run: a skipped test is a failed one there."""


def pytest_unconfigure() -> None:
    shutil.rmtree(_LNBITS_DATA, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> (
    Generator[None, pytest.TestReport, pytest.TestReport]
):
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report
