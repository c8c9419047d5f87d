"""The three executors run jobs behind one interface."""

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
    """Leave a mark in a file."""
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
    """Check that every call is made once, by a separate job, and that one which fails harms no other."""
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
    """Check that cancelling a name ends its jobs and no others."""
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
    """On this machine every call is made once, by a separate job, and one that fails harms no other."""
    check_each_call_is_a_job(where, tmp_path)


def test_cancelled_jobs_end(tmp_path):
    """On this machine cancelling a name ends its jobs and no others."""
    check_cancelled_jobs_end("local", tmp_path)


@pytest.mark.parametrize("check", [check_each_call_is_a_job, check_cancelled_jobs_end])
def test_on_a_cluster(cluster, check, tmp_path):
    """On the nodes of a cluster calls are jobs, and are cancelled, as on this machine."""
    cluster.run(sys.executable, "-c", ON_SLURM, check.__name__, str(tmp_path))


def test_jobs_can_be_sent_from_within_a_job(cluster, tmp_path):
    """A job of an array with memory limits can send jobs, which inherit none of its Slurm variables."""
    program = tmp_path / "inner.py"
    program.write_text(ON_SLURM)
    words = ("--array=3", f"--output={tmp_path / 'outer.log'}", f"--chdir={ROOT}")
    bounds = "SLURM_MEM_PER_CPU=10 SLURM_MEM_PER_NODE=20"  # srun refuses both together
    inner = f"{bounds} PYTHONPATH={ROOT} {sys.executable} {program} check_each_call_is_a_job {tmp_path}"

    job = cluster.run("sbatch", "--parsable", *words, f"--wrap={inner}").strip()

    state = cluster.wait_for(f"{job}_3", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    assert "COMPLETED" == state, (tmp_path / "outer.log").read_text()


def test_the_controller_is_not_asked_all_the_time(tmp_path, monkeypatch):
    """An answer of the controller is used for some seconds, for each name of jobs, until new jobs are sent."""
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
    """Jobs of an array are known by their index; one that waits or is requeued has not ended."""
    output = """\
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
    } == read_queue(output)
    assert {0: JobStatus(job="9", phase=Phase.RUNNING, state="RUNNING")} == read_queue("N/A|9|RUNNING||None\n")
    assert {} == read_queue("")


def test_without_slurm_the_message_says_what_to_do(tmp_path, monkeypatch):
    """The message names what is missing, and says how to start the development cluster."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutorError, match=r"no Slurm here.*python -m slurm.dev_cluster up"):
        make_executor("slurm", PROFILE, tmp_path)


def test_what_slurm_refuses_is_said_in_its_words(cluster, tmp_path):
    """If Slurm refuses jobs, the error holds its own words."""
    program = (
        "from pathlib import Path; from slurm.executors import make_executor; from slurm.profile import Profile\n"
        f"make_executor('slurm', Profile(partition='gold'), Path('{tmp_path}')).submit('one', [print])"
    )
    output = cluster.run(
        sys.executable,
        "-c",
        f"try:\n {program.replace(chr(10), chr(10) + ' ')}\nexcept Exception as e: print(type(e), e)",
    )
    assert "ExecutorError" in output
    assert "invalid partition specified: gold" in output
