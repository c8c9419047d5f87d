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
    """Submissions come sorted by name, in whatever order they are given."""
    folders = [submit(name, {FILE: ""}) for name in ("carol", "alice", "Bob")]

    assert ["Bob", "alice", "carol"] == [submission.name for submission in find_submissions(folders, course)]


def test_a_chapters_folder_is_named_after_the_folder_it_lies_in(course, submit):
    """The folder `submitted/alice/ch01_arithmetic` is the submission `alice`."""
    folder = submit("alice", {FILE: ""}) / "ch01_arithmetic"

    (submission,) = find_submissions([folder], course)

    assert "alice" == submission.name
    assert {"ch01_arithmetic": {"tally.py"}} == names_found(submission, course)


def test_two_submissions_of_one_name_are_refused(course, submit):
    """Two submissions of one name are refused, because results are kept by name."""
    one, other = submit("monday/alice", {FILE: ""}), submit("tuesday/alice", {FILE: ""})

    with pytest.raises(UsageError) as raised:
        find_submissions([one, other], course)

    assert (
        f"{other} and {one} are both the submission 'alice'. Results are kept by name: rename one, "
        "or give the folder that holds both. Nothing was graded."
    ) == str(raised.value)


@pytest.mark.parametrize("name", ["-rf", ".hidden", "a\nb", "a:b", "x" * 201])
def test_a_name_that_is_not_safe_as_a_file_name_is_refused(course, submit, name):
    """A name is refused if it is not safe as a file name or to print."""
    folder = submit(name, {FILE: ""})

    with pytest.raises(UsageError, match="is not safe as a file name"):
        find_submissions([folder], course)


@pytest.mark.parametrize("name", ["José García", "s1234567", "ann-marie.o_neil+2@example.org"])
def test_names_of_people_are_accepted(course, submit, name):
    """Names with letters of any script, spaces and common signs are accepted."""
    assert name == find_submissions([submit(name, {FILE: ""})], course)[0].name


def test_what_is_no_folder_and_no_archive_is_refused(course, submit, tmp_path):
    """Any other file, and a path that does not exist, is refused before anything is graded."""
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
    """An archive's suffix is not part of the name, even if archives of that kind are not read."""
    folder = submit("week1", {file: b""})

    assert "alice" == find_submissions([folder / file], course)[0].name


def test_a_chapters_archive_is_named_after_the_folder_it_lies_in(course, submit):
    """The archive `submitted/alice/ch01_arithmetic.zip` is the submission `alice`, as the folder of that name would be."""
    folder = submit("alice", {"ch01_arithmetic.zip": b""})

    assert "alice" == find_submissions([folder / "ch01_arithmetic.zip"], course)[0].name


def test_a_folder_and_an_archive_of_one_name_are_refused(course, submit):
    """A folder and an archive of one name are refused, because either may be meant."""
    folder = submit("alice", {FILE: ""})
    (folder.parent / "alice.zip").write_bytes(b"")

    with pytest.raises(UsageError, match="are both the submission 'alice'"):
        find_submissions([folder, folder.parent / "alice.zip"], course)


def test_a_link_on_the_command_line_is_followed_and_keeps_its_name(course, submit):
    """A link on the command line is followed, and the submission has the link's name."""
    folder = submit("upload-81723", {FILE: ""})
    (folder.parent / "alice").symlink_to(folder)

    (submission,) = find_submissions([folder.parent / "alice"], course)

    assert "alice" == submission.name
    assert {"ch01_arithmetic": {"tally.py"}} == names_found(submission, course)


def test_files_that_fit_two_chapters_are_not_guessed(course, submit):
    """Files without a chapter's folder are not taken if two chapters have files of that name."""
    (submission,) = find_submissions([submit("alice", {"tally.py": "", "cipher.py": ""})], course)

    found = find_chapters(submission, course)

    assert {} == found.folders
    assert "The files could be those of ch01_arithmetic and ch02_text: put them into folders so named." == found.problem


