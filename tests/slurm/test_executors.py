"""The three places where jobs run, behind one interface."""

import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from course_env.errors import ExecutorError
from slurm import executors
from slurm.executors import JobStatus, Phase, make_executor, read_queue
from slurm.profile import Profile

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
PROFILE = Profile(cpus_per_task=1, minutes=10)

ON_SLURM = """
import sys
from functools import partial
from pathlib import Path
from tests.slurm import test_executors as tests
getattr(tests, sys.argv[1])("slurm", Path(sys.argv[2]))
"""


def write(path):
    """Say in a file that a job was there."""
    with path.open("a") as file:
        file.write("x")


def fail():
    """End a job with an error."""
    raise ZeroDivisionError


def ended(executor, name):
    """Wait until all jobs of a name have ended; return their statuses."""
    end = time.monotonic() + PATIENCE_S
    while True:
        known = executor.statuses(name)
        if known and all(status.phase is Phase.ENDED for status in known.values()):
            return known
        assert time.monotonic() < end, known
        time.sleep(0.1)


def check_each_call_is_a_job(where, folder):
    """Every call is made once, by a job of its own, and one that fails harms no other."""
    executor = make_executor(where, PROFILE, folder / "logs")
    calls = [partial(write, folder / "0"), fail, partial(write, folder / "2")]
    executor.submit("three", calls)
    executor.submit("one", [partial(write, folder / "only")])

    known = ended(executor, "three")
    ended(executor, "one")
    executor.close()

    assert ["x", "x", "x"] == [(folder / name).read_text() for name in ("0", "2", "only")]
    assert 3 == len({status.job for status in known.values()})
    assert known[1].state != known[0].state or where == "local"
    assert {} == executor.statuses("another")


def check_cancelled_jobs_end(where, folder):
    """Cancelling a name ends its jobs and no others."""
    executor = make_executor(where, PROFILE, folder / "logs")
    executor.submit("long", [partial(time.sleep, 1000)] * 2)
    executor.submit("short", [partial(write, folder / "done")])

    executor.cancel("long")

    ended(executor, "long")
    ended(executor, "short")
    executor.close()
    assert "x" == (folder / "done").read_text()


@pytest.mark.parametrize("where", ["debug", "local"])
def test_each_call_is_a_job(where, tmp_path):
    """As said above, on this machine."""
    check_each_call_is_a_job(where, tmp_path)


def test_cancelled_jobs_end(tmp_path):
    """As said above, on this machine."""
    check_cancelled_jobs_end("local", tmp_path)


@pytest.mark.parametrize("check", [check_each_call_is_a_job, check_cancelled_jobs_end])
def test_on_a_cluster(cluster, check, tmp_path):
    """As said above, on real nodes."""
    cluster.run(sys.executable, "-c", ON_SLURM, check.__name__, str(tmp_path))


def test_jobs_can_be_sent_from_within_a_job(cluster, tmp_path):
    """Of an array, with bounds of memory: none of what Slurm tells that job is told to the new ones."""
    program = tmp_path / "inner.py"
    program.write_text(ON_SLURM)
    words = ("--array=3", f"--output={tmp_path / 'outer.log'}", f"--chdir={ROOT}")
    bounds = "SLURM_MEM_PER_CPU=10 SLURM_MEM_PER_NODE=20"  # srun refuses both together
    inner = f"{bounds} PYTHONPATH={ROOT} {sys.executable} {program} check_each_call_is_a_job {tmp_path}"

    job = cluster.run("sbatch", "--parsable", *words, f"--wrap={inner}").strip()

    state = cluster.wait_for(f"{job}_3", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    assert "COMPLETED" == state, (tmp_path / "outer.log").read_text()


def test_the_controller_is_not_asked_all_the_time(tmp_path, monkeypatch):
    """It serves everybody on the cluster; what it said holds for some seconds."""
    asked = []
    monkeypatch.setattr(executors, "_run", lambda *command: asked.append(command) or "N/A|9|RUNNING|n0|None\n")
    monkeypatch.setattr(executors.submitit, "AutoExecutor", MagicMock())
    executor = make_executor("slurm", Profile(queue_every_s=60.0), tmp_path)

    assert executor.statuses("one") == executor.statuses("one")
    executor.statuses("two")
    assert 2 == len(asked)
    executor.submit("one", [])
    executor.statuses("one")
    assert 3 == len(asked)


def test_what_is_read_in_the_queue():
    """Array tasks have their place; jobs that wait for a dependency, or are requeued, have not ended."""
    told = """\
1|7_1|RUNNING|node1|None
0|7_0|COMPLETED|node0|None
3|7_3|NODE_FAIL|node0|NodeDown
N/A|7|CANCELLED||None
2|7_2|PENDING||BeginTime
"""
    assert {
        0: JobStatus(job="7_0", phase=Phase.ENDED, state="COMPLETED", node="node0"),
        1: JobStatus(job="7_1", phase=Phase.RUNNING, state="RUNNING", node="node1"),
        2: JobStatus(job="7_2", phase=Phase.WAITING, state="PENDING (BeginTime)"),
        3: JobStatus(job="7_3", phase=Phase.ENDED, state="NODE_FAIL (NodeDown)", node="node0"),
    } == read_queue(told)
    assert {0: JobStatus(job="9", phase=Phase.RUNNING, state="RUNNING")} == read_queue("N/A|9|RUNNING||None\n")
    assert {} == read_queue("")


def test_without_slurm_the_message_says_what_to_do(tmp_path, monkeypatch):
    """It names what is missing, and the cluster that everybody can have."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutorError, match=r"no Slurm here.*python -m slurm.dev_cluster up"):
        make_executor("slurm", PROFILE, tmp_path)


def test_what_slurm_refuses_is_said_in_its_words(cluster, tmp_path):
    """A partition that does not exist is the profile's fault."""
    program = (
        "from pathlib import Path; from slurm.executors import make_executor; from slurm.profile import Profile\n"
        f"make_executor('slurm', Profile(partition='gold'), Path('{tmp_path}')).submit('one', [print])"
    )
    told = cluster.run(
        sys.executable,
        "-c",
        f"try:\n {program.replace(chr(10), chr(10) + ' ')}\nexcept Exception as e: print(type(e), e)",
    )
    assert "ExecutorError" in told
    assert "invalid partition specified: gold" in told
