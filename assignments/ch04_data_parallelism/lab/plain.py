"""Your data parallelism under a plain torchrun, with nothing of the course around it: gloo on CPUs, NCCL where there are GPUs.

    torchrun --standalone --nproc-per-node 2 assignments/ch04_data_parallelism/lab/plain.py

Every rank puts a model on its device, trains it for a few steps with NaiveDDP and BucketedDDP, some of them with gradients
that accumulate, counts tokens, normalises a batch and takes an accuracy. All of it is compared with one process that has the
whole batch. Rank 0 prints a line for each exercise; the exit code is 0 if all agree. Files that you have not written yet are
left out.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

CHAPTER = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
ROWS, STEPS = 6, 3


def main() -> None:
    """Compare every exercise with one process, and say how far off each is."""
    parser = argparse.ArgumentParser(description="Run your data parallelism outside the course's tests.")
    parser.add_argument(
        "--answers", type=Path, default=CHAPTER, help="folder with your files (default: this chapter's)"
    )
    sys.path[:0] = [str(parser.parse_args().answers.resolve()), str(CHAPTER.parent.parent)]
    failed = []
    with _process_group() as device:
        for name, compare in COMPARISONS.items():
            off = _attempt(name, compare, device)
            if dist.get_rank() == 0:
                print(f"{name:22} {off if isinstance(off, str) else f'off by {off:.1e}'}")
            failed += [name] if isinstance(off, float) and not off < TOLERANCE else []
        if failed and dist.get_rank() == 0:
            print(f"Not as one process: {', '.join(failed)}.")
        sys.stdout.flush()  # torchrun ends the other ranks as soon as one has failed
        dist.barrier()
    sys.exit(bool(failed))


@contextmanager
def _process_group() -> Iterator[torch.device]:
    """Join the process group that torchrun offers; yield this rank's device."""
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    on_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= local_size
    if on_gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield torch.device("cuda", local_rank) if on_gpus else torch.device("cpu")
    finally:
        dist.destroy_process_group()


def _attempt(name: str, compare: Callable[[ModuleType, torch.device], float], device: torch.device) -> float | str:
    """Return how far off an exercise is on the worst rank, or a sentence if that cannot be said."""
    file = name.partition(" ")[0]
    try:
        off = torch.tensor(compare(importlib.import_module(file), device), device=device)
    except NotImplementedError:
        return "not written yet"  # on all ranks alike
    dist.all_reduce(off, op=dist.ReduceOp.MAX)
    return float(off)


def _whole_batch(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y of the whole batch, the same on every rank."""
    generator = torch.Generator().manual_seed(7)
    num_rows = ROWS * dist.get_world_size()
    x, y = torch.randn(num_rows, 5, generator=generator), torch.randn(num_rows, 3, generator=generator)
    return x.to(device), y.to(device)


def _mine(whole: Tensor) -> Tensor:
    """Return this rank's rows."""
    return whole[dist.get_rank() * ROWS :][:ROWS]


def _model(device: torch.device, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)]
    return nn.Sequential(*layers).to(device)


def _train(ddp: nn.Module, module: nn.Module, x: Tensor, y: Tensor, finish: Callable[[], None]) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.mse_loss(ddp(x), y).backward()
        finish()
        optimizer.step()


def _off(module: nn.Module, device: torch.device) -> float:
    """Return how far the parameters are from those of one process that trained on the whole batch."""
    reference = _model(device, seed=0)
    _train(reference, reference, *_whole_batch(device), lambda: None)
    pairs = zip(module.parameters(), reference.parameters(), strict=True)
    return max(float((one - due).detach().abs().max()) for one, due in pairs)


def _naive_ddp(answers: ModuleType, device: torch.device) -> float:
    module = _model(device, seed=dist.get_rank())
    ddp = answers.NaiveDDP(module)
    _train(ddp, module, *map(_mine, _whole_batch(device)), ddp.finish_grad_sync)
    return _off(module, device)


def _bucketed_ddp(answers: ModuleType, device: torch.device) -> float:
    module = _model(device, seed=dist.get_rank())
    ddp = answers.BucketedDDP(module, bucket_cap_bytes=400)
    _train(ddp, module, *map(_mine, _whole_batch(device)), ddp.finish_grad_sync)
    return _off(module, device)


def _accumulation(answers: ModuleType, device: torch.device) -> float:
    bucketed = importlib.import_module("bucketed_ddp")
    module = _model(device, seed=dist.get_rank())
    ddp = bucketed.BucketedDDP(module, bucket_cap_bytes=400)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    x, y = map(_mine, _whole_batch(device))
    for _ in range(STEPS):
        answers.accumulate_step(ddp, [(x[:4], y[:4]), (x[4:5], y[4:5]), (x[5:], y[5:])], functional.mse_loss, optimizer)
    return _off(module, device)


def _token_loss(answers: ModuleType, device: torch.device) -> float:
    x, _ = _whole_batch(device)
    targets = torch.arange(len(x), device=device) % 5
    targets[ROWS // 2 : ROWS] = -100  # so that rank 0 has fewer tokens than the others
    loss = answers.dp_token_loss(_mine(x).unsqueeze(0), _mine(targets).unsqueeze(0)).detach()
    dist.all_reduce(loss)
    return abs(float(loss) / dist.get_world_size() - float(functional.cross_entropy(x, targets)))


def _sync_batch_norm(answers: ModuleType, device: torch.device) -> float:
    x, y = _whole_batch(device)
    norm, reference = answers.SyncBatchNorm1d(5).to(device), nn.BatchNorm1d(5).to(device)
    mine, whole = _mine(x).requires_grad_(), x.clone().requires_grad_()
    weights = y.sum(1, keepdim=True)
    (norm(mine).square() * _mine(weights)).sum().backward()
    (reference(whole).square() * weights).sum().backward()
    running = (norm.running_var - reference.running_var).abs().max()
    return max(float((mine.grad - _mine(whole.grad)).abs().max()), float(running))


def _accuracy(answers: ModuleType, device: torch.device) -> float:
    x, _ = _whole_batch(device)
    pred, label = x.argmax(1), torch.arange(len(x), device=device) % 2
    valid = torch.arange(len(x), device=device) > 1
    due = float((pred == label)[valid].double().mean())
    return abs(float(answers.distributed_accuracy(_mine(pred), _mine(label), _mine(valid))) - due)


COMPARISONS = {
    "naive_ddp": _naive_ddp,
    "bucketed_ddp": _bucketed_ddp,
    "accumulation": _accumulation,
    "token_loss": _token_loss,
    "sync_batch_norm": _sync_batch_norm,
    "accuracy": _accuracy,
}
"""The files, and what compares each with one process."""


if __name__ == "__main__":
    main()
