"""What every rank of the lab does: train one TinyGPT in one of the ways that are compared, and measure the last step.

All ways see the same sequences and start from the same parameters, those of rank 0. So they should have the same loss
curve, up to rounding; what differs is what is communicated, when, and what a rank holds.
"""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from course_env.collective_meter import CollectiveMeter
from course_env.gpt_config import GPTConfig
from course_env.meters import gradient_bytes, optimizer_state_bytes, parameter_bytes
from course_env.tiny_gpt import TinyGPT

CONFIG = GPTConfig(vocab_size=64, n_layer=2, n_head=4, d_model=64, max_seq=32)
BUCKET_CAP_BYTES = 100_000  # so small that there are some buckets
GLOBAL_BATCH = 48  # rows; 2, 3, 4, 6 and 8 ranks divide them evenly
LR, MOMENTUM = 0.05, 0.9

Built = tuple[nn.Module, Callable[[], None]]
"""The module that is trained, and what must be called between backward and the optimizer's step."""


class NotWrittenError(Exception):
    """A part of the reader's own is missing; the text says which."""


def one_process(answers: Path) -> Built:
    """Wrap nothing: one process sees the whole batch."""
    return _drawn_on(rank=0), _nothing


def naive_ddp(answers: Path) -> Built:
    """Wrap with the reader's exercise 4.3."""
    ddp = _answer(answers, "naive_ddp").NaiveDDP(_drawn_on(dist.get_rank()))
    return ddp, ddp.finish_grad_sync


def bucketed_ddp(answers: Path) -> Built:
    """Wrap with the reader's exercise 4.4."""
    ddp = _answer(answers, "bucketed_ddp").BucketedDDP(_drawn_on(dist.get_rank()), BUCKET_CAP_BYTES)
    return ddp, ddp.finish_grad_sync


def torch_ddp(answers: Path) -> Built:
    """Wrap with PyTorch's DDP, whose backward waits for its all-reduces itself."""
    return DistributedDataParallel(_drawn_on(dist.get_rank()), bucket_cap_mb=BUCKET_CAP_BYTES / 2**20), _nothing


def fsdp(answers: Path) -> Built:
    """Shard with FSDP2, which gathers a block's parameters for forward and once more for backward."""
    return _sharded(reshard_after_forward=True), _nothing


def fsdp_keeping(answers: Path) -> Built:
    """Shard with FSDP2, told to keep what was gathered for forward until backward has used it."""
    return _sharded(reshard_after_forward=False), _nothing


def _sharded(*, reshard_after_forward: bool) -> nn.Module:
    # FSDP2 broadcasts nothing: every rank must bring the same parameters.
    model = _drawn_on(rank=0)
    for block in model.blocks:
        fully_shard(block, reshard_after_forward=reshard_after_forward)
    return fully_shard(model, reshard_after_forward=reshard_after_forward)


def _drawn_on(rank: int) -> TinyGPT:
    """Return the model that a rank draws: they differ, as they may in a real job."""
    torch.manual_seed(rank)
    return TinyGPT(CONFIG)


def _nothing() -> None:
    """Do nothing."""


def _answer(answers: Path, name: str) -> object:
    """Return the reader's file as a module."""
    spec = importlib.util.spec_from_file_location(name, answers / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(build: Callable[[Path], Built], answers: Path, steps: int) -> dict[str, object]:
    """Train in the process group that exists; return plain data: losses, what was communicated, what is held.

    Raises: NotWrittenError if the reader's part is a stub.
    """
    with CollectiveMeter() as start, _stubs_told_apart():
        module, finish = build(answers)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    losses = [_step(module, finish, optimizer, step)[0] for step in range(steps - 1)]
    # Only the last step is reported: DDP arranges its buckets anew after the first.
    last_loss, calls, sent = _step(module, finish, optimizer, steps - 1)
    return {
        "losses": [*losses, last_loss],
        "calls": calls,
        "sent_at_start": float(start.bytes_sent()),
        "sent_per_step": sent,
        "held": [parameter_bytes(module), gradient_bytes(module), optimizer_state_bytes(optimizer)],
    }


@contextmanager
def _stubs_told_apart() -> Iterator[None]:
    """Raise NotWrittenError where a stub says that it is one."""
    try:
        yield
    except NotImplementedError as error:
        raise NotWrittenError(str(error)) from None


def _step(
    module: nn.Module, finish: Callable[[], None], optimizer: torch.optim.Optimizer, step: int
) -> tuple[float, dict[str, dict[str, int]], float]:
    """Train one step; return this rank's loss, its operations by phase and kind, and the bytes that it sent."""
    tokens = batch(step)[dist.get_rank() :: dist.get_world_size()]
    optimizer.zero_grad()
    with CollectiveMeter() as forward:
        logits = module(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    with CollectiveMeter() as backward:
        loss.backward()
    with CollectiveMeter() as after, _stubs_told_apart():
        finish()
    optimizer.step()
    meters = {"forward": forward, "backward": backward, "after backward": after}
    calls = {phase: dict(Counter(one.op for one in meter.collectives)) for phase, meter in meters.items()}
    return loss.item(), calls, float(sum(meter.bytes_sent() for meter in meters.values()))


def batch(step: int) -> Tensor:
    """Return the global batch of a step, int64: sequences in which a token mostly decides the next one."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(CONFIG.vocab_size, (GLOBAL_BATCH, CONFIG.max_seq + 1), generator=generator)
    is_noise = torch.rand(tokens.shape, generator=generator) < 0.1
    for place in range(1, tokens.shape[1]):
        follows = (5 * tokens[:, place - 1] + 3) % CONFIG.vocab_size
        tokens[:, place] = torch.where(is_noise[:, place], tokens[:, place], follows)
    return tokens
