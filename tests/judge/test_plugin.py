"""The pytest plugin binds tests to exercises, reports each outcome, and says to the person at the terminal what to do next."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest

from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import problem
from tests.processes import descendants, eventually, running

TESTS = '''
@exercise("add", aspect="equivalence")
def test_add(student):
    """Two and three are five."""
    assert student.add(2, 3) == 5

@exercise("double", aspect="equivalence")
@pytest.mark.parametrize("world_size", [1, 2])
def test_double(launch, world_size):
    """Every rank doubles its own number."""
    run = launch(programs.double, world_size, per_rank={"a": list(range(world_size))}, process_group=False)
    assert run["y"] == tuple(2 * rank for rank in range(world_size))
'''


def outcomes(events: list[dict]) -> dict[str, str]:
    """Return the outcome of each test, by its bare name."""
    return {event["test"].rpartition("::")[2]: event["outcome"] for event in events if event["event"] == "finished"}


def test_the_report_lists_what_must_pass_and_what_did(course):
    """A report lists every collected test, then one outcome for each, then its end."""
    course.write(TESTS)

    collected, *finished, ended = course.report()

    assert {
        "test": "assignments/ch01_sums/test_sums.py::test_add",
        "chapter": "ch01_sums",
        "exercise": "add",
        "aspect": "equivalence",
        "claim": "Two and three are five.",
        "hidden": False,
    } == collected["tests"][0]
    assert {"test_add": "passed", "test_double[1]": "passed", "test_double[2]": "passed"} == outcomes(finished)
    assert [[1], [1], [2]] == [event["world_sizes"] for event in finished]
    assert {"event": "ended"} == ended


def test_a_judge_computes_on_one_thread(course):
    """As ranks do. Several judges share a machine, and a baseline must not depend on the number of its cores."""
    course.write(
        '''
        import torch

        @exercise("add", aspect="equivalence")
        def test_add(student):
            """Nothing is added."""
            assert torch.get_num_threads() == 1
        '''
    )

    assert {"test_add": "passed"} == outcomes(course.report())


def test_the_report_tells_when_a_test_begins(course):
    """Each test begins before it ends, and before the next; so what the judge computes in between is for this test."""
    course.write(TESTS)
    path = course.root / "report.jsonl"

    course.judge("--report", str(path))

    _, *events, _ = map(json.loads, path.read_text().splitlines())
    assert ["began", "finished"] * 3 == [event["event"] for event in events]
    assert all(began["test"] == finished["record"]["test"] for began, finished in zip(*[iter(events)] * 2, strict=True))


def test_tests_that_have_been_run_can_be_left_out(course):
    """Another judge goes on after one that was ended: it runs, and lists, only what is left."""
    course.write(TESTS)
    (course.root / "done.json").write_text('["assignments/ch01_sums/test_sums.py::test_double[1]", "no_such_test"]')

    collected, *finished, _ = course.report("--without", "done.json")

    assert {"test_add": "passed", "test_double[2]": "passed"} == outcomes(finished)
    assert 2 == len(collected["tests"])


def test_a_chapter_that_takes_too_long_is_not_run_to_its_end(course):
    """Each launch may end just before its deadline. Once the chapter's time is up, the tests that are left are lost."""
    course.write(TESTS)
    (course.root / "conftest.py").write_text("from grader.judge import plugin\nplugin.CHAPTER_S = 0.0\n")

    _, *finished, _ = course.report()

    assert {"test_add": "passed", "test_double[1]": "timed_out", "test_double[2]": "timed_out"} == outcomes(finished)
    assert finished[1]["explanation"].startswith("Not run: the tests of this chapter before this one have taken ")


def test_what_ranks_returned_is_not_kept(course):
    """After a test the judge holds nothing of its launches, however large it was."""
    course.write(
        TESTS
        + '''
import gc

@exercise("double", aspect="property")
def test_nothing_is_left(launch):
    """No run of an earlier test is in memory."""
    from grader.harness.run import Run
    run = launch(programs.double, 1, shared={"a": 2}, process_group=False)
    assert run["y"] == (4,)
    assert 1 == sum(isinstance(thing, Run) for thing in gc.get_objects())
'''
    )

    assert "passed" == outcomes(course.report())["test_nothing_is_left"]


