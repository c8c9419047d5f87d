"""The digest changes with every file that has a say in a chapter's score, and with no other."""

import shutil

import pytest

from grader.batch.digest import COURSE_ENV, course_digest
from grader.course.catalog import load_course

A, S = "assignments/ch01_arithmetic", "solutions/ch01_arithmetic"


@pytest.fixture
def digest(root, tmp_path):
    """Take the digest of the first chapter of a copy of the course, with a copy of course_env."""
    shutil.copytree(COURSE_ENV, tmp_path / "course" / "course_env")
    (root / A / "references_tally.py").write_text("")
    return lambda: course_digest(load_course(root).chapter("ch01"), shared=root / "course_env")


@pytest.mark.parametrize(
    "file",
    [
        *(f"{A}/assignment.toml", f"{A}/programs.py", f"{A}/references_tally.py", f"{A}/test_tally.py"),
        *(f"{S}/test_tally_hidden.py", f"{S}/programs_hidden.py", "course_env/rank_programs.py"),
    ],
)
def test_what_grades_is_in_the_digest(digest, root, file):
    """Declaration, programs, references and tests of both sides, and what they import from course_env."""
    before = digest()
    with (root / file).open("a") as opened:
        opened.write("\n# changed\n")

    assert before != digest()


@pytest.mark.parametrize(
    "file", [f"{A}/tally.py", f"{S}/tally.py", f"{A}/README.md", "assignments/ch02_text/test_cipher.py"]
)
def test_what_grades_nothing_is_not(digest, root, file):
    """Stubs, solutions, texts and other chapters decide no score of this one."""
    before = digest()
    (root / file).write_text("# changed\n")

    assert before == digest()


def test_a_new_file_is_in_the_digest(digest, root):
    """Whatever it holds, it may change what is imported."""
    before = digest()
    (root / A / "references.py").write_text("")

    assert before != digest()
