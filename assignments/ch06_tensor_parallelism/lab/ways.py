"""What every rank of the lab does: one pass of a small language model, cut in one of the ways that are compared.

All ways begin with the same whole parameters and the same tokens, known to every rank. So all have the same loss, and each
gradient is the rank's part of that of one process, up to rounding in float64; what differs is what is communicated.
"""

import importlib.util
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn import functional

from course_env.collective_meter import CollectiveMeter

VOCAB, WIDTH, HEADS, HIDDEN, LENGTH, BATCH = 48, 16, 4, 64, 8, 2

Way = Callable[[Path], tuple[Callable[[Tensor, Tensor], Tensor], Callable[[], dict[str, tuple[Tensor, Tensor]]]]]
"""Given the folder of the answers: how to get the loss of tokens and targets, and then each gradient beside the one that is due."""


class NotWrittenError(Exception):
    """A part of the reader's own is missing; the text says which."""


class Attention(nn.Module):
    """Causal attention with separate matrices; with DTensor a rank sees its own heads, and their number follows."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the tokens gather. Shapes: (b, s, d)."""
        q, k, v = (
            one(x).unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2).contiguous() for one in (self.q, self.k, self.v)
        )
        scores = q @ k.mT / (WIDTH // HEADS) ** 0.5
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        y: Tensor = self.out((scores.masked_fill(future, -torch.inf).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return y


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for each token. Shapes: (b, s, d)."""
        y: Tensor = self.down(functional.gelu(self.up(x)))
        return y


class Model(nn.Module):
    """An embedding, one transformer block, a norm and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.attention, self.mlp = Attention(), MLP()
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits. Shapes: tokens (b, s), the result (b, s, V)."""
        x = self.embedding(tokens)
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        logits: Tensor = self.head(self.norm3(x))
        return logits


def whole_model() -> Model:
    """Return the model as every rank draws it."""
    torch.manual_seed(0)
    model = Model().double()
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.4)
    return model


def due_gradients(tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return the gradients of one process, by name."""
    model = whole_model()
    plain_loss(model(tokens), targets).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def plain_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def batch() -> tuple[Tensor, Tensor]:
    """Return tokens and targets, the same on all ranks."""
    numbers = torch.randint(VOCAB, (2, BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    return numbers[0], numbers[1]


def one_process(_answers: Path) -> tuple[Any, Any]:
    """Cut nothing."""
    model = whole_model()
    return lambda tokens, targets: plain_loss(model(tokens), targets), lambda: _beside(model)


def dtensor(_answers: Path) -> tuple[Any, Any]:
    """Cut the layers with DTensor; the logits are gathered."""
    plan = {
        "embedding": RowwiseParallel(input_layouts=Replicate()),
        **{f"attention.{name}": ColwiseParallel() for name in "qkv"},
        "attention.out": RowwiseParallel(),
        "mlp.up": ColwiseParallel(),
        "mlp.down": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Replicate()),
    }
    model = parallelize_module(whole_model(), _mesh(), plan)
    return lambda tokens, targets: plain_loss(model(tokens), targets), lambda: _beside(model)


def dtensor_sequence(_answers: Path) -> tuple[Any, Any]:
    """Cut the layers and the tokens between them with DTensor; the logits stay cut, and so does the loss."""
    gathered = PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),))
    plan = {
        "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        **dict.fromkeys(("norm1", "norm2", "norm3"), SequenceParallel()),
        "attention": gathered,
        **{f"attention.{name}": ColwiseParallel() for name in "qkv"},
        "attention.out": RowwiseParallel(output_layouts=Shard(1)),
        "mlp": gathered,
        "mlp.up": ColwiseParallel(),
        "mlp.down": RowwiseParallel(output_layouts=Shard(1)),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
    }
    model = parallelize_module(whole_model(), _mesh(), plan)
    return lambda tokens, targets: plain_loss(model(tokens), targets), lambda: _beside(model)


def yours(answers: Path) -> tuple[Any, Any]:
    """Cut the layers with the reader's exercises 6.2 to 6.5."""
    linear, embedding, cross_entropy, attention = (
        _answer(answers, name) for name in ("linear", "embedding", "cross_entropy", "attention")
    )
    whole, size, rank = whole_model(), dist.get_world_size(), dist.get_rank()
    layers = nn.ModuleDict(
        {
            "embedding": embedding.VocabParallelEmbedding(VOCAB, WIDTH),
            "attention": attention.ParallelSelfAttention(WIDTH, HEADS, HEADS),
            "mlp": linear.ParallelMLP(WIDTH, HIDDEN),
            "head": linear.ColumnParallelLinear(WIDTH, VOCAB, bias=False),
            **{name: nn.LayerNorm(WIDTH) for name in ("norm1", "norm2", "norm3")},
        }
    ).double()
    stacked = [
        torch.cat([getattr(one, name) for one in (whole.attention.q, whole.attention.k, whole.attention.v)])
        for name in ("weight", "bias")
    ]
    layers["embedding"].load_full(whole.embedding.weight.detach())
    layers["attention"].load_full(
        *(one.detach() for one in (*stacked, whole.attention.out.weight, whole.attention.out.bias))
    )
    layers["mlp"].up.load_full(whole.mlp.up.weight.detach(), whole.mlp.up.bias.detach())
    layers["mlp"].down.load_full(whole.mlp.down.weight.detach(), whole.mlp.down.bias.detach())
    layers["head"].load_full(whole.head.weight.detach())
    for name in ("norm1", "norm2", "norm3"):
        layers[name].load_state_dict(getattr(whole, name).state_dict())

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        x = layers["embedding"](tokens)
        x = x + layers["attention"](layers["norm1"](x))
        x = x + layers["mlp"](layers["norm2"](x))
        losses: Tensor = cross_entropy.vocab_parallel_cross_entropy(layers["head"](layers["norm3"](x)), targets)
        return losses.mean()

    def beside() -> dict[str, tuple[Tensor, Tensor]]:
        due = due_gradients(*batch())
        found = {name: parameter.grad for name, parameter in layers.named_parameters()}
        part = {name: (lambda t, dim=dim: t.chunk(size, dim)[rank]) for name, dim in CUTS.items()}
        pairs = {name: (found[name], part.get(name, lambda t: t)(due[name])) for name in due if name in found}
        for name in ("weight", "bias"):
            rows = [due[f"attention.{one}.{name}"].chunk(size)[rank] for one in "qkv"]
            pairs[f"attention.qkv.{name}"] = (found[f"attention.qkv_{name}"], torch.cat(rows))
        pairs["attention.out.weight"] = (
            found["attention.out_weight"],
            due["attention.out.weight"].chunk(size, 1)[rank],
        )
        pairs["attention.out.bias"] = (found["attention.out_bias"], due["attention.out.bias"])
        return pairs

    return loss, beside


CUTS = {"embedding.weight": 0, "head.weight": 0, "mlp.up.weight": 0, "mlp.up.bias": 0, "mlp.down.weight": 1}
"""Along which dim a rank's part of a parameter is cut, where the names are those of the whole model."""


def _beside(model: Model) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each gradient, whole, beside the one that is due."""
    due = due_gradients(*batch())
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    whole = {name: grad.full_tensor() if isinstance(grad, DTensor) else grad for name, grad in found.items()}
    return {name: (whole[name], due[name]) for name in due}


def _mesh() -> Any:
    return init_device_mesh("cpu", (dist.get_world_size(),))


def _answer(answers: Path, name: str) -> ModuleType:
    """Return the reader's file as a module."""
    spec = importlib.util.spec_from_file_location(name, answers / f"{name}.py")
    assert spec is not None, f"{name}.py is not there."
    assert spec.loader is not None, f"{name}.py cannot be loaded."
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(way: Way, answers: Path, *, cut_loss: bool) -> dict[str, object]:
    """Take one pass in the process group that exists; return plain data: loss, calls, bytes, and how far gradients are off.

    Raises: NotWrittenError if the reader's part is a stub.
    """
    tokens, targets = batch()
    try:
        loss_of, beside = way(answers)
        with loss_parallel() if cut_loss else nullcontext():
            with CollectiveMeter() as forward:
                loss = loss_of(tokens, targets)
            with CollectiveMeter() as backward:
                loss.backward()
    except NotImplementedError as stub:
        raise NotWrittenError(str(stub)) from None
    furthest = max((found - due).abs().max().item() for found, due in beside().values())
    meters = {"forward": forward, "backward": backward}
    value = loss.full_tensor() if isinstance(loss, DTensor) else loss
    return {
        "loss": value.item(),
        "furthest": furthest,
        "calls": {phase: dict(Counter(one.op for one in meter.collectives)) for phase, meter in meters.items()},
        "sent": float(sum(meter.bytes_sent() for meter in meters.values())),
    }
