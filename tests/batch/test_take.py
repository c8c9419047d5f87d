"""What is taken of a submission, and what the result says about the rest."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.batch.intake.listing import LeftOut, TakenFile
from grader.batch.intake.take import MAX_LISTED, ChapterFiles, list_left_out, take_chapter
from grader.batch.intake.tree import MAX_ENTRIES, MAX_FILE_BYTES, RefusedError, folder_on_disk
from grader.harness.outcome import Outcome


@pytest.fixture
def chapter(course):
    """Return the mini course's first chapter, whose files are arithmetic.py and tally.py."""
    return course.chapters[0]


@pytest.fixture
def take(chapter) -> Callable[[Path], ChapterFiles]:
    """Return the function that takes the chapter from a folder."""
    return lambda folder: take_chapter(chapter, folder_on_disk(folder))


def test_only_declared_files_are_taken(take, submit):
    """Files that the chapter does not declare, such as tests and programs, are not taken, and are listed."""
    folder = submit("alice", {"tally.py": "x = 1\n", "conftest.py": "", "test_tally.py": "", "notes/idea.txt": ""})

    intake = take(folder)

    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    assert (TakenFile(file="tally.py", bytes=6, sha256=digest),) == intake.taken
    assert ["conftest.py", "notes", "test_tally.py"] == [left.path for left in intake.left_out]
    assert {"is not one of the chapter's files"} == {left.reason for left in intake.left_out}


def test_a_link_is_not_followed(take, submit):
    """A link is refused, because it could point to any file that the grader may read."""
    folder = submit("alice", {"arithmetic.py": ""})
    (folder / "tally.py").symlink_to("/etc/passwd")

    intake = take(folder)

    assert "tally.py is a link. Hand in what it points to." == intake.faults["tally.py"].explanation
    assert Outcome.FAILED is intake.faults["tally.py"].outcome
    assert (LeftOut(path="tally.py", reason="is a link"),) == intake.left_out


def test_a_pipe_does_not_block(take, submit):
    """A named pipe is refused without waiting for a writer."""
    folder = submit("alice", {"arithmetic.py": ""})
    os.mkfifo(folder / "tally.py")

    fault = take(folder).faults["tally.py"]

    assert "tally.py is not a regular file. Hand in a file of that name." == fault.explanation


def test_a_folder_in_a_files_place_is_no_file(take, submit):
    """A folder with the name of a file is refused."""
    folder = submit("alice", {"tally.py/tally.py": ""})

    fault = take(folder).faults["tally.py"]

    assert "tally.py is not a regular file. Hand in a file of that name." == fault.explanation


def test_a_file_of_the_largest_size_is_taken_and_no_larger_one(take, submit):
    """The cap is 1 MiB for each file."""
    folder = submit("alice", {"arithmetic.py": b"#" * MAX_FILE_BYTES, "tally.py": b"#" * (MAX_FILE_BYTES + 1)})

    intake = take(folder)

    assert ["arithmetic.py"] == list(intake.contents)
    assert (
        "tally.py has 1048577 bytes, and at most 1048576 are taken. Remove what is not code and hand it in again."
        == intake.faults["tally.py"].explanation
    )


def test_a_long_list_of_strangers_is_cut(take, submit):
    """Only the first files of a long list are named, with the number of the others."""
    folder = submit("alice", {f"{number:04}.txt": "" for number in range(MAX_LISTED + 7)})

    intake = take(folder)

    assert LeftOut(path="...", reason="and 7 more") == intake.left_out[-1]
    assert MAX_LISTED + 1 == len(intake.left_out)


def test_a_file_with_a_double_is_not_guessed(take, submit):
    """Two files that differ only by case are both refused, because either may be meant."""
    intake = take(submit("alice", {"arithmetic.py": "", "tally.py": "x = 1", "Tally.py": "x = 2"}))

    fault = "has a double: 'Tally.py' differs only by case or by Unicode form"
    assert f"tally.py {fault}. Keep one of the two, named tally.py." == intake.faults["tally.py"].explanation
    assert LeftOut(path="tally.py", reason=fault) in intake.left_out
    assert ["arithmetic.py"] == list(intake.contents)


