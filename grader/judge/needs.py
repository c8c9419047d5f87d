"""What a test may need of the machine, and whether the machine has it."""

import importlib.util
from collections.abc import Callable, Collection

from course_env.errors import CatalogError, did_you_mean


def _torch() -> str | None:
    if importlib.util.find_spec("torch"):
        return None
    return "PyTorch is not installed: run `pip install -c course_env/constraints.txt torch -e .`."


def _deepspeed() -> str | None:
    if importlib.util.find_spec("deepspeed"):
        return None
    return "DeepSpeed is not installed: run `pip install -c course_env/constraints.txt -e '.[deepspeed]'`."


def _gpu() -> str | None:
    if (reason := _torch()) is not None:
        return reason
    import torch

    return None if torch.cuda.is_available() else "This machine has no CUDA GPU that PyTorch can use."


def _children() -> str | None:
    return None  # every machine can start processes; this need lifts the sandbox's ban on it


_NEEDS: dict[str, Callable[[], str | None]] = {
    "torch": _torch,
    "deepspeed": _deepspeed,
    "gpu": _gpu,
    "children": _children,
}


def missing_need(need: str) -> str | None:
    """Return why `need` is not met here and how to meet it, or None if it is met.

    Raises: CatalogError for an unknown need.
    """
    if need not in _NEEDS:
        raise CatalogError(f"Unknown need '{need}'. {did_you_mean(need, _NEEDS)}")
    return _NEEDS[need]()


def preload(needs: Collection[str]) -> tuple[str, ...]:
    """Return what a zygote must import so that ranks with `needs` start fast."""
    return ("torch",) if {"torch", "deepspeed", "gpu"} & set(needs) else ()
