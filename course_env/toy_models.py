"""Small models with what breaks naive data parallelism: tied, frozen and unused parameters, buffers, odd sizes.

Judge and ranks build a model by its name and set its tensors with `load_tensors`, so both hold the same numbers without
sharing a seed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_env.errors import did_you_mean
from course_env.gpt_config import GPTConfig
from course_env.tiny_gpt import TinyGPT

WIDTH = 6

# How SGD trains them, on the ranks and in the judge's baseline alike.
LR, MOMENTUM = 0.1, 0.9


class MLP(nn.Sequential):
    """Linear layers with tanh between them; `sizes` are the widths from input to output."""

    def __init__(self, sizes: Sequence[int] = (5, 7, 6, 3)) -> None:
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(sizes):
            layers += [nn.Linear(d_in, d_out), nn.Tanh()]
        super().__init__(*layers[:-1])


class TiedMLP(nn.Module):
    """One weight used twice, with a frozen layer between the uses: shapes (b, 6) -> (b, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.frozen = nn.Linear(WIDTH, WIDTH).requires_grad_(requires_grad=False)
        self.last = nn.Linear(WIDTH, WIDTH)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the three layers."""
        out: Tensor = self.last(torch.tanh(self.frozen(torch.tanh(self.first(x)))))
        return out


class BranchyMLP(nn.Module):
    """A trunk, and branches of which the caller says which to use: shapes (b, 5) -> (b, 3).

    Gradients of the branches are ready in the reverse order of their use, and the trunk's last of all. Do not use the branch
    "spare": it stands for one that no rank uses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(5, WIDTH)
        self.branches = nn.ModuleDict({name: nn.Linear(WIDTH, 3) for name in ("left", "spare", "right")})

    def forward(self, x: Tensor, branches: Sequence[str] = ("left", "right")) -> Tensor:
        """Return the sum of these branches, used in this order."""
        hidden = torch.tanh(self.trunk(x))
        out = hidden.new_zeros(len(x), 3)
        for name in branches:
            out = out + self.branches[name](hidden)
        return out


class BatchNormMLP(nn.Module):
    """Buffers of every kind: BatchNorm's statistics and int64 count, and one that state_dict() leaves out.

    Shapes (b, 5) -> (b, 3).
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.norm = nn.BatchNorm1d(7)
        self.last = nn.Linear(7, 3)
        self.register_buffer("scale", torch.rand(7), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output; in training mode BatchNorm's statistics change."""
        out: Tensor = self.last(torch.tanh(self.norm(self.first(x))) * self.scale)
        return out


class MixedMLP(nn.Module):
    """A float32 layer between float64 ones: shapes (b, 5) -> (b, 3), both float64."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.narrow = nn.Linear(7, 7)
        self.last = nn.Linear(7, 3)

    def double(self) -> "MixedMLP":
        """Return the model with all but the middle layer in float64."""
        super().double()
        self.narrow.float()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the output; the middle layer computes in float32."""
        hidden = torch.tanh(self.narrow(torch.tanh(self.first(x)).float()))
        out: Tensor = self.last(hidden.double())
        return out


def _stack() -> MLP:
    return MLP((8, 8, 8, 8, 8))


def _wide() -> MLP:
    return MLP((37, 128, 101, 3))


TOY_MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "mlp": MLP,
    "stack": _stack,  # four equal layers
    "wide": _wide,  # 18,000 parameters, so that their bytes stand out from what else is sent
    "tied": TiedMLP,
    "branchy": BranchyMLP,
    "batch_norm": BatchNormMLP,
    "mixed": MixedMLP,
}


def make_toy(name: str) -> nn.Module:
    """Return a new model of that name with random parameters, in float64 except for the float32 layer of "mixed".

    Raises: ValueError if there is no such model.
    """
    if name not in TOY_MODELS:
        raise ValueError(f"There is no toy model '{name}'. {did_you_mean(name, TOY_MODELS)}")
    return TOY_MODELS[name]().double()


def build_model(model: str | GPTConfig) -> nn.Module:
    """Return the toy model of this name, or the TinyGPT of this config; in float64, freshly drawn.

    Raises: ValueError if there is no toy model of this name.
    """
    return TinyGPT(model).double() if isinstance(model, GPTConfig) else make_toy(model)


def loss_of(output: Tensor, y: Tensor) -> Tensor:
    """Return a mean over rows: cross-entropy where the targets are classes, the squared error where they are numbers.

    Shapes: y like output (numbers), or output (..., classes) and y of int64 with as many elements as there are rows.
    """
    if y.is_floating_point():
        return functional.mse_loss(output, y)
    return functional.cross_entropy(output.flatten(0, -2), y.flatten())


def gradients_of(module: nn.Module) -> dict[str, Tensor | None]:
    """Return a copy of every parameter's gradient by name, None where it has none."""
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter and buffer by name, each once, including those that state_dict() leaves out."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach().clone() for name, tensor in named.items()}


def load_tensors(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values, as `tensors_of` returned them, into a module's parameters and buffers.

    Raises: ValueError if the names are not the module's.
    """
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if set(named) != set(values):
        raise ValueError(f"The module holds {sorted(named)}, but there are values for {sorted(values)}.")
    with torch.no_grad():
        for name, tensor in named.items():
            tensor.copy_(values[name])