def test_an_assert_in_references_is_explained_as_one_in_a_test(course):
    """An assertion that tests share in references shows the student the values that differ, as one in the test does."""
    tests = """
        from assignments.ch01_sums.references import assert_sum

        @exercise("add", aspect="equivalence")
        def test_add(student):
            assert_sum(student.add(2, 3))
        """
    course.write(tests, student="def add(a, b):\n    return a * b\n")
    (course.chapter / "references.py").write_text("def assert_sum(found):\n    assert found == 2 + 3\n")

    _, finished, _ = course.report("--wall", "none")

    said = "This does not hold: found == 2 + 3 (found = 6).\nassert 6 == (2 + 3)"
    assert ("failed", said) == (finished["outcome"], finished["explanation"])


def test_one_zygote_serves_a_whole_submission(course):
    """However many tests a submission has, torch is imported once: every launch is forked from the same process."""
    student = """
        import os
        def add(a, b):
            fields = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()
            return int(fields[1])  # the supervisor's parent
        """
    tests = """
        zygotes = set()

        @exercise("add", aspect="equivalence")
        @pytest.mark.parametrize("call", range(4))
        def test_add(student, call):
            \"\"\"The zygote's process id.\"\"\"
            zygotes.add(student.add(0, call))
            assert len(zygotes) == 1
        """
    course.write(tests, student=textwrap.dedent(student))

    _, *finished, _ = course.report("--wall", "none")

    assert {"passed"} == set(outcomes(finished).values())
    assert 4 == len(finished)


TRAFFIC = """
    @exercise("double", aspect="property")
    def test_nothing_is_sent(launch):
        \"\"\"Doubling takes no communication.\"\"\"
        run = launch(programs.double, 2, shared={"a": 2}, process_group=False)
        assert run.comm.count() == 0
    """
COMPARED = '        assert run["y"] == (4, 4)\n'


@pytest.mark.parametrize(("compared", "outcome"), [("", "not_gradable"), (COMPARED, "passed")])
def test_traffic_alone_is_no_proof(course, compared, outcome):
    """A test that looks at what ranks sent, and not at what came of it, is the course's mistake."""
    course.write(textwrap.dedent(TRAFFIC) + textwrap.dedent(compared).replace("assert", "    assert"))

    _, finished, _ = course.report("--wall", "none")

    assert outcome == finished["outcome"]
    assert ("A solution that sends zeros would pass" in finished["explanation"]) is not bool(compared)


def test_only_the_exercise_asked_for_is_collected(course):
    """With --exercise the report lists the tests of that exercise only."""
    course.write(TESTS)

    collected, *_ = course.report("--exercise", "ch01/add")

    assert ["add"] == [test["exercise"] for test in collected["tests"]]


def test_an_unknown_exercise_is_a_usage_error_with_a_suggestion(course):
    """A mistyped exercise stops the run with the nearest name."""
    course.write(TESTS)

    run = course.judge("--exercise", "ch01/doubel")

    assert run.returncode == 4  # pytest's own code for usage errors
    assert "has no exercise 'doubel'. Known: add, double. Did you mean 'double'?" in run.stderr


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", 'must carry @exercise("<id>", aspect="<aspect>")'),
        ('@pytest.mark.exercise("add")', 'must carry @exercise("<id>", aspect="<aspect>")'),
        (
            '@exercise("ad", aspect="property")',
            "has no exercise 'ad'. Known: add, double. Did you mean 'add'?",
        ),
        ('@exercise("add", aspect="propertie")', "'propertie' is no aspect. Known: equivalence, property"),
    ],
    ids=["none", "no-aspect", "no-exercise", "bad-aspect"],
)
def test_a_test_of_no_exercise_stops_the_run(course, marker, message):
    """A graded test that belongs to no exercise or aspect is the author's mistake, and stops the run."""
    course.write(f"{marker}\ndef test_add(student):\n    pass\n")

    run = course.judge()

    assert run.returncode == 4
    assert message in run.stderr


