"""Baselines and assertions that the public and the hidden tests of embedding.py share."""

import torch
from torch.nn import functional

from grader.harness import PerRank, assert_matches, assert_unchanged


def batch(vocab_size, d, *shape):
    """Return tokens of this shape, and the gradient of their rows."""
    return [torch.randint(vocab_size, shape), torch.randn(*shape, d, dtype=torch.float64)]


def assert_right(run, table, batches, size, members=None):
    """Each rank has the rows of the whole table, and its part of the table's gradient over all batches.

    members: the ranks of the group, in group order; default: all
    """
    members = members or range(size)
    leaf = table.clone().requires_grad_()
    ys = [functional.embedding(tokens, leaf) for tokens, _ in batches]
    for y, (_, dy) in zip(ys, batches, strict=True):
        y.backward(dy)
    found = {name: PerRank(run[name][rank] for rank in members) for name in ("held", "ys", "grad")}
    assert_matches(found["held"], PerRank(table.chunk(size)), what="weight after load_full")
    assert_matches(found["ys"], [y.detach() for y in ys], what="rows")
    assert_matches(found["grad"], PerRank(leaf.grad.chunk(size)), what="gradient of weight")
    tokens = PerRank(run["tokens"][rank] for rank in members)
    assert_unchanged(tokens, [one for one, _ in batches], "tokens")


def assert_traffic(comm, elements):
    """Nothing is communicated but one all-reduce in each forward, of this many elements."""
    for rank in range(comm.world_size):
        sections = [[]]
        for op in comm.ops(rank=rank):
            if op.op == "barrier":
                sections.append([])
            else:
                sections[-1].append((op.kind, op.payload_bytes // op.itemsize))
        due = [[], *([[("all_reduce", elements)], []] * (len(sections) // 2))]
        for number, (done, wanted) in enumerate(zip(sections, due, strict=True)):
            where = ("backward" if number % 2 == 0 else "forward") if number else "constructor and load_full"
            assert done == wanted, (
                f"{where}: rank {rank} communicates {done or 'nothing'} (collective, elements); due is "
                f"{wanted or 'nothing'}."
            )
