"""A class that is graded on a cluster has the same results as on this machine."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grader.cli.grade import __main__ as grade
from grader.harness.agents.roster import read_crew
from tests.processes import descendants, eventually, running
from tests.slurm.small_class import CASES, PROFILE


def test_results_are_those_of_this_machine(cluster, class_, expected):
    """All fields but times are equal; each submission was graded once, and both nodes graded some."""
    output = cluster.run(*class_.command_on_slurm(), code=1, cwd=class_.course)

    assert "Grading 4 submissions on ch01: at most 64 jobs at a time on" in output
    assert expected == class_.results()
    assert dict.fromkeys(CASES, 1) == class_.times_begun()
    assert {"node0", "node1"} == {verdict.node for verdict in class_.verdicts().values()}
    assert [] == class_.losses()
    assert {path.stem for path in (class_.out / "feedback").iterdir()} == set(CASES)


def test_max_jobs_is_the_most_that_is_sent(cluster, class_, expected):
    """With --max-jobs 1 all four verdicts come from one job."""
    cluster.run(*class_.command_on_slurm("--max-jobs", "1"), code=1, cwd=class_.course)

    assert expected == class_.results()
    assert 1 == len({verdict.job for verdict in class_.verdicts().values()})


def test_resume_keeps_what_is_done(cluster, class_, expected):
    """A second command with --resume sends nothing, and says that all results are kept."""
    cluster.run(*class_.command_on_slurm(), code=1, cwd=class_.course)

    output = cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)

    assert 4 == output.count("(kept)")
    assert dict.fromkeys(CASES, 1) == class_.times_begun()
    assert expected == class_.results()


def test_ranks_may_be_spread_over_the_nodes_of_a_job(cluster, class_, expected):
    """Scores are the same except for the caveat about traffic, and every job had agents on both nodes."""
    spread = PROFILE.replace("cpus_per_task = 1", "cpus_per_task = 1\nnodes = 2\ntasks_per_node = 2")
    class_.profile.write_text(spread)

    cluster.run(*class_.command_on_slurm("--spread", "--max-jobs", "2"), code=1, cwd=class_.course)

    assert expected == without_caveats(class_.results())
    crews = [read_crew(folder) for folder in (class_.desk.folder / "crews").iterdir()]
    assert [["node0", "node0", "node1", "node1"]] * 2 == [[member.node for member in crew] for crew in crews]


def without_caveats(value):
    """Return results as if bytes had been counted."""
    if isinstance(value, dict):
        return {name: "" if name == "caveat" else without_caveats(part) for name, part in value.items()}
    return [without_caveats(part) for part in value] if isinstance(value, list) else value


def test_spread_is_about_jobs(class_, capfd):
    """--spread without --on is refused, because there are no tasks to spread ranks over."""
    assert 2 == grade.main(class_.command("--spread"))

    assert "add --on PROFILE" in capfd.readouterr().err


@pytest.fixture
def without_bubblewrap(tmp_path):
    """Return a folder with every program but that one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "bwrap":
            (folder / program.name).symlink_to(program)
    return folder


def test_the_command_needs_no_sandbox_of_its_own(cluster, class_, expected, without_bubblewrap):
    """A class is graded although the machine of the command has no bubblewrap, if the nodes have it."""
    class_.profile.write_text(f'setup = ["export PATH=/usr/bin:/bin"]\n{PROFILE}')
    path = f"{cluster.folder / 'bin'}:{without_bubblewrap}"

    cluster.run(*class_.command_on_slurm(), code=1, cwd=class_.course, env={"PATH": path})

    assert expected == class_.results()


def test_nodes_without_the_wall_say_so(cluster, class_, without_bubblewrap):
    """If the nodes have no sandbox, nothing is graded, and the error says why."""
    class_.profile.write_text(f'setup = ["export PATH={without_bubblewrap}"]\n{PROFILE}')

    output = cluster.run(*class_.command_on_slurm("--max-jobs", "1"), code=4, cwd=class_.course, merged=True)

    assert "4 of 4 items have no result" in output
    assert "The wall 'nested' is not available on node" in output.replace("\n", " ")
    assert "bubblewrap is not installed" in output.replace("\n", " ")


def test_what_jobs_wait_for_is_told_without_a_terminal(cluster, class_):
    """Without a terminal, too, the command prints what its jobs wait for."""
    class_.profile.write_text(PROFILE.replace("exclusive = true", "exclusive = true, hold = true"))
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "1"), cwd=class_.course)
    with command:
        line = next(line for line in command.stdout if "JobHeldUser" in line)
        cluster.run("scontrol", "release", f"jobname={class_.name_of(0)}")

    assert 1 == command.returncode
    assert "0 of 4 chapters are graded; 0 jobs running, 1 waiting: PENDING (JobHeldUser).\n" == line


def test_jobs_of_this_machine_end_with_the_command(class_):
    """After Ctrl-C no process of a job on this machine is left."""
    class_.have_judges_run("import time\ntime.sleep(60)\n")
    words = [sys.executable, "-m", "grader.cli.grade", *class_.command("--on", "local")]
    command = subprocess.Popen(words, cwd=class_.course, stdout=subprocess.PIPE, text=True)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    processes = descendants(command.pid)
    assert processes

    command.send_signal(signal.SIGINT)

    output = command.communicate(timeout=60)[0]
    assert 130 == command.returncode
    assert "Interrupted: 0 of 4 submissions are graded, all jobs have ended." in output.replace("\n", " ")
    assert eventually(lambda: not running(processes))


@pytest.mark.parametrize("where", ["local", "debug"])
def test_jobs_without_a_cluster(class_, expected, where, capfd):
    """The same jobs run in processes of this machine, or in the process of the command."""
    assert 1 == grade.main(class_.command("--on", where, "--max-jobs", 2))

    assert expected == class_.results(), capfd.readouterr().out
