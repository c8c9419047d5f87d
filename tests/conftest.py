"""Which tests share a worker, and which may be skipped."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOGETHER = ("slurm",)
"""Folders whose tests share one cluster, and so one worker."""


def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one worker, for they share fixtures, as do those of the folders in TOGETHER."""
    for item in items:
        if item.path.is_relative_to(HERE):
            path = item.path.relative_to(HERE)
            item.add_marker(pytest.mark.xdist_group(path.parts[0] if path.parts[0] in TOGETHER else str(path)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Turn skips into a failure where CI=true, unless they need a GPU: CI installs all that the others need."""
    every = session.config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    skipped = [report for report in every if "gpu" not in report.keywords]
    if os.environ.get("CI") == "true" and skipped and exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            print(f"\nskipped in CI: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
