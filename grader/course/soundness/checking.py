"""Whether the course agrees with itself: its rules read the files, its proofs run them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from course_env.errors import CatalogError, LaunchError
from grader.course.catalog import Chapter
from grader.course.judging.judge_process import Judge
from grader.course.problem import Problem
from grader.course.soundness.proofs import Announce, Proof, prove
from grader.course.soundness.rules import broken_rules
from grader.course.soundness.told import changed_tellings, write_tellings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Everything that `grade check` found."""

    problems: tuple[Problem, ...]
    proofs: tuple[Proof, ...]
    """One for each chapter that could be run."""


def check(
    chapters: Sequence[Chapter],
    judge: Judge,
    *,
    announce: Announce = lambda _: None,
    workers: int | None = None,
    write_told: bool = False,
) -> CheckReport:
    """Return the problems of `chapters`: those that reading shows, then those that running shows.

    `announce` is called with a line before each step, from several threads. `workers` judges run at a time, by default
    one per CPU. `write_told` writes down what a student is told of each mutant, instead of comparing it. A judge that
    fails is a problem too, and loses none of the others.
    """
    problems: list[Problem] = []
    proofs: list[Proof] = []
    for chapter in chapters:
        announce(f"{chapter.id}: files")
        problems += broken_rules(chapter)
        try:
            proof = prove(chapter, judge, announce=announce, workers=workers or os.cpu_count() or 1)
        except CatalogError:
            # Files that cannot be read cannot be run; the rules above have reported why.
            announce(f"{chapter.id}: not run, because some of its files cannot be read")
            continue
        except LaunchError as error:
            problems.append(Problem(where=chapter.id, what=str(error), todo=""))
            continue
        proofs.append(proof)
        problems += proof.problems
        if write_told:
            write_tellings(chapter, proof.tellings)
        else:
            problems += changed_tellings(chapter, proof.tellings)
    return CheckReport(problems=tuple(problems), proofs=tuple(proofs))
