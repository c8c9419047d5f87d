"""Where a launch runs: on GPUs or on the CPU. Whether ranks can use GPUs together, behind this wall, is found out by trying."""

from collections.abc import Callable

from course_env.devices import Placement, on_cpu, place_ranks
from course_env.errors import LaunchError
from grader.harness.launch.launcher import Launcher
from grader.harness.outcome import StudentFailure
from grader.harness.trials.on_ranks import call_on_ranks

PROBE_S = 60.0  # CUDA and NCCL set themselves up
PROBE = b"""
import torch
import torch.distributed as dist

def reduce():
    x = torch.ones(1 << 20)
    dist.all_reduce(x)
    return x.device.type, float(x[-1])
"""


class Launchers:
    """The launcher for ranks on the CPU, and one for ranks on GPUs, which starts when the first launch can use it."""

    def __init__(self, without: Launcher, start: Callable[[], Launcher]) -> None:
        self._without = without
        self._start = start
        self._started: Launcher | None = None
        self._placements: dict[int, Placement] = {}

    def place(self, world_size: int) -> Placement:
        """Return where that many ranks run: on GPUs if there is one for each and a trial has shown that they work."""
        if world_size not in self._placements:
            placement = place_ranks(self._without.gpus_seen(world_size))
            problem = self._problem(placement) if placement.gpus else None
            self._placements[world_size] = placement if problem is None else on_cpu(problem)
        return self._placements[world_size]

    def launcher_for(self, placement: Placement) -> Launcher:
        """Return the launcher for a launch with this placement."""
        if not placement.gpus:
            return self._without
        if self._started is None:
            self._started = self._start()
        return self._started

    def close(self) -> None:
        """End the launcher for GPUs, if it was started."""
        if self._started is not None:
            self._started.close()

    def _problem(self, placement: Placement) -> str | None:
        """Return why ranks cannot reduce together on these GPUs, or None if they can."""
        world_size = len(placement.gpus)
        try:
            run = call_on_ranks(
                self.launcher_for(placement),
                PROBE,
                "reduce",
                timeout_s=PROBE_S,
                world_size=world_size,
                process_group=True,
                gpus=handles(placement),
            )
        except (LaunchError, StudentFailure) as error:
            return f"a trial on GPUs failed: {str(error).partition(chr(10))[0]}"
        found = {value["value"] for value in run.values}
        return None if found == {("cuda", float(world_size))} else f"an all-reduce over NCCL gave {sorted(found)}"


def handles(placement: Placement) -> tuple[str, ...]:
    """Return, by rank, the GPU's handle for a launch request."""
    return tuple(gpu.handle for gpu in placement.gpus)
