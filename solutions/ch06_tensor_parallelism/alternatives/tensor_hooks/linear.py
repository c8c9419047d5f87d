"""The casts as hooks on tensors, and sums that autograd does not see."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional


def _summed(x, group):
    total = x.detach().contiguous().clone()
    dist.all_reduce(total, group=group)
    return total


def _gathered(x, group):
    out = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(out, x.detach().contiguous(), group=group)
    return torch.cat(out, -1)


def _f(x, group):
    x = x * 1
    if x.requires_grad:
        x.register_hook(lambda grad: _summed(grad, group))
    return x


def _g(x, group):
    # The values of the sum, the gradient of the part.
    return x + (_summed(x, group) - x.detach())


class _Base(nn.Module):
    DIM = 0

    def _setup(self, d_in, d_out, bias, seed, group):
        self.group, self.sizes = group, (d_out, d_in)
        self.n, self.r = dist.get_world_size(group), dist.get_rank(group)
        if self.sizes[self.DIM] % self.n != 0:
            raise ValueError("not divisible")
        generator = torch.Generator()
        generator.manual_seed(seed)
        matrix = (torch.rand(d_out, d_in, generator=generator) - 0.5) * (2 / d_in**0.5)
        self.weight = nn.Parameter(self._mine(matrix))
        self.bias = nn.Parameter(torch.zeros(self._bias_size(d_out))) if bias else None

    def _bias_size(self, d_out):
        return d_out // self.n if self.DIM == 0 else d_out

    def _mine(self, tensor):
        length = tensor.shape[self.DIM] // self.n
        return tensor.narrow(self.DIM, self.r * length, length).clone()

    def load_full(self, weight, bias=None):
        """Load."""
        fits = weight.shape == torch.Size(self.sizes) and (bias is None) == (self.bias is None)
        if not fits or (bias is not None and bias.shape != (self.sizes[0],)):
            raise ValueError("These do not fit.")
        self.weight.data.copy_(self._mine(weight))
        if bias is not None:
            self.bias.data.copy_(self._mine(bias) if self.DIM == 0 else bias)


class ColumnParallelLinear(_Base):
    """Columns."""

    def __init__(self, d_in, d_out, *, bias=True, gather_output=False, seed=0, group=None):
        super().__init__()
        self._setup(d_in, d_out, bias, seed, group)
        self.gather_output = gather_output

    def forward(self, x):
        """Apply."""
        y = functional.linear(_f(x, self.group), self.weight, self.bias)
        if not self.gather_output:
            return y
        whole = _gathered(y, self.group)
        length = y.shape[-1]
        first, last = self.r * length, (self.r + 1) * length
        return torch.cat([whole[..., :first], y, whole[..., last:]], -1)


class RowParallelLinear(_Base):
    """Rows."""

    DIM = 1

    def __init__(self, d_in, d_out, *, bias=True, input_is_parallel=True, seed=0, group=None):
        super().__init__()
        self._setup(d_in, d_out, bias, seed, group)
        self.input_is_parallel = input_is_parallel

    def forward(self, x):
        """Apply."""
        if not self.input_is_parallel:
            x = x * 1
            length = x.shape[-1] // self.n
            if x.requires_grad:
                first = self.r * length
                x.register_hook(lambda grad: _gathered(grad[..., first : first + length], self.group))
            x = x[..., self.r * length : (self.r + 1) * length]
        y = _g(x @ self.weight.T, self.group)
        return y if self.bias is None else self.bias + y


class ParallelMLP(nn.Module):
    """Both."""

    def __init__(self, d, d_ff, *, seed=0, group=None):
        super().__init__()
        self.up = ColumnParallelLinear(d, d_ff, seed=seed, group=group)
        self.down = RowParallelLinear(d_ff, d, seed=seed + 1, group=group)
        self.act = nn.GELU()

    def forward(self, x):
        """Apply."""
        return self.down(self.act(self.up(x)))
