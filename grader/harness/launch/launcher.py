"""What every launcher of a judge can do, whether its ranks run here or in the tasks of an allocation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from course_env.devices import Gpu
from grader.harness.launch.remains import Remains
from grader.harness.protocol import frame
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources


class Launcher(Protocol):
    """What runs the launches of a judge: a zygote of its own, or several in an allocation."""

    def wait_until_ready(self) -> object:
        """Return when launches can be served; raise LaunchError if that will not be."""

    def gpus_seen(self, world_size: int) -> Sequence[Sequence[Gpu]]:
        """Return, by rank of a launch of that size, the GPUs of the machine that it would run on."""

    def launch(self, request: LaunchRequest, sources: Sources, inputs: Sequence[Mapping[str, Any]]) -> Remains:
        """Run `request` with one dict of arguments per rank, and return what is left when no process of it is.

        Raises: LaunchError if it cannot be run, through no fault of the code under test.
        """

    def close(self) -> None:
        """End it, and with it all that it started."""


def pack_inputs(inputs: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return each rank's arguments as bytes.

    Raises: UnsupportedValueError for values that do not travel.
    """
    return [frame.pack("inputs", dict(arguments)) for arguments in inputs]
