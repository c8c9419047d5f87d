"""`course show`: a picture of what one's own code did on every rank."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from course_env.errors import ExitCode, LaunchError, UsageError
from grader.cli.command import make_console, outcome_symbol
from grader.cli.course.check import run_public_tests
from grader.cli.course.hint import one_exercise
from grader.cli.whereabouts import course_here
from grader.course.catalog import Course, Selected
from grader.course.judging.drawn import DrawnLaunch, read_launches
from grader.course.judging.judge_process import JudgeRun
from grader.harness.comm.picture.chart import chart
from grader.harness.comm.picture.spans import COMPUTE
from grader.harness.comm.picture.svg import svg
from grader.harness.comm.picture.trace import chrome_trace
from grader.harness.protocol.held_folder import held_folder
from grader.harness.wording import shown

WIDTH = 80
"""Of the picture where there is no terminal that says how wide it is."""

SHOW_EXAMPLES = """\
examples:
  course show ch05/pipeline_runner                  the launch that says most
  course show ch05/pipeline_runner --test chunks    a launch of a test with "chunks" in its name
  course show ch02/ring_shift --launch 2            the test's second launch
  course show ch05/pipeline_runner --svg ran.svg    and a file for a browser
  course show ch05/pipeline_runner --trace ran.json and one for https://ui.perfetto.dev

"""


def add_show(parser: ArgumentParser) -> None:
    """Declare the arguments of `course show`."""
    parser.add_argument("exercise", metavar="EXERCISE", help="like ch05/pipeline_runner")
    parser.add_argument("--test", metavar="TEXT", help="a public test with this in its name")
    parser.add_argument("--launch", type=int, metavar="N", help="the test's Nth launch")
    parser.add_argument("--seed", type=int, metavar="N", help="draw the inputs of the check that printed this seed")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture as SVG, too")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write a Chrome trace, too, for https://ui.perfetto.dev"
    )
    parser.set_defaults(body=course_show)


def course_show(options: Namespace) -> int:
    """Run the public tests of an exercise and draw what the ranks of one launch did; return the command's exit code."""
    course, console = course_here(), make_console()
    selected = one_exercise(course, options.exercise)
    run, launches = _launches(course, selected, options.seed, console)
    launch = _pick(launches, options, run, selected)
    _print(console, launch, run, launches)
    _write(options, launch, console)
    return ExitCode.ALL_PASSED


def _launches(
    course: Course, selected: Selected, seed: int | None, console: Console
) -> tuple[JudgeRun, tuple[DrawnLaunch, ...]]:
    with held_folder("show") as scratch:
        file = scratch / "timelines.jsonl"
        run = run_public_tests(course, [selected], seed, console, [f"--timelines={file}"])
        return run, read_launches(file)


def _pick(launches: Sequence[DrawnLaunch], options: Namespace, run: JudgeRun, selected: Selected) -> DrawnLaunch:
    chapter, exercise = selected
    name = f"{chapter.short}/{exercise.id}"
    if not launches and not run.is_whole:
        raise LaunchError(f"{run.end} Nothing was launched. The last lines it printed:\n{shown(run.end.tail)}")
    named = [one for one in launches if options.test is None or options.test in _case(one.test)]
    if launches and not named:
        tests = "\n".join(f"  {case}" for case in dict.fromkeys(_case(one.test) for one in launches))
        never = [_case(one.test) for one in run.records if options.test in _case(one.test)]
        if never:  # as after a test that hung: the others of its aspect are not run
            raise UsageError(f"{never[0]} launched no ranks this time. These did:\n{tests}")
        raise UsageError(f"No test of {name} has '{options.test}' in its name. These launch ranks:\n{tests}")
    if options.launch is not None:
        numbered = [one for one in named if one.number == options.launch]
        if not numbered:
            most = max((one.number for one in named), default=0)
            raise UsageError(f"There is no launch {options.launch}: --launch takes 1 to {most} here.")
        named = numbered
    drawable = [one for one in named if one.timeline.spans]
    if not drawable:
        reason = (
            "it never came to run"
            if any(one.timeline.world_size > 1 for one in named)
            else "it is called in one process"
        )
        raise UsageError(f"{name} has no ranks that communicate in what was run: {reason}. See: course check {name}")
    return max(drawable, key=_says)


def _says(launch: DrawnLaunch) -> tuple[bool, int, int, int]:
    """How much a picture of this launch says: one beside its ideal most, then more passes, ranks, operations."""
    line = launch.timeline
    computed = sum(span.kind in COMPUTE for span in line.spans)
    return bool(line.ideal), computed, line.world_size, len(line.spans)


def _case(test: str) -> str:
    return test.rpartition("::")[2]


def _print(console: Console, launch: DrawnLaunch, run: JudgeRun, launches: Sequence[DrawnLaunch]) -> None:
    width = console.width if console.is_terminal else WIDTH
    record = next(record for record in run.records if record.test == launch.test)
    console.print(Text.assemble(outcome_symbol(record.outcome), f" {_case(launch.test)}"), style="bold")
    count = sum(one.test == launch.test for one in launches)
    console.print(
        f"Launch {launch.number} of {count}, {launch.timeline.world_size} ranks run {launch.program}; the test: {record.outcome.words}.\n",
        style="dim",
    )
    for line in chart(launch.timeline, width):
        console.print(Text.assemble(*((piece.text, piece.style) for piece in line)))


def _write(options: Namespace, launch: DrawnLaunch, console: Console) -> None:
    title = f"{options.exercise}: {_case(launch.test)}, launch {launch.number}"
    if options.svg is not None:
        options.svg.write_text(svg(launch.timeline, title), encoding="utf-8")
        console.print(f"\nThe picture for a browser: {shown(str(options.svg))}", style="dim")
    if options.trace is not None:
        options.trace.write_bytes(chrome_trace(launch.timeline))
        console.print(f"\nThe trace, to open in https://ui.perfetto.dev: {shown(str(options.trace))}", style="dim")
