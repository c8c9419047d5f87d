"""The layer contracts of pyproject.toml bite: each import that must not be is planted, and breaks the contract meant for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("course_env", "grader", "slurm")

LAYERS = "cli > cluster > batch > judge > course > doctor > harness"
HARNESS = "trials | agents > verdict > launch | comm | compare > sandbox > words and values > inside > protocol"
CIRCLE = "no folder imports its siblings in a circle"

PLANTS = [
    ("grader/harness/inside/rank.py", "from grader.harness.comm import CommLog", HARNESS),
    ("grader/harness/inside/recorder.py", "from grader.harness.outcome import Outcome", HARNESS),
    ("grader/harness/protocol/frame.py", "from grader.harness.inside import linux", HARNESS),
    ("grader/harness/sandbox/visible.py", "from grader.harness.trials import walls", HARNESS),
    ("grader/harness/launch/launcher.py", "from grader.harness.verdict import verdict_on", HARNESS),
    ("grader/harness/compare/equivalence.py", "from grader.harness.comm.log import CommLog", HARNESS),
    ("grader/harness/comm/log.py", "from grader.harness.launch.remains import Remains", HARNESS),
    ("grader/harness/agents/team.py", "from grader.harness.trials import gpus", HARNESS),
    ("grader/harness/a_new_module.py", "import json", HARNESS),
    ("grader/harness/inside/rank.py", "from grader.course.catalog import Course", LAYERS),
    ("grader/doctor/machine.py", "from grader.course.catalog import Course", LAYERS),
    ("grader/judge/plugin.py", "from grader.batch.result import SubmissionResult", LAYERS),
    ("grader/batch/batch.py", "from grader.cluster.desk import Desk", LAYERS),
    ("grader/a_new_module.py", "import json", LAYERS),
    ("grader/cluster/rounds.py", "import submitit", "only slurm talks to submitit"),
    ("grader/batch/grading.py", "import submitit", "only slurm talks to submitit"),
    (
        "grader/batch/grading.py",
        "from slurm.executors import Executor",
        "of the grader, only cluster and cli know slurm",
    ),
    ("slurm/executors.py", "from grader.course.catalog import Course", "slurm knows nothing of grading"),
    ("course_env/errors.py", "from grader.harness.mistake import Mistake", "course_env stands alone"),
    ("grader/course/content/regions.py", "from grader.course.release.leaks import leaks", CIRCLE),
    ("grader/batch/intake/tree.py", "from grader.batch.grading import grade", CIRCLE),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages and their contracts."""
    folder = tmp_path_factory.mktemp("layers")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def broken_contracts(tree: Path) -> list[str]:
    """Return the names of the contracts that `lint-imports` finds broken in `tree`, in order."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return [line.removesuffix(" BROKEN") for line in lines if line.endswith(" BROKEN")]


def test_the_project_keeps_its_contracts(tree: Path) -> None:
    """Without a planted import, every contract is kept."""
    assert broken_contracts(tree) == []


@pytest.mark.parametrize(("file", "line", "contract"), PLANTS, ids=[f"{file}: {line}" for file, line, _ in PLANTS])
def test_a_planted_import_breaks_its_contract(tree: Path, file: str, line: str, contract: str) -> None:
    """An import across the layers, or a module without a place in them, breaks the contract that forbids it."""
    path = tree / file
    before = path.read_text() if path.exists() else None
    try:
        path.write_text((before or '"""New."""\n') + f"\n{line}\n")
        assert contract in broken_contracts(tree)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
