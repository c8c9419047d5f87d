"""What a judge asks of its launcher, whether ranks run on this machine or in the tasks of an allocation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from course_env.devices import Gpu
from grader.harness.launch.remains import Remains
from grader.harness.protocol import frame
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources


class Launcher(Protocol):
    """Runs the launches of a judge: one zygote, or an allocation with a zygote in each task."""

    def wait_until_ready(self) -> object:
        """Return when launches can be served.

        Raises: LaunchError if they never will be.
        """

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return, by rank of a launch of that size, the GPUs of the machine that it would run on."""

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return its remains once every process of it has ended.

        Raises: LaunchError if it cannot be run and the code under test is not to blame.
        """

    def close(self) -> None:
        """End the launcher and everything that it started."""


def pack_inputs(inputs: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return each rank's arguments as bytes.

    Raises: UnsupportedValueError for values that do not travel.
    """
    return [frame.pack(frame.INPUTS, dict(arguments)) for arguments in inputs]
