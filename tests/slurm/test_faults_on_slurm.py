"""A class is graded on a cluster whatever happens to nodes, jobs and files: no item is lost, graded twice, or forged."""

import contextlib
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.slurm.small_class import CASES, CHAPTER, PATIENCE_S, PROFILE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_command_may_end_before_its_jobs(cluster, class_, expected, number):
    """Jobs go on after the command has ended, and a later command finds them: nothing is graded twice."""
    command = cluster.start(*class_.command_on_slurm(), cwd=class_.course)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    (inside,) = cluster.run("pgrep", "--full", f"grade run.*{class_.out}|grader.cli.grade run.*{class_.out}").split()
    cluster.run("kill", f"-{number.value}", inside)
    output = command.communicate()[0]
    if number is signal.SIGINT:
        assert "the jobs go on. Type the same command with --resume" in output

    cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)

    assert expected == class_.results()
    assert dict.fromkeys(CASES, 1) == class_.times_begun()


def test_an_array_task_that_is_cancelled_costs_only_what_it_had_not_finished(cluster, class_, expected):
    """Its unfinished items are sent again, with the reason written down; all others were begun once."""
    go = class_.course / "go"
    setup = f'setup = ["until test -e {go}-$SLURM_ARRAY_TASK_ID; do sleep 0.1; done"]\n'
    class_.profile.write_text(PROFILE.replace("exclusive = true", "") + setup)  # all three tasks are there at once
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "3"), cwd=class_.course)
    class_.wait_until(lambda: ["RUNNING"] * 3 == states(cluster, class_.name_of(0)))
    (number,) = (number for number, pack in enumerate(class_.rounds()[0]) if len(pack) == 2)
    finished, unfinished = class_.rounds()[0][number]
    Path(f"{go}-{number}").touch()
    class_.wait_until(lambda: finished.submission in class_.verdicts() and class_.begun(unfinished.submission))
    (task,) = {begun.job for begun in class_.begun(unfinished.submission)}
    assert task.endswith(f"_{number}")
    cluster.run("scancel", task)
    class_.wait_until(class_.losses)
    for other in (*range(3), ""):  # the job that is sent for the rest is no array
        Path(f"{go}-{other}").touch()

    output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output
    (loss,) = class_.losses()
    assert (unfinished, task) == (loss.item, loss.job)
    assert loss.state.startswith("CANCELLED")
    assert {case: 1 + (case == unfinished.submission) for case in CASES} == class_.times_begun()


def test_a_job_that_runs_into_its_time_limit_is_sent_again(cluster, class_, expected):
    """Slurm ends the job in the middle of a judge, and the next job grades what it had not finished."""
    late = class_.course / "late"
    class_.have_judges_run(f"""
import pathlib, time

late = pathlib.Path({str(late)!r})
if not late.exists():
    late.touch()
    time.sleep(300)
""")
    # A minute, because Slurm counts nothing less; a signal that nobody minds, because submitit's would come at the start.
    profile = PROFILE.replace("exclusive = true", 'exclusive = true, time = 1, signal = "CONT@1"')
    class_.profile.write_text(profile)

    output = cluster.run(*class_.command_on_slurm("--max-jobs", "1"), code=1, cwd=class_.course)

    assert expected == class_.results(), output
    assert {"TIMEOUT"} == {loss.state.split()[0] for loss in class_.losses()}
    assert 4 == len(class_.losses())
    assert [1, 1, 1, 2] == sorted(class_.times_begun().values()), "only what was cut was begun again"


def requeue(cluster, name):
    """Have the jobs of a name begin again, as an administrator would."""
    jobs = cluster.run("squeue", "--noheader", "--array", f"--name={name}", "--format=%i").split()
    cluster.run("scontrol", "requeue", ",".join(jobs))


def preempt(cluster, _name):
    """Have a more important job take all nodes."""
    wants = ("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null")
    job = cluster.run("sbatch", "--parsable", *wants, "--wrap=true").strip()
    cluster.wait_for(job, "COMPLETED")


@pytest.mark.parametrize("interrupt", [requeue, preempt])
def test_jobs_that_begin_again_go_on_where_they_were(cluster, class_, expected, interrupt):
    """What was graded before a requeue is not begun again; each beginning says in which run of the job it was."""
    command = cluster.start(*class_.command_on_slurm("--max-jobs", "2"), cwd=class_.course)
    class_.wait_until(class_.verdicts)
    before = class_.verdicts()
    interrupt(cluster, class_.name_of(0))

    output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output
    assert before.items() <= class_.verdicts().items()
    assert {1} == {class_.times_begun()[case] for case in before}
    assert {2} == {run for case in CASES for run in class_.times_begun().values() if run != 1}
    assert {0, 1} == {begun.restarts for case in CASES for begun in class_.begun(case)}
    assert ([], 1) == (class_.losses(), len(class_.rounds()))


