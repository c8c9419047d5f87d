"""However a command or its judge ends, no process, folder or control group of theirs is left, or the next command removes it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from grader.course.catalog import Course
from grader.course.judging.judge_process import SubprocessJudge
from grader.harness.launch.zygote_handle import MEMORY_FOLDER
from grader.harness.protocol.held_folder import hold, remove_left_folders
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox import cgroup
from grader.harness.trials.walls import problem
from tests.processes import descendants, eventually, running

SLEEPS = "import time\n\n\ndef gcd(a, b):\n    time.sleep(60)\n"
SLEEPS_IN_EVERY_TEST = "import time\n\ntime.sleep(60)\n"
PROCESSES = {Wall.NONE: 4, Wall.NESTED: 7}  # below a command in the middle of a launch: its judge, and all below that


@pytest.fixture(params=PROCESSES)
def wall(request: pytest.FixtureRequest) -> Wall:
    """Return a wall that this machine has."""
    if (reason := problem(request.param)) is not None:
        pytest.skip(f"This machine has no wall '{request.param}': {reason}")
    return Wall(request.param)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files, in which nobody else works."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextmanager
def grading(course: Course, submission: Path, wall: Wall) -> Iterator[subprocess.Popen[bytes]]:
    """Grade a submission until the block ends; in the block a launch is under way."""
    # As in a terminal: under a shell's background job, as CI may be, Ctrl-C would be ignored from the start.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    arguments = ["run", str(submission), "--chapters", "ch01", "--wall", wall]
    command = [sys.executable, "-m", "grader.cli.grade", *arguments, "--trust-submissions"]
    with subprocess.Popen(command, cwd=course.root, stdout=subprocess.DEVNULL, preexec_fn=hear) as process:  # noqa: PLW1509 - one thread
        try:
            assert eventually(lambda: len(descendants(process.pid)) == PROCESSES[wall], 60)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def judge_of(command: int) -> int:
    """Return the process id of the judge: the command's only child."""
    (judge,) = {
        pid for pid in descendants(command) if f"\nPPid:\t{command}\n" in Path(f"/proc/{pid}/status").read_text()
    }
    return judge


def left() -> list[Path]:
    """Return the folders and control groups that no living process holds."""
    folders = [*MEMORY_FOLDER.glob("course-*.held"), *cgroup._all_groups()]
    return [folder for folder in folders if is_left(folder)]


def is_left(folder: Path) -> bool:
    """Return whether no process holds a folder that is there."""
    if (lock := hold(folder)) is None:
        return False
    os.close(lock)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_command_that_is_told_to_end_leaves_nothing(course, submit, temporary, wall, number):
    """Ctrl-C, SIGTERM and a closed terminal end the command, its judge and its ranks, and remove what they have made."""
    with grading(course, submit("slow", {"ch01_arithmetic/arithmetic.py": SLEEPS}), wall) as command:
        pids = descendants(command.pid)
        command.send_signal(number)
        command.wait(20)

    assert eventually(lambda: not running(pids))
    assert eventually(lambda: not left())
    assert [] == list(temporary.iterdir())


def test_what_a_killed_command_leaves_is_removed_by_the_next(course, submit, temporary, wall):
    """Nobody survives a command that was killed; the next one removes its folders and groups before it makes its own."""
    submission = submit("slow", {"ch01_arithmetic/arithmetic.py": SLEEPS})
    with grading(course, submission, wall) as command:
        pids = descendants(command.pid)
        command.kill()
        command.wait()
        assert eventually(lambda: not running(pids), 20)
    dead = set(temporary.iterdir())

    with grading(course, submission, wall):
        assert eventually(lambda: not left())
        assert not dead & set(temporary.iterdir())

    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_what_a_killed_judge_leaves_is_removed_by_its_command(course, submit, temporary, wall, number):
    """The command starts the judge once more; by then all of the first one is gone."""
    with grading(course, submit("slow", {"ch01_arithmetic/arithmetic.py": SLEEPS}), wall) as command:
        pids, judge = descendants(command.pid), judge_of(command.pid)
        os.kill(judge, number)
        assert eventually(lambda: not running(pids), 20)
        assert eventually(lambda: len(descendants(command.pid)) == PROCESSES[wall], 60)
        assert eventually(lambda: not left())

    assert [] == list(temporary.iterdir())


def test_a_judge_that_is_cut_leaves_nothing(course, temporary, submit, wall):
    """A judge at its time limit is killed in the middle of a launch, and what it made is gone when its run returns."""
    folder = submit("slow", {"ch01_arithmetic/arithmetic.py": SLEEPS_IN_EVERY_TEST})
    judge = SubprocessJudge(course=course, wall=wall, time_limit_s=6.0)

    assert judge.run(folder, course.select(["ch01"])).end.cut

    assert eventually(lambda: not left())
    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("name", ["course-judge-abcd1234.held", "course-judge-notes", "other-abcd1234.held"])
def test_only_what_looks_like_ours_and_is_nobodys_is_removed(tmp_path: Path, name: str) -> None:
    """A person's folder with another name stays, a living process's folder stays, and so does a link to somewhere else."""
    (tmp_path / name).mkdir()
    (tmp_path / "course-ranks-held0000.held").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "course-judge-link0000.held").symlink_to(tmp_path / "elsewhere")
    lock = hold(tmp_path / "course-ranks-held0000.held")

    remove_left_folders(tmp_path)

    stays = {"course-ranks-held0000.held", "course-judge-link0000.held", "elsewhere", name} - {
        "course-judge-abcd1234.held"
    }
    assert stays == {path.name for path in tmp_path.iterdir()}
    assert lock is not None
    os.close(lock)
