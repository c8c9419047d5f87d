"""How a training run is spread over accelerators, and what one of them holds and does. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

from course_env.value_types import value_type

Schedule = Literal["1f1b", "gpipe"]
Recompute = Literal["none", "selective", "full"]


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a model and its batches are spread over tp * pp * dp accelerators.

    Raises: ValueError for a number below 1, an unknown word, or sp without tp.
    """

    tp: int = 1
    """Ranks that share each layer (tensor parallelism)."""

    pp: int = 1
    """Stages into which the layers are cut (pipeline parallelism)."""

    dp: int = 1
    """Copies of the model, each with its own part of the batch (data parallelism)."""

    zero: int = 0
    """What data-parallel ranks divide among themselves: 0 nothing, 1 optimizer states, 2 also gradients, 3 also parameters."""

    micro_batch: int = 1
    """Sequences that one copy works on at a time."""

    n_micro: int = 1
    """Micro-batches for each step of the optimizer."""

    schedule: Schedule = "1f1b"
    """The order of forward and backward passes in a pipeline."""

    sp: bool = False
    """Whether tensor-parallel ranks also divide, along the sequence, what is between their layers (sequence parallelism)."""

    recompute: Recompute = "none"
    """Which activations are computed again in the backward pass instead of being kept."""

    def __post_init__(self) -> None:
        for name in ("tp", "pp", "dp", "micro_batch", "n_micro"):
            if getattr(self, name) < 1:
                raise ValueError(f"Layout: {name} must be at least 1, not {getattr(self, name)}.")
        allowed = {"zero": (0, 1, 2, 3), "schedule": ("1f1b", "gpipe"), "recompute": ("none", "selective", "full")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"Layout: {name} must be one of {values}, not {getattr(self, name)!r}.")
        if self.sp and self.tp == 1:
            raise ValueError("Layout: sp needs tp > 1, because it is tensor-parallel ranks that share the sequence.")

    @property
    def world_size(self) -> int:
        """Accelerators in use."""
        return self.tp * self.pp * self.dp

    @property
    def global_batch(self) -> int:
        """Sequences for each step of the optimizer."""
        return self.dp * self.micro_batch * self.n_micro


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class MemReport:
    """Bytes that one accelerator holds during a step."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of the four."""
        return self.parameters + self.gradients + self.optimizer + self.activations


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What one stage of a pipeline does in one span of time."""

    kind: Literal["F", "B"]
    """F for a forward, B for a backward pass."""

    micro_batch: int
    """The number of the micro-batch, from 0 on."""

    start: int
    """In the unit in which the durations of F and B are given."""

    end: int
    """In the same unit."""
