"""The catalog: what it reads, and what it says about a declaration that is wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from course_env.errors import CatalogError, UsageError
from grader.course.catalog import Course, find_root, load_course

Edit = Callable[[str, str, str], None]

TOML = "assignments/ch01_arithmetic/assignment.toml"


def test_chapters_and_exercises_come_in_their_order(course: Course) -> None:
    """Chapters are ordered by number, exercises as in the file."""
    arithmetic, text = course.chapters

    assert [arithmetic.id, text.id] == ["ch01_arithmetic", "ch02_text"]
    assert [exercise.id for exercise in arithmetic.exercises] == ["gcd", "sieve", "tally"]
    assert (arithmetic.title, arithmetic.needs, arithmetic.timeout_s) == ("Arithmetic", (), 5.0)


def test_all_else_is_computed_from_the_declaration(course: Course) -> None:
    """Files, points, number and the solution's folder are declared nowhere."""
    arithmetic = course.chapters[0]

    assert arithmetic.files == ("arithmetic.py", "tally.py")
    assert arithmetic.points == 15
    assert (arithmetic.short, arithmetic.number) == ("ch01", 1)
    assert arithmetic.solution == course.root / "solutions" / "ch01_arithmetic"
    assert [exercise.id for exercise in arithmetic.exercises_in("arithmetic.py")] == ["gcd", "sieve"]


def test_root_is_found_from_any_folder_inside(root: Path) -> None:
    """The nearest folder with assignments/ and pyproject.toml is the course."""
    assert find_root(root / "assignments" / "ch01_arithmetic") == root
    assert find_root(root) == root


def test_outside_any_course_the_error_says_where_to_go(tmp_path: Path) -> None:
    """Without a course above, the error says what one looks like."""
    with pytest.raises(UsageError) as error:
        find_root(tmp_path)

    assert str(error.value) == (
        f"No course at or above {tmp_path.resolve()}: a course's folder holds 'assignments/' and 'pyproject.toml'. "
        "Change to the folder of the course and try again."
    )


@pytest.mark.parametrize("name", ["ch01", "ch01_arithmetic", "ch01_a"])
def test_a_chapter_is_found_by_id_or_prefix(course: Course, name: str) -> None:
    """The full id and every unambiguous beginning of it name a chapter."""
    assert course.chapter(name).id == "ch01_arithmetic"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ch20", "'ch20' is no chapter of this course. Known: ch01, ch02. Did you mean 'ch02'?"),
        (
            "ch02_txt",
            "'ch02_txt' is no chapter of this course. Known: ch01_arithmetic, ch02_text. Did you mean 'ch02_text'?",
        ),
        ("ch0", "'ch0' is short for 2 chapters. Known: ch01, ch02. Did you mean 'ch02'?"),
        (
            "ch01/sive",
            "Chapter ch01_arithmetic has no exercise 'sive'. Known: gcd, sieve, tally. Did you mean 'sieve'?",
        ),
        ("", "'' is no chapter of this course. Known: ch01, ch02."),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(course: Course, name: str, message: str) -> None:
    """The error lists what there is and suggests what was meant."""
    with pytest.raises(UsageError) as error:
        course.select([name])

    assert str(error.value) == message


def test_select_merges_names_into_the_course_s_order(course: Course) -> None:
    """However names are given and repeated, each exercise comes once, in the course's order."""
    selected = course.select(["ch02", "ch01/tally", "ch01/gcd", "ch01/gcd"])

    assert [(chapter.short, exercise.id) for chapter, exercise in selected] == [
        ("ch01", "gcd"),
        ("ch01", "tally"),
        ("ch02", "caesar"),
    ]


