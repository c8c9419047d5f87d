"""Marks that a rank program puts around the passes of a stage, for pictures of what ran (`course show`).

The recorder keeps them beside the rank's communication. Where nothing is recorded they go nowhere. They lie in the process of the
code that they observe, which can set marks, too: a picture rests on them, a grade never does.

marks = PassMarks({0: stage})
with marks:
    runner.run(schedule, inputs, targets)
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from course_env.pipeline import Action


class MarkSink(Protocol):
    """Takes marks; each has a number, by which its end names it."""

    def mark_begun(self, number: int, action: Action) -> None:
        """Note that an action begins."""

    def mark_ended(self, number: int) -> None:
        """Note that it has ended."""


_sink: MarkSink | None = None
_numbers = itertools.count()


def send_marks_to(sink: MarkSink | None) -> None:
    """Hand all later marks of this process to `sink`; None: to nobody."""
    global _sink, _numbers
    _sink, _numbers = sink, itertools.count()


def begin_mark(action: Action) -> int:
    """Note that this rank begins an action; return the mark's number, for `end_mark`."""
    number = next(_numbers)
    if _sink is not None:
        _sink.mark_begun(number, action)
    return number


def end_mark(number: int) -> None:
    """Note that the action has ended."""
    if _sink is not None:
        _sink.mark_ended(number)


@contextmanager
def mark(action: Action) -> Iterator[None]:
    """Mark the body of a `with` as an action, like ("F", 0, 0)."""
    number = begin_mark(action)
    try:
        yield
    finally:
        end_mark(number)


class PassMarks:
    """Marks the forward and backward passes of a rank's chunks, whoever calls them, within a `with`.

    A module does not know its micro-batch. So the number in a mark counts the forward passes of the chunk in this block; a
    backward pass has the number of its forward pass. The second one of the same forward pass is marked W; `b_is_empty` says
    of which chunks the first is W already, because their B computes nothing.
    """

    def __init__(self, chunks: Mapping[int, nn.Module], b_is_empty: frozenset[int] = frozenset()) -> None:
        self._chunks = chunks
        self._b_is_empty = b_is_empty
        self._forwards: Counter[int] = Counter()
        self._open: dict[int, list[int]] = {chunk: [] for chunk in chunks}

    def __enter__(self) -> Self:
        self._handles = [handle for chunk, module in self._chunks.items() for handle in self._hook(chunk, module)]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, chunk: int, module: nn.Module) -> list[Any]:
        def begin(_module: nn.Module, _inputs: Any) -> None:
            self._open[chunk].append(begin_mark(("F", self._forwards[chunk], chunk)))
            self._forwards[chunk] += 1

        def end(_module: nn.Module, _inputs: Any, output: Any) -> None:
            end_mark(self._open[chunk].pop())
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(self._backward(chunk, self._forwards[chunk] - 1))  # type: ignore[no-untyped-call] # torch's

        return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]

    def _backward(self, chunk: int, micro_batch: int) -> Any:
        # Called by autograd when the gradient of the chunk's output is known, and so when a backward pass begins.
        passes = itertools.count(chunk in self._b_is_empty)

        def begin(_gradient: Tensor) -> None:
            number = begin_mark(("W" if next(passes) else "B", micro_batch, chunk))
            # Autograd calls it when this call of backward() or grad() is done.
            torch.autograd.Variable._execution_engine.queue_callback(lambda: end_mark(number))  # noqa: SLF001 - torch has no public hook

        return begin
