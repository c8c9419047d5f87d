"""What runs in the sandbox in the tests of sharding.py."""

import torch
from torch import Tensor, nn

from course_env.rank_programs import WriteWatch, share_memory, tensors_in

OVERWRITTEN = 77


def shard(student, *, x, dim, rank, world, mode, by_columns=False, as_parameter=False):
    """Cut this rank's piece out of x, then overwrite x.

    by_columns: let x, a matrix, lie in memory column by column
    as_parameter: hand over an nn.Parameter with the values of x

    piece, later: the piece, and what it is once x has other values; memory: all numbers in the piece's memory, as they lie there;
    x: x after the call
    """
    x = x.t().contiguous().t() if by_columns else x
    x = nn.Parameter(x) if as_parameter else x
    watch = WriteWatch([x])
    piece = student.shard(x, dim, rank, world, mode)
    after = x.detach().clone()
    memory = _memory_of(piece)
    copied = piece.detach().clone() if isinstance(piece, Tensor) else piece
    observed = {
        "written": watch.written(),
        "shares_memory": share_memory(tensors_in(piece), [x]),
        "contiguous": all(tensor.is_contiguous() for tensor in tensors_in(piece)),
        "has_graph": any(tensor.requires_grad for tensor in tensors_in(piece)),
    }
    x.detach().fill_(OVERWRITTEN)
    later = piece.detach() if isinstance(piece, Tensor) else piece
    return {"piece": copied, "later": later, "memory": memory, "x": after, "observed": observed}


def unshard(student, *, pieces, dim):
    """Put pieces together again, then overwrite them. whole, later: the tensor, and what it is after that; pieces: after the call."""
    watch = WriteWatch(pieces)
    whole = student.unshard(pieces, dim)
    copied = whole.detach().clone() if isinstance(whole, Tensor) else whole
    after = [piece.clone() for piece in pieces]
    observed = {"written": watch.written(), "shares_memory": share_memory(tensors_in(whole), pieces)}
    for piece in pieces:
        piece.fill_(OVERWRITTEN)
    return {"whole": copied, "later": whole, "pieces": after, "observed": observed}


def keep_pieces(student, *, count, rows):
    """Make `count` parameters of a MiB for every row, keep a piece of one row of each and drop the rest; return the pieces' numbers."""
    pieces = [student.shard(_parameter(rows, number), 0, 0, rows) for number in range(count)]
    return {"numbers": [float(piece.detach().flatten()[0]) for piece in pieces]}


def drop_all(student, *, count, rows):
    """Make the same parameters, and keep none."""
    del student
    return {"numbers": [float(_parameter(rows, number).detach()[0, 0]) for number in range(count)]}


def _parameter(rows, number):
    return nn.Parameter(torch.full((rows, 1 << 18), float(number)))


def _memory_of(piece):
    if not isinstance(piece, Tensor):
        return piece
    return piece.detach().new_empty(0).set_(piece.detach().untyped_storage()).clone()
