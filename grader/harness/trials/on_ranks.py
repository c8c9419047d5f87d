"""Calling functions of ours on ranks, to find out what student code could do there."""

from collections.abc import Sequence
from typing import Any

from grader.harness.launch.launcher import Launcher
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources
from grader.harness.run import Run
from grader.harness.verdict import verdict_on

FILE = "probe.py"


def call_on_ranks(
    launcher: Launcher,
    source: bytes,
    function: str,
    args: Sequence[Any] = (),
    *,
    timeout_s: float,
    world_size: int = 1,
    process_group: bool = False,
    gpus: tuple[str, ...] = (),
) -> Run:
    """Return what `function` of `source` returned on every rank, as `value`.

    Raises: what `launch` and `judge` raise.
    """
    request = LaunchRequest(
        program=function,
        programs_file=None,
        student_file=FILE,
        symbols=(function,),
        world_size=world_size,
        timeout_s=timeout_s,
        seed=0,
        process_group=process_group,
        gpus=gpus,
    )
    inputs = [{"function": function, "args": list(args), "kwargs": {}}] * world_size
    return verdict_on(launcher.launch(request, Sources(submission={FILE: source}, course={}), inputs))
