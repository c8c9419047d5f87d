"""`course doctor`: what this machine, or a cluster, has and lacks."""

import secrets
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from course_env.doctor import Finding, examine
from grader.batch.cluster_doctor import examine_cluster, short
from grader.batch.dispatch import require_shared
from grader.cli.command import ALL_PASSED, SOME_FAILED, indented, make_console
from grader.cli.walls import examine_walls
from grader.course.catalog import find_root
from grader.harness.protocol.scratch import remove_tree
from slurm.executors import make_executor
from slurm.profile import load_profile

INDENT = 16
NECESSARY = ("nodes", "python", "network", "shared folder")


def course_doctor(options: Namespace) -> int:
    """Print what there is, and what each absence costs; return the command's exit code."""
    console = make_console()
    if options.profile is not None:
        return _examine_cluster(options.profile, console)
    with console.status("examining this machine"):
        findings = [*examine(), *examine_walls()]
    _print(console, findings)
    return ALL_PASSED


def _examine_cluster(name: str, console: Console) -> int:
    profile = short(load_profile(name))
    root = find_root(Path.cwd())
    require_shared(profile, [root])
    folder = root / "out" / "doctor" / secrets.token_hex(4)
    executor = make_executor("slurm", profile, folder / "logs", spread=True)
    with console.status(f"sending a short job to {name}") as status:
        findings = examine_cluster(executor, profile, folder, status.update)
    _print(console, findings)
    if all(finding.present for finding in findings if finding.name in NECESSARY):
        remove_tree(folder)
        return ALL_PASSED
    console.print(f"What the tasks printed is in {folder / 'logs'}.")
    return SOME_FAILED


def _print(console: Console, findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark, style = ("✓", "green") if finding.present else ("✗", "yellow")
        console.print(Text.assemble((mark, style), f" {finding.name:<14}", finding.detail))
        if not finding.present:
            console.print(indented(finding.cost_of_absence, INDENT, console.width))
            console.print(indented(finding.how_to_get, INDENT, console.width), style="dim")
