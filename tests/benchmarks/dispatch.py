"""What `grade run --on` adds to the same work by plain sbatch and srun: `python tests/benchmarks/dispatch.py --out FILE`.

Both grade the same submissions to chapter 3 in two jobs, one on each node of a development cluster, in turns. What counts is
the time from the command to the last result. A missed target is printed and changes no exit code: this is a measurement.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slurm.dev_cluster.cluster import HOW_TO_GET, DevCluster, environment, missing_programs

ROOT = Path(__file__).parent.parent.parent
CHAPTER = "ch03_overview_of_parallelism"
NUM_JOBS = 2
SUBMISSIONS = 4
ADDS_AT_MOST = 0.25
POLL_S = 0.05

PROFILE = f"""
cpus_per_task = {SUBMISSIONS // NUM_JOBS}
minutes = 20
worthwhile_minutes = 0.01
settle_s = 1.0
sbatch = {{ exclusive = true }}
"""
BARE = """#!/bin/bash
#SBATCH --exclusive --ntasks=1 --cpus-per-task={cpus} --time=20 --output={out}.log
srun --cpus-per-task={cpus} {python} -m grader.cli.grade run {submissions} {common} --out {out} --workers {cpus}
"""


class Bench:
    """A cluster, and a class to grade on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster = DevCluster(folder / "slurm")
        self._cluster.up(nodes=NUM_JOBS, cpus=8, gpus=0)
        self._submissions = [self._submission(number) for number in range(SUBMISSIONS)]
        (folder / "profile.toml").write_text(PROFILE)
        self._common = ["--chapters", "ch03", "--seed", "1"]

    def close(self) -> None:
        """End the cluster."""
        self._cluster.down()

    def _submission(self, number: int) -> Path:
        folder = self._folder / f"student{number}"
        ignored = shutil.ignore_patterns("__pycache__", "mutants", "test_*", "notebook")
        shutil.copytree(ROOT / "solutions" / CHAPTER, folder / CHAPTER, ignore=ignored)
        return folder

    def ours(self, name: str) -> float:
        """Return the seconds that `grade run --on` takes."""
        out = self._folder / name
        words = [sys.executable, "-m", "grader.cli.grade", "run", *map(str, self._submissions), *self._common]
        begin = time.monotonic()
        self._run([*words, "--out", str(out), "--on", str(self._folder / "profile.toml"), "--max-jobs", str(NUM_JOBS)])
        return time.monotonic() - begin

    def bare(self, name: str) -> float:
        """Return the seconds from the first sbatch to the last result."""
        outs = [self._folder / f"{name}-{number}" for number in range(NUM_JOBS)]
        begin = time.monotonic()
        for number, out in enumerate(outs):
            script = out.with_suffix(".sbatch")
            script.write_text(
                BARE.format(
                    python=sys.executable,
                    cpus=SUBMISSIONS // NUM_JOBS,
                    submissions=shlex.join(map(str, self._submissions[number::NUM_JOBS])),
                    common=shlex.join(self._common),
                    out=out,
                )
            )
            self._run(["sbatch", str(script)])
        while sum(len(list(out.glob("results/*.json"))) for out in outs) < SUBMISSIONS:
            time.sleep(POLL_S)
        seconds = time.monotonic() - begin
        while self._run(["squeue", "--noheader"]).strip():  # what is left of them must not slow the next
            time.sleep(POLL_S)
        return seconds

    def _run(self, command: list[str]) -> str:
        return subprocess.run(
            self._cluster.enter(command, ROOT),
            env=environment(self._folder / "slurm"),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout


def main() -> None:
    """Measure in turns, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if missing := missing_programs():
        sys.exit(f"needs {', '.join(missing)}: {HOW_TO_GET}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder))
        try:
            pairs = [(bench.bare(f"bare{number}"), bench.ours(f"ours{number}")) for number in range(arguments.rounds)]
        finally:
            bench.close()
    ratios = [ours / bare for bare, ours in pairs]
    report = {"bare_s": [bare for bare, _ in pairs], "ours_s": [ours for _, ours in pairs], "ratios": ratios}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    for bare, ours in pairs:
        print(f"sbatch and srun {bare:5.1f} s    grade run --on {ours:5.1f} s    {ours / bare:.2f}")
    median = statistics.median(ratios)
    verdict = "within" if median <= 1 + ADDS_AT_MOST else "MISSES"
    print(
        f"Median ratio {median:.2f}: {verdict} the target of at most {1 + ADDS_AT_MOST:.2f}. Load before: {load:.1f}."
    )


if __name__ == "__main__":
    main()
