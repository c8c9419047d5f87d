"""The `course` command, as a student meets it."""

import io
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from grader.cli.course.doctor import _print
from grader.doctor.machine import Finding

WRONG_GCD = """
def gcd(a, b):
    return b


def primes_below(limit):
    raise NotImplementedError("TODO(sieve)")


def is_prime(number):
    raise NotImplementedError("TODO(sieve)")
"""


def solve(root, chapter="ch01_arithmetic", file="arithmetic.py"):
    """Put a solution where the student's file is."""
    shutil.copy(root / "solutions" / chapter / file, root / "assignments" / chapter / file)


def test_list_shows_every_exercise_with_its_points(run_course):
    """Before the first check, `course list` shows each exercise with its points, and nothing is earned."""
    shown = run_course("list")

    assert 0 == shown.code
    assert "ch01  Arithmetic   0 of 15 points" in shown.out
    assert ["gcd", "-", "/", "4", "The", "greatest", "common", "divisor", "not", "checked", "yet"] in [
        line.split() for line in shown.out.splitlines()
    ]


def test_list_imports_no_torch(root, environment):
    """`course list`, the command that people type most, does not wait for torch."""
    code = "import sys; from grader.cli.course.__main__ import main; main(['list']); sys.exit('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, check=False)

    assert 0 == done.returncode, done.stderr


def test_check_of_a_stub_says_what_to_do_next(run_course):
    """For a stub, `course check` explains no failure: it names the file and the TODO in it."""
    shown = run_course("check", "ch01/gcd")

    assert 1 == shown.code
    assert "· ch01/gcd" in shown.out
    assert "0 / 4    not attempted (0 of 4 tests passed)" in shown.out
    assert (
        "Next:  fill in TODO(gcd) in assignments/ch01_arithmetic/arithmetic.py, then: course check ch01/gcd"
        in shown.out
    )


def test_check_explains_the_first_failure_and_names_the_others(run_course, root):
    """`course check` explains the first failing test in full, gives each other one a line, and ends with what to type."""
    (root / "assignments/ch01_arithmetic/arithmetic.py").write_text(WRONG_GCD)

    shown = run_course("check", "ch01/gcd", "--seed", "17")

    lines = shown.out.splitlines()
    assert 1 == shown.code
    assert lines[0].startswith("✗ ch01/gcd ")
    assert lines[0].endswith("0 / 4    failed (0 of 4 tests passed)")
    assert "      The result is the largest number that divides both." == lines[1]
    assert "      test_gcd_is_the_greatest_common_divisor[12-18]" == lines[2]
    assert "      This does not hold: student.gcd(a, b) == math.gcd(a, b) (a = 12, b = 18)." == lines[3]
    assert 1 == sum("test_gcd_with_zero_is_the_other_number: This does not hold: " in line for line in lines)
    assert "Score so far: 0 of 4, by the public tests. Seed 17." in lines
    assert ["Again: course check ch01/gcd --seed 17", "Hint:  course hint ch01/gcd"] == lines[-2:]


def test_check_of_a_solved_chapter_passes(run_course, root):
    """A chapter in which every test passes is exit code 0."""
    solve(root, "ch02_text", "cipher.py")

    shown = run_course("check", "ch02")

    assert 0 == shown.code
    assert "✓ ch02/caesar                    1 / 1    passed (2 of 2 tests passed)" in shown.out
    assert "Score so far: 1 of 1, by the public tests." in shown.out


def test_check_runs_no_hidden_test(run_course, root):
    """`course check` gives students and staff the same score, because it runs public tests only."""
    (root / "solutions/ch02_text/test_cipher_hidden.py").write_text("import nothing_of_that_name\n")
    solve(root, "ch02_text", "cipher.py")

    assert 0 == run_course("check", "ch02").code


def test_list_remembers_the_last_check_until_the_file_is_edited(run_course, root):
    """`course list` shows the last check's score, and says so when the file was edited afterwards."""
    solve(root, "ch02_text", "cipher.py")
    run_course("check", "ch02")

    before = run_course("list").out
    with (root / "assignments/ch02_text/cipher.py").open("a") as file:
        file.write("# an idea\n")
    after = run_course("list").out

    assert "ch02  Text   1 of 1 points" in before
    assert "edited since" not in before
    assert "passed, edited since" in after


