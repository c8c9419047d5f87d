"""The lab of chapter 2 runs answers under plain torchrun, and tells right ones from wrong ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "assignments/ch02_distributed_programming/lab/under_torchrun.py"
SOLUTIONS = ROOT / "solutions/ch02_distributed_programming"
FILES = ("slurm_env", "ring_shift", "tree", "ring", "split")


def run_lab(num_ranks, *options):
    """Run the lab on some ranks; return its exit code and what rank 0 found of each file."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks)]
    done = subprocess.run(
        [*command, str(LAB), *map(str, options)], capture_output=True, text=True, check=False, timeout=120
    )
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.split()[0] in FILES)
    assert [*found] == [*FILES], done.stderr
    return done.returncode, found


def test_the_solutions_run_without_the_harness():
    """On two ranks that torchrun starts, every answer is the library's, and nothing of the harness is there."""
    code, found = run_lab(2, "--answers", SOLUTIONS)

    assert found == dict.fromkeys(FILES, "as torch.distributed")
    assert code == 0


def test_a_wrong_answer_is_found(tmp_path):
    """A ring that forgets to divide is wrong on all ranks, and the exit code says so."""
    for file in FILES:
        shutil.copy(SOLUTIONS / f"{file}.py", tmp_path)
    ring = tmp_path / "ring.py"
    ring.write_text(ring.read_text().replace("partial / num_ranks", "partial / 1"))

    code, found = run_lab(2, "--answers", tmp_path)

    assert found["ring"] == "right on 0 ranks only"
    assert code != 0


@pytest.mark.parametrize("num_ranks", [1])
def test_as_released_nothing_is_written_yet(num_ranks):
    """With the stubs the lab says what is missing, and that is no failure."""
    code, found = run_lab(num_ranks)

    assert found == dict.fromkeys(FILES, "not written yet")
    assert code == 0
