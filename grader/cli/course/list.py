"""`course list`: chapters, exercises, points and the student's progress."""

from argparse import ArgumentParser, Namespace

from rich.table import Table
from rich.text import Text

from course_env.errors import ExitCode
from grader.cli.command import make_console, outcome_symbol, points_text, styled
from grader.cli.whereabouts import course_here
from grader.course.catalog import Chapter, Exercise
from grader.course.progress import LastCheck, Progress, is_stale, read_progress

LIST_EXAMPLE = "example:\n  course list\n\n"


def add_list(parser: ArgumentParser) -> None:
    """Declare `course list`, which takes no arguments."""
    parser.set_defaults(body=course_list)


def course_list(_options: Namespace) -> int:
    """Print every exercise with the result of its last check; return the command's exit code."""
    course = course_here()
    progress, console = read_progress(course), make_console()
    for chapter in course.chapters:
        console.print(_heading(chapter, progress))
        console.print(_table(chapter, progress))
    if not course.chapters:
        console.print("This course has no chapter yet.")
        return ExitCode.ALL_PASSED
    first = course.chapters[0]
    example = f"course check {first.short}, or course check {first.short}/{first.exercises[0].id}"
    console.print(f"Check some of it: {example}", style="dim")
    return ExitCode.ALL_PASSED


def _heading(chapter: Chapter, progress: Progress) -> Text:
    checks = [progress.last_check(chapter, exercise) for exercise in chapter.exercises]
    earned = sum(check.score or 0.0 for check in checks if check is not None)
    return Text.assemble(
        (f"{chapter.short}  {chapter.title}", "bold"), f"   {points_text(earned)} of {chapter.points} points"
    )


def _table(chapter: Chapter, progress: Progress) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(min_width=18)
    table.add_column(justify="right", min_width=9)
    for exercise in chapter.exercises:
        table.add_row(*_row(exercise, chapter, progress.last_check(chapter, exercise)))
    return table


def _row(exercise: Exercise, chapter: Chapter, check: LastCheck | None) -> tuple[Text | str, ...]:
    if check is None:
        return " ", exercise.id, f"- / {exercise.points}", exercise.title, Text("not checked yet", style="dim")
    score = "?" if check.score is None else points_text(check.score)
    state = styled(check.outcome.words, check.outcome)
    if is_stale(check, chapter, exercise):
        state = Text(f"{check.outcome.words}, edited since", style="yellow")
    return outcome_symbol(check.outcome), exercise.id, f"{score} / {exercise.points}", exercise.title, state