@pytest.mark.parametrize("name", ["TALLY.PY", "\uff54ally.py", "tally.py.txt"])
def test_a_name_that_is_nearly_right_is_named(take, submit, name):
    """The message names a file that differs from the missing one by case, a full-width letter or an editor's suffix."""
    intake = take(submit("alice", {"arithmetic.py": "", name: ""}))

    assert intake.faults["tally.py"].explanation.endswith(f"There is a '{name}': rename it.")


@pytest.mark.parametrize("name", ["Tally.py", "tally (1).py", "tally copy.py", "tally.py.txt", "tally.txt", "tally"])
def test_a_file_of_nearly_the_right_name_is_to_be_renamed(take, submit, name):
    """What programs and people add to a name is recognised; the file is not taken, because there may be a newer one."""
    assert take(submit("alice", {name: ""})).faults["tally.py"].explanation.endswith(f"There is a '{name}': rename it.")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tally.ipynb", "is a notebook, and notebooks are not graded: save its code as tally.py "),
        (".tally.py.icloud", "is a placeholder without content: open it where the file really is, download it, "),
        ("tally.py.gdoc", "is a placeholder without content: "),
        ("tally.py.crdownload", "is an unfinished download: download it again, and hand in tally.py"),
        ("~$tally.py", "was written by an editor while your file was open, and is not your file: save it there, "),
        (".tally.py.swp", "was written by an editor while your file was open, and is not your file: "),
        ("tally.py~", "is a copy that a program made before it changed your file: hand in tally.py itself"),
        ("tally.cpython-311.pyc", "is compiled, and only source is graded: hand in tally.py"),
        ("tally.docx", "is a document, and only Python source is graded: copy the code into a plain text file, "),
        ("tally.py.zip", "is an archive: unpack it, and hand in tally.py"),
        ("tally.json", "is no Python source by its name: hand in tally.py"),
    ],
)
def test_what_cannot_be_renamed_is_called_what_it_is(take, submit, name, advice):
    """For a file that is no source, the message says what it is and what to hand in, and never to rename it."""
    explanation = take(submit("alice", {name: ""})).faults["tally.py"].explanation

    assert f"tally.py is missing: the submission has no such file. {name} {advice}" in explanation
    assert "rename" not in explanation


def test_the_courses_own_files_are_no_misspelled_files(take, submit):
    """A test that lies beside where the file should be is not taken for it."""
    intake = take(submit("alice", {"test_tally.py": "", "programs_tally.py": "", "references_tally.py": ""}))

    assert intake.faults["tally.py"].explanation.endswith("Hand in all files: arithmetic.py, tally.py.")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"x = '\xff'", "is not UTF-8 text: byte 0xff at position 5. Save it as UTF-8 and hand it in again."),
        (
            "x = 1".encode("utf-16"),
            "is not UTF-8 text: byte 0xff at position 0. Save it as UTF-8 and hand it in again.",
        ),
        ("x = 1".encode("utf-16-le"), "is not text: a NUL byte at position 1. Save it as UTF-8 and hand it in again."),
    ],
)
def test_text_is_utf8(take, submit, content, fault):
    """A file that is not UTF-8 text is refused, and the message says where."""
    assert f"tally.py {fault}" == take(submit("alice", {"tally.py": content})).faults["tally.py"].explanation


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"# coding: latin-1\n", "iso-8859-1"),
        (b"#!/usr/bin/python\n# vim: fileencoding=utf-7 :\n+AHg-", "utf-7"),
        (b"# coding: klingon\n", "one that Python does not know"),
    ],
)
def test_a_declared_encoding_is_utf8_too(take, submit, content, encoding):
    """A file that declares another encoding is refused, because Python would read another text than a person does."""
    assert (
        f"tally.py declares another encoding than UTF-8 in its first two lines: {encoding}. "
        "Remove that comment, save the file as UTF-8 and hand it in again."
    ) == take(submit("alice", {"tally.py": content})).faults["tally.py"].explanation


