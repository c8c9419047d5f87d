"""Which folders are submissions, and what they are called."""

import pytest

from course_env.errors import UsageError
from grader.batch.submission import find_chapters, find_submissions

FILE = "ch01_arithmetic/tally.py"


def test_submissions_are_sorted_by_name(course, submit):
    """The order on the command line does not matter."""
    folders = [submit(name, {FILE: ""}) for name in ("carol", "alice", "Bob")]

    assert ["Bob", "alice", "carol"] == [submission.name for submission in find_submissions(folders, course)]


def test_a_chapters_folder_is_named_after_the_folder_it_lies_in(course, submit):
    """`submitted/alice/ch01_arithmetic` is Alice's."""
    folder = submit("alice", {FILE: ""}) / "ch01_arithmetic"

    (submission,) = find_submissions([folder], course)

    assert "alice" == submission.name
    assert {"ch01_arithmetic": folder} == find_chapters(submission, course).folders


def test_two_submissions_of_one_name_are_refused(course, submit):
    """Results are kept by name, so one of the two would be lost."""
    one, other = submit("monday/alice", {FILE: ""}), submit("tuesday/alice", {FILE: ""})

    with pytest.raises(UsageError) as raised:
        find_submissions([one, other], course)

    assert (
        f"{other} and {one} are both the submission 'alice'. Results are kept by name: rename one, "
        "or give the folder that holds both. Nothing was graded."
    ) == str(raised.value)


@pytest.mark.parametrize("name", ["-rf", ".hidden", "a\nb", "a:b", "x" * 201])
def test_a_name_that_is_not_safe_as_a_file_name_is_refused(course, submit, name):
    """A name is a file's name, and is printed."""
    folder = submit(name, {FILE: ""})

    with pytest.raises(UsageError, match="is not safe as a file name"):
        find_submissions([folder], course)


@pytest.mark.parametrize("name", ["José García", "s1234567", "ann-marie.o_neil+2@example.org"])
def test_names_of_people_are_accepted(course, submit, name):
    """Students are called what they are called."""
    assert name == find_submissions([submit(name, {FILE: ""})], course)[0].name


def test_what_is_no_folder_is_refused(course, submit, tmp_path):
    """A file or a path that does not exist is a slip of the person who types."""
    file = submit("alice", {"alice.zip": b"PK"}) / "alice.zip"
    expected = "A submission is a folder that holds chNN_name/<files>. Nothing was graded."

    with pytest.raises(UsageError) as of_file:
        find_submissions([file], course)
    with pytest.raises(UsageError) as of_nothing:
        find_submissions([tmp_path / "bob"], course)

    assert f"{file} is no folder. {expected}" == str(of_file.value)
    assert f"{tmp_path / 'bob'} does not exist. {expected}" == str(of_nothing.value)


def test_files_that_fit_two_chapters_are_not_guessed(course, submit):
    """Files that lie flat belong to a chapter only if they can be no other's."""
    (submission,) = find_submissions([submit("alice", {"tally.py": "", "cipher.py": ""})], course)

    layout = find_chapters(submission, course)

    assert {} == layout.folders
    assert (
        "The files could be those of ch01_arithmetic and ch02_text: put them into folders so named." == layout.problem
    )


def test_a_linked_chapter_is_not_followed(course, submit):
    """A link could show somebody else's work."""
    alice = submit("alice", {FILE: ""})
    mallory = submit("mallory", {})
    (mallory / "ch01_arithmetic").symlink_to(alice / "ch01_arithmetic")

    (submission,) = find_submissions([mallory], course)

    assert {} == find_chapters(submission, course).folders
