"""The scripts in `slurm/sbatch/`, really run: each does what its first lines promise."""

import os
import re
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest

from slurm.dev_cluster.cluster import environment

ROOT = Path(__file__).parents[2]
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
PATIENCE_S = 240
STEPS = 200  # some seconds, so that a signal comes in between


class Desk:
    """A folder with the scripts in it, from which jobs are submitted."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.folder = folder
        # Of the interpreter that runs this: torchrun, course and perhaps jupyter-lab, even if it is not activated.
        path = f"{Path(sys.executable).parent}:{environment(cluster.folder)['PATH']}"
        self.environment = {"PATH": path, "HOME": str(folder)}

    def run(self, *command):
        """Run a command to its end; return what it printed."""
        return self.cluster.run(*command, env=self.environment)

    def submit(self, *words):
        """Submit a script; return the number of its job."""
        return self.run("sbatch", "--parsable", *words).strip()

    def said(self, job):
        """Return what a job has printed so far."""
        (name,) = re.findall(r"JobName=(\S+)", self.run("scontrol", "show", "job", job))
        output = self.folder / f"{name}-{job}.out"
        return output.read_text() if output.exists() else ""

    def wait_until_said(self, job, pattern):
        """Wait until a job has printed something; return the match."""
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.said(job))):
            state = self.cluster.job_state(job)
            assert state not in ENDS, f"{state}: {self.said(job)}"
            assert time.monotonic() < end, self.said(job)
            time.sleep(0.1)
        return found

    def end(self, job):
        """Wait for a job's end; return its state and what it printed."""
        return self.cluster.wait_for(job, *ENDS), self.said(job)


@pytest.fixture
def desk(cluster, tmp_path, monkeypatch):
    """Return a folder from which the scripts can be submitted."""
    monkeypatch.chdir(tmp_path)  # commands in the cluster start where this process is
    shutil.copytree(ROOT / "slurm" / "sbatch", tmp_path / "slurm" / "sbatch")
    return Desk(cluster, tmp_path)


def test_train_goes_on_where_the_signal_stopped_it(desk):
    """Two nodes train; at the signal they save and requeue; the second run goes on there, to the loss of a run in one piece."""
    words = ("--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", str(STEPS), "--save-every", str(STEPS))
    job = desk.submit(*words)
    desk.wait_until_said(job, "step 20:")
    desk.run("scancel", "--signal=USR1", "--batch", job)  # as the time limit does
    desk.wait_until_said(job, "back into the queue")
    whole = desk.submit(*words)  # while the other waits in the queue

    assert ("COMPLETED", "COMPLETED") == (desk.end(whole)[0], desk.end(job)[0]), desk.said(whole) + desk.said(job)
    said = desk.said(job)
    assert 2 == len(re.findall(rf"run \d of job {job} on node0 node1", said)), said
    (stopped,) = set(re.findall(r"rank [01] stops after step (\d+)", said))
    assert 20 <= int(stopped) < STEPS
    for rank, node in ((0, "node0"), (1, "node1")):
        assert ["0", stopped] == re.findall(rf"rank {rank} of 2 on {node}, cpu: from step (\d+)", said), said
    assert list(range(1, STEPS + 1)) == [int(step) for step in re.findall(r"step (\d+): loss", said)]
    assert losses(desk.said(whole)) == losses(said)
    assert losses(said)[-1] < 0.9 * losses(said)[0]


def losses(said):
    """Return the losses that a run printed, to the last bit."""
    return [float(loss) for loss in re.findall(r"loss (\S+)", said)]


def test_train_goes_on_where_a_more_important_job_stopped_it(desk):
    """Preempted, it saves, waits in the queue until there is room, and goes on there."""
    job = desk.submit(
        "--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", str(STEPS), "--save-every", str(STEPS)
    )
    desk.wait_until_said(job, "step 20:")
    wants = ("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null")
    urgent = desk.submit(*wants, "--wrap=true")

    assert ("COMPLETED", "COMPLETED") == (desk.cluster.wait_for(urgent, "COMPLETED"), desk.end(job)[0])
    said = desk.said(job)
    (stopped,) = set(re.findall(r"rank [01] stops after step (\d+)", said))
    assert ["0", stopped] == re.findall(r"rank 0 of 2 on node0, cpu: from step (\d+)", said), said
    assert list(range(1, STEPS + 1)) == [int(step) for step in re.findall(r"step (\d+): loss", said)]


def test_train_that_fails_is_not_requeued(desk):
    """Only the signal sends a job back; an error ends it."""
    job = desk.submit("--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", "many")
    state, said = desk.end(job)
    assert "FAILED" == state
    assert "invalid int value: 'many'" in said
    assert "Restarts=0" in desk.run("scontrol", "show", "job", job)


def test_train_has_a_rank_for_each_gpu(desk):
    """What the job asks for is what the launcher starts."""
    job = desk.submit("--gres=gpu:2", "--nodes=1", "slurm/sbatch/train.sbatch", "--steps", "1")
    state, said = desk.end(job)
    assert "COMPLETED" == state, said
    assert ["0", "1"] == sorted(re.findall(r"rank (\d) of 2 on node[01], cpu: from step 0", said))


