"""The meter of communication counts every operation, by its kind and by what it sends."""

from fractions import Fraction

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import _functional_collectives as collectives
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

from course_env.collective_meter import Collective, CollectiveMeter

NUM_RANKS = 4
S = 48  # bytes of `x`


@pytest.fixture(params=[0, 1])
def rank(request):
    """Return 0 or 1: which of four ranks this process is; torch's fake backend stands for the other three."""
    dist.init_process_group("fake", rank=request.param, world_size=NUM_RANKS, store=FakeStore())
    yield request.param
    dist.destroy_process_group()


@pytest.fixture
def x(rank):
    """Six doubles."""
    return torch.ones(6, dtype=torch.float64)


def metered(call):
    """Return the only operation that `call` issues."""
    with CollectiveMeter() as meter:
        call()
    (only,) = meter.collectives
    return only


def made(op, payload_bytes, bytes_sent, group_size=NUM_RANKS):
    """Return what is expected of one operation."""
    return Collective(op=op, payload_bytes=payload_bytes, group_size=group_size, bytes_sent=Fraction(bytes_sent))


def test_an_all_reduce_sends_almost_twice_its_payload(x):
    """An all-reduce sends 2 (N - 1) / N * S, as a reduce-scatter and an all-gather do together."""
    assert metered(lambda: dist.all_reduce(x)) == made("all_reduce", S, 2 * 3 / 4 * S)


def test_a_broadcast_or_a_reduction_passes_its_payload_on(x):
    """Every rank sends S, the whole payload."""
    assert metered(lambda: dist.broadcast(x, src=0)) == made("broadcast", S, S)
    assert metered(lambda: dist.reduce(x, dst=0)) == made("reduce", S, S)


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_the_payload_is_the_whole_tensor(x):
    """The payload is an all-gather's output and a reduce-scatter's input, as one tensor or as a list of the ranks' parts."""
    whole = torch.ones(6 * NUM_RANKS, dtype=torch.float64)
    parts = list(whole.chunk(NUM_RANKS))
    gathered, scattered = made("all_gather", 4 * S, 3 * S), made("reduce_scatter", 4 * S, 3 * S)

    assert metered(lambda: dist.all_gather(parts, x)) == gathered
    assert metered(lambda: dist.all_gather_into_tensor(whole, x)) == gathered
    assert metered(lambda: dist.reduce_scatter(x, parts)) == scattered
    assert metered(lambda: dist.reduce_scatter_tensor(x, whole)) == scattered
    assert metered(lambda: dist.all_to_all_single(torch.empty_like(whole), whole)) == made("all_to_all", 4 * S, 3 * S)


def test_only_the_root_scatters(rank, x):
    """The root sends all parts but its own; in a gather the others send one each."""
    parts = [torch.ones_like(x) for _ in range(NUM_RANKS)] if rank == 0 else None

    assert metered(lambda: dist.scatter(x, parts, src=0)) == made("scatter", 4 * S, 3 * S if rank == 0 else 0)
    assert metered(lambda: dist.gather(x, parts, dst=0)) == made("gather", 4 * S, 0 if rank == 0 else S)


def test_messages_and_barriers(x):
    """A send sends its tensor; a receive and a barrier send nothing."""
    assert metered(lambda: dist.send(x, dst=2)) == made("send", S, S)
    assert metered(lambda: dist.recv(x, src=2)) == made("recv", S, 0)
    assert metered(dist.barrier) == made("barrier", 0, 0)


def test_functional_collectives_count_as_the_others(x):
    """Functional collectives run other operators, and the meter gives them the same names and costs."""
    reduced = metered(lambda: collectives.wait_tensor(collectives.all_reduce(x, "sum", dist.group.WORLD)))
    gathered = metered(lambda: collectives.wait_tensor(collectives.all_gather_single(x, 0, dist.group.WORLD)))
    assert (reduced, gathered) == (made("all_reduce", S, 3 / 2 * S), made("all_gather", 4 * S, 3 * S))


def test_a_sub_group_counts_by_its_own_size(rank, x):
    """N is the size of the group that is used; a group of one rank sends nothing."""
    group, alone = dist.new_group([0, 1]), [dist.new_group([one]) for one in (0, 1)][rank]

    assert metered(lambda: dist.all_reduce(x, group=group)) == made("all_reduce", S, S, group_size=2)
    assert metered(lambda: dist.all_reduce(x, group=alone)) == made("all_reduce", S, 0, group_size=1)


def test_ddp_is_seen_though_its_reducer_is_in_cpp():
    """One backward pass of DDP all-reduces as many bytes as the model has parameters."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        ddp = DistributedDataParallel(nn.Linear(5, 7).double())
        reduced = metered(lambda: ddp(torch.ones(2, 5, dtype=torch.float64)).sum().backward())
    finally:
        dist.destroy_process_group()

    assert reduced == made("all_reduce", 42 * 8, 0, group_size=1)


def test_other_operators_are_no_communication(x):
    """What this rank computes alone is not counted, and neither is what happens after the block."""
    with CollectiveMeter() as meter:
        (x @ x).sqrt()
    dist.all_reduce(x)

    assert (meter.count(), meter.bytes_sent()) == (0, 0)


def test_an_unknown_operation_is_not_passed_over(x, monkeypatch):
    """The meter raises rather than count too little."""
    monkeypatch.delitem(CollectiveMeter.__init__.__globals__["_OPERATIONS"]["c10d"], "allreduce")
    with pytest.raises(RuntimeError, match=r"does not know c10d\.allreduce_"), CollectiveMeter():
        dist.all_reduce(x)
