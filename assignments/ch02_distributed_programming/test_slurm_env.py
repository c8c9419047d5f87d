"""Public tests of exercise `slurm_env`: node lists, and environments as srun and torchrun set them."""

import pytest

from assignments.ch02_distributed_programming import programs
from course_env.topology import DistEnv
from grader.harness import assert_matches

exercise = pytest.mark.exercise

# What scontrol show hostnames prints for each.
NODELISTS = {
    "gpu[05]": ["gpu05"],
    "gpu[10,17]": ["gpu10", "gpu17"],
    "gpu[15,19]": ["gpu15", "gpu19"],
    "login1": ["login1"],
    "gpu[01-03,07],login1": ["gpu01", "gpu02", "gpu03", "gpu07", "login1"],
    "node[8-11]": ["node8", "node9", "node10", "node11"],
    "node[08-11]": ["node08", "node09", "node10", "node11"],
    "a[1-2]b[3-4]": ["a1b3", "a1b4", "a2b3", "a2b4"],
}

# Two nodes, two ranks on each, one srun.
SLURM = {
    "SLURM_JOB_ID": "54321",
    "SLURM_JOB_NODELIST": "gpu[10,17]",
    "SLURM_STEP_NODELIST": "gpu[10,17]",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS": "4",
}


def slurm_rank(rank):
    """Return the environment that srun gives to one of four ranks on two nodes."""
    node = rank // 2
    own = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % 2, "SLURM_NODEID": node}
    return SLURM | {name: str(value) for name, value in own.items()} | {"SLURMD_NODENAME": f"gpu{(10, 17)[node]}"}


@exercise("slurm_env", aspect="equivalence")
@pytest.mark.parametrize("nodelist", NODELISTS)
def test_a_node_list_becomes_host_names(student, nodelist):
    """A compact node list expands to the host names that Slurm itself prints, in its order."""
    assert_matches(student.expand_nodelist(nodelist), NODELISTS[nodelist])


@exercise("slurm_env", aspect="equivalence")
def test_srun_gives_each_rank_its_place(launch):
    """Every rank of an srun step finds its own place, and all find the first node and one port to meet at."""
    run = launch(
        programs.dist_envs, 1, shared={"environments": [slurm_rank(rank) for rank in range(4)]}, process_group=False
    )
    expected = [
        DistEnv(
            rank=rank,
            local_rank=rank % 2,
            world_size=4,
            node_rank=rank // 2,
            master_addr="gpu10",
            master_port=10000 + 54321 % 20000,
        )
        for rank in range(4)
    ]
    assert_matches(run["values"], expected)


@exercise("slurm_env", aspect="property")
def test_torchrun_comes_before_slurm(student):
    """Under `srun torchrun` the ranks are torchrun's: Slurm's variables only count the torchruns."""
    torchrun = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "GROUP_RANK": "1"}
    torchrun |= {"MASTER_ADDR": "gpu10", "MASTER_PORT": "12345"}
    found = student.dist_env_from_slurm(slurm_rank(3) | torchrun)
    assert_matches(
        found,
        DistEnv(rank=5, local_rank=1, world_size=8, node_rank=1, master_addr="gpu10", master_port=12345),
    )


@exercise("slurm_env", aspect="property")
def test_rank_0_lives_on_the_first_node_of_its_step(student):
    """A step that runs on a part of the job's nodes meets on the first of its own."""
    environment = slurm_rank(0) | {"SLURM_JOB_NODELIST": "gpu[10-13]", "SLURM_STEP_NODELIST": "gpu[12-13]"}
    assert student.dist_env_from_slurm(environment).master_addr == "gpu12"


@exercise("slurm_env", aspect="robustness")
def test_malformed_node_lists_are_refused(launch):
    """Every malformed list raises a ValueError that quotes it."""
    malformed = ["", "a,,b", "a[1-2", "a1]", "a[]", "a[3-1]", "a[x]"]
    calls = [{"s": nodelist} for nodelist in malformed]
    run = launch(programs.call_each, 1, shared={"function": "expand_nodelist", "calls": calls}, process_group=False)
    for nodelist, error, value in zip(malformed, run["errors"][0], run["values"][0], strict=True):
        assert error, f"expand_nodelist({nodelist!r}) returned {value} instead of raising ValueError"
        assert nodelist in error


@exercise("slurm_env", aspect="robustness")
def test_an_environment_without_a_launcher_is_refused(launch):
    """Where neither torchrun nor srun has left a trace, the error names the variable of each that would be one."""
    run = launch(programs.dist_envs, 1, shared={"environments": [{"HOME": "/home/ada"}]}, process_group=False)
    (error,) = run["errors"][0]
    assert "RANK" in error.replace("SLURM_", "")
    assert "SLURM_PROCID" in error
