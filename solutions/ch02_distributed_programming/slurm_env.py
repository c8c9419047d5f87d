"""Ranks from Slurm's environment: which one am I, how many are there, and where do we meet."""

### BEGIN SOLUTION
import itertools
import re

### END SOLUTION
from collections.abc import Mapping

from course_env.topology import DistEnv


def expand_nodelist(s: str) -> list[str]:
    """Return the host names that Slurm's compact list `s` stands for, in its order.

    A list holds hosts separated by commas; spaces have no place in it. A host is plain text and bracket groups, as in
    "gpu05", "gpu[01-03,07]" or "a[1-2]b[3-4]". A group holds numbers and ascending ranges separated by commas.
    Both ends of a range belong to it, and its numbers are as wide as its first one, filled with zeros on the left:
    [08-11] is 08, 09, 10, 11 and [8-11] is 8, 9, 10, 11. Where a host has several groups, the last one runs fastest:
    a[1-2]b[3-4] is a1b3, a1b4, a2b3, a2b4. A host named twice is returned twice. All this
    is as `scontrol show hostnames` prints it, which lets some of the mistakes below pass, though.

    Raises: ValueError, which quotes `s`, for an empty list or host ("", "a,,b", "a,"), a space, a bracket that is
        not closed, not opened or inside another one, an empty group or an empty item in it ("a[]", "a[1,,2]"),
        an item that is no number and no range ("a[x]", "a[1-]"), and a range that descends ("a[3-1]").
    Source: SchedMD, Slurm documentation, srun, section OUTPUT ENVIRONMENT VARIABLES, https://slurm.schedmd.com/srun.html
    """
    ### BEGIN SOLUTION
    if re.fullmatch(_LIST, s) is None:
        raise ValueError(f"The node list {s!r} is malformed. Expected hosts such as gpu[01-03,07],login1.")
    names = []
    for host in re.findall(_HOST, s):
        pieces = [_alternatives(piece, s) for piece in re.findall(rf"{_TEXT}|{_GROUP}", host)]
        names += ["".join(combination) for combination in itertools.product(*pieces)]
    return names
    ### END SOLUTION


### BEGIN SOLUTION
_TEXT = r"[^\[\],\s]+"
_ITEM = r"[0-9]+(?:-[0-9]+)?"
_GROUP = rf"\[{_ITEM}(?:,{_ITEM})*\]"
_HOST = rf"(?:{_TEXT}|{_GROUP})+"
_LIST = rf"{_HOST}(?:,{_HOST})*"


def _alternatives(piece: str, nodelist: str) -> list[str]:
    """Return the strings that one piece of a host stands for: itself, or every number of its bracket group."""
    if not piece.startswith("["):
        return [piece]
    numbers = []
    for item in piece[1:-1].split(","):
        first, _, last = item.partition("-")
        last = last or first
        if int(last) < int(first):
            raise ValueError(f"The node list {nodelist!r} has a range that descends: {item}. Write {last}-{first}.")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return numbers


### END SOLUTION
def dist_env_from_slurm(env: Mapping[str, str]) -> DistEnv:
    """Return this rank's place in its job, read from the environment `env` and from nothing else.

    If `env` has RANK, torchrun started this process, and torchrun's variables are read, whether Slurm's are there
    or not. Under `srun torchrun` Slurm started one torchrun on each node, and SLURM_PROCID counts those; each torchrun
    then started this node's ranks, and RANK counts them. Otherwise, if `env` has SLURM_PROCID, srun started
    this process as a rank of its own.

        field         torchrun      Slurm
        rank          RANK          SLURM_PROCID
        local_rank    LOCAL_RANK    SLURM_LOCALID
        world_size    WORLD_SIZE    SLURM_NTASKS
        node_rank     GROUP_RANK    SLURM_NODEID
        master_addr   MASTER_ADDR   the first node of SLURM_STEP_NODELIST or, without it, of SLURM_JOB_NODELIST
        master_port   MASTER_PORT   10000 + SLURM_JOB_ID % 20000

    SLURM_JOB_NODELIST names all nodes of the allocation, but a step may run on some of them only, and rank 0 runs
    on the first node of its step. The port follows from the job, so that all ranks know it without a word and
    two jobs on one node rarely clash. SLURM_JOB_ID differs between the tasks of a job array, SLURM_ARRAY_JOB_ID does not.
    Without RANK, a MASTER_ADDR or MASTER_PORT in `env` is a left-over and is ignored.

    A whole number is one or more of the digits 0 to 9 and nothing else: no sign, space or underscore, no digits of another
    script. A variable that is set but empty is malformed, not missing: with RANK="" torchrun's variables are read.

    Raises: ValueError that names RANK and SLURM_PROCID if `env` has neither; ValueError that names the variable
        if one that is needed is missing or empty, is no whole number where one is due, or is a malformed node list.
    """
    ### BEGIN SOLUTION
    if "RANK" in env:
        return DistEnv(
            rank=_integer(env, "RANK"),
            local_rank=_integer(env, "LOCAL_RANK"),
            world_size=_integer(env, "WORLD_SIZE"),
            node_rank=_integer(env, "GROUP_RANK"),
            master_addr=_text(env, "MASTER_ADDR"),
            master_port=_integer(env, "MASTER_PORT"),
        )
    if "SLURM_PROCID" in env:
        return DistEnv(
            rank=_integer(env, "SLURM_PROCID"),
            local_rank=_integer(env, "SLURM_LOCALID"),
            world_size=_integer(env, "SLURM_NTASKS"),
            node_rank=_integer(env, "SLURM_NODEID"),
            master_addr=_first_node(env),
            master_port=10000 + _integer(env, "SLURM_JOB_ID") % 20000,
        )
    raise ValueError(
        "Neither RANK (set by torchrun) nor SLURM_PROCID (set by srun) is set. Start ranks with one of them."
    )
    ### END SOLUTION


### BEGIN SOLUTION
def _text(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        state = "is empty" if name in env else "is not set"
        raise ValueError(f"{name} {state} in the environment. The launcher that sets the rank sets it, too.")
    return env[name]


def _integer(env: Mapping[str, str], name: str) -> int:
    text = _text(env, name)
    if re.fullmatch(r"[0-9]+", text) is None:
        raise ValueError(f"{name} is {text!r}, which is no whole number.")
    return int(text)


def _first_node(env: Mapping[str, str]) -> str:
    name = "SLURM_STEP_NODELIST" if "SLURM_STEP_NODELIST" in env else "SLURM_JOB_NODELIST"
    try:
        return expand_nodelist(_text(env, name))[0]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


### END SOLUTION
