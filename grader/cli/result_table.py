"""The table at the end of `grade run`: a row for each submission, a column for each exercise."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.batch.intake.tree import printable
from grader.batch.result import ResultOfChapter, ResultOfExercise, SubmissionResult
from grader.cli.command import points_text, styled
from grader.cli.terminal import displayed
from grader.course.catalog import Chapter
from grader.harness.outcome import Outcome

CAVEAT = "*"
LETTERS = {
    Outcome.PASSED: "P",
    Outcome.FAILED: "F",
    Outcome.NOT_ATTEMPTED: "-",
    Outcome.TIMED_OUT: "T",
    Outcome.CRASHED: "C",
    Outcome.NOT_GRADABLE: "?",
}


def print_results(console: Console, results: Sequence[SubmissionResult], chapters: Sequence[Chapter]) -> None:
    """Print a table for each chapter and, where there are several, one of the totals."""
    for position, chapter in enumerate(chapters):
        parts = [(printable(result.submission), result.chapters[position]) for result in results]
        if any(part.taken for _, part in parts) or len(chapters) == 1:
            console.print(_chapter_table(chapter, parts))
        else:
            console.print(f"{chapter.short} {chapter.title}: nothing was handed in that can be graded.\n")
    if len(chapters) > 1:
        console.print(_total_table(results, chapters))
    console.print(_legend(), style="dim")
    caveats = {exercise.caveat for result in results for part in result.chapters for exercise in part.exercises}
    for caveat in sorted(caveats - {""}):
        console.print(f"{CAVEAT} {caveat}", style="yellow")
    _print_findings(console, results)


def _print_findings(console: Console, results: Sequence[SubmissionResult]) -> None:
    """Say which files a person should read, and from which line on; the results say all that was found."""
    for result in results:
        for part in result.chapters:
            for file in dict.fromkeys(finding.file for finding in part.to_read):
                first, *more = [finding for finding in part.to_read if finding.file == file]
                others = f" (and {len(more)} more)" if more else ""
                where = f"{printable(result.submission)}, {part.chapter}/{file}, line {first.line}"
                console.print(Text(f"Read {where}: {first.what}{others}.", style="yellow"))


def _new_table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("submission", no_wrap=True, max_width=32)
    return table


def _chapter_table(chapter: Chapter, parts: Sequence[tuple[str, ResultOfChapter]]) -> Table:
    table = _new_table(f"{chapter.short} {chapter.title}")
    for exercise in chapter.exercises:
        table.add_column(f"{_broken(exercise.id)}\n/{exercise.points}", justify="right", vertical="bottom")
    table.add_column(f"score\n/{chapter.points}", justify="right", vertical="bottom", style="bold")
    for name, part in parts:
        table.add_row(displayed(name), *(_cell(exercise) for exercise in part.exercises), points_text(part.score))
    return table


def _total_table(results: Sequence[SubmissionResult], chapters: Sequence[Chapter]) -> Table:
    table = _new_table("All chapters")
    for chapter in chapters:
        table.add_column(f"{chapter.short}\n/{chapter.points}", justify="right")
    table.add_column(f"total\n/{sum(chapter.points for chapter in chapters)}", justify="right", style="bold")
    for result in results:
        scores = (points_text(chapter.score) for chapter in result.chapters)
        table.add_row(displayed(printable(result.submission)), *scores, points_text(result.score))
    return table


def _broken(name: str) -> str:
    """Return a name that may be broken at its underscores, so that narrow columns stay readable."""
    return name.replace("_", "_\n")


def _cell(exercise: ResultOfExercise) -> Text:
    score = "?" if exercise.score is None else points_text(exercise.score)
    return styled(f"{score}{CAVEAT * bool(exercise.caveat)} {LETTERS[exercise.outcome]}", exercise.outcome)


def _legend() -> Text:
    def parts() -> Iterator[Text]:
        for outcome, letter in LETTERS.items():
            yield styled(f"{letter} {outcome.words}", outcome)

    return Text("   ").join(parts())
