"""A limit that is too low for a launch is told by its name before any student code runs; a lower one that is enough is used."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from grader.doctor.wall_findings import examine_walls
from grader.harness.protocol.wall import Wall
from grader.harness.trials import limits, walls
from grader.harness.trials.limits import LEAST_MEMORY_BYTES, LEAST_TASKS, PROCESS_LIMITS, low_limits

ROOT = Path(__file__).parents[2]
TOO_LOW = [("-u", "50"), ("-n", "64"), ("-v", "2000000"), ("-d", "2000000"), ("-f", "1000"), ("-t", "100")]

ASK = "from grader.harness.trials.limits import lacking; print(lacking())"
LAUNCH = """
import sys, tempfile
from pathlib import Path
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks
with ZygoteHandle(wall=Wall(sys.argv[1]), preload=[]) as zygote:
    ranks = Ranks(zygote, Path(tempfile.mkdtemp()))
    ranks.write("import resource\\ndef solve():\\n    return resource.getrlimit(resource.RLIMIT_NPROC)[1]")
    print(*ranks.run(8, process_group=False)["value"])
"""


def under(option: str, value: str, *command: str) -> str:
    """Return what a command prints in a shell under this limit."""
    shell = f'ulimit {option} {value} && exec "$@"'
    done = subprocess.run(["bash", "-c", shell, "bash", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def no_limits(monkeypatch, tmp_path):
    """A machine without limits, whose control groups are in a folder of the test."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(limits, "_own_groups", lambda: [tmp_path])
    return tmp_path


@pytest.mark.parametrize(("option", "value"), TOO_LOW)
def test_a_limit_that_is_too_low_is_told_by_its_name(option, value):
    """The sentence has the limit's name, `ulimit`'s option, the value, and the value that is needed."""
    limit = next(limit for limit in PROCESS_LIMITS if limit.option == option[1])

    told = under(option, value, sys.executable, "-c", ASK)

    assert told.startswith("Not gradable here: The hard limit on ")
    needed = -(-limit.needed // limit.unit)
    assert f"({limit.name}, `ulimit -H{limit.option}`) is {value}; a launch needs {needed}." in told
    assert "install" not in told


def test_a_soft_limit_says_what_to_type():
    """A soft limit can be raised by the person, with one command."""
    assert under("-Sn", "64", sys.executable, "-c", ASK).strip().endswith("Type: ulimit -Sn 256")


@pytest.mark.parametrize(("wall", "limit"), [(Wall.NESTED, "100"), (Wall.FLAT, "600")])
def test_a_limit_below_ours_that_is_enough_is_used(wall, limit):
    """Where the hard limit is lower than what a launch normally gets, it works: with it, or with what each rank has alone."""
    if (reason := walls.problem(wall)) is not None:
        pytest.skip(f"This machine has no wall '{wall}': {reason}")

    assert under("-u", "600", sys.executable, "-c", LAUNCH, wall).split() == [limit] * 8


def test_control_groups_count(no_limits):
    """Too few tasks or too little memory in a control group are told with the file, the value and what is in use."""
    (no_limits / "pids.max").write_text("400\n")
    (no_limits / "pids.current").write_text("100\n")
    (no_limits / "memory.max").write_text("1000000\n")

    tasks, memory = (limit.what for limit in low_limits())

    assert f"{no_limits}/pids.max) is 400, of which 100 are in use; a launch needs {LEAST_TASKS}." in tasks
    assert f"{no_limits}/memory.max) is 1000000 bytes; a launch needs {LEAST_MEMORY_BYTES}." in memory


def test_no_limit_is_no_finding(no_limits):
    """Unlimited processes, and groups that say "max", lack nothing."""
    (no_limits / "pids.max").write_text("max\n")
    (no_limits / "memory.max").write_text("max\n")

    assert [] == low_limits()


def test_the_doctor_names_the_limit_and_installs_nothing(no_limits):
    """Under a limit that is too low every wall is missing for that reason, and no advice is about bubblewrap."""
    (no_limits / "pids.max").write_text("20\n")
    walls.problem.cache_clear()
    try:
        findings = examine_walls()
    finally:
        walls.problem.cache_clear()

    assert [False] * 4 == [finding.present for finding in findings]
    assert all("pids.max" in finding.detail and "install" not in finding.how_to_get for finding in findings)


@pytest.mark.parametrize("command", [("grade", "run", "solutions", "--wall", "none"), ("course", "check", "ch01")])
def test_commands_run_nothing_under_a_limit_that_is_too_low(command, tmp_path):
    """Both commands end with exit code 4 and the limit's name; no student is charged."""
    module = f"grader.cli.{command[0]}"
    shell = f'ulimit -u 50 && exec "{sys.executable}" -m {module} {" ".join(command[1:])}'
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 4, done.stdout
    assert "RLIMIT_NPROC" in done.stderr
