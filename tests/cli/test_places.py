"""Commands in folders of any name, beside files of any name, and on machines that refuse to write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.cli import whereabouts

BIN = Path(sys.executable).parent
CHAPTER = "assignments/ch01_arithmetic"
RAISES = 'raise RuntimeError("this file is mine")\n'


def run(command: str, *words: object, cwd: Path, env: dict[str, str], **options) -> subprocess.CompletedProcess[str]:
    """Run `course` or `grade` as its own process, as a shell would."""
    return subprocess.run(
        [BIN / command, *map(str, words)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def solve(root: Path) -> None:
    """Put solutions where a student's files of the first chapter are."""
    for name in ("arithmetic.py", "tally.py"):
        shutil.copy(root / "solutions/ch01_arithmetic" / name, root / CHAPTER / name)


NAMES = {
    "brackets": b"week [1]",
    "colons": b"a::b",
    "braces and percents": b"{x} %s %%",
    "quotes": b"'\"`$HOME",
    "a hash": b"a #b ;c&",
    "not UTF-8": b"caf\xe9 \xff",
    "Korean": "강의".encode(),
    "a line end": b"a\nb",
    "a dash": b"-x",
    "long": b"x" * 200 + b"/" + b"y" * 200,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_course_works_in_a_folder_of_any_name(root, environment, name):
    """`course check`, `grade check` and `grade run` work wherever the course's folder lies."""
    moved = Path(os.fsdecode(os.fsencode(root.parent) + b"/" + name), "course")
    moved.parent.mkdir(parents=True)
    root.rename(moved)
    solve(moved)

    assert 0 == (checked := run("course", "check", "ch01", cwd=moved, env=environment)).returncode, checked.stderr
    assert 0 == (sound := run("grade", "check", "ch02", cwd=moved, env=environment)).returncode, sound.stdout
    words = ("run", moved / "assignments", "--chapters", "ch01", "--trust-submissions", "--out", root.parent / "out")
    graded = run("grade", *words, cwd=moved, env=environment)
    assert 0 == graded.returncode, graded.stderr


@pytest.mark.parametrize("words", [("course", "check", "ch01"), ("grade", "run", CHAPTER, "--trust-submissions")])
def test_jobs_need_a_path_that_is_utf8(root, environment, words):
    """A job is told paths in JSON: a path that is not UTF-8 is refused with a sentence."""
    moved = root.rename(Path(os.fsdecode(os.fsencode(root) + b"\xe9")))

    done = run(*words, "--on", "local", cwd=moved, env=environment)

    assert 2 == done.returncode
    assert "Jobs can only be told paths that are UTF-8" in done.stderr


def test_a_persons_own_modules_do_not_disturb_jobs(root, environment):
    """A job that starts in the course's folder imports no module from there."""
    solve(root)
    (root / "random.py").write_text(RAISES)

    done = run("course", "check", "ch01/gcd", "--on", "local", cwd=root, env=environment)

    assert 0 == done.returncode, done.stderr


def test_a_course_works_through_a_link(root, environment):
    """A link to the course's folder is as good as the folder, and so is a folder in it."""
    link = root.parent / "link"
    link.symlink_to(root)
    solve(root)

    assert 0 == run("course", "check", "ch01/gcd", cwd=link / CHAPTER, env=environment).returncode


MINE = {
    "random.py": RAISES,
    "typing.py": RAISES,
    "torch.py": RAISES,
    "statistics.py": RAISES,
    "conftest.py": RAISES,
    "sitecustomize.py": RAISES,
    "pytest.ini": "[pytest]\naddopts = --nonsense\n",
    "tox.ini": "[pytest]\naddopts = --nonsense\n",
    "setup.cfg": "[tool:pytest]\naddopts = --nonsense\n",
    f"{CHAPTER}/conftest.py": RAISES,
    f"{CHAPTER}/__init__.py": "",
    f"{CHAPTER}/notes.py": RAISES,
    f"{CHAPTER}/random.py": RAISES,
    f"{CHAPTER}/test_mine.py": RAISES,
    f"{CHAPTER}/test_fails.py": "def test_it():\n    assert False\n",
    f"{CHAPTER}/test_hangs.py": "import time\ntime.sleep(1000)\n",
    "solutions/ch01_arithmetic/test_draft.py": RAISES,
}


def test_a_persons_own_files_disturb_nothing(root, environment):
    """Own tests, conftest.py and modules are not run by `course check`; those that pytest would run are named once."""
    solve(root)
    for name, text in MINE.items():
        (root / name).write_text(text)

    done = run("course", "check", "ch01", cwd=root, env=environment)

    assert 0 == done.returncode, done.stderr
    assert "Score so far: 15 of 15" in done.stdout
    assert ["test_fails.py", "test_hangs.py", "test_mine.py"] == [
        Path(line.split()[-1]).name for line in done.stdout.splitlines() if line.startswith("Not run")
    ]


def test_a_persons_own_tests_can_be_run(root, environment):
    """What `course check` says to type runs a student's own tests, ungraded."""
    (root / CHAPTER / "test_mine.py").write_text("def test_it():\n    pass\n")
    done = run("course", "check", "ch01/gcd", cwd=root, env=environment)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Not run")]

    command = line.partition("To run it: python ")[2].split()

    assert 0 == subprocess.run([sys.executable, *command], cwd=root, env=environment, check=False).returncode


def test_own_files_in_the_graders_course_cost_nobody_points(root, environment, golden):
    """`grade run` and `grade check` are not disturbed either; `grade check` names what does not belong."""
    for name, text in MINE.items():
        (root / name).write_text(text)
    words = ("run", golden("right"), "--chapters", "ch01", "--trust-submissions")

    assert 0 == run("grade", *words, cwd=root, env=environment).returncode
    checked = run("grade", "check", "ch01", cwd=root, env=environment)
    assert 3 == checked.returncode
    assert "solutions 15 of 15, 9 mutants killed" in checked.stdout
    assert "test_mine.py: is named after no student file" in checked.stdout


def test_a_package_file_that_fails_is_named(root, environment):
    """An `__init__.py` in a chapter's folder that cannot be run is the person's own, and the error names it."""
    (root / CHAPTER / "__init__.py").write_text(RAISES)

    done = run("course", "check", "ch01/gcd", cwd=root, env=environment)

    assert 2 == done.returncode
    assert f"{CHAPTER}/__init__.py is not a file of the course" in done.stderr


def another_copy(root: Path) -> None:
    """Give the course tools of its own that differ from those that run."""
    (root / "grader/cli").mkdir(parents=True)
    (root / "grader/cli/__init__.py").write_text('"""Other commands."""\n')


@pytest.mark.parametrize("words", [("list",), ("check", "ch01"), ("hint", "ch01/gcd"), ("reset", "ch01/gcd", "--yes")])
def test_a_command_of_another_copy_says_which_is_which(root, environment, words):
    """A `course` that belongs to another copy names both folders and says what to type; nothing is checked."""
    another_copy(root)

    done = run("course", *words, cwd=root, env=environment)

    assert (2, "") == (done.returncode, done.stdout)
    assert "This `course` is of another copy of the course." in done.stderr
    assert f"It runs what is in {whereabouts.OURS}, but you are in {root}" in done.stderr
    assert f"cd {root} && make. Then type: {root}/.venv/bin/course {words[0]}" in done.stderr


def test_a_copy_with_an_environment_is_told_by_its_command(root, environment):
    """Where the other copy has a command, that command with the same words is what to type."""
    another_copy(root)
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/grade").touch()

    done = run("grade", "check", "ch 01", cwd=root, env=environment)

    assert 2 == done.returncode
    assert f"Type: {root}/.venv/bin/grade check 'ch 01'" in done.stderr


def test_a_copy_with_the_same_tools_is_as_good(root, environment):
    """Tools that agree word for word are the same tools, wherever they lie."""
    for package in whereabouts.PACKAGES:
        shutil.copytree(whereabouts.OURS / package, root / package)

    assert 0 == run("course", "list", cwd=root, env=environment).returncode


@pytest.mark.parametrize("words", [("course", "list"), ("course", "doctor"), ("course", "check"), ("grade", "check")])
def test_a_deleted_folder_is_said_to_be_deleted(root, environment, words):
    """In a folder that has been deleted every command says so."""
    gone = root / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec {BIN}/$0 "$@"'

    done = subprocess.run(
        ["bash", "-c", script, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert 2 == done.returncode
    assert "The folder that you are in has been deleted." in done.stderr


def test_progress_that_cannot_be_kept_costs_only_the_memory(run_course, root):
    """Where nothing can be written, `course check` shows everything, and says once what it cannot remember."""
    solve(root)
    (root / "out").write_text("a file")

    checked = run_course("check", "ch01/gcd")
    hinted = run_course("hint", "ch01/gcd")

    assert 0 == checked.code
    assert "Score so far: 4 of 4" in checked.out
    assert 1 == checked.out.count(f"because {root}/out/progress.json cannot be written")
    assert 0 == hinted.code
    assert "Hint 1 of 2" in hinted.out
    assert "cannot be written" in hinted.out


def test_a_course_on_a_read_only_file_system_can_be_checked(root, environment):
    """`course check` works in a course that is mounted read-only."""
    solve(root)
    script = (
        f'mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD" && cd "$PWD" && {BIN}/course check ch01/gcd'
    )
    words = ["unshare", "--map-root-user", "--mount", "bash", "-c", script]

    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert 0 == done.returncode, done.stderr
    assert "Score so far: 4 of 4" in done.stdout
    assert "Read-only file system" in done.stdout


@pytest.mark.parametrize("place", ["a file", "below a file", "a very long name"])
def test_out_that_cannot_be_a_folder_is_a_usage_error(run_grade, golden, root, place):
    """`--out` where no folder can be says why before anything is graded, and asks for another."""
    (root / "file").write_text("mine")
    out = {"a file": root / "file", "below a file": root / "file/out", "a very long name": root / ("x" * 300)}[place]

    shown = run_grade("run", golden("right"), "--chapters", "ch01", "--out", out)

    assert 2 == shown.code
    assert f"Results cannot be written to {out}: " in shown.err
    assert "Choose another folder: --out DIR" in shown.err
    assert "mine" == (root / "file").read_text()


def test_a_disk_that_fills_up_loses_no_result(run_grade, golden, root, monkeypatch):
    """If the disk is full, the batch ends with exit code 4, keeps the results there are, and says how to go on."""
    folders = [golden(case) for case in ("right", "half_right")]
    run_grade("run", *folders, "--chapters", "ch01", "--workers", "1")

    def full(*_):
        raise OSError(28, "No space left on device", "results/half_right.json")

    (root / "out/grade/results/half_right.json").unlink()
    monkeypatch.setattr("grader.batch.workers.grade", full)
    shown = run_grade("run", *folders, "--chapters", "ch01", "--workers", "1", "--resume")

    assert 4 == shown.code
    assert "No space left on device: 'results/half_right.json'" in shown.err
    assert "Results so far are kept. Type the same command with --resume" in shown.out
    assert (root / "out/grade/results/right.json").exists()


@pytest.mark.parametrize("name", ["HOME", "TMPDIR"])
@pytest.mark.parametrize("value", [None, "/nowhere", "/proc", "relative", "/tmp/" + "x" * 120])
def test_homes_and_temporary_folders_of_all_kinds(root, environment, name, value):
    """`course check` needs no home, and finds a folder for temporary files."""
    solve(root)
    settings = {key: text for key, text in environment.items() if key != name} | ({name: value} if value else {})

    assert 0 == run("course", "check", "ch01/gcd", cwd=root, env=settings).returncode


STOPS = {
    "breakpoint()": "remove breakpoint()",
    "import pdb; pdb.set_trace()": "remove breakpoint()",
    "input('? ')": "if this is from input()",
}


@pytest.mark.parametrize("code", STOPS)
@pytest.mark.parametrize("inside", [True, False])
def test_code_that_waits_for_a_person_is_told_that_nobody_is_there(run_course, root, code, inside):
    """A breakpoint or a question ends at once, with a sentence on what to remove."""
    text = f"def gcd(a, b):\n    {code}\n    return a\n" if inside else f"{code}\n"
    (root / CHAPTER / "arithmetic.py").write_text(text)

    shown = run_course("check", "ch01/gcd")

    assert 1 == shown.code
    assert "deadline" not in shown.out
    assert STOPS[code] in shown.out


def test_a_slip_in_a_file_is_told_once(run_course, root):
    """What keeps a file from being imported is explained at its first exercise; the others name that exercise."""
    (root / CHAPTER / "arithmetic.py").write_text("def gcd(:\n")

    lines = [line.strip() for line in run_course("check", "ch01").out.splitlines()]

    error = "arithmetic.py cannot be imported: SyntaxError: invalid syntax"
    assert [error, f"{error} (as told at ch01/gcd)"] == [line for line in lines if "SyntaxError" in line]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "arithmetic.py is empty. Start from the stub: course reset ch01/gcd"),
        (" \n\n", "arithmetic.py is empty. Start from the stub: course reset ch01/gcd"),
        ("# to do\n", "arithmetic.py has no 'gcd'. It must keep the names of the stub: gcd. The file defines nothing."),
        (None, "arithmetic.py is missing. Start from the stub: course reset ch01/gcd"),
    ],
)
def test_a_file_without_code_says_so_once(run_course, root, text, sentence):
    """A file that is empty, missing or only a comment gets one sentence, which lists no names that are not there."""
    path = root / CHAPTER / "arithmetic.py"
    path.unlink() if text is None else path.write_text(text)

    shown = run_course("check", "ch01/gcd")

    assert 1 == shown.code
    assert [sentence] == [line.strip() for line in shown.out.splitlines() if "arithmetic.py" in line]


def test_a_question_without_an_answer_changes_nothing(run_course, root, monkeypatch):
    """Ctrl-D at the question of `course reset` is a no."""

    def end(_question):
        raise EOFError

    (root / CHAPTER / "arithmetic.py").write_text("x = 1\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", end)

    shown = run_course("reset", "ch01/gcd")

    assert 0 == shown.code
    assert "Nothing was changed." in shown.out
