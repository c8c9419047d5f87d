"""How long one launch takes, ours and others': `python tests/benchmarks/launch.py --out out/bench.json`.

All contestants run one reference test, in turns, so that whatever else the machine does hits all alike. Compare them
within one run only. A missed target is printed and changes no exit code: this is a measurement, not a test.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measurement import SLOW, measure
from report import show, summarise
from rich.console import Console


def main() -> None:
    """Measure, write the JSON file, print the table."""
    arguments = _parse_arguments()
    if importlib.util.find_spec("expecttest") is None:
        sys.exit("PyTorch's MultiProcContinuousTest needs the package expecttest: pip install expecttest")
    start, load_before = time.perf_counter(), os.getloadavg()
    with _environment_of_all_contestants():
        samples, start_up_s = measure(arguments.rounds, arguments.slow_rounds)
    report = summarise(samples) | {
        "start_up_s": start_up_s,
        "seconds": time.perf_counter() - start,
        "load": {"before": load_before, "after": os.getloadavg()},
        "machine": _machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    show(report, Console())
    print(f"Written to {arguments.out}.")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=24, help="launches of each quick contestant per world size")
    parser.add_argument("--slow-rounds", type=int, default=3, help=f"launches of {' and '.join(SLOW)}")
    arguments = parser.parse_args()
    if not 1 <= arguments.slow_rounds <= arguments.rounds:
        parser.error("--slow-rounds must be at least 1 and at most --rounds")
    return arguments


@contextmanager
def _environment_of_all_contestants() -> Iterator[None]:
    """One thread a rank, since ranks share the cores; the loopback interface; scratch files in memory."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=memory) as scratch:
        os.environ.update(OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo", TMPDIR=scratch)
        tempfile.tempdir = scratch
        yield


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
    }


if __name__ == "__main__":
    main()
