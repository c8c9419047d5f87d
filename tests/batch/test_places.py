"""Where in a hand-in the chapters are found, however it was wrapped and packed."""

import errno
import io
import os
import zipfile

import pytest

from grader.batch.intake.listing import LeftOut
from grader.batch.intake.places import MAX_ARCHIVES, find_chapters
from grader.batch.intake.read import read_hand_in
from grader.batch.intake.tree import MAX_ENTRIES, MAX_FILE_BYTES, RefusedError, folder_on_disk

CHAPTER = "ch01_arithmetic"
FILE = f"{CHAPTER}/tally.py"
OTHER = "ch02_text/cipher.py"


@pytest.fixture
def read(course, submit):
    """Return the function that reads both chapters of a submission of these files."""
    return lambda files: read_hand_in(submit("alice", files), course.chapters, course.chapters)


def why(files):
    """Return what the student reads about a chapter of which nothing was taken."""
    assert {} == files.contents
    (explanation,) = {fault.explanation for fault in files.faults.values()}
    return explanation.split(". ", 1)[1].partition(" Expected: ")[0]


def zipped(*names, content="x = 1"):
    """Return a zip file of files with these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "wrapper",
    ["", "hw2/", "assignments/", "2023123/homework/", "repo/assignments/", "a/b/c/d/", "a/b/c/assignments/"],
)
@pytest.mark.parametrize(
    "beside", [(), ("README.md", ".vscode/settings.json", ".git/config", "__MACOSX/x", ".DS_Store", "notes/idea.txt")]
)
def test_a_chapter_is_found_in_its_wrappers_whatever_lies_beside_them(read, wrapper, beside):
    """Up to four folders around a chapter, and anything beside each, do not hide it, and the place is told."""
    first, _ = read({f"{wrapper}{FILE}": "x = 1", **dict.fromkeys(beside, "")})

    assert {"tally.py": b"x = 1"} == first.contents
    assert f"{wrapper}{CHAPTER}/" == first.found_in


def test_what_lies_beside_chapter_and_wrappers_is_listed(read):
    """Everything that is not on the way to a chapter is listed with its path."""
    first, _ = read({f"hw/{FILE}": "", "hw/notes.txt": "", ".vscode/x": "", "README.md": "", "__MACOSX/x": ""})

    reason = "is not one of the chapters to grade"
    assert (
        tuple(LeftOut(path=path, reason=reason) for path in (".vscode", "README.md", "hw/notes.txt")) == first.left_out
    )


def test_chapters_in_different_wrappers_are_all_found(read):
    """Each chapter may lie in a folder of its own."""
    first, second = read({f"week1/{FILE}": "x = 1", f"week2/{OTHER}": "y = 2"})

    assert ({"tally.py": b"x = 1"}, {"cipher.py": b"y = 2"}) == (first.contents, second.contents)
    assert (f"week1/{CHAPTER}/", "week2/ch02_text/") == (first.found_in, second.found_in)


def test_the_least_deep_of_two_places_counts(read):
    """A copy of a chapter deeper down does not matter, nor does an empty folder of its name."""
    first, second = read({FILE: "x = 1", f"old/{FILE}": "x = 2", "ch02_text/x/y": "", f"ch02_text/{OTHER}": "y = 2"})

    assert ({"tally.py": b"x = 1"}, {"cipher.py": b"y = 2"}) == (first.contents, second.contents)


def test_two_places_of_equal_depth_are_not_guessed(read):
    """If a chapter lies in two folders side by side, both are named."""
    first, _ = read({f"new/{FILE}": "x = 1", f"old/{FILE}": "x = 2"})

    assert f"Both new/{CHAPTER}/ and old/{CHAPTER}/ hold its files: keep one of the two." == why(first)


def test_files_in_a_folder_of_any_name_are_found(read):
    """Files of one chapter are found without the chapter's folder."""
    first, _ = read({"hw2/week3/tally.py": "x = 1", "README.md": ""})

    assert ({"tally.py": b"x = 1"}, "hw2/week3/") == (first.contents, first.found_in)


