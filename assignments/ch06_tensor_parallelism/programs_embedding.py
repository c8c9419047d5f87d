"""What runs on every rank in the tests of embedding.py."""

from functools import partial

import torch.distributed as dist

from course_env.rank_programs import attempt, group_among


def look_up(student, *, table, batches, groups=None):
    """Load a table, look up each batch of [tokens, dy] and take dy back, without clearing gradients in between.

    `held` is the parameter that there was before load_full, `tokens` are the arguments as they are afterwards. A barrier stands between any two of constructor, forward and
    backward, in the record.
    """
    layer = student.VocabParallelEmbedding(*table.shape, group=group_among(groups)).double()
    held = layer.weight
    layer.load_full(table)
    ys = []
    for tokens, dy in batches:
        dist.barrier()
        y = layer(tokens)
        dist.barrier()
        if y.shape == dy.shape:
            y.backward(dy)
        ys.append(y.detach())
    return {"ys": ys, "held": held.detach(), "grad": layer.weight.grad, "tokens": [tokens for tokens, _ in batches]}


def constructions(student, *, sizes, tables):
    """Try to make an embedding of each [vocab_size, d], and to load each table into one of 6 times 2.

    `shapes` are those of the weights that were made, None where nothing was.
    """
    shapes, errors = [], []
    for size in sizes:
        layer, error = attempt(partial(student.VocabParallelEmbedding, *size))
        shapes.append(layer and list(layer.weight.shape))
        errors.append(error)
    layer = student.VocabParallelEmbedding(6, 2).double()
    refused = [attempt(partial(layer.load_full, table))[1] for table in tables]
    return {"shapes": shapes, "errors": errors, "refused": refused, "weight": layer.weight.detach()}


def tries(student, *, table, batches):
    """Look up each tensor of tokens; return what was raised, and what was returned where nothing was."""
    layer = student.VocabParallelEmbedding(*table.shape).double()
    layer.load_full(table)
    ends = [attempt(partial(layer, tokens)) for tokens in batches]
    return {"ys": [y if y is None else y.detach() for y, _ in ends], "errors": [error for _, error in ends]}