def test_a_broken_progress_file_counts_as_empty(run_course, root):
    """A progress file that cannot be read counts as empty, because no grade depends on it."""
    (root / "out").mkdir()
    (root / "out/progress.json").write_text("{")

    assert 0 == run_course("list").code


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ch9", "'ch9' is no chapter of this course. Known: ch01, ch02."),
        (
            "ch01_arithmatic",
            "'ch01_arithmatic' is no chapter of this course. Known: ch01_arithmetic, ch02_text. Did you mean 'ch01_arithmetic'?",
        ),
        (
            "ch01/gdc",
            "Chapter ch01_arithmetic has no exercise 'gdc'. Known: gcd, sieve, tally. Did you mean 'gcd'?",
        ),
    ],
)
@pytest.mark.parametrize("command", ["check", "hint", "reset"])
def test_an_unknown_name_is_answered_with_the_nearest(run_course, command, name, message):
    """An unknown chapter or exercise is a usage error that lists the known names and suggests the nearest."""
    shown = run_course(command, name)

    assert (2, "") == (shown.code, shown.out)
    assert message == shown.err.strip()


def test_outside_a_course_the_folder_is_named(run_course, tmp_path, monkeypatch):
    """In a folder that is no course, the error names the folder and says what a course's folder holds."""
    monkeypatch.chdir(tmp_path)

    shown = run_course("list")

    assert 2 == shown.code
    assert (
        f"No course at or above {tmp_path}: a course's folder holds 'assignments/' and 'pyproject.toml'." in shown.err
    )


def test_tests_that_cannot_be_collected_are_the_courses_fault(run_course, root):
    """Tests that cannot be imported end `course check` with exit code 3 and the judge's last lines."""
    (root / "assignments/ch02_text/test_cipher.py").write_text("import nothing_of_that_name\n")

    shown = run_course("check", "ch02")

    assert 3 == shown.code
    assert "The course's tests cannot be collected. The last lines it printed:" in shown.err
    assert "nothing_of_that_name" in shown.err


def test_hints_come_one_at_a_time(run_course):
    """The first hint is shown at once, each --more shows one more, and what was shown stays shown."""
    first = run_course("hint", "ch01/gcd").out
    second = run_course("hint", "ch01/gcd", "--more").out
    again = run_course("hint", "ch01/gcd").out
    beyond = run_course("hint", "ch01/gcd", "--more").out

    assert "Hint 1 of 2: Which common divisors" in first
    assert "Hint 2" not in first
    assert "One more: course hint ch01/gcd --more" in first
    assert "Hint 2 of 2: Repeat (a, b) -> (b, a % b) until b is 0." in second
    assert "That was the last one. The source may help: Euclid" in second
    assert second == again == beyond


def test_a_hint_for_a_whole_chapter_asks_which(run_course):
    """`course hint` of a chapter is a usage error that lists the chapter's exercises."""
    shown = run_course("hint", "ch01")

    assert 2 == shown.code
    assert (
        "'ch01' is a whole chapter. Name one of its exercises: ch01/gcd, ch01/sieve, ch01/tally." == shown.err.strip()
    )


def test_reset_puts_the_stub_back_and_keeps_a_backup(run_course, root):
    """`course reset` writes the stub again and keeps what the student wrote in a backup."""
    folder = root / "assignments/ch01_arithmetic"
    stub = (folder / "arithmetic.py").read_text()
    (folder / "arithmetic.py").write_text(WRONG_GCD)

    shown = run_course("reset", "ch01/gcd", "--yes")

    (backup,) = folder.glob("arithmetic.py.bak-*")
    assert 0 == shown.code
    assert stub == (folder / "arithmetic.py").read_text()
    assert WRONG_GCD == backup.read_text()
    assert (
        "assignments/ch01_arithmetic/arithmetic.py (exercises gcd, sieve) will be as it was released. "
        "Your version is kept as a backup." in shown.out
    )
    assert f"Your version is kept as assignments/ch01_arithmetic/{backup.name}." in shown.out


def test_two_resets_in_one_second_keep_two_backups(run_course, root):
    """A second reset within the same second does not overwrite the first one's backup."""
    path = root / "assignments/ch01_arithmetic/arithmetic.py"
    for text in ("one = 1\n", "two = 2\n"):
        path.write_text(text)
        run_course("reset", "ch01/gcd", "--yes")

    assert {"one = 1\n", "two = 2\n"} == {backup.read_text() for backup in path.parent.glob("*.bak-*")}