@pytest.mark.parametrize(
    "content", ["x = 1".encode("utf-8-sig"), b"# -*- coding: utf-8 -*-\r\n", b"# coding: ascii\n", "x = 'é한'".encode()]
)
def test_all_that_python_reads_as_utf8_is_taken(take, submit, content):
    """A byte order mark and Windows line ends are accepted."""
    assert content == take(submit("alice", {"tally.py": content})).contents["tally.py"]


def test_a_file_that_changes_while_it_is_read_is_refused(take, submit, monkeypatch):
    """A file that changes while it is read is refused, because it could be half of each version."""
    folder = submit("alice", {"tally.py": "x = 1"})
    entry = folder_on_disk(folder).entries()["tally.py"]
    fdopen = os.fdopen

    def fdopen_and_write(*args, **kwargs):
        (folder / "tally.py").write_text("x = 1\ny = 2")
        return fdopen(*args, **kwargs)

    monkeypatch.setattr(os, "fdopen", fdopen_and_write)

    with pytest.raises(RefusedError, match=r"changed while it was read\. Hand it in again\."):
        entry.read(MAX_FILE_BYTES)


def test_a_pipe_that_takes_a_files_place_does_not_block(submit):
    """A pipe that replaces a file after the listing is refused without waiting for a writer."""
    folder = submit("alice", {"tally.py": ""})
    entry = folder_on_disk(folder).entries()["tally.py"]
    (folder / "tally.py").unlink()
    os.mkfifo(folder / "tally.py")

    with pytest.raises(RefusedError, match="is not a regular file"):
        entry.read(MAX_FILE_BYTES)


def test_a_file_without_read_permission_is_said(submit, monkeypatch):
    """The message says that the file cannot be read, and why."""
    entry = folder_on_disk(submit("alice", {"tally.py": ""})).entries()["tally.py"]

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root

    with pytest.raises(RefusedError, match=r"cannot be read: Permission denied\. Hand it in again\."):
        entry.read(MAX_FILE_BYTES)


def test_a_huge_folder_is_refused(take, submit):
    """A folder with too many entries is refused without listing all of them."""
    folder = submit("alice", {"tally.py": ""})
    for number in range(MAX_ENTRIES):
        (folder / str(number)).touch()

    assert "alice/ holds more than 10000 entries." in take(folder).faults["tally.py"].explanation


def test_what_a_desktop_wrote_by_itself_is_not_listed(take, submit):
    """Files that a desktop writes by itself are not listed as left out."""
    clutter = {"__MACOSX/._tally.py": b"", ".DS_Store": b"", "._tally.py": b"", "Thumbs.db": b""}

    assert () == take(submit("alice", {"tally.py": "", **clutter})).left_out


def test_archives_inside_are_not_opened(take, submit):
    """The list says that an archive inside a submission was not opened."""
    (left,) = take(submit("alice", {"tally.py": "", "more.zip": b"PK"})).left_out

    assert LeftOut(path="more.zip", reason="is an archive inside the submission, and was not opened") == left


def test_long_names_are_cut(submit):
    """A name of any length is cut to a fixed length."""
    folder = submit("alice", {"n" * 255: ""})

    assert "n" * 200 + "..." == list_left_out(folder_on_disk(folder).entries(), "")[0].path


def test_names_that_cannot_be_printed_are_escaped(submit):
    """File names that are no text are escaped, because a result is text."""
    folder = submit("alice", {})
    for name in (b"\xff.txt", b"\x1b[2J"):
        (folder / os.fsdecode(name)).touch()

    left_out = list_left_out(folder_on_disk(folder).entries(), "")

    assert {"\\udcff.txt", "\\x1b[2J"} == {left.path for left in left_out}
