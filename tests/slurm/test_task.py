"""A process finds out which task of a job it is."""

import pytest

from slurm.task import current_task

OF_SLURM = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "gpu[05,07]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURMD_NODENAME": "gpu07",
    "SLURM_RESTART_COUNT": "2",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.5",
}


@pytest.fixture
def slurm_says(monkeypatch):
    """Return a function by which Slurm tells this process something else than usual."""

    def tell(**changes):
        for name, value in (OF_SLURM | changes).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return tell


def test_a_task_of_slurm(slurm_says):
    """Rank, number of tasks, node, run and first node come from Slurm's variables."""
    slurm_says()
    task = current_task()

    assert (3, 4, "gpu07", 2, "10.0.0.5") == (task.rank, task.num_tasks, task.node, task.run, task.first_node)


@pytest.mark.parametrize("address", [None, "fe80::1"])
def test_where_no_address_is_told_the_name_of_the_first_node_will_do(slurm_says, address):
    """Without an IPv4 address the first node is known by its name, and not by the loopback address."""
    slurm_says(SLURM_LAUNCH_NODE_IPADDR=address)

    assert "gpu05" == current_task().first_node


def test_outside_of_any_job_there_is_one_task(monkeypatch):
    """Outside of a job this process is the only task, on this machine."""
    for name in OF_SLURM:
        monkeypatch.delenv(name, raising=False)

    task = current_task()

    assert (0, 1, 0, "127.0.0.1") == (task.rank, task.num_tasks, task.run, task.first_node)
