"""Whoever is killed with SIGKILL, no process survives and the next launch is unharmed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from course_env.errors import LaunchError
from grader.harness.launcher import Zygote
from grader.harness.outcome import Outcome, StudentFailure
from grader.harness.verdict import judge
from tests.harness.ranks import Ranks

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
from grader.harness.launcher import Zygote
from tests.harness.ranks import Ranks
ranks = Ranks(Zygote(preload=[]), Path(sys.argv[1]))
ranks.zygote.wait_until_ready()
print(ranks.zygote.pid, flush=True)
ranks.remains(2, process_group=False, timeout_s=60)
"""


@pytest.fixture
def fresh(tmp_path):
    """Ranks of a zygote that the test may kill; it preloads nothing, so it starts at once."""
    with Zygote(preload=[]) as zygote:
        yield Ranks(zygote, tmp_path)


def descendants(pid: int) -> set[int]:
    """Return the process ids of all descendants of `pid`."""
    children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children | {grandchild for child in children for grandchild in descendants(child)}


def running(pids: set[int]) -> set[int]:
    """Return those of `pids` that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in _status(pid)}


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ"


def eventually(condition, seconds: float = 5.0) -> bool:
    """Return whether `condition` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return held


def launch_and_kill(ranks: Ranks, victim) -> tuple[set[int], object]:
    """Launch two ranks with a child each, kill what `victim` picks; return all processes and how the launch ended."""
    ranks.write(SLEEP)
    ranks.zygote.wait_until_ready()
    ended: list[object] = []

    def launch() -> None:
        try:
            ended.append(judge(ranks.remains(2, process_group=False, timeout_s=60)))
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
