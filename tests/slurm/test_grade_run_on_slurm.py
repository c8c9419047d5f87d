"""A class is graded on a cluster: the results are those of this machine, whatever happens to nodes, jobs and files."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from grader.batch.desk import Desk
from grader.batch.work_items import Item
from grader.cli import grade
from grader.harness.agents.roster import read_crew

TESTS = Path(__file__).parent.parent
CASES = ("right", "half_right", "missing_file", "wrong_type")
CHAPTER = "ch01_arithmetic"
PATIENCE_S = 240

# Every job is small, so that there are several, and has a node to itself, so that both nodes have some.
PROFILE = """
cpus_per_task = 1
minutes = 10
worthwhile_minutes = 0.01
settle_s = 1.0
sbatch = { exclusive = true }
"""


class Class:
    """Some submissions to the mini course, and where their results go."""

    def __init__(self, folder):
        ignored = shutil.ignore_patterns("__pycache__", "expected.json")
        self.course = shutil.copytree(TESTS / "mini_course", folder / "course", ignore=ignored)
        self.submissions = [
            shutil.copytree(TESTS / "batch" / "submissions" / case, folder / "submitted" / case, ignore=ignored)
            for case in CASES
        ]
        self.profile = folder / "profile.toml"
        self.profile.write_text(PROFILE)
        self.out = folder / "out"

    def command(self, *options, out=None):
        """Return the words of a `grade run` of all submissions."""
        words = ("run", *self.submissions, "--chapters", "ch01", "--seed", 5, "--out", out or self.out, *options)
        return [str(word) for word in words]

    def command_on_slurm(self, *options):
        """Return what to type in the cluster."""
        return [sys.executable, "-m", "grader.cli.grade", *self.command("--on", self.profile, *options)]

    @property
    def desk(self):
        """The folder that the command and its jobs share."""
        return Desk(self.out / "jobs")

    def results(self, out=None):
        """Return what the result files say, without times."""
        files = sorted(((out or self.out) / "results").iterdir())
        return {file.stem: without_times(json.loads(file.read_text())) for file in files}

    def verdicts(self):
        """Return the verdicts by submission, as far as there are some."""
        desk, token = self.desk, self.desk.read_plan().token
        found = {case: desk.verdict(Item(case, CHAPTER), token) for case in CASES}
        return {case: verdict for case, verdict in found.items() if verdict is not None}

    def times_begun(self):
        """Return how often each submission was begun."""
        return {case: self.desk.times_begun(Item(case, CHAPTER)) for case in CASES}

    def wait_until(self, condition):
        """Wait for something that jobs do."""
        end = time.monotonic() + PATIENCE_S
        while not (self.desk.read_plan() and condition()):
            assert time.monotonic() < end
            time.sleep(0.05)


def without_times(value):
    """Return JSON without the fields that differ from run to run."""
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name != "seconds"}
    return [without_times(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def class_(tmp_path, monkeypatch):
    """Return a class that nobody has graded yet."""
    made = Class(tmp_path)
    monkeypatch.chdir(made.course)
    return made


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the results of this machine."""
    made = Class(tmp_path_factory.mktemp("local"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.course)
        assert 1 == grade.main(made.command())
    return made.results()


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_command_may_end_before_its_jobs(cluster, class_, expected, number):
    """Jobs go on without it, and a later command finds them: nothing is graded twice."""
    command = cluster.start(*class_.command_on_slurm(), cwd=class_.course)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    (inside,) = cluster.run("pgrep", "--full", f"grade run.*{class_.out}|grader.cli.grade run.*{class_.out}").split()
    cluster.run("kill", f"-{number.value}", inside)
    told = command.communicate()[0]
    if number is signal.SIGINT:
        assert "the jobs go on. Type the same command with --resume" in told

    cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)

    assert expected == class_.results()
    assert dict.fromkeys(CASES, 1) == class_.times_begun()


