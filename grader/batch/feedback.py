"""What a student reads of a result: a Markdown page that shows hidden tests as little as it lets its texts act.

Files, names and explanations hold what students wrote, so each stands in an indented code block, where Markdown knows no
markup, no HTML, no link and no fence that a text could close, and each character that is not plain text is its escape.
"""

from collections.abc import Iterable, Iterator, Sequence

from grader.batch.result import ResultOfChapter, ResultOfExercise, ResultOfTest, SubmissionResult
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall
from grader.harness.wording import shown

INDENT = " " * 4

WALLS = {
    Wall.NESTED: "in a sandbox, each launch in one of its own",
    Wall.FLAT: "in one sandbox for all launches",
    Wall.LANDLOCK: "with no files but its own, in the machine's network",
    Wall.NONE: "without a sandbox",
}


def feedback(result: SubmissionResult) -> str:
    """Return the page for the student whose submission this is.

    Of a hidden test it holds `ResultOfTest.told` and nothing else. The seed is left out, because hidden inputs follow from it.
    """
    head = [
        f"{result.submission}: {_of(result.score, result.points)} points",
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
        yield _block(f"{_line(taken.file)}, {taken.bytes} bytes" for taken in chapter.taken)
    if chapter.left_out:
        yield "Left out:"
        yield _block(f"{_line(left.path)}: {_line(left.reason)}" for left in chapter.left_out)
    for caveat in dict.fromkeys(exercise.caveat for exercise in chapter.exercises if exercise.caveat):
        names = ", ".join(exercise.exercise for exercise in chapter.exercises if exercise.caveat == caveat)
        yield _block([f"{names}: {caveat}"])
    for exercise in chapter.exercises:
        if exercise.outcome is not Outcome.PASSED:
            yield from _exercise(exercise)


def _exercise(exercise: ResultOfExercise) -> Iterator[str]:
    """Yield what is wrong with an exercise: public tests each in full, hidden ones that are told alike only once."""
    yield f"### `{exercise.exercise}`"
    failed = [test for test in exercise.tests if test.outcome is not Outcome.PASSED]
    yield from map(_block, _public(failed))
    hidden = dict.fromkeys(test.told for test in failed if test.hidden)
    yield from (_block([told]) for told in hidden)
    if not failed:
        yield _block([exercise.explanation])


def _public(tests: Sequence[ResultOfTest]) -> Iterator[list[str]]:
    for test in tests:
        if not test.hidden:
            yield [f"{test.test.rpartition('::')[2]} {test.outcome.words}", test.claim, test.told]


def _earned(exercise: ResultOfExercise) -> str:
    return f"{_of(exercise.score, exercise.points)} {exercise.outcome.words}"


def _of(score: float | None, points: int) -> str:
    return f"{'?' if score is None else f'{score:g}'} of {points}"


def _line(text: str) -> str:
    """Return a text that belongs on one line, such as a file's name, as one line."""
    return shown(text).replace("\n", "\\n")


def _block(texts: Iterable[str]) -> str:
    lines = (line for text in texts for line in shown(text).split("\n"))
    return "\n".join(f"{INDENT}{line}".rstrip() for line in lines)
