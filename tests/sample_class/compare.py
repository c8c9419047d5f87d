"""Compare what the sample class has earned with `expected.json`; the exit code is 1 if anything differs.

    python tests/sample_class/compare.py OUT

OUT is the folder that `grade run` wrote.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.json")


def differences(out: Path) -> Iterator[str]:
    """Yield a sentence for each exercise of each sample that did not earn what it should."""
    for sample, exercises in json.loads(EXPECTED.read_text(encoding="utf-8")).items():
        result = out / "results" / f"{sample}.json"
        if not result.is_file():
            yield f"{sample} has no result: {result} is missing."
            continue
        chapters = json.loads(result.read_text(encoding="utf-8"))["chapters"]
        found = {each["exercise"]: [each["score"], each["outcome"]] for each in chapters[0]["exercises"]}
        for exercise, expected in exercises.items():
            if found[exercise] != expected:
                yield f"{sample}, {exercise}: {found[exercise]} instead of {expected}. Its explanation is in {result}."


def main() -> int:
    """Compare the results where the command line says."""
    parser = ArgumentParser(description="Compare what the sample class has earned with what it should.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder that `grade run` wrote")
    found = list(differences(parser.parse_args().out))
    print("\n".join(found) or "Every sample earned what it should.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
