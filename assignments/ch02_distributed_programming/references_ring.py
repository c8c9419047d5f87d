"""Baselines and assertions that the public and the hidden tests of ring.py share."""

import torch

from assignments.ch02_distributed_programming.references import assert_bytes, assert_messages, assert_rounds
from grader.harness import PerRank


def one_per_rank(world_size, *shape):
    """Return a different tensor for every rank."""
    return [torch.randn(shape, dtype=torch.float64) for _ in range(world_size)]


def chunks_of(x, world_size):
    """Return x in chunks of ceil(n / N) elements; the last ones may be short or empty."""
    length = -(-len(x) // world_size)
    return PerRank(x[rank * length : (rank + 1) * length] for rank in range(world_size))


def assert_ring_traffic(comm, world_size, num_hops, numel, dtype=torch.float64):
    """Every rank sends `num_hops` messages of `numel` elements to the next rank, and ranks do not wait in a row."""
    comm.assert_only("send", "recv")
    comm.assert_waited_for()
    for op in comm.ops("send"):
        due = (op.rank + 1) % world_size
        assert op.peer == due, f"Rank {op.rank} sent to rank {op.peer}. It may send to the next rank only, rank {due}."
    assert_messages(comm, (num_hops,) * world_size, (num_hops,) * world_size)
    for op in comm.ops("send"):
        assert op.inputs == (numel,), (
            f"Rank {op.rank} sent {op.inputs[0]} elements at once. Each message holds {numel}."
        )
    assert_bytes(comm, (num_hops * numel * dtype.itemsize,) * world_size)
    remedy = "Let every rank start its send before it waits for what it receives."
    assert_rounds(comm, 2 * num_hops, remedy)
