"""`grade check`: whether the course agrees with itself."""

from argparse import ArgumentParser, Namespace

from grader.batch.workers import default_workers
from grader.cli.command import make_console, print_problems
from grader.cli.wall_choice import wall_for_own_code
from grader.cli.whereabouts import course_here
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.judging.running_judges import stopped_by_signals
from grader.course.judging.warm_judges import WarmJudges
from grader.course.release.chapter_list import chapter_list_problems
from grader.course.soundness.checking import check

GOLDEN_SEED = 2026
"""Which mistake a text names can depend on the inputs, so the golden texts are compared for one seed."""

CHECK_EXAMPLES = """\
examples:
  grade check          every chapter
  grade check ch02     one chapter: stubs earn nothing, solutions everything, mutants die
  grade check ch02 --write-told
                       the same, and write down what a student is told of each mutant

"""


def add_check(parser: ArgumentParser) -> None:
    """Declare the arguments of `grade check`."""
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="like ch02 (default: all)")
    parser.add_argument(
        "--seed", type=int, default=GOLDEN_SEED, metavar="N", help="draw other inputs than those of the golden texts"
    )
    parser.add_argument(
        "--write-told", action="store_true", help="write solutions/CHAPTER/told/, for you to read, instead of comparing"
    )
    parser.set_defaults(body=grade_check)


def grade_check(options: Namespace) -> int:
    """Say whether the chapters are sound; return the command's exit code."""
    course = course_here()
    console = make_console()
    chapters = list(dict.fromkeys(chapter for chapter, _ in course.select(options.chapters)))
    wall = wall_for_own_code(console)
    with (
        WarmJudges(course.root, wall, shared=True) as judges,
        stopped_by_signals(judges),
        console.status("checking") as status,
    ):
        # One seed for all runs, because what the solution's ranks say is handed in for a mutant's.
        judge = SubprocessJudge(course=course, wall=wall, judges=judges, seed=options.seed)
        found = check(chapters, judge, announce=status.update, workers=default_workers(), write_told=options.write_told)
    for proof in found.proofs:
        console.print(str(proof))
        if proof.forgeable:
            console.print(f"  only what ranks say of themselves catches: {', '.join(proof.forgeable)}")
    return print_problems(console, [*chapter_list_problems(course), *found.problems], "The course is sound.")
