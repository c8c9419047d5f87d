"""What of a submission is taken, and what is said about the rest."""

import hashlib
import os

import pytest

from grader.batch.intake import MAX_FILE_BYTES, MAX_LISTED, list_beside, take_chapter
from grader.batch.result import LeftOut, TakenFile
from grader.harness.outcome import Outcome


@pytest.fixture
def chapter(course):
    """Return the mini course's first chapter, whose files are arithmetic.py and tally.py."""
    return course.chapters[0]


def test_only_declared_files_are_taken(chapter, submit):
    """Tests, programs and whatever else lies there stay where they are, and are listed."""
    folder = submit("alice", {"tally.py": "x = 1\n", "conftest.py": "", "test_tally.py": "", "notes/idea.txt": ""})

    intake = take_chapter(chapter, folder)

    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    assert (TakenFile(file="tally.py", bytes=6, sha256=digest),) == intake.taken
    assert ["conftest.py", "notes", "test_tally.py"] == [left.path for left in intake.left_out]
    assert {"is not one of the chapter's files"} == {left.reason for left in intake.left_out}


def test_a_link_is_not_followed(chapter, submit):
    """A link could point to any file that the grader may read."""
    folder = submit("alice", {"arithmetic.py": ""})
    (folder / "tally.py").symlink_to("/etc/passwd")

    intake = take_chapter(chapter, folder)

    assert "tally.py is a link. Hand in the file itself." == intake.faults["tally.py"].explanation
    assert Outcome.FAILED is intake.faults["tally.py"].outcome
    assert (LeftOut(path="tally.py", reason="is a link"),) == intake.left_out


def test_a_pipe_does_not_block(chapter, submit):
    """Only regular files are opened for good; a named pipe would wait for a writer for ever."""
    folder = submit("alice", {"arithmetic.py": ""})
    os.mkfifo(folder / "tally.py")

    fault = take_chapter(chapter, folder).faults["tally.py"]

    assert "tally.py is not a regular file. Hand in a file of that name." == fault.explanation


def test_a_folder_in_a_files_place_is_no_file(chapter, submit):
    """A folder called tally.py is not read."""
    folder = submit("alice", {"tally.py/tally.py": ""})

    fault = take_chapter(chapter, folder).faults["tally.py"]

    assert "tally.py is not a regular file. Hand in a file of that name." == fault.explanation


def test_a_file_of_the_largest_size_is_taken_and_no_larger_one(chapter, submit):
    """The cap is 1 MiB for each file."""
    folder = submit("alice", {"arithmetic.py": b"#" * MAX_FILE_BYTES, "tally.py": b"#" * (MAX_FILE_BYTES + 1)})

    intake = take_chapter(chapter, folder)

    assert ["arithmetic.py"] == list(intake.contents)
    assert (
        "tally.py has 1048577 bytes, and at most 1048576 are taken. Remove what is not code and hand it in again."
        == intake.faults["tally.py"].explanation
    )


def test_a_long_list_of_strangers_is_cut(chapter, submit):
    """A submission of a thousand files makes no result of a thousand lines."""
    folder = submit("alice", {f"{number:04}.txt": "" for number in range(MAX_LISTED + 7)})

    intake = take_chapter(chapter, folder)

    assert LeftOut(path="...", reason="and 7 more") == intake.left_out[-1]
    assert MAX_LISTED + 1 == len(intake.left_out)


def test_names_that_cannot_be_printed_are_escaped(submit):
    """File names are bytes that students choose; a result is text."""
    folder = submit("alice", {})
    for name in (b"\xff.txt", b"\x1b[2J"):
        (folder / os.fsdecode(name)).touch()

    left_out = list_beside(folder, set())

    assert {"\\udcff.txt", "\\x1b[2J"} == {left.path for left in left_out}
