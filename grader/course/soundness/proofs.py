"""What only running can show: stubs earn nothing, solutions and alternatives all points, every mutant dies, no paste passes.

A mutant is judged by the tests of the exercises in its own file. Student files stand alone (a rule), so no other test can
see the change. The tests of its own exercise stop at the first failure, because one is enough: otherwise a mutant
that hangs would cost a deadline for each test. The file's other exercises are run whole.

Where what its ranks say of themselves had a part in the end of a mutant, it is tried again with ranks that say what those of
the solution said. So the proof knows what code passes that forges whatever can be forged in a rank.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from course_env.errors import CatalogError
from grader.course.catalog import Chapter, Exercise, Selected
from grader.course.content.mutants import IN_THE_RANK, Mutant, apply_mutant, read_mutants
from grader.course.content.promises import read_promises
from grader.course.content.stubs import chapter_stubs, read_staff_file
from grader.course.judging.judge_process import Judge
from grader.course.judging.report import Record
from grader.course.problem import Problem
from grader.course.score import score_chapter
from grader.course.soundness.pastes import Paste, pastes
from grader.course.soundness.told import Telling, telling_of
from grader.harness.outcome import FAILURES, Outcome
from grader.harness.protocol.held_folder import held_folder

REACH_A_GAP = "Every test must reach a gap, which makes it not_attempted: let it call what the student writes."
NO_ANSWER_IN_TESTS = "Students have this file. Let the baseline be a table of values, a slow way that is no answer, or PyTorch's own function."
FIX_THE_TEST = "Fix the test, or what it tests."

Announce = Callable[[str], None]
"""Called with a line that says which step begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What running one chapter's stubs, solutions, alternatives and mutants showed."""

    chapter: str
    points: int
    stub_score: float
    """What the stubs earn: 0 in a sound chapter."""

    solution_score: float
    """What the solutions earn: all `points` in a sound chapter."""

    mutants: int
    """How many mutants there are."""

    killed: int
    """How many of them fail in their own exercise and nowhere else."""

    forgeable: tuple[str, ...]
    """The mutants that nothing else catches than what their ranks say of themselves."""

    tellings: Mapping[Exercise, tuple[Telling, ...]]
    """What a student is told of the mutants of each exercise."""

    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        """Return the one line that a command prints."""
        killed = (
            f"{self.killed} mutants killed"
            if self.killed == self.mutants
            else f"{self.killed} of {self.mutants} mutants killed"
        )
        return (
            f"{self.chapter}: stubs {self.stub_score:g} of {self.points}, "
            f"solutions {self.solution_score:g} of {self.points}, {killed}"
        )


def prove(chapter: Chapter, judge: Judge, *, announce: Announce, workers: int) -> Proof:
    """Return what `judge` says about a chapter's stubs, solutions, alternatives and mutants.

    Raises: CatalogError if a mutant or a solution cannot be read; LaunchError if the judge itself failed.
    """
    whole = _pairs(chapter, chapter.exercises)
    mutants = read_mutants(chapter)
    announce(f"{chapter.id}: stubs")
    with _staged(chapter, chapter_stubs(chapter)) as folder:
        stubs = judge(folder.parent, whole)
    alternatives = [path for file in chapter.files for path in sorted(chapter.solution.glob(f"alternatives/*/{file}"))]
    with held_folder("testimony") as scratch, ThreadPoolExecutor(max_workers=workers) as pool:
        testimony = Path(scratch, "solutions")
        announce(f"{chapter.id}: solutions")
        with _staged(chapter, _solution(chapter)) as folder:
            solutions = judge(folder.parent, whole, keep=testimony)
        tried = list(pool.map(lambda mutant: _try_mutant(chapter, mutant, judge, announce, testimony), mutants))
        copied = list(pool.map(lambda paste: _try_paste(chapter, paste, judge, announce), _pastes(chapter)))
        rejected = list(pool.map(lambda path: _try_alternative(chapter, path, judge, announce), alternatives))
    told = [trial.telling for trial in tried if trial.telling is not None]
    tellings = {
        exercise: tuple(telling for telling in told if telling.mutant.exercise == exercise)
        for exercise in chapter.exercises
    }
    return Proof(
        chapter=chapter.id,
        points=chapter.points,
        stub_score=_total(chapter, stubs),
        solution_score=_total(chapter, solutions),
        mutants=len(mutants),
        killed=sum(not trial.problems for trial in tried),
        forgeable=tuple(mutant.name for mutant, trial in zip(mutants, tried, strict=True) if trial.forgeable),
        tellings=tellings,
        problems=(
            *_unlike(Outcome.NOT_ATTEMPTED, stubs, of="the stub", todo=REACH_A_GAP),
            *_unlike(Outcome.PASSED, solutions, of="the solution", todo=FIX_THE_TEST),
            *_unscored(solutions, chapter),
            *chain(*rejected, *copied, *(trial.problems for trial in tried)),
        ),
    )


