"""Run listings on forked ranks: read jobs from stdin, write what every rank printed and how it ended to stdout.

A script of its own, so that torch is imported once and all ranks are forked from a process with a single thread.
"""

import functools
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

SCRIPT_DEADLINE_S = 60.0


def run_listing(source: str, num_ranks: int) -> list[dict[str, object]]:
    """Run one listing on forked ranks that meet in a file, and return output, errors and exit code of each rank."""
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        pids = []
        for rank in range(num_ranks):
            pid = os.fork()
            if pid == 0:
                become_rank(source, rank, num_ranks, Path(folder))
            pids.append(pid)
        exit_codes = [wait_for(pid, time.monotonic() + SCRIPT_DEADLINE_S) for pid in pids]
        return [
            {
                "exit_code": exit_code,
                "output": Path(folder, f"{rank}.out").read_text(),
                "errors": Path(folder, f"{rank}.err").read_text(),
            }
            for rank, exit_code in enumerate(exit_codes)
        ]


def become_rank(source: str, rank: int, num_ranks: int, folder: Path) -> None:
    """Run the listing as its own main program under torchrun's environment, and end the process."""
    import torch.distributed as dist

    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{suffix}", os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
    # Instead of env://: no port to choose, and no name to look up.
    store = f"file://{folder}/store"
    dist.init_process_group = functools.partial(
        dist.init_process_group, init_method=store, rank=rank, world_size=num_ranks
    )
    exit_code = 1
    try:
        exec(compile(source, "listing", "exec"), {"__name__": "__main__"})
        exit_code = 0
    finally:
        if exit_code:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def wait_for(pid: int, deadline: float) -> int:
    """Return the exit code of a child; kill it at the deadline."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Run the jobs read from stdin: name -> [source, number of ranks]."""
    jobs = json.load(sys.stdin)
    if jobs:
        import torch.distributed  # once, here, for all ranks to come
    if any("DistributedDataParallel" in source or "fully_shard" in source for source, _ in jobs.values()):
        import torch._dynamo  # noqa: F401 - DDP and FSDP2 import it late, a second on every rank
    json.dump({name: run_listing(*job) for name, job in jobs.items()}, sys.stdout)


if __name__ == "__main__":
    main()