@pytest.mark.parametrize(("answer", "changed"), [("n", False), ("", False), ("y", True), ("YES", True)])
def test_reset_asks_first(run_course, root, monkeypatch, answer, changed):
    """`course reset` asks, and resets only if the answer is a clear yes."""
    path = root / "assignments/ch01_arithmetic/arithmetic.py"
    path.write_text(WRONG_GCD)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: answer)

    run_course("reset", "ch01/gcd")

    assert changed == (path.read_text() != WRONG_GCD)


def test_reset_with_nobody_to_ask_changes_nothing(run_course, root):
    """Without a terminal, `course reset` changes nothing unless it is given --yes."""
    path = root / "assignments/ch01_arithmetic/arithmetic.py"
    path.write_text(WRONG_GCD)

    shown = run_course("reset", "ch01/gcd")

    assert 2 == shown.code
    assert WRONG_GCD == path.read_text()
    assert (
        "Standard input is not a terminal, so there is nobody to ask. Add --yes to reset without a question."
        == shown.err.strip()
    )


def test_reset_of_an_untouched_file_makes_no_backup(run_course, root):
    """A file that is as it was released is neither reset nor backed up."""
    shown = run_course("reset", "ch01/gcd", "--yes")

    assert "arithmetic.py is as it was released: there is nothing to reset." in shown.out
    assert [] == list((root / "assignments/ch01_arithmetic").glob("*.bak-*"))


def test_a_student_resets_from_the_released_copy(run_course, run_grade, root, monkeypatch, tmp_path):
    """In a student's repository, which has no solutions, `course reset` uses the stubs that were released with it."""
    run_grade("release", tmp_path / "student")
    monkeypatch.chdir(tmp_path / "student")
    path = tmp_path / "student/assignments/ch01_arithmetic/arithmetic.py"
    stub = path.read_text()
    path.unlink()

    shown = run_course("reset", "ch01/gcd", "--yes")

    assert 0 == shown.code
    assert stub == path.read_text()


def test_reset_without_a_released_copy_says_where_it_should_be(run_course, root):
    """Without solutions and released stubs, the error says which file to fetch and how."""
    shutil.rmtree(root / "solutions")
    (root / "assignments/ch01_arithmetic/arithmetic.py").write_text(WRONG_GCD)

    shown = run_course("reset", "ch01/gcd", "--yes")

    assert 2 == shown.code
    assert (
        ".course/pristine/ch01_arithmetic/arithmetic.py is missing, so arithmetic.py cannot be reset. "
        "It came with the course: fetch that file again, or with git: "
        "git checkout -- assignments/ch01_arithmetic/arithmetic.py" == shown.err.strip()
    )


def test_doctor_says_what_an_absence_costs(run_course, monkeypatch):
    """`course doctor` gives what is present one line, and says of what is absent what that costs and how to get it."""
    findings = (
        Finding(name="torch", present=True, detail="2.13.0", cost_of_absence="", how_to_get=""),
        Finding(name="Slurm", present=False, detail="no sbatch", cost_of_absence="No cluster.", how_to_get="Ask."),
    )
    monkeypatch.setattr("grader.cli.course.doctor.examine", lambda: findings)
    monkeypatch.setattr("grader.cli.course.doctor.examine_walls", list)

    shown = run_course("doctor")

    assert 0 == shown.code
    assert ["✓ torch         2.13.0", "✗ Slurm         no sbatch"] == [
        line for line in shown.out.splitlines() if line[0] in "✓✗"
    ]
    assert ["No cluster.", "Ask."] == [line.strip() for line in shown.out.splitlines()[2:]]


def test_doctor_keeps_a_long_detail_in_its_column():
    """In a narrow terminal the second line of a detail begins below the first, not below the marks."""
    finding = Finding(name="wall flat", present=True, detail="launches see files", cost_of_absence="", how_to_get="")
    screen = io.StringIO()

    _print(Console(width=30, file=screen), [finding])

    assert ["✓ wall flat     launches see", "                files"] == screen.getvalue().splitlines()


@pytest.mark.parametrize("command", [[], ["list"], ["check"], ["hint"], ["reset"], ["doctor"]])
def test_every_help_has_an_example_and_the_exit_codes(run_course, command):
    """--help of `course` and of each of its commands ends with an example and the exit codes."""
    shown = run_course(*command, "--help")

    assert 0 == shown.code
    assert "\n  course " in shown.out
    assert "Exit codes: 0 all passed" in shown.out
