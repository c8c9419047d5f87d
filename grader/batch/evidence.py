"""Judging one chapter of one submission. A judge that dies runs once more; tests that still have no evidence earn nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from course_env.errors import CatalogError
from grader.batch.batch import Batch
from grader.batch.intake.take import Fault, Intake
from grader.batch.result import JudgeState
from grader.course.catalog import Chapter, Selected
from grader.course.content.attempts import untouched
from grader.course.judging.judge_process import JudgeRun, SubprocessJudge, Watch
from grader.course.judging.report import Record
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome, still_a_gap

MAX_RUNS = 2  # a judge that dies gets one more chance: it may have been the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about one chapter of one submission."""

    intake: Intake
    not_run: Mapping[str, Fault]
    """By exercise, why none of its tests was run: its file has a fault, or the exercise is still the stub."""

    records: tuple[Record, ...] = ()
    """One for each test that was collected."""

    judge: JudgeState = "not_run"
    exit_code: int | None = None
    """Of the judge's last run."""

    runs: int = 0
    """How often the judge was run."""

    trouble: str = ""
    """How the judge ended, if it did not end as it should."""


def judge_chapter(intake: Intake, folder: Path, batch: Batch, watch: Watch) -> Evidence:
    """Return the evidence on the files that were staged in `folder`; exercises whose file has a fault are not run.

    Raises: CatalogError if the judge cannot grade any submission; StoppedError if the batch was told to end.
    """
    chapter = intake.chapter
    not_run = _not_run(intake, even_stubs=batch.all_tests)
    runnable = [(chapter, exercise) for exercise in chapter.exercises if exercise.id not in not_run]
    evidence = Evidence(intake=intake, not_run=not_run)
    if not runnable:
        return evidence
    for number in range(1, MAX_RUNS + 1):
        run = _run(runnable, folder, batch, watch)
        if run.is_whole:
            return replace(evidence, records=run.records, judge="ended", exit_code=run.end.exit_code, runs=number)
    _require_sound_course(chapter, runnable, folder, batch)
    trouble = f"{run.end} That happened in {MAX_RUNS} runs, so tests that had not finished earn nothing."
    return replace(
        evidence,
        records=tuple(record if record.finished else _crashed(record, trouble) for record in run.records),
        judge="cut" if run.end.cut else "died",
        exit_code=run.end.exit_code,
        runs=MAX_RUNS,
        trouble=trouble,
    )


def _not_run(intake: Intake, *, even_stubs: bool) -> dict[str, Fault]:
    """Return why exercises need not be run, by their ids; `even_stubs`: those that are as they were given out are run."""
    faults: dict[str, Fault] = {}
    for file in intake.chapter.files:
        exercises = intake.chapter.exercises_in(file)
        if file in intake.faults:
            faults |= {exercise.id: intake.faults[file] for exercise in exercises}
        elif not even_stubs:
            for exercise in untouched(intake.contents[file], intake.chapter, file):
                explanation = still_a_gap(f"TODO({exercise.id})")
                faults[exercise.id] = Fault(outcome=Outcome.NOT_ATTEMPTED, explanation=explanation)
    return faults


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
