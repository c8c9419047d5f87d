"""A class is graded on a cluster: the results are those of this machine."""

import pytest

from grader.cli import grade
from grader.harness.agents.roster import read_crew
from tests.slurm.small_class import CASES, PROFILE


def test_results_are_those_of_this_machine(cluster, class_, expected):
    """On two nodes every field is as here, apart from times; each submission was graded once, and both nodes did some."""
    told = cluster.run(*class_.command_on_slurm(), code=1, cwd=class_.course)

    assert "Grading 4 submissions on ch01: at most 64 jobs on" in told
    assert expected == class_.results()
    assert dict.fromkeys(CASES, 1) == class_.times_begun()
    assert {"node0", "node1"} == {verdict.node for verdict in class_.verdicts().values()}
    assert [] == class_.desk.losses()
    assert {path.stem for path in (class_.out / "feedback").iterdir()} == set(CASES)


def test_max_jobs_is_the_most_that_is_sent(cluster, class_, expected):
    """Four items in one job are four verdicts of that job."""
    cluster.run(*class_.command_on_slurm("--max-jobs", "1"), code=1, cwd=class_.course)

    assert expected == class_.results()
    assert 1 == len({verdict.job for verdict in class_.verdicts().values()})


def test_resume_keeps_what_is_done(cluster, class_, expected):
    """A second command sends nothing, and says so."""
    cluster.run(*class_.command_on_slurm(), code=1, cwd=class_.course)

    told = cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)

    assert 4 == told.count("(kept)")
    assert dict.fromkeys(CASES, 1) == class_.times_begun()
    assert expected == class_.results()


def test_ranks_may_be_spread_over_the_nodes_of_a_job(cluster, class_, expected):
    """The same scores; what was uncounted says so; every job had agents on both nodes."""
    spread = PROFILE.replace("cpus_per_task = 1", "cpus_per_task = 1\nnodes = 2\ntasks_per_node = 2")
    class_.profile.write_text(spread)

    cluster.run(*class_.command_on_slurm("--spread", "--max-jobs", "2"), code=1, cwd=class_.course)

    assert expected == without_caveats(class_.results())
    crews = [read_crew(folder) for folder in (class_.desk.folder / "crews").iterdir()]
    assert [["node0", "node0", "node1", "node1"]] * 2 == [[member.node for member in crew] for crew in crews]


def without_caveats(value):
    """Return results as if bytes had been counted."""
    if isinstance(value, dict):
        return {name: "" if name == "caveat" else without_caveats(one) for name, one in value.items()}
    return [without_caveats(one) for one in value] if isinstance(value, list) else value


def test_spread_is_about_jobs(class_, capfd):
    """Here there are no tasks to spread over."""
    assert 2 == grade.main(class_.command("--spread"))

    assert "add --on PROFILE" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["local", "debug"])
def test_jobs_without_a_cluster(class_, expected, where, capfd):
    """The same jobs run as processes of this machine, or in this very process."""
    assert 1 == grade.main(class_.command("--on", where, "--max-jobs", 2))

    assert expected == class_.results(), capfd.readouterr().out