def test_grade_checks_a_chapter(desk):
    """A job's output is what `course check` prints, and its exit code is the command's."""
    copy_course(desk.folder)
    job = desk.submit("slurm/sbatch/grade.sbatch", "ch01")
    state, said = desk.end(job)
    assert "Score so far: 0 of 15" in said
    assert "FAILED" == state
    assert "ExitCode=1:0" in desk.run("scontrol", "show", "job", job)


def test_grade_grades_a_class(desk):
    """After `run` the words are those of `grade run`."""
    copy_course(desk.folder)
    submitted = desk.folder / "submitted"
    shutil.copytree(ROOT / "tests" / "batch" / "submissions" / "right", submitted / "right")
    job = desk.submit(
        "slurm/sbatch/grade.sbatch", "run", submitted / "right", "--chapters", "ch01", "--out", "out/week1"
    )
    state, said = desk.end(job)
    assert "COMPLETED" == state, said
    assert ["right.json"] == [file.name for file in (desk.folder / "out" / "week1" / "results").iterdir()]


def copy_course(folder):
    """Make the folder a course: small, and without torch."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "tests" / "mini_course", folder, ignore=ignored, dirs_exist_ok=True)


def test_jupyter_is_for_its_owner_only(desk):
    """The server listens at the node's address alone, wants the token, and the token is nowhere for others to read."""
    if shutil.which("jupyter-lab", path=desk.environment["PATH"]) is None:
        pytest.skip("needs JupyterLab: pip install jupyterlab")
    as_root = ["--allow-root"] if os.getuid() == 0 else []
    job = desk.submit("--nodelist=node1", "slurm/sbatch/jupyter.sbatch", *as_root)

    tunnel = desk.wait_until_said(job, r"ssh -N -L (\d+):(\S+):(\d+) \S+@\S+")
    local_port, address, port = tunnel.groups()
    secret = Path(desk.wait_until_said(job, r"cat (\S+)")[1])
    desk.wait_until_said(job, "is running at")

    assert f"10.99.0.11:{10000 + int(job) % 20000}" == f"{address}:{port}"
    on_node = ("srun", f"--jobid={job}", "--overlap", "ss", "--listening", "--tcp", "--numeric", "--no-header")
    assert [f"{address}:{port}"] == [line.split()[3] for line in desk.run(*on_node, f"sport = :{port}").splitlines()]

    assert 0o600 == stat.S_IMODE(secret.stat().st_mode)
    found = re.fullmatch(rf"http://127\.0\.0\.1:{local_port}/lab\?token=([\w-]{{43}})\n", secret.read_text())
    token = found[1]
    assert token not in desk.said(job)
    assert token not in desk.run("ps", "-e", "-o", "args")
    assert "jupyter-lab" in desk.run("ps", "-e", "-o", "args")

    api = f"http://{address}:{port}/api/contents"
    status = ("curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}")
    assert "403" == desk.run(*status, api)
    assert "403" == desk.run(*status, f"{api}?token={token[::-1]}")
    assert "200" == desk.run(*status, f"{api}?token={token}")

    desk.run("scancel", job)
    assert "CANCELLED" == desk.end(job)[0]
    wait_until_gone(secret)


def wait_until_gone(path):
    """Wait until a file is removed."""
    end = time.monotonic() + PATIENCE_S
    while path.exists():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_jupyter_that_is_missing_says_how_to_get_it(desk):
    """The job ends at once, with the command to type."""
    nothing = desk.folder / "nothing"
    job = desk.submit(f"--export=PATH={nothing}", "slurm/sbatch/jupyter.sbatch")
    state, said = desk.end(job)
    assert "FAILED" == state
    assert "pip install jupyterlab" in said


def test_the_recipe_for_salloc(desk):
    """Its commands, in its order, work on two nodes."""
    recipe = (ROOT / "slurm" / "sbatch" / "README.md").read_text().partition("## By hand")[2]
    (block,) = re.findall(r"```shell\n(.*?)```", recipe, flags=re.DOTALL)
    salloc, _, typed = block.partition("\n")

    said = desk.run(*salloc.split(), "bash", "-e", "-c", typed)

    assert {"node0", "node1"} == set(said.split("rank")[0].split()), said
    assert {("0", "node0"), ("1", "node1")} == set(re.findall(r"rank (\d) of 2 on (\w+), cpu", said)), said
    assert "step 20: loss" in said


@pytest.mark.parametrize("script", sorted((ROOT / "slurm" / "sbatch").glob("*.sbatch")), ids=lambda path: path.stem)
def test_a_script_is_taken_by_slurm(desk, script):
    """Its options, those that a student may switch on too, are ones that sbatch knows."""
    text = script.read_text()
    assert text.startswith("#!/bin/bash\n")
    options = re.findall(r"^##SBATCH (--(?:comment|account)=\S+)", text, flags=re.MULTILINE)
    assert ["--comment=pytorch", "--account=YOUR_PROJECT"] == options
    assert "to start at" in desk.cluster.run("bash", "-c", f"sbatch --test-only {' '.join(options)} {script} 2>&1")
