"""What runs on every rank in the tests of this chapter."""

import contextlib
import copy
import os
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from course_env.rank_programs import (
    WriteWatch,
    attempt,
    call_each,
    make_group,
    same,
    share_memory,
    stands_aside,
    tensors_in,
)


def dist_envs(student, *, environments):
    """Read a DistEnv out of each environment, while this process's own environment says something else."""
    os.environ |= {"RANK": "77", "LOCAL_RANK": "7", "WORLD_SIZE": "78", "MASTER_ADDR": "nowhere", "SLURM_PROCID": "66"}
    os.environ |= {"SLURM_LOCALID": "6", "SLURM_NTASKS": "67", "SLURM_JOB_ID": "5"}
    return call_each(student, function="dist_env_from_slurm", calls=[{"env": one} for one in environments])


def sign_in(folder, rank):
    """Draw a secret, leave it and this process's id in `folder`, and return it: only a rank that runs can know it."""
    secret = secrets.randbelow(1 << 40)
    Path(folder, str(rank)).write_text(f"{os.getpid()} {secret}")
    return secret


def place(rank, world_size, folder, *args):
    """Return what this rank was given: its arguments and its environment."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    given = [rank, world_size, *args]
    return {"given": given, **{name: os.environ.get(name) for name in names}, "secret": sign_in(folder, rank)}


def sum_of_secrets(rank, world_size, folder):
    """Return rank and world size of the default group, this rank's secret, and the sum of all secrets by an all-reduce."""
    secret = sign_in(folder, rank)
    total = torch.tensor(secret)
    dist.all_reduce(total)
    return [dist.get_rank(), dist.get_world_size(), secret, int(total)]


def last_rank_first(rank, world_size, folder):
    """Return after a pause, which is the longer the lower the rank is."""
    time.sleep(0.1 * (world_size - rank))
    return sign_in(folder, rank)


def backend_in_use(rank, world_size, folder):
    """Return this rank's secret and the backends of the default group, by device."""
    return {"secret": sign_in(folder, rank), "backend": dist.get_backend_config()}


def one_after_another(rank, world_size, folder):
    """Return on rank r after 1 + 2 r seconds."""
    secret = sign_in(folder, rank)
    time.sleep(1 + 2 * rank)
    return secret


def large_tensor(rank, world_size, folder, numel):
    """Return a tensor far larger than what a pipe holds."""
    return torch.full((numel,), sign_in(folder, rank), dtype=torch.float64)


def nothing(rank, world_size, folder):
    """Return None, which is a result like any other."""
    sign_in(folder, rank)


