"""Grades the whole corpus once, by the real command, and keeps all that is to be seen of it afterwards."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.batch.feedback import feedback
from grader.batch.result import SubmissionResult, read_result
from tests.submissions.canary import Canary
from tests.submissions.case import HERE, Case

ROOT = HERE.parent.parent
LEFT_BEHIND = "left-behind"  # in the name of every file that a case tries to leave
PUBLIC_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp")
LIMIT_S = 1200
WORKERS = 2
GOOD_RANKS_AFTER = 8  # cases: to start torch twice for a good submission takes as long as six cases without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What is there when the batch has been graded."""

    results: Mapping[str, SubmissionResult]
    output: str
    """What the command printed."""

    written: str
    """Every result file, and every page that a student would read."""

    exit_code: int
    processes: Sequence[str]
    mounts: Sequence[str]
    files: Sequence[str]
    visits: Sequence[str]
    secret: str


def good_beside(case: Case) -> str:
    """Return the name of the good submission that is graded next to this case."""
    return f"{case}, then a good one"


def grade_corpus(base: Path, cases: Sequence[Case], user: int | None) -> Aftermath:
    """Grade every case, and after each a good submission, in an empty folder `base` that everybody can enter."""
    course = base / "course"
    shutil.copytree(HERE / "course", course, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for folder in ("batch", "home", "temporary"):
        (base / folder).mkdir()
    with Canary(base) as canary:
        submissions = _hand_in(cases, base, canary)
        _give_to(user, base)
        before = _files(base, user)
        told = _run(base, submissions, user, canary)
        files = sorted(_files(base, user) - before)
        visits = canary.visits()
    paths = sorted((base / "out/results").glob("*.json"))
    results = {path.stem: read_result(path) for path in paths}
    pages = [path.read_text() for path in paths] + [feedback(result) for result in results.values()]
    return Aftermath(
        results=results,
        output=(base / "output.txt").read_text(errors="replace"),
        written="\n".join(pages),
        files=files,
        visits=visits,
        secret=canary.secret,
        **told,
    )


def _hand_in(cases: Sequence[Case], base: Path, canary: Canary) -> list[Path]:
    words = {
        "CANARY_FILE": str(canary.file),
        "CANARY_PORT": str(canary.port),
        "COURSE": str(base / "course"),
        "SOLUTIONS": str(base / "course/solutions"),
        "OTHER_SUBMISSION": str(base / "batch" / good_beside(cases[0])),
    }
    submissions = []
    for number, case in enumerate(cases):
        submissions.append(case.hand_in(base / "batch", words))
        good = base / "batch" / good_beside(case)
        chapters = ["ch01_single", *["ch02_ranks"] * (number % GOOD_RANKS_AFTER == 0)]
        for chapter in chapters:
            shutil.copytree(HERE / "good" / chapter, good / chapter, ignore=shutil.ignore_patterns("__pycache__"))
        submissions.append(good)
    return submissions


def _give_to(user: int | None, base: Path) -> None:
    base.chmod(0o755)
    if user is not None:
        for path in [base, *base.rglob("*")]:
            os.chown(path, user, user, follow_symlinks=False)


def _run(base: Path, submissions: Sequence[Path], user: int | None, canary: Canary) -> dict[str, Any]:
    command = [sys.executable, "-m", "grader.cli.grade", "run", *map(str, submissions)]
    order = {
        "command": [*command, "--out", str(base / "out"), "--workers", str(WORKERS), "--wall", "nested"],
        "cwd": str(base / "course"),
        "environment": {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(base / "home"),
            "TMPDIR": str(base / "temporary"),
            "LANG": "C.UTF-8",
            "SECRET_OF_THE_GRADER": canary.secret,
        },
        "output": str(base / "output.txt"),
        "user": user,
        "needed": [sys.prefix, sys.base_prefix, str(ROOT), str(base)],
    }
    driver = [sys.executable, str(HERE / "driver.py"), json.dumps(order)]
    told = subprocess.run(driver, stdout=subprocess.PIPE, timeout=LIMIT_S, check=True)
    return dict(json.loads(told.stdout))


def _files(base: Path, user: int | None) -> set[str]:
    """Return the files that the batch can have left: not its results, nor what Python and pytest keep beside a course."""
    own = {str(path) for part in ("batch", "home", "temporary", "course") for path in (base / part).rglob("*")}
    kept = {path for path in own if "/__pycache__" in path or "/.pytest_cache" in path}
    public = {entry.path for folder in PUBLIC_FOLDERS for entry in os.scandir(folder) if _is_ours(entry, user)}
    return (own - kept) | (public - {str(base)})


def _is_ours(entry: os.DirEntry[str], user: int | None) -> bool:
    try:
        return LEFT_BEHIND in entry.name or (user is not None and entry.stat(follow_symlinks=False).st_uid == user)
    except FileNotFoundError:  # somebody else's, and gone
        return False
