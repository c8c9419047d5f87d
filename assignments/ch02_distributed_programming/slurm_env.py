"""Ranks from Slurm's environment: which one am I, how many are there, and where do we meet."""

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
    # TODO(slurm_env): write this part, and delete the line below.
    raise NotImplementedError("TODO(slurm_env)")


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
    # TODO(slurm_env): write this part, and delete the line below.
    raise NotImplementedError("TODO(slurm_env)")