@pytest.mark.parametrize("revived", [True, False])
def test_a_slurmd_that_is_killed_costs_nothing(own_cluster, class_, expected, revived):
    """Every submission has its result, whether the node comes back or not."""
    command = own_cluster.start(*class_.command_on_slurm(), cwd=class_.course)
    class_.wait_until(lambda: any(class_.times_begun().values()))
    own_cluster.kill("node1")
    if revived:
        own_cluster.dev.up(nodes=2, cpus=8, gpus=4)

    output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output


def test_a_forged_verdict_is_no_verdict(cluster, class_, expected):
    """A verdict that no job wrote for this item is ignored, and replaced."""
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

    output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output


BEFORE_JOBS_BEGIN = "before jobs begin"
WHEN_SOMETHING_IS_GRADED = "when something is graded"


@pytest.mark.parametrize("moment", [BEFORE_JOBS_BEGIN, WHEN_SOMETHING_IS_GRADED])
def test_a_full_folder_costs_only_time(own_cluster, class_, expected, moment):
    """If nothing can be written, the open items are named; once there is room, they and no others are graded."""
    class_.out.mkdir()
    class_.seen = own_cluster.mount(class_.out, "2m")
    go = class_.course / "go"
    class_.profile.write_text(PROFILE + f'setup = ["until test -e {go}; do sleep 0.1; done"]\n')
    command = own_cluster.start(*class_.command_on_slurm("--max-jobs", "2"), cwd=class_.course)
    if moment == BEFORE_JOBS_BEGIN:
        class_.wait_until(lambda: "RUNNING" in states(own_cluster, class_.name_of(0)))
        fill(class_.seen)
    go.touch()
    class_.wait_until(lambda: moment == BEFORE_JOBS_BEGIN or class_.verdicts())
    output = kept_full(class_.seen, command)
    before, begun = class_.verdicts(), class_.times_begun()
    (class_.seen / FILLER).unlink()

    assert 4 == command.returncode, output
    assert "No space left on device" in output
    assert "type the same command with --resume" in output
    results = class_.seen / "results"
    assert {case for case in CASES if not (results / f"{case}.json").exists()} == set(named(output))
    own_cluster.run(*class_.command_on_slurm("--resume"), code=1, cwd=class_.course)
    assert expected == class_.results()
    assert (moment == WHEN_SOMETHING_IS_GRADED) == bool(before)
    assert before.items() <= class_.verdicts().items()
    assert {case: begun[case] for case in before} == {case: class_.times_begun()[case] for case in before}


def states(cluster, name):
    """Return the states of the jobs of a name."""
    return cluster.run("squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%T").split()


FILLER = "filler"


def fill(folder):
    """Leave no room in a folder's file system."""
    with (folder / FILLER).open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def kept_full(folder, command):
    """Take all room in a folder, and what becomes free, until a command has ended; return what it printed."""
    end = time.monotonic() + PATIENCE_S
    while command.poll() is None:
        assert time.monotonic() < end
        fill(folder)
        time.sleep(0.05)
    return command.communicate()[0]


def named(output):
    """Return the submissions whose items a message lists."""
    return [line.partition("/")[0] for line in output.splitlines() if line.endswith(f"/{CHAPTER}")]


class SlowFolder:
    """A folder of which each machine has its own view: what one machine writes is visible to the others only later.

    As on a file server, only the first file that is written under a name stays; it replaces all others.

    late: called with a file's path in the folder and the seconds since it was first seen; returns whether it is hidden
    """

    def __init__(self, views, late):
        self._views = views
        self._late = late
        self._files = {}
        self._over = threading.Event()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._carrying = self._pool.submit(self._carry_on)
        return self

    def __exit__(self, *_):
        self._over.set()
        self._pool.shutdown()
        self._carrying.result()  # nothing that went wrong there is hidden

    def _carry_on(self):
        while not self._over.wait(0.05):
            now = time.monotonic()
            for view in self._views:
                for path in files_in(view):
                    self._files.setdefault(path.relative_to(view), (path.read_bytes(), now))
            for name, (content, since) in self._files.items():
                if not self._late(name, now - since):
                    self._show(name, content)

    def _show(self, name, content):
        for path in (view / name for view in self._views):
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                new = path.with_name(f".{name.name}.carried")
                new.write_bytes(content)
                new.replace(path)


