"""Commands run in a copy of the mini course, as a person would type them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.cli.course import __main__ as course
from grader.cli.grade import __main__ as grade

TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Shown:
    """What a command left on the screen."""

    code: int
    out: str
    err: str


Command = Callable[..., Shown]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a copy of the mini course."""
    ignored = shutil.ignore_patterns("__pycache__")
    copy = Path(shutil.copytree(TESTS / "mini_course", tmp_path / "course", ignore=ignored))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a golden submission."""
    ignored = shutil.ignore_patterns("expected.json")

    def copy(case: str) -> Path:
        source = TESTS / "batch" / "submissions" / case
        return Path(shutil.copytree(source, tmp_path / "submitted" / case, ignore=ignored))

    return copy


@pytest.fixture
def run_course(root: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the `course` command."""
    return lambda *arguments: _run(course.main, arguments, capsys)


@pytest.fixture
def run_grade(root: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the `grade` command; what it grades is our own, so a machine without a wall will do."""

    def run(*arguments: object) -> Shown:
        trust = ["--trust-submissions"] if arguments[0] == "run" else []
        return _run(grade.main, [*arguments, *trust], capsys)

    return run


def _run(main: Callable[[list[str]], int], arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> Shown:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # how argparse ends
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return Shown(code=code, out=captured.out, err=captured.err)


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment for commands that are run as processes, free of this pytest's settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
