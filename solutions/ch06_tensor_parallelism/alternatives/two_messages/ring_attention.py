"""K and V in messages of their own, blocks that the mask hides are skipped, and autograd differentiates one block at a time."""

import math

import torch
import torch.distributed as dist


def token_positions(length, rank, size, layout):
    """Positions."""
    if layout not in {"contiguous", "zigzag"}:
        raise ValueError("no such layout")
    if rank not in range(size):
        raise ValueError("no such rank")
    width, rest = divmod(length, size if layout == "contiguous" else 2 * size)
    if rest:
        raise ValueError("no equal parts")
    if layout == "contiguous":
        return torch.arange(width) + rank * width
    front, back = rank * width, length - (rank + 1) * width
    return torch.tensor([*range(front, front + width), *range(back, back + width)])


def _move(x, group):
    n, r = dist.get_world_size(group), dist.get_rank(group)
    out = torch.empty_like(x)
    coming = dist.irecv(out, group=group, group_src=(r - 1) % n)
    going = dist.isend(x.contiguous(), group=group, group_dst=(r + 1) % n)
    coming.wait()
    going.wait()
    return out


def _logits(q, k, hidden):
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    z = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(q.shape[3])
    return z.masked_fill_(hidden, float("-inf"))


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, group, hidden):  # noqa: PLR0917 - what a Function is applied to has no names
        n = len(hidden)
        m = torch.full_like(q[..., :1], -1e300)
        s, o = torch.zeros_like(m), torch.zeros_like(q)
        kk, vv = k, v
        for step in range(n):
            if step:
                kk, vv = _move(kk, group), _move(vv, group)
            if hidden[step].all():
                continue
            z = _logits(q, kk, hidden[step])
            new = torch.maximum(m, z.max(-1, keepdim=True)[0])
            z.sub_(new).exp_()
            factor = torch.exp(m - new)
            s = s * factor + z.sum(-1, keepdim=True)
            o = o * factor + z @ vv.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
            m = new
            del z
        ctx.group, ctx.hidden = group, hidden
        ctx.save_for_backward(q, k, v, o / s, m, s)
        return o / s

    @staticmethod
    def backward(ctx, grad):
        q, k, v, o, m, s = ctx.saved_tensors
        n = len(ctx.hidden)
        shift = (grad * o).sum(-1, keepdim=True)
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        kk, vv = k, v
        for step in range(n):
            if not ctx.hidden[step].all():
                with torch.enable_grad():
                    a, b, c = (t.detach().requires_grad_() for t in (q, kk, vv))
                    # For given normalisers the sum below has the gradients of the whole.
                    w = (_logits(a, b, ctx.hidden[step]) - m).exp() / s
                    w_v = w @ c.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
                    loss = (w_v * grad).sum() - (w * shift).sum()
                parts = torch.autograd.grad(loss, (a, b, c))
                del w, w_v, loss
                dq, dk, dv = dq + parts[0], dk + parts[1], dv + parts[2]
            if n > 1:
                dk, dv = _move(dk, ctx.group), _move(dv, ctx.group)
            if step < n - 1:
                kk, vv = _move(kk, ctx.group), _move(vv, ctx.group)
        return dq, dk, dv, None, None


def ring_attention(q, k, v, group=None, *, causal=False, layout="contiguous"):
    """Attention."""
    n, r = dist.get_world_size(group), dist.get_rank(group)
    if q.shape[1] % k.shape[1]:
        raise ValueError("heads do not fit")
    mine = token_positions(n * q.shape[2], r, n, layout)
    hidden = []
    for step in range(n):
        theirs = token_positions(n * q.shape[2], (r - step) % n, n, layout)
        later = theirs[None, :] > mine[:, None]
        hidden.append(later if causal else torch.zeros_like(later))
    return _Ring.apply(q, k, v, group, hidden)
