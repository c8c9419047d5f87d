"""Baselines and assertions that the public and the hidden tests of tree.py share."""

import torch

from grader.harness import PerRank


def one_per_rank(world_size, *shape, dtype=torch.float64):
    """Return a different tensor for every rank."""
    return [torch.randn(shape).mul(10).to(dtype) for _ in range(world_size)]


def only_on(root, world_size, value):
    """Return `value` on rank `root` and None on the others."""
    return PerRank(value if rank == root else None for rank in range(world_size))


def assert_tree_traffic(comm, num_ranks, numel):
    """N - 1 messages of the whole tensor, each waited for, in ceil(log2 N) rounds."""
    comm.assert_only("send", "recv")
    comm.assert_waited_for()
    assert [op.inputs for op in comm.ops("send")] == [(numel,)] * (num_ranks - 1)
    assert comm.rounds() <= (num_ranks - 1).bit_length()  # ceil(log2 N) in integers
