"""Hidden tests of exercise `slurm_env`: random node lists, uneven jobs, and environments with something wrong."""

import itertools
import random
import re

import torch

from assignments.ch02_distributed_programming import programs
from course_env.rank_programs import call_each
from course_env.topology import DistEnv
from grader.harness import assert_arguments_kept, assert_each_returns, assert_matches, exercise

SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_NTASKS": "6",
    "SLURM_NNODES": "3",
    "SLURM_JOB_ID": "1234567",
    "SLURM_JOB_NODELIST": "rack[1-2]n[08-10]",
    "SLURMD_NODENAME": "rack1n10",
}
SLURM_PLACE = {"rank": 3, "local_rank": 1, "world_size": 6, "node_rank": 2}
TORCHRUN = {
    "RANK": "5",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "8",
    "GROUP_RANK": "2",
    "MASTER_ADDR": "10.0.0.7",
    "MASTER_PORT": "29400",
}


def seeded():
    """Return a source of random choices that follows the judge's seed."""
    return random.Random(int(torch.randint(2**31, ())))  # noqa: S311 - test cases, no secrets


def random_group(rng):
    """Return a bracket group and the numbers it stands for."""
    items, numbers = [], []
    for _ in range(rng.randint(1, 3)):
        first = rng.choice([0, 1, 7, 8, 9, 95, 99, 1000])
        last = first + rng.choice([0, 1, 3, 12])
        width = rng.choice([0, 0, 2, 4])
        numbers += [f"{number:0{width}d}" for number in range(first, last + 1)]
        single = first == last and rng.random() < 0.7
        items.append(f"{first:0{width}d}" if single else f"{first:0{width}d}-{last:0{width}d}")
    return f"[{','.join(items)}]", numbers


def random_nodelist(rng):
    """Return a node list and the host names it stands for."""
    hosts, names = [], []
    for _ in range(rng.randint(1, 4)):
        text, alternatives = "", []
        for _ in range(rng.choice([0, 1, 1, 2])):
            prefix = rng.choice(["gpu", "n", "node-a", "r1.x", "a0"])
            group, numbers = random_group(rng)
            text += prefix + group
            alternatives += [[prefix], numbers]
        if not alternatives:
            text = rng.choice(["login1", "head", "gpu-07.cluster"])
            alternatives = [[text]]
        hosts.append(text)
        names += ["".join(choice) for choice in itertools.product(*alternatives)]
    return ",".join(hosts), names


def read_one(launch, environment):
    """Return the DistEnv that was read from `environment`, and the error that was raised instead."""
    run = launch(programs.dist_envs, 1, shared={"environments": [environment]}, process_group=False)
    assert_arguments_kept(run, "env")
    return run["values"][0][0], run["errors"][0][0]


@exercise("slurm_env", aspect="equivalence")
def test_random_node_lists(launch):
    """A hundred random lists expand to the names they were made from, in order, zeros and repetitions kept."""
    rng = seeded()
    cases = [random_nodelist(rng) for _ in range(100)]
    calls = [{"s": nodelist} for nodelist, _ in cases]
    run = launch(call_each, 1, shared={"function": "expand_nodelist", "calls": calls}, process_group=False)
    assert_each_returns(run, "expand_nodelist", calls, [names for _, names in cases])


@exercise("slurm_env", aspect="equivalence")
def test_uneven_jobs(launch):
    """Ranks of a job with 3, 1 and 2 tasks on its nodes find places that no arithmetic on the rank would give them."""
    environments, expected = [], []
    job = seeded().randrange(10**8)
    places = [(node, local) for node, tasks in enumerate([3, 1, 2]) for local in range(tasks)]
    for rank, (node, local) in enumerate(places):
        own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node)}
        environments.append(SLURM | own | {"SLURM_JOB_ID": str(job)})
        port = 10000 + job % 20000
        place = {"rank": rank, "local_rank": local, "world_size": 6, "node_rank": node}
        expected.append(DistEnv(**place, master_addr="rack1n08", master_port=port))
    run = launch(programs.dist_envs, 1, shared={"environments": environments}, process_group=False)
    assert_matches(run["errors"], [""] * 6)
    assert_matches(run["values"], expected)


@exercise("slurm_env", aspect="equivalence")
def test_torchrun_without_slurm(launch):
    """On a machine without Slurm, torchrun's variables say it all."""
    rng = seeded()
    place = {
        "rank": rng.randrange(900),
        "local_rank": rng.randrange(8),
        "world_size": 999,
        "node_rank": rng.randrange(99),
    }
    names = {"RANK": "rank", "LOCAL_RANK": "local_rank", "WORLD_SIZE": "world_size", "GROUP_RANK": "node_rank"}
    environment = TORCHRUN | {name: str(place[field]) for name, field in names.items()}
    found, error = read_one(launch, environment | {"LOCAL_WORLD_SIZE": "8", "HOME": "/root"})
    assert not error, f"An environment that has all it needs was refused: {error}"
    assert_matches(found, DistEnv(**place, master_addr="10.0.0.7", master_port=29400))


