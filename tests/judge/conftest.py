"""A course of one chapter that a test writes itself, and the judge run on it as a person would."""

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from grader.course.judging.report import Record

PYPROJECT = """
[tool.pytest]
strict = true
addopts = ["--import-mode=importlib", "-p", "no:cacheprovider"]
pythonpath = ["."]
"""

DECLARATION = """
title = "Sums"
needs = {needs}
timeout_s = 5
imports = []

[[exercises]]
id = "add"
title = "Add"
file = "sums.py"
symbols = ["add"]
points = 10
source = "Euclid"
hints = ["a", "b"]

[[exercises]]
id = "double"
title = "Double"
file = "sums.py"
symbols = ["double"]
points = 10
source = "Euclid"
hints = ["a", "b"]
"""

SOLUTION = """
def add(a, b):
    return a + b

def double(a):
    return a * 2
"""

PROGRAMS = """
def double(student, a):
    return {"y": student.double(a)}
"""


@dataclass
class Course:
    """A course in a folder."""

    root: Path

    @property
    def chapter(self) -> Path:
        """The folder of its only chapter."""
        return self.root / "assignments/ch01_sums"

    def write(self, tests: str, *, student: str = SOLUTION, needs: str = "[]") -> None:
        """Write the course with these public tests and this student file."""
        self.chapter.mkdir(parents=True, exist_ok=True)
        files = {
            "assignment.toml": DECLARATION.format(needs=needs),
            "programs.py": PROGRAMS,
            "sums.py": student,
            "test_sums.py": "import pytest\nfrom assignments.ch01_sums import programs\nfrom grader.harness import exercise\n"
            + textwrap.dedent(tests),
        }
        for name, text in files.items():
            (self.chapter / name).write_text(textwrap.dedent(text))
        (self.root / "pyproject.toml").write_text(PYPROJECT)

    def judge(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the judge on the course."""
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=60, check=False)

    def report(self, *arguments: str) -> list[dict]:
        """Run the judge and return the events of its report, but for the beginnings of tests.

        Of a test that has finished they have every field of its record.
        """
        path = self.root / "report.jsonl"
        self.judge("--report", str(path), *arguments)
        events = [json.loads(line) for line in path.read_text().splitlines()]
        return [_with_all_fields(event) for event in events if event["event"] != "began"]


def _with_all_fields(event: dict) -> dict:
    if event["event"] != "finished":
        return event
    record = msgspec.structs.asdict(msgspec.convert(event["record"], Record))
    return {"event": "finished", **json.loads(json.dumps(record))}


@pytest.fixture
def course(tmp_path):
    """A course that the test writes."""
    return Course(tmp_path)
