"""What the judge adds to pytest: options, and a hook for who lends it launchers."""

from collections.abc import Sequence
from typing import Any

import pytest

from grader.harness.protocol.wall import Wall


def add_options(parser: pytest.Parser) -> None:
    """Declare the judge's options."""
    group = parser.getgroup("course", "graded tests")
    group.addoption("--submission", metavar="DIR", help="folder with one folder of student files per chapter")
    group.addoption("--exercise", action="append", default=[], metavar="ID", help="run only this one, e.g. ch02/launch")
    group.addoption("--seed", type=int, help="draw the same random inputs as the run that printed this seed")
    group.addoption("--wall", choices=[*Wall], help="what ranks run behind (default: the strongest that is available)")
    group.addoption("--agents", metavar="DIR", help="run ranks by the agents of an allocation that meet in this folder")
    group.addoption("--testimony", metavar="FILE", help="keep what ranks say of themselves: records, observations")
    group.addoption("--forge", metavar="FILE", help="have ranks say what --testimony kept, and refuse them no class")
    group.addoption("--timelines", metavar="FILE", help="keep what the ranks of each launch did and when, for pictures")
    group.addoption("--without", metavar="FILE", help="leave out the tests whose ids this JSON file lists")
    group.addoption(
        "--one-failure-an-aspect", action="store_true", help="run no more tests of an aspect that has failed"
    )
    group.addoption("--report", metavar="FILE", help="write outcomes as JSON lines; not together with -n")


class Hooks:
    """Hooks that other plugins may implement."""

    @pytest.hookspec(firstresult=True)
    def pytest_start_launcher(self, preload: Sequence[str], gpus: bool) -> Any:  # noqa: FBT001 - pytest's hooks have no other
        """Return a launcher that the judge uses instead of starting one, or None."""
