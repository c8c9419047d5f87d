"""`course check --on`: one job whose tasks on several nodes run the ranks of every launch."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from grader.cli.course import __main__ as course_command

ROOT = Path(__file__).parent.parent.parent
MINI_COURSE = ROOT / "tests" / "mini_course"
PATIENCE_S = 120
IGNORED = shutil.ignore_patterns("__pycache__", "out", ".*", "tests", "expected.json")


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The course with all solutions filled in, public tests only, as a diligent student has it."""
    folder = tmp_path_factory.mktemp("solved") / "course"
    shutil.copytree(ROOT / "assignments", folder / "assignments", ignore=IGNORED)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for solution in (ROOT / "solutions").glob("ch*/*.py"):
        stub = folder / "assignments" / solution.parent.name / solution.name
        if stub.exists():
            shutil.copy(solution, stub)
    return folder


def check(*words):
    """Return what to type in the cluster."""
    return (sys.executable, "-m", "grader.cli.course", "check", *words)


def test_a_chapter_on_two_nodes_with_four_tasks(cluster, solved):
    """Chapter 2 passes with its solutions, in one job whose ranks were on both nodes."""
    jobs_before = jobs(cluster)

    output = cluster.run(*check("ch02", "--on", "dev"), cwd=solved)

    assert "4 tasks on dev; ranks ran on node0, node1." in output, output
    assert "Everything you checked has passed" in output
    (job,) = jobs(cluster) - jobs_before
    assert "COMPLETED" == cluster.job_state(job)
    progress = json.loads((solved / "out" / "progress.json").read_text())
    assert progress
    assert [] == list((solved / "out" / "checks").iterdir())


def jobs(cluster):
    """Return the ids of all jobs that the controller remembers."""
    return set(cluster.run("squeue", "--noheader", "--states=all", "--format=%i").split())


@pytest.fixture
def mini(tmp_path):
    """A torch-free course."""
    return shutil.copytree(MINI_COURSE, tmp_path / "course", ignore=IGNORED)


def test_stubs_are_reported_as_on_one_machine(cluster, mini):
    """For stubs the command prints the same as on one machine, but for the line about tasks."""
    here = cluster.run(*check("--seed", "3"), cwd=mini, code=1).splitlines()

    there = cluster.run(*check("--seed", "3", "--on", "dev"), cwd=mini, code=1).splitlines()

    (line_about_tasks,) = (line for line in there if line.startswith("4 tasks on dev; "))
    assert [line for line in here if line] == [line for line in there if line not in ("", line_about_tasks)]


def test_tasks_of_this_machine_do_as_well(mini, monkeypatch, capfd):
    """Without a cluster the check runs in two tasks of this machine."""
    monkeypatch.chdir(mini)

    course_command.main(["check", "--on", "local"])

    assert "2 tasks on local" in capfd.readouterr().out


def test_a_job_that_cannot_begin_says_why(cluster, mini):
    """The error holds the state and the last lines of the job."""
    profile = mini / "broken.toml"
    profile.write_text('minutes = 10\nsettle_s = 1.0\nsetup = ["echo there is no such module", "exit 3"]\n')

    output = cluster.run(*check("--on", str(profile)), cwd=mini, code=4, merged=True)

    assert "The job ended without an answer: FAILED" in output
    assert "there is no such module" in output


@pytest.mark.parametrize("how", ["scancel", "Ctrl-C"])
def test_a_check_that_is_cancelled_leaves_no_job(cluster, mini, how):
    """After scancel or Ctrl-C the command ends, and no job and no key is left."""
    (mini / "assignments" / "ch01_arithmetic" / "arithmetic.py").write_text("import time\ntime.sleep(60)\n")
    before = jobs(cluster)
    command = cluster.start(*check("ch01", "--on", "dev"), cwd=mini)
    end = time.monotonic() + PATIENCE_S
    while not (new := jobs(cluster) - before) or cluster.job_state(*new) == "PENDING":
        assert time.monotonic() < end
        time.sleep(0.1)

    if how == "scancel":
        cluster.run("scancel", *new)
    else:
        (inside,) = cluster.run("pgrep", "--full", f"{sys.executable} -m grader.cli.course check ch01 --on").split()
        cluster.run("kill", "-INT", inside)

    output = command.communicate(timeout=PATIENCE_S)[0]
    assert (4 if how == "scancel" else 130) == command.returncode, output
    assert "CANCELLED" == cluster.wait_for(*new, "CANCELLED")
    if how == "scancel":
        assert "The job ended without an answer: CANCELLED" in output
    left = [path.name for path in (mini / "out" / "checks").glob("*/*")]
    assert (["logs"] if how == "scancel" else []) == left, "no key, and what it printed only where it is of use"