def test_a_failure_names_exercise_claim_and_next_command(course):
    """The terminal shows the exercise, what should hold, what did not, and how to see it again, and no frame of ours."""
    course.write(TESTS, student="def add(a, b):\n    return a - b\n\ndef double(a):\n    return a.no_such_thing\n")

    text = course.judge("--seed", "17").stdout

    assert (
        "[ch01_sums/add] Two and three are five.\nThis does not hold: student.add(2, 3) == 5.\nassert -1 == 5" in text
    )
    assert "raised AttributeError: 'int' object has no attribute 'no_such_thing'\n" in text
    assert "  sums.py:5 in double\n    return a.no_such_thing" in text
    assert "Again: course check ch01/double --seed 17" in text
    assert "where -1 = student.add(2, 3)" in text
    assert "grader/" not in text


def test_a_stub_is_not_attempted(course):
    """A test that reaches a gap of the stub is `not_attempted`, not failed."""
    stub = 'def add(a, b):\n    raise NotImplementedError("TODO(add)")\n\ndef double(a):\n    return 2 * a\n'
    course.write(TESTS, student=stub)

    assert outcomes(course.report())["test_add"] == "not_attempted"


def test_a_hang_spares_the_other_exercises_and_is_waited_for_once(course):
    """After a hang the tests that cannot change the score are not run; other exercises keep theirs."""
    hang = "def double(a):\n    while True: pass\n\ndef add(a, b):\n    return a + b\n"
    course.write(TESTS.replace("process_group=False", "process_group=False, timeout_s=0.5"), student=hang)
    start = time.monotonic()

    events = course.report()

    assert {"test_add": "passed", "test_double[1]": "timed_out", "test_double[2]": "timed_out"} == outcomes(events)
    assert "Not run: another equivalence test of this exercise passed its deadline." in events[-2]["explanation"]
    assert time.monotonic() - start < 10


def test_inputs_differ_between_runs_and_repeat_with_their_seed(course):
    """Inputs are drawn anew for each run, and drawn again from a printed seed."""
    course.write(
        '''
        import random
        @exercise("add", aspect="equivalence")
        def test_add(student):
            """Adds."""
            assert student.add(random.random(), 0) == "shown"
        '''
    )

    shown = [course.judge("--seed", seed).stdout.partition("assert ")[2][:20] for seed in ("1", "2", "1")]

    assert shown[0] == shown[2] != shown[1]


def test_two_xdist_workers_give_the_same_verdicts(course):
    """-n 2 gives the verdicts of one process; a report, which needs one writer, refuses it."""
    course.write(TESTS)

    assert "3 passed" in course.judge("-n", "2").stdout
    refused = course.judge("-n", "2", "--report", "report.jsonl")
    assert "--report cannot be combined with -n" in refused.stderr


