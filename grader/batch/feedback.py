"""What a student reads of a result: a Markdown page that says little of hidden tests, and in which no text is markup.

Files, names and explanations hold what students wrote. So each stands in an indented code block, in which Markdown
interprets nothing and which no text can close. Characters that are not plain text are escaped.
"""

from collections.abc import Iterable, Iterator

from grader.batch.intake.tree import printable
from grader.batch.result import ResultOfChapter, ResultOfExercise, SubmissionResult
from grader.course.told_once import ToldOnce
from grader.harness.mistake import OF_THE_FILE
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall
from grader.harness.wording import shown

INDENT = " " * 4

WALLS = {
    Wall.NESTED: "with a separate sandbox for each launch",
    Wall.FLAT: "in one sandbox for all launches",
    Wall.LANDLOCK: "without access to other files, but on the machine's network",
    Wall.NONE: "without a sandbox",
}


def feedback(result: SubmissionResult) -> str:
    """Return the page for the student whose submission this is.

    Of hidden tests it holds what `_hidden` says. The seed is left out, because hidden inputs follow from it.
    """
    head = [
        f"{printable(result.submission)}: {_of(result.score, result.points)} points",
        f"Graded {WALLS[result.wall]} ({result.wall}).",
    ]
    if result.undecided_points:
        head.append(f"{result.undecided_points} points could not be decided on this machine and are not in the score.")
    parts = ["# Feedback", _block(head), *(part for chapter in result.chapters for part in _chapter(chapter))]
    return "\n\n".join(parts) + "\n"


def _chapter(chapter: ResultOfChapter) -> Iterator[str]:
    yield f"## `{chapter.chapter}`"
    width = max((len(exercise.exercise) for exercise in chapter.exercises), default=0)
    scores = (f"{exercise.exercise:<{width}}  {_earned(exercise)}" for exercise in chapter.exercises)
    yield _block([f"{_of(chapter.score, chapter.points)} points", *scores])
    if chapter.taken:
        yield "Graded files:"
        # Where they lie is told only if it is not where they are asked for.
        folder = "" if chapter.found_in == f"{chapter.chapter}/" else chapter.found_in
        yield _block(f"{_line(folder + taken.file)}, {taken.bytes} bytes" for taken in chapter.taken)
    if chapter.left_out:
        yield "Left out:"
        yield _block(f"{_line(left.path)}: {_line(left.reason)}" for left in chapter.left_out)
    for caveat in dict.fromkeys(exercise.caveat for exercise in chapter.exercises if exercise.caveat):
        names = ", ".join(exercise.exercise for exercise in chapter.exercises if exercise.caveat == caveat)
        yield _block([f"{names}: {caveat}"])
    told = ToldOnce()
    for exercise in chapter.exercises:
        if exercise.outcome is not Outcome.PASSED:
            yield from _exercise(exercise, told)


def _exercise(exercise: ResultOfExercise, told: ToldOnce) -> Iterator[str]:
    """Yield what is wrong with an exercise: with its file, then by each public test, then what is told of hidden ones."""
    yield f"### `{exercise.exercise}`"
    public = [test for test in exercise.tests if not test.hidden]
    failed = [test for test in public if test.outcome not in {Outcome.PASSED, Outcome.NOT_RUN}]
    of_the_file = [test.explanation for test in failed if test.mistake in OF_THE_FILE]
    yield from (_block([text]) for text in told.texts(of_the_file, exercise.exercise))
    for test in failed:
        if test.mistake not in OF_THE_FILE:
            yield _block([f"{test.test.rpartition('::')[2]} {test.outcome.words}", test.claim, test.explanation])
    num_not_run = sum(test.outcome is Outcome.NOT_RUN for test in public)
    # Where no public test could look at the file, no hidden one could, and its claim would say nothing.
    if len(of_the_file) < len(public) - num_not_run or not public:
        if num_not_run:
            tests = "1 more test was" if num_not_run == 1 else f"{num_not_run} more tests were"
            yield _block([f"{tests} not run, because a test of the same aspect has failed."])
        yield from map(_block, _hidden(exercise))
    if all(test.outcome is Outcome.PASSED for test in exercise.tests):
        yield _block([exercise.explanation])


def _hidden(exercise: ResultOfExercise) -> Iterator[list[str]]:
    """Yield what a page says of an exercise's hidden tests, in words and an order that no test chooses.

    Student code runs in them and can decide how each of them ends. So the page tells which claims fail, and one kind of
    mistake: that of the first. How many inputs a claim was tried with, how each ended and how long it took are not told.
    """
    tests = [test for test in exercise.tests if test.hidden]
    failed = [test for test in tests if test.has_failed]
    if failed:
        claims = dict.fromkeys(test.claim for test in failed)
        head = "A hidden test fails:" if len(claims) == 1 else "Hidden tests fail:"
        first = "" if len(claims) == 1 else " of the first"
        yield [head, *(f"  {claim}" for claim in claims), f"Kind of mistake{first}: {failed[0].mistake}."]
    elif exercise.outcome is Outcome.NOT_GRADABLE and tests:
        yield ["Hidden tests could not be decided on this machine."]


def _earned(exercise: ResultOfExercise) -> str:
    return f"{_of(exercise.score, exercise.points)} {exercise.outcome.words}"


def _of(score: float | None, points: int) -> str:
    return f"{'?' if score is None else f'{score:g}'} of {points}"


def _line(text: str) -> str:
    """Return a text that belongs on one line, such as a file's name, without line ends."""
    return shown(text).replace("\n", "\\n")


def _block(texts: Iterable[str]) -> str:
    lines = (line for text in texts for line in shown(text).split("\n"))
    return "\n".join(f"{INDENT}{line}".rstrip() for line in lines)
