"""Which paths are submissions, and what they are called."""

import pytest

from course_env.errors import UsageError
from grader.batch.intake.find import find_submissions

FILE = "ch01_arithmetic/tally.py"


@pytest.fixture
def found(course):
    """Return the function that finds the submissions in paths, as pairs of file name and student."""

    def find(*paths):
        return [(each.name, each.student) for each in find_submissions(paths, course).submissions]

    return find


def test_submissions_are_sorted_by_name(found, submit):
    """Submissions come sorted by name, in whatever order they are given."""
    folders = [submit(name, {FILE: ""}) for name in ("carol", "alice", "Bob")]

    assert [("Bob", "Bob"), ("alice", "alice"), ("carol", "carol")] == found(*folders)


def test_a_chapters_folder_is_named_after_the_folder_it_lies_in(found, submit):
    """The folder `submitted/alice/ch01_arithmetic` is the submission `alice`."""
    assert [("alice", "alice")] == found(submit("alice", {FILE: ""}) / "ch01_arithmetic")


def test_two_submissions_of_one_name_are_told_and_the_rest_is_graded(course, submit):
    """All submissions that share a name are told at once; the others are graded."""
    alices = [submit(f"{day}/alice", {FILE: ""}) for day in ("monday", "tuesday")]
    bobs = [submit(f"{day}/bob", {FILE: ""}) for day in ("monday", "tuesday", "friday")]
    carol = submit("carol", {FILE: ""})

    hand_ins = find_submissions([*alices, *bobs, carol], course)

    rest = "Results are kept by name: rename one, or give the folder that holds both."
    assert ["carol"] == [submission.name for submission in hand_ins.submissions]
    assert (
        f"{alices[0]} and {alices[1]} are both the submission 'alice'. {rest}",
        f"{bobs[0]}, {bobs[1]} and {bobs[2]} are all the submission 'bob'. {rest}",
    ) == hand_ins.problems


def test_a_path_that_is_given_twice_counts_once(found, submit):
    """The same folder, written in two ways, is one submission."""
    folder = submit("alice", {FILE: ""})

    assert [("alice", "alice")] == found(folder, folder / ".." / "alice")


@pytest.mark.parametrize("name", ["José García", "s1234567", "ann-marie.o_neil+2@example.org", "김철수", "李小龙"])
def test_common_names_are_the_names_of_their_files(found, submit, name):
    """Names with letters of any script, spaces and common signs are accepted as they are."""
    assert [(name, name)] == found(submit(name, {FILE: ""}))


def test_what_is_no_folder_and_no_archive_is_told_and_the_rest_is_graded(course, submit, tmp_path):
    """Any other file, and a path that does not exist, is told; the rest is graded."""
    alice = submit("alice", {FILE: "", "notes.txt": ""})
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    hand_ins = find_submissions([alice, alice / "notes.txt", tmp_path / "bob.zip", tmp_path / "dangling"], course)

    assert ["alice"] == [submission.name for submission in hand_ins.submissions]
    assert (
        f"{alice}/notes.txt is no folder and no archive.",
        f"{tmp_path}/bob.zip does not exist.",
        f"{tmp_path}/dangling is no folder and no archive.",
    ) == hand_ins.problems


def test_where_nothing_is_a_submission_the_command_says_what_one_is(course, submit, tmp_path):
    """If nothing can be graded, all reasons are told, and what a submission is."""
    file = submit("alice", {"alice.txt": ""}) / "alice.txt"

    with pytest.raises(UsageError) as raised:
        find_submissions([file, tmp_path / "bob.zip"], course)

    assert (
        f"{file} is no folder and no archive. {tmp_path}/bob.zip does not exist. "
        "A submission is a folder that holds chNN_name/<files>, or an archive of one "
        "(.zip .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz). Nothing was graded."
    ) == str(raised.value)


@pytest.mark.parametrize(
    "name", ["__MACOSX", "desktop.ini", ".DS_Store", "Thumbs.db", "._alice.zip", "@eaDir", "~$alice.zip"]
)
def test_what_systems_write_among_submissions_is_no_student(course, submit, name):
    """What a desktop or an archiver writes by itself is skipped, and the note names it."""
    alice = submit("alice", {FILE: ""})
    clutter = alice.parent / name
    clutter.mkdir() if name in {"__MACOSX", "@eaDir"} else clutter.touch()

    hand_ins = find_submissions([alice, clutter], course)

    assert ["alice"] == [submission.name for submission in hand_ins.submissions]
    assert ((name,), ()) == (hand_ins.clutter, hand_ins.problems)


@pytest.mark.parametrize("file", ["alice.zip", "alice.tar", "alice.TAR.GZ", "alice.tgz", "alice.rar"])
def test_an_archive_is_named_after_its_student(found, submit, file):
    """An archive's suffix is not part of the name, even if archives of that kind are not read."""
    assert [("alice", "alice")] == found(submit("week1", {file: b""}) / file)


def test_a_chapters_archive_is_named_after_the_folder_it_lies_in(found, submit):
    """The archive `submitted/alice/ch01_arithmetic.zip` is the submission `alice`, as the folder of that name would be."""
    assert [("alice", "alice")] == found(submit("alice", {"ch01_arithmetic.zip": b""}) / "ch01_arithmetic.zip")


def test_a_folder_and_an_archive_of_one_name_are_refused(course, submit):
    """A folder and an archive of one name are refused, because either may be meant."""
    folder = submit("alice", {FILE: ""})
    (folder.parent / "alice.zip").write_bytes(b"")

    with pytest.raises(UsageError, match="are both the submission 'alice'"):
        find_submissions([folder, folder.parent / "alice.zip"], course)


def test_a_link_on_the_command_line_is_followed_and_keeps_its_name(found, submit):
    """A link on the command line is followed, and the submission has the link's name."""
    folder = submit("upload-81723", {FILE: ""})
    (folder.parent / "alice").symlink_to(folder)

    assert [("alice", "alice")] == found(folder.parent / "alice")