@exercise("slurm_env", aspect="property")
def test_tasks_of_a_job_array_get_different_ports(launch):
    """The port follows from SLURM_JOB_ID, in which two tasks of one job array differ."""
    array = {"SLURM_ARRAY_JOB_ID": "1234567", "SLURM_ARRAY_TASK_ID": "4"}
    for job in ("1234567", "1234571", "19999", "20000"):
        found, error = read_one(launch, SLURM | array | {"SLURM_JOB_ID": job})
        assert not error, f"An environment that has all it needs was refused: {error}"
        assert_matches(found.master_port, 10000 + int(job) % 20000, what="the port")


@exercise("slurm_env", aspect="property")
def test_left_over_addresses_are_ignored_under_srun(launch):
    """If RANK is missing, MASTER_ADDR, MASTER_PORT and WORLD_SIZE in the environment are ignored."""
    left_over = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    found, error = read_one(launch, SLURM | left_over)
    assert not error, f"An environment that has all it needs was refused: {error}"
    assert_matches(found, DistEnv(**SLURM_PLACE, master_addr="rack1n08", master_port=24567))


@exercise("slurm_env", aspect="property")
def test_the_first_node_of_the_step_is_the_master(launch):
    """Rank 0 runs on the first node of the step, which need not be the first in alphabetical order."""
    found, error = read_one(launch, SLURM | {"SLURM_STEP_NODELIST": "rack2n[10,08]"})
    assert not error, f"An environment that has all it needs was refused: {error}"
    assert_matches(found.master_addr, "rack2n10", what="the master's address")


@exercise("slurm_env", aspect="robustness")
def test_malformed_node_lists_are_refused(launch):
    """Every kind of malformed list raises a ValueError that quotes it."""
    malformed = [",", ",a", "a,", "a[1,,2]", "a[1,]", "a[1-]", "a[-1]", "a[1-2-3]", "a[[1-2]]", "a[1][", "a]b[1"]
    malformed += ["a [1-2]", "a, b", "a[1, 2]", "a[1-2],b[4-3]", "a[10-9]", "a[1.5]", "a[0x1-0x3]", "[", "]"]
    calls = [{"s": nodelist} for nodelist in malformed]
    run = launch(call_each, 1, shared={"function": "expand_nodelist", "calls": calls}, process_group=False)
    for nodelist, error, value in zip(malformed, run["errors"][0], run["values"][0], strict=True):
        assert error, f"expand_nodelist({nodelist!r}) returned {value} where ValueError is due"
        assert nodelist in error, f"The error must quote the list {nodelist!r}, and it is: {error}"


@exercise("slurm_env", aspect="robustness")
def test_the_missing_variable_is_named(launch):
    """Where one variable is missing, the error names it, and nothing is taken from the other launcher instead."""
    cases = [
        (name, {key: value for key, value in both.items() if key != name})
        for present, both in ((TORCHRUN, SLURM | TORCHRUN), (SLURM, SLURM))
        for name in present
        if name not in ("RANK", "SLURM_PROCID", "SLURM_NNODES", "SLURMD_NODENAME")
    ]
    environments = [environment for _, environment in cases]
    run = launch(programs.dist_envs, 1, shared={"environments": environments}, process_group=False)
    for (name, _), error, value in zip(cases, run["errors"][0], run["values"][0], strict=True):
        assert error, f"without {name} the answer was {value} where ValueError is due"
        assert name in error, f"The error must name {name}, and it is: {error}"


@exercise("slurm_env", aspect="robustness")
def test_the_malformed_variable_is_named(launch):
    """Where a variable holds no number, or a malformed node list, the error names it."""
    cases = [
        ("SLURM_NTASKS", SLURM | {"SLURM_NTASKS": "four"}),
        ("SLURM_LOCALID", SLURM | {"SLURM_LOCALID": ""}),
        ("SLURM_JOB_NODELIST", SLURM | {"SLURM_JOB_NODELIST": "gpu[1-"}),
        ("MASTER_PORT", TORCHRUN | {"MASTER_PORT": "http"}),
        ("SLURM_STEP_NODELIST", SLURM | {"SLURM_STEP_NODELIST": ""}),
        ("MASTER_ADDR", TORCHRUN | {"MASTER_ADDR": ""}),
        ("RANK", SLURM | TORCHRUN | {"RANK": ""}),
        ("SLURM_PROCID", SLURM | {"SLURM_PROCID": ""}),
    ]
    cases += [
        (name, environment | {name: text})
        for name, environment in (("WORLD_SIZE", TORCHRUN), ("SLURM_JOB_ID", SLURM))
        for text in ("-1", "+4", " 4", "4\n", "4.0", "1_000", "0x4", "\N{FULLWIDTH DIGIT FOUR}", "\N{SUPERSCRIPT TWO}")
    ]
    environments = [environment for _, environment in cases]
    run = launch(programs.dist_envs, 1, shared={"environments": environments}, process_group=False)
    for (name, environment), error, value in zip(cases, run["errors"][0], run["values"][0], strict=True):
        assert error, f"{name}={environment[name]!r} was read as {value} where ValueError is due"
        assert re.search(rf"(?<!_){name}", error), f"The error must name {name}, and it is: {error}"