def _unlike(expected: Outcome, records: Sequence[Record], *, of: str, todo: str) -> Iterator[Problem]:
    """Yield each test that did not end as `expected` on `of`, like "the stub"."""
    for record in records:
        if record.outcome != expected:
            yield Problem(
                where=record.test,
                what=f"is {record.outcome} on {of} of '{record.exercise}'. {record.explanation}".strip(),
                todo=todo,
            )


def _unscored(records: Sequence[Record], chapter: Chapter) -> Iterator[Problem]:
    for score in score_chapter(chapter, records).values():
        if score.problem:
            yield Problem(where=chapter.id, what=score.problem, todo="")


def _total(chapter: Chapter, records: Sequence[Record]) -> float:
    return round(sum(score.score or 0.0 for score in score_chapter(chapter, records).values()), 1)


def _try_alternative(chapter: Chapter, path: Path, judge: Judge, announce: Announce) -> list[Problem]:
    """Return what the tests of one file say against another right answer: nothing, if they grade the contract alone."""
    announce(f"{chapter.id}: alternative {path.parent.name}")
    answer = {path.name: path.read_text(encoding="utf-8")}
    with _staged(chapter, _solution(chapter) | answer) as folder:
        records = judge(folder.parent, _pairs(chapter, chapter.exercises_in(path.name)))
    return list(_unlike(Outcome.PASSED, records, of=f"the alternative {path.parent.name}", todo=FIX_THE_TEST))


def _pastes(chapter: Chapter) -> list[Paste]:
    return [paste for exercise in chapter.exercises for paste in pastes(chapter, exercise)]


def _try_paste(chapter: Chapter, paste: Paste, judge: Judge, announce: Announce) -> list[Problem]:
    """Return what is wrong with a public function: that it gives the right values, whatever it does with wrong arguments."""
    announce(f"{chapter.id}: {paste.function} pasted as {paste.symbol}")
    selected = _pairs(chapter, (paste.exercise,))
    with _staged(chapter, _solution(chapter) | {paste.exercise.file: paste.source}) as folder:
        records = judge(folder.parent, selected, first_failure_only=True)
        if _values_are_right(records) and any(record.outcome in FAILURES for record in records):
            records = judge(folder.parent, selected)
    if not _values_are_right(records):
        return []
    what = f"{paste.function} passes as an answer to '{paste.exercise.id}': copied as {paste.symbol}, it gives the right values."
    return [Problem(where=paste.where, what=what, todo=NO_ANSWER_IN_TESTS)]


