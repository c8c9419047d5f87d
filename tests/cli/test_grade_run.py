"""`grade run`, as an instructor meets it."""

import errno
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader.batch import lock
from grader.batch.lock import only_one
from grader.cli.grade import __main__ as grade
from grader.harness.protocol.wall import Wall
from grader.harness.trials import walls as probe
from tests.processes import descendants


def test_a_class_ends_in_a_table_and_result_files(run_grade, golden, tmp_path):
    """Each submission has a line, a row and a result file, whose points, letters and totals agree."""
    folders = [golden(case) for case in ("right", "rank_exits", "missing_file")]

    shown = run_grade("run", *folders, "--chapters", "ch01", "--out", tmp_path / "out", "--seed", 5, "--workers", 2)

    lines = [line.strip() for line in shown.out.splitlines()]
    assert 1 == shown.code
    assert lines[0].startswith("Grading 3 submissions on ch01: 2 workers, seed 5, wall ")
    rows = [line.split() for line in lines]
    assert ["submission", "/4", "/6", "/5", "/15"] in rows
    assert ["right", "4", "P", "6", "P", "5", "P", "15"] in rows
    assert ["rank_exits", "4", "P", "6", "P", "0", "C", "10"] in rows
    assert ["missing_file", "4", "P", "6", "P", "0", "-", "10"] in rows
    assert {"right.json", "rank_exits.json", "missing_file.json"} == {
        path.name for path in (tmp_path / "out/results").iterdir()
    }
    assert f"Results: {tmp_path}/out/results/<submission>.json, schema {tmp_path}/out/results.schema.json" in lines


def test_a_perfect_submission_is_exit_code_0(run_grade, golden):
    """`grade run` returns 0 if every exercise of every submission passed."""
    shown = run_grade("run", golden("right"), "--chapters", "ch01")

    assert 0 == shown.code
    assert "right: 15 of 15" in shown.out


def test_without_chapters_every_chapter_counts(run_grade, golden):
    """Without --chapters, a chapter that nobody handed in has no table, and counts in the total."""
    shown = run_grade("run", golden("right"))

    assert 1 == shown.code
    assert "right: 15 of 16" in shown.out
    assert "; nothing to grade in ch02_text" in shown.out
    assert "ch02 Text: nothing was handed in that can be graded." in shown.out


def test_resume_keeps_results_and_the_seed(run_grade, golden):
    """With --resume a second run grades nothing again, and shows the same seed and table."""
    folders = [golden(case) for case in ("right", "missing_file")]

    first = run_grade("run", *folders, "--chapters", "ch01").out
    second = run_grade("run", *folders, "--chapters", "ch01", "--resume").out

    assert 2 == second.count("(kept)")
    assert first.splitlines()[0] == second.splitlines()[0]
    assert first[first.index("ch01 Arithmetic") :] == second[second.index("ch01 Arithmetic") :]


def test_two_commands_do_not_share_a_folder(run_grade, golden, tmp_path):
    """A second `grade run` on the same --out is refused, and leaves the first one's folder usable."""
    words = ("run", golden("right"), "--out", tmp_path / "out")
    with only_one(tmp_path / "out"):
        shown = run_grade(*words)

    assert 2 == shown.code
    assert f"Another `grade run` writes to {tmp_path / 'out'}." in shown.err.replace("\n", " ")
    assert 1 == run_grade(*words).code


