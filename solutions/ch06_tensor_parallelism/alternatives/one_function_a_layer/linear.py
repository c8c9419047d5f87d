"""One autograd.Function for each layer; the all-reduce of x's gradient runs while the weight's gradient is computed."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional


class _Column(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, group, gather):  # noqa: PLR0917 - what a Function is applied to has no names
        ctx.save_for_backward(x, weight)
        ctx.group, ctx.gather, ctx.has_bias = group, gather, bias is not None
        y = x.matmul(weight.t())
        if bias is not None:
            y = y + bias
        if gather:
            every = [torch.empty_like(y) for _ in range(dist.get_world_size(group))]
            dist.all_gather(every, y.contiguous(), group=group)
            y = torch.cat(every, dim=-1)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        if ctx.gather:
            grad = grad.chunk(dist.get_world_size(ctx.group), -1)[dist.get_rank(ctx.group)]
        x_grad = grad.matmul(weight).contiguous()
        handle = dist.all_reduce(x_grad, group=ctx.group, async_op=True)
        rows = grad.reshape(-1, grad.shape[-1])
        weight_grad = rows.t().mm(x.reshape(-1, x.shape[-1]))
        bias_grad = rows.sum(0) if ctx.has_bias else None
        handle.wait()
        return x_grad, weight_grad, bias_grad, None, None


class _Row(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, group, whole):
        if whole:
            x = x.chunk(dist.get_world_size(group), -1)[dist.get_rank(group)]
        ctx.save_for_backward(x, weight)
        ctx.group, ctx.whole = group, whole
        y = x.matmul(weight.t())
        dist.all_reduce(y, group=group)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        x_grad = grad.matmul(weight)
        if ctx.whole:
            every = [torch.empty_like(x_grad) for _ in range(dist.get_world_size(ctx.group))]
            dist.all_gather(every, x_grad.contiguous(), group=ctx.group)
            x_grad = torch.cat(every, dim=-1)
        weight_grad = grad.reshape(-1, grad.shape[-1]).t().mm(x.reshape(-1, x.shape[-1]))
        return x_grad, weight_grad, None, None


def _matrix(d_in, d_out, dim, seed, group):
    n, r = dist.get_world_size(group), dist.get_rank(group)
    size = (d_out, d_in)[dim]
    if size % n:
        raise ValueError(f"{size} / {n}")
    bound = d_in**-0.5
    rng = torch.Generator()
    full = torch.empty(d_out, d_in).uniform_(generator=rng.manual_seed(seed)).mul_(2 * bound).sub_(bound)
    return nn.Parameter(full.split(size // n, dim)[r].contiguous().clone())


class ColumnParallelLinear(nn.Module):
    """Columns."""

    def __init__(self, d_in, d_out, *, bias=True, gather_output=False, seed=0, group=None):
        super().__init__()
        self.weight = _matrix(d_in, d_out, 0, seed, group)
        self.register_parameter("bias", nn.Parameter(torch.zeros(self.weight.shape[0])) if bias else None)
        self.full, self.group, self.gather = [d_out, d_in], group, gather_output

    def load_full(self, weight, bias=None):
        """Load."""
        _load(self, weight, bias, 0)

    def forward(self, x):
        """Apply."""
        return _Column.apply(x, self.weight, self.bias, self.group, self.gather)


class RowParallelLinear(nn.Module):
    """Rows."""

    def __init__(self, d_in, d_out, *, bias=True, input_is_parallel=True, seed=0, group=None):
        super().__init__()
        self.weight = _matrix(d_in, d_out, 1, seed, group)
        self.register_parameter("bias", nn.Parameter(torch.zeros(d_out)) if bias else None)
        self.full, self.group, self.whole = [d_out, d_in], group, not input_is_parallel

    def load_full(self, weight, bias=None):
        """Load."""
        _load(self, weight, bias, 1)

    def forward(self, x):
        """Apply."""
        y = _Row.apply(x, self.weight, self.group, self.whole)
        return y if self.bias is None else y + self.bias


def _load(layer, weight, bias, dim):
    if list(weight.shape) != layer.full:
        raise ValueError("shape of the weight")
    if (layer.bias is None) is not (bias is None) or (bias is not None and list(bias.shape) != layer.full[:1]):
        raise ValueError("bias")
    n, r = dist.get_world_size(layer.group), dist.get_rank(layer.group)
    with torch.no_grad():
        layer.weight.copy_(weight.chunk(n, dim)[r])
        if bias is not None:
            layer.bias.copy_(bias.chunk(n)[r] if dim == 0 else bias)


class ParallelMLP(nn.Module):
    """Both."""

    def __init__(self, d, d_ff, *, seed=0, group=None):
        super().__init__()
        self.up = ColumnParallelLinear(d, d_ff, seed=seed, group=group)
        self.down = RowParallelLinear(d_ff, d, seed=seed + 1, group=group)

    def forward(self, x):
        """Apply."""
        return self.down.forward(functional.gelu(self.up.forward(x)))
