# ruff: noqa: INP001 - a script for torchrun; nothing imports it
"""Train a small GPT on all ranks that torchrun starts; at SIGTERM save a checkpoint, and go on from it in the next run.

The batch of a step depends only on the step and the rank, so a run that was interrupted ends with the same numbers as one
that was not, as long as the number of ranks stays the same.
"""

import os
import platform
import signal
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from course_env.gpt_config import GPTConfig
from course_env.tiny_gpt import TinyGPT

CONFIG = GPTConfig(vocab_size=64, n_layer=2, n_head=4, d_model=64, max_seq=64)
SEQUENCES = 16  # of each rank, in each step
STRIDES = 8  # few enough that two hundred steps learn them


def main() -> None:
    """Train as the command line says."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    parser.add_argument(
        "--folder", type=Path, default=Path("out/train"), help="of the checkpoint; all nodes must see it"
    )
    options = parser.parse_args()

    # The handler only notes the signal: if it interrupted a collective, the other ranks would be left waiting.
    stop_requested = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop_requested.set())

    # Either every rank of the node has a GPU or none has: two ranks cannot share one under NCCL.
    on_gpu = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo", device_id=device if on_gpu else None)
    try:
        train(options, device, stop_requested)
    finally:
        dist.destroy_process_group()


def train(options: Namespace, device: torch.device, stop_requested: threading.Event) -> None:
    """Do the steps after the checkpoint in `options.folder`, up to the last or until a rank is asked to stop."""
    torch.manual_seed(0)
    model = TinyGPT(CONFIG).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = load(options.folder, model, optimizer, device)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    print(f"rank {rank} of {ranks} on {platform.node()}, {device}: from step {first}", flush=True)

    ddp = DistributedDataParallel(model)
    for step in range(first, options.steps):
        tokens = batch(step, rank, ranks).to(device)
        logits = ddp(tokens[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        # The signal reaches ranks at different steps. They agree by the all-reduce that also adds up the loss: if one
        # left the loop alone, the others would wait for its gradients.
        sums = torch.stack([loss.detach(), loss.new_tensor(stop_requested.is_set())])
        dist.all_reduce(sums)
        mean_loss, stop = sums[0].item() / ranks, sums[1].item() > 0
        done = step + 1
        if rank == 0:
            print(f"step {done}: loss {mean_loss:.9f}", flush=True)
        if stop or done % options.save_every == 0 or done == options.steps:
            save(options.folder, model, optimizer, done)
        if stop:
            print(f"rank {rank} stops after step {done}", flush=True)
            return


def batch(step: int, rank: int, ranks: int) -> Tensor:
    """Return this rank's sequences of a step: each counts up from its own start by its own stride."""
    generator = torch.Generator().manual_seed(step * ranks + rank)
    start = torch.randint(CONFIG.vocab_size, (SEQUENCES, 1), generator=generator)
    stride = torch.randint(STRIDES, (SEQUENCES, 1), generator=generator)
    tokens: Tensor = (start + stride * torch.arange(CONFIG.max_seq + 1)) % CONFIG.vocab_size
    return tokens


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Replace the checkpoint; return on every rank only when the new one is written."""
    if dist.get_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / "checkpoint.pt.new"
        with new.open("wb") as file:
            torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / "checkpoint.pt")  # whenever the job is killed, one of the two is whole
    # After a signal, the first launcher to end makes srun kill the others, and rank 0 must not be writing then.
    dist.barrier()


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Load the checkpoint, if there is one; return the number of steps that are done."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    checkpoint = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    return int(checkpoint["step"])


if __name__ == "__main__":
    main()
