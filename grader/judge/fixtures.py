"""What a graded test is handed: `launch` for rank programs, `student` for single calls."""

import codecs
import hashlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from course_env.devices import Placement, on_cpu
from course_env.errors import CatalogError
from grader.course.catalog import Chapter, Exercise
from grader.course.judging.drawn import DrawnLaunch, append_launch
from grader.course.judging.report import Aspect
from grader.harness.comm.log import CommLog
from grader.harness.comm.picture.spans import timeline_of
from grader.harness.launch.remains import Remains
from grader.harness.mistake import Mistake
from grader.harness.outcome import NotGradable, StudentFailure
from grader.harness.protocol.codec import UnsupportedValueError
from grader.harness.protocol.journal import read_journal
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources
from grader.harness.run import Run
from grader.harness.trials.gpus import Launchers, handles
from grader.judge.needs import missing_need
from grader.judge.testimony import Testimonies

MAX_WORLD_SIZE = 16

On = Literal["cpu", "gpu", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedTest:
    """One test as the course knows it."""

    chapter: Chapter
    exercise: Exercise
    aspect: Aspect
    claim: str
    """First line of the test's docstring."""

    hidden: bool
    """Whether the test is in `solutions/`, which only staff have."""

    seed: int
    """What its random inputs are drawn from."""

    node_id: str

    world_sizes: list[int] = field(default_factory=list)
    """Of its launches, in their order."""

    runs: list[Run] = field(default_factory=list)
    """What its launches returned."""

    nodes: set[str] = field(default_factory=set)
    """The machines on which its ranks ran, if those were others than the judge's."""

    placements: set[str] = field(default_factory=set)
    """Where ranks of launches that may use GPUs ran, and why."""

    trusted: set[str] = field(default_factory=set)
    """Why its end rests on what ranks say of themselves: it "looked" at that, or one of its launches "failed"."""

    def forget_runs(self) -> None:
        """Let go of what ranks returned, and note what the test's end rests on."""
        if len(self.runs) < len(self.world_sizes):
            self.trusted.add("failed")
        if any(run.rests_on_ranks for run in self.runs):
            self.trusted.add("looked")
        self.runs.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Runs rank programs for one test; see `__call__`."""

    test: GradedTest
    launchers: Launchers
    submission: Mapping[str, bytes]
    """The student's files of the chapter."""

    testimonies: Testimonies
    """What ranks say of themselves, or are made to say."""

    timelines: Path | None = None
    """The file for what ranks did and when, if somebody wants a picture of it."""

    def __call__(
        self,
        program: Callable[..., Mapping[str, Any]],
        world_size: int,
        *,
        shared: Mapping[str, Any] | None = None,
        per_rank: Mapping[str, Sequence[Any]] | None = None,
        timeout_s: float | None = None,
        needs: Collection[str] = (),
        process_group: bool = True,
        on: On = "cpu",
        ideal: Sequence[str] = (),
    ) -> Run:
        """Run `program(student, **arguments)` on `world_size` ranks and return what they returned.

        Every rank gets the arguments in `shared`, and its own entry of each list in `per_rank`.
        With `process_group`, the default group is initialised before the program starts: on gloo, or on NCCL if ranks
        run on GPUs. On "gpu" each rank has one GPU to itself: it is torch's default device, and tensors among its
        arguments are there. On "best" ranks have GPUs if there are enough, else they run on the CPU. A run that may be on
        GPUs has no `comm`. `ideal` is what ranks are to do, for pictures, as `read_ideal` of the timeline reads it.

        Raises: StudentFailure if a rank raises, crashes, hangs, or the ranks' communications do not fit together;
        NotGradable if the machine lacks one of `needs`, or GPUs; CatalogError for a call that no submission could satisfy.
        """
        for need in needs:
            if (reason := missing_need(need)) is not None:
                raise NotGradable(reason)
        inputs = _inputs(world_size, shared or {}, per_rank or {})
        file, name = _file_and_name(program)
        children = "children" in needs
        return self._run(
            name, file, inputs, timeout_s, process_group=process_group, children=children, on=on, ideal=ideal
        )

    def alone(
        self,
        program: Callable[..., Mapping[str, Any]],
        world_size: int,
        *,
        shared: Mapping[str, Any] | None = None,
        per_rank: Mapping[str, Sequence[Any]] | None = None,
    ) -> Run:
        """Run `program(None, **arguments)` as `__call__` does, but with an empty file for the student's.

        It shows what work takes that no student's code is part of, such as the memory of the processes.
        """
        inputs = _inputs(world_size, shared or {}, per_rank or {})
        file, name = _file_and_name(program)
        empty = replace(self, submission={self.test.exercise.file: b""})
        return empty._run(name, file, inputs, None, process_group=True)  # noqa: SLF001 - another launch of this class

    def call(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return what the student's `function` returns, called once in a separate process."""
        inputs = [{"function": function, "args": list(args), "kwargs": dict(kwargs)}]
        run = self._run(function, None, inputs, None, process_group=False)
        return run.values[0]["value"]

    def _run(
        self,
        program: str,
        programs_file: Path | None,
        inputs: list[dict[str, Any]],
        timeout_s: float | None,
        *,
        process_group: bool,
        children: bool = False,
        on: On = "cpu",
        ideal: Sequence[str] = (),
    ) -> Run:
        self.test.world_sizes.append(len(inputs))
        placement = self._place(len(inputs), on)
        request = LaunchRequest(
            program=program,
            programs_file=None if programs_file is None else programs_file.name,
            student_file=self.test.exercise.file,
            symbols=tuple(self.test.exercise.symbols),
            world_size=len(inputs),
            timeout_s=self.test.chapter.timeout_s if timeout_s is None else timeout_s,
            seed=_rank_seed(self.test.seed),
            process_group=process_group,
            children=children,
            refuses=not self.testimonies.are_forged,
            gpus=handles(placement),
        )
        course = {} if programs_file is None else {programs_file.name: programs_file.read_bytes()}
        try:
            launcher = self.launchers.launcher_for(placement)
            remains = launcher.launch(request, Sources(submission=self.submission, course=course), inputs)
        except UnsupportedValueError as error:
            raise CatalogError(f"{error} Correct the test.") from error
        if self.timelines is not None:
            self._draw(self.timelines, remains, ideal)
        self.test.nodes.update(rank.node for rank in remains.ranks if rank.node)
        run = self.testimonies.verdict_on(remains, self.test.node_id, len(self.test.world_sizes) - 1)
        run = replace(run, anywhere=on != "cpu")
        self.test.runs.append(run)
        return run

    def _draw(self, file: Path, remains: Remains, ideal: Sequence[str]) -> None:
        comm = CommLog([read_journal(rank.journal) for rank in remains.ranks])
        launch = DrawnLaunch(
            test=self.test.node_id,
            number=len(self.test.world_sizes),
            program=remains.request.program,
            timeline=timeline_of(comm, ideal),
        )
        append_launch(file, launch)

    def _place(self, world_size: int, on: On) -> Placement:
        if on == "cpu":
            return on_cpu("the test wants it so")
        placement = self.launchers.place(world_size)
        self.test.placements.add(str(placement))
        if on == "gpu" and not placement.gpus:
            raise NotGradable(f"This test needs a GPU for each rank: {placement.reason}.")
        return placement


@dataclass(frozen=True, slots=True, repr=False)
class StudentFunction:
    """One function of the student's file, called in a separate process."""

    _launch: Launch
    _name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self._launch.call(self._name, args, kwargs)

    @property
    def __name__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"student.{self._name}"  # pytest shows it in the explanation of a failed assertion


@dataclass(frozen=True, slots=True, repr=False)
class Student:
    """Stands for the student's file: `student.f(x)` calls its `f` in another process and returns the value."""

    _launch: Launch

    def __getattr__(self, name: str) -> StudentFunction:
        if name.startswith("__"):
            raise AttributeError(name)
        return StudentFunction(self._launch, name)

    def __repr__(self) -> str:
        return "student"


def read_submission(folder: Path, chapter: Chapter) -> dict[str, bytes]:
    """Return those of the chapter's declared files that are in `folder`, and nothing else."""
    files = {name: folder / chapter.id / name for name in chapter.files}
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


def _rank_seed(seed: int) -> int:
    """Return the seed that ranks start from: repeatable, and no rank can compute from it the seed of the test's inputs."""
    return int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4, person=b"ranks").digest()) >> 1


