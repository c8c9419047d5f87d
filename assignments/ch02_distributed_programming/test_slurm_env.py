"""Public tests of exercise `slurm_env`: node lists, and environments as srun and torchrun set them."""

import re
from dataclasses import replace

import pytest
import torch

from assignments.ch02_distributed_programming import programs
from course_env.rank_programs import call_each
from course_env.topology import DistEnv
from grader.harness import assert_each_returns, assert_matches, assert_returns, exercise

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
    "n[2,1-2],n1": ["n2", "n1", "n2", "n1"],
}


def drawn(low, high):
    """Return a number from `low` to `high` - 1."""
    return int(torch.randint(low, high, ()))


def slurm_rank(rank, *, job=54321, nodes=(10, 17)):
    """Return the environment that srun gives to one of four ranks, two on each of two nodes."""
    node = rank // 2
    environment = {
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NODELIST": f"gpu[{nodes[0]},{nodes[1]}]",
        "SLURM_STEP_NODELIST": f"gpu[{nodes[0]},{nodes[1]}]",
        "SLURM_NNODES": 2,
        "SLURM_NTASKS": 4,
        "SLURM_PROCID": rank,
        "SLURM_LOCALID": rank % 2,
        "SLURM_NODEID": node,
        "SLURMD_NODENAME": f"gpu{nodes[node]}",
    }
    return {name: str(value) for name, value in environment.items()}


@exercise("slurm_env", aspect="equivalence")
@pytest.mark.parametrize("nodelist", NODELISTS)
def test_a_node_list_becomes_host_names(student, nodelist):
    """A compact node list expands to the host names that Slurm itself prints, in its order."""
    assert_returns(student.expand_nodelist, {"s": nodelist}, NODELISTS[nodelist])


@exercise("slurm_env", aspect="equivalence")
def test_drawn_ranges(launch):
    """A range stands for every number from its first to its last, all padded to the width of the first."""
    calls, expected = [], []
    for _ in range(20):
        width, first = drawn(1, 5), drawn(0, 200)
        last = first + drawn(0, 15)
        calls.append({"s": f"gpu[{first:0{width}d}-{last:0{width}d}]"})
        expected.append([f"gpu{number:0{width}d}" for number in range(first, last + 1)])
    run = launch(call_each, 1, shared={"function": "expand_nodelist", "calls": calls}, process_group=False)
    mistakes = {"zeros on the left are lost": [[f"gpu{int(name[3:])}" for name in names] for names in expected]}
    assert_each_returns(run, "expand_nodelist", calls, expected, mistakes=mistakes)


@exercise("slurm_env", aspect="equivalence")
def test_srun_gives_each_rank_its_place(launch):
    """Every rank of an srun step finds its own place, and all find the first node and one port to meet at."""
    job, nodes = drawn(1, 10**7), (drawn(100, 200), drawn(200, 300))
    environments = [slurm_rank(rank, job=job, nodes=nodes) for rank in range(4)]
    run = launch(programs.dist_envs, 1, shared={"environments": environments}, process_group=False)
    expected = [
        DistEnv(
            rank=rank,
            local_rank=rank % 2,
            world_size=4,
            node_rank=rank // 2,
            master_addr=f"gpu{nodes[0]}",
            master_port=10000 + job % 20000,
        )
        for rank in range(4)
    ]
    calls = [{"env": environment} for environment in environments]
    own_host = [replace(one, master_addr=f"gpu{nodes[one.node_rank]}") for one in expected]
    mistakes = {
        "every node takes itself for the master": own_host,
        "the number on the node for the rank": [replace(one, rank=one.local_rank) for one in expected],
        "the number of nodes for the number of ranks": [replace(one, world_size=2) for one in expected],
    }
    assert_each_returns(run, "dist_env_from_slurm", calls, expected, mistakes=mistakes)


