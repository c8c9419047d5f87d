"""Each script in `slurm/sbatch/` does, on a real cluster, what its first lines promise."""

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


class Workspace:
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

    def output_of(self, job):
        """Return what a job has printed so far."""
        (name,) = re.findall(r"JobName=(\S+)", self.run("scontrol", "show", "job", job))
        output = self.folder / f"{name}-{job}.out"
        return output.read_text() if output.exists() else ""

    def wait_for_output(self, job, pattern):
        """Wait until a job has printed something; return the match."""
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.output_of(job))):
            state = self.cluster.job_state(job)
            assert state not in ENDS, f"{state}: {self.output_of(job)}"
            assert time.monotonic() < end, self.output_of(job)
            time.sleep(0.1)
        return found

    def end(self, job):
        """Wait for a job's end; return its state and what it printed."""
        return self.cluster.wait_for(job, *ENDS), self.output_of(job)


@pytest.fixture
def workspace(cluster, tmp_path, monkeypatch):
    """Return a folder from which the scripts can be submitted."""
    monkeypatch.chdir(tmp_path)  # commands in the cluster start where this process is
    shutil.copytree(ROOT / "slurm" / "sbatch", tmp_path / "slurm" / "sbatch")
    return Workspace(cluster, tmp_path)


def test_train_goes_on_where_the_signal_stopped_it(workspace):
    """At the signal two nodes save and requeue; the second run goes on there, with the losses of a run in one piece."""
    words = ("--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", str(STEPS), "--save-every", str(STEPS))
    job = workspace.submit(*words)
    workspace.wait_for_output(job, "step 20:")
    workspace.run("scancel", "--signal=USR1", "--batch", job)  # as the time limit does
    workspace.wait_for_output(job, "back into the queue")
    whole = workspace.submit(*words)  # while the other waits in the queue

    assert ("COMPLETED", "COMPLETED") == (workspace.end(whole)[0], workspace.end(job)[0]), workspace.output_of(
        whole
    ) + workspace.output_of(job)
    output = workspace.output_of(job)
    assert 2 == len(re.findall(rf"run \d of job {job} on node0 node1", output)), output
    (stopped,) = set(re.findall(r"rank [01] stops after step (\d+)", output))
    assert 20 <= int(stopped) < STEPS
    for rank, node in ((0, "node0"), (1, "node1")):
        assert ["0", stopped] == re.findall(rf"rank {rank} of 2 on {node}, cpu: from step (\d+)", output), output
    assert list(range(1, STEPS + 1)) == [int(step) for step in re.findall(r"step (\d+): loss", output)]
    assert losses(workspace.output_of(whole)) == losses(output)
    assert losses(output)[-1] < 0.9 * losses(output)[0]


def losses(output):
    """Return the losses that a run printed, to the last bit."""
    return [float(loss) for loss in re.findall(r"loss (\S+)", output)]


def test_train_goes_on_where_a_more_important_job_stopped_it(workspace):
    """A preempted job saves, waits in the queue until there is room, and goes on where it was."""
    job = workspace.submit(
        "--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", str(STEPS), "--save-every", str(STEPS)
    )
    workspace.wait_for_output(job, "step 20:")
    wants = ("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null")
    urgent = workspace.submit(*wants, "--wrap=true")

    assert ("COMPLETED", "COMPLETED") == (workspace.cluster.wait_for(urgent, "COMPLETED"), workspace.end(job)[0])
    output = workspace.output_of(job)
    (stopped,) = set(re.findall(r"rank [01] stops after step (\d+)", output))
    assert ["0", stopped] == re.findall(r"rank 0 of 2 on node0, cpu: from step (\d+)", output), output
    assert list(range(1, STEPS + 1)) == [int(step) for step in re.findall(r"step (\d+): loss", output)]


def test_train_that_fails_is_not_requeued(workspace):
    """Only the signal sends a job back; an error ends it."""
    job = workspace.submit("--cpus-per-task=1", "slurm/sbatch/train.sbatch", "--steps", "many")
    state, output = workspace.end(job)
    assert "FAILED" == state
    assert "invalid int value: 'many'" in output
    assert "Restarts=0" in workspace.run("scontrol", "show", "job", job)


def test_train_has_a_rank_for_each_gpu(workspace):
    """The launcher starts one rank for each GPU that the job asks for."""
    job = workspace.submit("--gres=gpu:2", "--nodes=1", "slurm/sbatch/train.sbatch", "--steps", "1")
    state, output = workspace.end(job)
    assert "COMPLETED" == state, output
    assert ["0", "1"] == sorted(re.findall(r"rank (\d) of 2 on node[01], cpu: from step 0", output))


def test_grade_checks_a_chapter(workspace):
    """A job's output is what `course check` prints, and its exit code is the command's."""
    copy_course(workspace.folder)
    job = workspace.submit("slurm/sbatch/grade.sbatch", "ch01")
    state, output = workspace.end(job)
    assert "Score so far: 0 of 15" in output
    assert "FAILED" == state
    assert "ExitCode=1:0" in workspace.run("scontrol", "show", "job", job)


