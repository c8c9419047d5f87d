"""torch.multiprocessing.spawn for each test: W fresh interpreters, each of which imports torch."""

from pathlib import Path

import torch
import torch.distributed as dist
from reference_work import reference_work
from serving import load_results, result_file, serve
from torch import Tensor
from torch.multiprocessing.spawn import spawn


def launch(world_size: int, folder: Path) -> list[Tensor]:
    """Run the reference test on spawned ranks and return the tensors they leave in files."""
    spawn(_be_rank, args=(world_size, folder), nprocs=world_size)
    return load_results(folder, world_size)


def _be_rank(rank: int, world_size: int, folder: Path) -> None:
    # A file store, as for the floor: a TCP store at times waits seconds for a name server.
    store = dist.FileStore(str(folder / "rendezvous"), world_size)
    dist.init_process_group("gloo", rank=rank, world_size=world_size, store=store)
    torch.save(reference_work(), result_file(folder, rank))
    dist.destroy_process_group()


if __name__ == "__main__":
    serve(launch)