def _inputs(world_size: int, shared: Mapping[str, Any], per_rank: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    if not 1 <= world_size <= MAX_WORLD_SIZE:
        raise CatalogError(f"world_size must be 1 to {MAX_WORLD_SIZE}, but is {world_size}. Correct the test.")
    for name, values in per_rank.items():
        if len(values) != world_size:
            raise CatalogError(f"per_rank['{name}'] has {len(values)} values for {world_size} ranks. Correct the test.")
    return [{**shared, **{name: values[rank] for name, values in per_rank.items()}} for rank in range(world_size)]


def _file_and_name(program: Callable[..., Any]) -> tuple[Path, str]:
    if not inspect.isfunction(program) or "." in program.__qualname__:
        raise CatalogError(f"{program!r} must be a top-level function of a programs file. Correct the test.")
    return Path(program.__code__.co_filename).resolve(), program.__name__


def without_code(test: GradedTest, submission: Mapping[str, bytes]) -> StudentFailure | None:
    """Return what to do where the student's file is missing or has nothing in it, which no launch need find out."""
    file = test.exercise.file
    if submission.get(file, b"").removeprefix(codecs.BOM_UTF8).strip():
        return None
    first = test.chapter.exercises_in(file)[0]
    text = f"{file} is {'empty' if file in submission else 'missing'}. Start from the stub: course reset {test.chapter.short}/{first.id}"
    return StudentFailure(text, mistake=Mistake.MISSING_NAME)
