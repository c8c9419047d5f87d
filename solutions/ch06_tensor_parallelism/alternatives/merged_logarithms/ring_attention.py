"""Blocks are finished one by one and merged by their logarithms; in backward the blocks go round the other way."""

import torch
import torch.distributed as dist


def token_positions(length, rank, size, layout):
    """Positions."""
    pieces = {"contiguous": size, "zigzag": 2 * size}.get(layout)
    if pieces is None or rank < 0 or rank >= size or length % pieces != 0:
        raise ValueError((length, rank, size, layout))
    grid = torch.arange(length).reshape(pieces, -1)
    return grid[rank] if layout == "contiguous" else grid[[rank, -1 - rank]].flatten()


def _exchange(tensors, step, group):
    n, r = dist.get_world_size(group), dist.get_rank(group)
    ranks = dist.get_process_group_ranks(group or dist.group.WORLD)
    if n == 1:
        return tensors
    new = [torch.empty_like(one) for one in tensors]
    ops = [dist.P2POp(dist.isend, one.contiguous(), ranks[(r + step) % n], group) for one in tensors]
    ops += [dist.P2POp(dist.irecv, one, ranks[(r - step) % n], group) for one in new]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    return new


def _block(q, k, query_places, key_places):
    scores = torch.einsum("bgqsd,bgtd->bgqst", q, k) * q.shape[-1] ** -0.5
    if key_places is not None:
        scores[..., key_places[None, :] > query_places[:, None]] = -torch.inf
    return scores


class _Ring(torch.autograd.Function):
    """All of it."""

    @staticmethod
    def forward(ctx, q, k, v, places, group):  # noqa: PLR0917 - what a Function is applied to has no names
        n, r = dist.get_world_size(group), dist.get_rank(group)
        b, h, s, d = q.shape
        q5 = q.reshape(b, k.shape[1], -1, s, d)
        keys, values = k.contiguous(), v.contiguous()
        lse = out = None
        for step in range(n):
            if step > 0:
                keys, values = _exchange([keys, values], 1, group)
            scores = _block(q5, keys, places[r], places[(r - step) % n])
            part = scores.logsumexp(-1, keepdim=True)
            blank = part.isneginf()
            weights = (scores - part.masked_fill(blank, 0)).exp()
            here = torch.einsum("bgqst,bgtd->bgqsd", weights, values)
            if lse is None:
                lse, out = part, here
            else:
                new = torch.logaddexp(lse, part)
                out = out * (lse - new).exp() + here * (part - new).exp()
                lse = new
            del scores, weights
        ctx.save_for_backward(q5, k, v, lse, out)
        ctx.places, ctx.group = places, group
        return out.reshape(b, h, s, d).clone()

    @staticmethod
    def backward(ctx, grad):
        q5, k, v, lse, out = ctx.saved_tensors
        places, group = ctx.places, ctx.group
        n, r = dist.get_world_size(group), dist.get_rank(group)
        grad = grad.reshape(out.shape)
        delta = (grad * out).sum(-1, keepdim=True)
        q_grad = torch.zeros_like(q5)
        travellers = [k.contiguous(), v.contiguous(), torch.zeros_like(k), torch.zeros_like(v)]
        root = q5.shape[-1] ** -0.5
        for step in range(n):
            if step > 0:
                travellers = _exchange(travellers, -1, group)
            keys, values, k_grad, v_grad = travellers
            weights = (_block(q5, keys, places[r], places[(r + step) % n]) - lse).exp()
            v_grad += torch.einsum("bgqst,bgqsd->bgtd", weights, grad)
            ds = weights * (torch.einsum("bgqsd,bgtd->bgqst", grad, values) - delta) * root
            del weights
            q_grad += torch.einsum("bgqst,bgtd->bgqsd", ds, keys)
            k_grad += torch.einsum("bgqst,bgqsd->bgtd", ds, q5)
            del ds
        k_grad, v_grad = _exchange(travellers[2:], -1, group)
        return q_grad.flatten(1, 2), k_grad, v_grad, None, None


def ring_attention(q, k, v, group=None, *, causal=False, layout="contiguous"):
    """Attention."""
    n = dist.get_world_size(group)
    if q.shape[1] // k.shape[1] * k.shape[1] != q.shape[1]:
        raise ValueError("heads")
    places = [token_positions(n * q.shape[2], r, n, layout) for r in range(n)]
    return _Ring.apply(q, k, v, places if causal else [None] * n, group)