def test_files_that_fit_two_chapters_are_not_guessed(read):
    """Files without a chapter's folder are not taken if two chapters have files of that name."""
    for files in read({"tally.py": "", "cipher.py": ""}):
        told = "The files could be those of ch01_arithmetic and ch02_text: put them into folders so named."
        assert told == why(files)


@pytest.mark.parametrize("archive", ["hw.zip", "2023-11-12/hw.zip", "ch01_arithmetic.zip"])
@pytest.mark.parametrize("inside", [FILE, f"hw/{FILE}", "tally.py"])
def test_an_archive_inside_a_folder_is_opened(read, archive, inside):
    """An archive in a student's folder is opened if the chapter is not beside it, and the place is told."""
    first, _ = read({archive: zipped(inside), "note.txt": ""})

    assert {"tally.py": b"x = 1"} == first.contents
    assert f"{archive}/{inside.removesuffix('tally.py')}" == first.found_in


def test_an_archive_for_each_chapter_is_opened(read):
    """Each chapter may be in an archive of its own."""
    first, second = read({"ch01_arithmetic.zip": zipped("tally.py"), "ch02_text.zip": zipped("ch02_text/cipher.py")})

    assert ({"tally.py"}, {"cipher.py"}) == (set(first.contents), set(second.contents))
    assert () == first.left_out


def test_an_archive_in_an_archive_is_opened_and_none_deeper(course, tmp_path):
    """One archive in another is opened; the next one is not."""
    for depth, expected in ((1, {"tally.py": b"x = 1"}), (2, {})):
        content = zipped(FILE)
        for number in range(depth):
            content = zipped(f"inner{number}.zip", content=content)
        (tmp_path / "alice.zip").write_bytes(content)

        first, _ = read_hand_in(tmp_path / "alice.zip", course.chapters, course.chapters)

        assert expected == first.contents


def test_an_archive_beside_the_chapters_is_not_opened(read):
    """Where all chapters are found, an archive is listed as not opened."""
    first, _ = read({FILE: "x = 1", OTHER: "", "old.zip": zipped(FILE)})

    assert {"tally.py": b"x = 1"} == first.contents
    assert (
        LeftOut(path="old.zip", reason="is an archive inside the submission, and was not opened"),
    ) == first.left_out


def test_archives_that_cannot_be_used_are_told(read):
    """The list says of each archive that was opened why nothing was taken from it."""
    first, _ = read({"a.zip": b"PK", "b.zip": zipped("x.txt"), "c.rar": b"Rar!"})

    assert {
        "a.zip": "is damaged, or no archive of the kind that its name says",
        "b.zip": "is an archive in which nothing was found that is to be graded",
        "c.rar": "is an archive of a kind that is not read",
    } == {left.path: left.reason for left in first.left_out}
    assert "a.zip (is damaged" in why(first)


def test_many_archives_inside_are_not_all_opened(read):
    """A hundred archives cost no more than a few."""
    first, _ = read({f"{number:03}.zip": b"PK" for number in range(100)})

    assert MAX_ARCHIVES == sum("damaged" in left.reason for left in first.left_out)


def test_a_linked_chapter_is_not_followed(read, submit, course):
    """A chapter that is a link is refused, because it could point to somebody else's work."""
    mallory = submit("mallory", {})
    (mallory / CHAPTER).symlink_to(submit("bob", {FILE: ""}) / CHAPTER)

    first, _ = read_hand_in(mallory, course.chapters, course.chapters)

    assert "ch01_arithmetic is a link. Hand in what it points to." == why(first)


def test_a_link_on_the_way_to_a_chapter_is_not_followed(course, submit):
    """A link called `assignments` is not followed, because it could point to the solutions."""
    mallory = submit("mallory", {})
    (mallory / "assignments").symlink_to(course.root / "solutions")

    first, _ = read_hand_in(mallory, course.chapters, course.chapters)

    assert "The submission holds only assignments (is a link)." == why(first)


