"""The development cluster, started for real."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from course_env.errors import ExecutorError, UsageError
from slurm.dev_cluster import __main__ as command
from slurm.dev_cluster import cluster as module
from slurm.dev_cluster.cluster import DevCluster, Process
from tests.slurm.commands import processes_in


def test_a_step_on_two_nodes(cluster):
    """Each node has its own name and address, and both reach each other by name."""
    output = cluster.run("srun", "-N2", "--ntasks-per-node=1", "sh", "-c", 'echo "$(hostname) $(hostname -I)"')
    assert ["node0 10.99.0.10", "node1 10.99.0.11"] == sorted(line.strip() for line in output.splitlines())

    listen = "import socket; s = socket.create_server(('', 5000)); c, a = s.accept(); print(a[0])"
    connect = (
        "import socket, time\n"
        "while True:\n"
        "    try: socket.create_connection(('node0', 5000)); break\n"
        "    except ConnectionRefusedError: time.sleep(.05)\n"
    )
    both = f'if [ $SLURM_NODEID = 0 ]; then exec {sys.executable} -c "{listen}"; else exec {sys.executable} -c "{connect}"; fi'
    assert "10.99.0.11" == cluster.run("srun", "-N2", "--ntasks-per-node=1", "sh", "-c", both).strip()


def test_more_cpus_and_gpus_than_there_are(cluster):
    """Sixteen tasks run at once, and each job sees the GPUs that it asked for."""
    tasks = cluster.run("srun", "-N2", "--ntasks-per-node=8", "hostname").split()
    assert 8 == tasks.count("node0") == tasks.count("node1")

    seen = cluster.run("srun", "-N1", "--gres=gpu:3", "printenv", "CUDA_VISIBLE_DEVICES")
    assert "0,1,2" == seen.strip()


def test_a_job_can_make_a_sandbox(cluster):
    """A job can start bubblewrap, which submitted code runs in."""
    output = cluster.run("srun", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "echo", "inside")
    assert "inside\n" == output


def test_what_is_mounted_in_it_is_on_every_node(own_cluster, tmp_path):
    """A mount in the cluster is visible on every node, and not outside."""
    seen = own_cluster.mount(tmp_path, "1m")

    own_cluster.run("srun", "-N2", "--ntasks-per-node=1", "sh", "-c", f"touch {tmp_path}/$(hostname)")

    assert {"node0", "node1"} == {path.name for path in seen.iterdir()}
    assert [] == list(tmp_path.iterdir())


def test_sacct_knows_running_and_ended_jobs(cluster):
    """The cluster's `sacct` answers although there is no accounting."""
    job = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=true", "--array=0-1").strip()
    cluster.wait_for(f"{job}_0", "COMPLETED")
    cluster.wait_for(f"{job}_1", "COMPLETED")

    header, *rows = cluster.run("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", job).splitlines()
    assert "JobID|State|NodeList" == header
    assert {f"{job}_0|COMPLETED", f"{job}_1|COMPLETED"} == {line.rpartition("|")[0] for line in rows}


def test_a_daemon_that_was_killed_is_started_again(own_cluster):
    """`up` starts the daemons that are gone, and restarts no other."""
    before = own_cluster.pid_inside("node0")
    own_cluster.kill("node1")

    own_cluster.dev.up(nodes=2, cpus=8, gpus=4)

    assert before == own_cluster.pid_inside("node0")
    assert {"node0", "node1"} == set(own_cluster.run("srun", "-N2", "hostname").split())


def test_down_ends_everything_and_nothing_else(own_cluster):
    """After `down` no process of the cluster or of its jobs is left, and a process outside goes on."""
    bystander = subprocess.Popen(["sleep", "1000"])
    own_cluster.run("sbatch", "--output=/dev/null", "--wrap=sleep 1000")
    first = own_cluster.dev.state.first.pid
    namespace = Path(f"/proc/{first}/ns/pid").readlink()

    assert own_cluster.dev.down()

    assert [] == processes_in(namespace)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert own_cluster.dev.state is None
    assert not own_cluster.dev.down()


def test_a_second_cluster_of_another_shape_is_refused(own_cluster):
    """The message says what runs, and what to type."""
    with pytest.raises(UsageError, match=r"2 nodes \(node0, node1\).*First type `down`"):
        own_cluster.dev.up(nodes=3, cpus=8, gpus=4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"nodes": 0}, "--nodes is 0, and must be from 1 to 64"),
        ({"gpus": 65}, "--gpus is 65"),
        ({"cpus": -1}, "--cpus"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(tmp_path, shape, message):
    """A size that is not allowed is refused, and nothing is created."""
    with pytest.raises(UsageError, match=message):
        DevCluster(tmp_path / "dev").up(**{"nodes": 2, "cpus": 8, "gpus": 4} | shape)
    assert not (tmp_path / "dev").exists()


def test_a_folder_with_a_long_path_is_refused(tmp_path):
    """A folder is refused if the path of a socket in it would be too long."""
    with pytest.raises(UsageError, match="Give a shorter --folder"):
        DevCluster(tmp_path / ("x" * 90)).up(nodes=2, cpus=8, gpus=4)


def test_a_folder_of_other_people_is_refused(cluster, tmp_path):
    """A folder that others can write to is refused, because they could read the key."""
    folder = tmp_path / "d"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="not yours alone"):
        DevCluster(folder).up(nodes=2, cpus=8, gpus=4)


def test_without_slurm_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    """The message names the missing program and how to install it."""
    monkeypatch.setattr(module, "NEEDED", ("slurmctld-of-nobody", "sh"))
    with pytest.raises(ExecutorError, match=r"needs slurmctld-of-nobody. Install them: apt install slurm-wlm munge"):
        DevCluster(tmp_path / "dev").up(nodes=2, cpus=8, gpus=4)


def test_a_cluster_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path, monkeypatch, cluster):
    """The error names the logs, and no cluster is left running."""
    broken = tmp_path / "bin" / "munged"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")  # so there will never be a socket
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "START_S", 1.0)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))

    with pytest.raises(ExecutorError, match=f"did not come up. Its logs are in {folder}"):
        DevCluster(folder).up(nodes=2, cpus=8, gpus=4)

    assert DevCluster(folder).state is None
    shutil.rmtree(folder)


def test_a_process_is_not_taken_for_a_later_one():
    """A process with the same id and another start time is another process."""
    own = Process.of(os.getpid())
    assert own.is_alive()
    assert not Process(pid=own.pid, started=own.started - 1).is_alive()


def test_the_command(tmp_path, capfd, cluster):
    """`up`, `status`, `run` and `down` print what a person needs, and exit with the right code."""
    folder = ["--folder", str(cluster.folder)]
    assert 0 == command.main([*folder, "up"])
    assert 0 == command.main([*folder, "status"])
    assert "node0: idle\nnode1: idle\n" in capfd.readouterr().out

    elsewhere = ["--folder", str(tmp_path)]
    assert 1 == command.main([*elsewhere, "status"])
    assert 4 == command.main([*elsewhere, "run", "sinfo"])
    assert "Type: python -m slurm.dev_cluster" in capfd.readouterr().err
    assert 0 == command.main([*elsewhere, "down"])
    assert "No cluster runs" in capfd.readouterr().out
