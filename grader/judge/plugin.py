"""The pytest plugin: binds tests to the exercises of a course, hands them `launch` and `student`, and reports.

Outside a course, and for tests that belong to no chapter, it does nothing.
"""

import contextlib
import os
import random
import secrets
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest

from course_env.errors import CatalogError, CourseError, LaunchError, did_you_mean
from grader.course.catalog import Chapter, Course, Exercise, load_course
from grader.course.content.graded_tests import hidden_test_files, public_test_files
from grader.course.judging.judge_process import SEED_VARIABLE
from grader.course.judging.lifeline import end_with_command
from grader.course.judging.report import Aspect, Began, Collected, Finished, Record, ReportEnd, ReportWriter
from grader.harness.mistake import Mistake
from grader.harness.outcome import NotGradable, Outcome, StudentFailure
from grader.harness.protocol.wall import Wall
from grader.harness.trials.limits import lacking
from grader.harness.trials.walls import strongest
from grader.judge.decided import Decided
from grader.judge.ends import TestEnd, end_of
from grader.judge.fixtures import GradedTest, Launch, Student, read_submission, without_code
from grader.judge.launcher_pool import LauncherPool
from grader.judge.needs import missing_need, preload
from grader.judge.options import Hooks, add_options
from grader.judge.testimony import Testimonies, read_testimonies

if TYPE_CHECKING:
    import torch

GRADED = pytest.StashKey[GradedTest]()
CHAPTER_S = 400.0
"""For the tests of a chapter together. Each launch has its deadline, but a submission can stay just below all of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the judge's options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the judge itself where there is a course."""
    end_with_command()
    config.addinivalue_line("markers", "exercise(id, *, aspect): this test is part of grading exercise `id`")
    if not (config.rootpath / "assignments").is_dir():
        return
    if config.option.seed is None:
        # Both before xdist copies the options to its workers.
        config.option.seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1 << 31))
    if config.option.wall is None and not config.option.collectonly:
        config.option.wall = str(strongest(Wall))
    if config.option.report and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--report cannot be combined with -n: one judge writes one report.")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # judges share the cores, and no baseline may depend on their number
    # For `from assignments.ch02_... import programs`. Last, because a student's random.py may lie there.
    if str(config.rootpath) not in sys.path:
        sys.path.append(str(config.rootpath))
    # A chapter's references assert on behalf of its tests, and must explain a failure just as well.
    pytest.register_assert_rewrite("assignments")
    config.pluginmanager.register(JudgePlugin(config), "course-judge")