def test_a_folder_that_becomes_a_link_is_not_followed(course, submit):
    """A link that replaces a folder after the listing is not followed."""
    alice = submit("alice", {FILE: "secret"})
    mallory = submit("mallory", {FILE: ""})
    found = find_chapters(folder_on_disk(mallory), course.chapters, course.chapters)
    entries = found.places[CHAPTER].folder.entries()
    (mallory / FILE).unlink()
    (mallory / CHAPTER).rmdir()
    (mallory / CHAPTER).symlink_to(alice / CHAPTER)

    with pytest.raises(RefusedError, match="cannot be read: Too many levels of symbolic links"):
        entries["tally.py"].read(MAX_FILE_BYTES)


def test_a_chapter_with_a_double_is_not_guessed(read):
    """Two chapter folders that differ only by case are both refused, because either may be meant."""
    first, second = read({FILE: "", "Ch01_Arithmetic/tally.py": "", OTHER: ""})

    assert {"cipher.py"} == set(second.contents)
    assert (
        "ch01_arithmetic has a double: 'Ch01_Arithmetic' differs only by case or by Unicode form. "
        "Keep one of the two, named ch01_arithmetic." == why(first)
    )


@pytest.mark.parametrize("name", ["CH01_ARITHMETIC", "ch01", "hw/ch01-arithmetic"])
def test_a_chapters_folder_of_another_name_is_named(read, name):
    """A folder that seems to be meant is named, with its path and what to rename it to."""
    first, _ = read({f"{name}/tally.py": "", OTHER: ""})

    assert f"The submission holds only ch02_text. Rename {name}/ to ch01_arithmetic/." == why(first)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("hw2/tally.ipynb", "hw2/tally.ipynb is a notebook, and notebooks are not graded: save its code as tally.py "),
        (".tally.py.icloud", ".tally.py.icloud is a placeholder without content: open it where the file really is, "),
        ("x/tally.py.txt", "There is a 'x/tally.py.txt': rename it."),
        ("ch02_text/tally.py", "There is a ch02_text/tally.py: put it into ch01_arithmetic/."),
    ],
)
def test_where_something_like_a_chapter_was_seen_is_told(read, path, told):
    """The message names the path of what looks like one of the chapter's files, and says what to do about it."""
    first, _ = read({path: "", OTHER: ""})

    assert told in why(first)


def test_a_long_list_of_what_was_seen_is_cut(read):
    """Only the first few places are named."""
    first, _ = read({f"{number}/tally.ipynb": "" for number in range(20)})

    assert 3 == why(first).count("is a notebook")
    assert why(first).endswith("There are 17 more like that.")


def test_a_file_that_lies_elsewhere_is_told(read):
    """If a file is not in its chapter's folder, the message says where it is."""
    first, _ = read({FILE: "", "drafts/arithmetic.py": ""})

    told = (
        "arithmetic.py is missing in ch01_arithmetic/. There is a drafts/arithmetic.py: put it into ch01_arithmetic/."
    )
    assert told == first.faults["arithmetic.py"].explanation


def test_folders_without_end_are_not_all_looked_through(submit, course, monkeypatch):
    """Of a hand-in of thousands of folders only so many are listed."""
    folder = submit("alice", {})
    for number in range(3000):
        (folder / str(number)).mkdir()
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))

    read_hand_in(folder, course.chapters, course.chapters)

    assert len(listed) <= 1000


def test_a_huge_folder_is_refused(read):
    """A folder with too many entries is refused without listing all of them."""
    first, _ = read({str(number): "" for number in range(MAX_ENTRIES + 1)})

    assert "alice holds more than 10000 entries. Hand in the chapters' folders and nothing else." == why(first)


def test_a_folder_without_read_permission_is_said(course, submit, monkeypatch):
    """The message says that the folder cannot be read, and why."""
    folder = submit("alice", {FILE: ""})

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root

    first, _ = read_hand_in(folder, course.chapters, course.chapters)

    assert "alice cannot be read: Permission denied. Hand it in again." == why(first)
