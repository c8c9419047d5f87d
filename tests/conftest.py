"""In CI a test that is skipped has failed, unless it needs a GPU: CI installs all that the others need."""

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Turn skips into a failure where CI=true."""
    every = session.config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    skipped = [report for report in every if "gpu" not in report.keywords]
    if os.environ.get("CI") == "true" and skipped and exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            print(f"\nskipped in CI: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
