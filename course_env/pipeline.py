"""Pipeline schedules as plain values, and what a simulation of one says. Loads no torch."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from course_env.value_types import value_type

# What a device does with a micro-batch and one of its chunks of the model, both counted from 0:
# F forward; B backward; W, if a schedule splits backward, the gradients of the weights, which B then leaves out.
Action = tuple[Literal["F", "B", "W"], int, int]

# For each device what it does, in order. Being tuples throughout, a schedule can be compared, hashed and sent.
PipelineSchedule = tuple[tuple[Action, ...], ...]


def action_text(action: Action) -> str:
    """Return ("F", 3, 0) as F3, and with another chunk than 0 as F3/1."""
    kind, micro_batch, chunk = action
    return f"{kind}{micro_batch}" + (f"/{chunk}" if chunk else "")


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a schedule takes: its time, its idle time, its memory."""

    makespan: int
    """When the last action ends; the first begins at 0."""

    bubble: Fraction
    """The idle time of a device within the makespan, divided by its busy time. All devices are busy equally long."""

    peak: tuple[int, ...]
    """For each device, the most forward passes whose activations it holds at once."""

    times: tuple[tuple[tuple[int, int], ...], ...]
    """For each device and each of its actions, when the action begins and ends."""
