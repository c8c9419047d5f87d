"""What runs on every rank in the tests of ring_attention.py."""

from functools import partial

import torch
import torch.distributed as dist

from course_env.rank_programs import attempt, group_among


def attend(student, *, cases, groups=None):
    """Take each case's q, k and v forward and its dy back. A case has q, k, v, dy and options.

    `arguments` are q, k, v and dy as they are afterwards. A barrier stands between forward and backward, and between two cases,
    in the record.
    """
    group = group_among(groups)
    results = []
    for case in cases:
        leaves = [case[name].clone().requires_grad_() for name in "qkv"]
        given = [leaf * 1 for leaf in leaves]
        y = student.ring_attention(*given, group, **case["options"])
        dist.barrier()
        if y.shape == case["dy"].shape:
            y.backward(case["dy"])
        dist.barrier()
        results.append(
            {
                "y": y.detach(),
                "grads": [leaf.grad for leaf in leaves],
                "arguments": [*(one.detach() for one in given), case["dy"]],
            }
        )
    return {"results": results}


def forward(student, *, q, k, v, options):
    """Return the result without gradients, and no barrier in the record."""
    with torch.no_grad():
        return {"y": student.ring_attention(q, k, v, **options)}


def saved(student, *, case):
    """Take one case forward and back as `attend` does, and observe how many bytes forward keeps for backward."""
    sizes = {}

    def note(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        leaves = [case[name].clone().requires_grad_() for name in "qkv"]
        y = student.ring_attention(*leaves, **case["options"])
    kept = sum(sizes.values())
    y.backward(case["dy"])
    result = {"y": y.detach(), "grads": [leaf.grad for leaf in leaves]}
    result["arguments"] = [*(leaf.detach() for leaf in leaves), case["dy"]]
    return {"results": [result], "observed": {"kept": kept}}


def long_sequence(student, *, tokens, heads, seed, only_inputs=False):
    """Attend over a long sequence with one key head, without gradients; return the sum of squares of the result.

    With `only_inputs` it takes no memory but that of what is given to the student, and of a first product.
    """
    numbers = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, count, tokens, 2, dtype=torch.float64, generator=numbers) for count in (heads, 1, 1))
    with torch.no_grad():
        if only_inputs:
            ((q[:, :, :16] @ k[:, :, :16].mT).softmax(-1) @ v[:, :, :16]).square().sum()
            dist.barrier()
            return {"sum": None}
        return {"sum": student.ring_attention(q, k, v, causal=True, layout="zigzag").square().sum()}


def refusals(student, *, q, k, v, calls):
    """Call ring_attention with each [number of key heads, tokens, options]; return what was raised, and results otherwise."""
    ends = [
        attempt(partial(student.ring_attention, q[:, :, :n], k[:, :heads, :n], v[:, :heads, :n], **options))
        for heads, n, options in calls
    ]
    return {"ys": [y for y, _ in ends], "errors": [error for _, error in ends]}
