"""Which folders are submissions, and what they are called."""

import errno
import os

import pytest

from course_env.errors import UsageError
from grader.batch.intake.find import find_chapters, find_submissions
from grader.batch.intake.tree import MAX_ENTRIES, RefusedError

FILE = "ch01_arithmetic/tally.py"


def names_found(submission, course):
    """Return the names in each chapter's folder."""
    return {chapter: set(folder.entries()) for chapter, folder in find_chapters(submission, course).folders.items()}


def test_submissions_are_sorted_by_name(course, submit):
    """The order on the command line does not matter."""
    folders = [submit(name, {FILE: ""}) for name in ("carol", "alice", "Bob")]

    assert ["Bob", "alice", "carol"] == [submission.name for submission in find_submissions(folders, course)]


def test_a_chapters_folder_is_named_after_the_folder_it_lies_in(course, submit):
    """`submitted/alice/ch01_arithmetic` is Alice's."""
    folder = submit("alice", {FILE: ""}) / "ch01_arithmetic"

    (submission,) = find_submissions([folder], course)

    assert "alice" == submission.name
    assert {"ch01_arithmetic": {"tally.py"}} == names_found(submission, course)


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


def test_what_is_no_folder_and_no_archive_is_refused(course, submit, tmp_path):
    """Any other file, or a path that does not exist, is a slip of the person who types."""
    file = submit("alice", {"alice.txt": ""}) / "alice.txt"

    with pytest.raises(UsageError) as of_file:
        find_submissions([file], course)
    with pytest.raises(UsageError) as of_nothing:
        find_submissions([tmp_path / "bob.zip"], course)

    assert (
        f"{file} is no folder and no archive. A submission is a folder that holds chNN_name/<files>, or an archive of one "
        "(.zip .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz). Nothing was graded."
    ) == str(of_file.value)
    assert str(of_nothing.value).startswith(f"{tmp_path / 'bob.zip'} does not exist. A submission is")


@pytest.mark.parametrize("file", ["alice.zip", "alice.tar", "alice.TAR.GZ", "alice.tgz", "alice.rar"])
def test_an_archive_is_named_after_its_student(course, submit, file):
    """The suffix is no part of a name, also where the archive will turn out to be of a kind that is not read."""
    folder = submit("week1", {file: b""})

    assert "alice" == find_submissions([folder / file], course)[0].name


def test_a_chapters_archive_is_named_after_the_folder_it_lies_in(course, submit):
    """`submitted/alice/ch01_arithmetic.zip` is Alice's, as the folder of that name would be."""
    folder = submit("alice", {"ch01_arithmetic.zip": b""})

    assert "alice" == find_submissions([folder / "ch01_arithmetic.zip"], course)[0].name


def test_a_folder_and_an_archive_of_one_name_are_refused(course, submit):
    """Which of the two Alice means is not guessed."""
    folder = submit("alice", {FILE: ""})
    (folder.parent / "alice.zip").write_bytes(b"")

    with pytest.raises(UsageError, match="are both the submission 'alice'"):
        find_submissions([folder, folder.parent / "alice.zip"], course)


def test_a_link_on_the_command_line_is_followed_and_keeps_its_name(course, submit):
    """Who types a path means what lies there; the student is called what the link is called."""
    folder = submit("upload-81723", {FILE: ""})
    (folder.parent / "alice").symlink_to(folder)

    (submission,) = find_submissions([folder.parent / "alice"], course)

    assert "alice" == submission.name
    assert {"ch01_arithmetic": {"tally.py"}} == names_found(submission, course)


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

    layout = find_chapters(submission, course)
    assert {} == layout.folders
    assert "ch01_arithmetic is a link. Hand in what it points to." == layout.problem


def test_a_link_on_the_way_to_a_chapter_is_not_followed(course, submit):
    """A link called `assignments` could show the solutions, which are laid out like them."""
    mallory = submit("mallory", {})
    (mallory / "assignments").symlink_to(course.root / "solutions")

    layout = find_chapters(find_submissions([mallory], course)[0], course)

    assert {} == layout.folders
    assert "The submission holds only assignments (is a link)." == layout.problem


def test_a_folder_that_becomes_a_link_is_not_followed(course, submit):
    """Whoever may write to a submission may swap a folder after it was looked at."""
    alice = submit("alice", {FILE: "secret"})
    mallory = submit("mallory", {FILE: ""})
    entries = find_chapters(find_submissions([mallory], course)[0], course).folders["ch01_arithmetic"].entries()
    (mallory / FILE).unlink()
    (mallory / "ch01_arithmetic").rmdir()
    (mallory / "ch01_arithmetic").symlink_to(alice / "ch01_arithmetic")

    with pytest.raises(RefusedError, match="cannot be read: Too many levels of symbolic links"):
        entries["tally.py"].read()


def test_a_chapter_with_a_double_is_not_guessed(course, submit):
    """Where case does not count the two would be one folder, and which of them was meant nobody knows."""
    folder = submit("alice", {FILE: "", "Ch01_Arithmetic/tally.py": "", "ch02_text/cipher.py": ""})

    layout = find_chapters(find_submissions([folder], course)[0], course)

    assert ["ch02_text"] == list(layout.folders)
    assert (
        "ch01_arithmetic has a double: 'Ch01_Arithmetic' differs only by case or by Unicode form. "
        "Keep one of the two, named ch01_arithmetic." == layout.problem
    )


def test_a_chapter_of_another_case_is_named(course, submit):
    """A student whose file system ignores case reads what to rename."""
    folder = submit("alice", {"CH01_ARITHMETIC/tally.py": "", "ch02_text/cipher.py": ""})

    layout = find_chapters(find_submissions([folder], course)[0], course)

    assert "There is a 'CH01_ARITHMETIC': rename it to ch01_arithmetic." == layout.problem


def test_one_folder_round_everything_is_looked_through(course, submit):
    """Tools put one more folder round what they pack or unpack."""
    folder = submit("alice", {"homework/" + FILE: "", "__MACOSX/x": "", ".DS_Store": ""})

    assert {"ch01_arithmetic": {"tally.py"}} == names_found(find_submissions([folder], course)[0], course)


def test_an_archive_in_a_folder_is_not_opened_and_that_is_said(course, submit):
    """Course platforms hand out a folder for each student with the archive in it."""
    folder = submit("alice", {"homework.zip": b"PK"})

    layout = find_chapters(find_submissions([folder], course)[0], course)

    assert (
        "The submission holds only homework.zip (is an archive inside the submission, and those are not opened)."
        == layout.problem
    )


def test_a_huge_folder_is_refused(course, submit):
    """A folder is listed only as far as one looks at it."""
    folder = submit("alice", {FILE: ""})
    for number in range(MAX_ENTRIES):
        (folder / str(number)).touch()

    layout = find_chapters(find_submissions([folder], course)[0], course)

    assert "alice holds more than 10000 entries. Hand in the chapters' folders and nothing else." == layout.problem


def test_a_folder_without_read_permission_is_said(course, submit, monkeypatch):
    """The student, or who copied the submission, reads what is wrong."""
    (submission,) = find_submissions([submit("alice", {FILE: ""})], course)

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root

    assert "alice cannot be read: Permission denied. Hand it in again." == find_chapters(submission, course).problem
