"""The kind of mistake in the judge's report: one of a closed list, whatever the code under test says."""

import pytest

from grader.harness.mistake import Mistake

TESTS = '''
from grader.harness import PerRank, assert_matches

@exercise("add", aspect="equivalence")
def test_add(student):
    """Adds."""
    {check}

@exercise("double", aspect="equivalence")
def test_double(student):
    """Doubles."""
    assert student.double(1) == 2
'''


def finished(course, check, returned):
    """Return how test_add ended that makes this check of what the student returns."""
    student = f"def add(a, b):\n    return {returned}\n\ndef double(a):\n    return 2 * a\n"
    course.write(TESTS.format(check=check), student=student)
    return next(event for event in course.report() if event["event"] == "finished")


@pytest.mark.parametrize(
    ("check", "returned", "mistake"),
    [
        ("assert student.add(1, 2) == 3", "3", None),
        ("assert student.add(1, 2) == 3", "'more communication than needed'", Mistake.CHECK),
        ("assert student.add(1, 2) < 3, 'more communication than needed'", "5", Mistake.MORE_COMMUNICATION),
        ("assert student.add(1, 2) < 3, 'too much of it'", "5", Mistake.CHECK),
        ("comm = student.add(1, 2); assert comm < 3", "5", Mistake.COMMUNICATION),
        ("error_types = student.add; assert error_types(1, 2) == 3, 'which call?'", "5", Mistake.ERRORS),
        ("assert_matches(student.add(1, 2), 3)", "4", Mistake.VALUES),
        ("assert_matches(student.add(1, 2), 3)", "None", Mistake.TYPE),
        ("student.add(1, 2)[0]", "1", Mistake.UNUSABLE),
        ("student.add(1, 2)", "1 / 0", Mistake.EXCEPTION),
    ],
)
def test_a_failed_test_has_a_kind(course, check, returned, mistake):
    """A failed test has the kind of mistake that its message, the comparison or the launch names, or else the general kind."""
    event = finished(course, check, returned)

    assert ("passed" if mistake is None else "failed") == event["outcome"]
    assert mistake == event["mistake"]


def test_an_assertion_is_told_without_how_pytest_got_there(course):
    """A sentence says what is wrong; the objects on the way to the number, each with all its fields, say nothing more."""
    event = finished(course, "assert len(student.add(1, 2)) == 0, 'too much of it'", "[1, 2]")

    assert event["explanation"] == "too much of it\nassert 2 == 0"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("assert_matches(PerRank([1, 2]), PerRank([1, 2, 3]))", "holds a value for 3 ranks, `actual` for 2."),
        ("assert_matches(PerRank([]), 1)", "there is no rank to compare."),
        ("assert_matches(1.0, 1.0, exact=1.0, rtol=0)", "pass one or the other."),
    ],
)
def test_a_comparison_that_no_submission_could_pass_is_the_courses_fault(course, check, message):
    """An author who compares what cannot be compared costs nobody a point: the test is not gradable, and says why."""
    event = finished(course, check, "3")

    assert ("not_gradable", None) == (event["outcome"], event["mistake"])
    assert message in event["explanation"]
    assert "orrect the test" in event["explanation"]


@pytest.mark.parametrize(
    ("check", "returned", "said"),
    [
        ("n = 2; assert student.add(1, n) <= 2 * n", "6", "This does not hold: student.add(1, n) <= 2 * n (n = 2).\nassert 6 <= (2 * 2)"),
        ("assert (student.add(1, 2) ==\n        3)", "6", "This does not hold: student.add(1, 2) == 3.\nassert 6 == 3"),
        ("assert student.add(1, 2) < 3, 'too much'", "6", "too much\nassert 6 < 3"),
    ],
)  # fmt: skip
def test_a_plain_assertion_is_told_as_it_stands_in_the_test(course, check, returned, said):
    """An assertion without a message is shown with the values of its names; one with a message speaks for itself."""
    assert finished(course, check, returned)["explanation"].startswith(said)


def test_where_a_test_could_not_go_on_is_shown(course):
    """What the test wanted of the value stands beside Python's own words."""
    said = finished(course, "one, two = student.add(1, 2)", "None")["explanation"]

    assert said.endswith("cannot unpack non-iterable NoneType object\n  one, two = student.add(1, 2)")
