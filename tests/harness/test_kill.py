"""Whoever is killed with SIGKILL, no process survives and the next launch is unharmed."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from course_env.errors import LaunchError
from grader.harness.launch import zygote_handle
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.outcome import Outcome, StudentFailure
from grader.harness.protocol.wall import Wall
from grader.harness.verdict import verdict_on
from tests.harness.ranks import Ranks
from tests.processes import descendants, eventually, running

SLEEP = """
import os, time
def solve():
    if os.fork() == 0:
        os.setsid()
    time.sleep(600)
"""

JUDGE = """
import sys
from pathlib import Path
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks
ranks = Ranks(ZygoteHandle(wall=Wall.NONE, preload=[]), Path(sys.argv[1]))
ranks.zygote.wait_until_ready()
print(ranks.zygote.pid, flush=True)
ranks.remains(2, process_group=False, timeout_s=60)
"""


@pytest.fixture
def fresh(tmp_path):
    """Ranks of a zygote that the test may kill; it preloads nothing, so it starts at once."""
    with ZygoteHandle(wall=Wall.NONE, preload=[]) as zygote:
        yield Ranks(zygote, tmp_path)


def num_open(pid: int) -> int:
    """Return the number of descriptors that a process holds."""
    return sum(path.exists() or path.is_symlink() for path in Path(f"/proc/{pid}/fd").iterdir())


def launch_and_kill(ranks: Ranks, victim) -> tuple[set[int], object]:
    """Launch two ranks with a child each, kill what `victim` picks; return all processes and how the launch ended."""
    ranks.write(SLEEP)
    ranks.zygote.wait_until_ready()
    ended: list[object] = []

    def launch() -> None:
        try:
            ended.append(verdict_on(ranks.remains(2, process_group=False, timeout_s=60)))
        except (StudentFailure, LaunchError) as error:
            ended.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    assert eventually(lambda: len(descendants(ranks.zygote.pid)) == 5)  # a supervisor, two ranks, a child each
    pids = descendants(ranks.zygote.pid)
    os.kill(victim(ranks.zygote.pid), signal.SIGKILL)
    thread.join(10)
    return pids, ended[0]


def test_a_killed_rank_is_named_and_nothing_is_left(fresh):
    """A rank that someone kills fails its own test; the next launch on the same zygote is unharmed."""
    pids, failure = launch_and_kill(fresh, lambda zygote: min(descendants(min(descendants(zygote)))))

    assert failure.outcome is Outcome.CRASHED
    assert "of 2 ended with signal SIGKILL" in str(failure)
    assert eventually(lambda: not running(pids))
    fresh.write("def solve():\n    return 7")
    assert fresh.run(2, process_group=False)["value"] == (7, 7)


def test_a_killed_supervisor_leaves_nothing(fresh):
    """The zygote inherits and ends what a killed supervisor leaves, and serves on."""
    pids, failure = launch_and_kill(fresh, lambda zygote: min(descendants(zygote)))

    assert failure.outcome is Outcome.CRASHED
    assert "were killed during this test" in str(failure)
    assert eventually(lambda: not running(pids))
    fresh.write("def solve():\n    return 7")
    assert fresh.run(2, process_group=False)["value"] == (7, 7)


def test_a_killed_zygote_fails_its_launch_at_once(fresh):
    """The judge notices at once, ends what is left, and a new zygote starts for the next launch."""
    start = time.monotonic()
    pids, failure = launch_and_kill(fresh, lambda zygote: zygote)

    assert time.monotonic() - start < 10
    assert failure.outcome is Outcome.CRASHED
    assert eventually(lambda: not running(pids))
    fresh.write("def solve():\n    return 7")
    assert fresh.run(2, process_group=False)["value"] == (7, 7)


def test_a_zygote_killed_between_launches_costs_none(fresh):
    """The judge looks whether the zygote is there before it hands it a launch."""
    fresh.write("def solve():\n    return 7")
    fresh.zygote.wait_until_ready()
    os.kill(fresh.zygote.pid, signal.SIGKILL)
    os.waitid(os.P_PID, fresh.zygote.pid, os.WEXITED | os.WNOWAIT)

    assert fresh.run(1, process_group=False)["value"] == (7,)


def test_a_launch_that_was_left_does_not_answer_the_next(fresh):
    """A time-out of the test, or Ctrl-C, in the middle of a launch costs that launch only."""

    def ring(_signal, _frame):
        raise TimeoutError("the test took too long")

    fresh.write("import time\ndef solve():\n    time.sleep(60)")
    fresh.zygote.wait_until_ready()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(TimeoutError):
        fresh.run(1, process_group=False)
    signal.signal(signal.SIGALRM, before)

    fresh.write("def solve():\n    return 7")
    assert fresh.run(1, process_group=False)["value"] == (7,)


@pytest.mark.parametrize("victim", ["supervisor", "zygote"])
def test_stopped_parents_do_not_hold_a_launch(fresh, victim):
    """A rank that stops the processes above it is ended with them."""
    parent = "os.getppid()"
    if victim == "zygote":
        parent = 'int(open(f"/proc/{os.getppid()}/stat").read().split()[3])'
    fresh.write(f"import os, time\ndef solve():\n    os.kill({parent}, 19)\n    time.sleep(60)")

    with pytest.raises(StudentFailure, match="were killed during this test"):
        fresh.run(1, process_group=False, timeout_s=0.5)
    fresh.write("def solve():\n    return 7")
    assert fresh.run(1, process_group=False)["value"] == (7,)


def test_a_supervisor_asked_to_end_is_not_a_ranks_crash(fresh):
    """SIGTERM from a rank to its parent cuts the launch; the message says what happened."""
    fresh.write("import os, time\ndef solve():\n    os.kill(os.getppid(), 15)\n    time.sleep(60)")

    with pytest.raises(StudentFailure, match="Code that sends signals to processes it did not start"):
        fresh.run(2, process_group=False)


def test_a_cut_that_comes_too_late_does_not_hit_the_next_launch(fresh):
    """Launches that end about when the judge cuts them leave the zygote in step."""
    for late_ms in range(-6, 10, 2):
        fresh.write(f"import time\ndef solve():\n    time.sleep({0.35 + late_ms / 1000})\n    return 1")
        fresh.remains(1, process_group=False, timeout_s=0.05)
        fresh.write("def solve():\n    return 7")
        assert fresh.run(1, process_group=False)["value"] == (7,)


def test_a_zygote_that_fails_by_itself_is_not_the_students_fault(fresh):
    """Want of descriptors is the operator's, who reads the zygote's last words; the next launch gets a new zygote."""
    fresh.write("def solve():\n    return 7")
    fresh.zygote.wait_until_ready()
    resource.prlimit(fresh.zygote.pid, resource.RLIMIT_NOFILE, (8, 8))

    with pytest.raises(LaunchError, match=r"(?s)failed\. Its last words:.*Too many open files"):
        fresh.run(1, process_group=False)
    assert fresh.run(1, process_group=False)["value"] == (7,)


def test_a_supervisor_that_fails_by_itself_is_not_the_students_fault(fresh):
    """The zygote goes on; the operator reads what failed."""
    fresh.write("def solve():\n    return 7")
    fresh.zygote.wait_until_ready()
    limits = resource.prlimit(fresh.zygote.pid, resource.RLIMIT_NOFILE)
    # The zygote's own, the launch's eleven, and two more for the supervisor: not enough for its two pipes.
    enough = num_open(fresh.zygote.pid) + 11 + 2
    resource.prlimit(fresh.zygote.pid, resource.RLIMIT_NOFILE, (enough, limits[1]))

    with pytest.raises(
        LaunchError, match=r"(?s)could not be started or watched\. Its last words:.*Too many open files"
    ):
        fresh.run(2, process_group=False)
    resource.prlimit(fresh.zygote.pid, resource.RLIMIT_NOFILE, limits)
    assert fresh.run(2, process_group=False)["value"] == (7, 7)


def test_a_judge_without_descriptors_loses_none(fresh):
    """A launch that cannot be set up is the operator's, and leaves no descriptor open."""
    fresh.write("def solve():\n    return 7")
    fresh.zygote.wait_until_ready()
    held = num_open(os.getpid())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 6, limits[1]))
    try:
        with pytest.raises(LaunchError, match=r"A launch of 16 ranks cannot be prepared: .*Too many open files"):
            fresh.run(16, process_group=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert num_open(os.getpid()) == held
    assert fresh.run(2, process_group=False)["value"] == (7, 7)


@pytest.mark.parametrize(
    ("python", "told"),
    [("/no/such/python", "cannot be started: .*No such file"), ("/bin/false", r"did not start\. It printed nothing.")],
)
def test_a_python_that_cannot_run_is_one_error(monkeypatch, tmp_path, python, told):
    """A zygote that does not come up is said at once, and leaves no folder."""
    monkeypatch.setattr(sys, "executable", python)

    def start() -> None:
        with ZygoteHandle(wall=Wall.NONE, preload=[], scratch_parent=tmp_path) as zygote:
            zygote.wait_until_ready()

    with pytest.raises(LaunchError, match=told):
        start()
    assert [] == list(tmp_path.iterdir())


def test_a_zygote_that_hangs_at_its_start_is_waited_for_once(monkeypatch):
    """The first test waits for a zygote that does not come up; the others are told at once."""
    monkeypatch.setattr(zygote_handle, "ZYGOTE_START_S", 0.5)
    with ZygoteHandle(wall=Wall.NONE, preload=[]) as zygote:
        os.kill(zygote.pid, signal.SIGSTOP)
        with pytest.raises(LaunchError, match=r"did not start within 0\.5 s"):
            zygote.wait_until_ready()
        os.kill(zygote.pid, signal.SIGCONT)
        start = time.monotonic()
        with pytest.raises(LaunchError, match=r"did not start within 0\.5 s"):
            zygote.wait_until_ready()
        assert time.monotonic() - start < 0.4


def test_a_judge_killed_during_the_start_leaves_no_folder(tmp_path):
    """The zygote finds the judge gone when it is ready, and removes what the judge cannot."""
    code = (
        "import os, pathlib, sys; from grader.harness.protocol.wall import Wall\n"
        "from grader.harness.launch.zygote_handle import ZygoteHandle\n"
        f"zygote = ZygoteHandle(wall=Wall.NONE, preload=[], scratch_parent=pathlib.Path({str(tmp_path)!r}))\n"
        "os.kill(zygote.pid, 19); print(zygote.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        zygote = int(process.stdout.readline())
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    os.kill(zygote, signal.SIGCONT)

    assert eventually(lambda: not running({zygote}))
    assert [] == list(tmp_path.iterdir())


def test_a_killed_judge_leaves_nothing(tmp_path):
    """When the judge is killed the zygote ends every rank, every child of a rank, and itself."""
    Ranks(None, tmp_path).write(SLEEP)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", JUDGE, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        zygote = int(process.stdout.readline())
        assert eventually(lambda: len(descendants(zygote)) == 5)
        pids = descendants(zygote) | {zygote}
        process.kill()

    assert eventually(lambda: not running(pids))