class JudgePlugin:
    """One pytest run over chapters of the course."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seed: int = config.option.seed
        self._submission = Path(config.option.submission or config.rootpath / "assignments").resolve()
        self._files: dict[str, dict[str, bytes]] = {}
        self._launchers = LauncherPool(config)
        self._decided = Decided(one_failure_an_aspect=config.option.one_failure_an_aspect)
        self._seconds: defaultdict[str, float] = defaultdict(float)  # by chapter, what its tests have taken
        self._course: Course | None = None
        forged = config.option.forge
        self._testimonies = read_testimonies(Path(forged)) if forged else Testimonies()
        self._report = ReportWriter(Path(config.option.report)) if config.option.report else None

    @property
    def course(self) -> Course:
        """The course, loaded when the first graded test is seen."""
        if self._course is None:
            self._course = load_course(self._config.rootpath)
        return self._course

    def _chapter_of(self, path: Path) -> Chapter | None:
        """Return the chapter that a test file grades; None for others, such as a student's own."""
        try:
            tree, folder = path.relative_to(self._config.rootpath).parts[:2]
        except ValueError:
            return None
        if tree not in ("assignments", "solutions"):
            return None
        chapter = next((chapter for chapter in self.course.chapters if chapter.id == folder), None)
        return chapter if chapter and path in {*public_test_files(chapter), *hidden_test_files(chapter)} else None

    def _submitted(self, chapter: Chapter) -> dict[str, bytes]:
        """Return the student's files as they were when the first test asked for them."""
        if chapter.id not in self._files:
            self._files[chapter.id] = read_submission(self._submission, chapter)
        return self._files[chapter.id]

    @pytest.hookimpl
    def pytest_collect_file(self, file_path: Path) -> None:
        """Start the chapter's zygotes before its tests are imported: both import torch, side by side."""
        if file_path.name.startswith("test_") and not self._config.option.collectonly and not self._is_controller():
            try:
                chapter = self._chapter_of(file_path)
            except CourseError as error:
                raise pytest.UsageError(str(error)) from error
            if chapter is not None:
                with contextlib.suppress(LaunchError):  # each of its tests reports it
                    self._launchers.on_cpu(chapter.needs)

    def _is_controller(self) -> bool:
        return bool(getattr(self._config.option, "numprocesses", None)) and not hasattr(self._config, "workerinput")

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Bind each test of a chapter to its exercise, and keep those that were asked for."""
        try:
            wanted = self.course.select(self._config.option.exercise) if self._config.option.exercise else None
            for item in items:
                if (chapter := self._chapter_of(item.path)) is not None:
                    item.stash[GRADED] = self._bind(item, chapter)
        except CourseError as error:
            raise pytest.UsageError(str(error)) from error
        keys = None if wanted is None else {(chapter.id, exercise.id) for chapter, exercise in wanted}
        without = self._left_out()
        kept = [item for item in items if (keys is None or _key(item) in keys) and item.nodeid not in without]
        if len(kept) < len(items):
            self._config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
            items[:] = kept
        # A module that cannot be imported hides its tests. A report of only the others would forgive the missing ones.
        if self._report is not None and not session.testsfailed:
            graded = [(item, item.stash[GRADED]) for item in items if GRADED in item.stash]
            self._report.write(Collected(tests=tuple(_collected(item, test) for item, test in graded)))

    def _left_out(self) -> frozenset[str]:
        """Return the ids of the tests that are not to be run."""
        file: str | None = self._config.option.without
        return frozenset() if file is None else msgspec.json.decode(Path(file).read_bytes(), type=frozenset[str])

    def _bind(self, item: pytest.Item, chapter: Chapter) -> GradedTest:
        marker = item.get_closest_marker("exercise")
        if marker is None or len(marker.args) != 1 or marker.kwargs.keys() != {"aspect"}:
            raise CatalogError(f'{item.nodeid} must carry @exercise("<id>", aspect="<aspect>").')
        name, aspect = marker.args[0], marker.kwargs["aspect"]
        exercise = _exercise(chapter, name, item)
        if aspect not in get_args(Aspect):
            raise CatalogError(f"{item.nodeid}: '{aspect}' is no aspect. {did_you_mean(str(aspect), get_args(Aspect))}")
        docstring = getattr(getattr(item, "function", None), "__doc__", None) or ""
        return GradedTest(
            chapter=chapter,
            exercise=exercise,
            aspect=aspect,
            claim=docstring.strip().partition("\n")[0],
            hidden="solutions" in item.path.relative_to(self._config.rootpath).parts,
            seed=zlib.crc32(item.nodeid.encode()) ^ self._seed,
            node_id=item.nodeid,
        )

    @pytest.hookimpl
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Seed the random inputs of each graded test after the ranks' parent has started."""
        test = item.stash.get(GRADED, None)
        if test is None:
            return
        if self._report is not None:
            self._report.write(Began(test=item.nodeid))
        self._decided.refuse(test)
        for reason in (lacking(), *map(missing_need, test.chapter.needs)):
            if reason is not None:
                raise NotGradable(reason)
        self._launchers.on_cpu(test.chapter.needs).wait_until_ready()
        random.seed(test.seed)
        if preload(test.chapter.needs):
            import torch

            torch.manual_seed(test.seed)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Let no test pass that code could pass by sending alone, and keep nothing that ranks returned in it."""
        test = item.stash.get(GRADED, None)
        if test is None:
            yield
            return
        start = time.monotonic()
        try:
            yield
            if any(run.is_half_judged for run in test.runs):
                raise CatalogError(
                    f"{item.nodeid} looks at what the ranks communicated, but not at what they returned in that launch. "
                    "A solution that sends zeros would pass. Compare run[...] as well."
                )
        finally:
            test.forget_runs()
            self._seconds[test.chapter.id] += time.monotonic() - start

    def launch(self, item: pytest.Item) -> Launch:
        """Return the launch fixture of one test.

        Raises: StudentFailure if the file is missing or empty, or if earlier tests took all the chapter's time.
        """
        test = item.stash.get(GRADED, None)
        if test is None:
            raise CatalogError("`launch` and `student` are for tests under assignments/ and solutions/.")
        submission = self._submitted(test.chapter)
        if (verdict := without_code(test, submission)) is not None:
            raise verdict
        if (seconds := self._seconds[test.chapter.id]) > CHAPTER_S:
            text = f"Not run: the tests of this chapter before this one have taken {seconds:.0f} s, of at most {CHAPTER_S:g}."
            raise StudentFailure(text, outcome=Outcome.TIMED_OUT, mistake=Mistake.NOT_RUN)
        return Launch(
            test=test,
            launchers=self._launchers.launchers(test.chapter.needs),
            submission=submission,
            testimonies=self._testimonies,
            timelines=Path(self._config.option.timelines) if self._config.option.timelines else None,
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the end of a graded test into an outcome and an explanation for the student."""
        report = yield
        test = item.stash.get(GRADED, None)
        if test is None:
            return report
        error = call.excinfo.value if call.excinfo is not None else None
        if error is None and report.when != "call":
            return report
        end = end_of(error, self._config.rootpath)
        self._decided.note(test, end.outcome)
        if end.outcome in {Outcome.NOT_GRADABLE, Outcome.NOT_RUN}:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.location[1] or 0, end.explanation)
        elif end.outcome is not Outcome.PASSED:
            report.longrepr = self._text(test, end.explanation)
        if self._report is not None:
            self._report.write(Finished(record=_finished(item, test, call, end)))
        return report

    def _text(self, test: GradedTest, explanation: str) -> str:
        name = f"{test.chapter.id}/{test.exercise.id}"
        short = f"{test.chapter.short}/{test.exercise.id}"
        return f"[{name}] {test.claim}\n{explanation}\nAgain: course check {short} --seed {self._seed}"

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        """Keep what the ranks said, and say that the report is complete."""
        if self._config.option.testimony:
            self._testimonies.write(Path(self._config.option.testimony))
        if self._report is not None:
            self._report.write(ReportEnd())

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """End the zygotes."""
        self._launchers.close()
        if self._report is not None:
            self._report.close()