def _values_are_right(records: Sequence[Record]) -> bool:
    """Whether no test of equivalence has shown a fault."""
    return bool(records) and not any(
        record.aspect == "equivalence" and record.outcome in FAILURES for record in records
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What became of one mutant."""

    problems: tuple[Problem, ...]
    """What keeps it from dying in its own exercise and nowhere else."""

    telling: Telling | None = None
    """What a student is told of it; None if it survives."""

    forgeable: bool = False
    """Whether only what its ranks say of themselves catches it."""


def _try_mutant(chapter: Chapter, mutant: Mutant, judge: Judge, announce: Announce, testimony: Path) -> _Trial:
    announce(f"{chapter.id}: mutant {mutant.name}")
    with _staged(chapter, _solution(chapter)) as folder:
        try:
            apply_mutant(mutant, folder)
        except CatalogError as error:
            what = str(error).removeprefix(f"{mutant.where}: ")
            return _Trial(problems=(Problem(where=mutant.where, what=what, todo=""),))
        neighbours = tuple(other for other in chapter.exercises_in(mutant.exercise.file) if other != mutant.exercise)
        own = judge(folder.parent, _pairs(chapter, (mutant.exercise,)), first_failure_only=True)
        others = judge(folder.parent, _pairs(chapter, neighbours)) if neighbours else []
        forgeable = False
        if any(record.rests_on_ranks for record in own if record.outcome in FAILURES):
            forged = judge(folder.parent, _pairs(chapter, (mutant.exercise,)), first_failure_only=True, forge=testimony)
            forgeable = not {record.outcome for record in forged} & FAILURES
    killer = next((record for record in own if record.outcome in FAILURES), None)
    return _Trial(
        problems=(
            *(_survival(mutant, own) if killer is None else _unpromised(chapter, mutant, killer)),
            *_collateral(mutant, others),
            *_trust(mutant, forgeable=forgeable),
        ),
        telling=telling_of(mutant, killer) if killer else None,
        forgeable=forgeable,
    )


def _trust(mutant: Mutant, *, forgeable: bool) -> Iterator[Problem]:
    """Yield a problem if nobody has said that the mutant passes with forged ranks.

    It is none if a patch says so and the trial does not: a wait that is forgotten shows in values now and then.
    """
    if forgeable and not mutant.forgeable:
        yield Problem(
            where=mutant.where,
            what="is caught by nothing but what its ranks say of themselves: code that forges that would pass.",
            todo=f"Let a value, the kernel's count or memory show its fault too, or say '{IN_THE_RANK}' on its third line.",
        )


def _survival(mutant: Mutant, records: Sequence[Record]) -> Iterator[Problem]:
    seen = ", ".join(sorted({record.outcome for record in records})) or "not there"
    yield Problem(
        where=mutant.where,
        what=f"survives: the tests of '{mutant.exercise.id}' are {seen} on it. Its fault: {mutant.fault}",
        todo="Write a test that sees it.",
    )


def _unpromised(chapter: Chapter, mutant: Mutant, killer: Record) -> Iterator[Problem]:
    """Yield a problem if the first test that fails on a mutant stands for none of the promises that it is said to break."""
    table = read_promises(chapter, mutant.exercise)
    test = killer.test.rpartition("/")[2].partition("[")[0]
    promises = table.promises_of(mutant.name) if table else ()
    if promises and not any(test in promise.tests for promise in promises):
        yield Problem(
            where=mutant.where,
            what=f"is caught by {test}, which no promise names that this mutant is said to break.",
            todo=f"Name the test there, or the mutant elsewhere, in solutions/{chapter.id}/promises/{mutant.exercise.id}.toml.",
        )


def _collateral(mutant: Mutant, records: Sequence[Record]) -> Iterator[Problem]:
    for record in records:
        if record.outcome != Outcome.PASSED:
            yield Problem(
                where=mutant.where,
                what=f"is a mutant of '{mutant.exercise.id}', but {record.test} of '{record.exercise}' is {record.outcome} on it.",
                todo="Let it change its own exercise alone, or let that test use its own exercise alone.",
            )


def _pairs(chapter: Chapter, exercises: tuple[Exercise, ...]) -> list[Selected]:
    return [(chapter, exercise) for exercise in exercises]


def _solution(chapter: Chapter) -> dict[str, str]:
    where = f"solutions/{chapter.id}"
    return {file: read_staff_file(chapter.solution / file, f"{where}/{file}") for file in chapter.files}


@contextmanager
def _staged(chapter: Chapter, answers: Mapping[str, str]) -> Iterator[Path]:
    """Write `answers` as a submission that lasts as long as the block; give the chapter's folder in it."""
    with held_folder("submission") as scratch:
        folder = scratch / chapter.id
        folder.mkdir()
        for file, text in answers.items():
            (folder / file).write_text(text, encoding="utf-8")
        yield folder
