"""Baselines and assertions that the public and the hidden tests of tree.py share."""

import torch

from assignments.ch02_distributed_programming import programs
from assignments.ch02_distributed_programming.references import assert_rounds
from grader.harness import PerRank, assert_arguments_kept, assert_matches
from grader.harness.mistake import Mistake


def one_per_rank(world_size, *shape, dtype=torch.float64):
    """Return a different tensor for every rank."""
    return [torch.randn(shape).mul(10).to(dtype) for _ in range(world_size)]


def only_on(root, world_size, value):
    """Return `value` on rank `root` and None on the others."""
    return PerRank(value if rank == root else None for rank in range(world_size))


def assert_tree_traffic(comm, num_ranks, numel, dtype=torch.float64):
    """N - 1 messages of the whole tensor in its own dtype, each waited for, in ceil(log2 N) rounds."""
    comm.assert_only("send", "recv")
    comm.assert_waited_for()
    assert_sends(comm, [numel] * (num_ranks - 1), dtype)
    remedy = "Let every rank that has the tensor help: the number of ranks that are done doubles in each round."
    assert_rounds(comm, (num_ranks - 1).bit_length(), remedy)  # ceil(log2 N) in integers


def assert_sends(comm, numels, dtype=torch.float64):
    """Fail unless all ranks together sent messages of these numbers of elements, in any order, each element in its own dtype."""
    sent = sorted(op.inputs[0] for op in comm.ops("send"))
    assert sent == sorted(numels), f"All ranks together sent messages of {sent} elements, and due are {sorted(numels)}."
    count, due = int(sum(comm.bytes_sent_per_rank())), sum(numels) * dtype.itemsize
    assert count == due, (
        f"All ranks together sent {count} bytes, and {due} are due: {dtype} has {dtype.itemsize} bytes an element. "
        "Do elements travel in a wider dtype than they have?"
    )


def assert_no_more_than(counts, most, verb):
    """Fail if a rank sent, or received, more messages than allowed, by rank."""
    for rank, count in enumerate(counts):
        assert count <= most, f"Rank {rank} {verb} {count} messages, and {most} are allowed: ceil(log2 N)."


def assert_exactly(counts, due, verb):
    """Fail unless every rank sent, or received, as many messages as are due, by rank."""
    for rank, (count, wanted) in enumerate(zip(counts, due, strict=True)):
        assert count == wanted, f"Rank {rank} {verb} {count} messages, and {wanted} are due."


def assert_chunks(run, chunks, root):
    """Fail unless every rank has its chunk. The program negates the root's own after the call: one that follows shares memory."""
    followed = PerRank(-chunk if rank == root else chunk for rank, chunk in enumerate(chunks))
    assert_matches(run["y"], PerRank(chunks), mistakes={Mistake.SHARES_MEMORY: followed})


def assert_scattered(comm, root, numels):
    """Fail unless the root sent every other rank one message with the number of elements that `numels` has for it."""
    for op in comm.ops("send"):
        assert op.rank == root, f"Rank {op.rank} sent to rank {op.peer}. In a scatter only the root sends, rank {root}."
    sent = sorted((op.peer, op.inputs[0]) for op in comm.ops("send"))
    assert sent == sorted(numels.items()), (
        f"The root sent (rank, elements) {sent}, and due are {sorted(numels.items())}: to each rank its own chunk, once."
    )


def assert_gathered(comm, root, numel):
    """Fail unless every message has `numel` elements and goes to the root."""
    for op in comm.ops("send"):
        assert op.peer == root, f"Rank {op.rank} sent to rank {op.peer}. In a gather every rank sends to rank {root}."
        assert op.inputs == (numel,), f"Rank {op.rank} sent {op.inputs[0]} elements, and its x has {numel}."


def assert_chunks_left_alone(launch, world_size, layout):
    """Fail unless a scatter from rank 0 returns new tensors and leaves chunks, their list and `like` as they were."""
    chunks = one_per_rank(world_size, 4, 5)
    given = [chunks] + [None] * (world_size - 1)
    like = [torch.full((4, 5), 7.0, dtype=torch.float64)] * world_size
    per_rank = {"chunks": given, "like": like}
    run = launch(programs.p2p_scatter, world_size, per_rank=per_rank, shared={"src": 0, "layout": layout})
    assert_arguments_kept(run, "chunks", "like")
    assert_chunks(run, chunks, 0)
    # The program negates the caller's tensors after the call.
    what = "chunks (the list must still hold the caller's own tensors, which were negated after the call)"
    others = {Mistake.WROTE_TO_ARGUMENT: PerRank(given)}
    assert_matches(run["x"], PerRank([[-chunk for chunk in chunks], *given[1:]]), mistakes=others, what=what)
