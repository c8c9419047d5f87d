"""From samples to the JSON file and the table on the terminal."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from measurement import Samples
from rich.console import Console
from rich.table import Table

NAMES = ("ours", "ours_walled", "floor", "mp_spawn", "torchrun", "multi_proc_continuous")
AT_MOST_TIMES_THE_FLOOR = 1.3
AT_LEAST_FASTER_THAN_SPAWN = 20.0
WALL_COSTS_AT_MOST_S = 0.030  # of CPU


def summarise(samples: Mapping[int, Mapping[str, Samples]]) -> dict[str, Any]:
    """Return medians of wall times, means of CPU times (their clock ticks are 10 ms), and the ratios that matter."""
    launch, minimum, cpu, rounds, ratios = {}, {}, {}, {}, {}
    for world_size, by_name in samples.items():
        key = str(world_size)
        launch[key] = {name: statistics.median(by_name[name].wall_s) for name in NAMES}
        minimum[key] = {name: min(by_name[name].wall_s) for name in NAMES}
        cpu[key] = {name: statistics.mean(by_name[name].cpu_s) for name in NAMES}
        rounds[key] = {name: len(by_name[name].wall_s) for name in NAMES}
        ratios[key] = {
            "ours_to_floor": launch[key]["ours"] / launch[key]["floor"],
            "ours_to_floor_cpu": cpu[key]["ours"] / cpu[key]["floor"],
            "mp_spawn_to_ours": launch[key]["mp_spawn"] / launch[key]["ours"],
            "wall_cpu_s": cpu[key]["ours_walled"] - cpu[key]["ours"],
        }
    return {"launch": launch, "launch_min": minimum, "launch_cpu": cpu, "rounds": rounds, "ratios": ratios}


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print wall and CPU times by contestant and world size, and the ratios with their targets."""
    console.print(_times(report, "One launch: median wall ms (least)", ("launch", "launch_min")))
    console.print(_times(report, "Mean CPU ms of all processes of a launch", ("launch_cpu",)))
    console.print(_targets(report))
    load = report["load"]
    console.print(
        f"Load {load['before'][0]:.1f} before, {load['after'][0]:.1f} after, on {report['machine']['cpus']} CPUs; "
        f"{report['seconds']:.0f} s in all. Quote ratios, not times."
    )


def _times(report: Mapping[str, Any], title: str, kinds: Sequence[str]) -> Table:
    table = Table(title=title)
    table.add_column("contestant", no_wrap=True)
    for world_size in report["launch"]:
        table.add_column(f"{world_size} ranks", justify="right")
    for name in NAMES:
        table.add_row(name, *(_cell([report[kind][size][name] for kind in kinds]) for size in report["launch"]))
    return table


def _cell(seconds: Sequence[float]) -> str:
    first, *others = (f"{1000 * value:.0f}" for value in seconds)
    return first + "".join(f" ({other})" for other in others)


def _targets(report: Mapping[str, Any]) -> Table:
    table = Table(title="Targets")
    for heading in ("ranks", "ours / floor", f"at most {AT_MOST_TIMES_THE_FLOOR}"):
        table.add_column(heading, justify="right")
    for heading in ("CPU: ours / floor", "mp_spawn / ours", f"at least {AT_LEAST_FASTER_THAN_SPAWN:.0f}"):
        table.add_column(heading, justify="right")
    for heading in ("CPU ms of the wall", f"at most {1000 * WALL_COSTS_AT_MOST_S:.0f}"):
        table.add_column(heading, justify="right")
    for world_size, ratios in report["ratios"].items():
        over, faster = ratios["ours_to_floor"], ratios["mp_spawn_to_ours"]
        table.add_row(
            world_size,
            f"{over:.2f}",
            _verdict(met=over <= AT_MOST_TIMES_THE_FLOOR),
            f"{ratios['ours_to_floor_cpu']:.2f}",
            f"{faster:.1f}",
            _verdict(met=faster >= AT_LEAST_FASTER_THAN_SPAWN),
            f"{1000 * ratios['wall_cpu_s']:.1f}",
            _verdict(met=ratios["wall_cpu_s"] <= WALL_COSTS_AT_MOST_S),
        )
    return table


def _verdict(*, met: bool) -> str:
    return "[green]met[/]" if met else "[bold red]missed[/]"