def files_in(folder):
    """Return the files in a folder that have their final names."""
    return [path for path in folder.rglob("*") if not path.name.startswith(".") and path.is_file()]


@contextmanager
def slow_folder(cluster, class_, *options, late):
    """Start a command whose jobs see, at first, nothing on their desk; yield it, while files are carried to and fro."""
    go = class_.course / "go"
    setup = f'setup = ["until test -e {go}; do sleep 0.1; done"]\n'
    class_.profile.write_text(class_.profile.read_text() + setup)
    command = cluster.start(*class_.command_on_slurm(*options), cwd=class_.course)
    class_.wait_until(class_.rounds)
    views = {node: class_.out.with_name(f"desk_of_{node}") for node in ("node0", "node1")}
    for node, view in views.items():
        view.mkdir()
        cluster.show(node, view, class_.desk.folder)
    with SlowFolder([class_.desk.folder, *views.values()], late):
        go.touch()
        yield command


def test_a_folder_that_shows_files_late_costs_nothing(own_cluster, class_, expected):
    """Jobs wait for the plan, and the command waits for verdicts: each item is begun once, and none counts as lost."""
    class_.profile.write_text(PROFILE.replace("settle_s = 1.0", "settle_s = 20.0"))

    with slow_folder(own_cluster, class_, late=lambda _name, age: age < 3) as command:
        output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output
    assert dict.fromkeys(CASES, 1) == class_.times_begun()
    assert {"node0", "node1"} == {verdict.node for verdict in class_.verdicts().values()}
    assert ([], 1) == (class_.losses(), len(class_.rounds()))


def test_a_folder_that_shows_files_too_late_costs_only_time(own_cluster, class_, expected):
    """Items are sent again to a node that does not see their verdicts: the first verdict counts, and no job fails."""
    class_.profile.write_text(PROFILE.replace("settle_s = 1.0", "settle_s = 0.0"))

    def late(name, age):
        return len(jobs_that_began(class_)) < 2 if name.name == "verdict" else age < 3

    with slow_folder(own_cluster, class_, "--max-jobs", "1", late=late) as command:
        class_.wait_until(lambda: jobs_that_began(class_))
        ((_, node),) = jobs_that_began(class_)
        own_cluster.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        output = command.communicate(timeout=PATIENCE_S)[0]
        rounds = range(len(class_.rounds()))
        class_.wait_until(lambda: not {"RUNNING", "COMPLETING", "PENDING"} & ended(own_cluster, class_, rounds))

    assert expected == class_.results(), output
    assert {"COMPLETED"} == ended(own_cluster, class_, rounds)
    assert 2 == len(jobs_that_began(class_))
    assert {"COMPLETED"} == {loss.state for loss in class_.losses()}
    assert {node} == {verdict.node for verdict in class_.verdicts().values()}


def jobs_that_began(class_):
    """Return the jobs, with their nodes, whose beginning with an item the command can see."""
    return {(begun.job, begun.node) for case in CASES for begun in class_.begun(case)}


def ended(cluster, class_, rounds):
    """Return the states of all jobs of these rounds."""
    return {state for number in rounds for state in states(cluster, class_.name_of(number))}


def test_what_a_node_had_not_finished_when_it_died_is_graded_on_another(own_cluster, class_, expected):
    """If a node dies, its unfinished items are graded on another, with NODE_FAIL written down, and nothing else is lost."""
    class_.profile.write_text(PROFILE.replace("exclusive = true", "exclusive = true, no-requeue = true"))
    command = own_cluster.start(*class_.command_on_slurm("--max-jobs", "2"), cwd=class_.course)
    class_.wait_until(lambda: "node1" in {node for _, node in jobs_that_began(class_)})
    own_cluster.kill_node("node1")
    lost = {item for item in items_of("node1", class_) if item.submission not in class_.verdicts()}

    output = command.communicate(timeout=PATIENCE_S)[0]

    assert expected == class_.results(), output
    assert lost
    assert lost == {loss.item for loss in class_.losses()}
    assert {"NODE_FAIL"} == {loss.state.split()[0] for loss in class_.losses()}
    assert {"node0"} == {class_.verdicts()[item.submission].node for item in lost}
    again = {case for case, times in class_.times_begun().items() if times > 1}
    assert again <= {item.submission for item in lost}


def items_of(node, class_):
    """Return the items of the first round's job that began on a node."""
    (index,) = {int(job.partition("_")[2]) for job, where in jobs_that_began(class_) if where == node}
    return class_.rounds()[0][index]
