"""Launches by all contestants in turns, and the samples that come of it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contestants import Contestant, Measurement, contestants_that_stay, multi_proc_continuous
from rich.console import Console
from rich.progress import Progress

WORLD_SIZES = (2, 4, 8)
SLOW = ("mp_spawn", "torchrun")  # seconds a launch


@dataclass(frozen=True, slots=True)
class Samples:
    """What one contestant needed at one world size, launch by launch."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def measure(rounds: int, slow_rounds: int) -> tuple[dict[int, dict[str, Samples]], dict[str, Any]]:
    """Return the samples by world size and contestant, and the seconds that each contestant's start-up took."""
    samples = {}
    with Progress(console=Console(stderr=True)) as progress, contestants_that_stay() as staying:
        start_up_s: dict[str, Any] = {name: contestant.start_up_s for name, contestant in staying.items()}
        start_up_s["multi_proc_continuous"] = {}
        for world_size in WORLD_SIZES:
            with multi_proc_continuous(world_size) as continuous:
                start_up_s["multi_proc_continuous"][str(world_size)] = continuous.start_up_s
                contestants = staying | {"multi_proc_continuous": continuous}
                plan = progress.track(list(turns(contestants, rounds, slow_rounds)), description=f"{world_size} ranks")
                samples[world_size] = _take(plan, contestants, world_size)
    return samples, start_up_s


def turns(names: Iterable[str], rounds: int, slow_rounds: int) -> Iterator[str]:
    """Yield whose turn it is: everybody's in each round, the slow ones' in `slow_rounds` rounds spread over all."""
    order = list(names)
    rounds_with_slow = {i * rounds // slow_rounds for i in range(slow_rounds)}
    for i in range(rounds):
        yield from (name for name in order if name not in SLOW or i in rounds_with_slow)
        order.reverse()  # nobody always runs in the wake of the same other


def _take(plan: Iterable[str], contestants: Mapping[str, Contestant], world_size: int) -> dict[str, Samples]:
    samples: defaultdict[str, Samples] = defaultdict(Samples)
    expected = contestants["floor"].launch(world_size).sums
    contestants["ours"].launch(world_size)  # neither of the two pays for the first launch of a size
    for name in plan:
        before = contestants[name].cpu_s()
        measurement = contestants[name].launch(world_size)
        samples[name].cpu_s.append(contestants[name].cpu_s() - before)
        samples[name].wall_s.append(measurement.seconds)
        _check_same_work(name, measurement, expected)
    return dict(samples)


def _check_same_work(name: str, measurement: Measurement, expected: tuple[float, ...]) -> None:
    same = all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(measurement.sums, expected, strict=True))
    assert same, f"{name} did other work than the floor: {measurement.sums}, not {expected}"
