"""Write a sample class on chapter 2: what `make grade` grades, and what a new grader should see once.

    python tests/sample_class/build.py OUT

Six submissions: all right, untouched, half done, and three with one mistake each: a deadlock, a crash of a rank, a sum
where an average is due. `expected.json` in this folder says what each of them earns.
"""

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

from grader.course.catalog import Chapter, load_course
from grader.course.content.mutants import Mutant, apply_mutant
from grader.course.content.stubs import chapter_stubs

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CHAPTER = "ch02_distributed_programming"


def build(out: Path) -> list[Path]:
    """Write every submission below `out` anew and return their folders."""
    chapter = load_course(ROOT).chapter(CHAPTER)
    solutions = _solutions(chapter)
    stubs = chapter_stubs(chapter)
    done = chapter.files[: len(chapter.files) // 2]
    folders = [
        _write(out / "perfect", solutions),
        _write(out / "untouched", stubs),
        _write(out / "half", {**stubs, **{file: solutions[file] for file in done}}),
    ]
    return [*folders, *(_write_mistakes(out / patch.stem, [patch], chapter) for patch in sorted(HERE.glob("*.patch")))]


def build_all_mistakes(out: Path) -> Path:
    """Write the submission `all_mistakes` below `out`, with those of all samples that have one, and return its folder."""
    return _write_mistakes(out / "all_mistakes", sorted(HERE.glob("*.patch")), load_course(ROOT).chapter(CHAPTER))


def _write_mistakes(folder: Path, patches: Sequence[Path], chapter: Chapter) -> Path:
    _write(folder, _solutions(chapter))
    for patch in patches:
        apply_mutant(_read_patch(patch, chapter), folder / CHAPTER)
    return folder


def _solutions(chapter: Chapter) -> dict[str, str]:
    return {file: (chapter.solution / file).read_text(encoding="utf-8") for file in chapter.files}


def _write(folder: Path, files: Mapping[str, str]) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    (folder / CHAPTER).mkdir(parents=True)
    for file, text in files.items():
        (folder / CHAPTER / file).write_text(text, encoding="utf-8")
    return folder


def _read_patch(path: Path, chapter: Chapter) -> Mutant:
    """Return a patch written like those in a chapter's mutants/: the exercise, what is wrong, a diff of its solution."""
    head, fault, diff = path.read_text(encoding="utf-8").split("\n", 2)
    exercise = chapter.exercise(head.removeprefix("exercise: "))
    return Mutant(name=path.stem, where=str(path.relative_to(ROOT)), exercise=exercise, fault=fault, diff=diff)


def main() -> int:
    """Build the class where the command line says."""
    parser = ArgumentParser(description="Write a sample class on chapter 2.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of the submissions")
    for folder in build(parser.parse_args().out):
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