def _key(item: pytest.Item) -> tuple[str, str] | None:
    test = item.stash.get(GRADED, None)
    return None if test is None else (test.chapter.id, test.exercise.id)


def _exercise(chapter: Chapter, name: Any, item: pytest.Item) -> Exercise:
    exercises = {exercise.id: exercise for exercise in chapter.exercises}
    if name not in exercises:
        raise CatalogError(
            f"{item.nodeid}: {chapter.id} has no exercise '{name}'. {did_you_mean(str(name), exercises)}"
        )
    return exercises[name]


def _collected(item: pytest.Item, test: GradedTest) -> Record:
    return Record(
        test=item.nodeid,
        chapter=test.chapter.id,
        exercise=test.exercise.id,
        aspect=test.aspect,
        claim=test.claim,
        hidden=test.hidden,
    )


def _finished(item: pytest.Item, test: GradedTest, call: pytest.CallInfo[None], end: TestEnd) -> Record:
    return msgspec.structs.replace(
        _collected(item, test),
        finished=True,
        outcome=end.outcome,
        explanation=end.explanation,
        mistake=end.mistake,
        seconds=round(call.duration, 4),
        rests_on_ranks=bool(test.trusted),
        world_sizes=tuple(sorted(set(test.world_sizes))),
        nodes=tuple(sorted(test.nodes)),
        placements=tuple(sorted(test.placements)),
    )


def _judge(request: pytest.FixtureRequest) -> JudgePlugin:
    judge = request.config.pluginmanager.get_plugin("course-judge")
    if not isinstance(judge, JudgePlugin):
        raise CatalogError(
            "`launch` and `student` work inside a course: a folder with assignments/ and pyproject.toml."
        )
    return judge


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Launch:
    """Run a rank program on N ranks: `launch(programs.f, 4, shared={...}, per_rank={...}) -> Run`."""
    return _judge(request).launch(request.node)


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Student:
    """Stand for the student's file: `student.f(x)` runs in a separate process."""
    return Student(_judge(request).launch(request.node))


@pytest.fixture
def device() -> "torch.device":
    """Where a baseline of one process is computed: on a GPU of the judge's machine if it has one. `with device: ...`."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
