"""Each rank's logarithm of its own sum first; the ranks then combine logarithms."""

import torch
import torch.distributed as dist


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, group, v, ignored, eps):  # noqa: PLR0917 - what a Function is applied to has no names
        n_local = logits.size(-1)
        start = n_local * dist.get_rank(group)
        keep = min(max(v - start, 0), n_local)
        real = logits[..., :keep]
        own = real.logsumexp(-1) if keep else logits.new_full(targets.shape, -torch.inf)
        top = own.clone()
        dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
        z = (own - top).exp()
        dist.all_reduce(z, group=group)
        lse = top + z.log()
        hit = (targets != ignored) & (targets >= start) & (targets < start + keep)
        picked = torch.zeros_like(lse)
        picked[hit] = logits[hit].gather(-1, (targets[hit] - start)[:, None])[:, 0]
        dist.all_reduce(picked, group=group)
        nll = lse - picked
        if eps:
            # From the normaliser, so that no large numbers cancel.
            rest = (lse[..., None] - real).sum(-1) / v
            dist.all_reduce(rest, group=group)
            nll = nll * (1 - eps) + rest * eps
        nll[targets == ignored] = 0
        ctx.save_for_backward(real, lse, targets, hit)
        ctx.rest = (start, keep, n_local, v, ignored, eps)
        return nll

    @staticmethod
    def backward(ctx, grad):
        real, lse, targets, hit = ctx.saved_tensors
        start, keep, n_local, v, ignored, eps = ctx.rest
        p = (real - lse[..., None]).exp() - eps / v
        at = hit.nonzero(as_tuple=True)
        p[(*at, targets[at] - start)] -= 1 - eps
        p = p * (grad * (targets != ignored))[..., None]
        out = grad.new_zeros(*targets.shape, n_local)
        out[..., :keep] = p
        return out, None, None, None, None, None


def vocab_parallel_cross_entropy(
    logits,
    targets,
    group=None,
    *,
    vocab_size=None,
    ignore_index=-100,
    label_smoothing=0.0,
):
    """Cross-entropy by parts."""
    total = logits.size(-1) * dist.get_world_size(group)
    v = total if vocab_size is None else vocab_size
    if v < 1 or v > total:
        raise ValueError("vocab_size")
    if not 0 <= label_smoothing <= 1:
        raise ValueError("label_smoothing")
    rest = targets[targets != ignore_index]
    if rest.numel() and (rest.min() < 0 or rest.max() >= v):
        raise ValueError("targets")
    return _Loss.apply(logits, targets, group, v, ignore_index, label_smoothing)
