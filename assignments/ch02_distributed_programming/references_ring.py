"""Baselines and assertions that the public and the hidden tests of ring.py share."""

import torch

from grader.harness import PerRank


def one_per_rank(world_size, *shape):
    """Return a different tensor for every rank."""
    return [torch.randn(shape, dtype=torch.float64) for _ in range(world_size)]


def chunks_of(x, world_size):
    """Return x in chunks of ceil(n / N) elements; the last ones may be short or empty."""
    length = -(-len(x) // world_size)
    return PerRank(x[rank * length : (rank + 1) * length] for rank in range(world_size))


def assert_ring_traffic(comm, world_size, num_hops, numel):
    """Every rank sends `num_hops` messages of `numel` doubles to the next rank, and ranks do not wait in a row."""
    comm.assert_only("send", "recv")
    comm.assert_waited_for()
    assert comm.messages_sent_per_rank() == comm.messages_received_per_rank() == (num_hops,) * world_size
    assert all(op.peer == (op.rank + 1) % world_size for op in comm.ops("send"))
    assert {op.inputs for op in comm.ops("send")} == {(numel,)}
    assert comm.bytes_sent_per_rank() == (num_hops * numel * 8,) * world_size
    assert comm.rounds() <= 2 * num_hops