@exercise("slurm_env", aspect="property")
def test_torchrun_comes_before_slurm(student):
    """Under `srun torchrun`, torchrun sets the ranks: Slurm's variables only number the torchruns."""
    rank, port = drawn(0, 64), drawn(1024, 65536)
    torchrun = {"RANK": str(rank), "LOCAL_RANK": str(rank % 8), "WORLD_SIZE": "64", "GROUP_RANK": str(rank // 8)}
    torchrun |= {"MASTER_ADDR": "gpu10", "MASTER_PORT": str(port)}
    place = DistEnv(
        rank=rank, local_rank=rank % 8, world_size=64, node_rank=rank // 8, master_addr="gpu10", master_port=port
    )
    of_torchrun = DistEnv(rank=3, local_rank=1, world_size=4, node_rank=1, master_addr="gpu10", master_port=24321)
    mistakes = {"the place of the torchrun among the torchruns": replace(of_torchrun, master_port=port)}
    mistakes |= {"Slurm's variables, which number the torchruns": of_torchrun}
    env = slurm_rank(3) | torchrun
    assert_returns(
        student.dist_env_from_slurm, {"env": env}, place, why="torchrun numbers the ranks", mistakes=mistakes
    )


@exercise("slurm_env", aspect="property")
def test_rank_0_lives_on_the_first_node_of_its_step(student):
    """If a step runs on some of the job's nodes, its ranks meet on the first node of the step."""
    first = drawn(11, 90)
    environment = slurm_rank(0) | {"SLURM_JOB_NODELIST": "gpu[10-99]", "SLURM_STEP_NODELIST": f"gpu[{first}-99]"}
    found = student.dist_env_from_slurm(environment)
    assert_matches(found.master_addr, f"gpu{first}", what="the master's address")


@exercise("slurm_env", aspect="robustness")
def test_malformed_node_lists_are_refused(launch):
    """Every malformed list raises a ValueError that quotes it."""
    malformed = ["", "a,,b", "a[1-2", "a1]", "a[]", "a[3-1]", "a[x]"]
    calls = [{"s": nodelist} for nodelist in malformed]
    run = launch(call_each, 1, shared={"function": "expand_nodelist", "calls": calls}, process_group=False)
    for nodelist, error, value in zip(malformed, run["errors"][0], run["values"][0], strict=True):
        assert error, f"expand_nodelist({nodelist!r}) returned {value}, and should raise ValueError."
        assert nodelist in error, f"The error must quote the list {nodelist!r}, and it is: {error}"


@exercise("slurm_env", aspect="robustness")
@pytest.mark.parametrize("text", ["", "four", "-4", " 4", "4.0", "1_000"])
def test_what_is_no_whole_number_is_refused(launch, text):
    """A number has only the digits 0 to 9; for anything else the error names the variable."""
    environment = slurm_rank(2) | {"SLURM_NTASKS": text}
    run = launch(programs.dist_envs, 1, shared={"environments": [environment]}, process_group=False)
    (error,), (value,) = run["errors"][0], run["values"][0]
    assert error, f"SLURM_NTASKS={text!r} was read as {value} instead of raising ValueError"
    assert "SLURM_NTASKS" in error, f"The error must name SLURM_NTASKS, and it is: {error}"


@exercise("slurm_env", aspect="robustness")
@pytest.mark.parametrize("missing", ["SLURM_LOCALID", "SLURM_JOB_ID"])
def test_a_missing_variable_is_named(launch, missing):
    """Nothing stands in for a variable that `env` lacks, not even this process's own environment; the error names it."""
    environment = {name: text for name, text in slurm_rank(2).items() if name != missing}
    run = launch(programs.dist_envs, 1, shared={"environments": [environment]}, process_group=False)
    (error,), (value,) = run["errors"][0], run["values"][0]
    assert error, f"Without {missing} the answer was {value}, and ValueError is due."
    assert missing in error, f"The error must name {missing}, and it is: {error}"


@exercise("slurm_env", aspect="robustness")
def test_an_environment_without_a_launcher_is_refused(launch):
    """If neither torchrun nor srun has set its variables, the error names RANK and SLURM_PROCID."""
    run = launch(programs.dist_envs, 1, shared={"environments": [{"HOME": "/home/ada"}]}, process_group=False)
    (error,) = run["errors"][0]
    for name in (r"(?<!_)RANK", "SLURM_PROCID"):
        assert re.search(name, error), f"The error must name RANK and SLURM_PROCID, and it is: {error}"
