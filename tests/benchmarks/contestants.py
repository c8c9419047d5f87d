"""The ways of launching ranks that are compared. Each runs the same reference test, in the environment it finds."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving import load_results

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources
from grader.harness.protocol.wall import Wall
from grader.harness.verdict import verdict_on

HERE = Path(__file__).resolve().parent
SOURCES = Sources(
    submission={"reference_work.py": (HERE / "reference_work.py").read_bytes()},
    course={"programs.py": (HERE / "programs.py").read_bytes()},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One launch: its wall time, and the sum over each rank's tensor, by which the contestants check one another."""

    seconds: float
    sums: tuple[float, ...]


class Contestant(ABC):
    """A way of launching that is ready to launch. start_up_s: what getting ready took, paid once."""

    start_up_s: float

    @abstractmethod
    def launch(self, world_size: int) -> Measurement:
        """Run the reference test once."""

    @abstractmethod
    def cpu_s(self) -> float:
        """Return the CPU time used so far, that of every process of every launch included."""


class Ours(Contestant):
    """A launch as a graded test makes it: zygote, supervisor, recorder, frames, verdict."""

    def __init__(self, zygote: ZygoteHandle) -> None:
        self.start_up_s = zygote.wait_until_ready().import_s
        self._zygote = zygote

    def launch(self, world_size: int) -> Measurement:
        """Launch, and have the result judged, as in production."""
        request = LaunchRequest(
            program="reference",
            programs_file="programs.py",
            student_file="reference_work.py",
            symbols=(),
            world_size=world_size,
            timeout_s=60,
            seed=1,
            process_group=True,
        )
        start = time.perf_counter()
        run = verdict_on(self._zygote.launch(request, SOURCES, [{} for _ in range(world_size)]))
        seconds = time.perf_counter() - start
        return Measurement(seconds=seconds, sums=tuple(tensor.sum().item() for tensor in run["gradient"]))

    def cpu_s(self) -> float:
        """Return the CPU time of this process, the judge, and of the zygote's tree."""
        return time.process_time() + tree_cpu_s(self._zygote.pid)


class Served(Contestant):
    """A contestant that lives in a process of its own, started once, and measures itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        start = time.perf_counter()
        assert self._answer() == "ready\n"
        self.start_up_s = time.perf_counter() - start

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended before it answered; its error is above.")
        return line

    def launch(self, world_size: int) -> Measurement:
        """Ask for one launch and return what the process measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{world_size}\n")
        self._process.stdin.flush()
        answer = json.loads(self._answer())
        return Measurement(seconds=answer["seconds"], sums=tuple(answer["sums"]))

    def cpu_s(self) -> float:
        """Return the CPU time of the process and all below it."""
        return tree_cpu_s(self._process.pid)


class Torchrun(Contestant):
    """`torchrun --standalone` for each test."""

    start_up_s = 0.0

    def __init__(self) -> None:
        self._cpu_s = 0.0

    def launch(self, world_size: int) -> Measurement:
        """Run the command and load the tensors that its ranks leave in files."""
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world_size}"]
            arguments = [*command, str(HERE / "torchrun_rank.py"), folder]
            before = _children_cpu_s()
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True)
            tensors = load_results(Path(folder), world_size)
            seconds = time.perf_counter() - start
            self._cpu_s += _children_cpu_s() - before
        return Measurement(seconds=seconds, sums=tuple(tensor.sum().item() for tensor in tensors))

    def cpu_s(self) -> float:
        """Return the CPU time of all commands so far."""
        return self._cpu_s


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def tree_cpu_s(pid: int) -> float:
    """Return the CPU time of a process, of the children it has waited for, and of all that live below it."""
    total = 0.0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # utime, stime, cutime, cstime
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(tree_cpu_s(int(child)) for child in (task / "children").read_text().split())
    return total


@contextmanager
def served(script: str, *arguments: str) -> Iterator[Served]:
    """Start the process of a contestant and end it on leaving."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # closes standard input, at whose end the process leaves, and waits for it
        yield Served(process)


@contextmanager
def contestants_that_stay() -> Iterator[dict[str, Contestant]]:
    """Start the contestants that serve every world size."""
    with ExitStack() as stack:
        bare, walled = (
            stack.enter_context(ZygoteHandle(wall=wall, preload=["torch"])) for wall in (Wall.NONE, Wall.NESTED)
        )
        yield {
            "ours": Ours(bare),
            "ours_walled": Ours(walled),
            "floor": stack.enter_context(served("floor.py")),
            "mp_spawn": stack.enter_context(served("mp_spawn.py")),
            "torchrun": Torchrun(),
        }


@contextmanager
def multi_proc_continuous(world_size: int) -> Iterator[Contestant]:
    """Start a test class of `world_size` ranks; its start-up includes theirs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served("multi_proc_continuous.py", str(world_size), folder) as contestant,
    ):
        contestant.start_up_s += contestant.launch(world_size).seconds
        yield contestant