def test_grade_grades_a_class(workspace):
    """The words after `run` are passed to `grade run`."""
    copy_course(workspace.folder)
    submitted = workspace.folder / "submitted"
    shutil.copytree(ROOT / "tests" / "batch" / "submissions" / "right", submitted / "right")
    job = workspace.submit(
        "slurm/sbatch/grade.sbatch", "run", submitted / "right", "--chapters", "ch01", "--out", "out/week1"
    )
    state, output = workspace.end(job)
    assert "COMPLETED" == state, output
    assert ["right.json"] == [file.name for file in (workspace.folder / "out" / "week1" / "results").iterdir()]


def copy_course(folder):
    """Make the folder a course: small, and without torch."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "tests" / "mini_course", folder, ignore=ignored, dirs_exist_ok=True)


def test_jupyter_is_for_its_owner_only(workspace):
    """The server listens only at the node's address and requires the token, which nobody else can read."""
    if shutil.which("jupyter-lab", path=workspace.environment["PATH"]) is None:
        pytest.skip("needs JupyterLab: pip install jupyterlab")
    as_root = ["--allow-root"] if os.getuid() == 0 else []
    job = workspace.submit("--nodelist=node1", "slurm/sbatch/jupyter.sbatch", *as_root)

    tunnel = workspace.wait_for_output(job, r"ssh -N -L (\d+):(\S+):(\d+) \S+@\S+")
    local_port, address, port = tunnel.groups()
    secret = Path(workspace.wait_for_output(job, r"cat (\S+)")[1])
    workspace.wait_for_output(job, "is running at")

    assert f"10.99.0.11:{10000 + int(job) % 20000}" == f"{address}:{port}"
    on_node = ("srun", f"--jobid={job}", "--overlap", "ss", "--listening", "--tcp", "--numeric", "--no-header")
    assert [f"{address}:{port}"] == [
        line.split()[3] for line in workspace.run(*on_node, f"sport = :{port}").splitlines()
    ]

    assert 0o600 == stat.S_IMODE(secret.stat().st_mode)
    found = re.fullmatch(rf"http://127\.0\.0\.1:{local_port}/lab\?token=([\w-]{{43}})\n", secret.read_text())
    token = found[1]
    assert token not in workspace.output_of(job)
    assert token not in workspace.run("ps", "-e", "-o", "args")
    assert "jupyter-lab" in workspace.run("ps", "-e", "-o", "args")

    api = f"http://{address}:{port}/api/contents"
    status = ("curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}")
    assert "403" == workspace.run(*status, api)
    assert "403" == workspace.run(*status, f"{api}?token={token[::-1]}")
    assert "200" == workspace.run(*status, f"{api}?token={token}")

    workspace.run("scancel", job)
    assert "CANCELLED" == workspace.end(job)[0]
    wait_until_gone(secret)


def wait_until_gone(path):
    """Wait until a file is removed."""
    end = time.monotonic() + PATIENCE_S
    while path.exists():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_jupyter_that_is_missing_says_how_to_get_it(workspace):
    """Without JupyterLab the job ends at once, and prints the command that installs it."""
    nothing = workspace.folder / "nothing"
    job = workspace.submit(f"--export=PATH={nothing}", "slurm/sbatch/jupyter.sbatch")
    state, output = workspace.end(job)
    assert "FAILED" == state
    assert "pip install jupyterlab" in output


def test_the_recipe_for_salloc(workspace):
    """The commands of the README's recipe work, in their order, on two nodes."""
    recipe = (ROOT / "slurm" / "sbatch" / "README.md").read_text().partition("## By hand")[2]
    (block,) = re.findall(r"```shell\n(.*?)```", recipe, flags=re.DOTALL)
    salloc, _, typed = block.partition("\n")

    output = workspace.run(*salloc.split(), "bash", "-e", "-c", typed)

    assert {"node0", "node1"} == set(output.split("rank")[0].split()), output
    assert {("0", "node0"), ("1", "node1")} == set(re.findall(r"rank (\d) of 2 on (\w+), cpu", output)), output
    assert "step 20: loss" in output


@pytest.mark.parametrize("script", sorted((ROOT / "slurm" / "sbatch").glob("*.sbatch")), ids=lambda path: path.stem)
def test_a_script_is_taken_by_slurm(workspace, script):
    """Slurm knows every option of a script, including those that a student may switch on."""
    text = script.read_text()
    assert text.startswith("#!/bin/bash\n")
    options = re.findall(r"^##SBATCH (--(?:comment|account)=\S+)", text, flags=re.MULTILINE)
    assert ["--comment=pytorch", "--account=YOUR_PROJECT"] == options
    assert "to start at" in workspace.cluster.run("bash", "-c", f"sbatch --test-only {' '.join(options)} {script} 2>&1")