def test_a_job_that_is_cancelled_costs_only_time(cluster, class_, expected):
    """Its items are sent again, and why is written down."""
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "1"), cwd=class_.course)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    job = cluster.run("squeue", "--noheader", "--array", f"--name={name_of(class_, 0)}", "--format=%i").split()[0]
    done_before = class_.verdicts()
    cluster.run("scancel", job)

    told = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), told
    losses = class_.desk.losses()
    assert losses
    assert {job} == {loss.job for loss in losses}
    assert all(loss.state.startswith("CANCELLED") for loss in losses)
    assert all(verdict == class_.verdicts()[case] for case, verdict in done_before.items())


def test_a_job_that_runs_into_its_time_limit_is_sent_again(cluster, class_, expected):
    """Slurm ends it, and the next one does what it had not done."""
    late = class_.course / "late"
    line = f"test -e {late} || {{ touch {late}; sleep 300; }}"
    profile = PROFILE.replace("exclusive = true", "exclusive = true, time = 1")  # minutes; Slurm counts nothing less
    class_.profile.write_text(profile + f'setup = ["{line}"]\n')

    told = cluster.run(*class_.command_on_slurm("--max-jobs", "1"), code=1, cwd=class_.course)

    assert expected == class_.results(), told
    assert {"TIMEOUT"} == {loss.state.split()[0] for loss in class_.desk.losses()}
    assert 4 == len(class_.desk.losses())


def test_a_job_that_is_requeued_goes_on_where_it_was(cluster, class_, expected):
    """What it had graded stays graded."""
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "1"), cwd=class_.course)
    class_.wait_until(class_.verdicts)
    before = class_.verdicts()
    job = cluster.run("squeue", "--noheader", f"--name={name_of(class_, 0)}", "--format=%i").split()[0]
    cluster.run("scontrol", "requeue", job)

    told = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), told
    assert before.items() <= class_.verdicts().items()
    assert all(class_.times_begun()[case] == 1 for case in before)


@pytest.mark.parametrize("revived", [True, False])
def test_a_slurmd_that_is_killed_costs_nothing(own_cluster, class_, expected, revived):
    """Whatever becomes of its jobs, every submission has its result, whether the node comes back or not."""
    command = own_cluster.start(*class_.command_on_slurm(), cwd=class_.course)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    own_cluster.kill("node1")
    if revived:
        own_cluster.dev.up(nodes=2, cpus=8, gpus=4)

    told = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), told


def test_a_forged_verdict_is_no_verdict(cluster, class_, expected):
    """A file that no job wrote earns nothing, whoever it flatters, and is replaced."""
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "1"), cwd=class_.course)
    class_.wait_until(lambda: "right" in class_.verdicts())
    true = (class_.desk.folder / "items" / "right" / CHAPTER / "verdict").read_bytes()
    code, _, content = true.partition(b"\n")
    verdict = json.loads(content)
    forgeries = {
        "wrong_type": code + b"\n" + json.dumps(verdict | {"item": ["wrong_type", CHAPTER]}).encode(),
        "half_right": true,  # another's, whole and with a good code
        "missing_file": b"\xff" * 100,
    }
    for case, forged in forgeries.items():
        folder = class_.desk.folder / "items" / case / CHAPTER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "verdict").write_bytes(forged)

    told = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), told


def test_a_batch_that_can_write_no_verdict_says_which_items_are_open(cluster, class_, expected):
    """A full folder costs no points: the items are named, and a later command grades them."""
    class_.out.mkdir()
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "1"), cwd=class_.course)
    class_.wait_until((class_.desk.folder / "rounds").exists)
    items = class_.desk.folder / "items"
    if items.exists():
        shutil.rmtree(items)
    items.write_text("where a folder should be")  # the machine refuses what jobs want to write, as a full disk does

    told = command.communicate(timeout=PATIENCE_S)[0]

    assert 4 == command.returncode
    assert "4 of 4 items have no result, through no fault of theirs that is known" in told
    assert "FAILED" in told
    items.unlink()
    cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)
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


def name_of(class_, number):
    """Return the name of a round's jobs."""
    return class_.desk.read_plan().jobs_of(number)
