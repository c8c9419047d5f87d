"""Reading the judge's report: strictly, and failing closed."""

import json
from pathlib import Path

import pytest

from course_env.errors import LaunchError
from grader.course.judging.report import ReportFollower, read_report
from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome

TEST = {"chapter": "ch01_a", "exercise": "gcd", "aspect": "property", "claim": "It holds.", "hidden": True}
COLLECTED = {"event": "collected", "tests": [{"test": "a", **TEST}, {"test": "b", **TEST}]}
PASSED = {"test": "a", **TEST, "finished": True, "outcome": "passed", "seconds": 0.5, "world_sizes": [1, 4]}
FINISHED = {"event": "finished", "record": PASSED}
OTHER_FINISHED = {"event": "finished", "record": {**PASSED, "test": "b"}}
ENDED = {"event": "ended"}


def report(folder: Path, *events: object, end: str = "\n") -> Path:
    """Write a report of these events, the last line of which ends with `end`."""
    path = folder / "report.jsonl"
    path.write_text("\n".join(json.dumps(event) for event in events) + end)
    return path


def test_a_finished_test_is_as_the_judge_wrote(tmp_path: Path) -> None:
    """Every field of the judge's lines is in the record of a test that finished."""
    record = read_report(report(tmp_path, COLLECTED, FINISHED, ENDED), trouble="")[0]

    assert (record.test, record.exercise, record.aspect, record.hidden) == ("a", "gcd", "property", True)
    assert (record.outcome, record.seconds, record.world_sizes) == (Outcome.PASSED, 0.5, (1, 4))
    assert record.mistake is None


@pytest.mark.parametrize(
    ("events", "counted"),
    [
        ([], (0, 0)),
        ([COLLECTED], (0, 2)),
        ([COLLECTED, FINISHED], (1, 2)),
        ([COLLECTED, FINISHED, FINISHED], (1, 2)),
        ([COLLECTED, FINISHED, OTHER_FINISHED, ENDED], (2, 2)),
    ],
)
def test_only_tests_are_counted(tmp_path: Path, events: list[object], counted: tuple[int, int]) -> None:
    """A report that grows never counts more tests than there are: neither its other lines nor a test that ended twice."""
    progress = ReportFollower(report(tmp_path, *events)).progress()

    assert counted == (progress.done, progress.every)


def test_a_failed_test_has_the_kind_of_mistake_that_the_judge_wrote(tmp_path: Path) -> None:
    """The kind of mistake that the judge wrote is read as a member of the closed list."""
    failed = {**PASSED, "outcome": "failed", "mistake": "a sum where a mean is due"}
    finished = {"event": "finished", "record": failed}

    assert read_report(report(tmp_path, COLLECTED, finished), trouble="")[0].mistake is Mistake.SUM_FOR_MEAN


def test_a_test_without_an_end_is_not_gradable(tmp_path: Path) -> None:
    """A test that a dying judge never finished gives neither points nor zero, and its record says how the judge died."""
    passed, lost = read_report(report(tmp_path, COLLECTED, FINISHED), trouble="It ended with exit code -9.")

    assert (passed.outcome, lost.outcome) == (Outcome.PASSED, Outcome.NOT_GRADABLE)
    assert lost.explanation == "The judge ended before this test did. It ended with exit code -9."


def test_a_report_can_be_followed(tmp_path: Path) -> None:
    """Progress counts tests that have finished, not lines; half a line counts when it is whole, and a bad one never."""
    path = tmp_path / "report.jsonl"
    follower = ReportFollower(path)
    seen = [follower.progress()]
    half = '{"event": "fin'
    with path.open("w") as file:
        for text in (
            f"{json.dumps(COLLECTED)}\n",
            f'{{"event": "began", "test": "a"}}\n{half}',
            f"{json.dumps(FINISHED)[len(half) :]}\nnothing\n",
            '{"event": "began", "test": "b"}\n',
            f"{json.dumps(OTHER_FINISHED)}\n{json.dumps(ENDED)}\n",
        ):
            file.write(text)
            file.flush()
            seen.append(follower.progress())

    assert [(0, 0), (0, 2), (0, 2), (1, 2), (1, 2), (2, 2)] == [(progress.done, progress.every) for progress in seen]
    assert [None, None, "a", None, "b", None] == [progress.running for progress in seen]