def test_a_missing_need_is_not_gradable(course, monkeypatch):
    """A test that needs what the machine lacks neither fails nor passes."""
    course.write(
        '''
        @exercise("add", aspect="equivalence")
        def test_add(launch):
            """Adds."""
            launch(programs.double, 1, shared={"a": 1}, needs=("gpu",), process_group=False)
        '''
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert outcomes(course.report()) == {"test_add": "not_gradable"}


ANYWHERE = """
    @exercise("double", aspect="equivalence")
    @pytest.mark.parametrize("on", ["cpu", "best", "gpu"])
    def test_double(launch, device, on):
        \"\"\"Wherever it runs.\"\"\"
        run = launch(programs.double, 2, shared={"a": 2}, process_group=False, on=on)
        assert run["y"] == (4, 4)
        assert device.type == "cpu"

    @exercise("add", aspect="property")
    def test_add(launch):
        \"\"\"Nothing is sent, and nobody could say so of GPUs.\"\"\"
        run = launch(programs.double, 2, shared={"a": 2}, process_group=False, on="best")
        assert run["y"] == (4, 4)
        assert run.comm.count() == 0
    """


def test_a_launch_may_have_a_gpu_for_each_rank(course, monkeypatch):
    """Without a GPU, a launch on "best" runs on the CPU and says why; its traffic is not gradable, nor is a launch on "gpu"."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    course.write(ANYWHERE, needs='["torch"]')

    _, *finished, _ = course.report("--wall", "none")

    expected = {"double[cpu]": "passed", "double[best]": "passed", "double[gpu]": "not_gradable", "add": "not_gradable"}
    assert expected == {name.removeprefix("test_"): outcome for name, outcome in outcomes(finished).items()}
    on_cpu = ["gloo on the CPU (there is no GPU)"]
    assert [[], on_cpu, on_cpu, on_cpu] == [event["placements"] for event in finished]
    explanations = [event["explanation"] for event in finished]
    assert "This test needs a GPU for each rank: there is no GPU." == explanations[2]
    assert explanations[3].startswith("On GPUs nobody records")


def test_a_launch_that_no_submission_could_satisfy_is_the_courses_fault(course):
    """An author's mistake in a test is not charged to the student."""
    course.write(
        '''
        @exercise("add", aspect="equivalence")
        def test_add(launch):
            """Adds."""
            launch(programs.double, 2, per_rank={"a": [1]})
        '''
    )

    _, finished, _ = course.report()

    assert finished["outcome"] == "not_gradable"
    assert "per_rank['a'] has 1 values for 2 ranks. Correct the test." in finished["explanation"]


@pytest.mark.parametrize(
    "returned",
    [r"'\ud800'", r"'lines\nof \x1b[2J\x1b]0;text\n\ud800'", r"'\x9b1m\r\n' * 20_000"],
    ids=["surrogate", "escape", "long"],
)
def test_a_string_from_a_rank_harms_neither_terminal_nor_report(course, returned, monkeypatch):
    """A string that student code returns is escaped and cut where pytest's message of a failed comparison shows it."""
    monkeypatch.setenv("CI", "1")  # where pytest shows everything
    tests = TESTS.replace("== 5", r"== 'lines\nof text\n'")
    course.write(tests, student=f"def add(a, b):\n    return {returned}\n\ndef double(a):\n    return 2 * a\n")

    shown = course.judge("--color=no").stdout
    events = course.report()

    assert "1 failed, 2 passed" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert len(shown) < 100_000
    assert "failed" == outcomes(events)["test_add"]


def test_a_value_that_cannot_travel_to_ranks_is_the_courses_fault(course):
    """A test that hands ranks what they cannot be handed is not charged to the student."""
    course.write(TESTS.replace("student.add(2, 3)", "student.add(2, {3})"))

    _, finished, *_ = course.report()

    assert finished["outcome"] == "not_gradable"
    assert "is a set, which cannot be handed" in finished["explanation"]


def test_a_module_that_cannot_be_imported_leaves_no_report(course):
    """If a test module cannot be imported, the report lists no test at all, so none of the others can score."""
    course.write(TESTS)
    (course.chapter / "test_more.py").write_text("import no_such_module\n")

    assert ["ended"] == [event["event"] for event in course.report()]


@pytest.mark.parametrize(("wall", "num_processes"), [("none", 3), ("nested", 6)])
def test_ctrl_c_leaves_nothing(course, wall, num_processes):
    """Ctrl-C in the middle of a launch ends pytest at once, and zygote, supervisor, rank and sandbox with it."""
    if (reason := problem(Wall(wall))) is not None:
        pytest.skip(f"This machine has no wall '{wall}': {reason}")
    course.write(TESTS, student="import time\ndef add(a, b):\n    time.sleep(60)\n")
    # As in a terminal: under a shell's background job, as CI may be, Ctrl-C would be ignored from the start.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "pytest", "--wall", wall]
    with subprocess.Popen(command, cwd=course.root, stdout=subprocess.PIPE, preexec_fn=hear) as judge:  # noqa: PLW1509 - one thread
        assert eventually(lambda: len(descendants(judge.pid)) == num_processes, 30)
        pids = descendants(judge.pid)
        judge.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in judge.communicate(timeout=10)[0]

    assert eventually(lambda: not running(pids))


def test_outside_a_course_the_plugin_is_silent(tmp_path, course):
    """A project that is no course sees nothing of the plugin but its options."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest]\n")
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")

    assert course.judge().returncode == 0
