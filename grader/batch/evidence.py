"""Judging one chapter of one submission. A judge that dies runs once more; tests that still have no evidence earn nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from course_env.errors import CatalogError
from grader.batch.batch import Batch
from grader.batch.intake.take import Intake
from grader.batch.result import JudgeState
from grader.course.catalog import Chapter, Selected
from grader.course.content.attempts import untouched
from grader.course.content.stubs import read_stub
from grader.course.judging.judge_process import JudgeRun, SubprocessJudge, Watch
from grader.course.judging.report import Record
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome

MAX_RUNS = 2  # a judge that dies gets one more chance: it may have been the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about one chapter of one submission."""

    intake: Intake
    records: tuple[Record, ...] = ()
    """One for each test that was collected."""

    judge: JudgeState = "not_run"
    exit_code: int | None = None
    """Of the judge's last run."""

    runs: int = 0
    """How often the judge was run."""

    not_attempted: tuple[str, ...] = ()
    """Ids of the exercises that are still the stub, so that none of their tests was run."""

    trouble: str = ""
    """How the judge ended, if it did not end as it should."""


def judge_chapter(intake: Intake, folder: Path, batch: Batch, watch: Watch) -> Evidence:
    """Return the evidence on the files that were staged in `folder`; exercises whose file has a fault are not run.

    Raises: CatalogError if the judge cannot grade any submission; StoppedError if the batch was told to end.
    """
    chapter = intake.chapter
    stubs = () if batch.all_tests else _still_stubs(intake)
    runnable = [
        (chapter, exercise)
        for exercise in chapter.exercises
        if exercise.file in intake.contents and exercise.id not in stubs
    ]
    if not runnable:
        return Evidence(intake=intake, not_attempted=stubs)
    for number in range(1, MAX_RUNS + 1):
        run = _run(runnable, folder, batch, watch)
        if run.is_whole:
            exit_code = run.end.exit_code
            return Evidence(
                intake=intake,
                records=run.records,
                judge="ended",
                exit_code=exit_code,
                runs=number,
                not_attempted=stubs,
            )
    _require_sound_course(chapter, runnable, folder, batch)
    trouble = f"{run.end} That happened in {MAX_RUNS} runs, so tests that had not finished earn nothing."
    return Evidence(
        intake=intake,
        records=tuple(record if record.finished else _crashed(record, trouble) for record in run.records),
        judge="cut" if run.end.cut else "died",
        exit_code=run.end.exit_code,
        runs=MAX_RUNS,
        not_attempted=stubs,
        trouble=trouble,
    )


def _still_stubs(intake: Intake) -> tuple[str, ...]:
    """Return the ids of the exercises that were handed in as they were given out."""
    chapter = intake.chapter
    return tuple(
        exercise.id
        for file, content in intake.contents.items()
        for exercise in untouched(content, read_stub(chapter, file), chapter.exercises_in(file))
    )


def _run(selected: Sequence[Selected], folder: Path, batch: Batch, watch: Watch, *options: str) -> JudgeRun:
    agents = () if batch.agents is None else ("--agents", str(batch.agents))
    stop = () if batch.all_tests else ("--one-failure-an-aspect",)
    judge = SubprocessJudge(
        course=batch.course,
        time_limit_s=batch.judge_limit_s,
        own_time_s=batch.own_time_s,
        wall=batch.wall,
        seed=batch.seed,
        options=(*agents, *stop, *options),
        judges=batch.running_judges,
        watch=watch,
    )
    return judge.run(folder, selected)


def _crashed(record: Record, trouble: str) -> Record:
    return msgspec.structs.replace(
        record, outcome=Outcome.CRASHED, mistake=Mistake.CRASHED, explanation=f"This test has no result. {trouble}"
    )


def _require_sound_course(chapter: Chapter, selected: Sequence[Selected], folder: Path, batch: Batch) -> None:
    """Raise CatalogError if the judge fails even when it only collects its tests, which runs no student code."""
    end = _run(selected, folder, batch, lambda _finished, _all: None, "--collect-only").end
    if not end.in_order:
        raise CatalogError(
            f"The tests of {chapter.id} cannot be collected, so no submission can be graded. {end} "
            f"Fix them, then run `grade check {chapter.short}`. The judge's last lines:\n{end.tail}"
        )