def test_select_without_names_is_everything(course: Course) -> None:
    """No name means the whole course."""
    assert [exercise.id for _, exercise in course.select([])] == ["gcd", "sieve", "tally", "caesar"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points = 4", "pionts = 4", "exercise 'gcd': unknown key 'pionts'. Known: file, hints, id, points, source, symbols, title. Did you mean 'points'?"),
        ("timeout_s", "timeouts", "unknown key 'timeouts'. Known: exercises, imports, needs, timeout_s, title. Did you mean 'timeout_s'?"),
        ("points = 4\n", "", "exercise 'gcd': the key 'points' is missing. Add it; all of these are needed: id, title, file, symbols, points, source, hints."),
        ('id = "gcd"\n', "", "exercise number 1: the key 'id' is missing. Add it; all of these are needed: id, title, file, symbols, points, source, hints."),
        ("points = 4", 'points = "4"', "exercise 'gcd': the key 'points' has the wrong type: expected int, got str."),
        ('symbols = ["gcd"]', "symbols = [1]", "exercise 'gcd': the key 'symbols[0]' has the wrong type: expected str, got int."),
        ("points = 4", "points = true", "exercise 'gcd': the key 'points' has the wrong type: expected int, got bool."),
        ("points = 4", "points = 0", "exercise 'gcd': points is 0. An exercise is worth at least 1 point."),
        ('id = "sieve"', 'id = "gcd"', "two exercises have the id 'gcd'. Rename one of the two."),
        ('id = "gcd"', 'id = "Great CD"', "exercise 'Great CD': the id must be lower-case letters, digits and underscores, because people type it."),
        ('file = "tally.py"', 'file = "src/tally.py"', "exercise 'tally': file is 'src/tally.py'. Give the bare name of a Python file in the chapter's folder, like 'ring.py'."),
        ('file = "tally.py"', 'file = "test_tally.py"', "exercise 'tally': file is 'test_tally.py', a name that belongs to the course's own code. Choose another."),
        ('file = "tally.py"', 'file = "conftest.py"', "exercise 'tally': file is 'conftest.py', a name that belongs to the course's own code. Choose another."),
        ('file = "tally.py"', 'file = "programs.py"', "exercise 'tally': file is 'programs.py', a name that belongs to the course's own code. Choose another."),
        ('file = "tally.py"', 'file = "programs_tally.py"', "exercise 'tally': file is 'programs_tally.py', a name that belongs to the course's own code. Choose another."),
        ('file = "tally.py"', 'file = "references_tally.py"', "exercise 'tally': file is 'references_tally.py', a name that belongs to the course's own code. Choose another."),
        ('symbols = ["Tally"]', "symbols = []", "exercise 'tally': symbols is empty. Name the functions and classes that the student fills in."),
        ('symbols = ["Tally"]', 'symbols = ["Tally.add"]', "exercise 'tally': 'Tally.add' in symbols is no Python name. Name what tally.py defines at top level."),
        ('symbols = ["gcd"]', 'symbols = ["is_prime"]', "exercises 'gcd' and 'sieve' both claim is_prime of arithmetic.py. One symbol belongs to one exercise."),
        ("needs = []", 'needs = ["torhc"]', "needs holds 'torhc', which no machine can offer. Known: deepspeed, gpu, torch. Did you mean 'torch'?"),
        ("timeout_s = 5", "timeout_s = 0", "timeout_s is 0. A launch needs more than 0 seconds."),
        ('hints = ["Cross out the multiples of each number that is not crossed out."]', "hints = []", "exercise 'sieve': hints is empty. Write at least one."),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_named_with_what_to_do(root: Path, edit: Edit, old: str, new: str, message: str) -> None:
    """The error about a wrong declaration gives the file, the exercise, the fault and what to do."""
    edit(TOML, old, new)

    with pytest.raises(CatalogError) as error:
        load_course(root)

    assert str(error.value) == f"{TOML}: {message}"


def test_text_that_is_not_toml_is_located(root: Path, edit: Edit) -> None:
    """The error about text that is not TOML gives the parser's line and column."""
    edit(TOML, "needs = []", "needs = [")

    with pytest.raises(CatalogError, match=r"assignment.toml is not valid TOML: .*line"):
        load_course(root)


def test_a_chapter_without_a_declaration_is_an_error(root: Path) -> None:
    """A folder that looks like a chapter is never passed over in silence."""
    (root / "assignments" / "ch03_empty").mkdir()

    with pytest.raises(CatalogError, match=r"assignments/ch03_empty/assignment\.toml is missing"):
        load_course(root)


def test_two_chapters_cannot_have_one_number(root: Path) -> None:
    """`ch02` must name one chapter."""
    (root / "assignments" / "ch02_text").rename(root / "assignments" / "ch01_text")

    with pytest.raises(CatalogError) as error:
        load_course(root)

    assert str(error.value) == "assignments/ch01_text: number ch01 is taken by ch01_arithmetic. Rename one of the two."


def test_a_folder_with_a_wrong_name_is_an_error(root: Path) -> None:
    """A chapter's number has two digits, so that folders sort."""
    (root / "assignments" / "ch02_text").rename(root / "assignments" / "ch2-text")

    with pytest.raises(CatalogError, match="a chapter's folder is named like 'ch02_name'"):
        load_course(root)


def test_reading_the_catalog_imports_neither_torch_nor_pytest() -> None:
    """Commands start at once, because the catalog loads nothing heavy."""
    code = "import sys, grader.course.catalog; print(sorted({'torch', 'pytest', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