def test_half_a_last_line_is_no_line(tmp_path: Path) -> None:
    """A test whose last line is only half written has not finished."""
    path = report(tmp_path, COLLECTED, FINISHED, end="")

    assert {record.outcome for record in read_report(path, trouble="")} == {Outcome.NOT_GRADABLE}


@pytest.mark.parametrize("events", [[], [FINISHED, COLLECTED], [ENDED]])
def test_without_a_collection_there_is_no_result(tmp_path: Path, events: list[object]) -> None:
    """A report that does not begin with the collected tests gives no result."""
    with pytest.raises(LaunchError) as error:
        read_report(report(tmp_path, *events, end="\n" if events else ""), trouble="It ended with exit code 4.")

    assert str(error.value) == "The judge did not get as far as collecting its tests. It ended with exit code 4."


def test_a_missing_report_is_no_result(tmp_path: Path) -> None:
    """A judge that dies before it opens its report has collected nothing."""
    with pytest.raises(LaunchError, match="did not get as far"):
        read_report(tmp_path / "none.jsonl", trouble="")


@pytest.mark.parametrize(
    "line",
    [
        {**FINISHED, "record": {**PASSED, "outcome": "perfect"}},
        {**FINISHED, "record": {**PASSED, "mistake": "gcd(1071, 462) is not 21"}},
        {**FINISHED, "record": {**PASSED, "score": 100}},
        {**FINISHED, "score": 100},
        {"event": "finished", "record": {"test": "a"}},
        {**FINISHED, "record": {**PASSED, "finished": False}},
        {"event": "graded"},
        {**FINISHED, "record": {**PASSED, "seconds": "0.5"}},
        "passed",
    ],
)
def test_a_line_that_no_judge_writes_is_refused(tmp_path: Path, line: object) -> None:
    """Unknown events, keys, outcomes, kinds of mistake and types are errors that name the line."""
    with pytest.raises(LaunchError, match=r"report.jsonl:2: not a line of a judge's report: "):
        read_report(report(tmp_path, COLLECTED, line, ENDED), trouble="")


def test_an_end_of_a_test_that_was_not_collected_is_refused(tmp_path: Path) -> None:
    """A report that finishes a test which it did not collect is worthless."""
    with pytest.raises(
        LaunchError, match=r"the judge finished 'c', which it had not collected. The report cannot be trusted."
    ):
        read_report(report(tmp_path, COLLECTED, {**FINISHED, "record": {**PASSED, "test": "c"}}), trouble="")


@pytest.mark.parametrize(
    "other",
    [
        {"exercise": "sieve"},
        {"chapter": "ch02_b"},
        {"aspect": "equivalence"},
        {"claim": "It fails."},
        {"hidden": False},
    ],
    ids=["exercise", "chapter", "aspect", "claim", "hidden"],
)
def test_an_end_of_another_test_under_the_same_name_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    """A test that ends with another exercise, aspect, claim or side than it was collected with makes the report worthless."""
    finished = {**FINISHED, "record": {**PASSED, **other}}

    with pytest.raises(
        LaunchError, match=r"'a' did not end as the test that was collected. The report cannot be trusted."
    ):
        read_report(report(tmp_path, COLLECTED, finished, ENDED), trouble="")


def test_an_end_that_has_not_finished_is_refused(tmp_path: Path) -> None:
    """A finished line whose record says that the test never finished is no evidence of a failure."""
    failed = {"test": "a", **TEST, "outcome": "failed"}

    with pytest.raises(LaunchError, match="The report cannot be trusted"):
        read_report(report(tmp_path, COLLECTED, {**FINISHED, "record": failed}), trouble="")


def test_a_test_cannot_pass_by_being_collected(tmp_path: Path) -> None:
    """A collected line that already holds an outcome is refused: only a finished line gives one."""
    collected = {"event": "collected", "tests": [PASSED]}

    with pytest.raises(LaunchError, match=r"'a' ended before it ran. The report cannot be trusted."):
        read_report(report(tmp_path, collected, ENDED), trouble="")