def test_a_linked_chapter_is_not_followed(course, submit):
    """A chapter that is a link is refused, because it could point to somebody else's work."""
    alice = submit("alice", {FILE: ""})
    mallory = submit("mallory", {})
    (mallory / "ch01_arithmetic").symlink_to(alice / "ch01_arithmetic")

    (submission,) = find_submissions([mallory], course)

    found = find_chapters(submission, course)
    assert {} == found.folders
    assert "ch01_arithmetic is a link. Hand in what it points to." == found.problem


def test_a_link_on_the_way_to_a_chapter_is_not_followed(course, submit):
    """A link called `assignments` is not followed, because it could point to the solutions."""
    mallory = submit("mallory", {})
    (mallory / "assignments").symlink_to(course.root / "solutions")

    found = find_chapters(find_submissions([mallory], course)[0], course)

    assert {} == found.folders
    assert "The submission holds only assignments (is a link)." == found.problem


def test_a_folder_that_becomes_a_link_is_not_followed(course, submit):
    """A link that replaces a folder after the listing is not followed."""
    alice = submit("alice", {FILE: "secret"})
    mallory = submit("mallory", {FILE: ""})
    entries = find_chapters(find_submissions([mallory], course)[0], course).folders["ch01_arithmetic"].entries()
    (mallory / FILE).unlink()
    (mallory / "ch01_arithmetic").rmdir()
    (mallory / "ch01_arithmetic").symlink_to(alice / "ch01_arithmetic")

    with pytest.raises(RefusedError, match="cannot be read: Too many levels of symbolic links"):
        entries["tally.py"].read()


def test_a_chapter_with_a_double_is_not_guessed(course, submit):
    """Two chapter folders that differ only by case are both refused, because either may be meant."""
    folder = submit("alice", {FILE: "", "Ch01_Arithmetic/tally.py": "", "ch02_text/cipher.py": ""})

    found = find_chapters(find_submissions([folder], course)[0], course)

    assert ["ch02_text"] == list(found.folders)
    assert (
        "ch01_arithmetic has a double: 'Ch01_Arithmetic' differs only by case or by Unicode form. "
        "Keep one of the two, named ch01_arithmetic." == found.problem
    )


def test_a_chapter_of_another_case_is_named(course, submit):
    """A folder whose name differs only by case is named, with what to rename it to."""
    folder = submit("alice", {"CH01_ARITHMETIC/tally.py": "", "ch02_text/cipher.py": ""})

    found = find_chapters(find_submissions([folder], course)[0], course)

    assert "There is a 'CH01_ARITHMETIC': rename it to ch01_arithmetic." == found.problem


def test_one_folder_round_everything_is_looked_through(course, submit):
    """A chapter is found in one more folder, as tools that pack or unpack add it."""
    folder = submit("alice", {"homework/" + FILE: "", "__MACOSX/x": "", ".DS_Store": ""})

    assert {"ch01_arithmetic": {"tally.py"}} == names_found(find_submissions([folder], course)[0], course)


def test_an_archive_in_a_folder_is_not_opened_and_that_is_said(course, submit):
    """The message names an archive that is alone in a submission's folder, and says that it was not opened."""
    folder = submit("alice", {"homework.zip": b"PK"})

    found = find_chapters(find_submissions([folder], course)[0], course)

    assert (
        "The submission holds only homework.zip (is an archive inside the submission, and those are not opened)."
        == found.problem
    )


def test_a_huge_folder_is_refused(course, submit):
    """A folder with too many entries is refused without listing all of them."""
    folder = submit("alice", {FILE: ""})
    for number in range(MAX_ENTRIES):
        (folder / str(number)).touch()

    found = find_chapters(find_submissions([folder], course)[0], course)

    assert "alice holds more than 10000 entries. Hand in the chapters' folders and nothing else." == found.problem


def test_a_folder_without_read_permission_is_said(course, submit, monkeypatch):
    """The message says that the folder cannot be read, and why."""
    (submission,) = find_submissions([submit("alice", {FILE: ""})], course)

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root

    assert "alice cannot be read: Permission denied. Hand it in again." == find_chapters(submission, course).problem
