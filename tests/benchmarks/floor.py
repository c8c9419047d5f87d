"""The floor: one os.fork per rank from a process that has imported torch, a file store, gloo, the work. Nothing else.

No isolation, no deadline, no recorder, no inputs, no explanation: what a launch cannot cost less than.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from reference_work import reference_work
from serving import serve
from torch import Tensor


def launch(world_size: int, folder: Path) -> Iterator[Tensor]:
    """Run the reference test on forked ranks and yield the tensor that each sends through its pipe."""
    ranks = [_fork(rank, world_size, folder) for rank in range(world_size)]
    for pid, pipe in ranks:
        with os.fdopen(pipe, "rb") as incoming:
            yield torch.frombuffer(bytearray(incoming.read()), dtype=torch.float32)
        assert os.waitpid(pid, 0)[1] == 0, "a rank of the floor failed"


def _fork(rank: int, world_size: int, folder: Path) -> tuple[int, int]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            _be_rank(rank, world_size, folder, write)
            code = 0
        finally:
            os._exit(code)  # tearing the interpreter down would cost 200 ms a rank
    os.close(write)
    return pid, read


def _be_rank(rank: int, world_size: int, folder: Path, pipe: int) -> None:
    store = dist.FileStore(str(folder / "rendezvous"), world_size)
    dist.init_process_group("gloo", rank=rank, world_size=world_size, store=store)
    os.write(pipe, reference_work().numpy().tobytes())  # 32 KiB: less than a pipe holds
    dist.barrier()  # a rank that left early would close its connections under the others


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # else a collection in a child copies the whole heap
    serve(launch)