def test_a_file_system_without_locks_is_good_enough(tmp_path, monkeypatch):
    """`grade run` works on a file system that is mounted without locks; any other error of the lock is raised."""

    def flock_fails(number):
        def refuse(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(lock.fcntl, "flock", refuse)

    flock_fails(errno.ENOSYS)
    with only_one(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
    flock_fails(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), only_one(tmp_path / "out"):
        pass


def test_results_are_closed_to_other_users(run_grade, golden, tmp_path):
    """A folder that `grade run` makes for results is closed to other users of the machine."""
    run_grade("run", golden("right"), "--out", tmp_path / "out")

    assert 0o700 == stat.S_IMODE((tmp_path / "out").stat().st_mode)


def test_what_cannot_be_graded_is_told_and_the_rest_is_graded(run_grade, golden, tmp_path):
    """All that is no submission is told before and after; the others are graded, and the exit code says that some were not."""
    right = golden("right")
    twins = [tmp_path / day / "bob" for day in ("monday", "tuesday")]
    for path in (*twins, right.parent / "__MACOSX"):
        path.mkdir(parents=True)
    (right.parent / "grades.csv").touch()

    shown = run_grade("run", *sorted(right.parent.iterdir()), *twins, "--chapters", "ch01")

    assert 2 == shown.code
    assert "[1/1] right: 15 of 15" in shown.out
    for told in (
        f"Not graded: {right.parent}/grades.csv is no folder and no archive.",
        "are both the submission 'bob'",
    ):
        assert 2 == shown.out.count(told)
    assert "Skipped, because systems write it and nobody handed it in: __MACOSX." in shown.out


def test_what_systems_write_does_not_change_the_exit_code(run_grade, golden):
    """Files that nobody handed in are named and are no problem."""
    right = golden("right")
    (right.parent / "desktop.ini").touch()

    shown = run_grade("run", *right.parent.iterdir(), "--chapters", "ch01")

    assert 0 == shown.code
    assert "nobody handed it in: desktop.ini." in shown.out


def test_students_of_any_name_are_graded(run_grade, golden, tmp_path):
    """A name is shown as it is, what acts is escaped, and the files are named so that the name can be read from them."""
    right = golden("right")
    names = {
        "Zoe\u0308": "Zoe%CC%88",
        "O'Neil (resit)": "O%27Neil %28resit%29",
        "हिन्दी": "हिन्दी",
        "a\n\x1b[2J\u202eb": "a%0A%1B%5B2J%E2%80%AEb",
        os.fsdecode(b"caf\xe9"): "caf%E9",
        "x" * 255: "x" * 175,
    }
    folders = [right.parent / name for name in names]
    for folder in folders:
        shutil.copytree(right, folder)

    shown = run_grade("run", *folders, "--chapters", "ch01", "--out", tmp_path / "out")

    assert 0 == shown.code
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    for line in ("Zoe\u0308: 15", "O'Neil (resit): 15", "हिन्दी: 15", "a\\n\\x1b[2J\\u202eb: 15", "caf\\xe9: 15"):
        assert f"] {line} of 15" in shown.out
    for folder, suffix in (("results", ".json"), ("feedback", ".md")):
        files = {path.name.removesuffix(suffix) for path in (tmp_path / "out" / folder).iterdir()}
        assert {name.partition("~")[0] for name in names.values()} == {name.partition("~")[0] for name in files}
    page = (tmp_path / "out/feedback/a%0A%1B%5B2J%E2%80%AEb.md").read_text()
    assert page.startswith("# Feedback\n\n    a\\n\\x1b[2J\\u202eb: 15 of 15 points\n    Graded ")
    result = json.loads((tmp_path / "out/results/a%0A%1B%5B2J%E2%80%AEb.json").read_text())
    assert "a\n\x1b[2J\u202eb" == result["submission"]


def test_two_submissions_of_one_name_are_a_usage_error(run_grade, golden, tmp_path):
    """Two submissions with one name are refused before anything is graded."""
    folder = golden("right")
    other = tmp_path / "elsewhere" / "right"
    other.mkdir(parents=True)

    shown = run_grade("run", folder, other)

    assert 2 == shown.code
    assert "are both the submission 'right'. Results are kept by name" in shown.err


def test_an_unknown_chapter_is_a_usage_error(run_grade, golden):
    """An unknown name in --chapters is a usage error that suggests the nearest."""
    shown = run_grade("run", golden("right"), "--chapters", "ch01_aritmetic")

    assert 2 == shown.code
    assert "Did you mean 'ch01_arithmetic'?" in shown.err


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_workers_must_be_a_whole_number(run_grade, golden, workers):
    """--workers accepts only a whole number of at least 1."""
    shown = run_grade("run", golden("right"), f"--workers={workers}")

    assert 2 == shown.code
    assert f"argument --workers: must be a whole number, at least 1, but is '{workers}'" in shown.err


def test_an_exercise_without_tests_is_the_courses_fault(run_grade, golden, root):
    """An exercise without tests earns neither zero nor full points, and the exit code says that the course is broken."""
    for path in root.glob("*/ch01_arithmetic/test_tally*.py"):
        path.unlink()

    shown = run_grade("run", golden("right"), "--chapters", "ch01")

    assert 3 == shown.code
    assert ["right", "4", "P", "6", "P", "?", "?", "10"] in [line.split() for line in shown.out.splitlines()]


def test_a_judge_that_dies_twice_is_exit_code_4(run_grade, tmp_path):
    """After a judge has died twice the class is still graded, and the submission's line says whose judge it was."""
    folder = tmp_path / "submitted" / "killer" / "ch01_arithmetic"
    folder.mkdir(parents=True)
    (folder / "arithmetic.py").write_text(
        "import os, signal\nfrom pathlib import Path\npid = os.getpid()\n"
        "while b'grader.judge.serve' not in Path(f'/proc/{pid}/cmdline').read_bytes():\n"
        "    pid = int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])\n"
        "os.kill(pid, signal.SIGKILL)\n"
    )

    shown = run_grade("run", folder.parent, "--chapters", "ch01", "--wall", "none")

    assert 4 == shown.code
    assert "; the judge of ch01_arithmetic died" in shown.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_every_judge_and_keeps_results(root, golden, environment, number):
    """Ctrl-C or SIGTERM ends every process of `grade run`, keeps what is graded, and says how to go on."""
    folders = [str(golden(case)) for case in ("hangs", "right")]
    command = [sys.executable, "-m", "grader.cli.grade", "run", *folders, "--chapters", "ch01", "--workers", "2"]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while not process.stdout.readline().startswith("[1/2] right:"):
            pass
        family = descendants(process.pid)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)

    assert 130 == process.returncode
    assert (
        "Interrupted: 1 of 2 submissions are graded, all judges have ended. "
        "Type the same command with --resume to grade the rest." in out
    )
    assert family
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_a_terminal_shows_a_bar_that_leaves_no_trace(root, golden, environment):
    """A terminal shows a progress bar while `grade run` works, and the same lines and table at the end."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "grader.cli.grade", "run", str(golden("right")), "--chapters", "ch01"]
    environment |= {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=theirs) as process:
        os.close(theirs)
        shown = read_all(ours)
    os.close(ours)

    assert 0 == process.returncode
    assert "grading" in shown
    assert "━" in shown
    assert "right: 15 of 15" in shown
    assert json.loads((root / "out/grade/results/right.json").read_text())["score"] == 15.0


def read_all(descriptor: int) -> str:
    """Return all that is written to a terminal until its writers have gone."""
    data = b""
    while True:
        try:
            data += os.read(descriptor, 4096)
        except OSError:
            return data.decode()


def wait_until(holds) -> None:
    """Wait, for at most 20 s, until `holds()` is true."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def without_bubblewrap(monkeypatch, folder):
    """Leave only what is in an empty folder on PATH, as on a machine where bubblewrap was never installed."""
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    probe.problem.cache_clear()


@pytest.fixture
def no_bubblewrap(monkeypatch, tmp_path):
    """A machine without bubblewrap, for one test."""
    without_bubblewrap(monkeypatch, tmp_path / "empty")
    yield
    probe.problem.cache_clear()


def test_without_bubblewrap_nothing_is_graded(root, golden, no_bubblewrap, capsys):
    """Without bubblewrap `grade run` writes no result, ends with exit code 4 and says in one sentence what to install."""
    code = grade.main(["run", str(golden("right")), "--out", str(root / "out")])

    errors = capsys.readouterr().err
    assert code == 4
    assert "apt install bubblewrap" in errors
    assert "Nothing was graded" in errors
    assert not (root / "out").exists()


def test_trusted_submissions_are_graded_without_a_wall(run_grade, golden, no_bubblewrap, monkeypatch):
    """With --trust-submissions the batch runs, says once that there is no wall, and every result records it."""
    monkeypatch.setattr(probe, "_look_out", lambda wall: {"files"})  # no Landlock either

    shown = run_grade("run", golden("right"), "--chapters", "ch01")

    assert shown.code == 0
    assert shown.out.count("No sandbox: what was handed in runs with your rights.") == 1
    assert json.loads(Path("out/grade/results/right.json").read_text())["wall"] == "none"


def test_a_wall_that_is_not_there_is_refused(run_grade, golden, no_bubblewrap):
    """--wall asks for one wall and accepts no other."""
    shown = run_grade("run", golden("right"), "--wall", "nested")

    assert shown.code == 4
    assert "The wall 'nested' is not available here; nothing was graded." in shown.err


def test_each_result_records_its_wall(run_grade, golden):
    """A result records the wall that its submission ran behind, and --resume does not keep one from behind another wall."""
    folder = golden("right")
    run_grade("run", folder, "--chapters", "ch01", "--wall", "none")
    assert json.loads(Path("out/grade/results/right.json").read_text())["wall"] == "none"

    best = probe.strongest(Wall)
    shown = run_grade("run", folder, "--chapters", "ch01", "--resume", "--wall", best)

    assert json.loads(Path("out/grade/results/right.json").read_text())["wall"] == best
    assert ("(kept)" in shown.out) == (best is Wall.NONE)
