"""What every test run needs before the first test is imported.

The extension is imported as `nostrclient`, the name under which LNbits knows it,
through a link in an ignored folder. Importing it imports LNbits, which at once opens a
database in its data folder: here, one that is thrown away.
"""

import importlib
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from dev.paths import CHECKOUT, link_package

link_package()
importlib.invalidate_caches()  # the folder may be newer than the search path
_LNBITS_DATA = tempfile.mkdtemp(prefix="nostrclient-tests-")
os.environ["LNBITS_DATA_FOLDER"] = _LNBITS_DATA

_LONGEST_FIRST = {
    name: place
    for place, name in enumerate(
        (
            "test_upgrade.py",
            "test_instances.py",
            "test_admin_page.py",
            "test_hostile_load.py",
            "test_soak.py",
            "test_live.py",
            "test_databases.py",
            "test_cards.py",
            "test_whole_page.py",
            "test_make_run.py",
            "test_release.py",
            "test_clients.py",
            "test_second_process.py",
            "test_a_endpoints.py",
            "test_f_safety.py",
            "test_lnbits.py",
            "test_openapi.py",
            "test_bench.py",
            "test_a5_information.py",
        )
    )
}

NO_SKIP = os.environ.get("NOSTRCLIENT_NO_SKIP") == "1"
"""Set where everything must run: a skipped test is a failed one there."""


class _CheckoutIsNoPackage:
    """Keeps pytest from importing the root's __init__.py under its folder's name."""

    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        if path == CHECKOUT:
            return pytest.Dir.from_parent(parent, path=path)
        return None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_CheckoutIsNoPackage())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files go to workers in this order: one that takes minutes must not be the last.
    items.sort(key=lambda item: _LONGEST_FIRST.get(item.path.name, len(_LONGEST_FIRST)))


def pytest_unconfigure() -> None:
    shutil.rmtree(_LNBITS_DATA, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> (
    Generator[None, pytest.TestReport, pytest.TestReport]
):
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> (
    Generator[None, pytest.CollectReport, pytest.CollectReport]
):
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
