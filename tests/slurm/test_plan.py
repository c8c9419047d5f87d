"""The files of a development cluster."""

import re

import pytest

from slurm.dev_cluster.plan import MAX_NODES, ClusterPlan, configuration_files


def plan(**changed):
    """Return a plan."""
    return ClusterPlan(**{"folder": "/tmp/dev", "nodes": 3, "cpus": 16, "gpus": 2, "user": "alice"} | changed)


def test_every_node_has_a_name_and_an_address():
    """The hosts file and slurm.conf agree about every node."""
    files = configuration_files(plan())

    assert "10.99.0.10 node0\n10.99.0.11 node1\n10.99.0.12 node2\n" in files["hosts"]
    assert "NodeName=node[0-2] NodeAddr=10.99.0.[10-12] Port=26820 CPUs=16 Gres=gpu:2" in files["slurm.conf"]


def test_the_last_address_is_one():
    """Even the last node of the largest cluster has a valid address."""
    assert int(plan(nodes=MAX_NODES).address(MAX_NODES - 1).split(".")[3]) < 255


def test_a_job_without_a_partition_can_be_preempted():
    """A job without a partition goes to `main`; `urgent` has all its nodes, and a higher priority."""
    partitions = [line for line in configuration_files(plan())["slurm.conf"].splitlines() if line.startswith("Part")]

    assert [True, False] == ["Default=YES" in line for line in partitions]
    assert [False, True] == ["PriorityTier=2" in line for line in partitions]
    assert all("Nodes=ALL" in line for line in partitions)


@pytest.mark.parametrize(("gpus", "device"), [(4, "File=/dev/tty[0-3]"), (1, "File=/dev/tty[0-0]"), (0, "")])
def test_gpus_are_device_files(gpus, device):
    """There are as many device files as GPUs, and without GPUs no file mentions them."""
    files = configuration_files(plan(gpus=gpus))

    assert device in files["gres.conf"]
    assert bool(gpus) == ("Gres=gpu" in files["slurm.conf"])


def test_every_path_is_in_the_folder():
    """A cluster leaves nothing outside its folder."""
    paths = re.findall(r"=(?:socket=)?(/[^,\s]*)", configuration_files(plan())["slurm.conf"])

    assert len(paths) >= 7
    assert [] == [path for path in paths if not path.startswith("/tmp/dev/")]