def linger(rank, world_size, folder):
    """Return the number of ranks and the sum of all secrets, by two all-reduces with half a second between them."""
    total = torch.tensor(sign_in(folder, rank))
    dist.all_reduce(total)
    time.sleep(0.5)
    dist.all_reduce(total)
    return [world_size, int(total) // world_size]


def rank_0_is_there(rank, world_size, folder):
    """Return at once on rank 0. On the other ranks, return half a second later whether rank 0's process still runs."""
    secret, pid = sign_in(folder, rank), torch.tensor(os.getpid())
    dist.broadcast(pid, src=0)
    if rank > 0:
        time.sleep(0.5)
    status = Path(f"/proc/{int(pid)}/stat")
    return {
        "secret": secret,
        "rank 0 runs": status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z",
    }


def raise_on(rank, world_size, folder, bad_rank):
    """Raise on one rank, while the others wait for it in a barrier that it never reaches."""
    secret = sign_in(folder, rank)
    if rank == bad_rank:
        raise ZeroDivisionError(f"planted on rank {rank}: {secret}")
    dist.barrier()


def raise_alone(rank, world_size, folder, bad_rank):
    """Raise on one rank, while the others are busy for a minute with something else."""
    secret = sign_in(folder, rank)
    if rank == bad_rank:
        raise ZeroDivisionError(f"planted on rank {rank}: {secret}")
    time.sleep(60)


def return_unpicklable(rank, world_size, folder):
    """Return something that pickle cannot carry."""
    sign_in(folder, rank)
    return lambda: rank


def end_on(rank, world_size, folder, bad_rank, ending):
    """End the process of one rank without a result, while the others wait for it in a barrier.

    `ending` is how, and with which exit code or signal; None is an exit code that follows from the rank's secret.
    """
    secret = sign_in(folder, rank)
    how, code = ending
    ways = {"sys.exit": sys.exit, "os._exit": os._exit, "signal": signal.raise_signal}
    if rank == bad_rank:
        ways[how](exit_code_of(secret) if code is None else code)
    dist.barrier()


def exit_code_of(secret):
    """Return an exit code from 100 to 199."""
    return 100 + secret % 100


def hang_on_some(rank, world_size, folder, num_stuck):
    """Never return on some ranks, and do not heed SIGTERM there; which ones follows from the secret of rank 0."""
    secret = torch.tensor(sign_in(folder, rank))
    dist.broadcast(secret, src=0)
    if rank in stuck_ranks(int(secret), world_size, num_stuck):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    return rank


def stuck_ranks(secret, world_size, num_stuck):
    """Return `num_stuck` ranks in a row, the last rank being followed by rank 0."""
    return [(secret + i) % world_size for i in range(num_stuck)]


def call_launch(student, *, function, num_ranks, args=(), after_a_failure=False, **options):
    """Launch one of the functions above, perhaps after a launch that fails, and say what came of it.

    Either `results` is a list, or `error` is the name of what was raised and `text` what it says. `signed` holds for
    every rank the process id and the secret that it left, or None.
    """
    environment = dict(os.environ)
    if after_a_failure:
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(student.RemoteError):
            student.launch(raise_on, 3, (folder, 1), **options)
    outcome = {"results": None, "error": "", "rank": None, "text": ""}
    with tempfile.TemporaryDirectory() as folder:
        try:
            fn = globals()[function]
            outcome["results"] = student.launch(fn, num_ranks, (folder, *args), **options)
        except (student.RemoteError, TimeoutError, ValueError) as error:
            outcome |= {"error": type(error).__name__, "text": str(error)}
            if isinstance(error, student.RemoteError):
                outcome |= {"rank": error.rank, "text": error.reason}
        outcome["signed"] = [_signature(Path(folder, str(rank))) for rank in range(num_ranks)]
    changed = sorted({name for name, _ in environment.items() ^ os.environ.items()})
    return outcome | {"caller": os.getpid(), "environment_changed": changed}


def _signature(file):
    return [int(number) for number in file.read_text().split()] if file.exists() else None


# What a rank outside the group reports: it never calls the student's function.
NOT_CALLED = {"y": None, "x": None}


def ring_shift(student, *, x, shift=1, members=None, layout=None, late_s=0.0):
    """Shift x round the ring, after a pause of `late_s`; report the result's elements in the order of its memory as well."""
    time.sleep(late_s)
    ended = _call(student.ring_shift, x, shift, members=members, layout=layout)
    return ended | {"memory": _elements_in_memory(ended["y"])}


def tree_broadcast(student, *, x, src, members=None, layout=None):
    """Broadcast x from global rank `src`."""
    return _call(student.tree_broadcast, x, src, members=members, layout=layout)


def tree_reduce(student, *, x, dst, op="sum", members=None, layout=None):
    """Reduce x to global rank `dst`."""
    return _call(student.tree_reduce, x, dst, members=members, layout=layout, op=op)


def p2p_scatter(student, *, chunks, like, src, members=None, layout=None):
    """Scatter the chunks of global rank `src`; on the other ranks `chunks` is None."""
    return _call(student.p2p_scatter, chunks, src, members=members, layout=layout, like=like)


def p2p_gather(student, *, x, dst, members=None, layout=None):
    """Gather x on global rank `dst`."""
    return _call(student.p2p_gather, x, dst, members=members, layout=layout)


def ring_reduce_scatter(student, *, x, op="sum", members=None, layout=None):
    """Reduce x over the group and keep this rank's chunk."""
    return _call(student.ring_reduce_scatter, x, members=members, layout=layout, op=op)


def ring_all_gather(student, *, x, members=None, layout=None):
    """Collect the x of all ranks on every rank."""
    return _call(student.ring_all_gather, x, members=members, layout=layout)


def ring_all_reduce(student, *, x, op="sum", members=None, layout=None):
    """Reduce x over the group, for every rank."""
    return _call(student.ring_all_reduce, x, members=members, layout=layout, op=op)


def unknown_op(student, *, function, x, arguments=()):
    """Call a reduction with an operation that it does not know, and report its ValueError."""
    reduction = getattr(student, function)
    return {"error": attempt(lambda: reduction(x, *arguments, op="product"))[1]}


def in_sequence(student, *, program, cases):
    """Run one of the programs above once per case, and return what every run ended with."""
    return {"ys": [globals()[program](student, **case)["y"] for case in cases]}


def find_deadlock_twice(student, *, programs):
    """Ask about the same lists twice."""
    before = copy.deepcopy(programs)
    first = student.find_deadlock(programs)
    second, _ = attempt(lambda: student.find_deadlock(programs))
    return {"first": first, "second": second, "observed": {"written": [not same(before, programs)]}}


def split_in_sequence(student, *, colors, keys):
    """Split the group of all ranks several times; use the new groups only when all exist, the last one first."""
    groups = [student.split_by_color(color, key) for color, key in zip(colors, keys, strict=True)]
    return {"parts": [_introduce(group) for group in reversed(groups)][::-1]}


def split_twice(student, *, color, key, second_color, second_key):
    """Split the group of all ranks, then split all its parts with one more call."""
    part = student.split_by_color(color, key)
    return {"part": _introduce(part), "second_part": _introduce(student.split_by_color(second_color, second_key, part))}


def split_members(student, *, color, key, members):
    """Split the group of `members`; the other ranks take part with color -1."""
    group = make_group(members)
    if stands_aside(group):
        color, group = -1, None
    return {"part": _introduce(student.split_by_color(color, key, group))}


def split_members_as_they_are(student, *, color, key, members):
    """Split the group of `members`; the other ranks pass color -1 and what `dist.new_group` gave them."""
    return {"part": _introduce(student.split_by_color(color, key, make_group(members)))}


def _call(function, x, *arguments, members, layout, **options):
    """Call the student's function in the group of `members` (None: all ranks); report its result and what it did to x.

    The members' ranks in the group follow the order of `members`.
    """
    group = make_group(members)
    if stands_aside(group):
        return NOT_CALLED
    x = _laid_out(x, layout)
    callers_own = list(x) if isinstance(x, list) else []
    inputs = tensors_in([x, options])
    watch = WriteWatch(inputs)
    y = function(x, *arguments, group, **options)
    observed = {"written": watch.written(), "shares_memory": share_memory(tensors_in(y), inputs)}
    for tensor in callers_own:
        tensor.neg_()  # a list that does not follow, or a result that does, does not hold the tensors that it should
    return {"y": y, "x": x, "observed": observed}


def _laid_out(value, layout):
    """Return tensors of the same values with another layout in memory.

    layout: "scaled" if no element is its neighbour's neighbour, "transposed" if the first dim is the one whose elements are
        (a tensor with one dim is scaled then as well), None for tensors as they are
    """
    if isinstance(value, list):
        return [_laid_out(tensor, layout) for tensor in value]
    if layout is None or value is None:
        return value
    if layout == "transposed" and value.ndim > 1:
        backwards = tuple(reversed(range(value.ndim)))
        return value.permute(backwards).contiguous().permute(backwards)
    return torch.stack([value, torch.zeros_like(value)], dim=-1)[..., 0]


def _elements_in_memory(y):
    """Return as many elements as y has from where it begins in memory, one after another; None if there are not as many."""
    with contextlib.suppress(AttributeError, RuntimeError):
        return torch.as_strided(y, (y.numel(),), (1,), y.storage_offset()).clone()
    return None


def _introduce(group):
    """Return the members of a new group as torch lists them, and as they meet when they communicate."""
    if group is None:
        return None
    if stands_aside(group):
        return "dist.GroupMember.NON_GROUP_MEMBER"
    rank = torch.tensor([dist.get_rank()])
    met = [torch.zeros_like(rank) for _ in range(dist.get_world_size(group))]
    dist.all_gather(met, rank, group=group)
    first = rank.clone()
    dist.broadcast(first, group=group, group_src=0)
    return {
        "members": dist.get_process_group_ranks(group),
        "group_rank": dist.get_rank(group),
        "met": [int(other) for other in met],
        "first": int(first),
    }
