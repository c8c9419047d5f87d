"""The mini course, submissions to it, and batches that grade them."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from grader.batch.batch import Batch, plan_batch
from grader.batch.intake.find import find_submissions
from grader.batch.result import SubmissionResult
from grader.batch.workers import grade_all
from grader.cluster import rounds
from grader.course.catalog import Course, load_course
from grader.harness.protocol.wall import Wall
from tests.batch.fake_executors import CASES

TESTS = Path(__file__).parent.parent
SUBMISSIONS = TESTS / "batch" / "submissions"

Submit = Callable[[str, Mapping[str, str | bytes]], Path]
GradeClass = Callable[..., dict[str, SubmissionResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a copy of the mini course."""
    return _copy_course(tmp_path)


def _copy_course(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(TESTS / "mini_course", folder / "course", ignore=ignored))


def _copy_golden(case: str, folder: Path) -> Path:
    ignored = shutil.ignore_patterns("expected.json")
    return Path(shutil.copytree(SUBMISSIONS / case, folder / "submitted" / case, ignore=ignored))


@pytest.fixture
def course(root: Path) -> Course:
    """Return the copy's catalog."""
    return load_course(root)


@pytest.fixture
def batch(course: Course, tmp_path: Path) -> Batch:
    """Return a batch over the first chapter."""
    return plan_batch(course, course.chapters[:1], seed=7, wall=Wall.NONE, out=tmp_path / "out")


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Write a submission's files and return its folder."""

    def write(name: str, files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path / "submitted" / name
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return write


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a golden submission, without what is expected of it."""
    return lambda case: _copy_golden(case, tmp_path)


def grade(batch: Batch, *folders: Path, workers: int = 2, resume: bool = False) -> dict[str, SubmissionResult]:
    """Grade folders and return the results by name."""
    submissions = find_submissions(folders, batch.course).submissions
    graded = grade_all(submissions, batch, workers=workers, resume=resume, tell=lambda _submission, _done: None)
    return {done.submission.name: done.result for done in graded}


@pytest.fixture
def grade_class() -> GradeClass:
    """Return the function that grades folders in a batch."""
    return grade


@pytest.fixture(scope="session")
def graded_golden(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Return a batch that has graded every golden submission, for tests that only look at the results."""
    folder = tmp_path_factory.mktemp("golden")
    course = load_course(_copy_course(folder))
    batch = plan_batch(course, course.chapters[:1], seed=7, wall=Wall.NONE, out=folder / "out")
    grade(batch, *(_copy_golden(case.parent.name, folder) for case in SUBMISSIONS.glob("*/expected.json")))
    return batch


@pytest.fixture
def quick(monkeypatch) -> None:
    """Have a dispatch look at its jobs all the time."""
    monkeypatch.setattr(rounds, "POLL_S", 0.01)
    monkeypatch.setattr(rounds, "GATHER_S", 0.05)


@pytest.fixture
def class_(course, golden, tmp_path):
    """Return the submissions in `fake_executors.CASES`, and a batch that grades them."""
    submissions = find_submissions([golden(case) for case in CASES], course).submissions
    return submissions, plan_batch(course, course.chapters[:1], seed=7, wall=Wall.NONE, out=tmp_path / "out")
