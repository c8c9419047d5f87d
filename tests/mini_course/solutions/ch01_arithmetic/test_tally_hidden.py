"""What only staff see of the grading of tally.py."""

from grader.harness import exercise

from assignments.ch01_arithmetic import programs
from solutions.ch01_arithmetic import programs_hidden


@exercise("tally", aspect="property")
def test_merging_leaves_the_other_tally_alone(launch):
    """The merged tally has both lists' words, and the other one only its own."""
    words = {"left": ["a", "b"], "right": ["b", "c"]}
    run = launch(programs.merge_tallies, 1, shared=words, process_group=False)
    assert run["merged"][0] == {"a": 1, "b": 2, "c": 1}
    assert run["other"][0] == {"b": 1, "c": 1}


@exercise("tally", aspect="robustness")
def test_counts_are_a_copy(launch):
    """Whoever changes what counts() returned does not change the tally."""
    run = launch(programs_hidden.tally_twice, 2, shared={"words": ["a"]}, process_group=False)
    assert list(run["counts"]) == [{"a": 1}, {"a": 1}]
