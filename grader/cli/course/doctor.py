"""`course doctor`: what this machine, or a cluster, has and lacks."""

import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack

from rich.console import Console
from rich.text import Text

from course_env.errors import ExecutorError, ExitCode
from grader.cli.command import indented, make_console
from grader.cli.whereabouts import current_folder, require_utf8, root_here
from grader.cluster.dispatch import require_shared
from grader.cluster.doctor_request import examine_cluster, short
from grader.cluster.one_job import logs
from grader.doctor.machine import Finding, examine
from grader.doctor.wall_findings import examine_walls
from slurm.executors import make_executor
from slurm.profile import load_profile

INDENT = 16
NECESSARY = ("nodes", "python", "network", "shared folder")

DOCTOR_EXAMPLES = """\
examples:
  course doctor                 this machine
  course doctor --profile dev   a cluster, by a short job on its nodes

"""


def add_doctor(parser: ArgumentParser) -> None:
    """Declare the arguments of `course doctor`."""
    parser.add_argument(
        "--profile", metavar="NAME", help="examine a cluster instead: a profile's name, or a .toml file"
    )
    parser.set_defaults(body=course_doctor)


def course_doctor(options: Namespace) -> int:
    """Print what there is, and what each absence costs; return the command's exit code."""
    current_folder()
    console = make_console()
    if options.profile is not None:
        return _examine_cluster(options.profile, console)
    with console.status("examining this machine"):
        findings = [*examine(), *examine_walls()]
    _print(console, findings)
    return ExitCode.ALL_PASSED


def _examine_cluster(name: str, console: Console) -> int:
    profile = short(load_profile(name))
    root = root_here()
    require_utf8([root])
    require_shared(profile, [root])
    folder = root / "out" / "doctor" / secrets.token_hex(4)
    executor = make_executor("slurm", profile, logs(folder), spread=True)
    with ExitStack() as stack:
        with console.status(f"sending a short job to {name}") as status:
            findings = stack.enter_context(examine_cluster(executor, profile, folder, status.update))
        _print(console, findings)
        if missing := [finding.name for finding in findings if finding.name in NECESSARY and not finding.present]:
            raise ExecutorError(
                f"Fix this before you use the course there: {', '.join(missing)}. "
                f"What the tasks printed is in {logs(folder)}."
            )
    return ExitCode.ALL_PASSED


def _print(console: Console, findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark, style = ("✓", "green") if finding.present else ("✗", "yellow")
        detail = indented(finding.detail, INDENT, console.width).lstrip()
        console.print(Text.assemble((mark, style), f" {finding.name:<14}", detail))
        if not finding.present:
            console.print(indented(finding.cost_of_absence, INDENT, console.width))
            console.print(indented(finding.how_to_get, INDENT, console.width), style="dim")
